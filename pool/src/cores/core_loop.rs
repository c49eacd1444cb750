//! One core's loop: wait, take all completions, let the handler decide, submit once. The same over both backends.

use super::accepting::Listening;
use super::backend::{Backend, Event, ReceiveEnd, Wait};
use super::datagrams::Datagrams;
use super::desk::Desk;
use super::ending::Stopping;
use super::posts::Parcel;
use super::timers::{Timer, Timers};
use crate::handler::{CloseReason, ConnectionId, Handler};
use crate::mail::{Consumer, Waker};
use crate::seldom::Seldom;
use crate::stats::CoreStats;
use crate::turn::Turn;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Mail taken from one producer in one turn; the rest waits for the next, so that connections get theirs.
const MAIL_PER_TURN_MAX: usize = 1024;
/// How soon to look again for what is not announced: room in another core's queue, memory given back.
pub(super) const RETRY_INTERVAL: Duration = Duration::from_millis(1);

/// What reaches a core from other threads.
pub(crate) struct Inbox<M> {
    pub(crate) waker: Waker,
    pub(crate) cores: Vec<Consumer<Parcel<M>>>,
    pub(crate) outside: Vec<Consumer<M>>,
    /// Set when the service is to stop.
    pub(crate) stop: Arc<AtomicBool>,
}

impl<M> Inbox<M> {
    fn is_empty(&self) -> bool {
        self.cores.iter().all(Consumer::is_empty) && self.outside.iter().all(Consumer::is_empty)
    }
}

/// A core while it runs.
pub(crate) struct CoreLoop<H: Handler, B> {
    // Dropped first: the kernel must be done with the memory before the pool gives it up.
    pub(super) backend: B,
    pub(super) handler: H,
    pub(super) desk: Desk<H::Mail>,
    pub(super) inbox: Inbox<H::Mail>,
    pub(super) listeners: Vec<Listening>,
    pub(super) datagrams: Vec<Datagrams>,
    /// The desk's, for when the handler has the desk.
    pub(super) all_stats: Arc<[CoreStats]>,
    pub(super) timers: Timers,
    /// Connections whose bytes wait for another turn.
    pub(super) waiting: Vec<ConnectionId>,
    /// Connections whose receive is to be armed at the end of the turn.
    pub(super) rearm: Vec<ConnectionId>,
    /// There were fewer receive slots than connections that had bytes for them.
    pub(super) scarce: bool,
    /// So many of the waiting, from the first on, can go on without anything new.
    pub(super) due: usize,
    /// Receives can be armed without anything new.
    pub(super) rearm_due: bool,
    /// Connections handed to each core so far.
    pub(super) handed: Vec<u64>,
    pub(super) connections_max: u64,
    /// For how long the core looks for something to do before it sleeps.
    pub(super) busy_poll: Duration,
    /// What a connection is told that is one too many.
    pub(super) when_full: Arc<[u8]>,
    /// Memory was short; a timer is set to look for those who hold it.
    pub(super) reclaiming: bool,
    /// Keeps the log of peers' faults short.
    pub(super) complaints: Seldom,
    pub(super) stopping: Option<Stopping>,
    pub(super) now: Instant,
    /// When the handler wants to be called at the latest.
    settle_at: Option<Instant>,
}

impl<H: Handler, B: Backend> CoreLoop<H, B> {
    pub(crate) fn new(
        backend: B,
        handler: H,
        desk: Desk<H::Mail>,
        inbox: Inbox<H::Mail>,
        listeners: Vec<Listening>,
        datagrams: Vec<Datagrams>,
        connections_max: u64,
    ) -> Self {
        let all_stats = Arc::clone(&desk.all_stats);
        let cores = all_stats.len();
        let now = Instant::now();
        Self {
            backend,
            handler,
            desk,
            inbox,
            listeners,
            datagrams,
            all_stats,
            timers: Timers::default(),
            waiting: Vec::new(),
            rearm: Vec::new(),
            scarce: false,
            due: 0,
            rearm_due: false,
            handed: vec![0; cores],
            connections_max,
            busy_poll: Duration::ZERO,
            when_full: Arc::default(),
            reclaiming: false,
            complaints: Seldom::new(),
            stopping: None,
            now,
            // The handler settles once before anything happens, so that it can set its first time.
            settle_at: Some(now),
        }
    }

    /// Runs until the service stops.
    pub(crate) fn run(mut self) -> io::Result<()> {
        let waker = self.inbox.waker.clone();
        self.backend.watch_waker(waker.fd())?;
        self.start_listening()?;
        self.watch_datagrams()?;
        while !self.is_stopped() {
            self.wait()?;
            self.now = Instant::now();
            self.desk.stats().turns.add(1);
            // Those who wait now come after what is new: they had a turn already.
            let waited = self.waiting.len();
            if self.complete_all() {
                self.flush();
                self.tell();
                continue;
            }
            self.pump_waiting(waited);
            self.serve_datagrams();
            self.take_mail();
            self.fire_timers();
            self.look_for_shortage();
            self.look_for_stop();
            self.settle();
            self.flush();
            self.arm_receives();
            self.desk.posts.settle();
            let stats = self.desk.stats();
            stats.posts_held_back.set(self.desk.posts.held_back() as u64);
            stats.connections_waiting.set(self.waiting.len() as u64);
            self.tell();
        }
        self.finish_datagrams();
        Ok(())
    }

    /// Shows what every turn may change, also one that only learns that writes are done: the next may be long after.
    fn tell(&self) {
        let stats = self.desk.stats();
        stats.system_calls.set(self.backend.system_calls());
        stats.unsent_bytes.set(self.desk.unsent.bytes() as u64);
    }

