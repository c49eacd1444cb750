//! The demo's nodes: small TCP servers, each with a character. One byte in, one byte out: 'y' for yes, 'n' for an error.

use lars_wire::NodeAddr;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often a node's thread looks up from waiting.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// What a node is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Character {
    /// Answers at once.
    Steady,
    /// Answers right, after 20 ms.
    Slow,
    /// Answers 6 of 10 calls with an error.
    Failing,
    /// Answers at once; the story kills and heals it.
    Mortal,
}

impl Character {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::Slow => "slow (20 ms)",
            Self::Failing => "failing (6 of 10)",
            Self::Mortal => "mortal",
        }
    }
}

/// One node.
pub(super) struct Node {
    addr: SocketAddr,
    character: Character,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    alive: AtomicBool,
    ended: AtomicBool,
    calls: AtomicU32,
}

/// Every node of the demo.
pub(super) struct Cast {
    nodes: Vec<Node>,
}

impl Cast {
    pub(super) fn start() -> io::Result<Self> {
        let characters = [
            Character::Steady,
            Character::Steady,
            Character::Slow,
            Character::Failing,
            Character::Mortal,
        ];
        Ok(Self {
            nodes: characters
                .into_iter()
                .map(Node::start)
                .collect::<io::Result<_>>()?,
        })
    }

    pub(super) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Place of the first node with this character.
    pub(super) fn place(&self, character: Character) -> usize {
        self.nodes
            .iter()
            .position(|node| node.character == character)
            .unwrap_or(0)
    }
}

impl Node {
    fn start(character: Character) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared {
            alive: AtomicBool::new(true),
            ended: AtomicBool::new(false),
            calls: AtomicU32::new(0),
        });
        let theirs = shared.clone();
        let thread = std::thread::Builder::new()
            .name("demo-node".into())
            .spawn(move || {
                if let Err(error) = live(listener, addr, character, &theirs) {
                    tracing::error!("the demo's node {addr} ended: {error}");
                }
            })?;
        Ok(Self {
            addr,
            character,
            shared,
            thread: Some(thread),
        })
    }

    pub(super) fn addr(&self) -> NodeAddr {
        NodeAddr::from(self.addr)
    }

    pub(super) fn character(&self) -> Character {
        self.character
    }

    /// Nothing listens at its port from now on, and its connections end.
    pub(super) fn kill(&self) {
        self.shared.alive.store(false, Ordering::Relaxed);
    }

    /// It listens again, at the same port.
    pub(super) fn heal(&self) {
        self.shared.alive.store(true, Ordering::Relaxed);
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    fn serving(&self) -> bool {
        self.alive.load(Ordering::Relaxed) && !self.ended()
    }
}

/// Listens while alive; each connection has a thread of its own.
fn live(first: TcpListener, addr: SocketAddr, character: Character, shared: &Arc<Shared>) -> io::Result<()> {
    let mut listener = Some(first);
    while !shared.ended() {
        if !shared.serving() {
            listener = None;
            std::thread::sleep(LOOK_EVERY);
            continue;
        }
        let listening = match &listener {
            Some(listening) => listening,
            None => listener.insert(TcpListener::bind(addr)?),
        };
        listening.set_nonblocking(true)?;
        match listening.accept() {
            Ok((stream, _)) => {
                let theirs = shared.clone();
                std::thread::spawn(move || {
                    // A caller that leaves is no event of the story.
                    let _ = answer(stream, character, &theirs);
                });
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(LOOK_EVERY),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn answer(mut stream: TcpStream, character: Character, shared: &Shared) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(LOOK_EVERY))?;
    let mut byte = [0];
    while shared.serving() {
        match stream.read(&mut byte) {
            Ok(0) => return Ok(()),
            Ok(_) if !shared.serving() => return Ok(()),
            Ok(_) => {
                let call = shared.calls.fetch_add(1, Ordering::Relaxed);
                if character == Character::Slow {
                    std::thread::sleep(Duration::from_millis(20));
                }
                let fails = character == Character::Failing && call % 10 < 6;
                stream.write_all(if fails { b"n" } else { b"y" })?;
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
