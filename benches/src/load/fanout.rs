//! Many subscribers of one module on one thread: how long one change takes until the last of them has it.
//!
//! They are read one after the other, each until its push is there: the last one read has it no earlier than any other.
//! Each acknowledges at once, as agents do.

use super::place::Stream;
use super::{Target, module};
use crate::error::{BenchError, Doing};
use crate::greeting::{ANSWER_WITHIN, hello, receive, send};
use crate::memory::resident_bytes;
use crate::services::{node, row};
use lars_wire::admin::{EditRoutes, Edited, RouteEdit};
use lars_wire::directory::{KnownModule, PushAck, Subscribe};
use lars_wire::{Kind, Message, ModuleId, codec, frame};
use serde::{Deserialize, Serialize};
use std::io::{Read, Write};
use std::time::Instant;

/// Bytes taken from a subscriber's socket at once: more than a change and what is told around it.
const READ_BYTES: usize = 4_096;
/// Where the version stands in a page, behind module, status and instance.
const PAGE_VERSION: usize = 8 + 1 + 8;
/// Where it stands in a delta, behind module, instance and base. All else is not decoded: one thread plays many agents.
const DELTA_VERSION: usize = 8 + 8 + 8;
/// The numbers of the two nodes that take each other's place.
const NODES: [u32; 2] = [1_000, 1_001];

/// How many subscribe, and how often they are told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FanoutTask {
    /// The dns.
    pub target: Target,
    /// Connections, each with one subscription to the same module.
    pub subscribers: u32,
    /// Changes, one after the other.
    pub changes: u32,
}

/// What they saw.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Fanout {
    /// Milliseconds from sending a change until the last subscriber had it, for each change.
    pub times_ms: Vec<f64>,
    /// Memory of dns before the first connection and with all of them at rest, in bytes.
    pub resident_bytes: [f64; 2],
}

/// A connection that subscribed.
struct Subscriber {
    stream: Stream,
    /// What arrived and was not looked at.
    arrived: Vec<u8>,
    /// The version that it holds.
    version: u64,
}

/// Subscribes, changes and waits.
///
/// # Errors
/// dns does not push as it should.
pub fn run(task: &FanoutTask) -> Result<Fanout, BenchError> {
    let module = module(0);
    let before = resident_bytes(task.target.process)?;
    let mut subscribers = (0..task.subscribers)
        .map(|_| Subscriber::start(&task.target, module))
        .collect::<Result<Vec<_>, _>>()?;
    for subscriber in &mut subscribers {
        subscriber.take_push(module)?;
    }
    let after = resident_bytes(task.target.process)?;
    let mut editor = task.target.connect(0)?;
    let mut change = |come: u32, leave: u32| -> Result<f64, BenchError> {
        let node = node(leave);
        let edits = vec![
            RouteEdit::Put(row(module, come)),
            RouteEdit::Remove { module, node },
        ];
        let started = Instant::now();
        send(&mut editor, &EditRoutes { edits })?;
        for subscriber in &mut subscribers {
            subscriber.take_push(module)?;
        }
        let took = started.elapsed();
        receive::<Edited>(&mut editor)?;
        Ok(took.as_secs_f64() * 1e3)
    };
    // Not counted: it brings the two nodes into their play.
    change(NODES[0], NODES[1])?;
    let times_ms = (1..=task.changes as usize)
        .map(|number| change(NODES[number % 2], NODES[(number + 1) % 2]))
        .collect::<Result<_, _>>()?;
    Ok(Fanout {
        times_ms,
        resident_bytes: [before, after],
    })
}

impl Subscriber {
    /// Connects and asks, without waiting for an answer.
    fn start(target: &Target, module: ModuleId) -> Result<Self, BenchError> {
        let mut stream = target.place.connect()?;
        let known = KnownModule {
            module,
            instance: 0,
            version: 0,
            hash: 0,
        };
        let mut bytes = hello()?;
        append(&Subscribe { modules: vec![known] }, &mut bytes)?;
        stream.write_all(&bytes).doing("subscribe")?;
        Ok(Self {
            stream,
            arrived: Vec::new(),
            version: 0,
        })
    }

    /// Waits for a newer version of the module and acknowledges it.
    fn take_push(&mut self, module: ModuleId) -> Result<(), BenchError> {
        let started = Instant::now();
        let before = self.version;
        loop {
            self.look()?;
            if self.version > before {
                break;
            }
            if started.elapsed() > ANSWER_WITHIN {
                return Err(BenchError::Answer("a push does not come".to_owned()));
            }
            let mut bytes = [0; READ_BYTES];
            let count = self.stream.read(&mut bytes).doing("take a push")?;
            if count == 0 {
                return Err(BenchError::Answer("dns ended a subscription".to_owned()));
            }
            self.arrived.extend_from_slice(&bytes[..count]);
        }
        let mut bytes = Vec::new();
        let version = self.version;
        append(&PushAck { module, version }, &mut bytes)?;
        self.stream.write_all(&bytes).doing("acknowledge a push")
    }

    /// Looks at the whole frames that arrived.
    fn look(&mut self) -> Result<(), BenchError> {
        let wrong = |text: String| BenchError::Answer(text);
        let mut looked = 0;
        while let Some(frame) =
            frame::split(&self.arrived[looked..]).map_err(|error| wrong(error.to_string()))?
        {
            looked += frame.bytes();
            let place = match frame.header.kind {
                Kind::RoutePage => PAGE_VERSION,
                Kind::RouteDelta => DELTA_VERSION,
                Kind::Welcome | Kind::StoreVersion => continue,
                kind => return Err(wrong(format!("a {kind:?} instead of a push"))),
            };
            let version = frame.body.get(place..).and_then(<[u8]>::first_chunk);
            self.version = version
                .map(|version| u64::from_le_bytes(*version))
                .ok_or_else(|| wrong(format!("a {:?} without a version", frame.header.kind)))?;
        }
        self.arrived.drain(..looked);
        Ok(())
    }
}

fn append(message: &impl Message, bytes: &mut Vec<u8>) -> Result<(), BenchError> {
    codec::append(message, 1, bytes).map_err(|error| BenchError::Answer(error.to_string()))
}
