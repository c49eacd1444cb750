//! What dns counts: each count is written by one thread with plain stores and summed when it is scraped.

use crate::catalog::Catalog;
use lars_pool::{CoreStats, Count, IoInUse};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// One core's counts, on cache lines of their own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct CoreCounts {
    pub(crate) connections: Count,
    pub(crate) old_agents: Count,
    pub(crate) old_skipped: Count,
    pub(crate) subscriptions: Count,
    pub(crate) modules_subscribed: Count,
    pub(crate) requests: Count,
    pub(crate) routes_sent: Count,
    pub(crate) pushes: Count,
    pub(crate) pushes_delta: Count,
    pub(crate) pushes_owed: Count,
    pub(crate) acks: Count,
    pub(crate) bad_frames: Count,
    pub(crate) refusals: Count,
}

/// The control thread's counts.
#[derive(Debug, Default)]
pub(crate) struct ControlCounts {
    pub(crate) looks: Count,
    pub(crate) look_last_us: Count,
    pub(crate) store_errors: Count,
    pub(crate) store_up: Count,
    pub(crate) changes: Count,
    pub(crate) edits: Count,
    pub(crate) edits_unconfirmed: Count,
    pub(crate) comparisons: Count,
    pub(crate) changes_found: Count,
    pub(crate) bad_rows: Count,
    pub(crate) modules_held: Count,
    pub(crate) changes_pruned: Count,
    pub(crate) load_ms: Count,
    pub(crate) route_version: Count,
    pub(crate) index_bytes: Count,
}

/// What people are told of the store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StoreSight {
    /// Which it is, as far as known.
    pub(crate) name: String,
    /// Why it is away; empty while it is there.
    pub(crate) error: String,
    /// `RouteVersion` as last seen.
    pub(crate) version: u64,
    /// What the push guard holds, for people; empty for nothing.
    pub(crate) held: String,
}

/// All counts of a running dns.
pub(crate) struct Counts {
    pub(crate) cores: Box<[CoreCounts]>,
    pub(crate) control: ControlCounts,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) pool: Arc<[CoreStats]>,
    /// The way bytes are moved, known once the cores run.
    pub(crate) io: OnceLock<IoInUse>,
    store: Mutex<StoreSight>,
}

impl Counts {
    pub(crate) fn new(pool: Arc<[CoreStats]>, catalog: Arc<Catalog>) -> Self {
        Self {
            cores: pool.iter().map(|_| CoreCounts::default()).collect(),
            control: ControlCounts::default(),
            catalog,
            pool,
            io: OnceLock::new(),
            store: Mutex::new(StoreSight::default()),
        }
    }

    /// The sum of one count over all cores.
    pub(crate) fn sum(&self, count: impl Fn(&CoreCounts) -> &Count) -> u64 {
        self.cores.iter().map(|core| count(core).get()).sum()
    }

