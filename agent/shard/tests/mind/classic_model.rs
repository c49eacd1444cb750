//! The classic rule against a naive model: the text written down word by word, with a clock that ticks each 10 ms.

use crate::seeds::with_seeds;
use lars_shard::policy::classic::{Mind, Rule};
use lars_shard::{PolicyConfig, Preset};
use std::time::{Duration, Instant};

const TICK_MS: u64 = 10;

/// One node, as the text tells it. Times in milliseconds since its start.
struct Model {
    elb: bool,
    overloaded: bool,
    virtual_succ: u64,
    virtual_err: u64,
    real_succ: u64,
    real_err: u64,
    succ_run: u64,
    err_run: u64,
    bad_windows: u64,
    state_since: u64,
    window_since: u64,
    now: u64,
}

impl Model {
    fn new(elb: bool) -> Self {
        let mut model = Self {
            elb,
            overloaded: false,
            virtual_succ: 0,
            virtual_err: 0,
            real_succ: 0,
            real_err: 0,
            succ_run: 0,
            err_run: 0,
            bad_windows: 0,
            state_since: 0,
            window_since: 0,
            now: 0,
        };
        model.start(false);
        model
    }

    fn start(&mut self, overloaded: bool) {
        (self.virtual_succ, self.virtual_err) = if overloaded { (0, 5) } else { (180, 0) };
        (self.real_succ, self.real_err, self.succ_run, self.err_run) = (0, 0, 0, 0);
    }

    fn enter(&mut self, overloaded: bool) {
        self.start(overloaded);
        self.overloaded = overloaded;
        self.state_since = self.now;
        self.window_since = self.now;
        if overloaded {
            self.bad_windows = 0;
        }
    }

    fn tick(&mut self) {
        self.now += TICK_MS;
        let overload_timeout = if self.elb { 180_000 } else { 15_000 };
        if self.overloaded {
            if self.now - self.state_since >= overload_timeout {
                self.enter(false);
            }
        } else if self.now - self.window_since >= 15_000 {
            let calls = self.real_succ + self.real_err;
            if calls > 0 && self.real_err as f64 / calls as f64 >= 0.7 {
                self.bad_windows += 1;
            } else {
                self.bad_windows = 0;
            }
            if self.bad_windows >= if self.elb { 2 } else { 1 } {
                self.enter(true);
            } else {
                self.start(false);
                self.window_since = self.now;
            }
        }
    }

    fn report(&mut self, failed: bool, cost_ms: u64) {
        if failed {
            let count = if self.elb { (cost_ms / 100).clamp(1, 50) } else { 1 };
            self.virtual_err += count;
            self.real_err += count;
            self.err_run += count;
            self.succ_run = 0;
        } else {
            self.virtual_succ += 1;
            self.real_succ += 1;
            self.succ_run += 1;
            self.err_run = 0;
        }
        let all = (self.virtual_succ + self.virtual_err) as f64;
        let succ_rate = if self.elb { 0.95 } else { 0.5 };
        if !self.overloaded && failed && (self.virtual_err as f64 / all > 0.1 || self.err_run >= 15) {
            self.enter(true);
        } else if self.overloaded
            && !failed
            && (self.virtual_succ as f64 / all > succ_rate || self.succ_run >= 15)
        {
            self.enter(false);
        }
    }
}

/// A mind whose owner looks at it when a call ends and when its deadline comes, as a shard does.
struct Watched<'a> {
    rule: &'a Rule,
    start: Instant,
    mind: Mind,
}

impl Watched<'_> {
    fn instant(&self, ms: u64) -> Instant {
        self.start + Duration::from_millis(ms)
    }

    fn wait(&mut self, until_ms: u64) {
        while let Some(deadline) = self
            .mind
            .deadline(self.rule)
            .filter(|&at| at <= self.instant(until_ms))
        {
            self.mind.settle(self.rule, deadline);
        }
    }
}

#[test]
fn every_history_of_calls_and_pauses_moves_a_node_as_the_text_says() {
    with_seeds(60, |seed, mut random| {
        let elb = random.bool();
        let preset = if elb { Preset::Elb } else { Preset::Lars };
        let rule = Rule::new(&PolicyConfig {
            preset: Some(preset),
            ..PolicyConfig::default()
        });
        let (start, mut model) = (Instant::now(), Model::new(elb));
        let mind = Mind::new(&rule, start);
        let mut watched = Watched {
            rule: &rule,
            start,
            mind,
        };
        let (mut moves, mut was_overloaded) = (0, false);
        for step in 0..3_000 {
            // Long pauses are rare, so that windows with few calls, many calls and none all occur.
            let pause_ticks = match random.u32(..100) {
                0 => random.u64(..30_000),
                1..=9 => random.u64(..1_600),
                10..=59 => random.u64(..100),
                _ => 0,
            };
            (0..pause_ticks).for_each(|_| model.tick());
            watched.wait(model.now);
            let seen = (watched.mind.is_overloaded(), watched.mind.since());
            let told = (model.overloaded, watched.instant(model.state_since));
            assert_eq!(seen, told, "seed {seed} step {step}: after {pause_ticks} ticks");

            // Calls come in spells, each with its own share of failures.
            let failing = [0, 5, 20, 60, 90, 100][(step / 20 + seed as usize) % 6];
            let failed = random.u32(..100) < failing;
            let cost_ms = if random.u8(..20) == 0 {
                random.u64(..10_000)
            } else {
                random.u64(..250)
            };
            model.report(failed, cost_ms);
            let now = watched.instant(model.now);
            if failed {
                watched
                    .mind
                    .fail(&rule, now, cost_ms as u32 * 1_000 + random.u32(..1_000));
            } else {
                watched.mind.succeed(&rule, now);
            }
            let seen = (watched.mind.is_overloaded(), watched.mind.since());
            let told = (model.overloaded, watched.instant(model.state_since));
            assert_eq!(
                seen, told,
                "seed {seed} step {step}: after a call, failed {failed}"
            );
            moves += u32::from(was_overloaded != model.overloaded);
            was_overloaded = model.overloaded;
        }
        assert!(
            moves >= 10,
            "seed {seed}: a history that moves nothing proves nothing: {moves}"
        );
    });
}
