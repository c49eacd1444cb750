//! A module's node list as words: written once, read by many; only its hot words are refreshed in place.
//!
//! ```text
//! word 0   version of the route
//! word 1   shape: nodes 16 bits | idle 16 | overloaded or probing 16 | block class 8 | wide 1
//! word 2   slot 32 bits | number 16 | rule 8 | extra 8
//!          classic (1): probe_num, forget_probe_count
//!          adaptive (2), weighted round robin (3), consistent hash (4): retries in percent 8 bits and their floor 8,
//!          the bound on a node's load in percent above 100
//! word 3   mean weight of the idle nodes, 32 bits of a float | words of the table 32
//! then     a record a node, its hot word first: cost in microseconds, 32 bits of a float | warmth 8 | node slot 24
//!          narrow (every node is IPv4): hot | address 32 bits, port 16, weight 14, view 2
//!          wide: hot | address 64 | address 64 | 32 unused, port 16, weight 14, view 2
//! then     the table that the rule needs (`table.rs`)
//! ```
//!
//! Lists start on a line, so no record lies on two: whoever has read what a node costs has its address at hand.

use crate::entry::{Entry, EntryNode, Hot, NodeSlot, Retries, Rule};
use crate::layout::LINE_WORDS;
#[cfg(not(loom))]
use crate::table::POINTS_MAX;
use crate::table::{STEPS_MAX, mean_weight};
use crate::words::{AtomicU64, Ordering, Words};
use lars_wire::NodeAddr;
use lars_wire::bounds::{NODES_MAX, WEIGHT_MAX};
use lars_wire::caller::NodeView;

const HEADER_WORDS: usize = 4;
/// Words of a record, as powers of two.
const NARROW_LOG2: u32 = 1;
const WIDE_LOG2: u32 = 2;
const RULE_CLASSIC: u64 = 1;
const RULE_ADAPTIVE: u64 = 2;
const RULE_ROUND_ROBIN: u64 = 3;
const RULE_HASH: u64 = 4;
const WEIGHT_BITS: u32 = 14;
const SLOT_MASK: u64 = (1 << NodeSlot::BITS) - 1;

/// Words of the largest list: all of its nodes IPv6, on a ring of hashes.
#[cfg(not(loom))]
pub(crate) const LIST_WORDS_MAX: usize =
    (HEADER_WORDS + (NODES_MAX << WIDE_LOG2) + POINTS_MAX).next_multiple_of(LINE_WORDS);
#[cfg(loom)]
pub(crate) const LIST_WORDS_MAX: usize = LINE_WORDS;

const _: () = assert!(WEIGHT_MAX < 1 << WEIGHT_BITS);
// A node's place plus one is 16 bits of a grant.
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

/// Words that the list of these nodes takes, with a table of `table_words`.
pub(crate) fn words_needed(nodes: &[EntryNode], table_words: usize) -> usize {
    HEADER_WORDS + (nodes.len() << record_log2(is_wide(nodes))) + table_words
}

#[inline]
fn record_log2(wide: bool) -> u32 {
    if wide { WIDE_LOG2 } else { NARROW_LOG2 }
}

/// How many nodes stand first and take picks.
pub(crate) fn idle_count(nodes: &[EntryNode]) -> usize {
    let idle = nodes
        .iter()
        .take_while(|node| node.view == NodeView::Idle && !node.in_reserve);
    idle.count()
}

/// Writes the list at `offset`. It becomes visible with the Release store of a head that names it.
pub(crate) fn write(words: &Words, offset: usize, entry: &Entry<'_>, kept: Bookkeeping, table: &[u64]) {
    let nodes = entry.nodes;
    let wide = is_wide(nodes);
    let idle = idle_count(nodes);
    let is_probed = |node: &&EntryNode| matches!(node.view, NodeView::Overloaded | NodeView::Probing);
    let overloaded = nodes[idle..].iter().take_while(is_probed).count();
    let rest = &nodes[idle + overloaded..];
    let reserve = rest.iter().take_while(|node| node.view == NodeView::Idle).count();
    debug_assert!(
        rest[reserve..].iter().all(|node| node.view == NodeView::Draining),
        "idle nodes first, then overloaded and probing ones, then the reserve, then draining ones"
    );
    let shape = nodes.len() as u64
        | (idle as u64) << 16
        | (overloaded as u64) << 32
        | u64::from(kept.class) << 48
        | u64::from(wide) << 56;
    let mean = mean_weight(&nodes[..idle]).to_bits();
    let mut place = offset;
    let mut put = |word| {
        words.store(place, word, Ordering::Relaxed);
        place += 1;
    };
    put(entry.version);
    put(shape);
    put(rule_word(entry.rule, kept.slot));
    put(u64::from(mean) << 32 | table.len() as u64);
    for node in nodes {
        let low = u64::from(node.addr.port()) << 16
            | u64::from(node.weight.min((1 << WEIGHT_BITS) - 1)) << 2
            | u64::from(u8::from(node.view));
        put(hot_word(node.slot, node.hot));
        if wide {
            let bits = u128::from_be_bytes(node.addr.octets());
            put((bits >> 64) as u64);
            put(bits as u64);
            put(low);
        } else {
            put(u64::from(node.addr.ipv4_number().unwrap_or_default()) << 32 | low);
        }
    }
    for &word in table {
        put(word);
    }
}

