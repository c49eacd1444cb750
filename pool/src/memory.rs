//! The memory of this process as the allocator sees it. Its own file because asking the allocator is a system call.

/// Gives the system back what the allocator keeps for later: to be called after work that needed much memory once.
/// Takes some milliseconds; does nothing where the allocator is not glibc's.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim takes no pointer, and may be called by any thread at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}
