//! The part of the modules that one core owns: it asks the pure shard what to do and does it, on the board and
//! towards dns and callers.

use crate::callers::GrantTray;
use crate::core::answer::{explanation_frame, frames_without_nodes, route_frames};
use crate::core::line::Line;
use crate::core::waiting::Waiters;
use crate::mail::{Answered, Ask, Confirm, Order, PolicySet, Question};
use crate::stats::CoreCounts;
use bytes::Bytes;
use hashbrown::HashSet;
use lars_board::{BoardError, BoardWriter, Entry, EntryNode, Grant, Hot};
use lars_pool::Seldom;
use lars_shard::{AHEAD, CallRun, Command, NodeChange, RouteNews, Shard};
use lars_wire::ModuleId;
use lars_wire::caller::{Report, Status};
use lars_wire::record::Tally;
use std::sync::Arc;
use std::time::Instant;

/// One core's modules: judged by the shard, written to the board, waited for by callers.
pub(crate) struct Owner {
    shard: Shard,
    board: BoardWriter,
    /// Where probes go that callers with the board are to make.
    tray: GrantTray,
    waiters: Waiters,
    /// Questions with long answers, of which few are answered in one turn.
    line: Line,
    /// Modules whose route is here but found no room on the board: asked for again, they are tried again.
    unpublished: HashSet<ModuleId>,
    counts: Arc<CoreCounts>,
    full_log: Seldom,
    /// Filled by the shard, emptied by [`Self::execute`]; kept to spare the allocation.
    commands: Vec<Command>,
    /// Likewise for one entry of the board.
    nodes: Vec<EntryNode>,
    /// Likewise for what is refreshed of one.
    hot: Vec<Hot>,
    /// What dns is to be told.
    pub orders: Vec<Order>,
    /// Answers to be delivered.
    pub answers: Vec<Answered>,
    /// Nodes that stand otherwise than before.
    pub changes: Vec<NodeChange>,
}

impl Owner {
    /// An owner of nothing yet.
    pub(crate) fn new(shard: Shard, board: BoardWriter, tray: GrantTray, counts: Arc<CoreCounts>) -> Self {
        Self {
            shard,
            board,
            tray,
            waiters: Waiters::new(),
            line: Line::default(),
            unpublished: HashSet::new(),
            counts,
            full_log: Seldom::new(),
            commands: Vec::new(),
            nodes: Vec::new(),
            hot: Vec::new(),
            orders: Vec::new(),
            answers: Vec::new(),
            changes: Vec::new(),
        }
    }

    /// A caller's core found nothing on the board, or wants what the board does not hold. Answered at once, or once
    /// the first route is here.
    pub(crate) fn ask(&mut self, now: Instant, ask: Ask) {
        let status = self.want(now, ask.module);
        let waits = status == Status::Pending && ask.deadline_ms > 0;
        if !(waits && self.waiters.add(now, ask)) {
            self.answer(ask, status);
        }
    }

    /// Somebody wants a module; how it stands.
    pub(crate) fn want(&mut self, now: Instant, module: ModuleId) -> Status {
        let status = self.shard.want(now, module, &mut self.commands);
        self.execute(now);
        match status {
            Status::Ok if self.unpublished.contains(&module) => self.publish_again(now, module),
            other => other,
        }
    }

    /// dns pushed a route; once it is on the board, dns is told.
    pub(crate) fn learn(&mut self, now: Instant, news: &RouteNews, confirm: Option<Confirm>) {
        self.shard.learn(now, news, &mut self.commands);
        self.execute(now);
        self.counts.routes_learnt.add(u64::from(confirm.is_some()));
        self.orders.extend(confirm.map(Order::Applied));
    }

    /// Calls ended.
    pub(crate) fn report(&mut self, now: Instant, reports: &[Report]) {
        for report in reports {
            self.shard.report(now, report, &mut self.commands);
            // A change is on the board before the next pick, also one in the same turn.
            if !self.commands.is_empty() {
                self.execute(now);
            }
        }
    }

    /// Calls ended, as rings told.
    pub(crate) fn ended(&mut self, now: Instant, runs: &[CallRun]) {
        for some in runs.chunks(AHEAD) {
            self.shard.look_ahead(some);
            for run in some {
                self.shard.ended(now, run, &mut self.commands);
                if !self.commands.is_empty() {
                    self.execute(now);
                }
            }
        }
    }

    /// Modules are still in use.
    pub(crate) fn used(&mut self, now: Instant, modules: &[ModuleId]) {
        for &module in modules {
            self.shard.used(now, module);
        }
    }

    /// Nodes are judged by other policies from here on; of single modules those of this owner count.
    pub(crate) fn set_policies(&mut self, now: Instant, me: u16, cores: u16, set: &PolicySet) {
        let own = set.modules.iter().filter(|(module, _)| module.shard(cores) == me);
        let own = own.map(|(&module, policy)| (module, policy.clone())).collect();
        self.shard.set_policies(now, &set.policy, own, &mut self.commands);
        self.execute(now);
    }

    /// Nodes at most of which there are counts to take.
    pub(crate) fn tallies_waiting(&self) -> usize {
        self.shard.tallies_waiting()
    }

