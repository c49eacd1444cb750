//! Modules come and go: one input, the exact list of commands out.

use crate::routes::{news, route, unexplained};
use lars_shard::{Command, PolicyConfig, RouteNews, Shard, ShardConfig, ShardCounts};
use lars_wire::ModuleId;
use lars_wire::caller::Status;
use std::collections::HashMap;
use std::time::{Duration, Instant};

use Command::{Answer, Publish, Subscribe, Unsubscribe, Withdraw};

const A: ModuleId = ModuleId::new(1, 1);
const B: ModuleId = ModuleId::new(1, 2);

/// A shard and a clock.
struct Bench {
    shard: Shard,
    now: Instant,
}

impl Bench {
    fn new(modules_max: u32) -> Self {
        let config = ShardConfig {
            policy: PolicyConfig::default(),
            module_policies: HashMap::new(),
            modules_max,
            module_idle: Duration::from_mins(10),
            not_found_memory: Duration::from_secs(1),
        };
        let (shard, now) = (Shard::new(config, 1), Instant::now());
        Self { shard, now }
    }

    fn want(&mut self, module: ModuleId) -> (Status, Vec<Command>) {
        let mut commands = Vec::new();
        let status = self.shard.want(self.now, module, &mut commands);
        (status, commands)
    }

    /// The board is written at once, as an agent does.
    fn learn(&mut self, news: &RouteNews) -> Vec<Command> {
        let mut commands = Vec::new();
        self.shard.learn(self.now, news, &mut commands);
        self.write_board(&commands);
        commands
    }

    fn write_board(&mut self, commands: &[Command]) {
        for command in commands {
            if let Publish(module) = command {
                self.shard.entry(*module, &mut Vec::new());
            }
        }
    }

    /// Time passes, with a look at each instant that the shard asked for.
    fn pass(&mut self, time: Duration) -> Vec<Command> {
        let (end, mut commands) = (self.now + time, Vec::new());
        while let Some(at) = self.shard.next_timeout().filter(|&at| at <= end) {
            self.now = self.now.max(at);
            self.shard.due(self.now, &lars_shard::Uncounted, &mut commands);
        }
        self.now = end;
        self.write_board(&commands);
        commands
    }

    fn learnt(modules_max: u32, module: ModuleId, nodes: u32) -> Self {
        let mut bench = Self::new(modules_max);
        bench.want(module);
        bench.learn(&news(module, 1, &route(1..=nodes)));
        bench
    }

    fn nodes(&self, module: ModuleId) -> Option<(u64, usize)> {
        self.shard
            .route(module)
            .map(|(version, route)| (version, route.nodes().len()))
    }
}

