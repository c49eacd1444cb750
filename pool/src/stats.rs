//! What a core counts. Each core writes its own counts with plain stores; anyone may read them at any time.

use crate::buffers::{BufferClass, BufferCounters};
use crate::cores::IoInUse;
use crate::handler::CloseReason;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// A count that one thread writes and any thread reads: an addition is a load and a store, never a locked instruction.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds; only the thread that owns the count may.
    pub fn add(&self, amount: u64) {
        let sum = self.0.load(Ordering::Relaxed).wrapping_add(amount);
        self.0.store(sum, Ordering::Relaxed);
    }

    /// Replaces what a gauge shows; only the thread that owns it may.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// What it is now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One figure as a scraper wants it: counters end in `_total`, everything else is a gauge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its whole name, `lars_pool_...`.
    pub name: &'static str,
    /// What it counts, for people.
    pub help: &'static str,
    /// Its value now.
    pub value: u64,
}

macro_rules! core_stats {
    ($($field:ident, $name:literal, $help:literal;)*) => {
        /// One core's counts. On lines of its own, so that no core's counting slows another's.
        #[derive(Debug, Default)]
        #[repr(align(128))]
        pub struct CoreStats {
            $(pub(crate) $field: Count,)*
            /// Connections whose descriptor is closed again; what is open is the difference.
            pub(crate) connections_released: Count,
            /// Connections of core 0's that this core took over: tells core 0 which are still on their way.
            pub(crate) connections_taken: Count,
            /// The pool's own counts, once the core's thread has made its pool.
            pub(crate) buffers: OnceLock<Arc<BufferCounters>>,
            /// How the core moves bytes, once it runs.
            pub(crate) io: OnceLock<IoInUse>,
        }

        impl CoreStats {
            fn counted(&self) -> Vec<Metric> {
                vec![$(Metric { name: $name, help: $help, value: self.$field.get() },)*]
            }
        }
    };
}

core_stats! {
    connections_opened, "lars_pool_connections_opened_total", "Connections that this core served";
    connections_refused, "lars_pool_connections_refused_total", "Connections closed at once because there were too many";
    accepts_failed, "lars_pool_accepts_failed_total", "Accepts that failed, mostly for want of descriptors";
    closed_by_peer, "lars_pool_connections_closed_peer_total", "Connections that the peer closed";
    closed_by_handler, "lars_pool_connections_closed_handler_total", "Connections that the service closed";
    closed_slow, "lars_pool_connections_closed_slow_total", "Connections closed because the peer did not read";
    closed_crowding, "lars_pool_connections_closed_crowding_total", "Of the slow ones, those that held most when a core had too much unsent";
    closed_unfinished, "lars_pool_connections_closed_unfinished_total", "Connections closed because a frame was left unfinished";
    closed_by_error, "lars_pool_connections_closed_error_total", "Connections whose socket failed";
    closed_by_stop, "lars_pool_connections_closed_stop_total", "Connections open when the service stopped";
    bytes_received, "lars_pool_bytes_received_total", "Bytes received";
    bytes_sent, "lars_pool_bytes_sent_total", "Bytes sent";
    turns, "lars_pool_turns_total", "Passes of the loop";
    sleeps, "lars_pool_sleeps_total", "Passes that waited in the kernel, others may have looked without waiting";
    system_calls, "lars_pool_system_calls_total", "System calls made to move bytes and to wait for them";
    receives, "lars_pool_receives_total", "Pieces of bytes received";
    receives_paused, "lars_pool_receives_paused_total", "Receives stopped because too much was unhandled";
    receives_starved, "lars_pool_receives_starved_total", "Receives ended for want of a receive slot";
    sends, "lars_pool_sends_total", "Writes handed to the kernel";
    sends_short, "lars_pool_sends_short_total", "Writes of which the kernel took a part";
    sends_blocked, "lars_pool_sends_blocked_total", "Writes of which the kernel took nothing";
    completions_short, "lars_pool_completions_short_total", "Of the writes taken in part, those that the ring told of by a completion";
    completions_blocked, "lars_pool_completions_blocked_total", "Of the writes of which nothing was taken, those that the ring told of by a completion";
    datagrams_received, "lars_pool_datagrams_received_total", "Datagrams taken";
    datagrams_sent, "lars_pool_datagrams_sent_total", "Answers to datagrams sent";
    datagrams_unsent, "lars_pool_datagrams_unsent_total", "Answers to datagrams whose peers are gone";
    datagrams_too_long, "lars_pool_datagrams_too_long_total", "Datagrams left out because they were too long";
    datagrams_dropped, "lars_pool_datagrams_dropped_total", "Datagrams that the kernel dropped because they came faster than they were taken";
    submission_full, "lars_pool_submission_full_total", "Times the submission queue was flushed in the middle of a turn";
    mail, "lars_pool_mail_total", "Mail taken from other threads";
    posts_held_back, "lars_pool_posts_held_back", "Mail for other cores that waits because their queues are full";
    connections_waiting, "lars_pool_connections_waiting", "Connections whose bytes wait for another turn or for memory";
    unsent_bytes, "lars_pool_unsent_bytes", "Bytes that wait for peers to read them, shared ones counted once";
    replies_beyond, "lars_pool_replies_beyond_total", "Answers written outside the pool because it was exhausted";
}

