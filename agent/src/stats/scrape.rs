//! The counts as a scraper reads them: names, help, labels.

use super::AgentStats;
use lars_wire::caller::{Outcome, Status};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use std::fmt;

/// Name without `_total` (the encoder appends it), help, value.
type Figure = (&'static str, &'static str, u64);

/// The label of a status: as `lars pick --json` prints it.
fn status_label(status: Status) -> &'static str {
    match status {
        Status::Ok => "ok",
        Status::Overloaded => "overloaded",
        Status::NotFound => "not_found",
        Status::Pending => "pending",
        Status::Failed => "failed",
    }
}

fn outcome_label(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Ok => "ok",
        Outcome::Failed => "failed",
        Outcome::TimedOut => "timed_out",
        Outcome::Cancelled => "cancelled",
    }
}

impl AgentStats {
    fn counters(&self) -> [Figure; 15] {
        let (control, spool) = (&self.counts.control, &self.counts.spool);
        let sum = |count: fn(&super::CoreCounts) -> &super::Count| self.sum(count);
        [
            (
                "lars_agent_registers",
                "Registrations answered.",
                sum(|core| &core.registers),
            ),
            (
                "lars_agent_bad_frames",
                "Connections closed for what they sent.",
                self.bad_frames(),
            ),
            (
                "lars_agent_board_full",
                "Modules that found no room on the board.",
                sum(|core| &core.board_full),
            ),
            (
                "lars_agent_routes_learnt",
                "Routes from dns.",
                sum(|core| &core.routes_learnt),
            ),
            (
                "lars_agent_routes_held",
                "Suddenly shrunken routes held back.",
                sum(|core| &core.held_total),
            ),
            (
                "lars_agent_reports_refused",
                "Reports of no node, or of one unknown node too many.",
                sum(|core| &core.reports_refused),
            ),
            (
                "lars_agent_pushes_acknowledged",
                "Pushes acknowledged to dns.",
                control.pushes_acknowledged.get(),
            ),
            (
                "lars_agent_pushes_doubted",
                "Pages and deltas passed over: their dns showed an older RouteVersion than was seen before.",
                control.pushes_doubted.get(),
            ),
            (
                "lars_agent_batches_acknowledged",
                "Batches that report stored.",
                control.batches_acknowledged.get(),
            ),
            (
                "lars_agent_routes_written",
                "Times the routes were written to disk.",
                control.routes_written.get(),
            ),
            (
                "lars_agent_spool_replayed",
                "Batches from disk that report stored.",
                spool.replayed.get(),
            ),
            (
                "lars_agent_spool_errors",
                "Times that the spool's disk failed.",
                spool.errors.get(),
            ),
            (
                "lars_agent_spool_expired_calls",
                "Calls on disk given up after three days.",
                spool.expired_calls.get(),
            ),
            (
                "lars_agent_ring_records",
                "Records drained from callers' rings.",
                self.ring_records(),
            ),
            (
                "lars_agent_rings_broken",
                "Rings not taken or given up for what stood in them.",
                self.rings_broken(),
            ),
        ]
    }

    /// What is counted of callers of the C++ Lars.
    fn old_counters(&self) -> [Figure; 5] {
        let sum = |count: fn(&super::CoreCounts) -> &super::Count| self.sum(count);
        [
            (
                "lars_agent_old_hosts",
                "Questions for a node by callers of the C++ Lars.",
                sum(|core| &core.old_hosts),
            ),
            (
                "lars_agent_old_routes",
                "Questions for a route by callers of the C++ Lars.",
                sum(|core| &core.old_routes),
            ),
            (
                "lars_agent_old_reports_left_out",
                "Reports by callers of the C++ Lars that name no node or came too late.",
                sum(|core| &core.old_reports_left_out),
            ),
            (
                "lars_agent_old_bad",
                "Datagrams left out because they are no message.",
                sum(|core| &core.old_bad),
            ),
            (
                "lars_agent_old_skipped",
                "Messages of callers of the C++ Lars that an agent does not take.",
                sum(|core| &core.old_skipped),
            ),
        ]
    }

