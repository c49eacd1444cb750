//! A small service with length-prefixed messages, whose handler does on demand whatever a test wants to see.

use bytes::Bytes;
use lars_pool::mail::Mailer;
use lars_pool::{
    Bind, BufferPoolConfig, CloseReason, ConnectionId, CoreIndex, CoreStats, Cores, CoresConfig, Handler,
    IoChoice, Peer, Plan, Received, Turn,
};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Frames handled in one turn; small, so that tests see yields.
pub(crate) const FRAMES_PER_TURN_MAX: usize = 16;
/// What pages need beside their payload.
const PAGES_MORE: usize = 4096;
/// A frame is at most this long.
pub(crate) const FRAME_BYTES_MAX: usize = 64 * 1024;
/// Length and verb.
pub(crate) const HEADER_BYTES: usize = 5;

/// The verbs of a frame: `length u32, verb u8, payload`. The length counts verb and payload.
pub(crate) mod verb {
    pub(crate) const ECHO: u8 = b'e';
    /// Answers the number of the core.
    pub(crate) const WHERE: u8 = b'w';
    /// Answers pid and uid.
    pub(crate) const WHO: u8 = b'i';
    /// Payload u32: answers as many bytes, in pages of 24 KiB.
    pub(crate) const PAGES: u8 = b'p';
    /// Payload u32: sends as many bytes in such pages to every connection of this core, page by page to all.
    pub(crate) const FLOOD: u8 = b'f';
    /// Sends the payload to every connection of every core.
    pub(crate) const SHARE: u8 = b's';
    /// Payload core u16, count u32: asks another core so often, each time answered with a number that grows.
    pub(crate) const ASK: u8 = b'a';
    /// Payload milliseconds u32: answers so much later.
    pub(crate) const LATER: u8 = b'l';
    /// Echoes once the test lets go of [`Service::seen`]: until then the core does nothing.
    pub(crate) const HOLD: u8 = b'h';
    /// Echoes, then closes.
    pub(crate) const CLOSE: u8 = b'c';
}

pub(crate) enum Mail {
    Ask {
        core: CoreIndex,
        connection: ConnectionId,
        number: u32,
    },
    Answer {
        connection: ConnectionId,
        number: u32,
    },
    Share(Bytes),
}

/// What the handlers saw, for the tests.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) closed: Vec<CloseReason>,
    /// A connection was shown bytes again in a turn in which it had yielded.
    pub(crate) shown_after_yield: u32,
    pub(crate) yields: u32,
}

pub(crate) struct Echo {
    seen: Arc<Mutex<Seen>>,
    connections: BTreeMap<ConnectionId, Peer>,
    later: Vec<(Instant, ConnectionId)>,
    yielded: BTreeMap<ConnectionId, Instant>,
}

pub(crate) fn frame(verb: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32 + 1).to_le_bytes().to_vec();
    bytes.push(verb);
    bytes.extend(payload);
    bytes
}

fn answer(turn: &mut Turn<'_, Mail>, to: ConnectionId, payload: &[u8]) -> bool {
    let whole = frame(verb::ECHO, payload);
    turn.reply(to, whole.len(), |out| {
        out[..whole.len()].copy_from_slice(&whole);
        whole.len()
    })
}

/// Sends `left` bytes in pages, each to all before the next.
fn pages(turn: &mut Turn<'_, Mail>, to: &[ConnectionId], mut left: usize) {
    while left > 0 {
        let page = left.min(24 * 1024);
        for connection in to {
            answer(turn, *connection, &vec![7; page]);
        }
        left -= page;
    }
}

fn u32_at(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |chunk| u32::from_le_bytes(*chunk))
}

