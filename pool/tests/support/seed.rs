//! Where chance decides in a test, it prints its seed, and `LARS_SEED=n` plays the same run again.

use std::time::{SystemTime, UNIX_EPOCH};

/// The seed of this run, printed.
pub(crate) fn seed() -> u64 {
    let given = std::env::var("LARS_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(|| {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
        since_1970.map_or(1, |time| time.as_nanos() as u64)
    });
    println!("LARS_SEED={seed}");
    seed
}
