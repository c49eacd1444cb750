//! Reports of calls that async callers make over the socket. Whoever ends a call hands its report over at once; a thread sends them
//! in their order, since it may wait for the agent and a thread that runs tasks may not.

use crate::client::Client;
use lars_wire::bounds::REPORTS_MAX;
use lars_wire::caller::Report;
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Reports that wait at most, 4 MiB of them: while an agent hangs, a caller of 10,000 calls a second fills it in six seconds.
const WAITING_MAX: usize = 65_536;
/// The thread ends when nothing came for so long; the next report starts another.
const IDLE_MAX: Duration = Duration::from_secs(1);

/// Reports of one client that wait to be sent.
#[derive(Default)]
pub(crate) struct Outbox {
    state: Mutex<State>,
    /// Told to the thread when there is something to send.
    posted: Condvar,
    /// Told when something was sent, or given up.
    done: Condvar,
}

#[derive(Default)]
struct State {
    /// With the client, which is to last as long as there is something to send.
    waiting: VecDeque<(Client, Report)>,
    /// Reports that were ever handed over, and those of them that were sent or given up.
    posted: u64,
    done: u64,
    /// Reports that could not be sent, since the last question.
    lost: u64,
    /// Whether there is a thread.
    runs: bool,
}

impl Outbox {
    /// Takes a report over; false where too many wait already. Never waits for the agent.
    pub(crate) fn post(self: &Arc<Self>, client: Client, report: Report) -> io::Result<bool> {
        let mut state = self.lock();
        if state.waiting.len() >= WAITING_MAX {
            return Ok(false);
        }
        if !state.runs {
            let outbox = Arc::clone(self);
            let thread = std::thread::Builder::new().name("lars-reports".to_owned());
            thread.spawn(move || outbox.run())?;
            state.runs = true;
        }
        state.waiting.push_back((client, report));
        state.posted += 1;
        drop(state);
        self.posted.notify_one();
        Ok(true)
    }

    /// Waits until all that was handed over before is sent or given up, at most until `deadline`; whether it is.
    pub(crate) fn wait(&self, deadline: Instant) -> bool {
        let mut state = self.lock();
        let posted = state.posted;
        while state.done < posted {
            let Some(left) = deadline.checked_duration_since(Instant::now()) else {
                return false;
            };
            let waited = self.done.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Reports that could not be sent, since the last question.
    pub(crate) fn take_lost(&self) -> u64 {
        std::mem::take(&mut self.lock().lost)
    }

    /// The thread.
    fn run(&self) {
        while let Some((clients, reports)) = self.next() {
            let is_lost = clients[0].report_many(&reports).is_err();
            let count = reports.len() as u64;
            let mut state = self.lock();
            state.done += count;
            state.lost += if is_lost { count } else { 0 };
            drop(state);
            self.done.notify_all();
        }
    }

    /// Waits for what is to be sent next, as much as one frame holds; none when nothing comes.
    fn next(&self) -> Option<(Vec<Client>, Vec<Report>)> {
        let state = self.lock();
        let waited = self
            .posted
            .wait_timeout_while(state, IDLE_MAX, |state| state.waiting.is_empty());
        let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
        let count = state.waiting.len().min(REPORTS_MAX);
        state.runs = count > 0;
        (count > 0).then(|| state.waiting.drain(..count).unzip())
    }

    /// Each change of the state is one step, so a thread that panicked left it whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builder::TIMEOUT_DEFAULT;
    use crate::pool::Pool;
    use lars_board::ForkWord;
    use lars_wire::caller::Outcome;
    use lars_wire::{ModuleId, NodeAddr};

    #[test]
    fn there_is_an_end_to_what_waits_and_a_flush_waits_for_it_until_its_deadline() {
        let fork = Arc::new(ForkWord::new().expect("a page"));
        let pool = Pool::new("/nowhere/agent.sock".into(), "test".to_owned(), 1, fork);
        let client = Client::new(pool, TIMEOUT_DEFAULT, None);
        let report = Report {
            module: ModuleId::new(1, 1),
            node: NodeAddr::NONE,
            token: 0,
            outcome: Outcome::Ok,
            retcode: 0,
            latency_us: 0,
        };
        let outbox = Arc::new(Outbox::default());
        // As if its thread were busy with an agent that hangs.
        outbox.lock().runs = true;
        for _ in 0..WAITING_MAX {
            assert!(outbox.post(client.clone(), report).expect("no thread is needed"));
        }
        assert!(!outbox.post(client.clone(), report).expect("no thread is needed"));
        assert!(!outbox.wait(Instant::now() + Duration::from_millis(10)));
        outbox.lock().runs = false;
        std::thread::scope(|scope| {
            scope.spawn(|| outbox.run());
            assert!(outbox.wait(Instant::now() + Duration::from_secs(10)));
        });
        assert_eq!(outbox.take_lost(), WAITING_MAX as u64, "nobody listens");
        assert_eq!(outbox.take_lost(), 0);
        assert!(!outbox.lock().runs);
    }
}
