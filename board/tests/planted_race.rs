//! A race on purpose, which `./test.sh --all` wants ThreadSanitizer to find before it believes that it finds none in the
//! board and its rings. Empty but for `--cfg planted_race`.
#![cfg(planted_race)]

use std::cell::UnsafeCell;

/// A word that two threads write, without an atomic.
struct Word(UnsafeCell<u64>);

// SAFETY: it is not; that is what this program is for, and it is only ever run to be caught.
unsafe impl Sync for Word {}

#[test]
fn two_threads_write_one_word_without_an_atomic() {
    let word = Word(UnsafeCell::new(0));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let word = &word;
            scope.spawn(move || {
                for number in 0..100_000 {
                    // SAFETY: none, as above.
                    unsafe { word.0.get().write_volatile(number) };
                }
            });
        }
    });
}
