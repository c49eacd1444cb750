//! Queues into a core: one for each producer, so that no two threads ever write one line of memory.

use std::marker::PhantomData;

/// A single producer's end of a queue into one core, for threads outside the cores. `Send`, not `Clone`.
pub struct Mailer<M> {
    todo: PhantomData<M>,
}

impl<M> Mailer<M> {
    /// Puts mail into the queue and wakes the core if it sleeps. Gives the mail back when the queue is full: try
    /// again in a moment, the core is busy.
    pub fn send(&mut self, mail: M) -> Result<(), M> {
        let _ = mail;
        todo!()
    }
}
