//! One history of a scenario: the loop of virtual time. And many of them, side by side.

use crate::agenda::{Agenda, Due};
use crate::balancer::{Balancer, Ended, Pick, Shift, Standing};
use crate::calls::{Call, CallId, Calls};
use crate::draw::{Draw, exponential};
use crate::history::{Figures, History, Series};
use crate::node::Node;
use crate::policy::Policy;
use crate::report::Report;
use crate::scenario::{Change, Event, SECOND, Scenario};
use fastrand::Rng;
use lars_board::BoardError;
use lars_wire::caller::Outcome;
use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Why a run did not take place.
#[derive(Debug, thiserror::Error)]
pub enum SimulateError {
    /// The host refused the memory of a board.
    #[error(transparent)]
    Board(#[from] BoardError),
    /// A board came without its writer: a bug of ours.
    #[error("a board came without its writer")]
    NoWriter,
}

/// What one run came to.
#[derive(Debug)]
pub struct Run {
    /// Its figures.
    pub figures: Figures,
    /// What is drawn of it, where that was asked for.
    pub series: Option<Series>,
}

/// One agent in the world.
struct Agent {
    balancer: Balancer,
    /// Reports on their way, in order of arrival.
    inbox: VecDeque<(u64, Ended)>,
    /// The edition of the route that it knows.
    edition: u64,
}

/// The world while a run goes on.
struct World<'a> {
    scenario: &'a Scenario,
    agents: Vec<Agent>,
    nodes: Vec<Node>,
    /// By node: whether it is in the route, and whether it drains.
    routed: Vec<(bool, bool)>,
    route: Vec<Standing>,
    edition: u64,
    calls: Calls,
    agenda: Agenda,
    history: History,
    /// What callers do: the same for every policy.
    callers: Rng,
    lost: Vec<CallId>,
    shifts: Vec<Shift>,
}

/// Runs the scenario once. `origin` stands for virtual zero and changes nothing about the outcome.
pub fn run(
    scenario: &Scenario,
    policy: &Policy,
    seed: u64,
    origin: Instant,
    series: bool,
) -> Result<Run, SimulateError> {
    let mut world = World::new(scenario, policy, seed, origin, series)?;
    world.begin_next(0);
    while world.agenda.has_calls() {
        let (now, due) = world.agenda.pop();
        world.step(now, due);
    }
    let (figures, series) = world.history.finish();
    Ok(Run { figures, series })
}

/// Runs the scenario with the seeds 1 to `seeds`, on so many threads. The first run is also kept for drawing where
/// `series` says so.
pub fn simulate(
    scenario: &Scenario,
    policy: &Policy,
    seeds: u64,
    threads: NonZeroUsize,
    origin: Instant,
    series: bool,
) -> Result<(Report, Option<Series>), SimulateError> {
    let next = AtomicU64::new(1);
    let done = Mutex::new(Vec::new());
    let work = || loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed > seeds {
            return;
        }
        let outcome = run(scenario, policy, seed, origin, series && seed == 1);
        if let Ok(mut done) = done.lock() {
            done.push((seed, outcome));
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.get() {
            scope.spawn(work);
        }
        work();
    });
    let mut done = done.into_inner().unwrap_or_default();
    done.sort_by_key(|(seed, _)| *seed);
    let (mut figures, mut drawn) = (Vec::new(), None);
    for (_, outcome) in done {
        let run = outcome?;
        figures.push(run.figures);
        drawn = drawn.or(run.series);
    }
    Ok((Report::new(scenario, policy, &figures), drawn))
}