    /// The counts of `most` nodes since the last time.
    pub(crate) fn take_tallies(&mut self, now: Instant, most: usize) -> Vec<Tally> {
        let mut tallies = Vec::new();
        self.shard.take_tallies(now, most, &mut tallies);
        tallies
    }

    /// Does what is due; returns when something will be.
    pub(crate) fn settle(&mut self, now: Instant) -> Option<Instant> {
        if self.shard.next_timeout().is_some_and(|due| due <= now) {
            self.shard.due(now, &self.board, &mut self.commands);
            self.execute(now);
        }
        while let Some(ask) = self.waiters.expire(now) {
            self.answer(ask, Status::Pending);
        }
        self.answer_line(now);
        self.shard.take_changes(&mut self.changes);
        let held = self.shard.counts();
        self.counts.modules.set(held.modules);
        self.counts.held_routes.set(held.held);
        self.counts.held_total.set(held.held_total);
        self.counts.reports_refused.set(held.reports_refused_total);
        self.counts.waiting.set(self.waiters.len() as u64);
        [self.shard.next_timeout(), self.waiters.next_timeout()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Has a probe made: by a caller with the board where there are such, else by the next pick over a socket.
    fn grant(&mut self, grant: Grant) {
        if !self.tray.put(grant) {
            self.probe(grant);
        }
    }

    /// The next pick over a socket is to make the probe.
    pub(crate) fn probe(&mut self, grant: Grant) {
        self.board.grant(grant.module, grant.node);
    }

    /// Tells readers that the owner lives.
    pub(crate) fn beat(&mut self, now: Instant) {
        self.board.beat(now);
    }

    fn execute(&mut self, now: Instant) {
        let mut commands = std::mem::take(&mut self.commands);
        for command in commands.drain(..) {
            match command {
                Command::Subscribe(module) => self.orders.push(Order::Subscribe(module)),
                Command::Unsubscribe(module) => self.orders.push(Order::Unsubscribe(module)),
                Command::Publish(module) => self.publish(now, module),
                Command::Withdraw(module) => {
                    self.unpublished.remove(&module);
                    self.board.withdraw(now, module);
                }
                Command::Refresh(module) => {
                    self.shard.hot(module, &mut self.hot);
                    self.board.refresh(now, module, &self.hot);
                }
                Command::Grant(module, node) => self.grant(Grant { module, node }),
                Command::Answer(module, status) => {
                    let unpublished = status == Status::Ok && self.unpublished.contains(&module);
                    let status = if unpublished { Status::Failed } else { status };
                    for ask in self.waiters.take(module) {
                        self.answer(ask, status);
                    }
                }
            }
        }
        self.commands = commands;
    }

    fn publish(&mut self, now: Instant, module: ModuleId) {
        let mut nodes = std::mem::take(&mut self.nodes);
        nodes.clear();
        if let Some((version, rule)) = self.shard.entry(module, &mut nodes) {
            let entry = Entry {
                module,
                version,
                rule,
                nodes: &nodes,
            };
            match self.board.publish(now, &entry) {
                Ok(_) => {
                    self.unpublished.remove(&module);
                }
                Err(error) => self.not_published(now, module, &error),
            }
        }
        self.nodes = nodes;
    }

    /// An older entry would go on answering with nodes that may be gone, so it is taken off: failed is honest.
    fn not_published(&mut self, now: Instant, module: ModuleId, error: &BoardError) {
        self.board.withdraw(now, module);
        if self.unpublished.insert(module) {
            self.counts.board_full.add(1);
        }
        if let Some(kept_back) = self.full_log.allow(now) {
            tracing::error!(%module, %error, kept_back, "a module is not on the board; its picks are answered as failed");
        }
    }

    fn publish_again(&mut self, now: Instant, module: ModuleId) -> Status {
        self.publish(now, module);
        if self.unpublished.contains(&module) {
            Status::Failed
        } else {
            Status::Ok
        }
    }

    /// Answers at once what is short; what is long stands in line, and is short where there is no room.
    fn answer(&mut self, ask: Ask, status: Status) {
        if !ask.question.is_bulky() {
            self.put_answer(ask, status, Bytes::new());
        } else if !self.line.add(ask, status) {
            let status = Status::Pending;
            self.put_answer(ask, status, frames_without_nodes(&ask, status));
        }
    }

    /// Makes the long answers that this turn allows.
    fn answer_line(&mut self, now: Instant) {
        self.line.begin_turn();
        while let Some((ask, status)) = self.line.next() {
            let route = self.shard.route(ask.module);
            self.line.made(route.map_or(0, |(_, route)| route.nodes().len()));
            let frames = match ask.question {
                Question::Route => route_frames(&ask, status, route),
                Question::Explain => {
                    explanation_frame(&ask, self.shard.explain(now, ask.module, &self.board))
                }
                Question::Pick(..) | Question::Register => Bytes::new(),
            };
            self.put_answer(ask, status, frames);
        }
    }

    /// Whether long answers are left for the next turn.
    pub(crate) fn has_line(&self) -> bool {
        !self.line.is_empty()
    }

    fn put_answer(&mut self, ask: Ask, status: Status, frames: Bytes) {
        let version = self.shard.route(ask.module).map_or(0, |(version, _)| version);
        self.answers.push(Answered {
            ask,
            status,
            version,
            frames,
        });
    }
}
