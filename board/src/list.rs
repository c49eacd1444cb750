//! A module's node list as words: written once, read by many, never changed.
//!
//! ```text
//! word 0   version of the route
//! word 1   shape: nodes 16 bits | idle 16 | overloaded or probing 16 | block class 8 | wide 1
//! word 2   slot 32 bits | probe_num 16 | rule 8 (1: classic) | forget_probe_count 1
//! then     the nodes. Narrow (every node is IPv4): address 32 bits | port 16 | weight 14 | view 2
//!          wide: address 64 | address 64 | 32 unused, port 16, weight 14, view 2
//! then     one hot word a node: 0 while nothing is known of the node's cost
//! ```

use crate::entry::{Entry, EntryNode, Rule};
use crate::layout::LINE_WORDS;
use crate::words::{AtomicU64, Ordering, Words};
use lars_wire::NodeAddr;
use lars_wire::bounds::{NODES_MAX, WEIGHT_MAX};
use lars_wire::caller::NodeView;

const HEADER_WORDS: usize = 3;
const WIDE_WORDS: usize = 3;
const RULE_CLASSIC: u64 = 1;
const WEIGHT_BITS: u32 = 14;
/// What the hot word of a node starts with.
const HOT_UNKNOWN: u64 = 0;

/// Words of the largest list: all of its nodes IPv6.
#[cfg(not(loom))]
pub(crate) const LIST_WORDS_MAX: usize =
    (HEADER_WORDS + NODES_MAX * (WIDE_WORDS + 1)).next_multiple_of(LINE_WORDS);
#[cfg(loom)]
pub(crate) const LIST_WORDS_MAX: usize = LINE_WORDS;

const _: () = assert!(WEIGHT_MAX < 1 << WEIGHT_BITS);
// A node's place plus one is 16 bits of a token.
const _: () = assert!(NODES_MAX < 1 << 16);

/// What the writer adds to an entry: where it keeps the list, and which private state readers keep for the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bookkeeping {
    /// Size class of the block that holds the list.
    pub(crate) class: u8,
    /// The module's number in its shard for as long as it is on the board: small and dense.
    pub(crate) slot: u32,
}

/// Whether all nodes fit one word each.
pub(crate) fn is_wide(nodes: &[EntryNode]) -> bool {
    nodes.iter().any(|node| node.addr.ipv4_number().is_none())
}

/// Words that the list of these nodes takes.
pub(crate) fn words_needed(nodes: &[EntryNode]) -> usize {
    HEADER_WORDS + nodes.len() * (node_words(is_wide(nodes)) + 1)
}

fn node_words(wide: bool) -> usize {
    if wide { WIDE_WORDS } else { 1 }
}

/// Writes the list at `offset`. It becomes visible with the Release store of a head that names it.
pub(crate) fn write(words: &Words, offset: usize, entry: &Entry<'_>, kept: Bookkeeping) {
    let nodes = entry.nodes;
    let wide = is_wide(nodes);
    let idle = nodes
        .iter()
        .take_while(|node| node.view == NodeView::Idle)
        .count();
    let is_probed = |node: &&EntryNode| matches!(node.view, NodeView::Overloaded | NodeView::Probing);
    let overloaded = nodes[idle..].iter().take_while(is_probed).count();
    debug_assert!(
        nodes[idle + overloaded..]
            .iter()
            .all(|node| node.view == NodeView::Draining),
        "idle nodes first, then overloaded and probing ones, then draining ones"
    );
    let shape = nodes.len() as u64
        | (idle as u64) << 16
        | (overloaded as u64) << 32
        | u64::from(kept.class) << 48
        | u64::from(wide) << 56;
    let Rule::Classic {
        probe_num,
        forget_probe_count,
    } = entry.rule;
    let rule = u64::from(kept.slot)
        | u64::from(probe_num) << 32
        | RULE_CLASSIC << 48
        | u64::from(forget_probe_count) << 56;
    let mut place = offset;
    let mut put = |word| {
        words.store(place, word, Ordering::Relaxed);
        place += 1;
    };
    put(entry.version);
    put(shape);
    put(rule);
    for node in nodes {
        let low = u64::from(node.addr.port()) << 16
            | u64::from(node.weight.min((1 << WEIGHT_BITS) - 1)) << 2
            | u64::from(u8::from(node.view));
        if wide {
            let bits = u128::from_be_bytes(node.addr.octets());
            put((bits >> 64) as u64);
            put(bits as u64);
            put(low);
        } else {
            put(u64::from(node.addr.ipv4_number().unwrap_or_default()) << 32 | low);
        }
    }
    for _ in nodes {
        put(HOT_UNKNOWN);
    }
}