impl Echo {
    /// Handles one frame; `false` closes the connection.
    fn handle(&mut self, turn: &mut Turn<'_, Mail>, from: ConnectionId, verb: u8, payload: &[u8]) -> bool {
        match verb {
            verb::ECHO => {
                answer(turn, from, payload);
            }
            verb::WHERE => {
                let core = turn.core().0.to_le_bytes();
                answer(turn, from, &core);
            }
            verb::WHO => {
                if let Some(Peer::Unix { pid, uid }) = self.connections.get(&from) {
                    answer(turn, from, &[pid.to_le_bytes(), uid.to_le_bytes()].concat());
                }
            }
            verb::PAGES => {
                pages(turn, &[from], u32_at(payload) as usize);
            }
            verb::FLOOD => {
                let all: Vec<_> = self.connections.keys().copied().collect();
                pages(turn, &all, u32_at(payload) as usize);
            }
            verb::SHARE => {
                let bytes = Bytes::from(frame(verb::ECHO, payload));
                for core in 0..turn.cores() {
                    turn.post(CoreIndex(core), Mail::Share(bytes.clone()));
                }
            }
            verb::ASK => {
                let to = CoreIndex(u16::from_le_bytes([payload[0], payload[1]]));
                for number in 0..u32_at(&payload[2..]) {
                    turn.post(
                        to,
                        Mail::Ask {
                            core: turn.core(),
                            connection: from,
                            number,
                        },
                    );
                }
            }
            verb::LATER => {
                let at = turn.now() + Duration::from_millis(u32_at(payload).into());
                self.later.push((at, from));
            }
            verb::HOLD => {
                drop(self.seen.lock());
                answer(turn, from, payload);
            }
            verb::CLOSE => {
                answer(turn, from, payload);
                return false;
            }
            _ => return false,
        }
        true
    }
}

impl Handler for Echo {
    type Mail = Mail;

    /// Who comes over TCP may be silent.
    fn opened(&mut self, turn: &mut Turn<'_, Mail>, connection: ConnectionId, peer: Peer, _: u16) {
        if matches!(peer, Peer::Tcp(_)) {
            turn.allow_silence(connection);
        }
        self.connections.insert(connection, peer);
    }

    /// Answers with the datagram itself, behind the socket's tag; `?` and a number asks for so many bytes.
    fn datagram(&mut self, _: &mut Turn<'_, Mail>, socket: u16, bytes: &[u8], answer: &mut [u8]) -> usize {
        let whole = match bytes {
            b"" => return 0,
            [b'?', count @ ..] => vec![7; u32_at(count) as usize],
            bytes => [&socket.to_le_bytes(), bytes].concat(),
        };
        answer[..whole.len()].copy_from_slice(&whole);
        whole.len()
    }

    fn received(&mut self, turn: &mut Turn<'_, Mail>, connection: ConnectionId, bytes: &[u8]) -> Received {
        if self.yielded.get(&connection) == Some(&turn.now()) {
            self.seen
                .lock()
                .expect("no test panics with it")
                .shown_after_yield += 1;
        }
        let (mut consumed, mut frames) = (0, 0);
        loop {
            let rest = &bytes[consumed..];
            let length = u32_at(rest) as usize;
            if rest.len() < HEADER_BYTES || rest.len() < 4 + length {
                return Received::Consumed(consumed);
            }
            if frames == FRAMES_PER_TURN_MAX {
                self.yielded.insert(connection, turn.now());
                self.seen.lock().expect("no test panics with it").yields += 1;
                return Received::Yield(consumed);
            }
            let (verb, payload) = (rest[4], &rest[HEADER_BYTES..4 + length]);
            if verb == verb::PAGES && turn.room(connection) < u32_at(payload) as usize + PAGES_MORE {
                return Received::Yield(consumed);
            }
            if !self.handle(turn, connection, verb, payload) {
                return Received::Close;
            }
            consumed += 4 + length;
            frames += 1;
        }
    }

    fn mail(&mut self, turn: &mut Turn<'_, Mail>, mail: Mail) {
        match mail {
            Mail::Ask {
                core,
                connection,
                number,
            } => turn.post(core, Mail::Answer { connection, number }),
            Mail::Answer { connection, number } => {
                answer(turn, connection, &number.to_le_bytes());
            }
            Mail::Share(bytes) => {
                for connection in self.connections.keys() {
                    turn.reply_shared(*connection, bytes.clone());
                }
            }
        }
    }

    fn closed(&mut self, _: &mut Turn<'_, Mail>, connection: ConnectionId, reason: CloseReason) {
        self.connections
            .remove(&connection)
            .expect("it was opened and not closed before");
        self.seen
            .lock()
            .expect("no test panics with it")
            .closed
            .push(reason);
    }

