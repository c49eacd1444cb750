//! A caller with the board in its own process, by the Rust client: what picks and reports cost it, at full speed or at
//! a given pace. Times are those of batches, since a look at the clock costs as much as what is measured.

use crate::cpu;
use crate::error::BenchError;
use crate::load::bare::Bare;
use crate::load::change;
use crate::load::chase::Chase;
use crate::snapshot;
use crate::spread::percentile;
use lars_client::{Chosen, Client, ClientError, ModuleId, Outcome, Picker, Transport};
use serde::{Deserialize, Serialize};
use std::hint::black_box;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Operations between two looks at the clock.
const BATCH: usize = 256;
/// What each call is said to have taken where the caller says it.
const LATENCY: Duration = Duration::from_micros(250);
/// How long a caller may take to be taken in.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often a paced caller calls its share of a second.
const PACE: Duration = Duration::from_millis(1);

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Doings {
    /// A batch of picks, then a batch of reports, each timed.
    Halves,
    /// Picks, each reported at once with a latency that the caller gives.
    Pairs,
    /// The same while a node changes its state 1,000 times a second.
    PairsBesideChanges,
    /// Pairs in turn with what no pair can do without.
    PairsBesideBare,
    /// Pairs by a guard that measures for itself.
    Calls,
    /// Pairs in turn with dependent accesses to so many bytes.
    PairsBesideMemory(usize),
    /// So many pairs a second, spread evenly.
    Paced(u32),
}

/// One run of a caller.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BoardTask {
    /// The agent's socket.
    pub socket: PathBuf,
    /// The agent's process, whose processor time is told.
    pub agent: u32,
    /// Of how many modules, drawn at random.
    pub modules: u32,
    /// What to do.
    pub doings: Doings,
    /// For how long.
    pub seconds: f64,
}

/// What came of it. Times are medians over batches, in nanoseconds; 0 where nothing of the kind was done.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct BoardTimes {
    /// Of a pick.
    pub pick_ns: f64,
    /// Of a report.
    pub report_ns: f64,
    /// Of a pick with its report.
    pub pair_ns: f64,
    /// Of what no pair can do without.
    pub bare_ns: f64,
    /// Of a dependent access to memory.
    pub access_ns: f64,
    /// Pairs a second.
    pub per_s: f64,
    /// Changes of the agent's mind a second.
    pub changes_per_s: f64,
    /// The agent's processor time over the time that passed.
    pub agent_share: f64,
}

/// Does what the task says.
///
/// # Errors
/// The agent lends no board, or a module is not on it.
pub fn run(task: &BoardTask) -> Result<BoardTimes, BenchError> {
    let client = connect(&task.socket)?;
    let mut caller = Caller {
        picker: client.picker(),
        modules: task.modules,
        random: 0x9e37_79b9_7f4a_7c15,
    };
    let time = Duration::from_secs_f64(task.seconds);
    // Each module once, so that no pick that is measured is its first; then a round of what will be measured. The agent has
    // nothing left of it to do.
    match task.doings {
        Doings::Calls => caller.each_once(Caller::call_of)?,
        Doings::Paced(per_s) => caller.each_once_paced(per_s)?,
        _ => caller.each_once(Caller::pair_of)?,
    }
    match task.doings {
        Doings::Paced(per_s) => caller.paced(per_s, time / 4)?,
        Doings::Calls => caller.calls(time / 4)?,
        _ => caller.pairs(time / 4)?,
    };
    flush(&client, task.doings)?;
    let used = cpu::used_ns(task.agent)?;
    let started = Instant::now();
    let mut times = match task.doings {
        Doings::Halves => caller.halves(time)?,
        Doings::Pairs => caller.pairs(time)?,
        Doings::PairsBesideBare => caller.pairs_beside_bare(time)?,
        Doings::PairsBesideChanges => change::beside(task, || caller.pairs(time))?,
        Doings::Calls => caller.calls(time)?,
        Doings::PairsBesideMemory(bytes) => caller.pairs_beside_memory(bytes, time)?,
        Doings::Paced(per_s) => caller.paced(per_s, time)?,
    };
    let passed = started.elapsed();
    times.agent_share = (cpu::used_ns(task.agent)? - used) as f64 / passed.as_nanos() as f64;
    flush(&client, task.doings)?;
    Ok(times)
}

