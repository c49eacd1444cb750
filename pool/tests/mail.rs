//! Queues and wakers between threads: nothing lost, nothing twice, nothing out of order, nobody left asleep.

#[path = "support/seed.rs"]
mod seed;

use lars_pool::mail::{self, Consumer, Mailer, Waker};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::collections::VecDeque;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

const DEADLINE: Duration = Duration::from_secs(10);

#[test]
fn queue_does_as_a_bounded_list_would() {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed::seed().to_le_bytes());
    let config = Config {
        cases: 300,
        failure_persistence: None,
        ..Config::default()
    };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    // Each step pushes one (None) or drains up to so many.
    let steps = (
        1..40_usize,
        prop::collection::vec(prop::option::of(0..20_usize), 1..400),
    );
    let result = runner.run(&steps, |(capacity, steps)| {
        let (mut producer, mut consumer) = mail::queue(capacity);
        let places = capacity.next_power_of_two();
        prop_assert_eq!(producer.capacity(), places);
        let mut model = VecDeque::new();
        for (number, step) in steps.into_iter().enumerate() {
            if let Some(max) = step {
                let mut taken = Vec::new();
                let count = consumer.drain(max, |mail| taken.push(mail));
                prop_assert_eq!(count, taken.len());
                let before = model.len();
                prop_assert!(taken.iter().all(|mail| Some(*mail) == model.pop_front()));
                prop_assert!(count <= max && (count > 0 || max == 0 || before == 0));
            } else if producer.push(number).is_ok() {
                model.push_back(number);
                prop_assert!(model.len() <= places);
            } else {
                prop_assert_eq!(model.len(), places, "refused only where it is full");
            }
            prop_assert_eq!(consumer.is_empty(), model.is_empty());
        }
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
}

#[test]
fn mail_nobody_took_is_dropped_once() {
    let token = Rc::new(());
    let (mut producer, mut consumer) = mail::queue(8);
    for _ in 0..8 {
        assert!(producer.push(Rc::clone(&token)).is_ok());
    }
    assert_eq!(consumer.drain(3, drop), 3);
    assert_eq!(Rc::strong_count(&token), 6);
    drop((producer, consumer));
    assert_eq!(Rc::strong_count(&token), 1);
}

#[test]
fn panic_over_one_piece_of_mail_loses_that_piece_alone() {
    let (mut producer, mut consumer) = mail::queue(4);
    for number in 0..4 {
        assert_eq!(producer.push(number), Ok(()));
    }
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        consumer.drain(4, |number| assert_ne!(number, 1));
    }));
    assert!(panicked.is_err());
    assert_eq!(producer.push(4), Ok(()), "the places of what was taken are free");
    let mut rest = Vec::new();
    while consumer.drain(4, |number| rest.push(number)) > 0 {}
    assert_eq!(rest, [2, 3, 4]);
}

#[test]
fn each_end_notices_that_the_other_is_gone() {
    let (producer, consumer) = mail::queue::<u8>(1);
    assert!(!producer.is_abandoned() && !consumer.is_abandoned());
    drop(consumer);
    assert!(producer.is_abandoned());
    let (producer, consumer) = mail::queue::<u8>(1);
    drop(producer);
    assert!(consumer.is_abandoned());
}

