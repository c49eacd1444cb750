//! Sealed, sparse files in memory and their mappings, our own and those that another process passes: here stands most
//! of this crate's unsafe code. What cannot be resized can be read whatever its other owners do: no access ever faults.

use crate::layout::HUGE_WORDS;
use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::ptr::{self, NonNull};
use std::sync::atomic::AtomicU64;

/// No resizing: without these two an access beyond a new end would kill the process.
const SIZE_SEALS: libc::c_int = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW;
/// What `fstatfs` calls the file system of memory (tmpfs(5)); files of huge pages may fault, and are none of it.
const TMPFS_MAGIC: libc::__fsword_t = 0x0102_1994;

/// Bytes of a huge page, and where one begins.
const HUGE_BYTES: usize = HUGE_WORDS * size_of::<AtomicU64>();
/// Bytes of a page, at least.
const PAGE_BYTES: usize = 4_096;

/// What a file is for: its name, which people see in `/proc/PID/maps`, and what nobody can do to it any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Written by its maker alone: no new writable mapping, no `write`.
    Board,
    /// Written by its maker and by whom it is passed to.
    Ring,
}

impl Purpose {
    fn name(self) -> &'static CStr {
        match self {
            Self::Board => c"lars-board",
            Self::Ring => c"lars-ring",
        }
    }

    /// The last one keeps the seals themselves from being added to.
    fn seals(self) -> libc::c_int {
        let more = match self {
            Self::Board => libc::F_SEAL_FUTURE_WRITE | libc::F_SEAL_SEAL,
            Self::Ring => libc::F_SEAL_SEAL,
        };
        SIZE_SEALS | more
    }
}

/// A file and one mapping of all of it; or memory without a file, which is this process's alone.
pub(crate) struct Memfd {
    base: NonNull<AtomicU64>,
    words: usize,
    /// None for a passed file, which is not passed on: a mapping outlives its descriptor, and descriptors are few. None
    /// for memory without one.
    file: Option<OwnedFd>,
    /// The process in which it is mapped, where its children do not inherit it.
    only_in: Option<u32>,
}

// SAFETY: the mapping belongs to no thread, and what it holds are atomics, which any thread may use.
unsafe impl Send for Memfd {}
// SAFETY: as above; shared references give out nothing but `&[AtomicU64]` and the borrowed descriptor.
unsafe impl Sync for Memfd {}

impl Memfd {
    /// A file of `words` zero words, mapped for writing. Its pages take memory when they are first written.
    pub(crate) fn create(words: usize, purpose: Purpose) -> io::Result<Self> {
        let bytes = words * size_of::<AtomicU64>();
        let file = File::from(create_file(purpose.name())?);
        file.set_len(bytes as u64)?;
        let file = OwnedFd::from(file);
        // The order matters: a mapping made before a board's seals stays writable, one made after them cannot be.
        let base = map(
            Some(file.as_fd()),
            bytes,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED,
        )?;
        let memfd = Self {
            base,
            words,
            file: Some(file),
            only_in: None,
        };
        seal(memfd.file(), purpose.seals())?;
        Ok(memfd)
    }

    /// `words` zero words that no other process sees; a child has a copy of its own. Its pages take memory when they are
    /// first written.
    pub(crate) fn private(words: usize) -> io::Result<Self> {
        let bytes = words * size_of::<AtomicU64>();
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        let base = map(None, bytes, libc::PROT_READ | libc::PROT_WRITE, flags)?;
        Ok(Self {
            base,
            words,
            file: None,
            only_in: None,
        })
    }

