//! Looking at modules takes a bounded part of a core, however many a host calls; what is urgent waits for nobody.

use crate::routes::{addr, news, route};
use lars_board::NodeSlot;
use lars_shard::{Command, InFlight, PolicyConfig, Shard, ShardConfig};
use lars_wire::ModuleId;
use lars_wire::caller::{NodeView, Outcome, Report};
use std::cell::Cell;
use std::collections::HashMap;
use std::time::{Duration, Instant};

const MODULES: u32 = 1_000;
const NODES: u32 = 10;
const STEP: Duration = Duration::from_millis(10);

struct Bench {
    shard: Shard,
    now: Instant,
    /// How often the shard has asked for a node's calls in flight: twice in each look at it.
    asked: Asked,
}

/// Nothing is in flight; counts the questions.
struct Asked(Cell<u64>);

impl InFlight for Asked {
    fn balance(&self, _: NodeSlot) -> i32 {
        self.0.update(|asked| asked + 1);
        0
    }

    fn forgive(&self, _: NodeSlot, _: u32) {}
}

fn module(number: u32) -> ModuleId {
    ModuleId::new(1, number)
}

impl Bench {
    fn new() -> Self {
        let config = ShardConfig {
            policy: PolicyConfig::default(),
            module_policies: HashMap::new(),
            modules_max: MODULES,
            module_idle: Duration::from_hours(1),
            not_found_memory: Duration::from_secs(1),
        };
        let (mut shard, now) = (Shard::new(config, 1), Instant::now());
        for number in 0..MODULES {
            shard.want(now, module(number), &mut Vec::new());
            shard.learn(now, &news(module(number), 1, &route(1..=NODES)), &mut Vec::new());
        }
        let asked = Asked(Cell::new(0));
        Self { shard, now, asked }
    }

    fn report(&mut self, number: u32, node: u32, outcome: Outcome) {
        let report = Report {
            module: module(number),
            node: addr(node),
            token: 0,
            outcome,
            retcode: 0,
            latency_us: 1_000,
        };
        self.shard.report(self.now, &report, &mut Vec::new());
    }

    /// Time passes in steps, with a call of each of the first `modules` in each; how many nodes were looked at.
    fn pass(&mut self, time: Duration, modules: u32) -> u64 {
        self.asked.0.set(0);
        let end = self.now + time;
        while self.now < end {
            self.now += STEP;
            for number in 0..modules {
                self.report(number, 1, Outcome::Ok);
            }
            self.due();
        }
        self.asked.0.get() / 2
    }

    fn due(&mut self) {
        let mut commands = Vec::new();
        while self.shard.next_timeout().is_some_and(|at| at <= self.now) {
            self.shard.due(self.now, &self.asked, &mut commands);
        }
        for command in commands {
            if let Command::Publish(module) = command {
                self.shard.entry(module, &mut Vec::new());
            }
        }
    }

    fn view(&mut self, number: u32, node: u32) -> NodeView {
        let mut nodes = Vec::new();
        self.shard.entry(module(number), &mut nodes).expect("known");
        let found = nodes.iter().find(|entry| entry.addr == addr(node));
        found.expect("in the route").view
    }
}

#[test]
fn looks_are_bounded_however_many_modules_are_called_and_a_dead_node_goes_at_once() {
    let mut bench = Bench::new();
    let few = bench.pass(Duration::from_secs(1), 10);
    assert!((9_000..=11_000).contains(&few), "ten modules each 10 ms: {few}");
    bench.pass(Duration::from_secs(1), MODULES);
    let many = bench.pass(Duration::from_secs(1), MODULES);
    assert!((50_000..=110_000).contains(&many), "{many} of 1,000,000");
    // They were first called together, and are looked at one after the other all the same.
    let most = (0..30).map(|_| bench.pass(STEP, MODULES)).max();
    assert!(
        most.is_some_and(|most| most < 3 * many / 100),
        "{most:?} of {many} in 10 ms"
    );
    for _ in 0..5 {
        bench.report(7, 3, Outcome::Failed);
    }
    bench.due();
    assert_eq!(bench.view(7, 3), NodeView::Overloaded);
    // Those that nobody calls any more are not looked at, and the others again as often as ever.
    bench.pass(Duration::from_secs(20), 10);
    let few = bench.pass(Duration::from_secs(1), 10);
    assert!((9_000..=11_000).contains(&few), "{few}");
}
