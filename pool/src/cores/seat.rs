//! What a core's thread takes with it, and its first steps there: pinned, its pool and its ring made where they are used.

use super::accepting::Listening;
use super::backend::Backend;
use super::connection::Connections;
use super::core_loop::{CoreLoop, Inbox};
use super::datagrams::{BoundDatagrams, Datagrams};
use super::desk::Desk;
use super::memory::Memory;
use super::posts::Posts;
use super::unsent::Unsent;
use super::{IoChoice, IoInUse, IoKind};
use crate::buffers::{BufferPool, BufferPoolConfig, RECEIVE_SMALL};
use crate::epoll::EpollBackend;
use crate::handler::{CoreIndex, Handler};
use crate::ring::RingBackend;
use crate::stats::CoreStats;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

/// With fewer small buffers a core could not receive and answer at the same time.
pub(super) const SMALL_MIN: u32 = 8;

/// Everything one core starts with, apart from its handler.
pub(super) struct Seat<M> {
    pub(super) core: CoreIndex,
    pub(super) processor: Option<core_affinity::CoreId>,
    pub(super) choice: IoChoice,
    pub(super) planned: IoInUse,
    pub(super) buffers: BufferPoolConfig,
    pub(super) busy_poll: Duration,
    pub(super) connections_max: u64,
    pub(super) unsent_bytes_max: usize,
    pub(super) posts: Posts<M>,
    pub(super) inbox: Inbox<M>,
    pub(super) listeners: Vec<Listening>,
    pub(super) datagrams: Vec<BoundDatagrams>,
    pub(super) when_full: Arc<[u8]>,
    pub(super) stats: Arc<[CoreStats]>,
}

/// What a core says when it is ready: how it moves bytes and what people should know, or why it cannot.
pub(super) type Ready = io::Result<(IoKind, String)>;

/// A core's way to move bytes.
enum Chosen {
    Ring(Box<RingBackend>),
    Epoll(EpollBackend),
}

impl<M: Send + 'static> Seat<M> {
    /// The thread's whole life.
    pub(super) fn run<H: Handler<Mail = M>>(self, handler: H, ready: &Sender<Ready>) {
        if let Some(processor) = self.processor
            && !core_affinity::set_for_current(processor)
        {
            tracing::warn!(
                core = self.core.0,
                processor = processor.id,
                "the thread could not be pinned"
            );
        }
        if let Err(error) = block_sigpipe() {
            tracing::warn!(core = self.core.0, %error, "SIGPIPE could not be blocked");
        }
        let made = BufferPool::new(&self.buffers).and_then(|pool| {
            let (chosen, told) = self.choose(&pool)?;
            Ok((Memory::new(pool.clone())?, pool.counters(), chosen, told))
        });
        // Who receives this waits for it; where it gave up, the service stops anyway.
        let (memory, chosen) = match made {
            Ok((memory, counters, chosen, told)) => {
                let kind = match chosen {
                    Chosen::Ring(_) => IoKind::Uring,
                    Chosen::Epoll(_) => IoKind::Epoll,
                };
                // Set once: nobody else has this core's entry.
                let stats = &self.stats[usize::from(self.core.0)];
                let _ = stats.buffers.set(counters);
                let reason = and_told(&self.planned.reason, &told);
                let _ = stats.io.set(IoInUse { kind, reason });
                let _ = ready.send(Ok((kind, told)));
                (memory, chosen)
            }
            Err(error) => {
                let _ = ready.send(Err(error));
                return;
            }
        };
        match chosen {
            Chosen::Ring(backend) => self.serve(*backend, handler, memory),
            Chosen::Epoll(backend) => self.serve(backend, handler, memory),
        }
    }

    fn choose(&self, pool: &BufferPool) -> io::Result<(Chosen, String)> {
        let slots = receive_slots(self.buffers.small);
        if self.planned.kind == IoKind::Uring {
            match RingBackend::open(pool, slots, self.core, Arc::clone(&self.stats)) {
                Ok((ring, told)) => return Ok((Chosen::Ring(Box::new(ring)), told)),
                Err(error) if self.choice == IoChoice::Uring => return Err(error),
                Err(error) => {
                    tracing::warn!(core = self.core.0, reason = %error, "this core has no ring, epoll moves its bytes");
                    let told = format!("core {} is on epoll: {error}", self.core.0);
                    return Ok((Chosen::Epoll(EpollBackend::new(pool, slots)?), told));
                }
            }
        }
        Ok((Chosen::Epoll(EpollBackend::new(pool, slots)?), String::new()))
    }

    fn serve<H: Handler<Mail = M>>(self, backend: impl Backend, handler: H, memory: Memory) {
        let desk = Desk {
            core: self.core,
            connections: Connections::default(),
            memory,
            unsent: Unsent::new(self.unsent_bytes_max),
            posts: self.posts,
            dirty: Vec::new(),
            all_stats: self.stats,
        };
        let mut core = CoreLoop::new(
            backend,
            handler,
            desk,
            self.inbox,
            self.listeners,
            self.datagrams.into_iter().map(Datagrams::new).collect(),
            self.connections_max,
        );
        core.when_full = self.when_full;
        core.busy_poll = self.busy_poll;
        if let Err(error) = core.run() {
            tracing::error!(core = self.core.0, %error, "the core ends: the kernel refuses to wait");
        }
    }
}