    /// Maps a file that another process passed: a board for reading, a ring for writing. Refused unless it is a file in
    /// memory that nobody can resize, of whole words and at most `words_max` of them.
    pub(crate) fn open(file: OwnedFd, purpose: Purpose, words_max: usize) -> io::Result<Self> {
        let refused = |what: &str| Err(io::Error::new(io::ErrorKind::InvalidData, what.to_owned()));
        // SAFETY: a call on a descriptor that we hold; it touches no memory of ours.
        let seals = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GET_SEALS) };
        if seals < 0 || seals & SIZE_SEALS != SIZE_SEALS {
            return refused("it is no file in memory that is sealed against resizing");
        }
        if !is_tmpfs(file.as_fd())? {
            return refused("its pages are no plain memory");
        }
        let file = File::from(file);
        let bytes = file.metadata()?.size();
        let words = usize::try_from(bytes / size_of::<AtomicU64>() as u64).unwrap_or(usize::MAX);
        if words == 0 || words > words_max || !bytes.is_multiple_of(size_of::<AtomicU64>() as u64) {
            return refused("its size is out of bounds");
        }
        let protection = match purpose {
            Purpose::Board => libc::PROT_READ,
            Purpose::Ring => libc::PROT_READ | libc::PROT_WRITE,
        };
        let base = map(Some(file.as_fd()), bytes as usize, protection, libc::MAP_SHARED)?;
        Ok(Self {
            base,
            words,
            file: None,
            only_in: None,
        })
    }

    /// The file, to be passed on.
    ///
    /// # Panics
    ///
    /// For a file that was passed to us: a bug of ours.
    pub(crate) fn file(&self) -> BorrowedFd<'_> {
        let file = self.file.as_ref().expect("only what we made is passed on");
        file.as_fd()
    }

    /// A child process does not inherit the mapping: two writers would be one too many.
    pub(crate) fn keep_from_children(&mut self) -> io::Result<()> {
        self.only_in = Some(std::process::id());
        // SAFETY: advice about a mapping that is ours; it changes nothing in this process.
        let result = unsafe {
            libc::madvise(
                self.base.as_ptr().cast(),
                self.words * size_of::<AtomicU64>(),
                libc::MADV_DONTFORK,
            )
        };
        done(result)
    }

    /// These words, as far as they fill huge pages, are to be put into such when they are first touched, where the kernel has
    /// any for whoever asks. An access then costs one miss instead of two or three. For memory without a file.
    pub(crate) fn prefer_huge(&self, words: Range<usize>) {
        self.advise(words, libc::MADV_HUGEPAGE);
    }

    /// These words, which fill huge pages and were all touched, are copied into such now (Linux 6.1): files in memory get
    /// none otherwise, unless the host's settings say so. Takes milliseconds for each, in which nobody reaches it. Whether it
    /// was done.
    pub(crate) fn make_huge(&self, words: Range<usize>) -> bool {
        self.advise(words, libc::MADV_COLLAPSE)
    }

    fn advise(&self, words: Range<usize>, advice: libc::c_int) -> bool {
        let start = (words.start * size_of::<AtomicU64>()).next_multiple_of(HUGE_BYTES);
        let end = words.end.min(self.words) * size_of::<AtomicU64>() / HUGE_BYTES * HUGE_BYTES;
        if start >= end {
            return false;
        }
        // SAFETY: advice about a part of a mapping that is ours; it changes nothing that anybody could see. A kernel that
        // has no huge pages refuses it.
        let result = unsafe {
            libc::madvise(
                self.base.as_ptr().wrapping_byte_add(start).cast(),
                end - start,
                advice,
            )
        };
        result == 0
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
        // In a child something else may stand there by now.
        if self.only_in.is_some_and(|process| process != std::process::id()) {
            return;
        }
        // SAFETY: the mapping was made by us with this length, and no reference into it outlives `self`.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.words * size_of::<AtomicU64>()) };
    }
}