/// A list as a reader finds it. While it is being read it may be overwritten: every number is checked, and nothing
/// is believed until the head was seen unchanged afterwards.
pub(crate) struct List<'a> {
    nodes: &'a [AtomicU64],
    wide: bool,
    /// Version of the route.
    pub(crate) version: u64,
    /// How many nodes stand first and take picks.
    pub(crate) idle: u16,
    /// How many stand behind those and take probes.
    pub(crate) overloaded: u16,
    /// The rule.
    pub(crate) rule: Rule,
    /// What the writer added.
    pub(crate) kept: Bookkeeping,
}

impl<'a> List<'a> {
    /// The list at `offset`; none where the words there cannot be one.
    #[inline]
    pub(crate) fn at(words: &'a Words, offset: usize) -> Option<Self> {
        let [version, shape, rule] = words.span(offset, HEADER_WORDS)? else {
            return None;
        };
        let (version, shape, rule) = (relaxed(version), relaxed(shape), relaxed(rule));
        let count = usize::from(shape as u16);
        let (idle, overloaded) = ((shape >> 16) as u16, (shape >> 32) as u16);
        let wide = shape >> 56 & 1 == 1;
        if count > NODES_MAX || usize::from(idle) + usize::from(overloaded) > count {
            return None;
        }
        if rule >> 48 & 0xff != RULE_CLASSIC {
            return None;
        }
        Some(Self {
            nodes: words.span(offset + HEADER_WORDS, count * node_words(wide))?,
            wide,
            version,
            idle,
            overloaded,
            rule: Rule::Classic {
                probe_num: (rule >> 32) as u16,
                forget_probe_count: rule >> 56 & 1 == 1,
            },
            kept: Bookkeeping {
                class: (shape >> 48) as u8,
                slot: rule as u32,
            },
        })
    }

    /// How many nodes there are.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len() / node_words(self.wide)
    }

    /// The address of the node at `place`; none outside of the list.
    #[inline]
    pub(crate) fn addr(&self, place: usize) -> Option<NodeAddr> {
        self.addr_and_low(place).map(|(addr, _)| addr)
    }

    /// The node at `place`; none outside of the list.
    pub(crate) fn node(&self, place: usize) -> Option<EntryNode> {
        let (addr, low) = self.addr_and_low(place)?;
        let view = NodeView::try_from((low & 3) as u8).ok()?;
        let weight = (low as u16 >> 2) & ((1 << WEIGHT_BITS) - 1);
        Some(EntryNode { addr, weight, view })
    }

    #[inline]
    fn addr_and_low(&self, place: usize) -> Option<(NodeAddr, u64)> {
        if self.wide {
            let start = place.checked_mul(WIDE_WORDS)?;
            let [high, middle, low] = self.nodes.get(start..start.checked_add(WIDE_WORDS)?)? else {
                return None;
            };
            let bits = u128::from(relaxed(high)) << 64 | u128::from(relaxed(middle));
            let low = relaxed(low);
            Some((NodeAddr::from_octets(bits.to_be_bytes(), (low >> 16) as u16), low))
        } else {
            let word = relaxed(self.nodes.get(place)?);
            Some((
                NodeAddr::from_ipv4_number((word >> 32) as u32, (word >> 16) as u16),
                word,
            ))
        }
    }
}

#[inline]
fn relaxed(word: &AtomicU64) -> u64 {
    word.load(Ordering::Relaxed)
}