impl<'a> World<'a> {
    fn new(
        scenario: &'a Scenario,
        policy: &Policy,
        seed: u64,
        origin: Instant,
        series: bool,
    ) -> Result<Self, SimulateError> {
        let mut random = Rng::with_seed(seed);
        let callers = random.fork();
        let count = scenario.nodes.len();
        let mut agents = Vec::new();
        let mut phases = Vec::new();
        for _ in 0..scenario.agents {
            phases.push(random.u64(..scenario.publish));
            let mut balancer = Balancer::new(policy, scenario.readers, count, random.u64(..), origin)?;
            let zones = scenario.agent_zones.len();
            if zones > 0 {
                balancer.prefer_zone(&scenario.agent_zones[agents.len() % zones]);
            }
            agents.push(Agent {
                balancer,
                inbox: VecDeque::new(),
                edition: 0,
            });
        }
        let mut agenda = Agenda::new(&phases, scenario.publish);
        for (place, event) in scenario.events.iter().enumerate() {
            agenda.push(event.at, Due::Event(place as u32));
        }
        let mut world = Self {
            agents,
            nodes: scenario.nodes.iter().map(Node::new).collect(),
            routed: scenario.nodes.iter().map(|plan| (plan.routed, false)).collect(),
            route: Vec::new(),
            edition: 0,
            calls: Calls::default(),
            agenda,
            history: History::new(scenario, series),
            callers,
            lost: Vec::new(),
            shifts: Vec::new(),
            scenario,
        };
        world.reroute();
        world.recount_capacity(0);
        for agent in 0..scenario.agents {
            world.learn(0, agent);
        }
        Ok(world)
    }

    fn step(&mut self, now: u64, due: Due) {
        match due {
            Due::Event(place) => {
                let scenario = self.scenario;
                self.happen(now, &scenario.events[place as usize]);
            }
            Due::Flip(node, flapping) => self.flip(now, node, flapping),
            Due::Done(node, life, call, ok) => self.done(now, node, life, call, ok),
            Due::TimeOut(call) => {
                if !self.calls.get(call).answered {
                    self.answer(now, call, Outcome::TimedOut);
                }
                self.calls.release(call);
            }
            Due::Turn(agent) => self.turn(now, agent),
            Due::Begin => {
                self.begin(now);
                self.begin_next(now);
            }
        }
    }

    /// When the next call begins: callers do not look at each other.
    fn begin_next(&mut self, now: u64) {
        let pause = exponential(&mut self.callers) * SECOND as f64 / self.scenario.rate_per_s;
        let at = now + pause as u64;
        self.agenda.set_begin((at < self.scenario.duration).then_some(at));
    }

    fn begin(&mut self, now: u64) {
        let agent = self.callers.u32(..self.scenario.agents);
        let reader = self.callers.u32(..self.scenario.readers);
        let (draw, lost) = (Draw(self.callers.u64(..)), self.callers.f64());
        let picked = self.agents[agent as usize].balancer.pick(now, reader, draw.0);
        let Pick::Node { node, token } = picked else {
            return self.history.refused(now);
        };
        self.history.sent(now, node);
        let is_dead = self.nodes[node as usize].is_dead();
        let call = self.calls.begin(Call {
            began: now,
            agent,
            reader,
            node,
            token,
            draw,
            reported: lost >= self.scenario.report_loss,
            answered: false,
            held: if is_dead { 1 } else { 2 },
        });
        self.agenda.push_time_out(now + self.scenario.timeout, call);
        if !is_dead && self.nodes[node as usize].arrive(call) {
            self.serve(now, node, call);
        }
    }

    /// A worker takes a call up.
    fn serve(&mut self, now: u64, node: u32, call: CallId) {
        let worker = &self.nodes[node as usize];
        let served = worker.serve(now, self.calls.get(call).draw.luck(worker.service));
        self.agenda
            .push(served.done, Due::Done(node, worker.life(), call, served.ok));
    }

    fn done(&mut self, now: u64, node: u32, life: u32, call: CallId, ok: bool) {
        if self.nodes[node as usize].life() != life {
            return;
        }
        if !self.calls.get(call).answered {
            self.answer(now, call, if ok { Outcome::Ok } else { Outcome::Failed });
        }
        self.calls.release(call);
        if let Some(next) = self.nodes[node as usize].done(call) {
            self.serve(now, node, next);
        }
    }