/// An empty file in memory that can be sealed, and never executed where the kernel knows how to say so (6.3).
fn create_file(name: &CStr) -> io::Result<OwnedFd> {
    let mut flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING | libc::MFD_NOEXEC_SEAL;
    loop {
        // SAFETY: the name is a C string; the call touches no other memory.
        let fd = unsafe { libc::memfd_create(name.as_ptr(), flags) };
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

/// A new mapping of `bytes`, of a file or of nothing. A large one begins where a huge page may.
fn map(
    file: Option<BorrowedFd<'_>>,
    bytes: usize,
    protection: libc::c_int,
    flags: libc::c_int,
) -> io::Result<NonNull<AtomicU64>> {
    let (fd, place) = (file.map_or(-1, |file| file.as_raw_fd()), reserve(bytes)?);
    let fixed = if place.is_null() { 0 } else { libc::MAP_FIXED };
    // SAFETY: at a place of the kernel's choice, or over what was reserved: it overlaps nothing that anybody uses.
    let base = unsafe { libc::mmap(place, bytes, protection, flags | fixed, fd, 0) };
    let base = mapped(base);
    if base.is_err() && !place.is_null() {
        // SAFETY: gives back the addresses that we have just reserved.
        unsafe { libc::munmap(place, bytes) };
    }
    base
}

/// Addresses for a mapping of `bytes` that begins where a huge page may; null, which leaves the choice to the kernel, where
/// no huge page fits.
fn reserve(bytes: usize) -> io::Result<*mut libc::c_void> {
    if bytes < 2 * HUGE_BYTES {
        return Ok(ptr::null_mut());
    }
    let more = bytes + HUGE_BYTES;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a new mapping at a place of the kernel's choice; it overlaps nothing that we have.
    let start = unsafe { libc::mmap(ptr::null_mut(), more, libc::PROT_NONE, flags, -1, 0) };
    let start = mapped(start)?.as_ptr().cast::<libc::c_void>();
    let before = start.align_offset(HUGE_BYTES);
    let place = start.wrapping_byte_add(before);
    // The kernel counts in pages: what is left of the last one belongs to the mapping.
    let end = before + bytes.next_multiple_of(PAGE_BYTES);
    for (from, length) in [(0, before), (end, more.saturating_sub(end))] {
        if length > 0 {
            // SAFETY: both ends of what was just reserved, which nobody uses.
            unsafe { libc::munmap(start.wrapping_byte_add(from), length) };
        }
    }
    Ok(place)
}

/// What `mmap` returned, checked.
fn mapped(base: *mut libc::c_void) -> io::Result<NonNull<AtomicU64>> {
    if base == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    NonNull::new(base.cast()).ok_or_else(|| io::Error::other("mmap gave address zero"))
}

fn seal(file: BorrowedFd<'_>, seals: libc::c_int) -> io::Result<()> {
    // SAFETY: a call on a descriptor that we hold; it touches no memory of ours.
    done(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) })
}

fn is_tmpfs(file: BorrowedFd<'_>) -> io::Result<bool> {
    let mut statfs = MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: the kernel fills in the struct that we lend it.
    done(unsafe { libc::fstatfs(file.as_raw_fd(), statfs.as_mut_ptr()) })?;
    // SAFETY: the call succeeded, so the kernel has filled it in.
    let statfs = unsafe { statfs.assume_init() };
    Ok(statfs.f_type == TMPFS_MAGIC)
}

