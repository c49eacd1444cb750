//! `cargo bench -p lars-benches --bench micro -- [PART OF A NAME]`: times of single pieces of the data path.

use divan::Bencher;
use lars_benches::cases::{self, Case};

/// Named by the piece alone.
struct Piece(Case);

impl std::fmt::Display for Piece {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.name)
    }
}

fn main() {
    divan::main();
}

/// Repeated so often between two looks at the clock, which otherwise costs more than a piece does; so many times.
const REPEATED: u32 = 512;
const SAMPLES: u32 = 100;

#[divan::bench(sample_size = REPEATED, sample_count = SAMPLES, args = cases::all().into_iter().map(Piece))]
fn piece(bencher: Bencher<'_, '_>, piece: &Piece) {
    bencher.bench_local((piece.0.make)());
}
