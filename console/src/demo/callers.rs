//! The demo's callers: what a program that embeds the client does, and the counts by which the story is checked.

use super::MODULE;
use super::nodes::Cast;
use crate::outcome::Failure;
use lars_client::{Call, Client, ClientError, PickError};
use lars_wire::NodeAddr;
use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Threads that call.
const THREADS: usize = 4;
/// Between two calls of one thread: four threads make at most 800 calls a second.
const PACE: Duration = Duration::from_millis(5);
/// A call that takes longer has timed out.
const CALL_TIMEOUT: Duration = Duration::from_millis(250);
/// How long a caller waits for its first route.
const REGISTER_WITHIN: Duration = Duration::from_secs(2);

/// Counts of one node, by outcome.
#[derive(Debug, Default)]
pub(super) struct NodeCounts {
    ok: AtomicU64,
    failed: AtomicU64,
}

/// All callers.
pub(super) struct Callers {
    counts: Arc<Vec<NodeCounts>>,
    ended: Arc<AtomicBool>,
    client: Client,
    threads: Vec<JoinHandle<Result<u64, Failure>>>,
}

/// What the callers did in all.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Outcome {
    pub(super) ok: u64,
    pub(super) failed: u64,
    /// Picks that got no node.
    pub(super) refused: u64,
}

impl Callers {
    pub(super) fn start(agent: &Path, cast: &Cast) -> Result<Self, Failure> {
        let client = Client::builder().path(agent).name("lars demo").connect()?;
        client.register(MODULE, REGISTER_WITHIN)?;
        let counts: Arc<Vec<NodeCounts>> =
            Arc::new(cast.nodes().iter().map(|_| NodeCounts::default()).collect());
        let places: HashMap<NodeAddr, usize> = cast
            .nodes()
            .iter()
            .enumerate()
            .map(|(place, node)| (node.addr(), place))
            .collect();
        let ended = Arc::new(AtomicBool::new(false));
        let threads = (0..THREADS).map(|_| {
            let (client, counts, ended) = (client.clone(), counts.clone(), ended.clone());
            let places = places.clone();
            std::thread::Builder::new()
                .name("demo-caller".into())
                .spawn(move || call_until(&client, &places, &counts, &ended))
                .map_err(|error| Failure::other(format!("a demo caller does not start: {error}")))
        });
        let threads = threads.collect::<Result<_, _>>()?;
        Ok(Self {
            counts,
            ended,
            client,
            threads,
        })
    }

    /// The client that all callers share.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Calls made to each node so far.
    pub(super) fn calls(&self) -> Vec<u64> {
        let sum = |node: &NodeCounts| node.ok.load(Ordering::Relaxed) + node.failed.load(Ordering::Relaxed);
        self.counts.iter().map(sum).collect()
    }

    /// Ends all callers; every report was taken by the agent when this returns.
    pub(super) fn stop(&mut self) -> Result<Outcome, Failure> {
        self.ended.store(true, Ordering::Relaxed);
        let mut outcome = Outcome::default();
        for thread in self.threads.drain(..) {
            let joined = thread
                .join()
                .map_err(|_| Failure::other("a demo caller panicked"))?;
            outcome.refused += joined?;
        }
        self.client.flush()?;
        for node in self.counts.iter() {
            outcome.ok += node.ok.load(Ordering::Relaxed);
            outcome.failed += node.failed.load(Ordering::Relaxed);
        }
        Ok(outcome)
    }
}

/// One caller: pick, call, report. Returns how many picks got no node.
fn call_until(
    client: &Client,
    places: &HashMap<NodeAddr, usize>,
    counts: &[NodeCounts],
    ended: &AtomicBool,
) -> Result<u64, Failure> {
    let (mut streams, mut refused) = (HashMap::new(), 0);
    while !ended.load(Ordering::Relaxed) {
        let next = Instant::now() + PACE;
        match client.pick(MODULE) {
            Ok(call) => {
                let place = places.get(&call.node()).copied();
                let ok = make(call, &mut streams)?;
                if let Some(node) = place.map(|place| &counts[place]) {
                    if ok { &node.ok } else { &node.failed }.fetch_add(1, Ordering::Relaxed);
                }
            }
            Err(PickError::Client(error)) => return Err(error.into()),
            Err(_) => refused += 1,
        }
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    Ok(refused)
}

/// Makes the call and reports it; returns whether it succeeded.
fn make(call: Call, streams: &mut HashMap<NodeAddr, TcpStream>) -> Result<bool, ClientError> {
    let node = call.node();
    match exchange(node, streams) {
        Ok(b'y') => return call.ok().map(|()| true),
        Ok(_) => call.failed(1)?,
        Err(error) => {
            streams.remove(&node);
            if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) {
                call.timed_out()?;
            } else {
                call.failed(error.raw_os_error().unwrap_or(-1))?;
            }
        }
    }
    Ok(false)
}

/// One question and its answer. A connection that the node has closed while it was at rest is opened again, as any pool of
/// connections does.
fn exchange(node: NodeAddr, streams: &mut HashMap<NodeAddr, TcpStream>) -> io::Result<u8> {
    if let Some(rested) = streams.get_mut(&node) {
        match ask(rested) {
            Err(error) if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                streams.remove(&node);
            }
            answered => return answered,
        }
    }
    let stream = TcpStream::connect_timeout(&node.socket_addr(), CALL_TIMEOUT)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(CALL_TIMEOUT))?;
    ask(streams.entry(node).or_insert(stream))
}

fn ask(stream: &mut TcpStream) -> io::Result<u8> {
    let mut byte = [b'?'];
    stream.write_all(&byte)?;
    stream.read_exact(&mut byte)?;
    Ok(byte[0])
}