    fn gauges(&self) -> [Figure; 13] {
        let sum = |count: fn(&super::CoreCounts) -> &super::Count| self.sum(count);
        [
            ("lars_agent_modules", "Modules held.", self.modules()),
            (
                "lars_agent_connections",
                "Connections of callers.",
                self.connections(),
            ),
            (
                "lars_agent_callers",
                "Callers that pick from the board.",
                self.counts.callers.callers.get(),
            ),
            (
                "lars_agent_rings",
                "Rings of callers that are drained.",
                self.rings(),
            ),
            (
                "lars_agent_waiting",
                "Questions waiting for a first route.",
                sum(|core| &core.waiting),
            ),
            (
                "lars_agent_held_routes",
                "Modules of which a shrunken route is held back now.",
                sum(|core| &core.held_routes),
            ),
            (
                "lars_agent_tallies_pending",
                "Tallies not acknowledged yet.",
                self.tallies_pending(),
            ),
            (
                "lars_agent_mail_held",
                "Mail held back for a busy core.",
                self.counts.control.mail_held.get(),
            ),
            (
                "lars_agent_tallies_unsaved",
                "Tallies neither acknowledged nor on disk.",
                self.tallies_unsaved(),
            ),
            (
                "lars_agent_spool_bytes",
                "Bytes of counts on disk.",
                self.spool_bytes(),
            ),
            (
                "lars_agent_spool_files",
                "Files of counts on disk.",
                self.counts.spool.files.get(),
            ),
            (
                "lars_agent_spool_oldest_seconds",
                "Age of the oldest of them.",
                self.counts.spool.oldest_s(),
            ),
            (
                "lars_agent_spool_up",
                "Whether the disk takes counts.",
                self.counts.spool.is_well.get(),
            ),
        ]
    }

    fn encode_calls(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut picks =
            encoder.encode_descriptor("lars_agent_picks", "Picks answered.", None, MetricType::Counter)?;
        for &status in Status::ALL {
            let count = ConstCounter::new(self.picks(status));
            count.encode(picks.encode_family(&[("status", status_label(status))])?)?;
        }
        let mut reports =
            encoder.encode_descriptor("lars_agent_reports", "Reports taken.", None, MetricType::Counter)?;
        for &outcome in Outcome::ALL {
            let count = ConstCounter::new(self.reports(outcome));
            count.encode(reports.encode_family(&[("outcome", outcome_label(outcome))])?)?;
        }
        Ok(())
    }

    fn encode_links(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let links = &self.counts.links;
        let mut up = encoder.encode_descriptor(
            "lars_agent_link_up",
            "Whether a link is up.",
            None,
            MetricType::Gauge,
        )?;
        for (to, table) in [("dns", &links.dns), ("report", &links.report)] {
            ConstGauge::new(i64::from(table.is_up())).encode(up.encode_family(&[("to", to)])?)?;
        }
        Ok(())
    }
}

impl Collector for AgentStats {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.encode_calls(&mut encoder)?;
        for (name, help, count) in self.counters().into_iter().chain(self.old_counters()) {
            let descriptor = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            ConstCounter::new(count).encode(descriptor)?;
        }
        for (name, help, value) in self.gauges() {
            let descriptor = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(value as i64).encode(descriptor)?;
        }
        self.encode_links(&mut encoder)?;
        lars_pool::scrape::encode(&mut encoder, "agent", &self.counts.pool)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::links::Links;
    use lars_pool::CoreStats;
    use prometheus_client::registry::Registry;
    use std::sync::Arc;

    #[test]
    fn scrape_sums_the_cores() {
        let stats = AgentStats::new(
            (0..2).map(|_| CoreStats::default()).collect(),
            Arc::new(Links::new(&["a:1".to_owned()], &["b:1".to_owned()])),
            Arc::default(),
        );
        stats.core(0).pick(Status::Ok);
        stats.core(1).pick(Status::Ok);
        stats.core(1).report(Outcome::TimedOut);
        stats.core(0).modules.set(3);
        let (mut registry, mut text) = (Registry::default(), String::new());
        registry.register_collector(Box::new(stats));
        prometheus_client::encoding::text::encode(&mut text, &registry).expect("a string takes it");
        for line in [
            "lars_agent_picks_total{status=\"ok\"} 2",
            "lars_agent_reports_total{outcome=\"timed_out\"} 1",
            "lars_agent_modules 3",
            "lars_agent_link_up{to=\"dns\"} 0",
            "lars_pool_turns_total{service=\"agent\"} 0",
        ] {
            assert!(text.contains(line), "{line} is not in:\n{text}");
        }
    }
}
