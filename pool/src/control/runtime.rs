//! The two runtimes of a control thread, and which of them the present thread runs.

use crate::cores::IoKind;
use std::cell::Cell;
use std::future::Future;
use std::io;
use std::sync::mpsc;
use std::thread::JoinHandle;

/// Entries of the runtime's ring: a control thread has a handful of operations under way (a read for each link, a
/// file), more are flushed in portions; and the ring counts against RLIMIT_MEMLOCK.
const RING_ENTRIES: u32 = 64;

thread_local! {
    /// Set for the whole life of a control thread. Thread-local because the runtimes that it speaks of are: a link
    /// must use that of the thread it is made on, or panic inside it. Absent (a thread that is not ours) means plain
    /// tokio, which works in any runtime.
    static KIND: Cell<IoKind> = const { Cell::new(IoKind::Epoll) };
}

/// The runtime of this thread.
pub(super) fn kind() -> IoKind {
    KIND.get()
}

/// A runtime that is ready to run.
enum Runtime {
    Uring(tokio_uring::Runtime),
    Plain(tokio::runtime::Runtime),
}

/// Starts a thread called `name` that runs the future made by `start` to its end, on the runtime that fits `io`.
/// Inside, `tokio::task::spawn_local`, tokio's timers and channels work; so do [`super::Link`] and
/// [`mod@super::file`]. What it spawned and did not wait for ends with it.
///
/// Where io_uring is asked for and refused (each ring counts against the user's locked memory, so that the cores may
/// have got theirs and this thread does not) plain tokio takes its place, with a warning.
///
/// # Errors
/// No thread or no runtime can be made.
pub fn spawn<F, Fut>(name: &str, io: IoKind, start: F) -> io::Result<JoinHandle<()>>
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = ()>,
{
    let (tell, told) = mpsc::sync_channel(1);
    let name = name.to_owned();
    let thread = std::thread::Builder::new().name(name.clone()).spawn(move || {
        // A runtime cannot move between threads, so it is made here and its failure told to who waits for it.
        match Runtime::new(&name, io) {
            Ok(runtime) => {
                let _ = tell.send(Ok(()));
                runtime.run(start());
            }
            Err(error) => {
                let _ = tell.send(Err(error));
            }
        }
    })?;
    match told.recv() {
        Ok(result) => result.map(|()| thread),
        Err(_) => Err(io::Error::other("a control thread ended before it began")),
    }
}

impl Runtime {
    fn new(name: &str, io: IoKind) -> io::Result<Self> {
        if io == IoKind::Uring {
            match Self::uring() {
                Ok(runtime) => return Ok(runtime),
                Err(error) => tracing::warn!(
                    thread = name,
                    %error,
                    "this control thread runs without io_uring; raise RLIMIT_MEMLOCK if it was refused memory"
                ),
            }
        }
        let plain = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        Ok(Self::Plain(plain))
    }

    fn uring() -> io::Result<Self> {
        // tokio-uring does not look at what entering a ring returns, and would hang where set-up is allowed and
        // entering is not; so that is tried first.
        enter_a_ring()?;
        // COOP_TASKRUN spares the interrupts of a thread that polls anyway; DEFER_TASKRUN would make it hang.
        tokio_uring::Runtime::new(
            tokio_uring::builder()
                .entries(RING_ENTRIES)
                .uring_builder(tokio_uring::uring_builder().setup_coop_taskrun()),
        )
        .map(Self::Uring)
    }

    fn run(self, future: impl Future<Output = ()>) {
        match self {
            Self::Uring(runtime) => {
                KIND.set(IoKind::Uring);
                runtime.block_on(future);
            }
            Self::Plain(runtime) => {
                KIND.set(IoKind::Epoll);
                tokio::task::LocalSet::new().block_on(&runtime, future);
            }
        }
    }
}

/// Does nothing by a ring of the same shape as the runtime's.
fn enter_a_ring() -> io::Result<()> {
    let mut ring: io_uring::IoUring = io_uring::IoUring::builder()
        .setup_coop_taskrun()
        .build(RING_ENTRIES)?;
    let nothing = io_uring::opcode::Nop::new().build();
    // SAFETY: a NOP names no memory.
    unsafe { ring.submission().push(&nothing) }.map_err(|_| io::Error::other("a new ring is full"))?;
    ring.submit_and_wait(1)?;
    match ring.completion().next() {
        Some(done) if done.result() >= 0 => Ok(()),
        Some(done) => Err(io::Error::from_raw_os_error(-done.result())),
        None => Err(io::Error::other("the ring completes nothing")),
    }
}
