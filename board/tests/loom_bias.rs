//! The lock that favours a thread, and the handles that are counted under it, in every interleaving of a few forced switches. The
//! kernel's barrier is one of each side's own here: what it promises is that both sides see it so. This file is empty without the
//! model checker; to run it (seconds, and the build):
//!
//! ```text
//! CARGO_TARGET_DIR=target/loom RUSTFLAGS="--cfg loom" cargo test -p lars-board --test loom_bias --release
//! ```
#![cfg(loom)]

use lars_board::{BiasedLock, Home, Shared};
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

fn check(scene: fn()) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(scene);
}

/// Of which the model checker says when two write it at once.
#[derive(Default)]
struct Watched(UnsafeCell<u32>);

impl Watched {
    fn add(&self) {
        // SAFETY: the lock under test keeps everybody else out, or the model checker says that it does not.
        self.0.with_mut(|value| unsafe { *value += 1 });
    }

    fn get(&self) -> u32 {
        // SAFETY: as above.
        self.0.with(|value| unsafe { *value })
    }
}

#[test]
fn favoured_thread_and_one_that_comes_once_are_never_inside_together() {
    check(|| {
        let lock = Arc::new(BiasedLock::new(Watched::default()));
        let others = Arc::clone(&lock);
        // Favoured from the second time on.
        let favoured = thread::spawn(move || {
            for _ in 0..3 {
                others.with(|value| value.add());
            }
        });
        lock.with(|value| value.add());
        favoured.join().expect("no panic");
        assert_eq!(lock.with(|value| value.get()), 4);
    });
}

#[test]
fn favour_that_goes_to_and_fro_loses_nothing() {
    check(|| {
        let lock = Arc::new(BiasedLock::new(Watched::default()));
        let others = Arc::clone(&lock);
        lock.with(|value| value.add());
        let other = thread::spawn(move || {
            others.with(|value| value.add());
            others.with(|value| value.add());
        });
        lock.with(|value| value.add());
        lock.with(|value| value.add());
        other.join().expect("no panic");
        assert_eq!(lock.with(|value| value.get()), 5);
    });
}

struct Here(Arc<()>);

impl Home for Here {
    fn is_child(&self) -> bool {
        false
    }
}

#[test]
fn shared_is_freed_once_and_by_the_last() {
    check(|| {
        let counted = Arc::new(());
        let first = Shared::new(Here(Arc::clone(&counted)), Watched::default());
        let second = first.clone();
        let other = thread::spawn(move || {
            drop(second.clone());
            second.end_with(|here, value| {
                value.add();
                assert!(Arc::strong_count(&here.0) >= 2);
            });
        });
        first.with(|_, value| value.add());
        drop(first);
        other.join().expect("no panic");
        assert_eq!(Arc::strong_count(&counted), 1);
    });
}
