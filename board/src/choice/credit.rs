//! What all rules but the classic one have in common: the retries that a module may have, and the probes that its
//! owner grants.

use super::{Pick, Taken};
use crate::calls::ShardCalls;
use crate::entry::{NodeSlot, Retries};
use crate::list::List;
use fastrand::Rng;

/// What a retry costs; an ordinary pick earns [`Retries::percent`] of it.
const RETRY_COST: u16 = 100;

/// What one reader keeps of one module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stand {
    /// The step of the schedule whose turn is next, modulo their number.
    pub(super) step_next: u16,
    /// Hundredths of a retry that are left.
    credit: u16,
    /// The period (see `calls.rs`) in which it was last looked at, as far as 16 bits tell.
    period: u16,
}

impl Stand {
    #[inline(always)]
    pub(super) fn to_bits(self) -> u64 {
        u64::from(self.step_next) | u64::from(self.credit) << 16 | u64::from(self.period) << 32
    }

    #[inline(always)]
    fn from_bits(bits: u64) -> Self {
        Self {
            step_next: bits as u16,
            credit: (bits >> 16) as u16,
            period: (bits >> 32) as u16,
        }
    }

    fn random(rng: &mut Rng, retries: Retries, period: u16) -> Self {
        Self {
            step_next: rng.u16(..),
            credit: u16::from(retries.floor) * RETRY_COST,
            period,
        }
    }

    /// Takes a pick or a retry into account; whether it may go ahead. A new period halves what is left, so that it
    /// speaks of the last seconds, and leaves the floor at least.
    #[inline(always)]
    fn may_pick(&mut self, retries: Retries, period: u16, is_retry: bool) -> bool {
        if self.period != period {
            self.period = period;
            self.credit = (self.credit / 2).max(u16::from(retries.floor) * RETRY_COST);
        }
        if is_retry {
            let left = self.credit.checked_sub(RETRY_COST);
            self.credit = left.unwrap_or(self.credit);
            left.is_some()
        } else {
            self.credit = self.credit.saturating_add(u16::from(retries.percent));
            true
        }
    }
}

/// What the credit of a module comes to before its rule is asked.
pub(super) enum Admitted {
    /// A retry too many.
    No,
    /// The node that the owner wants probed. A retry is no probe: its caller was let down once already.
    Probe(Taken),
    /// The rule takes a node.
    Yes,
}

/// Whether a pick may go ahead, and what is to be kept.
pub(super) fn admit(pick: &mut Pick<'_>, retries: Retries) -> (Admitted, Stand) {
    let period = pick.calls.period().tag() as u16;
    let mut stand = match pick.kept {
        Some(bits) => Stand::from_bits(bits),
        None => Stand::random(pick.rng, retries, period),
    };
    if !stand.may_pick(retries, period, !pick.avoid.is_empty()) {
        return (Admitted::No, stand);
    }
    let probe = if pick.may_probe && pick.avoid.is_empty() {
        let grant = pick.calls.granted(pick.list.kept.slot);
        grant.and_then(|grant| granted(pick.list, grant))
    } else {
        None
    };
    (probe.map_or(Admitted::Yes, Admitted::Probe), stand)
}

/// What is to be kept behind a pick that is no retry, while no probe is granted; none where one is.
#[inline(always)]
pub(super) fn earn(kept: u64, retries: Retries, list: &List<'_>, calls: ShardCalls<'_>) -> Option<u64> {
    let mut stand = Stand::from_bits(kept);
    let period = calls.period().tag() as u16;
    if calls.granted(list.kept.slot).is_some() {
        return None;
    }
    stand.may_pick(retries, period, false);
    Some(stand.to_bits())
}

fn granted(list: List<'_>, grant: (NodeSlot, u16)) -> Option<Taken> {
    let place = usize::from(grant.1);
    let (slot, _) = list.hot(place)?;
    let callable = place < usize::from(list.idle) + usize::from(list.overloaded);
    if slot != grant.0 || !callable {
        return None;
    }
    Some(Taken {
        place,
        slot,
        probe: true,
        grant: Some(grant),
        counts: true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_are_a_share_of_picks_and_a_floor_in_each_period() {
        let retries = Retries {
            percent: 20,
            floor: 3,
        };
        let mut stand = Stand::random(&mut Rng::with_seed(1), retries, 7);
        let retried = |stand: &mut Stand, period| {
            (0..1_000)
                .take_while(|_| stand.may_pick(retries, period, true))
                .count()
        };
        assert_eq!(retried(&mut stand, 7), 3);
        for _ in 0..100 {
            assert!(stand.may_pick(retries, 7, false));
        }
        assert_eq!(Stand::from_bits(stand.to_bits()), stand);
        assert_eq!(retried(&mut stand, 7), 20);
        assert_eq!(retried(&mut stand, 7), 0);
        assert_eq!(retried(&mut stand, 8), 3);
        for _ in 0..100_000 {
            stand.may_pick(retries, 8, false);
        }
        assert_eq!(retried(&mut stand, 9), 327, "half of what is ever kept");
    }
}
