//! A lock that is nearly always taken by one thread, which then takes it without a locked instruction; and a shared
//! handle whose count is kept under such a lock.
//!
//! A locked instruction waits until everything written before it has reached the cache, here some 6 ns; two for the lock
//! and two for a count were half of what a report cost. A favoured thread (biased locking: Kawachiya et al. 2002, Russell and
//! Detlefs 2006) says where it is by a plain store and looks by a plain load whether it is still favoured. Whoever else
//! comes withdraws the favour and makes the kernel run a barrier on every processor that this program is on
//! (`membarrier(2)`): then either the favoured thread has seen that, or what it had said is seen. Such a barrier takes
//! microseconds, so the favour is given to whom took the lock a thousand times in a row.
//!
//! A thread says where it is in a place of its own, not in the lock: one that was stopped between looking and saying, and goes
//! on when the favour is another's, says so where nobody asks.
//!
//! Where the kernel has no such barrier nobody is favoured, and this is a mutex.

mod place;

#[cfg(loom)]
use loom::cell::UnsafeCell;
#[cfg(loom)]
use loom::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicPtr, Ordering},
};
#[cfg(loom)]
use loom::thread::yield_now;
use place::{NOWHERE, Place, has_barrier, heavy_barrier, here, light_barrier, settle};
#[cfg(not(loom))]
use std::cell::UnsafeCell;
use std::ptr::{self, NonNull};
use std::sync::PoisonError;
#[cfg(not(loom))]
use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicPtr, Ordering},
};
#[cfg(not(loom))]
use std::thread::yield_now;

/// Times in a row after which a thread is favoured: what it wins by then is more than what a barrier costs.
const FAVOURED_AFTER: u32 = if cfg!(loom) { 1 } else { 1_024 };

/// The lock. A second entry from within waits forever; other locks may be entered from within.
pub struct BiasedLock<T> {
    /// The place of the favoured thread, null for none; written under the mutex.
    favoured: AtomicPtr<Place>,
    /// For everybody else.
    others: Mutex<Streak>,
    value: UnsafeCell<T>,
}

/// Who came last, and how often in a row.
struct Streak {
    last: *const Place,
    times: u32,
}

// SAFETY: the pointer is compared, and nothing else.
unsafe impl Send for Streak {}
// SAFETY: the value is reached by one thread at a time, which may be any.
unsafe impl<T: Send> Sync for BiasedLock<T> {}
// SAFETY: as above; the lock itself belongs to no thread.
unsafe impl<T: Send> Send for BiasedLock<T> {}

