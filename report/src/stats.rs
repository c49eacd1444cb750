//! What report counts: each counter is written by one thread with relaxed stores and summed when it is scraped.

use lars_pool::{CoreStats, Count};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use std::fmt;
use std::sync::Arc;

/// One core's counts, on cache lines of their own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct CoreCounts {
    /// Batches taken.
    pub batches: Count,
    /// Tallies in them.
    pub tallies: Count,
    /// Connections closed for what they sent.
    pub bad_frames: Count,
    /// Batches turned away for want of room.
    pub turned_away: Count,
    /// Batches of changes of nodes for which there was no room: they come again.
    pub changes_dropped: Count,
    /// Connections now.
    pub connections: Count,
    /// Of those, agents of the C++ Lars.
    pub old_agents: Count,
    /// Statuses taken from them.
    pub old_statuses: Count,
    /// Windows in those that could not be kept.
    pub old_windows_dropped: Count,
    /// Messages of theirs that report does not take.
    pub old_skipped: Count,
}

/// The control thread's counts.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct ControlCounts {
    /// Batches stored.
    pub batches_stored: Count,
    /// Tallies in them.
    pub tallies_stored: Count,
    /// Batches that had been stored before.
    pub batches_repeated: Count,
    /// Batches that came again while they waited.
    pub batches_known: Count,
    /// Changes of nodes given to the store, those that it had already included.
    pub changes_stored: Count,
    /// Batches refused because one before them is missing.
    pub gaps: Count,
    /// Transactions with the store.
    pub transactions: Count,
    /// Calls of the store that failed.
    pub store_errors: Count,
    /// Rows of history and acknowledgements that grew too old.
    pub rows_pruned: Count,
    /// Tallies that wait for the store now.
    pub tallies_waiting: Count,
    /// 1 while the store takes what it is given.
    pub store_up: Count,
}

#[derive(Debug)]
struct Counts {
    cores: Vec<Arc<CoreCounts>>,
    pool: Arc<[CoreStats]>,
    control: Arc<ControlCounts>,
}

/// The counts of a running report, as `lars_report_*`, and of its cores' rings and buffers, as `lars_pool_*` with the
/// label `service="report"`. Clones show the same counts.
#[derive(Clone, Debug)]
pub struct ReportStats {
    counts: Arc<Counts>,
}

/// Name without prefix and suffix, help, whether it only grows, value.
type Figure = (&'static str, &'static str, bool, u64);

impl ReportStats {
    pub(crate) fn new(pool: Arc<[CoreStats]>) -> Self {
        Self {
            counts: Arc::new(Counts {
                cores: pool.iter().map(|_| Arc::default()).collect(),
                pool,
                control: Arc::default(),
            }),
        }
    }

    /// The counts that core `core` writes.
    pub(crate) fn core(&self, core: u16) -> Arc<CoreCounts> {
        Arc::clone(&self.counts.cores[usize::from(core)])
    }

    /// The counts that the control thread writes.
    pub(crate) fn control(&self) -> Arc<ControlCounts> {
        Arc::clone(&self.counts.control)
    }

    /// Every count by its name without prefix, for status.
    pub fn named(&self) -> Vec<(String, u64)> {
        self.figures()
            .into_iter()
            .map(|(name, _, _, value)| (name.to_owned(), value))
            .collect()
    }

    fn figures(&self) -> Vec<Figure> {
        let mut figures = self.our_figures();
        figures.extend(self.change_figures());
        figures.extend(self.old_figures());
        figures
    }

    /// What is counted of changes of nodes.
    fn change_figures(&self) -> Vec<Figure> {
        let cores = self.counts.cores.iter();
        let dropped = cores.map(|core| core.changes_dropped.get()).sum();
        vec![
            (
                "changes_stored",
                "Changes of nodes given to the store, repeated ones included",
                true,
                self.counts.control.changes_stored.get(),
            ),
            (
                "changes_dropped",
                "Batches of changes of nodes for which there was no room; agents send them again",
                true,
                dropped,
            ),
        ]
    }

