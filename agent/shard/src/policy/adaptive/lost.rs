//! Calls whose reports never come: what share of a node's calls they are, and how many of those that seem to be in flight
//! are none.
//!
//! Without this a node whose callers forget some of their reports looks busy: calls of ten seconds and more would stand in
//! its way. Two rules, of which each covers what the other cannot:
//! - What began is known from what is in flight now, what was before, and what ended in between. The part of it that has not
//!   ended, beyond what rate and latency explain, is the share that never will. As much of what begins is forgiven at once,
//!   as long as the node answers: of one that does not, nobody can tell lost reports from calls that hang.
//! - What is older than any call is likely to be is forgiven, too: a node with few calls would not get the next one before.

use super::cost::fraction;
use super::latency::Latency;
use std::ops::AddAssign;
use std::time::Duration;

/// What is remembered is of about this long.
const TAU: Duration = Duration::from_secs(10);
/// Reports get lost above this share; below it is chance.
const LOSES: f64 = 0.01;
/// How improbable it may be (e^-3 is one in 20) that all calls since a node's last answer were lost.
const ALL_LOST_SURPRISE: f64 = 3.0;
/// So many calls may be under way by chance, beyond those of the mean.
const CHANCE_CALLS: f64 = 1.5;
/// So many calls without a loss stand beside a node's own when its share is told.
const KNOWN_CALLS: f64 = 3.0;
/// So many calls as lossy as the module's stand beside them when its silence is judged.
const USUAL_CALLS: f64 = 20.0;
/// Of a node that loses reports a call counts as lost at so many times the age that is as rare as a loss.
const AGE_FACTOR: u32 = 2;

/// So many calls began, and so many of them have not been reported; both fade.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Losses {
    begun: f64,
    lost: f64,
}

impl Losses {
    /// The share of lost ones, where `calls` more are taken for as lossy as `usual`.
    pub(super) fn share(self, calls: f64, usual: f64) -> f64 {
        ((self.lost.max(0.0) + calls * usual) / (self.begun + calls)).min(1.0)
    }
}

impl AddAssign for Losses {
    fn add_assign(&mut self, other: Self) {
        self.begun += other.begun;
        self.lost += other.lost;
    }
}

/// What a look at one node goes by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sight<'a> {
    /// Since the last look.
    pub(super) elapsed: Duration,
    /// Calls in flight; negative where more were forgiven than were lost.
    pub(super) held: i32,
    /// Whether the node has answered since the last look.
    pub(super) answered: bool,
    /// What is usual in the module.
    pub(super) latency: &'a Latency,
    /// No call takes longer, as far as is known.
    pub(super) patience: Duration,
}

/// One node's.
#[derive(Clone, Debug, Default)]
pub(super) struct Lost {
    losses: Losses,
    /// How long the calls took that ended, together, and the time that all of this is of; they fade as well.
    busy_us: f64,
    span: f64,
    /// What began since the node answered last, less what ended.
    open: Losses,
    /// Reports of calls that were in flight, since the last look.
    ended: u32,
    /// In flight at the last look, what was forgiven then left out.
    held: Option<i32>,
    /// Lost by all likelihood, and not forgiven yet.
    due: f64,
    /// Calls that began lately, those that did so shortly before, and since when the former are counted.
    recent: [i64; 2],
    recent_for: Duration,
}

impl Lost {
    /// Calls ended that were in flight, each after so long.
    #[inline]
    pub(super) fn end(&mut self, calls: u32, each_us: f32) {
        self.ended = self.ended.saturating_add(calls);
        self.busy_us += f64::from(calls) * f64::from(each_us);
    }

    /// The calls that are remembered, however they ended.
    pub(super) fn losses_known(&self) -> f64 {
        self.losses.begun + self.open.begun + self.due
    }