/// A fixed write to a peer that is gone raises SIGPIPE on this thread, and no flag of it prevents that. The standard
/// library ignores the signal in programs of Rust alone; blocked here, it harms no program that cores run in.
fn block_sigpipe() -> io::Result<()> {
    // SAFETY: all zeroes are a valid set; it is made empty before it is used, and lives as long as the calls.
    let result = unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGPIPE);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut())
    };
    match result {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

/// Receive slots among so many small buffers: a power of two, and never so many that nothing is left to answer from.
fn receive_slots(small: u32) -> u16 {
    let quarter = (small / 4).max(1);
    let power = 1 << quarter.ilog2();
    (if small >= 2 * RECEIVE_SMALL {
        RECEIVE_SMALL
    } else {
        power.min(RECEIVE_SMALL)
    }) as u16
}

/// Why bytes are moved in a way: what was known before, and what a core said that does not stand there yet.
fn and_told(reason: &str, told: &str) -> String {
    if told.is_empty() || reason.contains(told) {
        reason.to_owned()
    } else {
        format!("{reason}; {told}")
    }
}

/// Waits for all cores and puts together what they say.
pub(super) fn agree(
    planned: IoInUse,
    cores: usize,
    readies: impl Iterator<Item = Ready>,
) -> io::Result<IoInUse> {
    let mut kinds = Vec::new();
    let mut reason = planned.reason;
    for ready in readies.take(cores) {
        let (kind, told) = ready?;
        kinds.push(kind);
        reason = and_told(&reason, &told);
    }
    if kinds.len() < cores {
        return Err(io::Error::other("a core's thread ended before it was ready"));
    }
    let ring = kinds.contains(&IoKind::Uring);
    let kind = if ring { IoKind::Uring } else { IoKind::Epoll };
    Ok(IoInUse { kind, reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receive_slots_leave_buffers_to_answer_from() {
        assert_eq!(
            [SMALL_MIN, 16, 64, 100, 144, 16_384].map(receive_slots),
            [2, 4, 16, 16, 64, 64]
        );
        assert_eq!(
            receive_slots(BufferPoolConfig::DEFAULT.small),
            RECEIVE_SMALL as u16
        );
    }

    #[test]
    fn what_cores_say_stands_in_the_reason_once() {
        let planned = IoInUse {
            kind: IoKind::Uring,
            reason: "asked for".to_owned(),
        };
        let said = || Ok((IoKind::Uring, "buffers are registered".to_owned()));
        let agreed = agree(planned.clone(), 2, [said(), said()].into_iter()).expect("both are ready");
        assert_eq!(agreed.reason, "asked for; buffers are registered");
        let fallen: Ready = Ok((IoKind::Epoll, "core 1 is on epoll".to_owned()));
        let mixed = agree(planned.clone(), 2, [said(), fallen].into_iter()).expect("both are ready");
        assert_eq!(
            (mixed.kind, mixed.reason.as_str()),
            (
                IoKind::Uring,
                "asked for; buffers are registered; core 1 is on epoll"
            )
        );
        let failed: Ready = Err(io::Error::from_raw_os_error(libc::ENOMEM));
        assert!(agree(planned.clone(), 2, [said(), failed].into_iter()).is_err());
        assert!(
            agree(planned, 2, [said()].into_iter()).is_err(),
            "one core says nothing"
        );
    }
}
