//! Threads, listeners and the hand-out of connections: what turns handlers into a running service.

use crate::handler::{CoreIndex, Handler};
use crate::mail::Mailer;
use serde::Deserialize;
use std::io;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Which way bytes are to be moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
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
}

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
    todo: PhantomData<M>,
}

impl<M: Send + 'static> Plan<M> {
    /// Decides the number of cores and the way to move bytes.
    pub fn new(config: CoresConfig) -> io::Result<Self> {
        let _ = config;
        todo!()
    }

    /// How many cores there will be.
    pub fn cores(&self) -> u16 {
        todo!()
    }

    /// The way bytes will be moved.
    pub fn io(&self) -> &IoInUse {
        todo!()
    }

    /// A new set of producers' ends for one thread outside: one for each core.
    pub fn mailers(&mut self) -> Vec<Mailer<M>> {
        todo!()
    }

    /// Listens; accepted by core 0 and handed to the core with the fewest connections. Returns the bound TCP address
    /// (none for a Unix socket). `tag` is shown to the handler with each connection.
    pub fn listen(&mut self, bind: &Bind, tag: u16) -> io::Result<Option<SocketAddr>> {
        let _ = (bind, tag);
        todo!()
    }

    /// Listens; accepted and served by `core` alone.
    pub fn listen_on(&mut self, core: CoreIndex, bind: &Bind, tag: u16) -> io::Result<Option<SocketAddr>> {
        let _ = (core, bind, tag);
        todo!()
    }

    /// Starts one thread for each handler; there must be as many as cores.
    pub fn start<H>(self, handlers: Vec<H>) -> io::Result<Cores>
    where
        H: Handler<Mail = M> + Send + 'static,
    {
        let _ = handlers;
        todo!()
    }
}

/// A running service. Dropping it stops it.
pub struct Cores {}

impl Cores {
    /// The way bytes are moved.
    pub fn io(&self) -> &IoInUse {
        todo!()
    }

    /// Closes listeners, sends what is queued (for at most 200 ms), closes connections, joins the threads, and removes
    /// the Unix sockets' paths.
    pub fn stop(self) {
        todo!()
    }
}
