//! What arrived on one connection and is not yet handled: slots as they came, and one buffer in which a frame that
//! came in pieces is put together.

use super::backend::Backend;
use super::memory::Memory;
use super::slots::Inbound;
use crate::buffers::{Buffer, BufferClass, HEAP_BUFFER_BYTES_MAX};
use std::collections::VecDeque;

/// With this much unhandled a connection's receive is stopped: one whole frame of the largest size.
pub(crate) const UNHANDLED_BYTES_MAX: usize = BufferClass::Large.bytes();
/// Bytes that a handler is shown at most without taking any: a frame is no longer.
pub(crate) const FRAME_BYTES_MAX: usize = BufferClass::Large.bytes();

/// A piece of what arrived.
#[derive(Debug)]
enum Piece {
    /// Where the kernel put it.
    Slot(Inbound),
    /// Elsewhere, because the slot was needed.
    Parked(Buffer),
}

impl Piece {
    fn bytes<'a>(&'a self, backend: &'a impl Backend) -> &'a [u8] {
        match self {
            Self::Slot(inbound) => backend.bytes(inbound),
            Self::Parked(buffer) => buffer.data(),
        }
    }

    fn consume(&mut self, bytes: usize) {
        match self {
            Self::Slot(inbound) => inbound.consume(bytes),
            Self::Parked(buffer) => buffer.consume(bytes),
        }
    }

    fn is_slot(&self) -> bool {
        matches!(self, Self::Slot(_))
    }
}

/// One connection's unhandled bytes.
#[derive(Debug, Default)]
pub(crate) struct Inflow {
    /// The oldest bytes, contiguous.
    carry: Option<Buffer>,
    /// What came behind them.
    held: VecDeque<Piece>,
    held_bytes: usize,
    /// The oldest bytes can be shown without anything new: the handler left whole frames in them, or has not seen all
    /// of them.
    more: bool,
}

/// The oldest unhandled bytes, taken out while the handler looks at them.
#[derive(Debug)]
pub(crate) enum View {
    Carry(Buffer),
    Slot(Inbound),
}

/// What [`Inflow::take`] found.
#[derive(Debug)]
pub(crate) enum Taken {
    /// Show this, and give it to [`Inflow::put_back`].
    View(View),
    /// There is nothing that the handler did not see.
    Nothing,
    /// There is, but no memory to put it behind what it belongs to.
    NoMemory,
}

impl View {
    pub(crate) fn bytes<'a>(&'a self, backend: &'a impl Backend) -> &'a [u8] {
        match self {
            Self::Carry(buffer) => buffer.data(),
            Self::Slot(inbound) => backend.bytes(inbound),
        }
    }
}

/// Which memory bytes may be copied to.
type Lend = fn(&Memory, usize) -> Option<Buffer>;

impl Inflow {
    /// Keeps what arrived, behind what is kept already.
    pub(crate) fn hold(&mut self, inbound: Inbound) {
        self.held_bytes += inbound.len();
        self.held.push_back(Piece::Slot(inbound));
    }

    pub(crate) fn unhandled(&self) -> usize {
        self.held_bytes + self.carry.as_ref().map_or(0, Buffer::len)
    }

    /// Whether slots are kept.
    pub(crate) fn holds_slots(&self) -> bool {
        self.held.iter().any(Piece::is_slot)
    }

    /// Whether there is something to show without anything new.
    pub(crate) fn has_more(&self) -> bool {
        self.more
    }

    /// The oldest bytes, together with the next that arrived where the handler has seen all of the oldest before.
    pub(crate) fn take(&mut self, memory: &Memory, backend: &mut impl Backend) -> Taken {
        if !self.more && self.held.is_empty() {
            return Taken::Nothing;
        }
        if self.carry.is_some() {
            if !self.more && !self.join(memory, Memory::for_frame, backend) {
                return Taken::NoMemory;
            }
            return self
                .carry
                .take()
                .map_or(Taken::Nothing, |carry| Taken::View(View::Carry(carry)));
        }
        let Some(piece) = self.held.pop_front() else {
            return Taken::Nothing;
        };
        self.held_bytes -= piece.bytes(backend).len();
        Taken::View(match piece {
            Piece::Slot(inbound) => View::Slot(inbound),
            Piece::Parked(buffer) => View::Carry(buffer),
        })
    }

