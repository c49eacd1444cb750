//! Buffers, and queues between cores.

use super::{Case, Operation};
use lars_pool::mail::queue;
use lars_pool::{BufferPool, BufferPoolConfig};
use std::hint::black_box;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "pool.checkout",
        make: checkout,
    },
    Case {
        name: "pool.queue.1",
        make: || through_queue(1),
    },
    Case {
        name: "pool.queue.32",
        make: || through_queue(32),
    },
];

fn checkout() -> Operation {
    let pool = BufferPool::new(&BufferPoolConfig::default()).expect("a megabyte is mapped");
    Box::new(move || {
        let buffer = pool.check_out(black_box(4096));
        black_box(&buffer);
    })
}

/// So many pieces of mail pushed, then drained at once.
fn through_queue(batch: u64) -> Operation {
    let (mut producer, mut consumer) = queue::<u64>(2048);
    Box::new(move || {
        for mail in 0..batch {
            let pushed = producer.push(black_box(mail));
            black_box(&pushed);
        }
        let taken = consumer.drain(usize::MAX, |mail| {
            black_box(mail);
        });
        black_box(taken);
    })
}
