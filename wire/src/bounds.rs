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
/// Nodes in one explanation: no more fit a body, however short their reasons (52 bytes each and the head).
pub const EXPLAINED_MAX: usize = 1_259;
/// Counts, notes and links, each, of a status.
pub const STATUS_LINES_MAX: usize = 256;
/// Changes in one edit: they are stored in one transaction.
pub const EDITS_MAX: usize = 512;
/// Characters of a name for people: the databases keep them in columns of so many.
pub const NAME_CHARS_MAX: usize = 255;
/// Bytes of such a name: none of its characters has more than four.
pub const NAME_BYTES_MAX: usize = 4 * NAME_CHARS_MAX;
/// Names in one page; as many as fit its frame where they are long.
pub const NAMES_MAX: usize = 2_048;
/// Modules in one page of what is held back.
pub const HELD_MAX: usize = 2_048;
/// Changes of nodes' states in one batch or listing.
pub const CHANGES_MAX: usize = 128;
/// Bytes of the reason of such a change.
pub const CHANGE_REASON_BYTES_MAX: usize = 400;
/// Calls in one frame of a recording.
pub const SEEN_MAX: usize = 1_024;
/// Bytes of a text meant for people (a refusal, a reason).
pub const TEXT_BYTES_MAX: usize = 1_024;
/// Weight of a node where none is given.
pub const WEIGHT_DEFAULT: u16 = 100;
/// Largest weight; the smallest is 1. The ratio of two weights then fits what a pick can honour.
pub const WEIGHT_MAX: u16 = 10_000;

/// Bytes of an address and a port.
const NODE_ADDR_BYTES: usize = 18;
/// Bytes of a module.
const MODULE_BYTES: usize = 8;
/// Bytes of a count or of a string's length.
pub(crate) const COUNT_BYTES: usize = 8;
/// Bytes of a report: module, node, token, outcome, retcode, latency.
pub(crate) const REPORT_BYTES: usize = MODULE_BYTES + NODE_ADDR_BYTES + 8 + 1 + 4 + 4;
/// Bytes of the answer to a pick: status, node, token, version.
pub(crate) const NODE_BODY_BYTES: usize = 1 + NODE_ADDR_BYTES + 8 + 8;
/// Bytes of a known module: module, instance, version, hash.
const KNOWN_MODULE_BYTES: usize = MODULE_BYTES + 3 * 8;
/// Bytes of a page's node: address, weight, state, zone.
const PAGE_NODE_BYTES: usize = NODE_ADDR_BYTES + 2 + 1 + 2;
/// Bytes of all zones of a page at most.
const ZONES_BYTES_MAX: usize = COUNT_BYTES + PAGE_ZONES_MAX * (COUNT_BYTES + ZONE_BYTES_MAX);
/// Bytes of a tally: module, node, age, four counts, sum and maximum of latencies, window (two counts, a flag).
const TALLY_BYTES: usize = MODULE_BYTES + NODE_ADDR_BYTES + 4 + 4 * 4 + 8 + 4 + (4 + 4 + 1);
/// Bytes of a row at most: module, node, weight, state, zone.
const ROUTE_ROW_BYTES_MAX: usize = MODULE_BYTES + NODE_ADDR_BYTES + 2 + 1 + COUNT_BYTES + ZONE_BYTES_MAX;
/// Bytes of an edit at most: tag, row.
const ROUTE_EDIT_BYTES_MAX: usize = 4 + ROUTE_ROW_BYTES_MAX;
/// Bytes of an explained node at most, without its reason: node, view, since, the reason's length, cost, in flight, probe.
const NODE_EXPLAINED_BYTES: usize = NODE_ADDR_BYTES + 1 + 8 + COUNT_BYTES + 4 + 4 + 9;

/// Bytes of the largest report batch.
pub const REPORT_BATCH_BYTES_MAX: usize = COUNT_BYTES + REPORTS_MAX * REPORT_BYTES;
/// Bytes of the largest subscribe or digest.
pub const SUBSCRIBE_BYTES_MAX: usize = COUNT_BYTES + MODULES_MAX * KNOWN_MODULE_BYTES;
/// Bytes of the largest page: module, status, three words, a flag, two places, zones, nodes.
pub const ROUTE_PAGE_BYTES_MAX: usize =
    MODULE_BYTES + 1 + 3 * 8 + 1 + 2 * 4 + ZONES_BYTES_MAX + COUNT_BYTES + PAGE_NODES_MAX * PAGE_NODE_BYTES;
