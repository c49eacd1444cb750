//! A dns that shows an older state of the store than was seen before: what is held is kept for ten seconds.

use crate::fake_dns::FakeDns;
use crate::house::{House, eventually, module_of, node, over_both};
use lars_pool::IoChoice;
use lars_shard::trust::DOUBT;
use lars_wire::caller::Status;
use std::time::Instant;

over_both!(
    older_dns_is_passed_over_but_for_what_nobody_knows_until_it_has_caught_up,
    older_dns_that_stays_so_is_the_truth_after_ten_seconds,
);

/// A house whose dns has shown version 100 and is gone; the next, at its address, shows 99. It knows the first module
/// otherwise, and another besides.
fn failed_over(io: IoChoice) -> House {
    let mut house = House::ready(io);
    house.dns().state().store_version = Some(100);
    house.dns().put(module_of(0, 0), &["10.0.0.1:80", "10.0.0.2:80"]);
    assert_eq!(
        house.caller().register(module_of(0, 0), 10_000).status,
        Status::Ok
    );
    let addr = house.dns().addr.clone();
    house.dns = None;
    let dns = FakeDns::start_at(&addr, 8);
    dns.state().store_version = Some(99);
    dns.put(module_of(0, 0), &["10.0.0.9:80"]);
    dns.put(module_of(1, 0), &["10.0.0.8:80"]);
    house.dns = Some(dns);
    house
}

fn older_dns_is_passed_over_but_for_what_nobody_knows_until_it_has_caught_up(io: IoChoice) {
    let house = failed_over(io);
    let (held, new) = (module_of(0, 0), module_of(1, 0));
    let mut caller = house.caller();
    eventually("it is told the module anew", || house.dns().subscribed(held));
    // Behind this everything that it said about the first module has arrived too.
    assert_eq!(caller.register(new, 10_000).status, Status::Ok);
    assert_eq!(
        caller.pick(new).node,
        node("10.0.0.8:80"),
        "an old route is better than none"
    );
    let version = house.dns().put(held, &["10.0.0.7:80"]);
    house.dns().put(new, &["10.0.0.6:80"]);
    assert_eq!(
        caller.register(module_of(0, 1), 100).status,
        Status::NotFound,
        "pushes came before this"
    );
    assert_eq!(caller.route(held, 0).0.total, 2, "it keeps what it has");
    assert!(
        house.dns().state().acks.iter().all(|ack| ack.version != version),
        "and says so"
    );
    house.dns().state().store_version = Some(100);
    house.dns().put(module_of(1, 1), &["10.0.0.5:80"]);
    caller.register(module_of(1, 1), 10_000);
    eventually("it is believed and asked again", || {
        caller.pick(held).node == node("10.0.0.7:80")
    });
    eventually("for everything", || caller.pick(new).node == node("10.0.0.6:80"));
}

fn older_dns_that_stays_so_is_the_truth_after_ten_seconds(io: IoChoice) {
    let house = failed_over(io);
    let held = module_of(0, 0);
    let mut caller = house.caller();
    eventually("it is told the module anew", || house.dns().subscribed(held));
    let begun = Instant::now();
    eventually("it is believed", || caller.pick(held).node == node("10.0.0.9:80"));
    assert!(
        begun.elapsed() > DOUBT / 2,
        "it was doubted: {:?}",
        begun.elapsed()
    );
}
