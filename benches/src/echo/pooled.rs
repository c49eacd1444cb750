//! The pool as services use it, with nothing between receive and send.

use super::{EchoTask, Io};
use crate::error::{BenchError, Doing};
use crate::exchange::answer;
use crate::load::place::Place;
use crate::role;
use lars_pool::{
    Bind, CloseReason, ConnectionId, CoresConfig, Handler, IoChoice, Peer, Plan, Received, Turn,
};
use std::time::Instant;

/// Questions answered for one connection in one turn, as a service does.
const FRAMES_PER_TURN_MAX: usize = 256;

/// Answers each question's bytes with an answer's.
struct Echo {
    question_bytes: usize,
    answer: Vec<u8>,
}

/// Echoes until the process is ended.
///
/// # Errors
/// The pool cannot start in the way that is asked for.
pub fn run(task: &EchoTask) -> Result<(), BenchError> {
    let mut plan = Plan::new(config(task.io)).doing("plan a core")?;
    let place = match &task.place {
        Place::Unix(path) => {
            plan.listen(&Bind::Unix(path.clone()), 0).doing("listen")?;
            task.place.clone()
        }
        Place::Tcp(addr) => {
            let addr = addr
                .parse()
                .map_err(|_| BenchError::Usage(format!("'{addr}' is no address")))?;
            let bound = plan.listen(&Bind::Tcp(addr), 0).doing("listen")?;
            Place::Tcp(bound.unwrap_or(addr).to_string())
        }
    };
    let echo = Echo {
        question_bytes: task.ask.question_bytes(),
        answer: answer(task.ask)?,
    };
    let cores = plan.start(vec![echo]).doing("start a core")?;
    role::say(&place)?;
    // The thread that watches the harness ends the process.
    loop {
        std::thread::park();
        std::hint::black_box(&cores);
    }
}

/// One core, wherever the process was put.
pub(super) fn config(io: Io) -> CoresConfig {
    CoresConfig {
        name: "echo",
        io: match io {
            Io::Uring => IoChoice::Uring,
            Io::Epoll => IoChoice::Epoll,
        },
        cores: 1,
        pin: false,
        connections_max: 10_000,
        unsent_bytes_max: 64 * 1024 * 1024,
    }
}

impl Handler for Echo {
    type Mail = ();

    fn opened(&mut self, _: &mut Turn<'_, ()>, _: ConnectionId, _: Peer, _: u16) {}

    fn received(&mut self, turn: &mut Turn<'_, ()>, connection: ConnectionId, bytes: &[u8]) -> Received {
        let whole = bytes.len() / self.question_bytes;
        let count = whole.min(FRAMES_PER_TURN_MAX);
        if count == 0 {
            return Received::Consumed(0);
        }
        let space = count * self.answer.len();
        let answered = turn.reply(connection, space, |out| {
            for place in out[..space].chunks_exact_mut(self.answer.len()) {
                place.copy_from_slice(&self.answer);
            }
            space
        });
        match (answered, whole > count) {
            (false, _) => Received::Close,
            (true, true) => Received::Yield(count * self.question_bytes),
            (true, false) => Received::Consumed(count * self.question_bytes),
        }
    }

    fn mail(&mut self, _: &mut Turn<'_, ()>, (): ()) {}

    fn closed(&mut self, _: &mut Turn<'_, ()>, _: ConnectionId, _: CloseReason) {}

    fn settle(&mut self, _: &mut Turn<'_, ()>) -> Option<Instant> {
        None
    }
}