    /// Returns how many of the calls in flight are to be forgiven.
    pub(super) fn look(&mut self, sight: &Sight<'_>) -> u32 {
        self.fade(sight.elapsed);
        let ended = i64::from(std::mem::take(&mut self.ended));
        let before = self.held.replace(sight.held);
        let begun = before.map_or(0, |before| i64::from(sight.held) - i64::from(before) + ended);
        if before.is_none() || begun < 0 {
            // Old ones were forgotten (`lars_board::Board::bound_calls`): what began meanwhile cannot be told.
            return 0;
        }
        self.open += Losses {
            begun: begun as f64,
            lost: (begun - ended) as f64,
        };
        self.due += self.share() * begun as f64;
        let old = self.old(sight, begun);
        if !sight.answered && old == 0 {
            return 0;
        }
        if sight.answered {
            self.losses += std::mem::take(&mut self.open);
        }
        let held = sight.held.max(0) as u32;
        // In whole calls; what is forgiven too early now is made up for the next time.
        let forgiven = (self.due.round().max(0.0) as u32).max(old).min(held);
        self.due = (self.due - f64::from(forgiven)).clamp(-1.0, f64::from(held - forgiven));
        self.held = Some(sight.held - forgiven as i32);
        forgiven
    }

    fn fade(&mut self, elapsed: Duration) {
        let left = 1.0 - f64::from(fraction(elapsed, TAU));
        self.losses.begun *= left;
        self.losses.lost *= left;
        self.busy_us *= left;
        self.span = self.span * left + elapsed.as_secs_f64();
    }

    /// Calls in flight that are too old to be answered any more: at least those that did not begin lately.
    fn old(&mut self, sight: &Sight<'_>, begun: i64) -> u32 {
        // A few of a node that loses many may well all be lost; more that wait speak against it, and are left to wait.
        let unanswered = self.open.lost * -libm::log(self.share().max(f64::MIN_POSITIVE));
        let age = if self.loses() && (sight.answered || unanswered < ALL_LOST_SURPRISE) {
            let slower = (self.mean_us() / sight.latency.mean_us()).max(1.0);
            let rare = sight.latency.rarer_than(self.share()).mul_f32(slower);
            (AGE_FACTOR * rare).min(sight.patience)
        } else {
            sight.patience
        };
        self.recent_for += sight.elapsed;
        if self.recent_for >= age {
            self.recent = [0, self.recent[0]];
            self.recent_for = Duration::ZERO;
        }
        self.recent[0] += begun;
        let old = i64::from(sight.held) - self.recent[0] - self.recent[1];
        u32::try_from(old).unwrap_or(0)
    }

    /// What happened while it was not used says nothing.
    pub(super) fn interrupt(&mut self) {
        (self.open, self.held, self.due, self.ended) = (Losses::default(), None, 0.0, 0);
        (self.recent, self.recent_for) = ([0; 2], Duration::ZERO);
    }

    /// How long its calls took in the mean, of late; 0 where none ended.
    fn mean_us(&self) -> f32 {
        let ended = self.losses.begun - self.losses.lost;
        if ended > 0.0 {
            (self.busy_us / ended) as f32
        } else {
            0.0
        }
    }

    /// How many calls begin in a second.
    fn begun_per_s(&self) -> f64 {
        if self.span > 0.0 {
            self.losses.begun / self.span
        } else {
            0.0
        }
    }

    /// How many calls end in a second.
    pub(super) fn ended_per_s(&self) -> f64 {
        (1.0 - self.share()) * self.begun_per_s()
    }

    /// What is known. Calls that have not ended are not lost: there are as many at a time as rate and latency say (Little's
    /// law).
    pub(super) fn losses(&self) -> Losses {
        let under_way = self.begun_per_s() * f64::from(self.mean_us()) / 1e6;
        Losses {
            begun: self.losses.begun,
            lost: (self.losses.lost - under_way - CHANCE_CALLS).max(0.0),
        }
    }

    /// The share of its reports that get lost, as far as its own calls tell.
    fn share(&self) -> f64 {
        self.losses().share(KNOWN_CALLS, 0.0)
    }

    /// The same, where `usual` is what the module's calls tell.
    pub(super) fn likely(&self, usual: f64) -> f64 {
        self.losses().share(USUAL_CALLS, usual)
    }

