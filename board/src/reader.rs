//! The reading half: look up, read, choose, check. No lock, no system call, nothing shared written.
//!
//! A reader believes nothing that it reads: offsets, counts and sizes are checked against the memory, loops are
//! bounded by the layout, and what makes no sense is a module that is not there.

use crate::calls::{Calls, OwnCalls};
use crate::choice::{Choice, Pick, Picked, Plain, Token, choose, choose_plainly};
use crate::entry::EntryNode;
use crate::index::Sight;
use crate::layout::{LINE_WORDS, Layout};
use crate::list::{List, narrow_addr};
use crate::ring::Grant;
use crate::turns::Turns;
use crate::words::{AtomicU64, Ordering, Words, prefetch};
use lars_wire::{ModuleId, NodeAddr};

/// How often a read is begun again because a writer came between. A writer would have to replace the same module that
/// often within a few hundred nanoseconds each time; after it the module counts as absent.
const TRIES_MAX: u32 = if cfg!(loom) { 3 } else { 64 };

/// Reads the board for one thread. `Send`.
pub struct BoardReader {
    words: Words,
    layout: Layout,
    calls: OwnCalls,
    turns: Turns,
    gave_up: u64,
    /// Version of the route that was picked from last, and the node where its address takes more than one word.
    version: u64,
    wide: NodeAddr,
}

/// What came of a pick, in two words, which are returned in registers; the version stands in the reader. An address that is
/// returned through memory is written in halves and read as a whole, and the processor waits for that as long as for three
/// locked instructions.
#[derive(Clone, Copy)]
struct Answer {
    /// The node, as in a narrow list, or one of the constants.
    node: u64,
    /// For the report; 0 for no node.
    token: u64,
}

impl Answer {
    /// No word of a narrow list: no port is zero.
    const ABSENT: u64 = 0;
    const OVERLOADED: u64 = 1;
    const WIDE: u64 = 2;

    fn none(why: u64) -> Self {
        Self { node: why, token: 0 }
    }
}

/// A pick in numbers. An address is made of it last: one that is written in halves and copied at once is waited for.
#[derive(Clone, Copy)]
pub struct Brief {
    answer: Answer,
    version: u64,
}

impl Brief {
    /// Whether the node is an IPv6 one, and has to be asked for ([`BoardReader::last_wide`]) before the next pick.
    #[inline(always)]
    pub fn is_wide(&self) -> bool {
        self.answer.token != 0 && self.answer.node == Answer::WIDE
    }

    /// What came of the pick; `wide` tells an IPv6 node.
    #[inline(always)]
    pub fn picked(self, wide: impl FnOnce() -> NodeAddr) -> Picked {
        let Self { answer, version } = self;
        match (answer.token, answer.node) {
            (0, Answer::OVERLOADED) => Picked::Overloaded { version },
            (0, _) => Picked::Absent,
            (token, node) => {
                let addr = if node == Answer::WIDE {
                    wide()
                } else {
                    narrow_addr(node)
                };
                Picked::Node(Choice { addr, version, token })
            }
        }
    }

    /// Nothing was there to pick from.
    pub const ABSENT: Self = Self {
        answer: Answer {
            node: Answer::ABSENT,
            token: 0,
        },
        version: 0,
    };
}

impl BoardReader {
    pub(crate) fn new(words: Words, layout: Layout, calls: &Calls, seed: u64) -> Self {
        let turns = Turns::new(layout.shards(), seed);
        Self {
            words,
            layout,
            calls: calls.lend(),
            turns,
            gave_up: 0,
            version: 0,
            wide: NodeAddr::NONE,
        }
    }

    /// Chooses a node by the entry's rule. Nodes in `avoid` are passed over while the rule has another idle one (or,
    /// for a probe, another overloaded one) to offer. Allocates only when a module is picked for the first time.
    #[inline(always)]
    pub fn pick(&mut self, module: ModuleId, avoid: &[NodeAddr]) -> Picked {
        self.pick_keyed(module, None, avoid)
    }

    /// The same for a caller with a key: where the rule sends like to like, equal keys prefer equal nodes.
    #[inline(always)]
    pub fn pick_keyed(&mut self, module: ModuleId, key: Option<u64>, avoid: &[NodeAddr]) -> Picked {
        let answer = self.answer(module, key, avoid);
        let brief = Brief {
            answer,
            version: self.version,
        };
        brief.picked(|| self.wide)
    }