const fn second(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[test]
fn wanted_module_is_subscribed_once_and_answered_when_its_route_is_here() {
    let mut bench = Bench::new(10);
    assert_eq!(bench.want(A), (Status::Pending, vec![Subscribe(A)]));
    assert_eq!(bench.want(A), (Status::Pending, vec![]));
    assert_eq!(
        bench.learn(&news(A, 7, &route(1..=3))),
        [Publish(A), Answer(A, Status::Ok)]
    );
    assert_eq!(bench.want(A), (Status::Ok, vec![]));
    assert_eq!(bench.nodes(A), Some((7, 3)));
}

#[test]
fn not_found_is_remembered_for_its_time_and_then_costs_nothing() {
    let mut bench = Bench::new(10);
    bench.want(A);
    assert_eq!(
        bench.learn(&news(A, 1, &route([]))),
        [Answer(A, Status::NotFound)]
    );
    assert_eq!(bench.pass(Duration::from_millis(999)), []);
    assert_eq!(
        bench.want(A),
        (Status::NotFound, vec![]),
        "asking does not prolong it"
    );
    assert_eq!(bench.pass(Duration::from_millis(1)), [Unsubscribe(A)]);
    assert_eq!(bench.shard.counts(), ShardCounts::default());
    assert_eq!(bench.want(A), (Status::Pending, vec![Subscribe(A)]));
}

#[test]
fn not_found_that_nobody_swept_is_asked_for_again_after_its_time() {
    let mut bench = Bench::new(10);
    bench.want(A);
    bench.learn(&news(A, 1, &route([])));
    bench.now += second(1);
    assert_eq!(
        bench.want(A),
        (Status::Pending, vec![Unsubscribe(A), Subscribe(A)])
    );
}

#[test]
fn module_added_while_it_is_remembered_as_not_found_is_published_at_once() {
    let mut bench = Bench::new(10);
    bench.want(A);
    bench.learn(&news(A, 1, &route([])));
    assert_eq!(bench.learn(&news(A, 2, &route([1]))), [Publish(A)]);
    assert_eq!(bench.pass(second(2)), [], "it is not forgotten as not found");
    assert_eq!(bench.want(A).0, Status::Ok);
}

#[test]
fn route_of_a_module_nobody_asked_for_is_held_and_subscribed() {
    let mut bench = Bench::new(10);
    assert_eq!(bench.learn(&news(A, 1, &route([1]))), [Subscribe(A), Publish(A)]);
    assert_eq!(bench.want(A), (Status::Ok, vec![]));
    assert_eq!(bench.learn(&news(B, 1, &route([]))), []);
    assert_eq!(bench.shard.modules(), 1);
}

#[test]
fn idle_module_is_dropped_and_a_used_one_stays() {
    let mut bench = Bench::learnt(10, A, 1);
    bench.want(B);
    bench.learn(&news(B, 1, &route([1])));
    bench.pass(second(400));
    bench.shard.used(bench.now, B);
    assert_eq!(bench.pass(second(200)), [Withdraw(A), Unsubscribe(A)]);
    assert_eq!(bench.pass(second(399)), []);
    assert_eq!(bench.pass(second(1)), [Withdraw(B), Unsubscribe(B)]);
    assert_eq!((bench.shard.modules(), bench.shard.next_timeout()), (0, None));
}

#[test]
fn module_that_dns_never_answers_is_given_up_and_who_waits_is_told() {
    let mut bench = Bench::new(10);
    bench.want(A);
    assert_eq!(
        bench.pass(second(600)),
        [Unsubscribe(A), Answer(A, Status::Failed)]
    );
    assert_eq!(bench.shard.modules(), 0);
}

#[test]
fn full_shard_fails_new_modules_but_forgets_those_not_found_first() {
    let mut bench = Bench::new(2);
    bench.want(A);
    bench.want(B);
    let c = ModuleId::new(1, 3);
    assert_eq!(bench.want(c), (Status::Failed, vec![]));
    assert_eq!(
        bench.learn(&news(c, 1, &route([1]))),
        [Unsubscribe(c)],
        "there is no room to learn it"
    );
    bench.learn(&news(B, 1, &route([])));
    assert_eq!(
        bench.want(c),
        (Status::Pending, vec![Unsubscribe(B), Subscribe(c)])
    );
    assert_eq!(bench.shard.modules(), 2);
}

#[test]
fn flood_of_unknown_modules_keeps_to_the_bound_and_leaves_nothing() {
    let mut bench = Bench::new(100);
    for cmdid in 0..20_000 {
        let module = ModuleId::new(9, cmdid);
        assert_eq!(bench.want(module).0, Status::Pending);
        bench.learn(&news(module, 1, &route([])));
        assert!(bench.shard.modules() <= 100);
    }
    let gone = bench.pass(second(1));
    assert_eq!(gone.len(), 100);
    assert_eq!(
        (bench.shard.modules(), bench.shard.counts()),
        (0, ShardCounts::default())
    );
}

#[test]
fn removed_module_is_withdrawn_and_then_not_found() {
    let mut bench = Bench::learnt(10, A, 3);
    assert_eq!(bench.learn(&news(A, 2, &route([]))), [Withdraw(A)]);
    assert_eq!(bench.want(A).0, Status::NotFound);
    assert_eq!(bench.pass(second(1)), [Unsubscribe(A)]);
}

#[test]
fn route_is_published_only_when_it_changed_and_once_until_it_was_read() {
    let mut bench = Bench::learnt(10, A, 3);
    assert_eq!(bench.learn(&news(A, 1, &route(1..=3))), []);
    assert_eq!(
        bench.learn(&news(A, 2, &route(1..=3))),
        [Publish(A)],
        "picks name the version"
    );
    let mut commands = Vec::new();
    for version in 3..6 {
        bench
            .shard
            .learn(bench.now, &news(A, version, &route(1..=4)), &mut commands);
    }
    assert_eq!(commands, [Publish(A)]);
    bench.write_board(&commands);
    assert_eq!(bench.learn(&news(A, 9, &route(1..=4))), [Publish(A)]);
}

#[test]
fn unexplained_loss_is_held_back_until_it_is_said_again() {
    for shrunken in [route([]), route([1])] {
        let mut bench = Bench::learnt(10, A, 3);
        assert_eq!(bench.learn(&unexplained(A, 2, &shrunken)), []);
        assert_eq!(bench.nodes(A), Some((1, 3)));
        assert!(bench.shard.is_held(A));
        assert_eq!(
            (bench.shard.counts().held, bench.shard.counts().held_total),
            (1, 1)
        );
        let believed = if shrunken.is_empty() {
            Withdraw(A)
        } else {
            Publish(A)
        };
        assert_eq!(bench.learn(&unexplained(A, 2, &shrunken)), [believed]);
        assert!(!bench.shard.is_held(A));
        assert_eq!(
            (bench.shard.counts().held, bench.shard.counts().held_total),
            (0, 1)
        );
    }
}

#[test]
fn explained_loss_passes_at_once() {
    let mut bench = Bench::learnt(10, A, 3);
    bench.learn(&unexplained(A, 2, &route([1])));
    assert_eq!(bench.learn(&news(A, 3, &route([1]))), [Publish(A)]);
    assert_eq!(bench.nodes(A), Some((3, 1)));
    assert_eq!(bench.shard.counts().held, 0);
}

#[test]
fn dns_is_asked_about_what_is_held_back_within_ten_seconds_and_again() {
    let mut bench = Bench::learnt(10, A, 3);
    bench.learn(&unexplained(A, 2, &route([1])));
    assert_eq!(bench.pass(Duration::from_millis(7_999)), []);
    assert_eq!(bench.pass(Duration::from_millis(2_001)), [Subscribe(A)]);
    assert_eq!(bench.pass(second(10)), [Subscribe(A)]);
    assert_eq!(
        bench.learn(&unexplained(A, 3, &route(1..=4))),
        [Publish(A)],
        "it came back"
    );
    assert!(!bench.shard.is_held(A));
    assert_eq!(bench.pass(second(60)), []);
}

#[test]
fn sixty_five_thousand_modules_are_dropped_bit_by_bit() {
    let mut bench = Bench::new(65_536);
    for cmdid in 0..65_536 {
        let module = ModuleId::new(3, cmdid);
        bench.want(module);
        bench.learn(&news(module, 1, &route([1, 2])));
    }
    bench.now += second(600);
    let (mut commands, mut turns) = (Vec::new(), 0);
    while bench.shard.next_timeout().is_some_and(|at| at <= bench.now) {
        let before = commands.len();
        bench.shard.due(bench.now, &lars_shard::Uncounted, &mut commands);
        assert!(commands.len() - before <= 2 * 1_024, "a turn stays short");
        turns += 1;
    }
    assert_eq!(
        (turns, commands.len(), bench.shard.modules()),
        (64, 2 * 65_536, 0)
    );
}
