//! The agent's mind: what one report costs its owner.

use super::{Case, Operation};
use crate::services::node;
use lars_shard::{PolicyConfig, RouteNews, Shard, ShardConfig};
use lars_wire::caller::{Outcome, Report, Status};
use lars_wire::{ModuleId, Route, RouteNode};
use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "shard.report",
        make: || report(1),
    },
    Case {
        name: "shard.report.1000modules",
        make: || report(1_000),
    },
];

fn report(modules: u32) -> Operation {
    let config = ShardConfig {
        policy: PolicyConfig::default(),
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
    let mut turn = 0;
    Box::new(move || {
        turn = if turn + 1 == reports.len() { 0 } else { turn + 1 };
        shard.report(now, black_box(&reports[turn]), &mut commands);
        black_box(&commands);
        commands.clear();
    })
}