    /// As [`Self::pick`] with nothing to avoid, in numbers that stay in registers while they are passed on.
    #[inline(always)]
    pub fn pick_brief(&mut self, module: ModuleId) -> Brief {
        let answer = self.answer(module, None, &[]);
        Brief {
            answer,
            version: self.version,
        }
    }

    /// The node of the last pick, where it is an IPv6 one.
    pub fn last_wide(&self) -> NodeAddr {
        self.wide
    }

    #[inline(never)]
    fn answer(&mut self, module: ModuleId, key: Option<u64>, avoid: &[NodeAddr]) -> Answer {
        let plain = if avoid.is_empty() {
            self.answer_plainly(module)
        } else {
            None
        };
        plain.unwrap_or_else(|| self.answer_at_length(module, key, avoid))
    }

    /// The way of nearly all picks; none where it is not that of this one.
    #[inline(always)]
    fn answer_plainly(&mut self, module: ModuleId) -> Option<Answer> {
        let (board, shard) = (self.words.all(), module.shard(self.layout.shards()));
        let (sight, list) = look_up(board, &self.layout, shard, module)?;
        let (list, calls) = (list?, self.calls.of(shard));
        let (kept, rng) = self.turns.current(shard, list.kept.slot, module)?;
        let before = *kept;
        let Plain { node, slot, counts } = choose_plainly(&list, calls, kept, rng)?;
        if !sight.still_holds() {
            *kept = before;
            return None;
        }
        self.version = list.version;
        // No closure: what it would borrow would lie in memory, written in pieces and read as a whole.
        let begun = if counts { calls.begin(slot) } else { None };
        let token = Token::new(shard, slot, begun, false).0;
        Some(Answer { node, token })
    }

    #[inline(never)]
    fn answer_at_length(&mut self, module: ModuleId, key: Option<u64>, avoid: &[NodeAddr]) -> Answer {
        let (mut gave_up, mut may_probe) = (0, true);
        let answer = until_whole(&mut gave_up, || {
            self.try_answer(module, key, avoid, &mut may_probe)
        });
        self.gave_up += gave_up;
        answer.unwrap_or(Answer::none(Answer::ABSENT))
    }

    /// None where what was read does not belong together, or a probe was taken by another reader: then none may be taken
    /// next time.
    fn try_answer(
        &mut self,
        module: ModuleId,
        key: Option<u64>,
        avoid: &[NodeAddr],
        may_probe: &mut bool,
    ) -> Option<Answer> {
        let Self {
            words,
            layout,
            calls,
            turns,
            gave_up: _,
            version,
            wide,
        } = self;
        let (board, shard) = (words.all(), module.shard(layout.shards()));
        let Some((sight, list)) = look_up(board, layout, shard, module) else {
            return Some(Answer::none(Answer::ABSENT));
        };
        let list = list.filter(|list| list.kept.slot < layout.shard_modules_max());
        let Some(list) = list else {
            return sight.still_holds().then(|| Answer::none(Answer::ABSENT));
        };
        let calls = calls.of(shard);
        // Nothing is changed yet: slot and rule may have been read from a list that was just being overwritten.
        let kept = turns.peek(shard, list.kept.slot, module);
        let (taken, keep) = choose(&mut Pick {
            list,
            key,
            avoid,
            may_probe: *may_probe,
            calls,
            rng: &mut turns.rng,
            kept,
        });
        let node = taken.and_then(|taken| node_word(&list, taken.place, wide));
        if !sight.still_holds() {
            return None;
        }
        let grant = taken.and_then(|taken| taken.grant);
        if grant.is_some_and(|grant| !calls.claim(list.kept.slot, grant)) {
            *may_probe = false;
            return None;
        }
        turns.keep(shard, list.kept.slot, module, keep);
        *version = list.version;
        let (Some(taken), Some(node)) = (taken, node) else {
            return Some(Answer::none(Answer::OVERLOADED));
        };
        let begun = taken.counts.then(|| calls.begin(taken.slot)).flatten();
        let token = Token::new(shard, taken.slot, begun, taken.probe).0;
        Some(Answer { node, token })
    }

    /// A call ended whose pick gave this token, by whichever reader of this process: it is in flight no more. To be
    /// called once for each report, as soon as it arrives; a token that is made up does no harm.
    #[inline]
    pub fn finish(&mut self, token: u64) {
        self.calls.finish(Token(token));
    }

