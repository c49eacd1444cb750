//! A sealed, sparse file in memory, mapped once for writing: here stands nearly all of this crate's unsafe code.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::AtomicU64;

/// No resizing, no new writable mapping, no `write`, and no taking of these seals away.
const SEALS: libc::c_int =
    libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_FUTURE_WRITE | libc::F_SEAL_SEAL;

/// The file and the one writable mapping that it will ever have.
pub(crate) struct Memfd {
    base: NonNull<AtomicU64>,
    words: usize,
    file: OwnedFd,
}

// SAFETY: the mapping belongs to no thread, and what it holds are atomics, which any thread may use.
unsafe impl Send for Memfd {}
// SAFETY: as above; shared references give out nothing but `&[AtomicU64]` and the borrowed descriptor.
unsafe impl Sync for Memfd {}

impl Memfd {
    /// A file of `words` zero words. Its pages take memory when they are first written.
    pub(crate) fn create(words: usize) -> io::Result<Self> {
        let bytes = words * size_of::<AtomicU64>();
        let file = File::from(create_file()?);
        file.set_len(bytes as u64)?;
        let file = OwnedFd::from(file);
        // The order matters: a mapping made before this seal stays writable, one made after it cannot be.
        let base = map(file.as_fd(), bytes, libc::PROT_READ | libc::PROT_WRITE)?;
        let memfd = Self { base, words, file };
        seal(memfd.file.as_fd())?;
        Ok(memfd)
    }

    /// The file, to be passed on.
    pub(crate) fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// The memory.
    #[inline]
    pub(crate) fn words(&self) -> &[AtomicU64] {
        // SAFETY: `base` is the page-aligned start of a mapping of `words` words, which lives until `self` is dropped
        // and whose file is sealed against shrinking; any bits are a valid AtomicU64, and all access is atomic.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr(), self.words) }
    }
}

impl Drop for Memfd {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `create` with this length, and no reference into it outlives `self`.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.words * size_of::<AtomicU64>()) };
    }
}

/// An empty file in memory that can be sealed, and never executed where the kernel knows how to say so (6.3).
fn create_file() -> io::Result<OwnedFd> {
    let mut flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING | libc::MFD_NOEXEC_SEAL;
    loop {
        // SAFETY: the name is a C string; the call touches no other memory.
        let fd = unsafe { libc::memfd_create(c"lars-board".as_ptr(), flags) };
        if fd >= 0 {
            // SAFETY: the kernel has just made this descriptor for us; nobody else owns it.
            return Ok(unsafe { OwnedFd::from_raw_fd(fd) });
        }
        let error = io::Error::last_os_error();
        let older_kernel = error.raw_os_error() == Some(libc::EINVAL) && flags & libc::MFD_NOEXEC_SEAL != 0;
        if !older_kernel {
            return Err(error);
        }
        flags &= !libc::MFD_NOEXEC_SEAL;
    }
}

fn map(file: BorrowedFd<'_>, bytes: usize, protection: libc::c_int) -> io::Result<NonNull<AtomicU64>> {
    // SAFETY: a new mapping at a place of the kernel's choice; it overlaps nothing that we have.
    let base = unsafe {
        libc::mmap(
            ptr::null_mut(),
            bytes,
            protection,
            libc::MAP_SHARED,
            file.as_raw_fd(),
            0,
        )
    };
    if base == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    NonNull::new(base.cast()).ok_or_else(|| io::Error::other("mmap gave address zero"))
}

fn seal(file: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: a call on a descriptor that we hold; it touches no memory of ours.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, SEALS) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::OpenOptions;
    use std::io::Write;

    const READ_WRITE: libc::c_int = libc::PROT_READ | libc::PROT_WRITE;

    #[test]
    fn sealed_file_can_be_mapped_for_reading_and_never_again_for_writing() {
        let memfd = Memfd::create(512).expect("a file in memory");
        let refusal = |file: BorrowedFd<'_>, protection| {
            map(file, 4_096, protection)
                .err()
                .and_then(|error| error.raw_os_error())
        };
        assert_eq!(refusal(memfd.file(), libc::PROT_READ), None);
        assert_eq!(refusal(memfd.file(), READ_WRITE), Some(libc::EPERM));
        // Opened anew it is still the same sealed file.
        let path = format!("/proc/self/fd/{}", memfd.file().as_raw_fd());
        let mut again = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .expect("opened anew");
        assert_eq!(refusal(again.as_fd(), READ_WRITE), Some(libc::EPERM));
        for refused in [
            again.write(&[1]).map(drop),
            again.set_len(0),
            again.set_len(1 << 20),
        ] {
            assert_eq!(refused.expect_err("sealed").raw_os_error(), Some(libc::EPERM));
        }
        assert!(seal(memfd.file()).is_err(), "the seals themselves are sealed");
    }

    #[test]
    fn mapping_made_before_the_seal_stays_writable() {
        use std::sync::atomic::Ordering;
        let memfd = Memfd::create(512).expect("a file in memory");
        memfd.words()[511].store(7, Ordering::Relaxed);
        let mut bytes = [0; 8];
        let file = File::from(memfd.file().try_clone_to_owned().expect("another descriptor"));
        std::os::unix::fs::FileExt::read_exact_at(&file, &mut bytes, 511 * 8).expect("read");
        assert_eq!(u64::from_ne_bytes(bytes), 7);
    }
}
