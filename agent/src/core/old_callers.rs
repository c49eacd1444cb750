//! Callers of the C++ Lars: each datagram a question, answered at once from the board, or a report. What the board lacks
//! does not exist for them; its owner is told, so that it does a moment later.

use crate::core::Core;
use crate::mail::Mail;
use hashbrown::HashSet;
use lars_board::{EntryNode, Picked};
use lars_compat::message::{GetHost, GetRoute, Host, HostAnswer, Report as OldReport, Retcode};
use lars_compat::route::RouteWriter;
use lars_compat::{FrameError, MessageId, datagram, decode, encode, module_of, node_of};
use lars_pool::{CoreIndex, Turn};
use lars_wire::caller::{NodeView, Outcome, Report, Status};
use lars_wire::{ModuleId, NodeAddr, NodeState};

/// Nodes that a pick passes over because these callers cannot name them (IPv6), before it is given up.
const UNNAMED_MAX: usize = 8;
/// Modules of which one core remembers that their routes were asked for, until it tells the owners.
const ROUTES_USED_MAX: usize = 65_536;

/// What one core keeps for these callers.
#[derive(Default)]
pub(super) struct OldCallers {
    writer: RouteWriter,
    /// Used again for each route.
    nodes: Vec<EntryNode>,
    /// Modules whose routes were asked for since the owners were told: asking for a route keeps a module as a pick
    /// does.
    pub(super) routes_used: HashSet<ModuleId>,
}

impl Core {
    /// Handles a datagram; the length of its answer in `out`, 0 where there is none.
    pub(super) fn old_caller(&mut self, turn: &mut Turn<'_, Mail>, bytes: &[u8], out: &mut [u8]) -> usize {
        match self.old_question(turn, bytes, out) {
            Ok(written) => written,
            Err(error) => {
                self.counts.old_bad.add(1);
                if let Some(kept_back) = self.bad_log.allow(turn.now()) {
                    tracing::warn!(%error, kept_back, "a datagram of a caller of the C++ Lars is left out");
                }
                0
            }
        }
    }

    fn old_question(
        &mut self,
        turn: &mut Turn<'_, Mail>,
        bytes: &[u8],
        out: &mut [u8],
    ) -> Result<usize, FrameError> {
        let frame = datagram(bytes)?;
        match frame.id() {
            Some(id @ MessageId::GetHost) => {
                let ask: GetHost = decode(id, frame.body)?;
                let answer = self.old_host(turn, ask);
                Ok(encode(MessageId::HostAnswer, &answer, out).unwrap_or(0))
            }
            Some(id @ MessageId::Report) => {
                self.old_report(turn, &decode(id, frame.body)?);
                Ok(0)
            }
            Some(id @ MessageId::CallerGetRoute) => {
                let ask: GetRoute = decode(id, frame.body)?;
                Ok(self.old_route(turn, module_of(ask.modid, ask.cmdid), out))
            }
            _ => {
                self.counts.old_skipped.add(1);
                Ok(0)
            }
        }
    }

    fn old_host(&mut self, turn: &mut Turn<'_, Mail>, ask: GetHost) -> HostAnswer {
        let module = module_of(ask.modid, ask.cmdid);
        let (retcode, host) = self.old_pick(module);
        if retcode == Retcode::NotFound {
            self.want(turn, module);
        }
        self.counts.pick(match retcode {
            Retcode::Ok => Status::Ok,
            Retcode::Overloaded => Status::Overloaded,
            Retcode::System => Status::Failed,
            Retcode::NotFound => Status::NotFound,
        });
        self.counts.old_hosts.add(1);
        HostAnswer {
            seq: ask.seq,
            modid: ask.modid,
            cmdid: ask.cmdid,
            retcode: retcode as i32,
            host,
        }
    }

    fn old_pick(&mut self, module: ModuleId) -> (Retcode, Option<Host>) {
        let mut unnamed = [NodeAddr::NONE; UNNAMED_MAX];
        for tries in 0..UNNAMED_MAX {
            let node = match self.reader.pick(module, &unnamed[..tries]) {
                Picked::Node(choice) => {
                    // What such a caller reports says not which call it was: it is in flight for no time.
                    self.reader.finish(choice.token);
                    choice.addr
                }
                Picked::Overloaded { .. } => return (Retcode::Overloaded, None),
                Picked::Absent => return (Retcode::NotFound, None),
            };
            if let Some(host) = Host::of(node) {
                return (Retcode::Ok, Some(host));
            }
            unnamed[tries] = node;
        }
        // Only nodes that these callers cannot name.
        (Retcode::System, None)
    }

    fn old_report(&mut self, turn: &mut Turn<'_, Mail>, report: &OldReport) {
        let node = report.host.and_then(|host| node_of(host.ip, host.port));
        // While the agent stops it could not pass the count on.
        let Some(node) = node.filter(|_| self.desk.takes_reports()) else {
            self.counts.old_reports_left_out.add(1);
            return;
        };
        let outcome = if report.retcode == 0 {
            Outcome::Ok
        } else {
            Outcome::Failed
        };
        let report = Report {
            module: module_of(report.modid, report.cmdid),
            node,
            token: 0,
            outcome,
            retcode: report.retcode,
            latency_us: 0,
        };
        self.take_report(turn, &report);
        self.deliver(turn);
    }

    fn old_route(&mut self, turn: &mut Turn<'_, Mail>, module: ModuleId, out: &mut [u8]) -> usize {
        self.counts.old_routes.add(1);
        let known = self.reader.entry(module, &mut self.old.nodes).is_some();
        if known && self.old.routes_used.len() < ROUTES_USED_MAX {
            self.old.routes_used.insert(module);
        }
        if !known {
            self.want(turn, module);
        }
        let nodes = self.old.nodes.iter().map(|node| {
            let state = match node.view {
                NodeView::Draining => NodeState::Draining,
                _ => NodeState::Serving,
            };
            (node.addr, state)
        });
        let written = self.old.writer.write(MessageId::CallerRoute, module, &nodes, out);
        written.unwrap_or(0)
    }

    /// Tells the owner that somebody wants a module that is not on the board.
    fn want(&mut self, turn: &mut Turn<'_, Mail>, module: ModuleId) {
        let owner = CoreIndex(module.shard(turn.cores()));
        if owner == self.me {
            self.owner.want(turn.now(), module);
            self.deliver(turn);
        } else {
            turn.post(owner, Mail::Want(module));
        }
    }
}
