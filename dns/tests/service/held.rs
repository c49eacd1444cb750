//! A mass of modules that vanish without a word: held back until people say that it is meant.

use crate::peer::{Peer, module, node, put, unknown};
use crate::running::{Store, connect, wait_until};
use lars_wire::caller::Status;
use lars_wire::held::{AcceptHeld, HeldAccepted, HeldRows, ListHeld};

const MODULES: u32 = 12;

fn held(admin: &mut Peer) -> HeldRows {
    admin.send(&ListHeld { after: None }, 6);
    admin.next().decode()
}

fn accept(admin: &mut Peer) -> HeldAccepted {
    admin.send(&AcceptHeld { version: 1 }, 7);
    let answer = admin.next();
    assert_eq!(answer.header.sequence, 7);
    answer.decode()
}

fn note(admin: &mut Peer) -> Option<String> {
    let notes = admin.status().notes;
    notes.into_iter().find(|note| note.0 == "held").map(|note| note.1)
}

#[test]
fn mass_disappearance_waits_for_people_who_see_it_and_release_it() {
    let store = Store::new();
    store.fill(MODULES, 2);
    let dns = store.dns();
    let (mut admin, mut agent) = (connect(&dns), connect(&dns));
    agent.subscribe(&[unknown(1), unknown(MODULES)]);
    agent.route();
    agent.route();
    assert_eq!(held(&mut admin), HeldRows::default());
    let nothing = HeldAccepted {
        released: 0,
        changed: 0,
    };
    assert_eq!(accept(&mut admin), nothing);

    let foreign = store.foreign();
    foreign
        .execute("DELETE FROM RouteData WHERE cmdid > 1", ())
        .expect("rows go");
    wait_until("people are asked", || held(&mut admin).waits);
    let told = note(&mut admin).expect("status says so");
    assert!(
        told.contains("11 modules") && told.contains("lars route accept"),
        "{told}"
    );
    let rows = held(&mut admin).rows;
    assert_eq!(rows.len(), MODULES as usize - 1);
    assert!(rows.iter().all(|row| row.nodes == 2 && row.vanished) && rows[0].module == module(2));
    admin.send(
        &ListHeld {
            after: Some(module(10)),
        },
        6,
    );
    let behind: HeldRows = admin.next().decode();
    assert_eq!(
        behind.rows.iter().map(|row| row.module).collect::<Vec<_>>(),
        [module(11), module(12)]
    );
    assert_eq!(
        admin.get_route(MODULES).nodes(),
        [node(1), node(2)],
        "it is served as it was"
    );
    agent.assert_silent();

    assert_eq!(accept(&mut admin).released, 11);
    assert_eq!(admin.get_route(MODULES).status, Status::NotFound);
    let gone = agent.route();
    assert_eq!((gone.module, gone.status), (module(MODULES), Status::NotFound));
    assert_eq!((held(&mut admin), note(&mut admin)), (HeldRows::default(), None));
    assert_eq!(admin.count("modules"), 1);
    assert_eq!(admin.edit(&[put(5, 9)]).put, 1);
    assert_eq!(admin.get_route(5).nodes(), [node(9)]);
}

#[test]
fn what_came_back_meanwhile_is_served_and_only_the_rest_is_taken() {
    let store = Store::new();
    store.fill(MODULES, 1);
    let dns = store.dns();
    let mut admin = connect(&dns);
    let foreign = store.foreign();
    foreign
        .execute_batch("CREATE TABLE saved AS SELECT * FROM RouteData; DELETE FROM RouteData")
        .expect("rows go");
    wait_until("people are asked", || held(&mut admin).waits);
    foreign
        .execute_batch(
            "INSERT INTO RouteData (modid, cmdid, serverip, serverport)
             SELECT modid, cmdid, serverip, serverport FROM saved WHERE cmdid = 3",
        )
        .expect("a row comes back");
    // Whether dns had noticed before is chance; the row is served either way.
    let accepted = accept(&mut admin);
    assert!(
        accepted.changed <= accepted.released && accepted.changed >= 11,
        "{accepted:?}"
    );
    assert_eq!(admin.get_route(3).nodes(), [node(1)]);
    assert_eq!(admin.get_route(4).status, Status::NotFound);
}
