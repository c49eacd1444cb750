//! Consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam, 2016) as one reader follows it: the first
//! node behind the key on the ring that has room.

use super::{Pick, Taken, adaptive};
use crate::list::List;
use crate::table::place_of_key;

/// Nodes whose calls are summed for the mean; of larger modules so many are taken as they come.
const SUMMED_MAX: usize = 64;
/// Points looked at. Were all loads at their bound but one node's, that one would be missed now and then, and the
/// pick goes by cost.
const POINTS_TRIED_MAX: usize = 256;

/// The key's node, or the next with room that is not to be avoided; by costs without a key.
pub(super) fn choose(pick: &mut Pick<'_>, load_max_percent: u16) -> Option<Taken> {
    let Some(key) = pick.key else {
        return adaptive::choose(pick);
    };
    let (list, points) = (&{ pick.list }, pick.list.table_len());
    let start = first_behind(list, place_of_key(key))?;
    let load_max = load_max(pick, load_max_percent);
    for step in 0..points.min(POINTS_TRIED_MAX) {
        let place = (list.table((start + step) % points)? & 0xffff) as usize;
        let (addr, (slot, _)) = (list.addr(place)?, list.hot(place)?);
        let weight = f32::from(list.weight(place)?);
        let in_flight = pick.calls.in_flight(slot) as f32 + 1.0;
        let has_room = in_flight <= (load_max * weight / list.mean_weight).ceil();
        if place < usize::from(list.idle) && has_room && !pick.avoid.contains(&addr) {
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

/// The first point at or behind a place of the ring; none where the ring is empty.
fn first_behind(list: &List<'_>, at: u64) -> Option<usize> {
    let (mut low, mut high) = (0, list.table_len());
    if high == 0 {
        return None;
    }
    while low < high {
        let middle = low.midpoint(high);
        if list.table(middle)? < at {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Some(low % list.table_len())
}

/// Calls that a node of mean weight may have in flight, this one counted.
fn load_max(pick: &Pick<'_>, percent: u16) -> f32 {
    let idle = usize::from(pick.list.idle);
    let summed = idle.clamp(1, SUMMED_MAX);
    let sum: u32 = (0..summed)
        .filter_map(|place| pick.list.hot(place))
        .map(|(slot, _)| pick.calls.in_flight(slot))
        .sum();
    (sum as f32 / summed as f32 + 1.0 / idle.max(1) as f32) * f32::from(percent) / 100.0
}