/// A client that picks from the board.
pub(super) fn connect(socket: &PathBuf) -> Result<Client, BenchError> {
    let client = Client::builder().path(socket).timeout(PATIENCE).connect();
    let client = client.map_err(|error| BenchError::Answer(error.to_string()))?;
    match client.transport() {
        Transport::Board => Ok(client),
        other => Err(BenchError::Answer(format!("the agent lends no board: {other:?}"))),
    }
}

/// Everything that was reported is with the agent; and nothing was lost, where the pace is one that an agent can keep up
/// with. At full speed over a hundred thousand nodes no agent can, and more nodes than a caller sums up beside its ring are
/// called before it is drained: the client tells so, and what its picks cost is not changed by it.
fn flush(client: &Client, doings: Doings) -> Result<(), BenchError> {
    match (client.flush(), doings) {
        (Err(ClientError::Unsure { .. }), doings) if !matches!(doings, Doings::Paced(_)) => Ok(()),
        (flushed, _) => flushed.map_err(|error| BenchError::Answer(error.to_string())),
    }
}

struct Caller {
    picker: Picker,
    modules: u32,
    random: u64,
}

impl Caller {
    /// The next module, at random (xorshift64*, Vigna 2016: a few cycles beside what is measured).
    #[inline]
    fn module(&mut self) -> ModuleId {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        let bits = self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        snapshot::module(((bits * u64::from(self.modules)) >> 32) as u32)
    }

    #[inline]
    fn choose(&mut self, module: ModuleId) -> Result<Chosen, BenchError> {
        let chosen = self.picker.choose(black_box(module));
        chosen.map_err(|error| BenchError::Answer(error.to_string()))
    }

    #[inline]
    fn report(&mut self, chosen: &Chosen) -> Result<(), BenchError> {
        let reported = self.picker.report(chosen, black_box(Outcome::Ok), LATENCY);
        reported.map_err(|error| BenchError::Answer(error.to_string()))
    }

    #[inline]
    fn pair(&mut self) -> Result<(), BenchError> {
        let module = self.module();
        self.pair_of(module)
    }

    #[inline]
    fn pair_of(&mut self, module: ModuleId) -> Result<(), BenchError> {
        let chosen = self.choose(module)?;
        self.report(&chosen)
    }

    #[inline]
    fn call_of(&mut self, module: ModuleId) -> Result<(), BenchError> {
        let call = self.picker.pick(black_box(module));
        let call = call.map_err(|error| BenchError::Answer(error.to_string()))?;
        call.ok().map_err(|error| BenchError::Answer(error.to_string()))
    }

    fn each_once(
        &mut self,
        each: impl Fn(&mut Self, ModuleId) -> Result<(), BenchError>,
    ) -> Result<(), BenchError> {
        (0..self.modules).try_for_each(|number| each(self, snapshot::module(number)))
    }

    /// No faster than what follows: an agent that cannot keep up with a burst loses reports, and that is told.
    fn each_once_paced(&mut self, per_s: u32) -> Result<(), BenchError> {
        let mut next = 0;
        let time = Duration::from_secs_f64(f64::from(self.modules) / f64::from(per_s));
        paced(per_s, time, || {
            let number = next.min(self.modules - 1);
            next += 1;
            self.pair_of(snapshot::module(number))
        })
        .map(drop)
    }

    fn halves(&mut self, time: Duration) -> Result<BoardTimes, BenchError> {
        let (mut picks, mut reports) = (Vec::new(), Vec::new());
        let mut chosen = Vec::with_capacity(BATCH);
        let begun = Instant::now();
        while begun.elapsed() < time {
            let started = Instant::now();
            for _ in 0..BATCH {
                let module = self.module();
                chosen.push(self.choose(module)?);
            }
            let picked = Instant::now();
            for chosen in &chosen {
                self.report(chosen)?;
            }
            let reported = Instant::now();
            chosen.clear();
            picks.push(a_batch(picked - started));
            reports.push(a_batch(reported - picked));
        }
        Ok(BoardTimes {
            pick_ns: median(picks)?,
            report_ns: median(reports)?,
            ..BoardTimes::default()
        })
    }

