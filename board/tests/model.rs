//! Random histories of one board beside a naive model of it: a map of entries, and queues walked by hand.
//! A failing history is shrunk and printed with its seed; `LARS_SEED=n cargo test` replays it.
#![cfg(not(loom))]

use lars_board::{
    Board, BoardConfig, BoardError, BoardReader, BoardWriter, Entry, EntryNode, NodeSlot, Picked, Rule, Token,
};
use lars_wire::caller::NodeView;
use lars_wire::{ModuleId, NodeAddr};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

const SHARDS: u16 = 2;
/// Small enough that a shard is full now and then.
const MODULES_MAX: u32 = 3;
const NAMES: u32 = 8;

#[derive(Clone, Debug)]
enum Step {
    Publish {
        name: u32,
        idle: usize,
        overloaded: usize,
        draining: usize,
        wide: bool,
        rule: Rule,
    },
    Withdraw {
        name: u32,
    },
    /// Picks so often; avoids the nodes whose bits are set.
    Pick {
        name: u32,
        times: u32,
        avoid: u16,
    },
    Read {
        name: u32,
    },
    TakeUsed,
    /// So many other modules come and go, which sweeps the index sooner or later.
    Churn {
        modules: u32,
    },
    Wait {
        ms: u64,
    },
}

fn rules() -> impl Strategy<Value = Rule> {
    let probe_num = prop_oneof![Just(0), Just(1), Just(3), Just(10)];
    (probe_num, any::<bool>()).prop_map(|(probe_num, forget_probe_count)| Rule::Classic {
        probe_num,
        forget_probe_count,
    })
}

fn steps() -> impl Strategy<Value = Step> {
    let name = 0..NAMES;
    let publish = (
        name.clone(),
        0..5usize,
        0..4usize,
        0..2usize,
        any::<bool>(),
        rules(),
    );
    let avoid = prop_oneof![Just(0), any::<u16>()];
    prop_oneof![
        4 => publish.prop_map(|(name, idle, overloaded, draining, wide, rule)| {
            Step::Publish { name, idle, overloaded, draining, wide, rule }
        }),
        1 => name.clone().prop_map(|name| Step::Withdraw { name }),
        6 => (name.clone(), 1..15u32, avoid).prop_map(|(name, times, avoid)| Step::Pick { name, times, avoid }),
        2 => name.prop_map(|name| Step::Read { name }),
        1 => Just(Step::TakeUsed),
        1 => (1..120u32).prop_map(|modules| Step::Churn { modules }),
        2 => (1..1_500u64).prop_map(|ms| Step::Wait { ms }),
    ]
}

/// A module as the model knows it.
struct Known {
    version: u64,
    generation: u32,
    rule: Rule,
    nodes: Vec<EntryNode>,
    turn: Turn,
}

/// Where the reader stands; nothing is known before it has shown it.
#[derive(Clone, Copy, Default)]
struct Turn {
    idle_next: Option<usize>,
    overloaded_next: Option<usize>,
    count: Option<u16>,
}

impl Known {
    fn places(&self, views: &[NodeView]) -> Vec<usize> {
        (0..self.nodes.len())
            .filter(|&place| views.contains(&self.nodes[place].view))
            .collect()
    }

    /// Holds one pick against the rule and takes the turn on. `place` is the node's, none when it was refused.
    fn step(&mut self, place: Option<usize>, avoid: &[NodeAddr]) -> Result<(), String> {
        let Rule::Classic {
            probe_num,
            forget_probe_count,
        } = self.rule
        else {
            return Err(format!("{:?} is not modelled here", self.rule));
        };
        let idle = self.places(&[NodeView::Idle]);
        let overloaded = self.places(&[NodeView::Overloaded, NodeView::Probing]);
        let free = |places: &[usize]| {
            places
                .iter()
                .any(|&place| !avoid.contains(&self.nodes[place].addr))
        };
        let was_probe = place.is_some_and(|place| overloaded.contains(&place));
        let mut turn = self.turn;
        if overloaded.is_empty() {
            turn.count = if forget_probe_count { Some(0) } else { turn.count };
        } else if was_probe {
            if turn.count.is_some_and(|count| count < probe_num) {
                return Err(format!("a probe after {:?} of {probe_num}", turn.count));
            }
            turn.count = Some(0);
        } else if let Some(count) = turn.count {
            let put_off = !free(&overloaded) && free(&idle);
            if count >= probe_num && !put_off {
                return Err(format!("no probe after {count} of {probe_num}"));
            }
            turn.count = Some(count.saturating_add(u16::from(count < probe_num)));
        }
        let Some(place) = place else {
            self.turn = turn;
            return if idle.is_empty() {
                Ok(())
            } else {
                Err("refused with an idle node".to_owned())
            };
        };
        let (queue, next) = if was_probe {
            (&overloaded, &mut turn.overloaded_next)
        } else {
            (&idle, &mut turn.idle_next)
        };
        let stands = queue
            .iter()
            .position(|&other| other == place)
            .ok_or("a draining node")?;
        let taken_in_turn = next.is_none_or(|next| {
            let walk = (0..queue.len()).map(|step| (next + step) % queue.len());
            let expected = walk
                .clone()
                .find(|&at| !avoid.contains(&self.nodes[queue[at]].addr));
            expected.or(walk.clone().next()) == Some(stands)
        });
        if !taken_in_turn {
            return Err(format!("place {stands} of {queue:?} with {next:?} next"));
        }
        *next = Some(stands + 1);
        self.turn = turn;
        Ok(())
    }
}