    /// Puts the module's nodes into `nodes` (cleared before); returns the route's version, or none where the module
    /// is not on the board.
    pub fn entry(&mut self, module: ModuleId, nodes: &mut Vec<EntryNode>) -> Option<u64> {
        let Self {
            words,
            layout,
            gave_up,
            ..
        } = self;
        let (board, shard) = (words.all(), module.shard(layout.shards()));
        let version = until_whole(gave_up, || {
            nodes.clear();
            let Some((sight, list)) = look_up(board, layout, shard, module) else {
                return Some(None);
            };
            if let Some(list) = &list {
                nodes.extend((0..list.len()).map_while(|place| list.node(place)));
            }
            sight.still_holds().then(|| list.map(|list| list.version))
        });
        if version.is_none() {
            nodes.clear();
        }
        version.flatten()
    }

    /// Modules picked since the last call of this, in no particular order, appended to `modules`: so the owners
    /// learn what is still in use. A module counts also when all of its nodes were overloaded. One that left the board
    /// and came back since may be told twice.
    pub fn take_used(&mut self, modules: &mut Vec<ModuleId>) {
        self.turns.take_used(modules);
    }

    /// When the shard's owner beat last, in nanoseconds of `CLOCK_MONOTONIC`; 0 before its first beat, none for a
    /// shard that does not exist.
    pub fn beat_ns(&self, shard: u16) -> Option<u64> {
        let exists = shard < self.layout.shards();
        exists.then(|| self.words.load(Layout::beat(shard), Ordering::Acquire))?
    }

    /// Reads that were given up, because a writer came between every time: answered as absent.
    pub fn gave_up(&self) -> u64 {
        self.gave_up
    }
}

/// The node at `place`: its word, or that it was put into `wide`. None outside of the list.
#[inline(always)]
fn node_word(list: &List<'_>, place: usize, wide: &mut NodeAddr) -> Option<u64> {
    if list.is_narrow() {
        return list.narrow(place);
    }
    *wide = list.addr(place)?;
    Some(Answer::WIDE)
}

/// The module's list, if there is one, and where it was seen. None only where the memory makes no sense.
#[inline(always)]
fn look_up<'a>(
    board: &'a [AtomicU64],
    layout: &Layout,
    shard: u16,
    module: ModuleId,
) -> Option<(Sight<'a>, Option<List<'a>>)> {
    let sight = Sight::of(board, layout, shard, module)?;
    let list = sight.head.offset().and_then(|offset| {
        // The lists of most modules have three lines.
        prefetch(board, offset + LINE_WORDS);
        prefetch(board, offset + 2 * LINE_WORDS);
        List::at(board, offset)
    });
    Some((sight, list))
}

/// Where a granted node stands: its module's slot, and its place in the list. None where it is not published.
pub(crate) fn place_of(words: &Words, layout: &Layout, grant: Grant) -> Option<(u32, u16)> {
    let (board, shard) = (words.all(), grant.module.shard(layout.shards()));
    until_whole(&mut 0, || {
        let (sight, list) = look_up(board, layout, shard, grant.module)?;
        let found = list.and_then(|list| {
            let is_it = |&place: &usize| list.hot(place).is_some_and(|(slot, _)| slot == grant.node);
            let place = (0..list.len()).find(is_it)?;
            Some((list.kept.slot, u16::try_from(place).ok()?))
        });
        sight.still_holds().then_some(found)
    })
    .flatten()
}

