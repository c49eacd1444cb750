//! What is to be written to a link: gathered in one buffer and written by one task, so that nobody waits for a peer.

use bytes::Bytes;
use lars_pool::control::LinkWriter;
use lars_wire::bounds::FRAME_BYTES_MAX;
use lars_wire::{Message, PREFACE, codec};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use tokio::sync::Notify;

/// Bytes that may wait for a peer that does not read. Every subscription of an agent with a million modules is
/// 28 MB; more than that has no use: the link is ended and set up anew.
const QUEUED_BYTES_MAX: usize = 64 << 20;

struct Inner {
    queued: RefCell<Vec<u8>>,
    scratch: RefCell<Box<[u8]>>,
    wake: Notify,
    ended: Cell<bool>,
    writer: LinkWriter,
}

/// The writing side of one connection. Clones write to the same one.
#[derive(Clone)]
pub(super) struct Outflow {
    inner: Rc<Inner>,
}

impl Outflow {
    /// Starts the task that writes; what it writes first is the preface.
    pub(super) fn start(writer: LinkWriter) -> Self {
        let outflow = Self {
            inner: Rc::new(Inner {
                queued: RefCell::new(PREFACE.to_vec()),
                scratch: RefCell::new(vec![0; FRAME_BYTES_MAX].into_boxed_slice()),
                wake: Notify::new(),
                ended: Cell::new(false),
                writer,
            }),
        };
        tokio::task::spawn_local(outflow.clone().write());
        outflow.inner.wake.notify_one();
        outflow
    }

    /// Queues a message. What a link that ended does not take is said again on the next one.
    pub(super) fn send<M: Message>(&self, message: &M, sequence: u32) {
        if self.inner.ended.get() {
            return;
        }
        let mut scratch = self.inner.scratch.borrow_mut();
        let mut queued = self.inner.queued.borrow_mut();
        match codec::encode(message, sequence, &mut scratch) {
            Ok(bytes) => queued.extend_from_slice(&scratch[..bytes]),
            Err(error) => {
                debug_assert!(false, "{error}");
                tracing::error!(%error, "a message is left out: a bound of ours was not kept");
            }
        }
        let too_much = queued.len() > QUEUED_BYTES_MAX;
        drop(queued);
        if too_much {
            tracing::warn!("a link is ended: the other side does not read");
            self.end();
        }
        self.inner.wake.notify_one();
    }

    /// Ends the connection: whoever reads from it sees its end.
    pub(super) fn end(&self) {
        if !self.inner.ended.replace(true) {
            self.inner.writer.shutdown();
            self.inner.wake.notify_one();
        }
    }

    async fn write(self) {
        while !self.inner.ended.get() {
            let queued = std::mem::take(&mut *self.inner.queued.borrow_mut());
            if queued.is_empty() {
                self.inner.wake.notified().await;
            } else if self.inner.writer.write_all(Bytes::from(queued)).await.is_err() {
                // The reading side learns the cause; both must end.
                self.end();
            }
        }
    }
}
