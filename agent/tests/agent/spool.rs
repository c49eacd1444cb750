//! What report does not acknowledge is on disk, and arrives once when report is back: after a stop, after a kill, on a
//! disk that takes nothing.

use crate::fake_report::FakeReport;
use crate::house::{House, eventually, module_of, node, over_both};
use lars_pool::IoChoice;
use lars_wire::caller::Outcome;
use std::fs;
use std::net::TcpListener;
use std::time::Duration;

over_both!(
    stop_with_report_away_brings_the_counts_after_a_restart,
    killed_agent_loses_nothing_that_was_saved,
    batch_that_was_stored_before_the_kill_is_not_counted_again,
    fresh_counts_do_not_wait_for_those_on_disk,
    folder_that_cannot_be_written_keeps_the_counts_in_memory,
    two_agents_do_not_share_a_folder,
    switched_off_spool_leaves_no_folder,
);

/// A house whose report is not there yet, and the address where it will be.
fn house_without_report(io: IoChoice) -> (House, String) {
    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = free.local_addr().expect("bound").to_string();
    let mut house = House::new(io);
    house.config.report = vec![addr.clone()];
    (house, addr)
}

fn files(house: &House) -> usize {
    let folder = fs::read_dir(&house.config.spool_path).expect("a folder");
    folder
        .filter(|entry| entry.as_ref().is_ok_and(|entry| entry.file_name() != "lock"))
        .count()
}

fn stop_with_report_away_brings_the_counts_after_a_restart(io: IoChoice) {
    let (mut house, addr) = house_without_report(io);
    let modules = [module_of(0, 0), module_of(1, 0)];
    for round in 1..=3 {
        house.start();
        let mut caller = house.caller();
        for module in modules {
            caller.report(module, node("10.0.0.1:80"), Outcome::Ok, 10);
        }
        assert!(house.stop() < Duration::from_millis(1_500));
        assert_eq!(files(&house), round);
    }
    house.start();
    house.report = FakeReport::start_at(&addr, 1, 1);
    house.report.wait_total(60);
    for module in modules {
        assert_eq!(house.report.sum(module, node("10.0.0.1:80")), [30, 0, 0, 0]);
    }
    eventually("the folder is empty", || {
        files(&house) == 0 && house.agent().stats().spool_bytes() == 0
    });
    assert_eq!(
        house.agent().status().notes.last().map(|(_, line)| line.as_str()),
        Some("empty")
    );
}

fn killed_agent_loses_nothing_that_was_saved(io: IoChoice) {
    let (mut house, addr) = house_without_report(io);
    let module = module_of(0, 0);
    let mut reported = 0;
    for _ in 0..3 {
        house.start();
        let mut caller = house.caller();
        for _ in 0..20 {
            caller.report(module, node("10.0.0.1:80"), Outcome::Ok, 10);
            reported += 10;
        }
        let stats = house.agent().stats();
        eventually("it is saved", || {
            stats.reports(Outcome::Ok) == 200 && stats.tallies_pending() > 0 && stats.tallies_unsaved() == 0
        });
        // Fresh counts may still be with a core: they would be lost, and are not reported here.
        house.kill();
    }
    house.start();
    house.report = FakeReport::start_at(&addr, 0, 0);
    house.report.wait_total(reported);
    eventually("the folder is empty", || files(&house) == 0);
}

fn batch_that_was_stored_before_the_kill_is_not_counted_again(io: IoChoice) {
    // The acknowledgement of the first batch is lost, and that of no other is ever given: report falls silent.
    let mut house = House::with_report(io, FakeReport::start_losing(0, u32::MAX));
    house.start();
    let (module, node) = (module_of(0, 0), node("10.0.0.1:80"));
    house.caller().report(module, node, Outcome::Ok, 10);
    house.report.wait_sum(module, node, [10, 0, 0, 0]);
    eventually("the batch under way is on disk", || files(&house) == 1);
    house.kill();
    house.report.acknowledge();
    house.start();
    house.caller().report(module, node, Outcome::Ok, 1);
    house.report.wait_sum(module, node, [11, 0, 0, 0]);
    eventually("the folder is empty", || files(&house) == 0);
    house.report.wait_total(11);
}

fn fresh_counts_do_not_wait_for_those_on_disk(io: IoChoice) {
    let (mut house, addr) = house_without_report(io);
    house.start();
    let (module, old, fresh) = (module_of(0, 0), node("10.0.0.1:80"), node("10.0.0.2:80"));
    house.caller().report(module, old, Outcome::Ok, 10);
    house.stop();
    house.report = FakeReport::start_at(&addr, 0, 0);
    house.report.ignore(old);
    house.start();
    house.caller().report(module, fresh, Outcome::Ok, 10);
    house.report.wait_sum(module, fresh, [10, 0, 0, 0]);
    assert_eq!((house.report.sum(module, old), files(&house)), ([0; 4], 1));
    house.kill();
    house.report.acknowledge();
    house.start();
    house.report.wait_sum(module, old, [10, 0, 0, 0]);
}

fn folder_that_cannot_be_written_keeps_the_counts_in_memory(io: IoChoice) {
    let (mut house, addr) = house_without_report(io);
    // A file stands where the folder would.
    fs::write(&house.config.spool_path, b"").expect("written");
    house.start();
    let (module, node) = (module_of(0, 0), node("10.0.0.1:80"));
    house.caller().report(module, node, Outcome::Ok, 10);
    eventually("it is told", || {
        let notes = house.agent().status().notes;
        notes
            .last()
            .is_some_and(|(_, line)| line.starts_with("counts stay in memory: "))
    });
    eventually("they wait", || house.agent().stats().tallies_unsaved() == 1);
    house.report = FakeReport::start_at(&addr, 0, 0);
    house.report.wait_sum(module, node, [10, 0, 0, 0]);
}

fn two_agents_do_not_share_a_folder(io: IoChoice) {
    let (mut house, addr) = house_without_report(io);
    house.start();
    let (module, node) = (module_of(0, 0), node("10.0.0.1:80"));
    house.caller().report(module, node, Outcome::Ok, 10);
    eventually("it is saved", || files(&house) == 1);
    let mut other = House::new(io);
    other.config.spool_path.clone_from(&house.config.spool_path);
    other.start();
    eventually("it is told", || {
        let notes = other.agent().status().notes;
        notes
            .last()
            .is_some_and(|(_, line)| line.contains("another agent spools there"))
    });
    assert_eq!(files(&house), 1, "what is not its own is left alone");
    house.report = FakeReport::start_at(&addr, 0, 0);
    house.report.wait_total(10);
}

fn switched_off_spool_leaves_no_folder(io: IoChoice) {
    let (mut house, _) = house_without_report(io);
    house.config.spool_bytes_max = 0;
    house.start();
    house
        .caller()
        .report(module_of(0, 0), node("10.0.0.1:80"), Outcome::Ok, 10);
    eventually("they wait", || house.agent().stats().tallies_unsaved() == 1);
    house.stop();
    assert!(!house.config.spool_path.exists());
}
