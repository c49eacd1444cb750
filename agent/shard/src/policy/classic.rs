//! The rule of the C++ Lars and of its ancestor ELB (`load_balance.cpp` there, `RouteLb.cc` here), one node at a time.
//!
//! An idle node starts with assumed successes, an overloaded one with assumed failures, so that few calls do not lie.
//! Unlike the originals, which look at the clock only when a call is reported, time alone is enough: whatever a
//! clock would have done by `now` is done, at the instant it was due, before a call is counted.

use super::{PolicyConfig, Preset};
use std::time::{Duration, Instant};

/// Milliseconds of a failed call that ELB counts as one failure.
const CHARGE_MS: u32 = 100;
/// Failures that ELB counts for one call at most.
const CHARGE_MAX: u32 = 50;

/// The thresholds, with every blank filled in; [`PolicyConfig`] says what each means.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    missing_docs,
    reason = "the fields are documented under the same names in PolicyConfig"
)]
pub struct Rule {
    pub probe_num: u16,
    pub err_rate: f64,
    pub contin_err_limit: u32,
    pub init_succ_cnt: u32,
    pub init_err_cnt: u32,
    pub succ_rate: f64,
    pub contin_succ_limit: u32,
    pub overload_timeout: Duration,
    pub idle_timeout: Duration,
    pub window_err_rate: f64,
    pub window_err_limit: u32,
    /// ELB zeroes the count of picks whenever nothing is overloaded, Lars does not. Follows from the preset.
    pub forget_probe_count: bool,
    /// ELB weighs a failure by what it cost, Lars counts one. Follows from the preset.
    pub charge_by_cost: bool,
}

impl Rule {
    /// Fills the blanks of `config` from its preset.
    pub fn new(config: &PolicyConfig) -> Self {
        let elb = config.preset.unwrap_or_default() == Preset::Elb;
        // A time-out of zero would close windows without end; `PolicyConfig::check` refuses it with a reason.
        let timeout =
            |ms: Option<u32>, preset_ms| Duration::from_millis(ms.unwrap_or(preset_ms).max(1).into());
        Self {
            probe_num: config.probe_num.unwrap_or(10),
            err_rate: config.err_rate.unwrap_or(0.1),
            contin_err_limit: config.contin_err_limit.unwrap_or(15),
            init_succ_cnt: config.init_succ_cnt.unwrap_or(180),
            init_err_cnt: config.init_err_cnt.unwrap_or(5),
            succ_rate: config.succ_rate.unwrap_or(if elb { 0.95 } else { 0.5 }),
            contin_succ_limit: config.contin_succ_limit.unwrap_or(15),
            overload_timeout: timeout(config.overload_timeout_ms, if elb { 180_000 } else { 15_000 }),
            idle_timeout: timeout(config.idle_timeout_ms, 15_000),
            window_err_rate: config.window_err_rate.unwrap_or(0.7),
            window_err_limit: config.window_err_limit.unwrap_or(if elb { 2 } else { 1 }),
            forget_probe_count: elb,
            charge_by_cost: elb,
        }
    }

    /// How many failures a failed call counts as: 1, or with ELB one for each 100 ms that it took, 1 to 50. The
    /// charge goes into all three counts (virtual, real, run), as it does there.
    pub fn failure_charge(&self, latency_us: u32) -> u32 {
        if self.charge_by_cost {
            (latency_us / (CHARGE_MS * 1_000)).clamp(1, CHARGE_MAX)
        } else {
            1
        }
    }

    /// How readers of the board are to choose.
    pub fn board_rule(&self) -> lars_board::Rule {
        lars_board::Rule::Classic {
            probe_num: self.probe_num,
            forget_probe_count: self.forget_probe_count,
        }
    }
}

/// Why a node stands as it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// It came with a route.
    New,
    /// Overloaded by `err_rate`: virtual counts as they were.
    FailureRate { succ: u32, err: u32 },
    /// Overloaded by `contin_err_limit`.
    FailureRun { err: u32 },
    /// Overloaded by bad windows: the last one's counts, and how many there were.
    Windows { windows: u32, succ: u32, err: u32 },
    /// Idle by `succ_rate`: virtual counts as they were.
    SuccessRate { succ: u32, err: u32 },
    /// Idle by `contin_succ_limit`.
    SuccessRun { succ: u32 },
    /// Idle by `overload_timeout`.
    Time,
}

/// What is remembered of one node.
#[derive(Clone, Debug)]
pub struct Mind {
    /// Successes, with the assumed ones of a new idle state.
    virtual_succ: u32,
    /// Failures, with the assumed ones of a new overloaded state.
    virtual_err: u32,
    /// Successes since the window began.
    succ: u32,
    /// Failures since the window began.
    err: u32,
    /// Successes since the last failure.
    succ_run: u32,
    /// Failures since the last success.
    err_run: u32,
    /// Bad windows that ended one after the other until now.
    bad_windows: u32,
    overloaded: bool,
    /// When the state began.
    since: Instant,
    /// When the idle node's window began.
    window: Instant,
    cause: Cause,
}

impl Mind {
    /// A node that nothing is known of: idle.
    pub fn new(rule: &Rule, now: Instant) -> Self {
        Self {
            virtual_succ: rule.init_succ_cnt,
            virtual_err: 0,
            succ: 0,
            err: 0,
            succ_run: 0,
            err_run: 0,
            bad_windows: 0,
            overloaded: false,
            since: now,
            window: now,
            cause: Cause::New,
        }
    }

    /// Whether it gets no picks but probes.
    pub fn is_overloaded(&self) -> bool {
        self.overloaded
    }

