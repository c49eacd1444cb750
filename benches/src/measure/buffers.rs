//! The buffer pool beside what it replaces: a list of free buffers behind a mutex that four threads share.

use super::Table;
use crate::error::{BenchError, Doing};
use crate::harness::Harness;
use crate::machine;
use crate::results::Unit;
use crate::spread::percentile;
use lars_pool::{BufferPool, BufferPoolConfig};
use std::hint::black_box;
use std::sync::{Arc, Barrier, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Buffers out and in.
pub(super) const TABLE: Table = Table {
    what: "buffers checked out and in",
    names: &["pool.checkout.p50", "pool.checkout.mutex4.p50"],
    measure,
};

/// Operations between two looks at the clock, which costs as much as several of them.
const BATCH: u32 = 256;
/// How long one run takes: many times what the system lets a thread run before it lets the next, so that four threads
/// on fewer processors do get into each other's way.
const TIME: Duration = Duration::from_millis(60);
/// Threads that share the mutex.
const THREADS: usize = 4;
/// Bytes of a buffer of the smallest class.
const BYTES: usize = 4096;

fn measure(harness: &mut Harness) -> Result<(), BenchError> {
    let (mut own, mut shared) = (Vec::new(), Vec::new());
    for _ in 0..harness.rounds(5) {
        own.push(on_one_core(harness.processors.serving)?);
        shared.push(behind_a_mutex()?);
    }
    harness.push("pool.checkout.mutex4.p50", Unit::Ns, shared, None)?;
    harness.push(
        "pool.checkout.p50",
        Unit::Ns,
        own,
        Some("pool.checkout.mutex4.p50"),
    )
}

/// The median time of a check-out and check-in, on a thread of its own on one processor.
fn on_one_core(processor: usize) -> Result<f64, BenchError> {
    let work = move || {
        machine::pin(processor);
        let pool = BufferPool::new(&BufferPoolConfig::default()).doing("map buffers")?;
        Ok(batches(|| {
            let buffer = pool.check_out(black_box(BYTES));
            // By reference: handing it over by value would measure the copy.
            black_box(&buffer);
        }))
    };
    median(&mut joined(thread::spawn(work))??)
}

/// The same from a list behind a mutex, four threads at a time on all processors.
fn behind_a_mutex() -> Result<f64, BenchError> {
    let free: Vec<Box<[u8]>> = (0..THREADS).map(|_| vec![0; BYTES].into_boxed_slice()).collect();
    let (free, begin) = (Arc::new(Mutex::new(free)), Arc::new(Barrier::new(THREADS)));
    let take_and_give = |free: Arc<Mutex<Vec<Box<[u8]>>>>, begin: Arc<Barrier>| {
        move || {
            begin.wait();
            batches(|| {
                let buffer = free.lock().unwrap_or_else(PoisonError::into_inner).pop();
                black_box(&buffer);
                if let Some(buffer) = buffer {
                    free.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
                }
            })
        }
    };
    let threads: Vec<_> = (0..THREADS)
        .map(|_| thread::spawn(take_and_give(Arc::clone(&free), Arc::clone(&begin))))
        .collect();
    let mut all = Vec::new();
    for thread in threads {
        all.extend(joined(thread)?);
    }
    median(&mut all)
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

fn joined<T>(thread: thread::JoinHandle<T>) -> Result<T, BenchError> {
    thread
        .join()
        .map_err(|_| BenchError::Answer("a measuring thread panicked".to_owned()))
}

fn median(times: &mut [f64]) -> Result<f64, BenchError> {
    times.sort_by(f64::total_cmp);
    percentile(times, 0.5).ok_or_else(|| BenchError::Answer("no batch was measured".to_owned()))
}
