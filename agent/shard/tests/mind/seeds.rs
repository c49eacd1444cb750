//! Random tests print their seed; `LARS_SEED=n` replays one.

/// Runs `test` with `count` seeds, or with that of `LARS_SEED` alone.
pub(crate) fn with_seeds(count: u64, test: impl Fn(u64, fastrand::Rng)) {
    let replayed = std::env::var("LARS_SEED").ok().and_then(|seed| seed.parse().ok());
    let first: u64 = replayed.unwrap_or_else(|| fastrand::u64(..));
    let count = if replayed.is_some() { 1 } else { count };
    for seed in (0..count).map(|step| first.wrapping_add(step)) {
        println!("LARS_SEED={seed}");
        test(seed, fastrand::Rng::with_seed(seed));
    }
}