fn done(result: libc::c_int) -> io::Result<()> {
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
        let memfd = Memfd::create(512, Purpose::Board).expect("a file in memory");
        let refusal = |file: BorrowedFd<'_>, protection| {
            map(Some(file), 4_096, protection, libc::MAP_SHARED)
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
        assert!(
            seal(memfd.file(), libc::F_SEAL_WRITE).is_err(),
            "the seals themselves are sealed"
        );
    }

    #[test]
    fn large_mapping_begins_where_a_huge_page_may_and_is_given_back_whole() {
        let bytes = 2 * HUGE_BYTES + 3 * PAGE_BYTES;
        for _ in 0..3 {
            let words = bytes / size_of::<AtomicU64>();
            let memfd = Memfd::create(words, Purpose::Board).expect("a file in memory");
            let base = memfd.base.as_ptr().addr();
            assert!(base.is_multiple_of(HUGE_BYTES), "{base:#x}");
            let made = memfd.make_huge(1..words);
            let maps = std::fs::read_to_string("/proc/self/smaps").expect("our own");
            let of_it = maps
                .lines()
                .skip_while(|line| !line.starts_with(&format!("{base:x}-")));
            let huge = of_it
                .take(30)
                .find_map(|line| line.strip_prefix("ShmemPmdMapped:"));
            // A kernel before 6.1 has none to give.
            let huge = huge.map(|kib| kib.trim().trim_end_matches(" kB"));
            assert!(!made || huge == Some("4096"), "{huge:?}");
            let last = memfd.words().last().expect("words");
            last.store(7, std::sync::atomic::Ordering::Relaxed);
            // By the file's number: other tests map and unmap at the same addresses.
            let file = memfd.file().try_clone_to_owned().expect("another descriptor");
            let number = File::from(file).metadata().expect("of a file").ino().to_string();
            let is_mapped = || {
                let maps = std::fs::read_to_string("/proc/self/maps").expect("our own");
                let mut numbers = maps
                    .lines()
                    .filter_map(|line| line.split_ascii_whitespace().nth(4));
                numbers.any(|of| of == number)
            };
            assert!(is_mapped());
            drop(memfd);
            assert!(!is_mapped());
        }
        let smallest = Memfd::private(1).expect("a page");
        assert_eq!(smallest.words().len(), 1);
    }

    #[test]
    fn mapping_made_before_the_seal_stays_writable() {
        use std::sync::atomic::Ordering;
        let memfd = Memfd::create(512, Purpose::Board).expect("a file in memory");
        memfd.words()[511].store(7, Ordering::Relaxed);
        let mut bytes = [0; 8];
        let file = File::from(memfd.file().try_clone_to_owned().expect("another descriptor"));
        std::os::unix::fs::FileExt::read_exact_at(&file, &mut bytes, 511 * 8).expect("read");
        assert_eq!(u64::from_ne_bytes(bytes), 7);
    }

    fn passed(memfd: &Memfd) -> OwnedFd {
        memfd.file().try_clone_to_owned().expect("another descriptor")
    }

    #[test]
    fn ring_that_is_passed_is_one_memory_for_both() {
        use std::sync::atomic::Ordering;
        let ours = Memfd::create(64, Purpose::Ring).expect("a file in memory");
        let theirs = Memfd::open(passed(&ours), Purpose::Ring, 64).expect("as it should be");
        theirs.words()[63].store(7, Ordering::Relaxed);
        ours.words()[0].store(8, Ordering::Relaxed);
        assert_eq!(ours.words()[63].load(Ordering::Relaxed), 7);
        assert_eq!(theirs.words()[0].load(Ordering::Relaxed), 8);
    }

    #[test]
    fn board_that_is_passed_can_be_mapped_for_reading_alone() {
        let ours = Memfd::create(64, Purpose::Board).expect("a file in memory");
        assert!(Memfd::open(passed(&ours), Purpose::Board, 64).is_ok());
        let refused = Memfd::open(passed(&ours), Purpose::Ring, 64).err();
        assert_eq!(refused.and_then(|error| error.raw_os_error()), Some(libc::EPERM));
    }

    #[test]
    fn file_that_could_fault_is_refused() {
        let refused = |file: OwnedFd| {
            let refused = Memfd::open(file, Purpose::Ring, 64).err();
            refused.map_or_else(String::new, |error| error.to_string())
        };
        let large = Memfd::create(65, Purpose::Ring).expect("a file in memory");
        assert!(refused(passed(&large)).contains("size"));
        let unsealed = File::from(create_file(c"unsealed").expect("a file in memory"));
        unsealed.set_len(512).expect("sized");
        assert!(refused(unsealed.into()).contains("sealed"));
        let odd = File::from(create_file(c"odd").expect("a file in memory"));
        odd.set_len(12).expect("sized");
        seal(odd.as_fd(), SIZE_SEALS).expect("sealed");
        assert!(refused(odd.into()).contains("size"));
        let on_disk = tempfile::tempfile().expect("a file");
        on_disk.set_len(512).expect("sized");
        assert!(refused(on_disk.into()).contains("sealed"));
        // Huge pages may be reserved nowhere, and then there is nothing to refuse.
        // SAFETY: the name is a C string; the call touches no other memory.
        let huge = unsafe {
            libc::memfd_create(
                c"huge".as_ptr(),
                libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING | libc::MFD_HUGETLB,
            )
        };
        if huge >= 0 {
            // SAFETY: the kernel has just made this descriptor for us; nobody else owns it.
            let huge = unsafe { OwnedFd::from_raw_fd(huge) };
            seal(huge.as_fd(), SIZE_SEALS).expect("sealed");
            assert!(refused(huge).contains("plain"));
        }
    }
}