struct World {
    writers: Vec<BoardWriter>,
    reader: BoardReader,
    now: Instant,
    known: BTreeMap<u32, Known>,
    /// Picked since the last [`Step::TakeUsed`]; whether it was on the board ever since.
    used: BTreeMap<u32, bool>,
    version: u64,
    churned: u32,
}

fn module(name: u32) -> ModuleId {
    ModuleId::new(1, name)
}

fn addr(number: u16, wide: bool) -> NodeAddr {
    let v4 = std::net::Ipv4Addr::new(10, 0, 0, number as u8);
    let v6 = std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, number);
    NodeAddr::new(if wide { v6.into() } else { v4.into() }, 80 + number)
}

impl World {
    fn new(seed: u64) -> Self {
        let config = BoardConfig {
            modules_max: MODULES_MAX,
            shards: SHARDS,
        };
        let (board, writers) = Board::create(config).expect("a board");
        let reader = board.reader(seed);
        let (known, used) = (BTreeMap::new(), BTreeMap::new());
        Self {
            writers,
            reader,
            now: Instant::now(),
            known,
            used,
            version: 0,
            churned: 0,
        }
    }

    /// How many modules stand in this module's shard.
    fn crowd(&self, of: ModuleId) -> usize {
        self.known
            .keys()
            .filter(|&&name| module(name).shard(SHARDS) == of.shard(SHARDS))
            .count()
    }

    fn publish(&mut self, name: u32, nodes: Vec<EntryNode>, rule: Rule) -> Result<(), String> {
        self.version += 1;
        let module = module(name);
        let entry = Entry {
            module,
            version: self.version,
            rule,
            nodes: &nodes,
        };
        let result = self.writers[usize::from(module.shard(SHARDS))].publish(self.now, &entry);
        let full = !self.known.contains_key(&name) && self.crowd(module) == MODULES_MAX as usize;
        match result {
            Err(BoardError::Full) if full => Ok(()),
            Ok(generation) if !full => {
                let turn = self.known.get(&name).map(|known| known.turn).unwrap_or_default();
                let known = Known {
                    version: self.version,
                    generation,
                    rule,
                    nodes,
                    turn,
                };
                let older = self.known.insert(name, known);
                let older = older.map_or(0, |known| known.generation);
                if generation > older {
                    Ok(())
                } else {
                    Err("a generation twice".to_owned())
                }
            }
            other => Err(format!("{other:?} with {} in the shard", self.crowd(module))),
        }
    }

    fn pick(&mut self, name: u32, avoid: &[NodeAddr]) -> Result<(), String> {
        let picked = self.reader.pick(module(name), avoid);
        let Some(known) = self.known.get_mut(&name) else {
            return if picked == Picked::Absent {
                Ok(())
            } else {
                Err(format!("{picked:?} of nothing"))
            };
        };
        self.used.insert(name, true);
        match picked {
            Picked::Absent => Err("absent".to_owned()),
            Picked::Overloaded { version } if version == known.version => known.step(None, avoid),
            Picked::Node(choice) if choice.version == known.version => {
                let token = Token(choice.token);
                let slot = token.slot().number().ok_or("no slot")?;
                let place = known.nodes.iter().position(|node| node.slot == token.slot());
                let place = place.ok_or(format!("slot {slot} is nowhere"))?;
                let node = known.nodes[place];
                let is_probe = node.view != NodeView::Idle;
                if (node.addr, is_probe) != (choice.addr, token.is_probe()) {
                    return Err(format!("{choice:?} for {node:?}"));
                }
                known.step(Some(place), avoid)
            }
            other => Err(format!("{other:?} in version {}", known.version)),
        }
    }

    fn withdraw(&mut self, name: u32) {
        self.writers[usize::from(module(name).shard(SHARDS))].withdraw(self.now, module(name));
        if self.known.remove(&name).is_some() && self.used.contains_key(&name) {
            self.used.insert(name, false);
        }
    }

