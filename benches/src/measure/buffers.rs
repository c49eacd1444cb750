//! The buffer pool beside what it replaces: a list of free buffers behind a mutex that four threads share.
//!
//! `pool.checkout.p50` is the time of a check-out and check-in of 4 KiB on one core, `pool.checkout.list.p50` of a number
//! taken off a list and put back, which is the least that any pool costs. `pool.checkout.mutex4.p50` is the
//! processor time of the same with the mutex: a thread that found it taken sleeps for long, while the one that has it
//! goes on undisturbed, so the median of single operations would show nothing of what the others wait.

use super::Table;
use crate::error::{BenchError, Doing};
use crate::harness::Harness;
use crate::machine::{self, Processors};
use crate::results::Unit;
use crate::spread::percentile;
use lars_pool::{BufferPool, BufferPoolConfig};
use std::hint::black_box;
use std::sync::{Barrier, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Buffers out and in.
pub(super) const TABLE: Table = Table {
    what: "buffers checked out and in",
    names: &[
        "pool.checkout.p50",
        "pool.checkout.list.p50",
        "pool.checkout.mutex4.p50",
    ],
    quick: true,
    measure,
};

/// Operations between two looks at the clock, which costs as much as several of them.
const BATCH: u32 = 256;
/// How long one run takes: many times what the system lets a thread run before it lets the next.
const TIME: Duration = Duration::from_millis(60);
/// Threads that share the mutex.
const THREADS: usize = 4;
/// Bytes of a buffer of the smallest class.
const BYTES: usize = 4096;

fn measure(harness: &mut Harness) -> Result<(), BenchError> {
    let (mut own, mut bare, mut shared) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..harness.rounds(5) {
        own.push(on_one_core(harness.processors, buffers_of_a_pool)?);
        bare.push(on_one_core(harness.processors, || Ok(numbers_of_a_list()))?);
        shared.push(behind_a_mutex(harness.processors)?);
    }
    harness.push("pool.checkout.list.p50", Unit::Ns, bare, None)?;
    harness.push("pool.checkout.mutex4.p50", Unit::Ns, shared, None)?;
    harness.push(
        "pool.checkout.p50",
        Unit::Ns,
        own,
        Some("pool.checkout.mutex4.p50"),
    )
}

/// The median time of one operation, on a thread of its own.
fn on_one_core(
    processors: Processors,
    measure: fn() -> Result<Vec<f64>, BenchError>,
) -> Result<f64, BenchError> {
    let work = move || {
        machine::pin(processors.serving);
        measure()
    };
    let mut times = thread::spawn(work).join().map_err(|_| panicked())??;
    times.sort_by(f64::total_cmp);
    percentile(&times, 0.5).ok_or_else(|| BenchError::Answer("no batch was measured".to_owned()))
}

/// A buffer checked out and in.
fn buffers_of_a_pool() -> Result<Vec<f64>, BenchError> {
    let pool = BufferPool::new(&BufferPoolConfig::default()).doing("map buffers")?;
    Ok(batches(|| {
        let buffer = pool.check_out(black_box(BYTES));
        // By reference: handing it over by value would measure the copy.
        black_box(&buffer);
    }))
}

/// A number taken off a list and put back.
fn numbers_of_a_list() -> Vec<f64> {
    let mut free: Vec<u32> = (0..THREADS as u32).collect();
    batches(|| {
        let mut number = black_box(&mut free).pop();
        black_box(&mut number);
        free.extend(number);
    })
}

/// The processor time of the same from a list behind a mutex, by four threads on two processors.
fn behind_a_mutex(processors: Processors) -> Result<f64, BenchError> {
    let places = [processors.serving, processors.asking];
    let free: Vec<Box<[u8]>> = (0..THREADS).map(|_| vec![0; BYTES].into_boxed_slice()).collect();
    let (free, begin) = (Mutex::new(free), Barrier::new(THREADS));
    let lock = || free.lock().unwrap_or_else(PoisonError::into_inner);
    let work = |number: usize| {
        machine::pin(places[number % places.len()]);
        begin.wait();
        let done = batches(|| {
            let buffer = lock().pop();
            black_box(&buffer);
            if let Some(buffer) = buffer {
                lock().push(buffer);
            }
        });
        done.len()
    };
    let done = thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = (0..THREADS)
            .map(|number| scope.spawn(move || work(number)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| panicked()))
            .sum::<Result<usize, _>>()
    })?;
    let used = if processors.are_shared() { TIME } else { 2 * TIME };
    Ok(used.as_nanos() as f64 / (done as f64 * f64::from(BATCH)))
}

/// Nanoseconds of an operation, one figure a batch.
fn batches(mut operation: impl FnMut()) -> Vec<f64> {
    let (begun, mut times) = (Instant::now(), Vec::new());
    while begun.elapsed() < TIME {
        let started = Instant::now();
        for _ in 0..BATCH {
            operation();
        }
        times.push(started.elapsed().as_nanos() as f64 / f64::from(BATCH));
    }
    times
}

fn panicked() -> BenchError {
    BenchError::Answer("a measuring thread panicked".to_owned())
}
