//! Callers of real nodes: one thread that begins calls at random times, picks with the client as any program does, and
//! reports how each went.

use super::MODULE;
use super::nodes::{ANSWER_BYTES, CALL_BYTES, Nodes};
use crate::error::{BenchError, Doing};
use lars_client::{Chosen, Client, Outcome, PickError, Picker};
use lars_simulator::{Figures, History, Scenario};
use std::collections::{HashMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;

/// What came of a run.
pub(super) struct Seen {
    pub(super) figures: Figures,
    /// How late calls began, at 99 in 100: what the machine added by itself.
    pub(super) late_p99: Duration,
}

/// A call under way.
struct Call {
    began: u64,
    picker: usize,
    chosen: Chosen,
}

struct Callers<'a> {
    scenario: &'a Scenario,
    nodes: &'a Nodes,
    places: HashMap<SocketAddr, u32>,
    socket: UdpSocket,
    pickers: Vec<Picker>,
    history: History,
    random: fastrand::Rng,
    start: Instant,
    calls: HashMap<u64, Call>,
    /// In order of time; those answered meanwhile are stale.
    time_outs: VecDeque<(u64, u64)>,
    number: u64,
    late: Vec<Duration>,
}

/// Runs the scenario in real time.
pub(super) fn run(scenario: &Scenario, nodes: &Nodes, client: &Client) -> Result<Seen, BenchError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .doing("starting the callers")?;
    runtime.block_on(async {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .doing("opening the callers' socket")?;
        let places = nodes.addrs.iter().copied().zip(0..).collect();
        let mut callers = Callers {
            scenario,
            nodes,
            places,
            socket,
            pickers: (0..scenario.readers).map(|_| client.picker()).collect(),
            history: History::new(scenario, false),
            random: fastrand::Rng::with_seed(1),
            start: Instant::now(),
            calls: HashMap::new(),
            time_outs: VecDeque::new(),
            number: 0,
            late: Vec::new(),
        };
        callers.call_all().await?;
        callers.late.sort_unstable();
        let late_p99 = callers.late[callers.late.len() * 99 / 100];
        let (figures, _) = callers.history.finish();
        Ok(Seen { figures, late_p99 })
    })
}

impl Callers<'_> {
    async fn call_all(&mut self) -> Result<(), BenchError> {
        let scenario = self.scenario;
        let mut events = scenario.events.iter().peekable();
        let mut begin_at = Some(0);
        let mut answer = [0; ANSWER_BYTES];
        loop {
            let now = self.now();
            while let Some(event) = events.next_if(|event| event.at <= now) {
                for &node in &event.nodes {
                    self.nodes.change(node, event.change)?;
                }
            }
            while let Some((_, number)) = self.time_outs.pop_front_if(|(at, _)| *at <= now) {
                self.ended(number, now, Outcome::TimedOut)?;
            }
            while let Some(at) = begin_at.filter(|&at| at <= now) {
                self.late.push(Duration::from_nanos(now - at));
                self.begin(now).await?;
                let pause = -(1.0 - self.random.f64()).ln() * 1e9 / scenario.rate_per_s;
                begin_at = Some(at + pause as u64).filter(|&at| at < scenario.duration);
            }
            let due = [begin_at, self.time_outs.front().map(|(at, _)| *at)];
            let Some(due) = due.into_iter().flatten().min() else {
                return Ok(());
            };
            tokio::select! {
                biased;
                received = self.socket.recv_from(&mut answer) => {
                    // What is no answer comes from nobody of ours.
                    if let Ok((ANSWER_BYTES, _)) = received {
                        let mut number = [0; CALL_BYTES];
                        number.copy_from_slice(&answer[..CALL_BYTES]);
                        let outcome = if answer[CALL_BYTES] == 1 { Outcome::Ok } else { Outcome::Failed };
                        self.ended(u64::from_le_bytes(number), self.now(), outcome)?;
                    }
                }
                () = tokio::time::sleep_until((self.start + Duration::from_nanos(due)).into()) => {}
            }
        }
    }

    fn now(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    async fn begin(&mut self, now: u64) -> Result<(), BenchError> {
        let picker = self.random.usize(..self.pickers.len());
        let chosen = match self.pickers[picker].choose(MODULE) {
            Ok(chosen) => chosen,
            Err(PickError::Overloaded { .. }) => {
                self.history.refused(now);
                return Ok(());
            }
            Err(error) => return Err(BenchError::Answer(error.to_string())),
        };
        let addr = chosen.node.socket_addr();
        let Some(&place) = self.places.get(&addr) else {
            return Err(BenchError::Answer(format!("{addr} is no node of ours")));
        };
        self.number += 1;
        self.history.sent(now, place);
        let call = Call {
            began: now,
            picker,
            chosen,
        };
        self.calls.insert(self.number, call);
        self.time_outs
            .push_back((now + self.scenario.timeout, self.number));
        self.socket
            .send_to(&self.number.to_le_bytes(), addr)
            .await
            .doing("calling a node")?;
        Ok(())
    }

    /// A call is over, unless it was before.
    fn ended(&mut self, number: u64, now: u64, outcome: Outcome) -> Result<(), BenchError> {
        let Some(call) = self.calls.remove(&number) else {
            return Ok(());
        };
        self.history.ended(call.began, now, outcome);
        let latency = Duration::from_nanos(now - call.began);
        self.pickers[call.picker]
            .report(&call.chosen, outcome, latency)
            .map_err(|error| BenchError::Answer(error.to_string()))
    }
}
