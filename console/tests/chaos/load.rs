//! Callers that report calls and keep their own books.

use crate::mesh::{Mesh, Random, Sums};
use lars_client::{Client, ClientError};
use lars_wire::caller::{Outcome, Report};
use lars_wire::{ModuleId, NodeAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Reports of one frame.
const REPORTS: u64 = 50;
/// From one frame of a caller to its next.
const PAUSE: Duration = Duration::from_millis(5);
/// How often a caller notes what it has reported so far.
const NOTE: Duration = Duration::from_millis(50);

/// What one caller did.
#[derive(Default)]
pub(crate) struct Book {
    /// All that may have reached the agent.
    pub(crate) reported: Sums,
    /// How much that was at which moment.
    pub(crate) notes: Vec<(Instant, u64)>,
}

/// Callers at work.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    callers: Vec<JoinHandle<Book>>,
}

impl Load {
    /// Two callers on each of these agents. Where the agent may die, what a broken connection swallows counts as
    /// reported, since it may have arrived.
    pub(crate) fn start(mesh: &Mesh, agents: std::ops::Range<usize>, seed: u64, may_die: bool) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let callers = agents
            .flat_map(|agent| [agent, agent])
            .enumerate()
            .map(|(number, agent)| {
                let (socket, stop) = (mesh.socket(agent), Arc::clone(&stop));
                let random = Random(seed.wrapping_add(number as u64 + 1));
                thread::spawn(move || call(&socket, random, &stop, may_die))
            })
            .collect();
        Self { stop, callers }
    }

    /// Ends the callers; what each did.
    pub(crate) fn stop(self) -> Vec<Book> {
        self.stop.store(true, Ordering::Relaxed);
        self.callers
            .into_iter()
            .map(|caller| caller.join().expect("a caller ends well"))
            .collect()
    }
}

/// All of these books as one.
pub(crate) fn sum<'a>(books: impl IntoIterator<Item = &'a Book>) -> Sums {
    let mut all = Sums::new();
    for book in books {
        for (key, counts) in &book.reported {
            let sum = all.entry(*key).or_default();
            for (sum, count) in sum.iter_mut().zip(counts) {
                *sum += count;
            }
        }
    }
    all
}

/// Calls in all.
pub(crate) fn total(sums: &Sums) -> u64 {
    sums.values().flatten().sum()
}

fn call(socket: &Path, mut random: Random, stop: &AtomicBool, may_die: bool) -> Book {
    let mut book = Book::default();
    let mut client = None;
    let mut total = 0;
    while !stop.load(Ordering::Relaxed) {
        let reports = reports(&mut random);
        if client.is_none() {
            client = Client::connect(socket).ok();
        }
        let sent = client
            .as_ref()
            .map(|client: &Client| client.report_many(&reports));
        match sent {
            Some(Ok(())) => {}
            Some(Err(ClientError::NotRunning { .. })) | None if may_die => {
                thread::sleep(PAUSE);
                continue;
            }
            Some(Err(_)) if may_die => {}
            other => panic!("the agent lives, and yet: {other:?}"),
        }
        for report in &reports {
            let sum = book.reported.entry((report.module, report.node)).or_default();
            sum[usize::from(u8::from(report.outcome))] += 1;
        }
        total += REPORTS;
        if book.notes.last().is_none_or(|(at, _)| at.elapsed() >= NOTE) {
            book.notes.push((Instant::now(), total));
        }
        thread::sleep(PAUSE);
    }
    if let Some(client) = client {
        let flushed = client.flush();
        assert!(may_die || flushed.is_ok(), "{flushed:?}");
    }
    book
}

fn reports(random: &mut Random) -> Vec<Report> {
    let report = |_| Report {
        module: ModuleId::new(1, 1 + random.below(3) as u32),
        node: NodeAddr::from_ipv4_number(0x0a00_0001 + random.below(20) as u32, 80),
        token: 0,
        outcome: Outcome::ALL[random.below(4) as usize],
        retcode: 0,
        latency_us: random.below(10_000) as u32,
    };
    (0..REPORTS).map(report).collect()
}