    /// Takes back what the handler left of a view: `more` says that it left whole frames. Returns false where there
    /// was no memory to free the slot: it is then shown again.
    pub(crate) fn put_back(
        &mut self,
        view: View,
        consumed: usize,
        more: bool,
        memory: &Memory,
        backend: &mut impl Backend,
    ) -> bool {
        self.more = more;
        match view {
            View::Carry(mut carry) => {
                carry.consume(consumed.min(carry.len()));
                if carry.is_empty() {
                    self.more = false;
                } else {
                    self.carry = Some(carry);
                }
                true
            }
            View::Slot(mut inbound) => {
                inbound.consume(consumed.min(inbound.len()));
                if inbound.is_empty() {
                    self.more = false;
                    backend.release(inbound);
                    return true;
                }
                self.held_bytes += inbound.len();
                self.held.push_front(Piece::Slot(inbound));
                more || self.join(memory, Memory::for_frame, backend)
            }
        }
    }

    /// Copies what the slots hold elsewhere, as far as there is memory, and gives the slots back: others need them
    /// while this connection waits. Returns whether all were freed.
    pub(crate) fn evacuate(&mut self, memory: &Memory, backend: &mut impl Backend) -> bool {
        while self.holds_slots() && self.join(memory, Memory::for_waiting, backend) {
            // The handler has not seen these.
            self.more = true;
        }
        for piece in &mut self.held {
            let Piece::Slot(inbound) = piece else { continue };
            let Some(mut parked) = memory.for_parking(inbound.len()) else {
                return false;
            };
            parked.put(backend.bytes(inbound));
            if let Piece::Slot(inbound) = std::mem::replace(piece, Piece::Parked(parked)) {
                backend.release(inbound);
            }
        }
        true
    }

    /// Gives everything back.
    pub(crate) fn discard(&mut self, backend: &mut impl Backend) {
        for piece in self.held.drain(..) {
            if let Piece::Slot(inbound) = piece {
                backend.release(inbound);
            }
        }
        (self.carry, self.held_bytes, self.more) = (None, 0, false);
    }

    /// Copies the first piece behind the carried bytes, or as much of it as there is memory for. Returns whether
    /// anything was copied.
    fn join(&mut self, memory: &Memory, lend: Lend, backend: &mut impl Backend) -> bool {
        let Some(piece) = self.held.front_mut() else {
            return false;
        };
        let bytes = piece.bytes(backend);
        make_room(&mut self.carry, bytes.len(), |bytes| lend(memory, bytes));
        let Some(carry) = &mut self.carry else {
            return false;
        };
        let whole = bytes.len();
        let copied = carry.put(bytes);
        piece.consume(copied);
        self.held_bytes -= copied;
        if copied == whole
            && let Some(Piece::Slot(inbound)) = self.held.pop_front()
        {
            backend.release(inbound);
        }
        copied > 0
    }
}

