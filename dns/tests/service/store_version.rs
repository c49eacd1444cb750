//! How far the store is: told to every subscriber before what it explains.

use crate::peer::{put, unknown};
use crate::running::{Store, connect, wait_until};

#[test]
fn subscriber_hears_how_far_the_store_is_before_its_first_answer_and_whenever_that_has_moved() {
    let store = Store::new();
    let dns = store.dns();
    let mut admin = connect(&dns);
    let first = admin.edit(&[put(1, 1)]).version;
    assert!(
        admin.store_versions.is_empty(),
        "who subscribes to nothing is told nothing"
    );

    let mut agent = connect(&dns);
    agent.subscribe(&[unknown(1), unknown(2)]);
    let instance = agent.route().instance;
    let told = |versions: &[lars_wire::directory::StoreVersion]| {
        assert!(versions.iter().all(|said| said.instance == instance));
        versions.iter().map(|said| said.version).collect::<Vec<_>>()
    };
    assert_eq!(told(&agent.store_versions), [first]);
    agent.route();
    assert_eq!(told(&agent.store_versions), [first], "once");
    // The very push of an edit comes under its version, before any look has shown it.
    let mut versions = vec![first];
    for last in 2..=4 {
        let asked = std::thread::spawn({
            let addr = dns.addr();
            move || crate::peer::Peer::connect(addr).edit(&[put(1, last)]).version
        });
        agent.route();
        versions.push(asked.join().expect("it is edited"));
        assert_eq!(told(&agent.store_versions), versions);
    }
}

#[test]
fn store_that_another_program_moved_or_set_back_is_told_with_the_next_push() {
    let store = Store::new();
    let dns = store.dns();
    let mut agent = connect(&dns);
    agent.subscribe(&[unknown(1)]);
    agent.route();
    let foreign = store.foreign();
    for (version, last) in [(5_000_000_000_u64, 1), (7, 2)] {
        foreign
            .execute_batch(&format!(
                "BEGIN; INSERT INTO RouteData (modid, cmdid, serverip, serverport) VALUES (1, 1, {}, 7777);
                 INSERT INTO RouteChange (modid, cmdid, version) VALUES (1, 1, {version});
                 UPDATE RouteVersion SET version = {version}; COMMIT",
                0x0a00_0000 + last
            ))
            .expect("rows");
        assert_eq!(agent.route().nodes().len(), last as usize);
        // A look may find the row before the version: then that follows.
        wait_until("it is told", || {
            agent.assert_silent();
            agent.store_versions.last().map(|said| said.version) == Some(version)
        });
    }
    wait_until("it is counted", || dns.stats().value("route_version") == Some(7));
}

#[test]
fn version_that_moves_for_others_is_told_to_those_who_were_pushed_to() {
    let store = Store::new();
    let dns = store.dns();
    let (mut agent, mut other) = (connect(&dns), connect(&dns));
    agent.subscribe(&[unknown(1)]);
    agent.route();
    let pushed = other.edit(&[put(1, 1)]).version;
    agent.route();
    let moved = other.edit(&[put(9, 1)]).version;
    assert!(moved > pushed);
    wait_until("it is told", || {
        agent.assert_silent();
        agent.store_versions.last().map(|said| said.version) == Some(moved)
    });
    assert!(other.store_versions.is_empty());
}
