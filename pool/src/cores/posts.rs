//! Mail and connections from core to core: a matrix of queues with one producer and one consumer each; what does not
//! fit is held back by the sender, in order.

use crate::handler::{CoreIndex, Peer};
use crate::mail::{Consumer, Producer, Waker, queue};
use std::collections::VecDeque;
use std::os::fd::OwnedFd;

/// Places of the queue from one core to another: several turns of reports at full speed.
const POSTS_MAX: usize = 2048;
/// With more than this held back the sender takes no bytes from its connections.
const HELD_BACK_MAX: usize = 4096;

/// What goes from core to core.
pub(crate) enum Parcel<M> {
    /// A handler's.
    Mail(M),
    /// A connection to be served by the receiver.
    Connection(Handed),
}

/// An accepted connection on its way to its core.
#[derive(Debug)]
pub(crate) struct Handed {
    pub(crate) socket: OwnedFd,
    pub(crate) peer: Peer,
    pub(crate) tag: u16,
}

/// The way to one other core.
struct Outlet<M> {
    producer: Producer<Parcel<M>>,
    waker: Waker,
    /// What did not fit, oldest first.
    backlog: VecDeque<Parcel<M>>,
    /// Something was pushed since the core was last woken.
    touched: bool,
}

/// What one core sends to the others, and to itself.
pub(crate) struct Posts<M> {
    outlets: Vec<Option<Outlet<M>>>,
    own: VecDeque<M>,
    held_back: usize,
}

impl<M> Outlet<M> {
    fn push(&mut self, parcel: Parcel<M>) -> bool {
        self.touched = true;
        if !self.backlog.is_empty() {
            self.backlog.push_back(parcel);
            return false;
        }
        match self.producer.push(parcel) {
            Ok(()) => true,
            Err(parcel) => {
                self.backlog.push_back(parcel);
                false
            }
        }
    }

    /// Moves what was held back as far as it fits. Returns how many.
    fn retry(&mut self) -> usize {
        let before = self.backlog.len();
        while let Some(parcel) = self.backlog.pop_front() {
            if let Err(parcel) = self.producer.push(parcel) {
                self.backlog.push_front(parcel);
                break;
            }
            self.touched = true;
        }
        before - self.backlog.len()
    }
}

impl<M> Posts<M> {
    /// The queues between all cores: for each core its sending side and its receiving ends.
    pub(crate) fn matrix(wakers: &[Waker]) -> Vec<(Self, Vec<Consumer<Parcel<M>>>)> {
        let mut receiving: Vec<Vec<Consumer<Parcel<M>>>> = wakers.iter().map(|_| Vec::new()).collect();
        let mut sending = Vec::new();
        for from in 0..wakers.len() {
            let outlet = |(to, waker): (usize, &Waker)| {
                (to != from).then(|| {
                    let (producer, consumer) = queue(POSTS_MAX);
                    receiving[to].push(consumer);
                    Outlet {
                        producer,
                        waker: waker.clone(),
                        backlog: VecDeque::new(),
                        touched: false,
                    }
                })
            };
            let outlets = wakers.iter().enumerate().map(outlet).collect();
            sending.push(Self {
                outlets,
                own: VecDeque::new(),
                held_back: 0,
            });
        }
        sending.into_iter().zip(receiving).collect()
    }

    /// Sends to another core, or puts into this core's own next turn.
    pub(crate) fn mail(&mut self, to: CoreIndex, mail: M) {
        match &mut self.outlets[usize::from(to.0)] {
            Some(outlet) => self.held_back += usize::from(!outlet.push(Parcel::Mail(mail))),
            None => self.own.push_back(mail),
        }
    }

    /// Hands a connection to another core; gives it back where `to` is this one.
    pub(crate) fn hand(&mut self, to: CoreIndex, handed: Handed) -> Option<Handed> {
        let Some(outlet) = &mut self.outlets[usize::from(to.0)] else {
            return Some(handed);
        };
        self.held_back += usize::from(!outlet.push(Parcel::Connection(handed)));
        None
    }

    /// What this core sent itself before now.
    pub(crate) fn take_own(&mut self) -> VecDeque<M> {
        std::mem::take(&mut self.own)
    }

    pub(crate) fn has_own(&self) -> bool {
        !self.own.is_empty()
    }

    /// Moves what was held back, and wakes the cores that have something new.
    pub(crate) fn settle(&mut self) {
        for outlet in self.outlets.iter_mut().flatten() {
            if !outlet.backlog.is_empty() {
                self.held_back -= outlet.retry();
            }
            if std::mem::take(&mut outlet.touched) {
                outlet.waker.wake();
            }
        }
    }

    /// How much is held back.
    pub(crate) fn held_back(&self) -> usize {
        self.held_back
    }

    /// Whether so much is held back that nothing may be added from outside.
    pub(crate) fn is_over(&self) -> bool {
        self.held_back > HELD_BACK_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(consumer: &mut Consumer<Parcel<usize>>, max: usize, into: &mut Vec<usize>) {
        consumer.drain(max, |parcel| match parcel {
            Parcel::Mail(mail) => into.push(mail),
            Parcel::Connection(_) => panic!("no connection was handed"),
        });
    }

    /// How often a core was woken since it last slept.
    fn wakes(waker: &Waker) -> u64 {
        let mut count = [0; 8];
        let fd = std::os::fd::AsRawFd::as_raw_fd(&waker.fd());
        // SAFETY: eight bytes are written to `count`, which lives as long.
        let read = unsafe { libc::read(fd, count.as_mut_ptr().cast(), count.len()) };
        if read == 8 { u64::from_ne_bytes(count) } else { 0 }
    }

    #[test]
    fn core_that_sleeps_is_woken_once_for_all_mail_of_a_turn_and_one_that_is_awake_never() {
        let wakers = [(); 2].map(|()| Waker::new().expect("an eventfd"));
        let (mut posts, _) = Posts::<usize>::matrix(&wakers).swap_remove(0);
        let mut turn = || {
            (0..100).for_each(|mail| posts.mail(CoreIndex(1), mail));
            let early = wakes(&wakers[1]);
            posts.settle();
            (early, wakes(&wakers[1]))
        };
        assert_eq!(turn(), (0, 0), "it is awake");
        wakers[1].prepare_sleep();
        assert_eq!(turn(), (0, 1), "it sleeps");
        assert_eq!(turn(), (0, 0), "it was woken before");
    }

    #[test]
    fn order_is_kept_through_a_full_queue() {
        let wakers = [
            Waker::new().expect("an eventfd"),
            Waker::new().expect("an eventfd"),
        ];
        let mut matrix = Posts::<usize>::matrix(&wakers);
        let (_, mut receiving) = matrix.pop().expect("two cores");
        let (mut posts, _) = matrix.pop().expect("two cores");
        let total = POSTS_MAX + HELD_BACK_MAX + 10;
        for mail in 0..total {
            posts.mail(CoreIndex(1), mail);
        }
        assert!(posts.is_over());
        let mut seen = Vec::new();
        while seen.len() < total {
            drain(&mut receiving[0], 1000, &mut seen);
            posts.mail(CoreIndex(0), 7);
            posts.settle();
        }
        assert!(seen.iter().copied().eq(0..total));
        assert_eq!(posts.held_back(), 0);
        assert!(posts.take_own().iter().all(|mail| *mail == 7));
    }
}