    fn churn(&mut self, modules: u32) {
        let node = EntryNode::new(addr(1, false), 1, NodeView::Idle);
        for _ in 0..modules {
            self.churned += 1;
            let module = ModuleId::new(2, self.churned);
            let rule = Rule::Classic {
                probe_num: 10,
                forget_probe_count: false,
            };
            let entry = Entry {
                module,
                version: 1,
                rule,
                nodes: &[node],
            };
            let writer = &mut self.writers[usize::from(module.shard(SHARDS))];
            // A full shard refuses; the others come and go.
            let _ = writer.publish(self.now, &entry);
            writer.withdraw(self.now, module);
        }
    }

    fn take_used(&mut self) -> Result<(), String> {
        let mut used = Vec::new();
        self.reader.take_used(&mut used);
        let told: BTreeSet<ModuleId> = used.iter().copied().collect();
        let picked: BTreeSet<ModuleId> = self.used.keys().map(|&name| module(name)).collect();
        let stayed = self
            .used
            .iter()
            .filter(|&(_, stayed)| *stayed)
            .map(|(&name, _)| module(name));
        let stayed: BTreeSet<ModuleId> = stayed.collect();
        self.used.clear();
        // One that was withdrawn may have lost its slot to another, or may be told twice when it came back.
        let right = stayed.is_subset(&told) && told.is_subset(&picked);
        if right {
            Ok(())
        } else {
            Err(format!("told {told:?} of {picked:?}, {stayed:?} stayed"))
        }
    }

    fn read(&mut self, name: u32) -> Result<(), String> {
        let mut nodes = vec![EntryNode::new(addr(0, false), 0, NodeView::Idle)];
        let version = self.reader.entry(module(name), &mut nodes);
        let expected = self
            .known
            .get(&name)
            .map(|known| (known.version, &known.nodes[..]));
        let right = match expected {
            Some((expected, same)) => version == Some(expected) && nodes == same,
            None => version.is_none() && nodes.is_empty(),
        };
        if right {
            Ok(())
        } else {
            Err(format!("{version:?} {nodes:?}, not {expected:?}"))
        }
    }

    fn apply(&mut self, step: &Step) -> Result<(), String> {
        match *step {
            Step::Publish {
                name,
                idle,
                overloaded,
                draining,
                wide,
                rule,
            } => {
                let views = std::iter::repeat_n(NodeView::Idle, idle)
                    .chain(
                        [NodeView::Probing, NodeView::Overloaded]
                            .into_iter()
                            .cycle()
                            .take(overloaded),
                    )
                    .chain(std::iter::repeat_n(NodeView::Draining, draining));
                let nodes = (0..).zip(views).map(|(number, view)| {
                    // A mixture of both families where there is any IPv6.
                    let addr = addr(number, wide && number % 3 != 1);
                    EntryNode {
                        slot: NodeSlot::new(1_000 * name + u32::from(number)),
                        ..EntryNode::new(addr, number * 37 + 1, view)
                    }
                });
                self.publish(name, nodes.collect(), rule)
            }
            Step::Withdraw { name } => {
                self.withdraw(name);
                Ok(())
            }
            Step::Pick { name, times, avoid } => {
                let numbers = (0..16).filter(|number| avoid >> number & 1 == 1);
                let avoid: Vec<NodeAddr> = numbers
                    .flat_map(|number| [addr(number, false), addr(number, true)])
                    .collect();
                (0..times).try_for_each(|_| self.pick(name, &avoid))
            }
            Step::Read { name } => self.read(name),
            Step::TakeUsed => self.take_used(),
            Step::Churn { modules } => {
                self.churn(modules);
                Ok(())
            }
            Step::Wait { ms } => {
                self.now += Duration::from_millis(ms);
                Ok(())
            }
        }
    }
}

#[test]
fn any_history_reads_as_the_naive_model_says() {
    let given = std::env::var("LARS_SEED").ok().and_then(|text| text.parse().ok());
    let seed: u64 = given.unwrap_or_else(|| fastrand::u64(..));
    println!("LARS_SEED={seed}");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config {
        cases: 1_000,
        failure_persistence: None,
        ..Config::default()
    };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let result = runner.run(&prop::collection::vec(steps(), 1..120), |steps| {
        let mut world = World::new(seed);
        for (number, step) in steps.iter().enumerate() {
            let done = world.apply(step);
            prop_assert!(done.is_ok(), "step {number}, {step:?}: {done:?}");
        }
        prop_assert_eq!(world.reader.gave_up(), 0);
        Ok(())
    });
    if let Err(failure) = result {
        panic!("LARS_SEED={seed}: {failure}");
    }
}
