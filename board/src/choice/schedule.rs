//! Weighted round robin as one reader follows it: step by step through the published schedule.

use super::credit::Stand;
use super::{Pick, Taken, adaptive};
use crate::list::List;

/// The node of the next step that is not to be avoided; by costs where there is no schedule, or none is left in reach.
pub(super) fn choose(pick: &mut Pick<'_>, stand: &mut Stand) -> Option<Taken> {
    let list = pick.list;
    let steps = list.table(0).unwrap_or(0) as usize;
    if steps == 0 || !list.aliases().is_empty() {
        return adaptive::choose(pick);
    }
    // A node stands at most every other step unless it is most of the schedule: further than this one need not look.
    let tries = steps.min(2 * (pick.avoid.len() + 1));
    let start = usize::from(stand.step_next) % steps;
    for step in (0..tries).map(|passed| (start + passed) % steps) {
        let place = step_at(&list, step)?;
        let addr = list.addr(place)?;
        if !pick.avoid.contains(&addr) {
            stand.step_next = ((step + 1) % steps) as u16;
            let (slot, hot) = list.hot(place)?;
            // A node that starts slowly lets some of its turns pass.
            if hot.warmth <= pick.rng.u8(..) && hot.warmth != crate::entry::Hot::WARM && list.idle > 1 {
                continue;
            }
            return Some(Taken {
                place,
                slot,
                probe: false,
                grant: None,
                counts: true,
            });
        }
    }
    adaptive::choose(pick)
}

fn step_at(list: &List<'_>, step: usize) -> Option<usize> {
    let word = list.table(1 + step / 4)?;
    let place = (word >> (16 * (step % 4)) & 0xffff) as usize;
    (place < usize::from(list.idle)).then_some(place)
}
