//! What callers reported is what report has stored, to the call, whatever breaks in between.

use crate::fake_report::FakeReport;
use crate::house::{House, module_of, node, over_both};
use lars_pool::IoChoice;
use lars_wire::caller::{Outcome, Report};
use lars_wire::{ModuleId, NodeAddr};
use std::thread;
use std::time::Duration;

over_both!(
    calls_reported_over_many_connections_are_stored_to_the_call,
    lost_batches_and_lost_acknowledgements_change_no_count,
    calls_to_a_module_that_nobody_knows_are_counted_too,
    report_that_lost_its_records_gets_the_counts_under_another_identity,
    stop_brings_the_last_counts_to_report,
    counts_of_more_nodes_than_a_turn_gives_away_all_arrive,
    stop_without_report_is_quick,
);

fn calls_reported_over_many_connections_are_stored_to_the_call(io: IoChoice) {
    let house = House::ready(io);
    exact_counts(&house);
}

fn lost_batches_and_lost_acknowledgements_change_no_count(io: IoChoice) {
    let mut house = House::with_report(io, FakeReport::start_losing(2, 2));
    house.start();
    exact_counts(&house);
    house.report.wait_resent(4);
}

/// Eight callers on both cores report for modules of both; the sums must be those that were sent.
fn exact_counts(house: &House) {
    const CALLERS: u16 = 8;
    const ROUNDS: usize = 20;
    let modules: Vec<ModuleId> = (0..4)
        .map(|number| module_of(number % 2, number as usize))
        .collect();
    for &module in &modules {
        house.dns().put(module, &["10.0.0.1:80", "10.0.0.2:80"]);
        house.caller().register(module, 10_000);
    }
    let (first, second) = (node("10.0.0.1:80"), node("10.0.0.2:80"));
    thread::scope(|scope| {
        for number in 0..CALLERS {
            let modules = &modules;
            scope.spawn(move || {
                let mut caller = house.caller_of(number % 2);
                for _ in 0..ROUNDS {
                    for &module in modules {
                        caller.report(module, first, Outcome::Ok, 30);
                        caller.report(module, second, Outcome::Failed, 1);
                        caller.report(module, second, Outcome::TimedOut, 2);
                        caller.report(module, second, Outcome::Cancelled, 3);
                    }
                }
            });
        }
    });
    let rounds = u64::from(CALLERS) * ROUNDS as u64;
    house.report.wait_total(rounds * modules.len() as u64 * 36);
    for &module in &modules {
        assert_eq!(house.report.sum(module, first), [30 * rounds, 0, 0, 0]);
        assert_eq!(
            house.report.sum(module, second),
            [0, rounds, 2 * rounds, 3 * rounds]
        );
    }
    let stats = house.agent().stats();
    assert_eq!(stats.reports(Outcome::Ok), 30 * rounds * modules.len() as u64);
    let caller = house.report.callers()[0];
    assert_ne!(caller, 0);
}

fn calls_to_a_module_that_nobody_knows_are_counted_too(io: IoChoice) {
    let house = House::ready(io);
    let (module, node) = (module_of(1, 0), node("10.0.0.1:80"));
    let mut caller = house.caller_of(0);
    caller.send(&Report {
        module,
        node,
        token: u64::MAX,
        outcome: Outcome::Ok,
        retcode: 0,
        latency_us: 5,
    });
    house.report.wait_sum(module, node, [1, 0, 0, 0]);
}

fn report_that_lost_its_records_gets_the_counts_under_another_identity(io: IoChoice) {
    let house = House::ready(io);
    let (module, node) = (module_of(0, 0), node("10.0.0.1:80"));
    let mut caller = house.caller();
    for round in 1..=3 {
        caller.report(module, node, Outcome::Ok, 10);
        house.report.wait_sum(module, node, [10 * round, 0, 0, 0]);
    }
    house.report.forget_agents();
    caller.report(module, node, Outcome::Ok, 10);
    house.report.wait_sum(module, node, [40, 0, 0, 0]);
}

fn stop_brings_the_last_counts_to_report(io: IoChoice) {
    let mut house = House::new(io);
    house.config.flush_interval_ms = 60_000;
    house.start();
    let node = node("10.0.0.1:80");
    let modules = [module_of(0, 0), module_of(1, 0)];
    // Reports of both cores' modules over both cores: the last ones are on their way between cores when it stops.
    let mut callers = [house.caller_of(0), house.caller_of(1)];
    for module in modules {
        house.dns().put(module, &["10.0.0.1:80"]);
        callers[0].register(module, 10_000);
    }
    for _ in 0..50 {
        for module in modules {
            for caller in &mut callers {
                caller.report(module, node, Outcome::Ok, 10);
            }
        }
    }
    assert!(house.stop() < Duration::from_millis(1_500));
    for module in modules {
        assert_eq!(house.report.sum(module, node), [1_000, 0, 0, 0]);
    }
}

fn counts_of_more_nodes_than_a_turn_gives_away_all_arrive(io: IoChoice) {
    const NODES: u32 = 16_000;
    let mut house = House::new(io);
    house.config.flush_interval_ms = 300;
    house.start();
    let module = module_of(0, 0);
    let mut caller = house.caller();
    let mut report_each = || {
        for number in 0..NODES {
            let node = NodeAddr::from_ipv4_number(0x0a00_0001 + number, 80);
            caller.report(module, node, Outcome::Ok, 1);
        }
    };
    report_each();
    house.report.wait_total(u64::from(NODES));
    // Nothing waits for a flush before the end.
    report_each();
    assert!(house.stop() < Duration::from_millis(1_500));
    for number in [0, 4_095, 4_096, 8_192, NODES - 1] {
        let node = NodeAddr::from_ipv4_number(0x0a00_0001 + number, 80);
        assert_eq!(house.report.sum(module, node), [2, 0, 0, 0], "{number}");
    }
    house.report.wait_total(2 * u64::from(NODES));
}

fn stop_without_report_is_quick(io: IoChoice) {
    let mut house = House::new(io);
    house.config.report = vec!["127.0.0.1:1".to_owned()];
    house.start();
    let (module, node) = (module_of(0, 0), node("10.0.0.1:80"));
    let mut caller = house.caller();
    caller.report(module, node, Outcome::Ok, 10);
    assert!(house.stop() < Duration::from_millis(1_500));
}
