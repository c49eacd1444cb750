//! What happens, in order, and whether it came true.

use super::MODULE;
use super::callers::{Callers, Outcome};
use super::nodes::{Cast, Character};
use crate::outcome::Failure;
use crate::signals::EndSignals;
use crate::up::Up;
use lars_store::AnyStore;
use lars_store::calls::CallStore;
use lars_wire::caller::{NodeExplained, NodeView};
use std::time::{Duration, Instant};

/// Over which time a share of calls is measured.
const MEASURED: Duration = Duration::from_millis(1_500);
/// How long a change of state may take until the story counts as untrue: an ejected node waits some seconds for its probe.
const NOTICED_WITHIN: Duration = Duration::from_secs(8);
/// How long stored counts may lag behind reported ones.
const STORED_WITHIN: Duration = Duration::from_secs(3);
/// How often the agent is asked while something is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// The teller.
pub(super) struct Story<'a> {
    up: &'a Up,
    signals: &'a EndSignals,
    cast: &'a Cast,
    callers: Callers,
    begun: Instant,
    summed: (Instant, Vec<u64>),
    came_true: bool,
}

/// Calls that report has stored for the demo's module: succeeded, and not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct StoredCalls {
    ok: u64,
    failed: u64,
}

/// A signal ended the story before its end.
struct Ended;

impl<'a> Story<'a> {
    pub(super) fn new(up: &'a Up, signals: &'a EndSignals, cast: &'a Cast, callers: Callers) -> Self {
        let summed = (Instant::now(), callers.calls());
        Self {
            up,
            signals,
            cast,
            callers,
            begun: Instant::now(),
            summed,
            came_true: true,
        }
    }

    /// Tells it all; returns whether a signal ended it early.
    pub(super) fn tell(&mut self) -> Result<bool, Failure> {
        let names: Vec<_> = self
            .cast
            .nodes()
            .iter()
            .map(|node| format!("{} {}", node.addr(), node.character().name()))
            .collect();
        self.say(
            true,
            &format!("module {MODULE} has five nodes: {}", names.join(", ")),
        );
        self.say(
            true,
            "four callers pick a node, call it and report how it went, 800 times a second at most",
        );
        Ok(self.acts()?.is_err())
    }

    /// The inner result tells whether a signal came; the outer one that something broke.
    fn acts(&mut self) -> Result<Result<(), Ended>, Failure> {
        macro_rules! or_end {
            ($step:expr) => {
                match $step {
                    Ok(value) => value,
                    Err(Ended) => return Ok(Err(Ended)),
                }
            };
        }
        let (failing, mortal) = (
            self.cast.place(Character::Failing),
            self.cast.place(Character::Mortal),
        );
        let fair = 1.0 / self.cast.nodes().len() as f64;

        let noticed = or_end!(self.await_view(failing, NodeView::Overloaded)?);
        self.noticed("the failing node is noticed as overloaded", noticed);
        let before = or_end!(self.shares());
        self.say(
            before[mortal] > fair / 2.0,
            &format!("share of calls: {}", self.list(&before)),
        );

        self.cast.nodes()[mortal].kill();
        self.say(
            true,
            &format!(
                "{} dies: nothing listens at its port",
                self.cast.nodes()[mortal].addr()
            ),
        );
        let noticed = or_end!(self.await_view(mortal, NodeView::Overloaded)?);
        self.noticed("the dead node is noticed as overloaded", noticed);
        let during = or_end!(self.shares());
        let fell = during[mortal] < before[mortal] / 2.0;
        self.say(
            fell,
            &format!(
                "its share of calls: {:.1}% before, {:.1}% after (probes alone)",
                100.0 * before[mortal],
                100.0 * during[mortal]
            ),
        );

        self.cast.nodes()[mortal].heal();
        self.say(
            true,
            &format!("{} is healed: it listens again", self.cast.nodes()[mortal].addr()),
        );
        let noticed = or_end!(self.await_view(mortal, NodeView::Idle)?);
        self.noticed("the healed node is back in use", noticed);
        // It has to earn its share: calls come back to it as they find it no dearer than the others.
        let back = Instant::now();
        let mut after = or_end!(self.shares());
        while after[mortal] <= before[mortal] / 2.0 && back.elapsed() < NOTICED_WITHIN {
            after = or_end!(self.shares());
        }
        self.say(
            after[mortal] > before[mortal] / 2.0,
            &format!("its share of calls: {:.1}% again", 100.0 * after[mortal]),
        );
        Ok(Ok(()))
    }

