//! Looking ahead: with millions of nodes what a report or a look costs is the memory that it touches, and that no cache
//! holds. What one of several needs says nothing about where the next one leads; so all are looked at first, and the processor
//! waits for their memory at once, and not for each by itself.

use super::Shard;
use super::account::Account;
use super::known::Known;
use super::run::CallRun;
use super::timers::Timer;
use std::hint::black_box;
use std::time::Instant;

/// As many as are looked ahead at: more than a processor fetches at a time, and few enough that the first is still in its cache.
pub const AHEAD: usize = 16;

impl Shard {
    /// Looks at what [`Self::ended`] needs of each of some runs, [`AHEAD`] at most.
    pub fn look_ahead(&self, runs: &[CallRun]) {
        for run in runs {
            black_box(self.ledger.behind(run.slot).map(Account::look_ahead));
        }
    }

    /// Looks at what the looks among these will need: first the modules, then what those lead to, and so on.
    pub(super) fn look_ahead_at(&self, due: &[(Instant, Timer)]) {
        if due.len() < 2 {
            return;
        }
        let modules = || {
            due.iter().filter_map(|(_, timer)| match timer {
                Timer::Look(module) => self.modules.known(*module),
                Timer::Module(_) | Timer::Node(..) | Timer::Window(_) => None,
            })
        };
        for known in modules() {
            black_box((known.armed, known.nodes.len()));
        }
        for known in modules() {
            black_box(known.group.look_ahead());
            for node in &known.nodes {
                black_box((node.account, node.view()));
            }
        }
        for known in modules() {
            self.look_ahead_in(known);
        }
    }

    fn look_ahead_in(&self, known: &Known) {
        for node in &known.nodes {
            let account = self.ledger.at(node.account);
            black_box((account.look_ahead(), node.mind.look_ahead()));
        }
    }
}