fn rule_word(rule: Rule, slot: u32) -> u64 {
    let retried = |retries: Retries| u64::from(retries.percent) | u64::from(retries.floor) << 8;
    let (kind, number, extra) = match rule {
        Rule::Classic {
            probe_num,
            forget_probe_count,
        } => (RULE_CLASSIC, u64::from(probe_num), u64::from(forget_probe_count)),
        Rule::Adaptive(retries) => (RULE_ADAPTIVE, retried(retries), 0),
        Rule::WeightedRoundRobin(retries) => (RULE_ROUND_ROBIN, retried(retries), 0),
        Rule::ConsistentHash {
            retries,
            load_max_percent,
        } => {
            let above = load_max_percent.saturating_sub(100).min(u16::from(u8::MAX));
            (RULE_HASH, retried(retries), u64::from(above))
        }
    };
    u64::from(slot) | number << 32 | kind << 48 | extra << 56
}

#[inline]
fn rule_of(word: u64) -> Rule {
    let (number, extra) = ((word >> 32) as u16, (word >> 56) as u8);
    let retries = Retries {
        percent: number as u8,
        floor: (number >> 8) as u8,
    };
    match word >> 48 & 0xff {
        RULE_ADAPTIVE => Rule::Adaptive(retries),
        RULE_ROUND_ROBIN => Rule::WeightedRoundRobin(retries),
        RULE_HASH => Rule::ConsistentHash {
            retries,
            load_max_percent: 100 + u16::from(extra),
        },
        _ => Rule::Classic {
            probe_num: number,
            forget_probe_count: extra & 1 == 1,
        },
    }
}

fn hot_word(slot: NodeSlot, hot: Hot) -> u64 {
    u64::from(hot.cost_us.to_bits()) << 32
        | u64::from(hot.warmth) << NodeSlot::BITS
        | u64::from(slot.to_bits())
}

#[inline]
fn hot_of(word: u64) -> (NodeSlot, Hot) {
    let hot = Hot {
        cost_us: f32::from_bits((word >> 32) as u32),
        warmth: (word >> NodeSlot::BITS) as u8,
    };
    (NodeSlot::new((word & SLOT_MASK) as u32), hot)
}

/// A list as a reader finds it. While it is being read it may be overwritten: every number is checked, and nothing
/// is believed until the head was seen unchanged afterwards.
#[derive(Clone, Copy)]
pub(crate) struct List<'a> {
    /// A record a node.
    nodes: &'a [AtomicU64],
    table: &'a [AtomicU64],
    wide: bool,
    /// The mean weight of the idle nodes.
    pub(crate) mean_weight: f32,
    /// Version of the route.
    pub(crate) version: u64,
    /// How many nodes stand first and take picks.
    pub(crate) idle: u16,
    /// How many stand behind those and take probes.
    pub(crate) overloaded: u16,
    /// The rule and its numbers.
    kind: u64,
    /// What the writer added.
    pub(crate) kept: Bookkeeping,
}

impl<'a> List<'a> {
    /// The list at `offset`; none where the words there cannot be one.
    #[inline(always)]
    pub(crate) fn at(board: &'a [AtomicU64], offset: usize) -> Option<Self> {
        let (header, body) = board.get(offset..)?.split_at_checked(HEADER_WORDS)?;
        let [version, shape, kind, mean] = header else {
            return None;
        };
        let (version, shape, mean) = (relaxed(version), relaxed(shape), relaxed(mean));
        let kind = relaxed(kind);
        let count = usize::from(shape as u16);
        let (idle, overloaded) = ((shape >> 16) as u16, (shape >> 32) as u16);
        let wide = shape >> 56 & 1 == 1;
        let is_possible = count <= NODES_MAX
            && usize::from(idle) + usize::from(overloaded) <= count
            && (RULE_CLASSIC..=RULE_HASH).contains(&(kind >> 48 & 0xff));
        if !is_possible {
            return None;
        }
        let (nodes, body) = body.split_at_checked(count << record_log2(wide))?;
        Some(Self {
            nodes,
            table: body.get(..mean as u32 as usize)?,
            wide,
            mean_weight: f32::from_bits((mean >> 32) as u32),
            version,
            idle,
            overloaded,
            kind,
            kept: Bookkeeping {
                class: (shape >> 48) as u8,
                slot: kind as u32,
            },
        })
    }

    /// The rule.
    #[inline(always)]
    pub(crate) fn rule(&self) -> Rule {
        rule_of(self.kind)
    }

