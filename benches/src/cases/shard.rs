//! The agent's mind: what one report costs its owner.

use super::{Case, Operation};
use crate::services::node;
use lars_shard::{Command, PolicyConfig, PolicyName, RouteNews, Shard, ShardConfig, Uncounted};
use lars_wire::caller::{Outcome, Report, Status};
use lars_wire::{ModuleId, Route, RouteNode};
use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "shard.report",
        make: || report(PolicyName::Adaptive, 1),
    },
    Case {
        name: "shard.report.1000modules",
        make: || report(PolicyName::Adaptive, 1_000),
    },
    Case {
        name: "shard.report.classic",
        make: || report(PolicyName::Classic, 1),
    },
    Case {
        name: "shard.look.10nodes",
        make: look,
    },
];

struct Bench {
    shard: Shard,
    commands: Vec<Command>,
    now: Instant,
    reports: Vec<Report>,
}

/// A shard of so many modules of ten nodes, and a report for each.
fn bench(name: PolicyName, modules: u32) -> Bench {
    let config = ShardConfig {
        policy: PolicyConfig {
            name: Some(name),
            ..PolicyConfig::default()
        },
        module_policies: HashMap::new(),
        modules_max: 4_096,
        module_idle: Duration::from_mins(10),
        not_found_memory: Duration::from_secs(1),
    };
    let (mut shard, mut commands, now) = (Shard::new(config, 1), Vec::new(), Instant::now());
    let route = Arc::new(Route::new(
        (0..10).map(|number| RouteNode::new(node(number))).collect(),
    ));
    let mut reports = Vec::new();
    for cmdid in 0..modules {
        let module = ModuleId::new(1, cmdid);
        shard.want(now, module, &mut commands);
        let news = RouteNews {
            module,
            status: Status::Ok,
            version: 1,
            explained: true,
            route: Arc::clone(&route),
        };
        shard.learn(now, &news, &mut commands);
        shard.entry(module, &mut Vec::new());
        reports.push(Report {
            module,
            node: node(3),
            token: 0,
            outcome: Outcome::Ok,
            retcode: 0,
            latency_us: 1_000,
        });
    }
    commands.clear();
    Bench {
        shard,
        commands,
        now,
        reports,
    }
}

fn report(name: PolicyName, modules: u32) -> Operation {
    let Bench {
        mut shard,
        mut commands,
        now,
        reports,
    } = bench(name, modules);
    let mut turn = 0;
    Box::new(move || {
        turn = if turn + 1 == reports.len() { 0 } else { turn + 1 };
        shard.report(now, black_box(&reports[turn]), &mut commands);
        black_box(&commands);
        commands.clear();
    })
}

/// A report and the look that it makes due 10 ms later, with what readers are told.
fn look() -> Operation {
    let Bench {
        mut shard,
        mut commands,
        mut now,
        reports,
    } = bench(PolicyName::Adaptive, 1);
    let mut hot = Vec::new();
    Box::new(move || {
        now += Duration::from_millis(10);
        shard.report(now, black_box(&reports[0]), &mut commands);
        shard.due(now, &Uncounted, &mut commands);
        shard.hot(reports[0].module, &mut hot);
        black_box((&commands, &hot));
        commands.clear();
    })
}