    /// What is counted of agents of the C++ Lars.
    fn old_figures(&self) -> Vec<Figure> {
        let sum =
            |count: fn(&CoreCounts) -> &Count| self.counts.cores.iter().map(|core| count(core).get()).sum();
        vec![
            (
                "old_agents",
                "Connections of agents of the C++ Lars",
                false,
                sum(|core| &core.old_agents),
            ),
            (
                "old_statuses",
                "Statuses taken from agents of the C++ Lars",
                true,
                sum(|core| &core.old_statuses),
            ),
            (
                "old_windows_dropped",
                "Windows in those that name no node, or for which there was no room",
                true,
                sum(|core| &core.old_windows_dropped),
            ),
            (
                "old_skipped",
                "Messages of agents of the C++ Lars that report does not take",
                true,
                sum(|core| &core.old_skipped),
            ),
        ]
    }

    fn our_figures(&self) -> Vec<Figure> {
        let sum =
            |count: fn(&CoreCounts) -> &Count| self.counts.cores.iter().map(|core| count(core).get()).sum();
        let control = &self.counts.control;
        vec![
            (
                "connections",
                "Connections open now",
                false,
                sum(|core| &core.connections),
            ),
            (
                "batches",
                "Batches taken from agents",
                true,
                sum(|core| &core.batches),
            ),
            (
                "tallies",
                "Tallies taken from agents",
                true,
                sum(|core| &core.tallies),
            ),
            (
                "batches_stored",
                "Batches stored",
                true,
                control.batches_stored.get(),
            ),
            (
                "tallies_stored",
                "Tallies stored",
                true,
                control.tallies_stored.get(),
            ),
            (
                "batches_repeated",
                "Batches that had been stored before",
                true,
                control.batches_repeated.get(),
            ),
            (
                "batches_known",
                "Batches that came again while they waited for the store",
                true,
                control.batches_known.get(),
            ),
            (
                "gaps",
                "Batches refused because one before them is missing",
                true,
                control.gaps.get(),
            ),
            (
                "tallies_waiting",
                "Tallies that wait for the store",
                false,
                control.tallies_waiting.get(),
            ),
            (
                "batches_turned_away",
                "Batches for which there was no room",
                true,
                sum(|core| &core.turned_away),
            ),
            (
                "bad_frames",
                "Connections closed for what they sent",
                true,
                sum(|core| &core.bad_frames),
            ),
            (
                "transactions",
                "Transactions with the store",
                true,
                control.transactions.get(),
            ),
            (
                "store_errors",
                "Calls of the store that failed",
                true,
                control.store_errors.get(),
            ),
            (
                "rows_pruned",
                "Rows deleted because they grew too old",
                true,
                control.rows_pruned.get(),
            ),
            (
                "store_up",
                "1 while the store takes what it is given",
                false,
                control.store_up.get(),
            ),
        ]
    }
}

impl Collector for ReportStats {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for (name, help, grows, value) in self.figures() {
            let name = format!("lars_report_{name}");
            if grows {
                let metric = encoder.encode_descriptor(&name, help, None, MetricType::Counter)?;
                ConstCounter::new(value).encode(metric)?;
            } else {
                let metric = encoder.encode_descriptor(&name, help, None, MetricType::Gauge)?;
                ConstGauge::new(value).encode(metric)?;
            }
        }
        lars_pool::scrape::encode(&mut encoder, "report", &self.counts.pool)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    #[test]
    fn counts_of_all_cores_are_scraped_as_one() {
        let stats = ReportStats::new((0..2).map(|_| CoreStats::default()).collect());
        stats.core(0).batches.add(2);
        stats.core(1).batches.add(3);
        stats.core(1).connections.set(7);
        stats.control().tallies_stored.add(11);
        let mut registry = Registry::default();
        registry.register_collector(Box::new(stats.clone()));
        let mut text = String::new();
        encode(&mut text, &registry).expect("text");
        for line in [
            "lars_report_batches_total 5",
            "lars_report_connections 7",
            "lars_report_tallies_stored_total 11",
            "# TYPE lars_report_connections gauge",
            "lars_pool_turns_total{service=\"report\"} 0",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "'{line}' is not in\n{text}"
            );
        }
        assert!(stats.named().contains(&("connections".to_owned(), 7)));
    }
}
