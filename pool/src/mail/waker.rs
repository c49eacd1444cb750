//! Ends a core's sleep: an eventfd that the core waits on beside its sockets, written only while it sleeps.
//!
//! No wake-up is lost. A producer pushes (P1), fences (P2), then reads the flag (P3). A core that wants to sleep sets
//! the flag (C1), fences (C2), then looks into its queues once more (C3). The two SeqCst fences have one order. If P2
//! comes first, C3 sees what P1 pushed, and the core does not sleep. If C2 comes first, P3 sees the flag, and the
//! producer writes the eventfd; the core sleeps at most until that write. Without the fences both could look before
//! either store is seen by the other, and the mail would lie there until something else ends the sleep.
//! Of many producers that see the flag one takes it (swap), so one sleep costs one write.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};

/// One core's bell. Clones ring the same one.
#[derive(Clone, Debug)]
pub struct Waker {
    shared: Arc<Shared>,
}

/// On lines of its own: producers read the flag with each piece of mail, and it changes only around a sleep.
#[derive(Debug)]
#[repr(align(128))]
struct Shared {
    sleeping: AtomicBool,
    event: OwnedFd,
}

impl Waker {
    /// Makes a bell for a core that is awake.
    pub fn new() -> io::Result<Self> {
        // SAFETY: no memory is passed.
        let fd = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was just made and nobody else has it.
        let event = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self {
            shared: Arc::new(Shared {
                sleeping: AtomicBool::new(false),
                event,
            }),
        })
    }

    /// Ends the core's sleep, or keeps it from falling asleep. Call it after the push. A system call only when the
    /// core sleeps.
    pub fn wake(&self) {
        fence(Ordering::SeqCst);
        if self.shared.sleeping.load(Ordering::Relaxed) && self.shared.sleeping.swap(false, Ordering::AcqRel)
        {
            self.ring();
        }
    }

    /// Makes the descriptor readable whether the core sleeps or not.
    fn ring(&self) {
        let one = 1_u64.to_ne_bytes();
        // SAFETY: eight bytes are read from `one`, which lives as long. The only failure, EAGAIN, means that the
        // counter is full, so that the descriptor is readable already.
        unsafe { libc::write(self.shared.event.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }

    /// Core only: says that it is about to wait on [`Self::fd`]. It must then look into every queue once more; where
    /// it finds mail it calls [`Self::woke`] and goes on instead of waiting.
    pub fn prepare_sleep(&self) {
        self.shared.sleeping.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Core only: it is awake, whatever the reason. Costs no system call. The descriptor may have become readable, or
    /// still become so: see [`Self::hush`].
    pub fn woke(&self) {
        self.shared.sleeping.store(false, Ordering::Relaxed);
    }

    /// Core only: makes the descriptor unreadable again, once it was found readable (a read of eight bytes by the
    /// ring does the same). Mail is to be looked for after this, never only before.
    pub fn hush(&self) {
        let mut count = [0_u8; 8];
        // SAFETY: eight bytes are written to `count`, which lives as long. EAGAIN means that it was not readable.
        unsafe {
            libc::read(
                self.shared.event.as_raw_fd(),
                count.as_mut_ptr().cast(),
                count.len(),
            )
        };
    }

    /// What the core waits on: readable when it was woken.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.shared.event.as_fd()
    }
}