    /// The table where it is one of aliases: of an entry whose nodes are drawn, and differ in weight. Empty otherwise.
    #[inline(always)]
    pub(crate) fn aliases(&self) -> &'a [AtomicU64] {
        let idle = usize::from(self.idle);
        let is_drawn = match self.kind >> 48 & 0xff {
            RULE_ADAPTIVE => true,
            RULE_ROUND_ROBIN => idle > STEPS_MAX,
            _ => false,
        };
        if is_drawn && self.table.len() == idle {
            self.table
        } else {
            &[]
        }
    }

    /// Whether the idle nodes are known to weigh the same: an entry of the adaptive rule has a table where they do not.
    #[inline(always)]
    pub(crate) fn weighs_alike(&self) -> bool {
        self.kind >> 48 & 0xff == RULE_ADAPTIVE && self.table.is_empty()
    }

    /// Where the nodes that take no picks at all begin: behind the idle, the overloaded and the reserve.
    pub(crate) fn serving(&self) -> usize {
        let rest = usize::from(self.idle) + usize::from(self.overloaded);
        let is_idle = |&place: &usize| self.node(place).is_some_and(|node| node.view == NodeView::Idle);
        rest + (rest..self.len()).take_while(is_idle).count()
    }

    /// How many nodes there are.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len() >> record_log2(self.wide)
    }

    /// Whether every node's address and port are one word, and so are known by [`narrow_addr`].
    #[inline(always)]
    pub(crate) fn is_narrow(&self) -> bool {
        !self.wide
    }

    /// The word of the node at `place` of a narrow list; none outside of it.
    #[inline(always)]
    pub(crate) fn narrow(&self, place: usize) -> Option<u64> {
        let address = (place << NARROW_LOG2) + 1;
        self.nodes.get(address).map(relaxed)
    }

    /// The address of the node at `place`; none outside of the list.
    #[inline(always)]
    pub(crate) fn addr(&self, place: usize) -> Option<NodeAddr> {
        self.addr_and_low(place).map(|(addr, _)| addr)
    }

    /// The node at `place`; none outside of the list.
    pub(crate) fn node(&self, place: usize) -> Option<EntryNode> {
        let (addr, low) = self.addr_and_low(place)?;
        let view = NodeView::try_from((low & 3) as u8).ok()?;
        let (slot, hot) = self.hot(place)?;
        Some(EntryNode {
            addr,
            weight: weight_of(low),
            view,
            in_reserve: view == NodeView::Idle
                && place >= usize::from(self.idle) + usize::from(self.overloaded),
            slot,
            hot,
        })
    }

    /// The weight of the node at `place`, at least 1; none outside of the list.
    #[inline(always)]
    pub(crate) fn weight(&self, place: usize) -> Option<u16> {
        let low = self.record(place)?.last()?;
        Some(weight_of(relaxed(low)).max(1))
    }

    /// The slot and the hot part of the node at `place`; none outside of the list.
    #[inline(always)]
    pub(crate) fn hot(&self, place: usize) -> Option<(NodeSlot, Hot)> {
        Some(hot_of(relaxed(self.nodes.get(place << record_log2(self.wide))?)))
    }

    /// Replaces the hot part of the node at `place`, for the writer.
    pub(crate) fn refresh(&self, place: usize, hot: Hot) {
        if let Some(word) = self.nodes.get(place << record_log2(self.wide)) {
            let slot = hot_of(relaxed(word)).0;
            word.store(hot_word(slot, hot), Ordering::Relaxed);
        }
    }

    /// Words of the table.
    #[inline(always)]
    pub(crate) fn table_len(&self) -> usize {
        self.table.len()
    }

    /// A word of the table; none outside of it.
    #[inline(always)]
    pub(crate) fn table(&self, place: usize) -> Option<u64> {
        self.table.get(place).map(relaxed)
    }

    /// The words of the node at `place`; none outside of the list. A place is never near the end of what a number holds: it was
    /// drawn below a count of nodes, or comes as 16 bits.
    #[inline(always)]
    fn record(&self, place: usize) -> Option<&'a [AtomicU64]> {
        let words = 1 << record_log2(self.wide);
        let start = place << record_log2(self.wide);
        self.nodes.get(start..start + words)
    }

    #[inline(always)]
    fn addr_and_low(&self, place: usize) -> Option<(NodeAddr, u64)> {
        if self.wide {
            let [_, high, middle, low] = self.record(place)? else {
                return None;
            };
            let bits = u128::from(relaxed(high)) << 64 | u128::from(relaxed(middle));
            let low = relaxed(low);
            Some((NodeAddr::from_octets(bits.to_be_bytes(), (low >> 16) as u16), low))
        } else {
            let word = self.narrow(place)?;
            Some((narrow_addr(word), word))
        }
    }
}

/// The node of a word of a narrow list.
#[inline]
pub(crate) fn narrow_addr(word: u64) -> NodeAddr {
    NodeAddr::from_ipv4_number((word >> 32) as u32, (word >> 16) as u16)
}

fn weight_of(low: u64) -> u16 {
    (low as u16 >> 2) & ((1 << WEIGHT_BITS) - 1)
}

#[inline]
fn relaxed(word: &AtomicU64) -> u64 {
    word.load(Ordering::Relaxed)
}
