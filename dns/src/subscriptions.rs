//! Who on this core wants to hear of which module. Pure; one for each core.
//!
//! A module is a number (u32) here. A subscription costs 12 bytes: the connection in the module's list, and the
//! module with the place in that list in the connection's, so that neither side is ever searched from end to end.

use hashbrown::HashMap;
use lars_wire::ModuleId;

/// The two highest bits of a subscriber are its [`Step`]; the others the connection's slot.
const STEP_BITS: u32 = 3 << 30;

/// What a subscriber holds, as far as this core knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    /// The newest version that this core pushed: the next change may come as a delta.
    In,
    /// Something else: the next change must come whole.
    Behind,
    /// Its route is still to be sent, whatever it is then: changes need not be pushed.
    Owed,
}

impl Step {
    const fn bits(self) -> u32 {
        (self as u32) << 30
    }

    const fn of(subscriber: u32) -> Self {
        match subscriber >> 30 {
            0 => Self::In,
            1 => Self::Behind,
            _ => Self::Owed,
        }
    }
}

/// A bound was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// The connection's.
    Connection,
    /// The core's.
    Core,
}

#[derive(Debug)]
struct Module {
    module: ModuleId,
    /// Connections' slots, each with its step.
    subscribers: Vec<u32>,
}

/// One subscription as its connection keeps it.
#[derive(Clone, Copy, Debug)]
struct Seat {
    /// Place in the table of modules.
    module: u32,
    /// Place in that module's subscribers.
    place: u32,
}

/// The subscriptions of one core's connections.
#[derive(Debug)]
pub(crate) struct Subscriptions {
    numbers: HashMap<ModuleId, u32>,
    modules: Vec<Module>,
    free: Vec<u32>,
    /// By connection's slot; each in order of module number.
    seats: Vec<Vec<Seat>>,
    len: usize,
    connection_max: usize,
    core_max: usize,
}

impl Subscriptions {
    /// None yet; at most so many for each connection, and on this core.
    pub(crate) fn new(connection_max: usize, core_max: usize) -> Self {
        Self {
            numbers: HashMap::new(),
            modules: Vec::new(),
            free: Vec::new(),
            seats: Vec::new(),
            len: 0,
            connection_max,
            core_max,
        }
    }