/// Waits until the descriptor is readable; false when the deadline passed first.
fn wait_readable(fd: BorrowedFd<'_>, timeout: Duration) -> bool {
    let mut poll = libc::pollfd {
        fd: fd.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one pollfd is passed, and it lives as long as the call.
    unsafe { libc::poll(&raw mut poll, 1, timeout.as_millis() as i32) == 1 }
}

/// A core that sleeps whenever its queues are empty, until it has seen `total` pieces of mail; each is checked to be
/// its producer's next one. Returns how often it slept.
fn drain_and_sleep(mut queues: Vec<Consumer<u64>>, waker: &Waker, total: u64) -> Result<u64, String> {
    let (mut seen, mut next, mut sleeps) = (0, vec![0; queues.len()], 0);
    while seen < total {
        let mut taken = 0;
        for (queue, next) in queues.iter_mut().zip(&mut next) {
            let mut wrong = None;
            taken += queue.drain(32, |mail| {
                if mail != *next {
                    wrong = Some(mail);
                }
                *next += 1;
            });
            if let Some(mail) = wrong {
                return Err(format!("{mail} came before {next}"));
            }
        }
        seen += taken as u64;
        if taken > 0 {
            continue;
        }
        waker.prepare_sleep();
        if queues.iter().all(Consumer::is_empty) {
            sleeps += 1;
            if !wait_readable(waker.fd(), DEADLINE) {
                return Err(format!(
                    "still asleep after {DEADLINE:?}, with {seen} of {total} seen"
                ));
            }
            waker.hush();
        }
        waker.woke();
    }
    Ok(sleeps)
}

/// Producers that send `count` numbers each, with a pause of a random length (at most so many spins) between them, so
/// that mail is pushed at every step of the core's way to sleep.
fn stress(producers: u64, capacity: usize, count: u64, spins_max: u32) {
    let seed = seed::seed();
    let waker = Waker::new().expect("an eventfd can be made");
    let (mut queues, mut threads) = (Vec::new(), Vec::new());
    for index in 0..producers {
        let mut chance = seed ^ index.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let (producer, consumer) = mail::queue(capacity);
        queues.push(consumer);
        let mut mailer = Mailer::new(producer, waker.clone());
        threads.push(thread::spawn(move || {
            let started = Instant::now();
            for number in 0..count {
                while mailer.send(number).is_err() {
                    assert!(started.elapsed() < 3 * DEADLINE, "the core never made room");
                    thread::yield_now();
                }
                // Marsaglia's xorshift: three instructions, so that the pause is the spins.
                chance ^= chance << 13;
                chance ^= chance >> 7;
                chance ^= chance << 17;
                for _ in 0..chance % u64::from(spins_max + 1) {
                    std::hint::spin_loop();
                }
            }
        }));
    }
    let slept = drain_and_sleep(queues, &waker, producers * count);
    for thread in threads {
        thread.join().expect("a producer ends");
    }
    let sleeps = slept.expect("all mail arrives in order, and no wake-up is lost");
    println!("{producers} producers, {count} each: the core slept {sleeps} times");
}

#[test]
fn no_wake_up_is_lost_when_producers_and_sleep_race() {
    stress(1, 1, 40_000, 300);
    stress(1, 64, 100_000, 100);
    stress(1, 64, 30_000, 3000);
    stress(3, 16, 30_000, 100);
    stress(2, 1024, 400_000, 0);
}

#[test]
fn waking_a_core_that_is_awake_touches_no_descriptor() {
    let waker = Waker::new().expect("an eventfd can be made");
    waker.wake();
    assert!(!wait_readable(waker.fd(), Duration::ZERO));
    waker.prepare_sleep();
    waker.clone().wake();
    assert!(wait_readable(waker.fd(), Duration::ZERO));
    waker.hush();
    waker.wake();
    assert!(
        !wait_readable(waker.fd(), Duration::ZERO),
        "one sleep costs one write"
    );
    waker.prepare_sleep();
    waker.woke();
    waker.wake();
    assert!(
        !wait_readable(waker.fd(), Duration::ZERO),
        "a core that changed its mind is awake"
    );
}

#[test]
fn mail_moves_between_threads_by_value() {
    let (producer, mut consumer) = mail::queue(2);
    let waker = Waker::new().expect("an eventfd can be made");
    let mut mailer = Mailer::new(producer, waker);
    let text = Arc::new("moved".to_owned());
    let sent = Arc::clone(&text);
    thread::spawn(move || mailer.send(sent))
        .join()
        .expect("it ends")
        .expect("there is room");
    let mut got = Vec::new();
    assert_eq!(consumer.drain(1, |mail| got.push(mail)), 1);
    assert!(Arc::ptr_eq(&got[0], &text));
}