/// The favoured thread's word that it is inside, taken back also where a panic ends its visit.
struct Visit(&'static Place);

impl Drop for Visit {
    #[inline]
    fn drop(&mut self) {
        // Whoever sees this sees what was done inside.
        self.0.0.store(NOWHERE, Ordering::Release);
    }
}

impl<T> BiasedLock<T> {
    /// Nobody is favoured yet.
    pub fn new(value: T) -> Self {
        Self {
            favoured: AtomicPtr::new(ptr::null_mut()),
            others: Mutex::new(Streak {
                last: ptr::null(),
                times: 0,
            }),
            value: UnsafeCell::new(value),
        }
    }

    /// Does something with the value while nobody else can. Waits for whoever is inside; forever, if that is the caller.
    #[inline(always)]
    pub fn with<R>(&self, each: impl FnOnce(&mut T) -> R) -> R {
        match here().and_then(|here| self.visit(here)) {
            // SAFETY: this thread is favoured and inside: others wait for it after they have withdrawn the favour.
            Some(_visit) => unsafe { self.reach(each) },
            None => self.with_others(each),
        }
    }

    /// The favoured thread goes inside, unless it is inside of any such lock already.
    #[inline(always)]
    fn visit(&self, here: &'static Place) -> Option<Visit> {
        // Relaxed: a thread favours itself, behind all that others had done before.
        let is_favoured = || ptr::eq(self.favoured.load(Ordering::Relaxed), here);
        if !is_favoured() || here.0.load(Ordering::Relaxed) != NOWHERE {
            return None;
        }
        // Release: who sees that the thread went on to another lock sees what it did in this one.
        here.0.store(self.address(), Ordering::Release);
        let visit = Visit(here);
        light_barrier();
        is_favoured().then_some(visit)
    }

    #[cold]
    #[inline(never)]
    fn with_others<R>(&self, each: impl FnOnce(&mut T) -> R) -> R {
        let mut streak = self.lock();
        self.withdraw();
        // SAFETY: the mutex is held, nobody is favoured, and who was has left.
        let result = unsafe { self.reach(each) };
        let Some(here) = here().or_else(settle) else {
            return result;
        };
        streak.times = if ptr::eq(streak.last, here) {
            streak.times + 1
        } else {
            1
        };
        streak.last = here;
        if streak.times >= FAVOURED_AFTER {
            streak.times = 0;
            if has_barrier() {
                self.favoured
                    .store(ptr::from_ref(here).cast_mut(), Ordering::Relaxed);
            }
        }
        result
    }

    /// Nobody is favoured any more, and nobody inside. For whoever holds the mutex.
    fn withdraw(&self) {
        // SAFETY: null, or a place; those are never freed.
        let Some(place) = (unsafe { self.favoured.load(Ordering::Relaxed).as_ref() }) else {
            return;
        };
        self.favoured.store(ptr::null_mut(), Ordering::Relaxed);
        heavy_barrier();
        while place.0.load(Ordering::Acquire) == self.address() {
            yield_now();
        }
    }

    /// # Safety
    ///
    /// The calling thread is the only one inside.
    #[inline]
    unsafe fn reach<R>(&self, each: impl FnOnce(&mut T) -> R) -> R {
        #[cfg(not(loom))]
        // SAFETY: the caller vouches that no other reference exists.
        return each(unsafe { &mut *self.value.get() });
        #[cfg(loom)]
        // SAFETY: as above, and the model checker watches.
        return self.value.with_mut(|value| each(unsafe { &mut *value }));
    }

    #[inline]
    fn address(&self) -> usize {
        ptr::from_ref(self).addr()
    }

    /// The streak is whole whatever a panic left of the value.
    fn lock(&self) -> MutexGuard<'_, Streak> {
        self.others.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What can tell that this process is a child of the one in which it was made.
pub trait Home {
    /// Whether it is. Whoever was inside a lock when the process was forked never leaves it in the child.
    fn is_child(&self) -> bool;
}

/// A handle that many may hold, of something that anybody may read and something under a [`BiasedLock`], with which the
/// handles are counted: so a favoured thread makes and drops them without a locked instruction too. What is shared ends
/// with the last handle. Handles that a child process drops are as forgotten.
pub struct Shared<S: Home, T> {
    body: NonNull<Body<S, T>>,
}

struct Body<S, T> {
    open: S,
    locked: BiasedLock<Counted<T>>,
}

struct Counted<T> {
    handles: usize,
    value: T,
}

// SAFETY: handles are counted under the lock, whichever threads hold them; what they lead to may be shared and sent.
unsafe impl<S: Home + Send + Sync, T: Send> Send for Shared<S, T> {}
// SAFETY: as above.
unsafe impl<S: Home + Send + Sync, T: Send> Sync for Shared<S, T> {}

impl<S: Home, T> Shared<S, T> {
    /// The first handle.
    pub fn new(open: S, value: T) -> Self {
        let locked = BiasedLock::new(Counted { handles: 1, value });
        let body = NonNull::from(Box::leak(Box::new(Body { open, locked })));
        Self { body }
    }

    /// What anybody may read.
    #[inline]
    pub fn open(&self) -> &S {
        &self.body().open
    }

    /// As [`BiasedLock::with`].
    #[inline(always)]
    pub fn with<R>(&self, each: impl FnOnce(&S, &mut T) -> R) -> R {
        let Body { open, locked } = self.body();
        locked.with(|counted| each(open, &mut counted.value))
    }

    /// The same as the last thing that is done with this handle.
    #[inline(always)]
    pub fn end_with<R>(self, each: impl FnOnce(&S, &mut T) -> R) -> R {
        // Should `each` panic the handle is never given back, and what it leads to stays: no harm but that.
        let handle = std::mem::ManuallyDrop::new(self);
        let Body { open, locked } = handle.body();
        let (result, left) = locked.with(|counted| {
            let result = each(open, &mut counted.value);
            counted.handles -= 1;
            (result, counted.handles)
        });
        if left == 0 {
            // SAFETY: this was the last handle, and it is not used again.
            unsafe { free(handle.body) };
        }
        result
    }

    /// As [`Self::with`], and one more handle for what comes of it.
    #[inline(always)]
    pub fn clone_with<R>(&self, each: impl FnOnce(&S, &mut T) -> R) -> (Self, R) {
        let Body { open, locked } = self.body();
        let result = locked.with(|counted| {
            // Counted first: a panic of `each` leaves one too many, which frees nothing too early.
            counted.handles += 1;
            each(open, &mut counted.value)
        });
        (Self { body: self.body }, result)
    }

    /// How many there are.
    pub fn handles(&self) -> usize {
        self.body().locked.with(|counted| counted.handles)
    }

    #[inline]
    fn body(&self) -> &Body<S, T> {
        // SAFETY: the body was made by `new` and is freed with the last handle, which this one is not behind.
        unsafe { self.body.as_ref() }
    }
}

impl<S: Home, T> Clone for Shared<S, T> {
    #[inline]
    fn clone(&self) -> Self {
        self.clone_with(|_, _| ()).0
    }
}

impl<S: Home, T> Drop for Shared<S, T> {
    #[inline]
    fn drop(&mut self) {
        if self.open().is_child() {
            return;
        }
        let left = self.body().locked.with(|counted| {
            counted.handles -= 1;
            counted.handles
        });
        if left == 0 {
            // SAFETY: this was the last handle, and it is not used again.
            unsafe { free(self.body) };
        }
    }
}

/// Whoever dropped the last but one has left the lock, or nobody could have come in to drop the last one; what the mutex may
/// still do behind that is to wake by its address, which the kernel alone looks at.
///
/// # Safety
///
/// No handle is left.
#[cold]
#[inline(never)]
unsafe fn free<S, T>(body: NonNull<Body<S, T>>) {
    // SAFETY: it was leaked by `Shared::new`, and the caller vouches that nobody else frees it.
    drop(unsafe { Box::from_raw(body.as_ptr()) });
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicU64;

    /// Not atomic: two inside at once lose additions.
    fn add(lock: &BiasedLock<u64>, times: u64) {
        for _ in 0..times {
            lock.with(|value| *value += 1);
        }
    }

    #[test]
    fn thread_that_comes_again_and_again_is_favoured_until_another_comes() {
        let lock = BiasedLock::new(0);
        add(&lock, u64::from(FAVOURED_AFTER) - 1);
        assert!(lock.favoured.load(Ordering::Relaxed).is_null());
        add(&lock, 1);
        let is_favoured = || here().is_some_and(|here| ptr::eq(lock.favoured.load(Ordering::Relaxed), here));
        assert!(is_favoured());
        add(&lock, 10);
        assert_eq!(lock.lock().times, 0, "the mutex was not asked");
        std::thread::scope(|scope| {
            scope.spawn(|| add(&lock, 1));
        });
        assert!(!is_favoured());
        add(&lock, 1);
        assert_eq!(lock.with(|value| *value), u64::from(FAVOURED_AFTER) + 12);
    }

    #[test]
    fn nothing_is_lost_while_the_favour_comes_and_goes() {
        const TURNS: u64 = 300;
        const TIMES: u64 = 2_000;
        let lock = BiasedLock::new(0);
        let favours = AtomicU64::new(0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..TURNS {
                    add(&lock, TIMES);
                    let favoured = lock.favoured.load(Ordering::Relaxed);
                    favours.fetch_add(u64::from(!favoured.is_null()), Ordering::Relaxed);
                }
            });
            scope.spawn(|| {
                for _ in 0..TURNS {
                    add(&lock, 3);
                    std::thread::sleep(std::time::Duration::from_micros(50));
                }
            });
        });
        assert_eq!(lock.with(|value| *value), TURNS * (TIMES + 3));
        println!("somebody was favoured at the end of {favours:?} of {TURNS} turns");
        assert!(favours.into_inner() > 0, "the favour was never given");
    }

    #[test]
    fn locks_may_be_entered_from_within_others_and_places_are_used_again() {
        let (one, other) = (BiasedLock::new(0), BiasedLock::new(0));
        add(&one, u64::from(FAVOURED_AFTER));
        add(&other, u64::from(FAVOURED_AFTER));
        one.with(|value| {
            *value += 1;
            add(&other, 2);
            std::thread::scope(|scope| {
                scope.spawn(|| add(&other, 1));
            });
        });
        assert_eq!(
            (one.with(|value| *value), other.with(|value| *value)),
            (u64::from(FAVOURED_AFTER) + 1, u64::from(FAVOURED_AFTER) + 3)
        );
        let place = || {
            let placed = std::thread::spawn(|| settle().map(|place| ptr::from_ref(place).addr()));
            placed.join().expect("no panic").expect("a place")
        };
        // Other tests' threads take and leave some meanwhile.
        let mut places: Vec<usize> = (0..1_000).map(|_| place()).collect();
        places.sort_unstable();
        places.dedup();
        assert!(
            places.len() < 100,
            "{} places for one thread at a time",
            places.len()
        );
    }

    #[test]
    fn panic_inside_leaves_the_lock_free() {
        let lock = Arc::new(BiasedLock::new(0));
        add(&lock, u64::from(FAVOURED_AFTER) + 1);
        for _ in 0..2 {
            let lock = Arc::clone(&lock);
            let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                lock.with(|_| panic!("inside"));
            }));
            assert!(panicked.is_err());
        }
        let other = Arc::clone(&lock);
        std::thread::spawn(move || add(&other, 1))
            .join()
            .expect("it is let in");
    }

    struct Here(Arc<()>);

    impl Home for Here {
        fn is_child(&self) -> bool {
            false
        }
    }

    #[test]
    fn shared_ends_with_its_last_handle_whoever_drops_it() {
        let (counted, token) = (Arc::new(()), Arc::new(()));
        let first = Shared::new(Here(Arc::clone(&counted)), Arc::clone(&token));
        for _ in 0..2 * FAVOURED_AFTER {
            let handle = first.clone();
            assert_eq!(handle.end_with(|_, _| 7), 7);
        }
        let second = first.clone();
        assert_eq!((first.handles(), Arc::strong_count(&first.open().0)), (2, 2));
        drop(first);
        std::thread::spawn(move || second.end_with(|_, value| assert_eq!(Arc::strong_count(value), 2)))
            .join()
            .expect("no panic");
        assert_eq!((Arc::strong_count(&counted), Arc::strong_count(&token)), (1, 1));
    }
}
