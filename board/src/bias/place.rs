//! Where a thread says which lock it is inside of, and the barrier by which others make sure that they see it.

#[cfg(loom)]
use loom::sync::atomic::{AtomicUsize, Ordering};
use std::cell::Cell;
#[cfg(not(loom))]
use std::sync::atomic::{AtomicUsize, Ordering};
#[cfg(not(loom))]
use std::sync::{Mutex, PoisonError};

/// In no lock.
pub(super) const NOWHERE: usize = 0;
/// Where a thread says which lock it is inside of as the favoured one: the lock's address, written by that thread alone. On
/// a line of its own. Places are never freed, so that anybody may look; those of threads that ended are used again.
#[repr(align(64))]
pub(super) struct Place(pub(super) AtomicUsize);

/// The calling thread's place; none before it has one.
#[cfg(not(loom))]
#[inline]
pub(super) fn here() -> Option<&'static Place> {
    HERE.get()
}

#[cfg(not(loom))]
thread_local! {
    // Without anything to be dropped, so that to look costs a load.
    static HERE: Cell<Option<&'static Place>> = const { Cell::new(None) };
    static SETTLED: Settled = const { Settled(Cell::new(None)) };
}

/// Gives the place back at the thread's end.
#[cfg(not(loom))]
struct Settled(Cell<Option<&'static Place>>);

#[cfg(not(loom))]
static VACANT: Mutex<Vec<&'static Place>> = Mutex::new(Vec::new());

#[cfg(not(loom))]
impl Drop for Settled {
    fn drop(&mut self) {
        HERE.set(None);
        if let Some(place) = self.0.take() {
            VACANT.lock().unwrap_or_else(PoisonError::into_inner).push(place);
        }
    }
}

/// A place for the calling thread; none while it ends.
#[cfg(not(loom))]
pub(super) fn settle() -> Option<&'static Place> {
    SETTLED
        .try_with(|settled| {
            let vacant = VACANT.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let place = vacant.unwrap_or_else(new_place);
            settled.0.set(Some(place));
            HERE.set(Some(place));
            place
        })
        .ok()
}

fn new_place() -> &'static Place {
    Box::leak(Box::new(Place(AtomicUsize::new(NOWHERE))))
}

#[cfg(loom)]
loom::thread_local!(static HERE: Cell<Option<&'static Place>> = Cell::new(None));

#[cfg(loom)]
pub(super) fn here() -> Option<&'static Place> {
    HERE.with(Cell::get)
}

#[cfg(loom)]
pub(super) fn settle() -> Option<&'static Place> {
    let place = new_place();
    HERE.with(|here| here.set(Some(place)));
    Some(place)
}

/// Nothing moves across it that the compiler could move; the processor's part is [`heavy_barrier`]'s.
#[cfg(not(loom))]
#[inline]
pub(super) fn light_barrier() {
    std::sync::atomic::compiler_fence(Ordering::SeqCst);
}

/// The model checker knows no barrier that one thread runs on another: both sides get one of their own, which is the same
/// to both.
#[cfg(loom)]
pub(super) fn light_barrier() {
    loom::sync::atomic::fence(Ordering::SeqCst);
}

#[cfg(loom)]
pub(super) fn heavy_barrier() {
    loom::sync::atomic::fence(Ordering::SeqCst);
}

#[cfg(loom)]
pub(super) fn has_barrier() -> bool {
    true
}

/// Whether the kernel runs [`heavy_barrier`] for this program; asked once.
#[cfg(not(loom))]
pub(super) fn has_barrier() -> bool {
    static REGISTERED: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *REGISTERED.get_or_init(|| membarrier(libc::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED))
}

/// A whole barrier on every processor that runs a thread of this program, before this returns.
#[cfg(not(loom))]
pub(super) fn heavy_barrier() {
    /// Longer than any processor keeps a store to itself.
    const DRAINED: std::time::Duration = std::time::Duration::from_millis(1);
    std::sync::atomic::fence(Ordering::SeqCst);
    // What was registered is refused only where a filter of system calls came since.
    if !membarrier(libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED) {
        std::thread::sleep(DRAINED);
    }
}

#[cfg(not(loom))]
fn membarrier(command: libc::c_int) -> bool {
    // SAFETY: a system call that takes numbers and touches no memory.
    unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) == 0 }
}
