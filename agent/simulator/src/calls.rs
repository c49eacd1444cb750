//! The calls under way. A call is forgotten when both its caller and its node are done with it.

use crate::draw::Draw;

/// The place of a call among those under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CallId(pub(crate) u32);

/// One call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) began: u64,
    pub(crate) agent: u32,
    pub(crate) reader: u32,
    pub(crate) node: u32,
    pub(crate) token: u64,
    pub(crate) draw: Draw,
    /// Whether its report will reach the agent.
    pub(crate) reported: bool,
    /// Whether the caller has its answer, or gave up.
    pub(crate) answered: bool,
    /// How many of its two holders have not let go yet: the time-out that is awaited, and the node.
    pub(crate) held: u8,
}

/// All calls under way.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    calls: Vec<Call>,
    free: Vec<CallId>,
}

impl Calls {
    pub(crate) fn begin(&mut self, call: Call) -> CallId {
        if let Some(id) = self.free.pop() {
            self.calls[id.0 as usize] = call;
            return id;
        }
        self.calls.push(call);
        CallId(self.calls.len() as u32 - 1)
    }

    pub(crate) fn get(&mut self, id: CallId) -> &mut Call {
        &mut self.calls[id.0 as usize]
    }

    /// One of its holders lets go.
    pub(crate) fn release(&mut self, id: CallId) {
        let call = self.get(id);
        call.held -= 1;
        if call.held == 0 {
            self.free.push(id);
        }
    }
}
