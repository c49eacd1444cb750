//! Probes that owners want made by callers with the board: each goes to the ring that has reported most calls of its
//! module since the last pass, to another where that one's thread does not take it, and back to its owner where nobody
//! does. So the thread that is most likely to call next makes it, and never two of them.

use crate::stats::CallerCounts;
use hashbrown::HashMap;
use lars_board::{Grant, NodeSlot, RingDrain};
use lars_wire::ModuleId;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Grants that wait for the next pass at most; further ones are made by the cores' own callers.
const WAITING_MAX: usize = 1_024;
/// Modules whose probe is open at a time. What is looked up for each record while there are any stays in a cache.
const OPEN_MAX: usize = 4_096;
/// Passes within which a ring's thread takes its grant, or loses it.
const TAKEN_WITHIN: u8 = 2;
/// Passes within which somebody calls the module at all.
const CALLED_WITHIN: u8 = 4;

/// Where owners put their grants.
#[derive(Clone)]
pub(crate) struct GrantTray {
    put: SyncSender<Grant>,
    counts: Arc<CallerCounts>,
}

impl GrantTray {
    /// Whether it is taken: not where no caller has a ring, nor where there is no room.
    pub(crate) fn put(&self, grant: Grant) -> bool {
        self.counts.rings.get() > 0 && self.put.try_send(grant).is_ok()
    }
}

/// A tray, and what takes from it.
pub(crate) fn tray(counts: Arc<CallerCounts>) -> (GrantTray, Grants) {
    let (put, waiting) = sync_channel(WAITING_MAX);
    let grants = Grants {
        waiting,
        open: HashMap::new(),
    };
    (GrantTray { put, counts }, grants)
}

/// Tells rings apart for as long as the agent lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RingNumber(pub(super) u64);

/// A ring as this thread keeps it.
pub(super) struct Ring {
    pub(super) number: RingNumber,
    pub(super) drain: RingDrain,
    /// Whether it holds a grant that its thread has not taken.
    holds: bool,
}

impl Ring {
    pub(super) fn new(number: RingNumber, drain: RingDrain) -> Self {
        let holds = false;
        Self { number, drain, holds }
    }
}

/// One module's probe.
#[derive(Debug)]
struct Open {
    node: NodeSlot,
    /// The ring that has it, and for how many passes.
    given: Option<(RingNumber, u8)>,
    /// The ring that had it and did not take it.
    passed_over: Option<RingNumber>,
    /// Passes in which it was with no ring.
    idle: u8,
    /// Calls of the module in this pass by ring.
    calls: Vec<(RingNumber, u64)>,
}

/// Grants under way.
pub(crate) struct Grants {
    waiting: Receiver<Grant>,
    open: HashMap<ModuleId, Open>,
}

impl Grants {
    /// Whether nothing is under way: then no call need be told.
    pub(super) fn is_idle(&self) -> bool {
        self.open.is_empty()
    }

    /// Takes in what owners want. What there is no room for goes back at once.
    pub(super) fn take_in(&mut self, mut back: impl FnMut(Grant)) {
        while let Ok(Grant { module, node }) = self.waiting.try_recv() {
            if self.open.len() >= OPEN_MAX && !self.open.contains_key(&module) {
                back(Grant { module, node });
                continue;
            }
            let open = self.open.entry(module).or_insert_with(|| Open {
                node,
                given: None,
                passed_over: None,
                idle: 0,
                calls: Vec::new(),
            });
            // A newer wish replaces one that nobody has taken; the ring that has it is told with the next pass.
            (open.node, open.idle) = (node, 0);
            if let Some((_, passes)) = &mut open.given {
                *passes = TAKEN_WITHIN;
            }
        }
    }

    /// A ring has reported calls of a module.
    #[inline]
    pub(super) fn called(&mut self, ring: RingNumber, module: ModuleId, calls: u32) {
        if let Some(open) = self.open.get_mut(&module) {
            match open.calls.iter_mut().find(|(number, _)| *number == ring) {
                Some((_, sum)) => *sum += u64::from(calls),
                None => open.calls.push((ring, u64::from(calls))),
            }
        }
    }

    /// Behind a pass: gives what is open to the busiest rings, and `back` what nobody takes.
    pub(super) fn settle<'a>(
        &mut self,
        rings: impl Iterator<Item = &'a mut Ring>,
        mut back: impl FnMut(Grant),
    ) {
        if self.open.is_empty() {
            return;
        }
        let mut rings: Vec<&mut Ring> = rings.collect();
        self.open.retain(|&module, open| {
            if open.is_taken(&mut rings) {
                return false;
            }
            if open.given.is_none() {
                open.give(module, &mut rings);
            }
            open.calls.clear();
            let is_over = open.given.is_none() && open.idle >= CALLED_WITHIN;
            if is_over {
                back(Grant {
                    module,
                    node: open.node,
                });
            }
            !is_over
        });
    }
}

impl Open {
    /// Whether the ring that has it has taken it. Takes it back from one that did not in time, or is gone.
    fn is_taken(&mut self, rings: &mut [&mut Ring]) -> bool {
        let Some((number, passes)) = &mut self.given else {
            return false;
        };
        let ring = rings.iter_mut().find(|ring| ring.number == *number);
        match ring {
            Some(ring) if ring.drain.is_taken() => {
                ring.holds = false;
                return true;
            }
            Some(_) if *passes < TAKEN_WITHIN => *passes += 1,
            Some(ring) => {
                ring.drain.revoke();
                ring.holds = false;
                (self.passed_over, self.given) = (Some(*number), None);
            }
            None => self.given = None,
        }
        false
    }