    /// How many the connection in `slot` has.
    pub(crate) fn of_connection(&self, slot: u32) -> usize {
        self.seats.get(slot as usize).map_or(0, Vec::len)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Different modules that are subscribed to.
    pub(crate) fn modules(&self) -> usize {
        self.numbers.len()
    }

    /// The connection in `slot` wants to hear of `module`, and is owed what it is now.
    pub(crate) fn subscribe(&mut self, slot: u32, module: ModuleId) -> Result<(), Full> {
        let slot_index = slot as usize;
        if self.seats.len() <= slot_index {
            self.seats.resize_with(slot_index + 1, Vec::new);
        }
        if let Some((number, seat)) = self.seat(slot, module) {
            let place = self.seats[slot_index][seat].place;
            self.modules[number as usize].subscribers[place as usize] = slot | Step::Owed.bits();
            return Ok(());
        }
        if self.seats[slot_index].len() >= self.connection_max {
            return Err(Full::Connection);
        }
        if self.len >= self.core_max {
            return Err(Full::Core);
        }
        let number = self.number(module);
        let subscribers = &mut self.modules[number as usize].subscribers;
        let place = subscribers.len() as u32;
        subscribers.push(slot | Step::Owed.bits());
        let seats = &mut self.seats[slot_index];
        let at = seats.partition_point(|seat| seat.module < number);
        seats.insert(
            at,
            Seat {
                module: number,
                place,
            },
        );
        self.len += 1;
        Ok(())
    }

    /// Whether it does.
    pub(crate) fn is_subscribed(&self, slot: u32, module: ModuleId) -> bool {
        self.seat(slot, module).is_some()
    }

    /// What the connection in `slot` holds of `module` from now on.
    pub(crate) fn set_step(&mut self, slot: u32, module: ModuleId, step: Step) {
        if let Some((number, seat)) = self.seat(slot, module) {
            let place = self.seats[slot as usize][seat].place;
            self.modules[number as usize].subscribers[place as usize] = slot | step.bits();
        }
    }

    /// The connection in `slot` wants to hear of `module` no more.
    pub(crate) fn unsubscribe(&mut self, slot: u32, module: ModuleId) {
        if let Some((_, at)) = self.seat(slot, module) {
            let seat = self.seats[slot as usize].remove(at);
            self.leave(seat);
        }
    }

    /// The connection in `slot` ended.
    pub(crate) fn close(&mut self, slot: u32) {
        let Some(seats) = self.seats.get_mut(slot as usize) else {
            return;
        };
        for seat in std::mem::take(seats) {
            self.leave(seat);
        }
    }

    /// A new version of `module` is there: gives `each` every subscriber's slot and step, and takes its next step.
    pub(crate) fn push(&mut self, module: ModuleId, mut each: impl FnMut(u32, Step) -> Step) {
        let Some(number) = self.numbers.get(&module) else {
            return;
        };
        for subscriber in &mut self.modules[*number as usize].subscribers {
            let slot = *subscriber & !STEP_BITS;
            *subscriber = slot | each(slot, Step::of(*subscriber)).bits();
        }
    }

    /// The module's number, and where among the connection's seats its one is.
    fn seat(&self, slot: u32, module: ModuleId) -> Option<(u32, usize)> {
        let number = *self.numbers.get(&module)?;
        let seats = self.seats.get(slot as usize)?;
        let at = seats.binary_search_by_key(&number, |seat| seat.module).ok()?;
        Some((number, at))
    }

    fn number(&mut self, module: ModuleId) -> u32 {
        if let Some(number) = self.numbers.get(&module) {
            return *number;
        }
        let number = if let Some(number) = self.free.pop() {
            self.modules[number as usize].module = module;
            number
        } else {
            self.modules.push(Module {
                module,
                subscribers: Vec::new(),
            });
            self.modules.len() as u32 - 1
        };
        self.numbers.insert(module, number);
        number
    }

    /// Takes a seat's subscriber out of its module's list; the last of the list moves into its place.
    fn leave(&mut self, seat: Seat) {
        self.len -= 1;
        let entry = &mut self.modules[seat.module as usize];
        entry.subscribers.swap_remove(seat.place as usize);
        if let Some(moved) = entry.subscribers.get(seat.place as usize) {
            let seats = &mut self.seats[(moved & !STEP_BITS) as usize];
            // The moved one may be this connection's own next seat while it closes; its seats are then gone already,
            // but a connection stands in a list only once.
            if let Ok(at) = seats.binary_search_by_key(&seat.module, |seat| seat.module) {
                seats[at].place = seat.place;
            }
        } else if entry.subscribers.is_empty() {
            // The list's memory goes too: a module that was popular once may never be again.
            entry.subscribers = Vec::new();
            self.numbers.remove(&entry.module);
            self.free.push(seat.module);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn module(cmdid: u32) -> ModuleId {
        ModuleId::new(1, cmdid)
    }

    fn pushed(subscriptions: &mut Subscriptions, cmdid: u32) -> Vec<(u32, Step)> {
        let mut pushed = Vec::new();
        subscriptions.push(module(cmdid), |slot, step| {
            pushed.push((slot, step));
            Step::In
        });
        pushed.sort_unstable();
        pushed
    }

    #[test]
    fn push_reaches_subscribers_alone_and_takes_their_next_step() {
        let mut subscriptions = Subscriptions::new(10, 100);
        for slot in [0, 5, 7] {
            assert_eq!(subscriptions.subscribe(slot, module(1)), Ok(()));
        }
        subscriptions.set_step(5, module(1), Step::In);
        subscriptions.set_step(7, module(1), Step::Behind);
        assert_eq!(
            pushed(&mut subscriptions, 1),
            [(0, Step::Owed), (5, Step::In), (7, Step::Behind)]
        );
        assert_eq!(
            pushed(&mut subscriptions, 1),
            [(0, Step::In), (5, Step::In), (7, Step::In)]
        );
        assert_eq!(pushed(&mut subscriptions, 2), []);
    }

    #[test]
    fn subscribing_again_counts_once_and_is_owed_again() {
        let mut subscriptions = Subscriptions::new(1, 100);
        assert_eq!(subscriptions.subscribe(0, module(1)), Ok(()));
        subscriptions.set_step(0, module(1), Step::In);
        assert_eq!(subscriptions.subscribe(0, module(1)), Ok(()));
        assert_eq!(
            (subscriptions.len(), pushed(&mut subscriptions, 1)),
            (1, vec![(0, Step::Owed)])
        );
    }

    #[test]
    fn bounds_hold_for_each_connection_and_for_the_core() {
        let mut subscriptions = Subscriptions::new(2, 3);
        assert_eq!(subscriptions.subscribe(0, module(1)), Ok(()));
        assert_eq!(subscriptions.subscribe(0, module(2)), Ok(()));
        assert_eq!(subscriptions.subscribe(0, module(3)), Err(Full::Connection));
        assert_eq!(subscriptions.subscribe(1, module(3)), Ok(()));
        assert_eq!(subscriptions.subscribe(2, module(3)), Err(Full::Core));
        subscriptions.close(0);
        assert_eq!(subscriptions.subscribe(2, module(3)), Ok(()));
    }

    #[test]
    fn modules_without_subscribers_cost_nothing_that_lasts() {
        let mut subscriptions = Subscriptions::new(10, 10);
        for cmdid in 0..10_000 {
            assert_eq!(subscriptions.subscribe(3, module(cmdid)), Ok(()));
            subscriptions.unsubscribe(3, module(cmdid));
        }
        assert_eq!(
            (
                subscriptions.len(),
                subscriptions.modules(),
                subscriptions.modules.len()
            ),
            (0, 0, 1)
        );
    }

    /// A simple set says what the compact form must say.
    #[test]
    fn random_subscriptions_agree_with_a_plain_set() {
        let seed = std::env::var("LARS_SEED")
            .ok()
            .and_then(|seed| seed.parse().ok())
            .unwrap_or_else(|| fastrand::u64(..));
        println!("LARS_SEED={seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let mut subscriptions = Subscriptions::new(16, 1_000);
        let mut plain: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
        for _ in 0..20_000 {
            let (slot, cmdid) = (random.u32(..20), random.u32(..30));
            match random.u32(..20) {
                0 => {
                    subscriptions.close(slot);
                    for slots in plain.values_mut() {
                        slots.remove(&slot);
                    }
                }
                1..8 => {
                    subscriptions.unsubscribe(slot, module(cmdid));
                    plain.entry(cmdid).or_default().remove(&slot);
                }
                8..18 => {
                    if subscriptions.subscribe(slot, module(cmdid)).is_ok() {
                        plain.entry(cmdid).or_default().insert(slot);
                    }
                }
                _ => {
                    let slots: Vec<u32> = pushed(&mut subscriptions, cmdid)
                        .iter()
                        .map(|pushed| pushed.0)
                        .collect();
                    let expected: Vec<u32> = plain.entry(cmdid).or_default().iter().copied().collect();
                    assert_eq!(slots, expected);
                }
            }
            assert_eq!(
                subscriptions.len(),
                plain.values().map(BTreeSet::len).sum::<usize>()
            );
            assert_eq!(
                subscriptions.modules(),
                plain.values().filter(|slots| !slots.is_empty()).count()
            );
            assert_eq!(
                subscriptions.is_subscribed(slot, module(cmdid)),
                plain.get(&cmdid).is_some_and(|slots| slots.contains(&slot))
            );
        }
    }
}
