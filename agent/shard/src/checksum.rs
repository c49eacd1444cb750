//! The checksum of what is kept on disk, once for routes and spool: a file that was cut off or damaged must show.

/// FNV-1a, 64 bits (Fowler, Noll, Vo). Each step is one-to-one, so a single changed byte always shows.
pub(crate) fn checksum(bytes: &[u8]) -> u64 {
    let step = |hash: u64, &byte: &u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}
