//! Echoes over UDP of what callers of the C++ Lars say: what asks for a node is answered with the bytes of one, and a
//! report with nothing. A blocking thread, or the pool.

use super::Io;
use super::pooled;
use crate::error::{BenchError, Doing};
use crate::role;
use crate::services::node;
use lars_compat::message::{Host, HostAnswer};
use lars_compat::{MessageId, encode};
use lars_pool::{CloseReason, ConnectionId, CoreIndex, Handler, Peer, Plan, Received, Turn};
use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Instant;

/// Longest question that is echoed.
const BYTES_MAX: usize = 128;

/// Where to listen, and how.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DatagramEchoTask {
    /// The pool's way to move bytes; none for a blocking thread.
    pub io: Option<Io>,
}

/// Answers questions and passes over reports.
struct Echo {
    answer: Vec<u8>,
}

/// Echoes until the process is ended.
///
/// # Errors
/// It cannot listen.
pub fn run(task: &DatagramEchoTask) -> Result<(), BenchError> {
    match task.io {
        None => block(),
        Some(io) => pool(io),
    }
}

fn block() -> Result<(), BenchError> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).doing("listen")?;
    let (answer, mut question) = (answer(), [0; BYTES_MAX]);
    role::say(&socket.local_addr().doing("listen")?.port())?;
    loop {
        let (bytes, from) = socket.recv_from(&mut question).doing("take a question")?;
        if is_question(&question[..bytes]) {
            socket.send_to(&answer, from).doing("answer")?;
        }
    }
}

fn pool(io: Io) -> Result<(), BenchError> {
    let mut plan = Plan::new(pooled::config(io)).doing("plan a core")?;
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let addr = plan.take_datagrams(CoreIndex(0), any, 0).doing("listen")?;
    let cores = plan
        .start(vec![Echo { answer: answer() }])
        .doing("start a core")?;
    role::say(&addr.port())?;
    // The thread that watches the harness ends the process.
    loop {
        std::thread::park();
        std::hint::black_box(&cores);
    }
}

fn is_question(bytes: &[u8]) -> bool {
    bytes.first() == Some(&(MessageId::GetHost as u8))
}

/// What an agent would answer.
fn answer() -> Vec<u8> {
    let mut out = vec![0; BYTES_MAX];
    let answer = HostAnswer {
        seq: 1,
        modid: 100,
        cmdid: 1,
        retcode: 0,
        host: Host::of(node(0)),
    };
    let bytes = encode(MessageId::HostAnswer, &answer, &mut out).unwrap_or(0);
    out.truncate(bytes);
    out
}

impl Handler for Echo {
    type Mail = ();

    fn opened(&mut self, _: &mut Turn<'_, ()>, _: ConnectionId, _: Peer, _: u16) {}

    fn received(&mut self, _: &mut Turn<'_, ()>, _: ConnectionId, _: &[u8]) -> Received {
        Received::Close
    }

    fn datagram(&mut self, _: &mut Turn<'_, ()>, _: u16, bytes: &[u8], out: &mut [u8]) -> usize {
        if !is_question(bytes) {
            return 0;
        }
        out[..self.answer.len()].copy_from_slice(&self.answer);
        self.answer.len()
    }

    fn mail(&mut self, _: &mut Turn<'_, ()>, (): ()) {}

    fn closed(&mut self, _: &mut Turn<'_, ()>, _: ConnectionId, _: CloseReason) {}

    fn settle(&mut self, _: &mut Turn<'_, ()>) -> Option<Instant> {
        None
    }
}