    /// Gives it to the ring with most calls in this pass that holds none.
    fn give(&mut self, module: ModuleId, rings: &mut [&mut Ring]) {
        let is_free = |number: RingNumber| rings.iter().any(|ring| ring.number == number && !ring.holds);
        let busiest = self
            .calls
            .iter()
            .filter(|(number, _)| Some(*number) != self.passed_over && is_free(*number))
            .max_by_key(|(_, calls)| *calls)
            .map(|(number, _)| *number);
        let ring = busiest.and_then(|number| rings.iter_mut().find(|ring| ring.number == number));
        match ring {
            Some(ring) => {
                let node = self.node;
                ring.drain.grant(Grant { module, node });
                ring.holds = true;
                self.given = Some((ring.number, 0));
            }
            // The one that did not take it may be the only one: it gets another chance.
            None => (self.idle, self.passed_over) = (self.idle + 1, None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lars_board::RingWriter;

    const MODULE: ModuleId = ModuleId::new(1, 1);

    /// A tray of an agent whose callers have rings.
    fn open_tray() -> (GrantTray, Grants) {
        let counts = Arc::new(CallerCounts::default());
        counts.rings.set(2);
        tray(counts)
    }

    fn wish(node: u32) -> Grant {
        let node = NodeSlot::new(node);
        Grant { module: MODULE, node }
    }

    /// Two callers' threads, and the agent's ends of their rings.
    fn rings() -> (Vec<RingWriter>, Vec<Ring>) {
        let writers: Vec<RingWriter> = (0..2).map(|_| RingWriter::create(64).expect("memory")).collect();
        let ring = |(number, writer): (u64, &RingWriter)| {
            let file = writer.file().try_clone_to_owned().expect("another descriptor");
            Ring::new(RingNumber(number), RingDrain::adopt(file).expect("a ring"))
        };
        let rings = (0..).zip(&writers).map(ring).collect();
        (writers, rings)
    }

    /// A pass in which the rings report so many calls; what goes back to the owner.
    fn pass(grants: &mut Grants, rings: &mut [Ring], calls: [u32; 2]) -> Vec<Grant> {
        let mut back = Vec::new();
        grants.take_in(|grant| back.push(grant));
        for (ring, calls) in rings.iter().zip(calls).filter(|(_, calls)| *calls > 0) {
            grants.called(ring.number, MODULE, calls);
        }
        grants.settle(rings.iter_mut(), |grant| back.push(grant));
        back
    }

    #[test]
    fn busiest_ring_gets_the_probe_and_once_taken_nobody_else_does() {
        let ((tray, mut grants), (mut writers, mut rings)) = (open_tray(), rings());
        assert!(tray.put(wish(3)));
        assert!(pass(&mut grants, &mut rings, [5, 9]).is_empty());
        assert_eq!(writers[0].granted(), None);
        assert_eq!(writers[1].granted(), Some(wish(3)));
        for _ in 0..10 {
            assert!(pass(&mut grants, &mut rings, [5, 9]).is_empty());
            assert!(writers.iter_mut().all(|writer| writer.granted().is_none()));
        }
        assert!(grants.is_idle());
    }

    #[test]
    fn probe_that_is_not_taken_goes_to_another_ring() {
        let ((tray, mut grants), (mut writers, mut rings)) = (open_tray(), rings());
        assert!(tray.put(wish(3)));
        for _ in 0..=TAKEN_WITHIN {
            assert!(pass(&mut grants, &mut rings, [5, 9]).is_empty());
        }
        assert!(pass(&mut grants, &mut rings, [5, 9]).is_empty());
        assert_eq!(writers[1].granted(), None, "it was taken back");
        assert_eq!(writers[0].granted(), Some(wish(3)));
        assert!(pass(&mut grants, &mut rings, [5, 9]).is_empty() && grants.is_idle());
    }

    #[test]
    fn probe_of_a_module_that_no_ring_calls_goes_back_to_its_owner() {
        let ((tray, mut grants), (mut writers, mut rings)) = (open_tray(), rings());
        assert!(tray.put(wish(3)));
        let backs: Vec<_> = (0..10)
            .flat_map(|_| pass(&mut grants, &mut rings, [0, 0]))
            .collect();
        assert_eq!(backs, [wish(3)]);
        assert!(grants.is_idle() && writers.iter_mut().all(|writer| writer.granted().is_none()));
    }

    #[test]
    fn probe_goes_on_when_its_ring_is_gone() {
        let ((tray, mut grants), (mut writers, mut rings)) = (open_tray(), rings());
        assert!(tray.put(wish(3)));
        pass(&mut grants, &mut rings, [5, 9]);
        rings.pop();
        for _ in 0..2 {
            assert!(pass(&mut grants, &mut rings, [1, 0]).is_empty());
        }
        assert_eq!(writers[0].granted(), Some(wish(3)));
    }

    #[test]
    fn newer_wish_replaces_one_that_nobody_has_taken() {
        let ((tray, mut grants), (mut writers, mut rings)) = (open_tray(), rings());
        assert!(tray.put(wish(3)));
        pass(&mut grants, &mut rings, [5, 0]);
        assert!(tray.put(wish(4)));
        for _ in 0..3 {
            pass(&mut grants, &mut rings, [5, 0]);
        }
        assert_eq!(writers[0].granted(), Some(wish(4)));
    }
}
