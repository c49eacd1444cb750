//! The pool as services use it, with nothing between receive and send.

use super::{EchoTask, Io};
use crate::error::{BenchError, Doing};
use crate::exchange::{NODE_BYTES, PICK_BYTES, answer};
use crate::role;
use lars_pool::{
    Bind, CloseReason, ConnectionId, CoresConfig, Handler, IoChoice, Peer, Plan, Received, Turn,
};
use std::time::Instant;

/// Questions answered for one connection in one turn, as a service does.
const FRAMES_PER_TURN_MAX: usize = 256;

/// Answers each question's bytes with an answer's.
struct Echo {
    answer: Vec<u8>,
}

/// Echoes until the process is ended.
///
/// # Errors
/// The pool cannot start in the way that is asked for.
pub fn run(task: &EchoTask) -> Result<(), BenchError> {
    let config = CoresConfig {
        name: "echo",
        io: match task.io {
            Io::Uring => IoChoice::Uring,
            Io::Epoll => IoChoice::Epoll,
        },
        cores: 1,
        pin: false,
        connections_max: 10_000,
        unsent_bytes_max: 64 * 1024 * 1024,
    };
    let mut plan = Plan::new(config).doing("plan a core")?;
    plan.listen(&Bind::Unix(task.socket.clone()), 0).doing("listen")?;
    let cores = plan
        .start(vec![Echo { answer: answer()? }])
        .doing("start a core")?;
    role::say(&"ready")?;
    // The thread that watches the harness ends the process.
    loop {
        std::thread::park();
        std::hint::black_box(&cores);
    }
}

impl Handler for Echo {
    type Mail = ();

    fn opened(&mut self, _: &mut Turn<'_, ()>, _: ConnectionId, _: Peer, _: u16) {}

    fn received(&mut self, turn: &mut Turn<'_, ()>, connection: ConnectionId, bytes: &[u8]) -> Received {
        let whole = bytes.len() / PICK_BYTES;
        let count = whole.min(FRAMES_PER_TURN_MAX);
        if count == 0 {
            return Received::Consumed(0);
        }
        let space = count * NODE_BYTES;
        let answered = turn.reply(connection, space, |out| {
            for place in out[..space].chunks_exact_mut(NODE_BYTES) {
                place.copy_from_slice(&self.answer);
            }
            space
        });
        match (answered, whole > count) {
            (false, _) => Received::Close,
            (true, true) => Received::Yield(count * PICK_BYTES),
            (true, false) => Received::Consumed(count * PICK_BYTES),
        }
    }

    fn mail(&mut self, _: &mut Turn<'_, ()>, (): ()) {}

    fn closed(&mut self, _: &mut Turn<'_, ()>, _: ConnectionId, _: CloseReason) {}

    fn settle(&mut self, _: &mut Turn<'_, ()>) -> Option<Instant> {
        None
    }
}