    /// Whether reports get lost, more than chance would have it.
    pub(super) fn loses(&self) -> bool {
        self.share() > LOSES
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    const LOOK: Duration = Duration::from_millis(10);
    const PATIENCE: Duration = Duration::from_secs(2);

    /// A node at which `begin` calls begin between two looks and `lose` of them are lost; what is not comes back at once.
    struct Bench {
        lost: Lost,
        held: i32,
        latency: Latency,
    }

    impl Bench {
        /// Whose calls take a millisecond.
        fn new() -> Self {
            let start = Instant::now();
            let mut latency = Latency::new(start);
            latency.add(1_000, 1_000);
            latency.settle(start, TAU, 8.0);
            let mut bench = Self {
                lost: Lost::default(),
                held: 0,
                latency,
            };
            bench.look(false);
            bench
        }

        fn look(&mut self, answered: bool) -> u32 {
            let forgiven = self.lost.look(&Sight {
                elapsed: LOOK,
                held: self.held,
                answered,
                latency: &self.latency,
                patience: PATIENCE,
            });
            self.held -= forgiven as i32;
            forgiven
        }

        fn run(&mut self, looks: u32, begin: u32, lose: u32) {
            for _ in 0..looks {
                self.lost.end(begin - lose, 1_000.0);
                self.held += lose as i32;
                self.look(begin > lose);
            }
        }
    }

    #[test]
    fn what_gets_lost_is_learnt_and_then_forgiven_as_it_begins() {
        let mut bench = Bench::new();
        bench.run(100, 3, 1);
        let share = bench.lost.share();
        assert!((0.30..0.34).contains(&share), "{share}");
        bench.run(1_000, 3, 1);
        assert!(bench.held <= 10, "{}", bench.held);
        assert!(bench.lost.loses());
        bench.run(8_000, 3, 0);
        assert!(!bench.lost.loses(), "{}", bench.lost.share());
    }

    #[test]
    fn share_of_what_begins_is_forgiven_in_the_same_look() {
        let mut bench = Bench::new();
        bench.run(1_000, 3, 1);
        bench.lost.end(20, 1_000.0);
        bench.held += 10;
        let forgiven = bench.look(true);
        assert!(
            (8..=12).contains(&forgiven),
            "{forgiven} of 30, a third of which gets lost"
        );
    }

    #[test]
    fn calls_that_the_board_forgot_stay_lost() {
        let mut bench = Bench::new();
        bench.run(1, 100, 100);
        bench.held = 0;
        bench.look(true);
        bench.look(true);
        let Losses { begun, lost } = bench.lost.losses;
        assert!(
            begun > 99.0 && lost > 99.0,
            "{begun} began, {lost} of them got lost"
        );
    }

    #[test]
    fn nothing_is_forgiven_to_a_node_that_does_not_answer_until_patience_is_at_an_end() {
        let mut bench = Bench::new();
        bench.run(100, 3, 0);
        bench.run(100, 3, 3);
        assert_eq!(bench.held, 300);
        assert_eq!(bench.lost.losses().lost, 0.0);
        // They were late and not lost.
        bench.lost.end(300, 1_000.0);
        bench.held -= 300;
        bench.run(1, 3, 0);
        assert!(bench.lost.losses().lost.abs() < 1e-6);
        bench.run(100, 3, 3);
        bench.lost.interrupt();
        bench.run(2, 3, 0);
        assert!(bench.lost.losses().lost.abs() < 1e-6, "{:?}", bench.lost);
    }

    #[test]
    fn lone_call_that_is_lost_hides_a_node_for_its_patience_once_and_then_for_moments() {
        let mut bench = Bench::new();
        let mut hidden = Vec::new();
        for _ in 0..6 {
            bench.lost.end(2, 1_000.0);
            bench.held += 1;
            bench.look(true);
            let mut looks = 1;
            while bench.held > 0 {
                bench.look(false);
                looks += 1;
            }
            hidden.push(looks);
        }
        let (patient, quick) = hidden.split_at(1);
        assert!(
            patient.iter().all(|looks| (200..=402).contains(looks)),
            "{hidden:?}"
        );
        assert!(quick.iter().all(|&looks| looks <= 5), "{hidden:?}");
    }

    #[test]
    fn calls_under_way_are_not_lost() {
        let mut bench = Bench::new();
        // A hundred begin in each look, and end ten looks later.
        for look in 0..100 {
            bench.held += 100;
            if look >= 10 {
                bench.lost.end(100, 100_000.0);
                bench.held -= 100;
            }
            bench.look(look >= 10);
        }
        assert_eq!(bench.held, 1_000);
        assert!(!bench.lost.loses());
    }

    #[test]
    fn few_calls_are_judged_by_what_is_usual() {
        let mut bench = Bench::new();
        assert_eq!(bench.lost.likely(0.25), 0.25);
        bench.lost.end(20, 1_000.0);
        bench.look(true);
        assert!((bench.lost.likely(0.25) - 0.125).abs() < 1e-9);
        assert_eq!(bench.lost.share(), 0.0);
    }
}