/// Makes room for `bytes` behind the carried ones, as far as the pool can: by moving them to the front, or into a
/// larger buffer.
fn make_room(carry: &mut Option<Buffer>, bytes: usize, lend: impl Fn(usize) -> Option<Buffer>) {
    let Some(old) = carry else {
        *carry = lend(bytes);
        return;
    };
    if old.spare_mut().len() >= bytes {
        return;
    }
    let total = old.len() + bytes;
    if total > old.capacity()
        && let Some(mut larger) = lend(total.min(HEAP_BUFFER_BYTES_MAX))
        && larger.capacity() > old.capacity()
    {
        larger.put(old.data());
        *carry = Some(larger);
        return;
    }
    old.compact();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffers::{BufferPool, BufferPoolConfig};
    use crate::epoll::EpollBackend;
    use std::io::Write;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    const CONFIG: BufferPoolConfig = BufferPoolConfig {
        small: 8,
        medium: 1,
        large: 1,
        heap_max: 1,
    };

    /// A backend whose slots are filled through a real socket, since only a backend makes an [`Inbound`].
    fn inbounds(pieces: &[&[u8]]) -> (EpollBackend, Memory, Vec<Inbound>) {
        let pool = BufferPool::new(&CONFIG).expect("a small arena is mapped");
        let mut backend = EpollBackend::new(&pool, 4).expect("epoll works");
        let (mut ours, theirs) = UnixStream::pair().expect("a pair of sockets");
        let all = pieces
            .iter()
            .map(|piece| {
                ours.write_all(piece).expect("the peer lives");
                backend
                    .read_slot(theirs.as_raw_fd())
                    .expect("a slot is free")
                    .expect("bytes are there")
            })
            .collect();
        (backend, Memory::new(pool).expect("small arenas are mapped"), all)
    }

    fn take(inflow: &mut Inflow, memory: &Memory, backend: &mut EpollBackend) -> View {
        match inflow.take(memory, backend) {
            Taken::View(view) => view,
            other => panic!("there should be a view, not {other:?}"),
        }
    }

    #[test]
    fn frame_in_pieces_is_put_together_and_its_slots_are_freed() {
        let (mut backend, memory, pieces) = inbounds(&[b"on", b"etw", b"o"]);
        let mut inflow = Inflow::default();
        for (inbound, expected) in pieces.into_iter().zip([b"on".as_slice(), b"onetw", b"two"]) {
            inflow.hold(inbound);
            let view = take(&mut inflow, &memory, &mut backend);
            assert_eq!(view.bytes(&backend), expected);
            let consumed = expected.len() / 3 * 3 * usize::from(expected != b"on");
            assert!(inflow.put_back(view, consumed, false, &memory, &mut backend));
        }
        assert_eq!((inflow.unhandled(), backend.slots_free()), (0, backend.slots()));
        assert!(matches!(inflow.take(&memory, &mut backend), Taken::Nothing));
    }

    #[test]
    fn frames_left_over_are_shown_before_what_came_behind() {
        let (mut backend, memory, pieces) = inbounds(&[b"aabb", b"cc"]);
        let mut inflow = Inflow::default();
        for inbound in pieces {
            inflow.hold(inbound);
        }
        let view = take(&mut inflow, &memory, &mut backend);
        assert!(inflow.put_back(view, 2, true, &memory, &mut backend));
        assert!(inflow.evacuate(&memory, &mut backend), "there is memory");
        assert_eq!((backend.slots_free(), inflow.unhandled()), (backend.slots(), 4));
        let view = take(&mut inflow, &memory, &mut backend);
        assert_eq!(view.bytes(&backend), b"bbcc");
    }

    #[test]
    fn nothing_is_lost_while_memory_is_exhausted() {
        let (mut backend, memory, pieces) = inbounds(&[b"ab", b"cd"]);
        let mut inflow = Inflow::default();
        let mut lent: Vec<_> = std::iter::from_fn(|| memory.for_waiting(1)).collect();
        for inbound in pieces {
            inflow.hold(inbound);
        }
        // A reserve takes what the pool cannot.
        assert!(inflow.evacuate(&memory, &mut backend));
        assert_eq!((backend.slots_free(), inflow.unhandled()), (backend.slots(), 4));
        let view = take(&mut inflow, &memory, &mut backend);
        assert!(inflow.put_back(view, 1, false, &memory, &mut backend));
        let view = take(&mut inflow, &memory, &mut backend);
        assert_eq!(view.bytes(&backend), b"bcd");
        inflow.put_back(view, 0, false, &memory, &mut backend);

        // With no reserve either, everything stays where it is.
        let (mut backend, memory, pieces) = inbounds(&[b"ab", b"cd"]);
        let mut inflow = Inflow::default();
        lent.extend(std::iter::from_fn(|| memory.for_frame(1)));
        lent.extend(std::iter::from_fn(|| memory.for_parking(1)));
        for inbound in pieces {
            inflow.hold(inbound);
        }
        let view = take(&mut inflow, &memory, &mut backend);
        assert!(
            !inflow.put_back(view, 1, false, &memory, &mut backend),
            "no memory for the rest"
        );
        assert!(!inflow.evacuate(&memory, &mut backend));
        assert_eq!(
            (backend.slots_free(), inflow.unhandled()),
            (backend.slots() - 2, 3)
        );
        drop(lent);
        assert!(inflow.evacuate(&memory, &mut backend));
        assert_eq!((backend.slots_free(), inflow.unhandled()), (backend.slots(), 3));
        inflow.discard(&mut backend);
        assert_eq!(inflow.unhandled(), 0);
    }
}
