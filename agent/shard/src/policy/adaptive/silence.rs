//! Calls in flight that do not come back: evidence against a node long before its first call has timed out, and never a
//! part of its cost.
//!
//! The owner sees of calls in flight only how many there are. While no call of a node ends, what is in flight can only
//! have grown, so whoever looks often knows how old each call is at least. Each call is as surprising as its age is
//! improbable, and together they are as surprising as the sum. A report that is lost looks the same: so no call surprises
//! more than the loss of its report would.

use super::latency::Latency;
use std::time::{Duration, Instant};

/// What a time-out says besides its length: callers choose theirs so that a healthy node seldom (e^-3 is one in 20 of what
/// latencies alone say) meets it.
const TIMED_OUT: f64 = 3.0;
/// Ages that are told apart; younger calls beyond are taken for as young as the youngest of all.
const COHORTS_MAX: usize = 8;

/// Calls that were in flight no later than `since`.
#[derive(Clone, Copy, Debug)]
struct Cohort {
    since: Instant,
    calls: u32,
}

/// One node's silence.
#[derive(Clone, Debug)]
pub(super) struct Silence {
    cohorts: [Cohort; COHORTS_MAX],
    held: usize,
    /// The sum of the calls of the cohorts.
    calls: u32,
    /// The surprise of calls that ended in a time-out, while nothing else ended.
    timed_out: f64,
    /// Time-outs and answers since the last look.
    new_time_outs: u32,
    answered: bool,
    /// When it was looked at last; none before the first time.
    looked: Option<Instant>,
}