    /// The caller knows how its call went, and reports it.
    fn answer(&mut self, now: u64, id: CallId, outcome: Outcome) {
        let call = self.calls.get(id);
        call.answered = true;
        let ended = Ended {
            node: call.node,
            token: call.token,
            outcome,
            latency: now - call.began,
        };
        self.history.ended(call.began, now, outcome);
        let (number, reader, reported) = (call.agent, call.reader, call.reported);
        let agent = &mut self.agents[number as usize];
        agent
            .balancer
            .end(now, reader, &ended, reported, &mut self.shifts);
        if reported {
            agent.inbox.push_back((now + self.scenario.report_delay, ended));
        }
        self.note_shifts(now, number);
    }

    fn turn(&mut self, now: u64, number: u32) {
        if self.agents[number as usize].edition != self.edition {
            self.learn(now, number);
        }
        let agent = &mut self.agents[number as usize];
        while let Some((_, ended)) = agent.inbox.pop_front_if(|(arrives, _)| *arrives <= now) {
            agent.balancer.report(now, &ended);
        }
        agent.balancer.turn(now, &mut self.shifts);
        self.note_shifts(now, number);
    }

    fn note_shifts(&mut self, now: u64, agent: u32) {
        for shift in self.shifts.drain(..) {
            match shift {
                Shift::Ejected(node) => {
                    let deserved = self.nodes[node as usize].is_faulty();
                    self.history.ejected(now, agent, node, deserved);
                }
                Shift::Readmitted(node) => self.history.readmitted(now, agent, node),
            }
        }
    }
}

/// What happens to nodes.
impl World<'_> {
    fn happen(&mut self, now: u64, event: &Event) {
        for &node in &event.nodes {
            let flapping = self.nodes[node as usize].change(event.change, &mut self.lost);
            if let (Some(flapping), Change::Flap { down, .. }) = (flapping, event.change) {
                self.agenda.push(now + down, Due::Flip(node, flapping));
            }
            match event.change {
                Change::Add => self.routed[node as usize] = (true, false),
                Change::Remove => self.routed[node as usize] = (false, false),
                Change::Drain => self.routed[node as usize].1 = true,
                _ => {}
            }
        }
        if matches!(event.change, Change::Add | Change::Remove | Change::Drain) {
            self.reroute();
        }
        self.forget_lost();
        self.recount_capacity(now);
    }

    fn flip(&mut self, now: u64, node: u32, flapping: u32) {
        let Some(down) = self.nodes[node as usize].flip(flapping, &mut self.lost) else {
            return;
        };
        self.forget_lost();
        let length = self
            .scenario
            .events
            .iter()
            .rev()
            .find_map(|event| match event.change {
                Change::Flap { up, down: dead } if event.at <= now && event.nodes.contains(&node) => {
                    Some(if down { dead } else { up })
                }
                _ => None,
            });
        if let Some(length) = length {
            self.agenda.push(now + length, Due::Flip(node, flapping));
        }
        self.recount_capacity(now);
    }

    /// Calls that a node lost are never answered; their callers still wait.
    fn forget_lost(&mut self) {
        for call in self.lost.drain(..) {
            self.calls.release(call);
        }
    }

    fn recount_capacity(&mut self, now: u64) {
        let routed = self
            .nodes
            .iter()
            .zip(&self.routed)
            .filter(|(_, (routed, _))| *routed);
        let capacity = routed.map(|(node, _)| node.capacity()).sum();
        self.history.capacity(now.min(self.scenario.duration), capacity);
    }

    /// The route has another edition, which each agent learns in its next turn.
    fn reroute(&mut self) {
        self.edition += 1;
        let routed = self.routed.iter().enumerate().filter(|(_, (routed, _))| *routed);
        let standings = routed.map(|(node, &(_, draining))| {
            let plan = &self.scenario.nodes[node];
            Standing {
                node: node as u32,
                weight: plan.weight,
                zone: plan.zone.clone(),
                draining,
            }
        });
        self.route = standings.collect();
    }

    fn learn(&mut self, now: u64, number: u32) {
        let agent = &mut self.agents[number as usize];
        agent.edition = self.edition;
        agent.balancer.learn(now, &self.route);
    }
}
