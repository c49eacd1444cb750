//! Queues into a core: one for each producer, so that no two threads ever write one line of memory.
//!
//! [`queue()`] moves the mail, a [`Waker`] ends the core's sleep when there is some, and a [`Mailer`] is the two
//! together for threads outside the cores.

mod queue;
mod waker;

pub use queue::{Consumer, Producer, queue};
pub use waker::Waker;

/// A single producer's end of a queue into one core, for threads outside the cores. `Send`, not `Clone`.
#[derive(Debug)]
pub struct Mailer<M> {
    producer: Producer<M>,
    waker: Waker,
}

impl<M> Mailer<M> {
    /// Joins a queue to the waker of the core that empties it.
    pub fn new(producer: Producer<M>, waker: Waker) -> Self {
        Self { producer, waker }
    }

    /// Puts mail into the queue and wakes the core if it sleeps. Gives the mail back when the queue is full: try
    /// again in a moment, the core is busy.
    pub fn send(&mut self, mail: M) -> Result<(), M> {
        self.producer.push(mail)?;
        self.waker.wake();
        Ok(())
    }

    /// Whether the core is gone: what is sent now, or was sent and not yet taken, reaches nobody.
    pub fn is_abandoned(&self) -> bool {
        self.producer.is_abandoned()
    }
}
