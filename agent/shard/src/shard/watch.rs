//! How many nodes are looked at again and again, so that looking takes a bounded part of a core however many modules a host
//! calls: the more there are, the longer from one look at a module to the next.

use std::time::Duration;

/// Nodes looked at in a second. One was measured at 50 to 70 ns, and as much again for memory that is in no cache: some
/// percent of a core. A thousand modules of ten nodes are then looked at every 40 ms, a hundred as often as ever.
const LOOKS_PER_S_MAX: u64 = 250_000;

/// The nodes of all modules that are looked at.
#[derive(Debug, Default)]
pub(super) struct Watch {
    nodes: u64,
}

/// What one module adds to it.
#[derive(Debug, Default)]
pub(super) struct Watched(u32);

impl Watch {
    /// A module of so many nodes is to be looked at; nothing changes where it is already.
    pub(super) fn begin(&mut self, module: &mut Watched, nodes: usize) {
        if module.0 == 0 {
            module.0 = nodes as u32;
            self.nodes += u64::from(module.0);
        }
    }

    /// It is not looked at any more.
    pub(super) fn end(&mut self, module: &mut Watched) {
        self.nodes -= u64::from(std::mem::take(&mut module.0));
    }

    /// The least time between two looks at a module, unless one is urgent.
    pub(super) fn pause(&self) -> Duration {
        Duration::from_micros(self.nodes * 1_000_000 / LOOKS_PER_S_MAX)
    }
}
