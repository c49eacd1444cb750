//! Probes of a module's ejected nodes: one at a time, each node's when its wait is over, as far as the budget goes.

use super::{Group, Judged, Turn, Usual};
use crate::policy::InFlight;
use crate::policy::adaptive::Rule;
use crate::policy::adaptive::mind::{Granted, Standing};
use crate::policy::adaptive::probes;
use std::time::{Duration, Instant};

/// A grant that nobody was seen to take for so long, while so many calls were made, is not taken at all: the callers pick in
/// processes that hear of no grants. Readers are then let through to the node now and then.
const GRANT_WAIT: Duration = Duration::from_secs(5);
const GRANT_CALLS: u32 = 20;
/// A probe whose report has not come after this long is given up, and says nothing: the longest time-out that a caller
/// is likely to have.
const PROBE_PATIENCE: Duration = Duration::from_secs(15);
/// A probe that is so surprisingly late (e^-5 is one in 150) keeps no other node waiting.
const PROBE_SURPRISE_MAX: f64 = 5.0;

impl Group {
    pub(super) fn probe<N: Judged>(
        &mut self,
        rule: &Rule,
        usual: &Usual,
        nodes: &mut [N],
        in_flight: &dyn InFlight,
        random: &mut fastrand::Rng,
        turn: &mut Turn,
    ) {
        let now = usual.now;
        let (mut is_busy, mut next) = (false, None::<(Instant, usize)>);
        for (place, node) in nodes.iter_mut().enumerate() {
            let serves = node.serves();
            let (weight, held) = (f64::from(node.weight()), in_flight.balance(node.slot()));
            let Some(mind) = node.mind_mut() else { continue };
            let (tries, relapses) = (mind.tries, mind.relapses);
            let Standing::Out {
                waits_from,
                probe_at,
                probe,
                ajar,
            } = &mut mind.standing
            else {
                continue;
            };
            if let Some(granted) = probe {
                granted.calls = granted.calls.saturating_add(usual.calls);
                granted.taken |= held > 0;
                let age = now.saturating_duration_since(granted.at);
                if age >= PROBE_PATIENCE {
                    (*waits_from, *probe, *probe_at) = (granted.at, None, None);
                } else if !granted.taken && age >= GRANT_WAIT && granted.calls >= GRANT_CALLS {
                    (*probe, *ajar) = (None, true);
                    turn.publish = true;
                } else {
                    is_busy |= !granted.taken || self.latency.surprise(age) < PROBE_SURPRISE_MAX;
                }
            }
            if !serves || *ajar || probe.is_some() {
                continue;
            }
            let at = *probe_at.get_or_insert_with(|| {
                let fair_per_s = self.calls_per_s * weight / usual.weights.max(1) as f64;
                *waits_from + probes::wait(rule, tries, relapses, fair_per_s, random)
            });
            if at <= now && next.is_none_or(|(earliest, _)| at < earliest) {
                next = Some((at, place));
            }
        }
        let Some((_, place)) = next.filter(|_| !is_busy && self.budget.pay()) else {
            return;
        };
        let node = &mut nodes[place];
        turn.grant = Some(node.slot());
        turn.publish = true;
        if let Some(Standing::Out { probe, .. }) = node.mind_mut().map(|mind| &mut mind.standing) {
            *probe = Some(Granted {
                at: now,
                calls: 0,
                taken: false,
            });
        }
    }
}
