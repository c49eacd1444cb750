//! What goes through the kernel with each operation and comes back with its event: 64 bits that say what it was and
//! whose.

use crate::handler::ConnectionId;

/// Most connections of one core: what the token's bits can tell apart.
pub(crate) const SLOTS_MAX: u32 = 1 << 28;

/// What an operation was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// The eventfd of the waker.
    Wake,
    /// A listener, by its number.
    Accept(u16),
    /// A datagram socket, by its number.
    Datagrams(u16),
    /// A receive.
    Receive(ConnectionId),
    /// A send.
    Send(ConnectionId),
    /// A poll for writability.
    Writable(ConnectionId),
    /// Time is up.
    Alarm,
    /// Something whose end nobody waits for.
    Ignored,
}

/// The 64 bits: 4 for the operation, 28 for the slot, 32 for the generation.
pub(crate) fn pack(operation: Operation) -> u64 {
    let of = |code: u64, id: ConnectionId| code << 60 | u64::from(id.slot) << 32 | u64::from(id.generation);
    match operation {
        Operation::Wake => 1 << 60,
        Operation::Accept(listener) => 2 << 60 | u64::from(listener),
        Operation::Receive(id) => of(3, id),
        Operation::Send(id) => of(4, id),
        Operation::Writable(id) => of(5, id),
        Operation::Datagrams(socket) => 6 << 60 | u64::from(socket),
        Operation::Alarm => 7 << 60,
        Operation::Ignored => 0,
    }
}

/// What [`pack`] made.
pub(crate) fn unpack(token: u64) -> Operation {
    let id = ConnectionId {
        slot: (token >> 32) as u32 & (SLOTS_MAX - 1),
        generation: token as u32,
    };
    match token >> 60 {
        1 => Operation::Wake,
        2 => Operation::Accept(token as u16),
        3 => Operation::Receive(id),
        4 => Operation::Send(id),
        5 => Operation::Writable(id),
        6 => Operation::Datagrams(token as u16),
        7 => Operation::Alarm,
        _ => Operation::Ignored,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_comes_back_as_it_was() {
        let id = ConnectionId {
            slot: SLOTS_MAX - 1,
            generation: u32::MAX,
        };
        for operation in [
            Operation::Wake,
            Operation::Accept(u16::MAX),
            Operation::Datagrams(u16::MAX),
            Operation::Receive(id),
            Operation::Send(id),
            Operation::Writable(id),
            Operation::Alarm,
            Operation::Ignored,
        ] {
            assert_eq!(unpack(pack(operation)), operation);
        }
    }
}