impl CoreStats {
    /// Connections that are open now.
    pub fn connections(&self) -> u64 {
        let released = self.connections_released.get();
        self.connections_opened.get().saturating_sub(released)
    }

    /// How this core moves bytes, and why; none before it runs.
    pub fn io(&self) -> Option<&IoInUse> {
        self.io.get()
    }

    /// Every figure of this core, in a fixed order.
    pub fn metrics(&self) -> Vec<Metric> {
        let mut metrics = vec![Metric {
            name: "lars_pool_connections",
            help: "Connections open now",
            value: self.connections(),
        }];
        metrics.extend(self.counted());
        let buffers = self.buffers.get();
        let lent = |class| buffers.map_or(0, |counts| counts.class(class).now);
        let gauges = [
            (
                "lars_pool_buffers_small",
                "Buffers of 4 KiB lent now, the receive slots among them",
                lent(BufferClass::Small),
            ),
            (
                "lars_pool_buffers_medium",
                "Buffers of 16 KiB lent now",
                lent(BufferClass::Medium),
            ),
            (
                "lars_pool_buffers_large",
                "Buffers of 64 KiB lent now",
                lent(BufferClass::Large),
            ),
            (
                "lars_pool_buffers_heap",
                "Buffers from the heap lent now",
                buffers.map_or(0, |counts| counts.heap().now),
            ),
            (
                "lars_pool_buffers_exhausted_total",
                "Times that the pool had no buffer to lend",
                buffers.map_or(0, |counts| counts.exhausted()),
            ),
        ];
        metrics.extend(gauges.map(|(name, help, value)| Metric { name, help, value }));
        metrics
    }

    /// The value of one figure; none where no figure has this name.
    pub fn value(&self, name: &str) -> Option<u64> {
        self.metrics()
            .into_iter()
            .find(|metric| metric.name == name)
            .map(|metric| metric.value)
    }

    pub(crate) fn closed(&self, reason: CloseReason) {
        match reason {
            CloseReason::Peer => self.closed_by_peer.add(1),
            CloseReason::Handler => self.closed_by_handler.add(1),
            CloseReason::Slow => self.closed_slow.add(1),
            CloseReason::Unfinished => self.closed_unfinished.add(1),
            CloseReason::Error => self.closed_by_error.add(1),
            CloseReason::Stop => self.closed_by_stop.add(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_has_a_name_of_its_own() {
        let stats = CoreStats::default();
        stats.connections_opened.add(3);
        stats.connections_released.add(1);
        stats.closed(CloseReason::Slow);
        let mut names: Vec<_> = stats.metrics().iter().map(|metric| metric.name).collect();
        assert!(names.iter().all(|name| name.starts_with("lars_pool_")));
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
        assert_eq!(stats.value("lars_pool_connections"), Some(2));
        assert_eq!(stats.value("lars_pool_connections_closed_slow_total"), Some(1));
    }

    #[test]
    fn counts_of_two_cores_share_no_line_of_memory() {
        assert_eq!(align_of::<CoreStats>(), 128);
        assert_eq!(size_of::<CoreStats>() % 128, 0);
    }
}
