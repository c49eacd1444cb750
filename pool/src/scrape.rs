//! The cores' counts as a scraper reads them: one encoder for every service.

use crate::cores::IoInUse;
use crate::stats::CoreStats;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use std::fmt;

/// Writes every figure, summed over the cores, with the label `service`; for each core how many connections it has; and
/// how many cores move their bytes in which way, and why.
///
/// # Errors
/// The encoder fails.
pub fn encode(encoder: &mut DescriptorEncoder<'_>, service: &str, cores: &[CoreStats]) -> fmt::Result {
    let labels = [("service", service)];
    let figures: Vec<_> = cores.iter().map(CoreStats::metrics).collect();
    for (place, metric) in figures.iter().take(1).flatten().enumerate() {
        // Every core names the same figures in the same order.
        let sum: u64 = figures.iter().map(|core| core[place].value).sum();
        match metric.name.strip_suffix("_total") {
            Some(name) => {
                let mut family = encoder.encode_descriptor(name, metric.help, None, MetricType::Counter)?;
                ConstCounter::new(sum).encode(family.encode_family(&labels)?)?;
            }
            None => {
                let mut family =
                    encoder.encode_descriptor(metric.name, metric.help, None, MetricType::Gauge)?;
                ConstGauge::new(sum as i64).encode(family.encode_family(&labels)?)?;
            }
        }
    }
    let mut family = encoder.encode_descriptor(
        "lars_pool_core_connections",
        "Connections open now, core by core",
        None,
        MetricType::Gauge,
    )?;
    for (core, stats) in cores.iter().enumerate() {
        let core = core.to_string();
        let labels = [("service", service), ("core", core.as_str())];
        ConstGauge::new(stats.connections() as i64).encode(family.encode_family(&labels)?)?;
    }
    encode_io(encoder, service, cores)
}

/// Mostly one line; a core without a ring of its own has another reason than the rest.
fn encode_io(encoder: &mut DescriptorEncoder<'_>, service: &str, cores: &[CoreStats]) -> fmt::Result {
    let mut ways: Vec<(&IoInUse, i64)> = Vec::new();
    for io in cores.iter().filter_map(CoreStats::io) {
        match ways.iter_mut().find(|(way, _)| *way == io) {
            Some((_, cores)) => *cores += 1,
            None => ways.push((io, 1)),
        }
    }
    if ways.is_empty() {
        return Ok(());
    }
    let help = "Cores that move their bytes this way, and why";
    let mut family = encoder.encode_descriptor("lars_pool_io", help, None, MetricType::Gauge)?;
    for (way, cores) in ways {
        // The encoder writes labels as they are.
        let reason = way.reason.replace('\\', "\\\\");
        let reason = reason.replace('"', "\\\"").replace('\n', "\\n");
        let labels = [
            ("service", service),
            ("kind", way.kind.name()),
            ("reason", &reason),
        ];
        ConstGauge::new(cores).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cores::IoKind;
    use prometheus_client::collector::Collector;
    use prometheus_client::registry::Registry;

    #[derive(Debug)]
    struct Cores(Vec<CoreStats>);

    impl Collector for Cores {
        fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
            encode(&mut encoder, "test", &self.0)
        }
    }

    fn scraped(cores: Vec<CoreStats>) -> String {
        let (mut registry, mut text) = (Registry::default(), String::new());
        registry.register_collector(Box::new(Cores(cores)));
        prometheus_client::encoding::text::encode(&mut text, &registry).expect("a string takes it");
        text
    }

    #[test]
    fn way_to_move_bytes_is_told_with_its_reason_and_how_many_cores_go_it() {
        let cores: Vec<CoreStats> = (0..4).map(|_| CoreStats::default()).collect();
        let of = |kind, reason: &str| IoInUse {
            kind,
            reason: reason.to_owned(),
        };
        assert!(
            !scraped(vec![CoreStats::default()]).contains("lars_pool_io"),
            "not known yet"
        );
        for core in [0, 2] {
            let set = cores[core].io.set(of(IoKind::Uring, "asked for"));
            set.expect("it was not set");
        }
        let odd = of(IoKind::Epoll, "a \"word\", a \\ and\nan end of line");
        cores[1].io.set(odd).expect("it was not set");
        let text = scraped(cores);
        let lines: Vec<_> = text
            .lines()
            .filter(|line| line.starts_with("lars_pool_io{"))
            .collect();
        assert_eq!(
            lines,
            [
                r#"lars_pool_io{service="test",kind="uring",reason="asked for"} 2"#,
                r#"lars_pool_io{service="test",kind="epoll",reason="a \"word\", a \\ and\nan end of line"} 1"#,
            ]
        );
    }

    #[test]
    fn cores_are_summed_and_connections_are_told_core_by_core() {
        let cores: Vec<CoreStats> = (0..2).map(|_| CoreStats::default()).collect();
        for (stats, connections) in cores.iter().zip([3, 4]) {
            stats.connections_opened.add(connections);
            stats.turns.add(10);
        }
        let text = scraped(cores);
        for line in [
            "lars_pool_connections{service=\"test\"} 7",
            "lars_pool_turns_total{service=\"test\"} 20",
            "lars_pool_core_connections{service=\"test\",core=\"1\"} 4",
        ] {
            assert!(text.lines().any(|one| one == line), "{line} is not in:\n{text}");
        }
    }
}