/// Bytes of the largest delta: module, four words, a flag, zones, nodes put, nodes removed.
pub const ROUTE_DELTA_BYTES_MAX: usize = MODULE_BYTES
    + 4 * 8
    + 1
    + ZONES_BYTES_MAX
    + 2 * COUNT_BYTES
    + PAGE_NODES_MAX * (PAGE_NODE_BYTES + NODE_ADDR_BYTES);
/// Bytes of the largest tally batch: incarnation, sequence, caller, age, tallies.
pub const TALLY_BATCH_BYTES_MAX: usize = 16 + 8 + 4 + 8 + COUNT_BYTES + TALLIES_MAX * TALLY_BYTES;
/// Bytes of the largest listing: rows, a flag.
pub const ROUTE_ROWS_BYTES_MAX: usize = COUNT_BYTES + EDITS_MAX * ROUTE_ROW_BYTES_MAX + 1;
/// Bytes of the largest edit.
pub const EDIT_ROUTES_BYTES_MAX: usize = COUNT_BYTES + EDITS_MAX * ROUTE_EDIT_BYTES_MAX;
/// Bytes of the largest page of what is held back: two flags, rows of a module, a count and a flag.
pub const HELD_ROWS_BYTES_MAX: usize = 1 + COUNT_BYTES + HELD_MAX * (MODULE_BYTES + 4 + 1) + 1;
/// Bytes of the largest listing of changes: two totals, changes of a number, module, node, age, two views and a reason.
pub const CHANGE_ROWS_BYTES_MAX: usize = 2 * 8
    + COUNT_BYTES
    + CHANGES_MAX * (8 + MODULE_BYTES + NODE_ADDR_BYTES + 8 + 2 + COUNT_BYTES + CHANGE_REASON_BYTES_MAX);
/// Bytes of the largest batch of changes: incarnation and caller in place of the totals.
pub const CHANGE_BATCH_BYTES_MAX: usize = CHANGE_ROWS_BYTES_MAX + 16 + 4 - 2 * 8;
/// Bytes of the largest frame of a recording: a total, a flag, calls of time, module, node, outcome, latency and count.
pub const SEEN_BYTES_MAX: usize =
    8 + 1 + COUNT_BYTES + SEEN_MAX * (8 + MODULE_BYTES + NODE_ADDR_BYTES + 1 + 4 + 4);
/// Bytes of an explanation of as many nodes as may be, of a policy and of reasons without a name: longer texts
/// leave room for fewer nodes, and the sender leaves out the last. Status, version, policy, total, nodes.
pub const EXPLANATION_BYTES_BARE: usize =
    1 + 8 + COUNT_BYTES + 4 + COUNT_BYTES + EXPLAINED_MAX * NODE_EXPLAINED_BYTES;

// The largest message of each kind fits a body; wire/tests/largest.rs holds these sums against encoded messages.
const _: () = assert!(REPORT_BATCH_BYTES_MAX <= BODY_BYTES_MAX);
const _: () = assert!(SUBSCRIBE_BYTES_MAX <= BODY_BYTES_MAX);
const _: () = assert!(ROUTE_PAGE_BYTES_MAX <= BODY_BYTES_MAX);
const _: () = assert!(ROUTE_DELTA_BYTES_MAX <= BODY_BYTES_MAX);
const _: () = assert!(TALLY_BATCH_BYTES_MAX <= BODY_BYTES_MAX);
const _: () = assert!(ROUTE_ROWS_BYTES_MAX <= BODY_BYTES_MAX);
const _: () = assert!(EDIT_ROUTES_BYTES_MAX <= BODY_BYTES_MAX);
const _: () = assert!(HELD_ROWS_BYTES_MAX <= BODY_BYTES_MAX);
const _: () = assert!(CHANGE_ROWS_BYTES_MAX <= BODY_BYTES_MAX);
const _: () = assert!(CHANGE_BATCH_BYTES_MAX <= BODY_BYTES_MAX);
const _: () = assert!(SEEN_BYTES_MAX <= BODY_BYTES_MAX);
const _: () = assert!(EXPLANATION_BYTES_BARE <= BODY_BYTES_MAX);
const _: () = assert!(EXPLANATION_BYTES_BARE + NODE_EXPLAINED_BYTES > BODY_BYTES_MAX);