    /// What people are told of the store.
    pub(crate) fn store(&self) -> StoreSight {
        self.store.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes what people are told of the store.
    pub(crate) fn tell_store(&self, change: impl FnOnce(&mut StoreSight)) {
        change(&mut self.store.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// The figures of a running dns, as `lars_dns_*`, and of its cores' rings and buffers, as `lars_pool_*` with the label
/// `service="dns"`. Clones show the same counts.
#[derive(Clone)]
pub struct DnsStats(pub(crate) Arc<Counts>);

impl fmt::Debug for DnsStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DnsStats")
            .field("cores", &self.0.cores.len())
            .finish_non_exhaustive()
    }
}

/// One figure: its name (counters without `_total`, which the encoder adds), what it says, its value.
type Figure = (&'static str, &'static str, u64);

impl DnsStats {
    fn gauges(&self) -> Vec<Figure> {
        let (counts, control) = (&*self.0, &self.0.control);
        vec![
            ("modules", "Modules that have nodes", counts.catalog.modules()),
            ("nodes", "Nodes of all modules", counts.catalog.nodes()),
            (
                "ready",
                "Whether the store was read",
                u64::from(counts.catalog.is_loaded()),
            ),
            (
                "connections",
                "Connections now",
                counts.sum(|core| &core.connections),
            ),
            (
                "old_agents",
                "Of those, agents of the C++ Lars",
                counts.sum(|core| &core.old_agents),
            ),
            (
                "subscriptions",
                "Subscriptions now",
                counts.sum(|core| &core.subscriptions),
            ),
            (
                "store_up",
                "Whether the store answered last",
                control.store_up.get(),
            ),
            (
                "bad_rows",
                "Rows of the store that cannot be served",
                control.bad_rows.get(),
            ),
            (
                "modules_held",
                "Modules whose loss of nodes is held back",
                control.modules_held.get(),
            ),
            (
                "catalog_bytes",
                "What the catalog takes in memory, by its layout",
                counts.catalog.bytes(),
            ),
            (
                "row_index_bytes",
                "What is kept beside it to find changes that nobody announced",
                control.index_bytes.get(),
            ),
            (
                "look_microseconds",
                "How long the last look at the store took",
                control.look_last_us.get(),
            ),
            (
                "route_version",
                "RouteVersion of the store, as last seen",
                control.route_version.get(),
            ),
            (
                "load_milliseconds",
                "How long the first load took",
                control.load_ms.get(),
            ),
        ]
    }

    fn counters(&self) -> Vec<Figure> {
        let (counts, control) = (&*self.0, &self.0.control);
        vec![
            ("requests", "Frames taken", counts.sum(|core| &core.requests)),
            (
                "routes_sent",
                "Routes sent because they were asked for",
                counts.sum(|core| &core.routes_sent),
            ),
            (
                "pushes",
                "Changes sent to subscribers",
                counts.sum(|core| &core.pushes),
            ),
            (
                "pushes_delta",
                "Of those, as deltas",
                counts.sum(|core| &core.pushes_delta),
            ),
            (
                "pushes_owed",
                "Changes put off because the peer reads slowly",
                counts.sum(|core| &core.pushes_owed),
            ),
            (
                "old_skipped",
                "Messages of agents of the C++ Lars that dns does not take",
                counts.sum(|core| &core.old_skipped),
            ),
            ("acks", "Pushes acknowledged", counts.sum(|core| &core.acks)),
            (
                "bad_frames",
                "Connections closed for what they sent",
                counts.sum(|core| &core.bad_frames),
            ),
            ("refusals", "Requests refused", counts.sum(|core| &core.refusals)),
            ("looks", "Looks at the store", control.looks.get()),
            (
                "store_errors",
                "Failures of the store",
                control.store_errors.get(),
            ),
            ("changes", "Modules changed", control.changes.get()),
            (
                "changes_found",
                "Of those, changes that nobody announced: found by reading the table over and over",
                control.changes_found.get(),
            ),
            ("edits", "Edits stored", control.edits.get()),
            (
                "edits_unconfirmed",
                "Edits answered before every agent confirmed",
                control.edits_unconfirmed.get(),
            ),
            (
                "comparisons",
                "Full comparisons with the store",
                control.comparisons.get(),
            ),
            (
                "changes_pruned",
                "Old change rows deleted",
                control.changes_pruned.get(),
            ),
        ]
    }

    /// The value of one figure by the name in `/metrics` without `lars_dns_` and `_total`.
    pub fn value(&self, name: &str) -> Option<u64> {
        let mut figures = self.gauges().into_iter().chain(self.counters());
        figures.find(|figure| figure.0 == name).map(|figure| figure.2)
    }
}

impl Collector for DnsStats {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for (name, help, value) in self.gauges() {
            let gauge = ConstGauge::new(value as i64);
            let name = format!("lars_dns_{name}");
            gauge.encode(encoder.encode_descriptor(&name, help, None, gauge.metric_type())?)?;
        }
        for (name, help, value) in self.counters() {
            let counter = ConstCounter::new(value);
            let name = format!("lars_dns_{name}");
            counter.encode(encoder.encode_descriptor(&name, help, None, counter.metric_type())?)?;
        }
        lars_pool::scrape::encode(&mut encoder, "dns", &self.0.pool)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    #[test]
    fn every_figure_is_scraped_once_and_summed_over_the_cores() {
        let pool = (0..2).map(|_| CoreStats::default()).collect();
        let stats = DnsStats(Arc::new(Counts::new(pool, Arc::new(Catalog::new(1)))));
        stats.0.cores[0].pushes.add(2);
        stats.0.cores[1].pushes.add(3);
        assert_eq!((stats.value("pushes"), stats.value("nothing")), (Some(5), None));
        let (mut registry, mut text) = (Registry::default(), String::new());
        registry.register_collector(Box::new(stats.clone()));
        encode(&mut text, &registry).expect("a text");
        assert!(
            text.lines().any(|line| line == "lars_dns_pushes_total 5"),
            "{text}"
        );
        assert!(text.lines().any(|line| line == "lars_dns_modules 0"));
        assert!(
            text.lines()
                .any(|line| line == "lars_pool_connections{service=\"dns\"} 0"),
            "{text}"
        );
        let mut names: Vec<&str> = text.lines().filter(|line| line.starts_with("# TYPE")).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(
            (names.len(), count),
            (
                count,
                stats.gauges().len() + stats.counters().len() + stats.0.pool[0].metrics().len() + 1
            )
        );
    }
}