    /// One line on how things go since the last one.
    pub(super) fn summary(&mut self) {
        let calls = self.callers.calls();
        let (since, last) = std::mem::replace(&mut self.summed, (Instant::now(), calls.clone()));
        let made: Vec<u64> = calls.iter().zip(&last).map(|(now, then)| now - then).collect();
        let rate = made.iter().sum::<u64>() as f64 / since.elapsed().as_secs_f64();
        self.say(
            true,
            &format!(
                "{rate:.0} calls a second; share of calls: {}",
                self.list(&shares_of(&made))
            ),
        );
    }

    /// Ends the callers; what they reported is taken when this returns.
    pub(super) fn end_calls(&mut self) -> Result<Outcome, Failure> {
        self.callers.stop()
    }

    /// Compares what the callers reported with what report stored. Returns whether the whole story came true.
    pub(super) fn settle(&mut self, outcome: &Outcome, before: StoredCalls) -> Result<bool, Failure> {
        let reported = StoredCalls {
            ok: outcome.ok,
            failed: outcome.failed,
        };
        let deadline = Instant::now() + STORED_WITHIN;
        let mut stored = self.stored_since(before)?;
        while stored != reported && Instant::now() < deadline {
            std::thread::sleep(LOOK_EVERY);
            stored = self.stored_since(before)?;
        }
        self.say(
            outcome.ok > 0 && outcome.refused == 0,
            &format!("{} picks got no node", outcome.refused),
        );
        let text = format!(
            "callers reported {} good and {} bad calls; report stored {} and {}",
            reported.ok, reported.failed, stored.ok, stored.failed
        );
        self.say(stored == reported, &text);
        Ok(self.came_true)
    }

    fn stored_since(&self, before: StoredCalls) -> Result<StoredCalls, Failure> {
        let now = stored_calls(self.up)?;
        Ok(StoredCalls {
            ok: now.ok - before.ok,
            failed: now.failed - before.failed,
        })
    }

    fn say(&mut self, is_true: bool, text: &str) {
        self.came_true &= is_true;
        let mark = if is_true { ' ' } else { '!' };
        println!("{mark}{:6.2} s  {text}", self.begun.elapsed().as_secs_f64());
    }

    fn noticed(&mut self, what: &str, noticed: Option<(Duration, NodeExplained)>) {
        match noticed {
            Some((after, node)) => {
                self.say(
                    true,
                    &format!("{what}, after {} ms: {}", after.as_millis(), node.reason),
                );
            }
            None => self.say(false, &format!("within {} s: {what}", NOTICED_WITHIN.as_secs())),
        }
    }

    /// Waits until the agent sees the node so; none where it does not in time.
    fn await_view(
        &self,
        place: usize,
        view: NodeView,
    ) -> Result<Result<Option<(Duration, NodeExplained)>, Ended>, Failure> {
        let (begun, addr) = (Instant::now(), self.cast.nodes()[place].addr());
        while begun.elapsed() < NOTICED_WITHIN {
            let explanation = self.callers.client().explain(MODULE)?;
            let node = explanation.nodes.into_iter().find(|node| node.node == addr);
            if let Some(node) = node.filter(|node| node.view == view) {
                return Ok(Ok(Some((begun.elapsed(), node))));
            }
            if self.signals.sleep(LOOK_EVERY) {
                return Ok(Err(Ended));
            }
        }
        Ok(Ok(None))
    }

    /// Each node's share of the calls made from now on for a while.
    fn shares(&self) -> Result<Vec<f64>, Ended> {
        let before = self.callers.calls();
        if self.signals.sleep(MEASURED) {
            return Err(Ended);
        }
        let made: Vec<u64> = self
            .callers
            .calls()
            .iter()
            .zip(&before)
            .map(|(now, then)| now - then)
            .collect();
        Ok(shares_of(&made))
    }

    fn list(&self, shares: &[f64]) -> String {
        let named = self.cast.nodes().iter().zip(shares);
        let texts: Vec<_> = named
            .map(|(node, share)| format!("{} {:.1}%", node.character().name(), 100.0 * share))
            .collect();
        texts.join(", ")
    }
}

fn shares_of(calls: &[u64]) -> Vec<f64> {
    let sum = calls.iter().sum::<u64>().max(1) as f64;
    calls.iter().map(|&count| count as f64 / sum).collect()
}

/// What report has stored for the demo's module, over all time.
pub(super) fn stored_calls(up: &Up) -> Result<StoredCalls, Failure> {
    let at = |error: &dyn std::fmt::Display| Failure::other(format!("the store cannot be read: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .map_err(|error| at(&error))?;
    let rows = runtime.block_on(async {
        let mut store = AnyStore::open(up.store()).await?;
        store.history(Some(MODULE), 0).await
    });
    let mut stored = StoredCalls::default();
    for row in rows.map_err(|error| at(&error))? {
        stored.ok += row.ok;
        stored.failed += row.failed + row.timed_out;
    }
    Ok(stored)
}
