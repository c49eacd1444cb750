//! A bad network in front of a report: now and then a connection breaks when an answer is on its way, so that a batch is
//! stored and its sender does not know.

use crate::mesh::Random;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

/// Of so many answers one breaks its connection.
const CUT_ONE_OF: u64 = 4;

/// What all cutters of a mesh share.
#[derive(Default)]
pub(crate) struct Cutting {
    /// Whether connections are broken at present.
    pub(crate) is_on: AtomicBool,
    /// How many were.
    pub(crate) cuts: AtomicU64,
}

/// Listens, and passes all on to `to`; returns where. It ends with the test's process.
pub(crate) fn start(to: u16, seed: u64, cutting: &Arc<Cutting>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let cutting = Arc::clone(cutting);
    thread::spawn(move || {
        for (number, agent) in (0..).zip(listener.incoming().map_while(Result::ok)) {
            // Where report is away, the connection ends at once.
            let Ok(report) = TcpStream::connect(("127.0.0.1", to)) else {
                continue;
            };
            let (from_agent, to_report) = (agent.try_clone(), report.try_clone());
            if let (Ok(from), Ok(to)) = (from_agent, to_report) {
                thread::spawn(move || pass(from, to, |_| true));
            }
            let (mut random, cutting) = (Random(seed.wrapping_add(number)), Arc::clone(&cutting));
            thread::spawn(move || {
                pass(report, agent, |answer| {
                    let goes_on =
                        answer == 0 || !cutting.is_on.load(Ordering::Relaxed) || random.below(CUT_ONE_OF) > 0;
                    if !goes_on {
                        cutting.cuts.fetch_add(1, Ordering::Relaxed);
                    }
                    goes_on
                });
            });
        }
    });
    port
}

/// Passes on what comes, as long as `goes_on` says so of the number of the piece; then ends both sides.
fn pass(mut from: TcpStream, mut to: TcpStream, mut goes_on: impl FnMut(u64) -> bool) {
    let mut piece = [0; 16_384];
    for number in 0.. {
        match from.read(&mut piece) {
            Ok(bytes) if bytes > 0 && goes_on(number) && to.write_all(&piece[..bytes]).is_ok() => {}
            _ => break,
        }
    }
    for side in [from, to] {
        // Ended by the other direction already, perhaps.
        let _ = side.shutdown(Shutdown::Both);
    }
}