/// Reads again until nothing came between, at most [`TRIES_MAX`] times; none, and counted, when that was too little.
/// Always inlined, as is the look-up: a pick was measured 7% slower where it was left to chance.
#[inline(always)]
fn until_whole<T>(gave_up: &mut u64, mut read: impl FnMut() -> Option<T>) -> Option<T> {
    for _ in 0..TRIES_MAX {
        if let Some(read) = read() {
            return Some(read);
        }
    }
    *gave_up += 1;
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::BoardConfig;
    use crate::clock::BeatClock;
    use crate::entry::{Entry, Retries, Rule};
    use crate::layout::Head;
    use crate::writer::BoardWriter;
    use fastrand::Rng;
    use lars_wire::bounds::NODES_MAX;
    use lars_wire::caller::NodeView;
    use std::time::Instant;

    const ROUNDS: u32 = 20_000;

    /// A word as nobody of ours would write it, or as somebody would write it elsewhere.
    fn garbage(rng: &mut Rng, layout: &Layout) -> u64 {
        let near_the_end = layout.words() - rng.usize(0..40_000).min(layout.words() - 1);
        match rng.u8(0..7) {
            0 => 0,
            1 => u64::MAX,
            2 => rng.u64(..),
            3 => rng.u64(..64),
            4 => Head::live(near_the_end, 1).0,
            // A rule for a module of any slot.
            5 => rng.u64(1..=4) << 48 | rng.u64(..1 << 20),
            // A shape: so many nodes, so many of them idle, wide or not.
            _ => rng.u64(..20_000) | rng.u64(..16) << 16 | rng.u64(..2) << 56,
        }
    }

    #[test]
    fn memory_full_of_garbage_is_read_within_its_bounds() {
        let given = std::env::var("LARS_SEED").ok().and_then(|text| text.parse().ok());
        let seed: u64 = given.unwrap_or_else(|| fastrand::u64(..));
        println!("LARS_SEED={seed}");
        let mut rng = Rng::with_seed(seed);
        let layout = Layout::new(BoardConfig {
            modules_max: 16,
            shards: 1,
        })
        .expect("a layout");
        let words = Words::zeroed(layout.words()).expect("memory");
        let calls = Calls::new(&layout).expect("memory");
        let mut writer = BoardWriter::new(words.clone(), layout, 0, BeatClock::start(), calls.clone());
        let mut reader = BoardReader::new(words.clone(), layout, &calls, seed);
        let node = EntryNode::new(NodeAddr::from_ipv4_number(1, 1), 1, NodeView::Idle);
        let retries = Retries {
            percent: 100,
            floor: 10,
        };
        let rules = [
            Rule::Classic {
                probe_num: 2,
                forget_probe_count: false,
            },
            Rule::Adaptive(retries),
            Rule::WeightedRoundRobin(retries),
            Rule::ConsistentHash {
                retries,
                load_max_percent: 125,
            },
        ];
        let modules: Vec<ModuleId> = (0..16).map(|cmdid| ModuleId::new(1, cmdid)).collect();
        for (&module, &rule) in modules.iter().zip(rules.iter().cycle()) {
            let entry = Entry {
                module,
                version: 1,
                rule,
                nodes: &[node; 5],
            };
            writer.publish(Instant::now(), &entry).expect("room");
        }
        let space = layout.space(0).start;
        let index = Layout::beat(0)..Layout::beat(0) + 600;
        let (mut there, mut nodes) = (0, Vec::new());
        for _ in 0..ROUNDS {
            let mut spoilt = Vec::new();
            for _ in 0..rng.u8(1..4) {
                let place = match rng.u8(0..8) {
                    0 => Layout::root(0),
                    1..4 => rng.usize(index.clone()),
                    _ => rng.usize(space..space + 300),
                };
                spoilt.push((place, words.load(place, Ordering::Relaxed).expect("inside")));
                words.store(place, garbage(&mut rng, &layout), Ordering::Relaxed);
            }
            for &module in &modules {
                let key = rng.bool().then(|| rng.u64(..));
                let avoid = &[node.addr][..usize::from(rng.bool())];
                let picked = reader.pick_keyed(module, key, avoid);
                there += u32::from(matches!(picked, Picked::Node(_)));
                reader.entry(module, &mut nodes);
                assert!(nodes.len() <= NODES_MAX);
            }
            // Mended, so that the next round gets as far as this one.
            for (place, word) in spoilt.into_iter().rev() {
                words.store(place, word, Ordering::Relaxed);
            }
        }
        assert!(reader.turns.places() <= layout.shard_modules_max() as usize);
        println!("{there} picks of {ROUNDS} rounds found a node all the same");
        assert!(
            there > 0,
            "the garbage must not end the test at the first step of a pick"
        );
    }

    #[test]
    fn read_that_is_disturbed_every_time_is_given_up_and_counted() {
        let mut gave_up = 0;
        for disturbed in 0..=TRIES_MAX {
            let mut tries = 0;
            let read = until_whole(&mut gave_up, || {
                tries += 1;
                (tries > disturbed).then_some(tries)
            });
            let given_up = disturbed == TRIES_MAX;
            assert_eq!(read, (!given_up).then_some(disturbed + 1));
            assert_eq!(
                (tries, gave_up),
                (TRIES_MAX.min(disturbed + 1), u64::from(given_up))
            );
        }
    }
}
