//! Threads, listeners and the hand-out of connections: what turns handlers into a running service.

mod accepting;
pub(crate) mod backend;
mod connection;
mod core_loop;
mod count;
mod datagrams;
mod desk;
mod ending;
mod inflow;
mod memory;
mod out_queue;
mod posts;
mod receiving;
mod seat;
mod sending;
pub(crate) mod slots;
mod timers;
pub(crate) mod token;
mod unsent;

pub(crate) use desk::Desk;

use crate::buffers::BufferPoolConfig;
use crate::handler::{CoreIndex, Handler};
use crate::ladder;
use crate::listener::{BoundPath, Listener};
use crate::mail::{Consumer, Mailer, Waker, queue};
use crate::stats::CoreStats;
use accepting::Listening;
use core_loop::Inbox;
use datagrams::BoundDatagrams;
use posts::Posts;
use seat::Seat;
use serde::{Deserialize, Serialize};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

/// Most cores of one service: what a core's number in messages and tables is made for.
const CORES_MAX: u16 = 256;
/// Places of a queue from a thread outside into one core.
const MAIL_MAX: usize = 2048;

/// Which way bytes are to be moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum IoChoice {
    /// The ring where it works, else epoll, with one warning that says why.
    #[default]
    Auto,
    /// The ring, or fail.
    Uring,
    /// epoll.
    Epoll,
}

/// Which way bytes are moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IoKind {
    /// io_uring.
    Uring,
    /// epoll.
    Epoll,
}

impl IoKind {
    /// The word for it in status, metrics and configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Uring => "uring",
            Self::Epoll => "epoll",
        }
    }
}

/// Which way bytes are moved, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IoInUse {
    /// The way.
    pub kind: IoKind,
    /// Why, for people: "asked for", or the errno, its likely cause and its cure; also whether buffers are registered.
    pub reason: String,
}

/// How many cores, and what each may use.
#[derive(Clone, Debug)]
pub struct CoresConfig {
    /// Threads are called `NAME-0`, `NAME-1` and so on; at most 12 bytes.
    pub name: &'static str,
    /// The way to move bytes.
    pub io: IoChoice,
    /// How many cores; 0 takes min(4, the cpuset, the cgroup's quota rounded up).
    pub cores: u16,
    /// Whether to pin each thread to one processor of the cpuset (done only where there are enough).
    pub pin: bool,
    /// Connections of the whole service; more are closed at once and counted.
    pub connections_max: u32,
    /// Bytes that may wait on one core for its peers to read them. Above half of it nobody is answered again who has
    /// not read the last answer; at all of it the connections that hold most are closed as slow. At least
    /// [`UNSENT_BYTES_MIN`].
    pub unsent_bytes_max: usize,
}

/// The smallest bound for what may wait on one core: twice what one connection may have queued.
pub const UNSENT_BYTES_MIN: usize = 2 * out_queue::OUT_BYTES_MAX;

/// Where to listen.
#[derive(Clone, Debug)]
pub enum Bind {
    /// A Unix stream socket; a dead one left at the path is replaced, a living one is an error.
    Unix(PathBuf),
    /// TCP; port 0 takes a free one.
    Tcp(SocketAddr),
}

/// A service before it runs: its wakers, queues and listeners exist, its threads do not.
pub struct Plan<M> {
    config: CoresConfig,
    buffers: BufferPoolConfig,
    busy_poll: Duration,
    io: IoInUse,
    processors: Vec<core_affinity::CoreId>,
    wakers: Vec<Waker>,
    stats: Arc<[CoreStats]>,
    /// For each core what it listens on.
    listeners: Vec<Vec<Listening>>,
    /// Likewise its datagram sockets.
    datagrams: Vec<Vec<BoundDatagrams>>,
    paths: Vec<BoundPath>,
    /// What a connection is told that is one too many.
    when_full: Arc<[u8]>,
    /// For each core the receiving ends of [`Plan::mailers`].
    outside: Vec<Vec<Consumer<M>>>,
}

