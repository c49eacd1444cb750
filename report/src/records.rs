//! From what an agent sends to what is stored: ages become minutes of the Unix time, wild numbers are bounded. Pure:
//! the time is an argument.

use lars_store::{CallBatch, CallRecord, ChangeRecord};
use lars_wire::event::{ChangeBatch, StateChange};
use lars_wire::record::{Tally, TallyBatch};

/// The oldest that a tally may be, in milliseconds: a spool is kept for three days at most. What claims to be older
/// counts as this old.
pub(crate) const AGE_MS_MAX: u64 = 3 * 24 * 3_600 * 1_000;

/// What is stored of a batch that arrived at `unix_ms`.
pub(crate) fn call_batch(batch: &TallyBatch, unix_ms: u64) -> CallBatch {
    CallBatch {
        incarnation: batch.incarnation,
        sequence: batch.sequence,
        caller: batch.caller,
        records: batch
            .tallies
            .iter()
            .map(|tally| record(tally, batch.age_ms, unix_ms))
            .collect(),
    }
}

/// What is stored of changes that arrived at `unix_ms`.
pub(crate) fn change_records(batch: ChangeBatch, unix_ms: u64) -> Vec<ChangeRecord> {
    let ChangeBatch {
        incarnation,
        caller,
        changes,
    } = batch;
    let record = |change: StateChange| ChangeRecord {
        incarnation,
        number: change.number,
        caller,
        unix_ms: unix_ms.saturating_sub(change.age_ms.min(AGE_MS_MAX)),
        module: change.module,
        node: change.node,
        from: change.from,
        to: change.to,
        reason: change.reason,
    };
    changes.into_iter().map(record).collect()
}

fn record(tally: &Tally, batch_age_ms: u64, unix_ms: u64) -> CallRecord {
    let age_ms = batch_age_ms.saturating_add(tally.age_ms.into()).min(AGE_MS_MAX);
    let unix_s = unix_ms.saturating_sub(age_ms) / 1_000;
    let latency_sum_max = u64::from(tally.ok).saturating_mul(tally.latency_max_us.into());
    CallRecord {
        module: tally.module,
        node: tally.node,
        minute: unix_s / 60,
        ok: tally.ok.into(),
        failed: tally.failed.into(),
        timed_out: tally.timed_out.into(),
        cancelled: tally.cancelled.into(),
        // No sum is larger than so many times its largest part.
        latency_sum_us: tally.latency_sum_us.min(latency_sum_max),
        latency_max_us: tally.latency_max_us,
        window: tally.window,
        window_ts: unix_s,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lars_wire::record::Window;
    use lars_wire::{ModuleId, NodeAddr};

    const NOW_MS: u64 = 1_800_000_000_000;

    fn tally(age_ms: u32) -> Tally {
        Tally {
            module: ModuleId::new(1, 2),
            node: NodeAddr::from_ipv4_number(0x0a00_0001, 80),
            age_ms,
            ok: 5,
            failed: 4,
            timed_out: 3,
            cancelled: 2,
            latency_sum_us: 100,
            latency_max_us: 40,
            window: Window {
                succ: 50,
                err: 7,
                overloaded: true,
            },
        }
    }

    fn records(batch_age_ms: u64, tallies: Vec<Tally>) -> Vec<CallRecord> {
        let batch = TallyBatch {
            incarnation: [3; 16],
            sequence: 9,
            caller: 77,
            age_ms: batch_age_ms,
            tallies,
        };
        let stored = call_batch(&batch, NOW_MS);
        assert_eq!(
            (stored.incarnation, stored.sequence, stored.caller),
            ([3; 16], 9, 77)
        );
        stored.records
    }

    #[test]
    fn counts_and_window_are_kept_as_they_are() {
        let expected = CallRecord {
            module: ModuleId::new(1, 2),
            node: NodeAddr::from_ipv4_number(0x0a00_0001, 80),
            minute: NOW_MS / 60_000,
            ok: 5,
            failed: 4,
            timed_out: 3,
            cancelled: 2,
            latency_sum_us: 100,
            latency_max_us: 40,
            window: Window {
                succ: 50,
                err: 7,
                overloaded: true,
            },
            window_ts: NOW_MS / 1_000,
        };
        assert_eq!(records(0, vec![tally(0)]), [expected]);
    }

    #[test]
    fn ages_of_batch_and_tally_add_up_and_the_minute_starts_at_its_first_second() {
        // NOW_MS is the first millisecond of a minute.
        let minute = NOW_MS / 60_000;
        let found: Vec<_> = records(1_000, vec![tally(59_000), tally(59_001)])
            .iter()
            .map(|record| (record.minute, record.window_ts))
            .collect();
        assert_eq!(
            found,
            [
                (minute - 1, NOW_MS / 1_000 - 60),
                (minute - 2, NOW_MS / 1_000 - 61)
            ]
        );
    }

    #[test]
    fn age_beyond_three_days_counts_as_three_days() {
        let oldest = (NOW_MS - AGE_MS_MAX) / 60_000;
        for (batch_age_ms, age_ms) in [(AGE_MS_MAX, 1), (u64::MAX, u32::MAX), (AGE_MS_MAX - 10, 10)] {
            assert_eq!(records(batch_age_ms, vec![tally(age_ms)])[0].minute, oldest);
        }
        let early = TallyBatch {
            incarnation: [0; 16],
            sequence: 1,
            caller: 0,
            age_ms: 5,
            tallies: vec![tally(0)],
        };
        assert_eq!(
            call_batch(&early, 1).records[0].minute,
            0,
            "a clock near 1970 does no harm"
        );
    }

    #[test]
    fn latency_sum_is_at_most_what_its_largest_part_allows() {
        let wild = Tally {
            latency_sum_us: u64::MAX,
            ..tally(0)
        };
        assert_eq!(records(0, vec![wild])[0].latency_sum_us, 5 * 40);
    }
}
