//! Dependent accesses to memory: each line says where the next one is, in an order that no prefetcher knows. What
//! nobody can be faster than who has to look at two places of which the first tells where the second is.

/// Bytes of a cache line.
const LINE_BYTES: usize = 64;

/// A line of memory: the number of the next one.
#[repr(align(64))]
#[derive(Clone, Copy)]
struct Line(u32);

const _: () = assert!(size_of::<Line>() == LINE_BYTES);

/// A round through memory, and where it stands.
pub struct Chase {
    lines: Vec<Line>,
    at: u32,
}

impl Chase {
    /// A round through about so many bytes.
    pub fn over(bytes: usize) -> Self {
        let count = u32::try_from(bytes / LINE_BYTES).unwrap_or(u32::MAX).max(1);
        let mut lines: Vec<Line> = (0..count).map(Line).collect();
        let mut random = 0x2545_f491_4f6c_dd1d_u64;
        // Sattolo's algorithm (1986): a permutation of a single cycle.
        for last in (1..lines.len()).rev() {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let other = ((random >> 33) * last as u64) >> 31;
            let (kept, other) = (lines[last], other as usize);
            lines[last] = lines[other];
            lines[other] = kept;
        }
        Self { lines, at: 0 }
    }

    /// Takes so many steps.
    pub fn go(&mut self, steps: usize) {
        for _ in 0..steps {
            self.at = self.lines[self.at as usize].0;
        }
        std::hint::black_box(self.at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_comes_by_every_line_before_it_comes_back() {
        let mut chase = Chase::over(1_000 * LINE_BYTES);
        let mut seen = vec![false; 1_000];
        for _ in 0..1_000 {
            assert!(!std::mem::replace(&mut seen[chase.at as usize], true));
            chase.go(1);
        }
        assert_eq!(chase.at, 0);
    }
}