impl Silence {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            cohorts: [Cohort { since: now, calls: 0 }; COHORTS_MAX],
            held: 0,
            calls: 0,
            timed_out: 0.0,
            new_time_outs: 0,
            answered: false,
            looked: None,
        }
    }

    /// A call was answered, well or badly.
    #[inline]
    pub(super) fn answer(&mut self) {
        self.answered = true;
    }

    /// Calls in flight that are waited for.
    pub(super) fn calls(&self) -> u32 {
        self.calls
    }

    /// Whether one was since the last look.
    pub(super) fn is_answered(&self) -> bool {
        self.answered
    }

    /// Calls timed out after this long.
    pub(super) fn time_out(&mut self, calls: u32, after: Duration, latency: &Latency) {
        self.new_time_outs = self.new_time_outs.saturating_add(calls);
        self.timed_out += f64::from(calls) * (latency.surprise(after) + TIMED_OUT);
    }

    /// There are so many calls in flight now. After a pause longer than `pause_max` nothing is concluded from before it.
    /// Where reports get lost, what is in flight when the node answers may be lost, and says nothing at all; nor does what
    /// is in flight at the first look.
    pub(super) fn look(&mut self, now: Instant, in_flight: u32, pause_max: Duration, loses: bool) {
        let looked = self.looked.replace(now);
        let paused = looked.is_none_or(|looked| now.saturating_duration_since(looked) > pause_max);
        let (time_outs, answered) = (self.new_time_outs, self.answered);
        (self.new_time_outs, self.answered) = (0, false);
        if answered {
            self.timed_out = 0.0;
        }
        let left = self.calls.saturating_sub(time_outs);
        if answered || paused || in_flight < left {
            self.held = 0;
            self.calls = if loses || looked.is_none() { in_flight } else { 0 };
        } else {
            self.drop_oldest(time_outs);
        }
        if in_flight > self.calls {
            let calls = in_flight - self.calls;
            if self.held < COHORTS_MAX {
                self.cohorts[self.held] = Cohort { since: now, calls };
                self.held += 1;
            } else {
                // Taken for as young as they are: the last cohort grows younger with them.
                let last = &mut self.cohorts[COHORTS_MAX - 1];
                *last = Cohort {
                    since: now,
                    calls: last.calls + calls,
                };
            }
            self.calls = in_flight;
        }
    }

    fn drop_oldest(&mut self, mut calls: u32) {
        while calls > 0 && self.held > 0 {
            let dropped = calls.min(self.cohorts[0].calls);
            self.cohorts[0].calls -= dropped;
            self.calls -= dropped;
            calls -= dropped;
            if self.cohorts[0].calls == 0 {
                self.cohorts.copy_within(1..self.held, 0);
                self.held -= 1;
            }
        }
    }

    /// How improbable it is that a healthy node is silent like this: a negative natural logarithm. One call counts for
    /// at most `each_max`, unless it is known to have timed out, and of those that wait the `calls_max` oldest count at most:
    /// what stands in a queue behind others waits with them. A node that is `slower` than the others by this factor, as
    /// is known, is given so much more time.
    pub(super) fn surprise(
        &self,
        now: Instant,
        latency: &Latency,
        each_max: f64,
        calls_max: f64,
        slower: f32,
    ) -> f64 {
        let (mut sum, mut left) = (self.timed_out, calls_max);
        for cohort in &self.cohorts[..self.held] {
            let mut age = now.saturating_duration_since(cohort.since);
            if slower > 1.0 {
                age = age.div_f32(slower);
            }
            // Much younger than the mean says nothing; that most cohorts are keeps this cheap.
            if left <= 0.0 || age.as_micros() as f32 <= latency.mean_us() / 4.0 {
                break;
            }
            let calls = f64::from(cohort.calls).min(left);
            left -= calls;
            sum += calls * latency.surprise(age).min(each_max);
        }
        sum
    }

    /// What time-outs said fades, so that a node that nobody calls is tried again some day.
    pub(super) fn fade(&mut self, part: f64) {
        self.timed_out *= 1.0 - part;
    }

    /// Calls not answered, and for how long the oldest of them at least.
    pub(super) fn waiting(&self, now: Instant) -> (u32, Duration) {
        let oldest = self.cohorts[..self.held].first();
        let age = oldest.map_or(Duration::ZERO, |cohort| {
            now.saturating_duration_since(cohort.since)
        });
        (self.calls, age)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE_MAX: Duration = Duration::from_secs(1);
    const ALL: f64 = f64::INFINITY;

    fn latency(start: Instant) -> Latency {
        let mut latency = Latency::new(start);
        latency.add(1_000, 10_000);
        latency.settle(start, Duration::from_secs(1), 8.0);
        latency
    }

    /// Whose first look found nothing in flight.
    fn looked_at(start: Instant) -> Silence {
        let mut silence = Silence::new(start);
        silence.look(start, 0, PAUSE_MAX, false);
        silence
    }

    #[test]
    fn calls_in_flight_at_the_first_look_say_nothing_and_those_behind_it_do() {
        let start = Instant::now();
        let latency = latency(start);
        let mut silence = Silence::new(start);
        silence.look(start, 100, PAUSE_MAX, false);
        assert_eq!(silence.surprise(start + ms(500), &latency, 99.0, ALL, 1.0), 0.0);
        silence.look(start, 101, PAUSE_MAX, false);
        assert_eq!(
            silence.surprise(start + ms(500), &latency, 99.0, ALL, 1.0),
            latency.surprise(ms(500))
        );
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn calls_that_stay_surprise_by_their_ages_and_an_answer_ends_it() {
        let start = Instant::now();
        let latency = latency(start);
        let mut silence = looked_at(start);
        silence.look(start, 1, PAUSE_MAX, false);
        silence.look(start + ms(50), 3, PAUSE_MAX, false);
        assert_eq!(silence.surprise(start + ms(2), &latency, 99.0, ALL, 1.0), 0.0);
        let (one, two) = (latency.surprise(ms(60)), latency.surprise(ms(110)));
        assert_eq!(
            silence.surprise(start + ms(52), &latency, 99.0, ALL, 1.0),
            latency.surprise(ms(52)),
            "two are too young"
        );
        let all = silence.surprise(start + ms(110), &latency, 99.0, ALL, 1.0);
        assert_eq!(all, two + 2.0 * one);
        assert_eq!(silence.waiting(start + ms(110)), (3, ms(110)));
        assert_eq!(
            silence.surprise(start + ms(110), &latency, 2.0, ALL, 1.0),
            6.0,
            "a report may be lost"
        );
        silence.answer();
        silence.look(start + ms(120), 2, PAUSE_MAX, false);
        assert_eq!(silence.surprise(start + ms(122), &latency, 99.0, ALL, 1.0), 0.0);
    }

    #[test]
    fn of_calls_that_may_wait_for_each_other_the_oldest_count() {
        let start = Instant::now();
        let latency = latency(start);
        let mut silence = looked_at(start);
        silence.look(start, 2, PAUSE_MAX, false);
        silence.look(start + ms(50), 5, PAUSE_MAX, false);
        let (old, new) = (latency.surprise(ms(150)), latency.surprise(ms(100)));
        for (calls_max, surprise) in [(1.0, old), (2.0, 2.0 * old), (2.5, 2.0 * old + 0.5 * new)] {
            let told = silence.surprise(start + ms(150), &latency, 99.0, calls_max, 1.0);
            assert!((told - surprise).abs() < 1e-9, "{calls_max}: {told} {surprise}");
        }
    }

    #[test]
    fn fewer_in_flight_without_a_report_is_an_answer_and_a_pause_begins_anew() {
        let start = Instant::now();
        let latency = latency(start);
        let mut silence = looked_at(start);
        silence.look(start, 3, PAUSE_MAX, false);
        silence.look(start + ms(100), 2, PAUSE_MAX, false);
        assert_eq!(silence.surprise(start + ms(100), &latency, 99.0, ALL, 1.0), 0.0);
        silence.look(start + ms(1_101), 2, PAUSE_MAX, false);
        assert_eq!(silence.waiting(start + ms(1_101)), (2, ms(0)));
    }

    #[test]
    fn time_outs_are_no_answers_and_what_they_said_stays_until_one_comes() {
        let start = Instant::now();
        let latency = latency(start);
        let mut silence = looked_at(start);
        silence.look(start, 2, PAUSE_MAX, false);
        silence.time_out(1, ms(1_000), &latency);
        silence.look(start + ms(1_000), 1, PAUSE_MAX, false);
        let each = latency.surprise(ms(1_000)) + TIMED_OUT;
        assert_eq!(
            silence.surprise(start + ms(1_000), &latency, 1.0, ALL, 1.0),
            each + 1.0
        );
        silence.fade(0.5);
        assert_eq!(
            silence.surprise(start + ms(1_000), &latency, 1.0, ALL, 1.0),
            each / 2.0 + 1.0
        );
        silence.answer();
        silence.look(start + ms(1_010), 1, PAUSE_MAX, false);
        assert_eq!(silence.surprise(start + ms(1_011), &latency, 99.0, ALL, 1.0), 0.0);
    }

    #[test]
    fn slower_node_has_more_time_and_what_may_be_lost_says_nothing() {
        let start = Instant::now();
        let latency = latency(start);
        let mut silence = looked_at(start);
        silence.look(start, 2, PAUSE_MAX, false);
        let surprise = |silence: &Silence, after, slower| {
            silence.surprise(start + ms(after), &latency, 99.0, ALL, slower)
        };
        let far = surprise(&silence, 300, 3.0) - surprise(&silence, 100, 1.0);
        assert!(far.abs() < 1e-3, "{far}");
        assert_eq!(surprise(&silence, 100, 0.1), surprise(&silence, 100, 1.0));
        silence.answer();
        silence.look(start, 50, PAUSE_MAX, true);
        silence.look(start, 51, PAUSE_MAX, true);
        assert_eq!(silence.waiting(start), (51, ms(0)));
        assert_eq!(
            surprise(&silence, 100, 1.0),
            latency.surprise(ms(100)),
            "the last one alone"
        );
    }

    #[test]
    fn many_cohorts_are_never_taken_for_older_than_they_are() {
        let start = Instant::now();
        let mut silence = looked_at(start);
        for step in 0..20 {
            silence.look(start + ms(10 * step), step as u32 + 1, PAUSE_MAX, false);
        }
        assert_eq!((silence.held, silence.calls), (COHORTS_MAX, 20));
        let last = silence.cohorts[COHORTS_MAX - 1];
        assert_eq!((last.calls, last.since), (13, start + ms(190)));
    }
}