    fn pairs(&mut self, time: Duration) -> Result<BoardTimes, BenchError> {
        self.timed(time, Self::pair)
    }

    fn calls(&mut self, time: Duration) -> Result<BoardTimes, BenchError> {
        self.timed(time, |caller| {
            let module = caller.module();
            caller.call_of(module)
        })
    }

    fn timed(
        &mut self,
        time: Duration,
        mut each: impl FnMut(&mut Self) -> Result<(), BenchError>,
    ) -> Result<BoardTimes, BenchError> {
        let (begun, mut times) = (Instant::now(), Vec::new());
        let mut before = begun;
        while before - begun < time {
            for _ in 0..BATCH {
                each(self)?;
            }
            let after = Instant::now();
            times.push(a_batch(after - before));
            before = after;
        }
        let per_s = (times.len() * BATCH) as f64 / begun.elapsed().as_secs_f64();
        Ok(BoardTimes {
            pair_ns: median(times)?,
            per_s,
            ..BoardTimes::default()
        })
    }

    fn pairs_beside_bare(&mut self, time: Duration) -> Result<BoardTimes, BenchError> {
        let mut bare = Bare::new();
        let (pair_ns, bare_ns) = self.in_turn(time, || (0..BATCH).for_each(|_| bare.pair()))?;
        Ok(BoardTimes {
            pair_ns,
            bare_ns,
            ..BoardTimes::default()
        })
    }

    fn pairs_beside_memory(&mut self, bytes: usize, time: Duration) -> Result<BoardTimes, BenchError> {
        let mut chase = Chase::over(bytes);
        let (pair_ns, access_ns) = self.in_turn(time, || chase.go(BATCH))?;
        Ok(BoardTimes {
            pair_ns,
            access_ns,
            ..BoardTimes::default()
        })
    }

    /// A batch of pairs and `other`, in turn; what one of either takes.
    fn in_turn(&mut self, time: Duration, mut other: impl FnMut()) -> Result<(f64, f64), BenchError> {
        let (begun, mut pairs, mut others) = (Instant::now(), Vec::new(), Vec::new());
        while begun.elapsed() < time {
            let started = Instant::now();
            for _ in 0..BATCH {
                self.pair()?;
            }
            let paired = Instant::now();
            other();
            let done = Instant::now();
            pairs.push(a_batch(paired - started));
            others.push(a_batch(done - paired));
        }
        Ok((median(pairs)?, median(others)?))
    }

    fn paced(&mut self, per_s: u32, time: Duration) -> Result<BoardTimes, BenchError> {
        let per_s = paced(per_s, time, || self.pair())?;
        Ok(BoardTimes {
            per_s,
            ..BoardTimes::default()
        })
    }
}

/// Does something so many times a second for so long, and sleeps in between, as callers that wait for their nodes do. Returns
/// how many times a second it was done.
fn paced(
    per_s: u32,
    time: Duration,
    mut each: impl FnMut() -> Result<(), BenchError>,
) -> Result<f64, BenchError> {
    let (begun, mut done) = (Instant::now(), 0_u64);
    loop {
        let passed = begun.elapsed().min(time);
        let due = (passed.as_secs_f64() * f64::from(per_s)) as u64;
        for _ in done..due {
            each()?;
        }
        done = due;
        if passed == time {
            break;
        }
        std::thread::sleep(PACE);
    }
    Ok(done as f64 / begun.elapsed().as_secs_f64())
}

fn a_batch(time: Duration) -> f64 {
    time.as_nanos() as f64 / BATCH as f64
}

fn median(mut times: Vec<f64>) -> Result<f64, BenchError> {
    times.sort_by(f64::total_cmp);
    percentile(&times, 0.5).ok_or_else(|| BenchError::Answer("no batch was measured".to_owned()))
}