    /// Sleeps until something happens or is due.
    fn wait(&mut self) -> io::Result<()> {
        let wait = self.patience();
        if wait == Wait::No {
            return self.backend.wait(wait);
        }
        if self.looks_busily(wait)? {
            return Ok(());
        }
        self.desk.stats().sleeps.add(1);
        self.inbox.waker.prepare_sleep();
        let must_go_on =
            !self.inbox.is_empty() || (self.inbox.stop.load(Ordering::Acquire) && self.stopping.is_none());
        let result = self.backend.wait(if must_go_on { Wait::No } else { wait });
        self.inbox.waker.woke();
        result
    }

    /// Looks for something to do for as long as the configuration says and nothing is due. While it looks, nobody who
    /// has something for this core needs a system call to say so. Returns whether there is something.
    fn looks_busily(&mut self, wait: Wait) -> io::Result<bool> {
        if self.busy_poll.is_zero() {
            return Ok(false);
        }
        let mut until = Instant::now() + self.busy_poll;
        if let Wait::Until(at) = wait {
            until = until.min(at);
        }
        loop {
            self.backend.wait(Wait::No)?;
            let found = self.backend.has_events() || !self.inbox.is_empty();
            let stop = self.inbox.stop.load(Ordering::Relaxed) && self.stopping.is_none();
            if found || stop {
                return Ok(true);
            }
            if Instant::now() >= until {
                return Ok(false);
            }
            std::hint::spin_loop();
        }
    }

    /// How long nothing needs doing.
    fn patience(&self) -> Wait {
        let datagrams = self.datagrams.iter().any(Datagrams::is_ready);
        if self.due > 0 || self.rearm_due || datagrams || self.desk.posts.has_own() {
            return Wait::No;
        }
        let retry = self.datagrams.iter().any(Datagrams::is_blocked)
            || !self.waiting.is_empty()
            || !self.rearm.is_empty()
            || self.desk.posts.held_back() > 0;
        let at = [
            self.settle_at,
            self.timers.next_timeout(),
            self.stopping.as_ref().map(Stopping::deadline),
            retry.then(|| self.now + RETRY_INTERVAL),
        ];
        match at.into_iter().flatten().min() {
            Some(at) if at <= self.now => Wait::No,
            Some(at) => Wait::Until(at),
            None => Wait::Ever,
        }
    }

    /// Takes all completions. Returns whether all there was are writes that are done: then nothing is to be decided,
    /// but there may be more to write.
    fn complete_all(&mut self) -> bool {
        let (mut writes, mut all) = (0, 0);
        while let Some(event) = self.backend.next_event() {
            writes += usize::from(matches!(event, Event::Sent { .. }));
            all += 1;
            self.complete(event);
        }
        all > 0 && writes == all
    }

    fn complete(&mut self, event: Event) {
        match event {
            Event::Woken => {}
            Event::Acceptable(listener) => self.accept(listener),
            Event::Datagrams(socket) => {
                if let Some(datagrams) = self.datagrams.get_mut(usize::from(socket)) {
                    datagrams.arrived();
                }
            }
            Event::Received {
                connection,
                inbound,
                armed,
            } => self.received(connection, inbound, armed),
            Event::ReceiveEnded { connection, end } => self.receive_ended(connection, end),
            Event::Sent { connection, result } => self.sent(connection, result),
            Event::Writable(connection) => self.writable(connection),
        }
    }

    fn receive_ended(&mut self, id: ConnectionId, end: ReceiveEnd) {
        let Some(connection) = self.desk.connections.get_mut(id) else {
            return;
        };
        (connection.receiving, connection.stopping) = (false, false);
        match end {
            ReceiveEnd::Eof => self.no_more_comes(id, CloseReason::Peer),
            ReceiveEnd::Failed(_) => self.no_more_comes(id, CloseReason::Error),
            ReceiveEnd::NoSlot => {
                self.scarce = true;
                self.desk.stats().receives_starved.add(1);
                self.want_bytes(id);
            }
            ReceiveEnd::Stopped => self.want_bytes(id),
        }
        self.let_go(id);
    }

    fn take_mail(&mut self) {
        let mut taken = 0;
        let turn = &mut Turn::new(self.now, &mut self.desk);
        let mut parcels = Vec::new();
        for consumer in &mut self.inbox.cores {
            taken += consumer.drain(MAIL_PER_TURN_MAX, |parcel| match parcel {
                Parcel::Mail(mail) => self.handler.mail(turn, mail),
                Parcel::Connection(handed) => parcels.push(handed),
            });
        }
        for consumer in &mut self.inbox.outside {
            taken += consumer.drain(MAIL_PER_TURN_MAX, |mail| self.handler.mail(turn, mail));
        }
        self.desk.stats().mail.add(taken as u64);
        for handed in parcels {
            self.desk.stats().connections_taken.add(1);
            self.open(handed);
        }
        for mail in self.desk.posts.take_own() {
            self.handler.mail(&mut Turn::new(self.now, &mut self.desk), mail);
        }
    }

    fn fire_timers(&mut self) {
        while let Some(timer) = self.timers.pop_due(self.now) {
            match timer {
                Timer::Stall(connection) => self.look_for_stall(connection),
                Timer::Unfinished(connection) => self.look_for_end_of_frame(connection),
                Timer::Linger(connection) => self.end_lingering(connection),
                Timer::Accept(listener) => self.accept(listener),
                Timer::Reclaim => self.reclaim(),
            }
        }
    }

    fn settle(&mut self) {
        self.settle_at = self.handler.settle(&mut Turn::new(self.now, &mut self.desk));
    }
}