impl<M: Send + 'static> Plan<M> {
    /// Decides the number of cores and the way to move bytes.
    pub fn new(config: CoresConfig) -> io::Result<Self> {
        let processors = count::processors();
        let cores = count::cores(config.cores, processors.len());
        if cores > CORES_MAX {
            let text = format!("{cores} cores are asked for, at most {CORES_MAX} are possible");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let io = ladder::choose(config.io)?;
        Ok(Self {
            config,
            buffers: BufferPoolConfig::DEFAULT,
            busy_poll: Duration::ZERO,
            io,
            processors,
            wakers: (0..cores).map(|_| Waker::new()).collect::<io::Result<_>>()?,
            stats: (0..cores).map(|_| CoreStats::default()).collect(),
            listeners: (0..cores).map(|_| Vec::new()).collect(),
            datagrams: (0..cores).map(|_| Vec::new()).collect(),
            paths: Vec::new(),
            when_full: Arc::default(),
            outside: (0..cores).map(|_| Vec::new()).collect(),
        })
    }

    /// How many buffers each core has; [`BufferPoolConfig::DEFAULT`] where this is not called. A quarter of the small
    /// ones receives (a power of two, at most [`crate::RECEIVE_SMALL`]).
    pub fn set_buffers(&mut self, buffers: BufferPoolConfig) -> io::Result<()> {
        buffers
            .check()
            .map_err(|text| io::Error::new(io::ErrorKind::InvalidInput, text))?;
        if buffers.small < seat::SMALL_MIN {
            let text = format!(
                "small = {} is below {}: nothing could be received",
                buffers.small,
                seat::SMALL_MIN
            );
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        self.buffers = buffers;
        Ok(())
    }

    /// How long a core that has nothing to do looks for more before it sleeps; not at all where this is not called. It
    /// takes the processor meanwhile, and gives answers without the time of a wake-up.
    pub fn set_busy_poll(&mut self, time: Duration) {
        self.busy_poll = time;
    }

    /// What a connection is told before it is closed because there are `connections_max` already; nothing where this is
    /// not called. At most what a socket takes at once.
    pub fn answer_when_full(&mut self, bytes: &[u8]) {
        self.when_full = bytes.into();
    }

    /// How many cores there will be.
    pub fn cores(&self) -> u16 {
        self.wakers.len() as u16
    }

    /// The way bytes will be moved.
    pub fn io(&self) -> &IoInUse {
        &self.io
    }

    /// What the cores will count, one entry for each.
    pub fn stats(&self) -> Arc<[CoreStats]> {
        Arc::clone(&self.stats)
    }

    /// A new set of producers' ends for one thread outside: one for each core.
    pub fn mailers(&mut self) -> Vec<Mailer<M>> {
        let ends = self
            .outside
            .iter_mut()
            .zip(&self.wakers)
            .map(|(consumers, waker)| {
                let (producer, consumer) = queue(MAIL_MAX);
                consumers.push(consumer);
                Mailer::new(producer, waker.clone())
            });
        ends.collect()
    }

    /// Listens; accepted by core 0 and handed to the core with the fewest connections. Returns the bound TCP address
    /// (none for a Unix socket). `tag` is shown to the handler with each connection.
    pub fn listen(&mut self, bind: &Bind, tag: u16) -> io::Result<Option<SocketAddr>> {
        self.add_listener(CoreIndex(0), bind, tag, true)
    }

    /// Listens; accepted and served by `core` alone.
    pub fn listen_on(&mut self, core: CoreIndex, bind: &Bind, tag: u16) -> io::Result<Option<SocketAddr>> {
        self.add_listener(core, bind, tag, false)
    }

    /// Takes datagrams, which `core` alone answers ([`Handler::datagram`]). Returns the bound address; port 0 takes a
    /// free one.
    pub fn take_datagrams(&mut self, core: CoreIndex, addr: SocketAddr, tag: u16) -> io::Result<SocketAddr> {
        let Some(datagrams) = self.datagrams.get_mut(usize::from(core.0)) else {
            return Err(no_core(core));
        };
        let bound = BoundDatagrams::bind(addr, tag)?;
        let addr = bound.addr()?;
        datagrams.push(bound);
        Ok(addr)
    }

    fn add_listener(
        &mut self,
        core: CoreIndex,
        bind: &Bind,
        tag: u16,
        shared: bool,
    ) -> io::Result<Option<SocketAddr>> {
        let Some(listeners) = self.listeners.get_mut(usize::from(core.0)) else {
            return Err(no_core(core));
        };
        let listener = Listener::bind(bind, tag)?;
        if let Bind::Unix(path) = bind {
            self.paths.push(BoundPath::of(path)?);
        }
        let addr = listener.addr()?;
        listeners.push(Listening::new(listener, shared));
        Ok(addr)
    }

    /// Starts one thread for each handler; there must be as many as cores. Fails where a thread cannot start; those
    /// that did are stopped again.
    pub fn start<H>(self, handlers: Vec<H>) -> io::Result<Cores>
    where
        H: Handler<Mail = M> + Send + 'static,
    {
        if handlers.len() != self.wakers.len() {
            let text = format!("{} handlers for {} cores", handlers.len(), self.wakers.len());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let stop = Arc::new(AtomicBool::new(false));
        let (ready, readies) = mpsc::channel();
        let mut cores = Cores {
            io: self.io.clone(),
            stats: Arc::clone(&self.stats),
            stop: Arc::clone(&stop),
            wakers: self.wakers.clone(),
            threads: Vec::new(),
            _paths: self.paths,
        };
        let pins = self.config.pin && self.processors.len() >= handlers.len();
        let ends = Posts::matrix(&self.wakers).into_iter().zip(self.outside);
        let sockets = self.listeners.into_iter().zip(self.datagrams);
        let parts = handlers.into_iter().zip(ends).zip(sockets).enumerate();
        for (core, ((handler, ((posts, from_cores), outside)), (listeners, datagrams))) in parts {
            let seat = Seat {
                core: CoreIndex(core as u16),
                processor: if pins {
                    self.processors.get(core).copied()
                } else {
                    None
                },
                choice: self.config.io,
                planned: self.io.clone(),
                buffers: self.buffers,
                busy_poll: self.busy_poll,
                connections_max: u64::from(self.config.connections_max.min(token::SLOTS_MAX)),
                unsent_bytes_max: self.config.unsent_bytes_max.max(UNSENT_BYTES_MIN),
                posts,
                inbox: Inbox {
                    waker: self.wakers[core].clone(),
                    cores: from_cores,
                    outside,
                    stop: Arc::clone(&stop),
                },
                listeners,
                datagrams,
                when_full: Arc::clone(&self.when_full),
                stats: Arc::clone(&self.stats),
            };
            let ready = ready.clone();
            let name = format!("{}-{core}", self.config.name);
            let thread = std::thread::Builder::new()
                .name(name)
                .spawn(move || seat.run(handler, &ready))?;
            cores.threads.push(thread);
        }
        drop(ready);
        cores.io = seat::agree(self.io, cores.threads.len(), readies.iter())?;
        Ok(cores)
    }
}

fn no_core(core: CoreIndex) -> io::Error {
    let text = format!("there is no core {}", core.0);
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

/// A running service. Dropping it stops it.
#[derive(Debug)]
pub struct Cores {
    io: IoInUse,
    stats: Arc<[CoreStats]>,
    stop: Arc<AtomicBool>,
    wakers: Vec<Waker>,
    threads: Vec<JoinHandle<()>>,
    /// Removed when the service is gone.
    _paths: Vec<BoundPath>,
}

impl Cores {
    /// The way bytes are moved.
    pub fn io(&self) -> &IoInUse {
        &self.io
    }

    /// What the cores count, one entry for each.
    pub fn stats(&self) -> Arc<[CoreStats]> {
        Arc::clone(&self.stats)
    }

    /// Closes listeners, sends what is queued (for at most 200 ms), closes connections, joins the threads, and removes
    /// the Unix sockets' paths.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Cores {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        for waker in &self.wakers {
            waker.wake();
        }
        for thread in self.threads.drain(..) {
            let name = thread.thread().name().unwrap_or_default().to_owned();
            if thread.join().is_err() {
                tracing::error!(thread = name, "a core had panicked");
            }
        }
    }
}