    /// When the state began.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// A call succeeded.
    pub fn succeed(&mut self, rule: &Rule, now: Instant) {
        self.settle(rule, now);
        self.virtual_succ = self.virtual_succ.saturating_add(1);
        self.succ = self.succ.saturating_add(1);
        self.succ_run = self.succ_run.saturating_add(1);
        self.err_run = 0;
        if !self.overloaded {
            return;
        }
        let (succ, err) = (self.virtual_succ, self.virtual_err);
        if rate(succ, err) > rule.succ_rate {
            self.become_idle(rule, now, Cause::SuccessRate { succ, err });
        } else if self.succ_run >= rule.contin_succ_limit {
            let succ = self.succ_run;
            self.become_idle(rule, now, Cause::SuccessRun { succ });
        }
    }

    /// A call failed or timed out after `latency_us` microseconds.
    pub fn fail(&mut self, rule: &Rule, now: Instant, latency_us: u32) {
        self.settle(rule, now);
        let charge = rule.failure_charge(latency_us);
        self.virtual_err = self.virtual_err.saturating_add(charge);
        self.err = self.err.saturating_add(charge);
        self.err_run = self.err_run.saturating_add(charge);
        self.succ_run = 0;
        if self.overloaded {
            return;
        }
        let (succ, err) = (self.virtual_succ, self.virtual_err);
        if rate(err, succ) > rule.err_rate {
            self.become_overloaded(rule, now, Cause::FailureRate { succ, err });
        } else if self.err_run >= rule.contin_err_limit {
            let err = self.err_run;
            self.become_overloaded(rule, now, Cause::FailureRun { err });
        }
    }

    /// When time alone may change something; none for an idle node without calls in its window, since a window
    /// without calls is never bad and closing it changes nothing that could be seen.
    pub fn deadline(&self, rule: &Rule) -> Option<Instant> {
        if self.overloaded {
            Some(self.since + rule.overload_timeout)
        } else {
            (self.succ > 0 || self.err > 0).then(|| self.window + rule.idle_timeout)
        }
    }

    /// Does what time alone brings about until `now`, each step at the instant it was due: the outcome does not
    /// depend on how often this is called.
    pub fn settle(&mut self, rule: &Rule, now: Instant) {
        loop {
            if self.overloaded {
                let end = self.since + rule.overload_timeout;
                if end > now {
                    return;
                }
                self.become_idle(rule, end, Cause::Time);
                continue;
            }
            let elapsed = now.saturating_duration_since(self.window);
            if elapsed < rule.idle_timeout {
                return;
            }
            if self.succ == 0 && self.err == 0 {
                // Nothing happens in windows without calls but that bad ones are no longer running: pass over all
                // of them at once.
                self.bad_windows = 0;
                let into = elapsed.as_nanos() % rule.idle_timeout.as_nanos();
                self.window = now.checked_sub(Duration::from_nanos(into as u64)).unwrap_or(now);
                return;
            }
            self.close_window(rule);
        }
    }

    /// Which rule put it there, with its numbers.
    pub fn reason(&self, rule: &Rule) -> String {
        match self.cause {
            Cause::New => "new in the route".to_owned(),
            Cause::FailureRate { succ, err } => format!(
                "failure rate {} > err_rate {} after {} calls, {} of them assumed successes",
                rounded(rate(err, succ)),
                rule.err_rate,
                succ.saturating_add(err),
                rule.init_succ_cnt
            ),
            Cause::FailureRun { err } => format!("{err} failures in a row"),
            Cause::Windows { windows, succ, err } => format!(
                "failure rate {} >= window_err_rate {} in {windows} windows of {} s running",
                rounded(rate(err, succ)),
                rule.window_err_rate,
                rule.idle_timeout.as_secs_f64()
            ),
            Cause::SuccessRate { succ, err } => format!(
                "success rate {} > succ_rate {} after {} calls, {} of them assumed failures",
                rounded(rate(succ, err)),
                rule.succ_rate,
                succ.saturating_add(err),
                rule.init_err_cnt
            ),
            Cause::SuccessRun { succ } => format!("{succ} successes in a row"),
            Cause::Time => format!("{} s overloaded have passed", rule.overload_timeout.as_secs_f64()),
        }
    }

    fn close_window(&mut self, rule: &Rule) {
        let (succ, err, end) = (self.succ, self.err, self.window + rule.idle_timeout);
        let bad = rate(err, succ) >= rule.window_err_rate;
        let windows = if bad {
            self.bad_windows.saturating_add(1)
        } else {
            0
        };
        if windows >= rule.window_err_limit {
            self.become_overloaded(rule, end, Cause::Windows { windows, succ, err });
        } else {
            self.start_counts(rule.init_succ_cnt, 0);
            self.window = end;
            self.bad_windows = windows;
        }
    }

    fn become_overloaded(&mut self, rule: &Rule, at: Instant, cause: Cause) {
        self.start_counts(0, rule.init_err_cnt);
        self.bad_windows = 0;
        (self.overloaded, self.since, self.cause) = (true, at, cause);
    }

    fn become_idle(&mut self, rule: &Rule, at: Instant, cause: Cause) {
        self.start_counts(rule.init_succ_cnt, 0);
        self.window = at;
        (self.overloaded, self.since, self.cause) = (false, at, cause);
    }

    fn start_counts(&mut self, virtual_succ: u32, virtual_err: u32) {
        (self.virtual_succ, self.virtual_err) = (virtual_succ, virtual_err);
        (self.succ, self.err, self.succ_run, self.err_run) = (0, 0, 0, 0);
    }
}

/// The share of `part` in `part + rest`; not a number without any, which is above no threshold.
fn rate(part: u32, rest: u32) -> f64 {
    f64::from(part) / (f64::from(part) + f64::from(rest))
}

/// To four digits, for people.
fn rounded(rate: f64) -> f64 {
    (rate * 10_000.0).round() / 10_000.0
}
