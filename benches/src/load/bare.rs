//! What no pick with its report can do without, and nothing else: a look at the board that is checked, two candidates and
//! what each has to do, a call that is counted when it begins and when it ends, four words in a ring. Plain code on memory of
//! its own: nobody else writes there, nothing is checked, no time is measured.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering, fence};

/// Nodes of the module.
const NODES: u64 = 10;
/// Words of the ring.
const RING_WORDS: usize = 4 * 8_192;
/// Where the module's head stands, its nodes, and their costs: each on lines of their own, as on a board.
const HEAD: usize = 0;
const LIST: usize = 8;
const COSTS: usize = LIST + NODES as usize;

/// A board of one module, counts of its calls, and a ring.
pub struct Bare {
    board: Vec<AtomicU64>,
    calls: Vec<AtomicU64>,
    ring: Vec<AtomicU64>,
    count: AtomicU64,
    written: usize,
    random: u64,
}

impl Bare {
    /// All costs are alike, as those of nodes are that answer alike.
    pub fn new() -> Self {
        let words = |count: usize, word: u64| (0..count).map(|_| AtomicU64::new(word)).collect();
        Self {
            board: words(COSTS + NODES as usize, 1),
            calls: words(NODES as usize, 0),
            ring: words(RING_WORDS, 0),
            count: AtomicU64::new(0),
            written: 0,
            random: 1,
        }
    }

    /// One pair.
    #[inline]
    pub fn pair(&mut self) {
        let place = self.pick();
        self.report(black_box(place));
    }

    #[inline]
    fn pick(&mut self) -> usize {
        let head = self.board[HEAD].load(Ordering::Acquire);
        let (one, other) = (self.draw(), self.draw());
        let cost = |place: usize| {
            let calls = self.calls[place].load(Ordering::Relaxed) as f64;
            self.board[COSTS + place].load(Ordering::Relaxed) as f64 * (1.0 + calls)
        };
        let place = if cost(other) < cost(one) { other } else { one };
        black_box(self.board[LIST + place].load(Ordering::Relaxed));
        fence(Ordering::Acquire);
        black_box(self.board[HEAD].load(Ordering::Relaxed) == head);
        self.calls[place].fetch_add(1, Ordering::Relaxed);
        place
    }

    #[inline]
    fn report(&mut self, place: usize) {
        self.calls[place].fetch_sub(1, Ordering::Relaxed);
        let first = self.written % (RING_WORDS / 4) * 4;
        for (word, value) in self.ring[first..first + 4].iter().zip([1, 2, 3, place as u64]) {
            word.store(value, Ordering::Relaxed);
        }
        self.written += 1;
        self.count.store(self.written as u64, Ordering::Release);
    }

    /// A node at random (splitmix's increment and a multiplication: enough to be unforeseen).
    #[inline]
    fn draw(&mut self) -> usize {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ self.random >> 31).wrapping_mul(0x94d0_49bb_1331_11eb);
        (((mixed >> 32) * NODES) >> 32) as usize
    }
}

impl Default for Bare {
    fn default() -> Self {
        Self::new()
    }
}