    fn settle(&mut self, turn: &mut Turn<'_, Mail>) -> Option<Instant> {
        let now = turn.now();
        for (_, connection) in self.later.extract_if(.., |(at, _)| *at <= now) {
            answer(turn, connection, b"now");
        }
        self.later.iter().map(|(at, _)| *at).min()
    }
}

/// A running service, listening on a Unix socket and on TCP.
pub(crate) struct Service {
    pub(crate) cores: Option<Cores>,
    pub(crate) path: PathBuf,
    pub(crate) addr: SocketAddr,
    pub(crate) stats: Arc<[CoreStats]>,
    pub(crate) mailers: Vec<Mailer<Mail>>,
    pub(crate) seen: Arc<Mutex<Seen>>,
    pub(crate) folder: tempfile::TempDir,
}

/// What a test wants different.
pub(crate) struct Wanted {
    pub(crate) io: IoChoice,
    pub(crate) cores: u16,
    pub(crate) connections_max: u32,
    pub(crate) unsent_bytes_max: usize,
    pub(crate) buffers: BufferPoolConfig,
    pub(crate) busy_poll: Duration,
}

impl Wanted {
    pub(crate) fn over(io: IoChoice) -> Self {
        Self {
            io,
            cores: 2,
            connections_max: 4096,
            unsent_bytes_max: 64 * 1024 * 1024,
            buffers: BufferPoolConfig::DEFAULT,
            busy_poll: Duration::ZERO,
        }
    }

    pub(crate) fn plan(&self) -> Plan<Mail> {
        let mut plan = Plan::new(CoresConfig {
            name: "test",
            io: self.io,
            cores: self.cores,
            pin: false,
            connections_max: self.connections_max,
            unsent_bytes_max: self.unsent_bytes_max,
        })
        .expect("a plan");
        plan.set_buffers(self.buffers)
            .expect("buffers within their bounds");
        plan.set_busy_poll(self.busy_poll);
        plan
    }

    pub(crate) fn start(&self) -> Service {
        self.start_with(|_| {})
    }

    pub(crate) fn start_with(&self, prepare: impl FnOnce(&mut Plan<Mail>)) -> Service {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("socket");
        let mut plan = self.plan();
        prepare(&mut plan);
        plan.listen(&Bind::Unix(path.clone()), 0)
            .expect("the path is free");
        let addr = plan
            .listen(&Bind::Tcp(([127, 0, 0, 1], 0).into()), 1)
            .expect("a port is free");
        for core in 0..self.cores {
            let own = Bind::Unix(folder.path().join(format!("socket.{core}")));
            plan.listen_on(CoreIndex(core), &own, 2)
                .expect("the path is free");
        }
        plan.answer_when_full(&frame(verb::ECHO, b"full"));
        let (mailers, stats) = (plan.mailers(), plan.stats());
        let seen = Arc::<Mutex<Seen>>::default();
        let cores = plan.start(echoes(self.cores, &seen)).expect("the cores start");
        let addr = addr.expect("TCP has an address");
        Service {
            cores: Some(cores),
            path,
            addr,
            stats,
            mailers,
            seen,
            folder,
        }
    }
}

/// A handler for each core.
pub(crate) fn echoes(cores: u16, seen: &Arc<Mutex<Seen>>) -> Vec<Echo> {
    let echo = |_| Echo {
        seen: Arc::clone(seen),
        connections: BTreeMap::new(),
        later: Vec::new(),
        yielded: BTreeMap::new(),
    };
    (0..cores).map(echo).collect()
}

impl Service {
    /// The sum of a figure over all cores.
    pub(crate) fn sum(&self, name: &str) -> u64 {
        let of_core = |stats: &CoreStats| stats.value(name).expect("a figure of this name");
        self.stats.iter().map(of_core).sum()
    }

    pub(crate) fn closed(&self, reason: CloseReason) -> usize {
        let seen = self.seen.lock().expect("no handler panics with it");
        seen.closed.iter().filter(|closed| **closed == reason).count()
    }

    pub(crate) fn stop(&mut self) {
        self.cores.take().expect("it is stopped once").stop();
    }
}

/// Waits until `condition` holds, for at most ten seconds.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "not within ten seconds: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}
