//! Every bound of the protocol, once, with the relations between them held at compile time.

/// Bytes of a frame's header.
pub const HEADER_BYTES: usize = 12;
/// Bytes of a whole frame: one large buffer of the pool (64 KiB) holds any frame.
pub const FRAME_BYTES_MAX: usize = 64 * 1024;
/// Bytes of a frame's body; checked in the header before anything is allocated.
pub const BODY_BYTES_MAX: usize = FRAME_BYTES_MAX - HEADER_BYTES;
/// Nodes that a pick may ask to avoid: those a caller has already tried.
pub const AVOID_MAX: usize = 8;
/// Reports in one batch.
pub const REPORTS_MAX: usize = 1024;
/// Nodes of one module; more are refused where routes are written and skipped (and counted) where they are read.
pub const NODES_MAX: usize = 16_384;
/// Nodes in one page of a route.
pub const PAGE_NODES_MAX: usize = 1_024;
/// Different zones in one page of a route.
pub const PAGE_ZONES_MAX: usize = 256;
/// Bytes of a zone's name.
pub const ZONE_BYTES_MAX: usize = 32;
/// Bytes of a caller's name.
pub const CALLER_NAME_BYTES_MAX: usize = 64;
/// Modules in one subscribe, unsubscribe or digest.
pub const MODULES_MAX: usize = 1_024;
/// Tallies in one batch.
pub const TALLIES_MAX: usize = 512;
/// Changes in one edit: they are stored in one transaction.
pub const EDITS_MAX: usize = 512;
/// Bytes of a text meant for people (a refusal, a reason).
pub const TEXT_BYTES_MAX: usize = 1_024;
/// Weight of a node where none is given.
pub const WEIGHT_DEFAULT: u16 = 100;
/// Largest weight; the smallest is 1. The ratio of two weights then fits what a pick can honour.
pub const WEIGHT_MAX: u16 = 10_000;

// The largest message of each kind fits a body (sizes are those of docs/PROTOCOL.md).
const _: () = assert!(PAGE_NODES_MAX * 23 + PAGE_ZONES_MAX * (ZONE_BYTES_MAX + 8) + 128 <= BODY_BYTES_MAX);
const _: () = assert!(REPORTS_MAX * 43 + 64 <= BODY_BYTES_MAX);
const _: () = assert!(TALLIES_MAX * 112 + 128 <= BODY_BYTES_MAX);
const _: () = assert!(MODULES_MAX * 32 + 64 <= BODY_BYTES_MAX);
const _: () = assert!(EDITS_MAX * (32 + ZONE_BYTES_MAX + 24) + 64 <= BODY_BYTES_MAX);
