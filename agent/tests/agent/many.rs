//! A thousand connections, and modules above what there is room for.

use crate::caller::Caller;
use crate::house::{House, eventually, module_of, node, over_both};
use lars_pool::IoChoice;
use lars_wire::ModuleId;
use lars_wire::caller::{Pick, Status};

over_both!(
    thousand_connections_are_all_answered,
    questions_of_one_connection_that_wait_are_bounded,
    more_modules_than_there_is_room_for_fail_and_the_others_go_on,
);

fn thousand_connections_are_all_answered(io: IoChoice) {
    let house = House::ready(io);
    let modules = [module_of(0, 0), module_of(1, 0)];
    for module in modules {
        house.dns().put(module, &["10.0.0.1:80"]);
        house.caller().register(module, 10_000);
    }
    let mut callers: Vec<Caller> = (0..1_000).map(|_| house.caller()).collect();
    for _ in 0..3 {
        for caller in &mut callers {
            for module in modules {
                caller.send(&Pick::new(module));
            }
        }
        for caller in &mut callers {
            for _ in modules {
                let answer: lars_wire::caller::Node = caller.receive().expect("an answer").decode();
                assert_eq!((answer.status, answer.node), (Status::Ok, node("10.0.0.1:80")));
            }
        }
    }
    eventually("all are counted", || house.agent().stats().connections() == 1_000);
    drop(callers);
    eventually("none is left", || house.agent().stats().connections() == 0);
    assert_eq!(house.agent().stats().picks(Status::Ok), 6_000);
}

fn questions_of_one_connection_that_wait_are_bounded(io: IoChoice) {
    let mut house = House::ready(io);
    house.dns = None;
    let (mut caller, mut good) = (house.caller(), house.caller());
    for cmdid in 0..2_000 {
        caller.send(&Pick {
            deadline_ms: 60_000,
            ..Pick::new(ModuleId::new(5, cmdid))
        });
    }
    // What is above the bound is answered at once; the rest waits.
    for _ in 0..2_000 - 1_024 {
        let answer: lars_wire::caller::Node = caller.receive().expect("an answer").decode();
        assert_eq!(answer.status, Status::Pending);
    }
    caller.ping();
    good.ping();
}

fn more_modules_than_there_is_room_for_fail_and_the_others_go_on(io: IoChoice) {
    let mut house = House::new(io);
    house.config.modules_max = 64;
    house.start();
    let mut caller = house.caller();
    let modules: Vec<ModuleId> = (0..200).map(|cmdid| ModuleId::new(3, cmdid)).collect();
    for &module in &modules {
        house.dns().put(module, &["10.0.0.1:80"]);
    }
    let statuses: Vec<Status> = modules
        .iter()
        .map(|&module| caller.pick_within(module, 10_000).status)
        .collect();
    assert_eq!(
        statuses.iter().filter(|&&status| status == Status::Ok).count(),
        64
    );
    assert_eq!(
        statuses
            .iter()
            .filter(|&&status| status == Status::Failed)
            .count(),
        136
    );
    for (&module, status) in modules.iter().zip(statuses) {
        assert_eq!(caller.pick(module).status, status);
    }
}
