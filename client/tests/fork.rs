//! A process that forks while its client picks: what the child tries is refused, and its parent goes on as if nothing were. Alone
//! in its process, because nobody else may hold a lock when it forks; with unsafe, because nothing else forks.

#[path = "caller/fake_agent.rs"]
#[expect(dead_code, reason = "other tests need more of it")]
mod fake_agent;
#[path = "caller/fake_board.rs"]
#[expect(dead_code, reason = "other tests need more of it")]
mod fake_board;

use fake_agent::{FakeAgent, MODULE, addr, folder, one_node, patient};
use fake_board::FakeBoard;
use lars_client::{Call, Chosen, Client, ClientError, ModuleId, Outcome, PickError, Picker, Transport};
use lars_wire::caller::NodeView;
use std::ops::ControlFlow;
use std::time::Duration;

/// Seconds after which a child that waits for something is ended.
const CHILD_SECONDS_MAX: u32 = 10;

/// What a parent has when it forks.
struct Belongings {
    client: Client,
    used: Picker,
    unused: Picker,
    call: Call,
    asked: Call,
    chosen: Chosen,
}

fn is_forked<T>(told: Result<T, ClientError>) -> bool {
    told.is_err_and(|error| matches!(error, ClientError::Forked { .. }))
}

fn is_refused<T>(picked: Result<T, PickError>) -> bool {
    picked.is_err_and(|error| matches!(error, PickError::Client(ClientError::Forked { .. })))
}

/// What the child tries. The number of the first thing that was not refused, 0 for none.
fn tried(belongings: Belongings) -> i32 {
    let Belongings {
        client,
        mut used,
        mut unused,
        call,
        asked,
        chosen,
    } = belongings;
    let second = Duration::from_secs(1);
    let mut late = client.picker();
    let refusals = [
        client.transport() == Transport::Socket,
        is_refused(client.pick(MODULE)),
        is_refused(client.pick(ModuleId::new(9, 9))),
        is_refused(used.pick(MODULE)),
        is_refused(used.choose(MODULE)),
        is_refused(unused.pick(MODULE)),
        is_refused(unused.choose(MODULE)),
        is_refused(late.pick(MODULE)),
        is_refused(late.attempts(MODULE).pick().map_err(|error| match error {
            lars_client::AttemptError::Pick(error) => error,
            other => panic!("{other}"),
        })),
        is_forked(used.report(&chosen, Outcome::Ok, second)),
        is_forked(late.report(&chosen, Outcome::Ok, second)),
        is_forked(call.ok()),
        is_forked(asked.failed(1)),
        is_forked(client.report(MODULE, chosen.node, Outcome::Ok, 0, second)),
        is_forked(client.record(None, second, |_| ControlFlow::Continue(()))),
        is_refused(client.register(MODULE, second)),
        is_refused(client.route(MODULE)),
        is_forked(client.status()),
        is_forked(client.flush()),
    ];
    drop((used, unused, late, client));
    let first = refusals.iter().position(|refused| !refused);
    first.map_or(0, |place| place as i32 + 1)
}

/// Forks, and runs `tried` in the child; how that ended, as `waitpid` tells it.
fn in_a_child(tried: impl FnOnce() -> i32) -> i32 {
    // SAFETY: the child runs what a child may be expected to run, a client's methods, under the lock of the allocator alone,
    // which the C library gives back in a child; it ends itself by `_exit`, or is ended by the alarm.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: no memory is passed; the signal's usual way ends the process.
        unsafe { libc::alarm(CHILD_SECONDS_MAX) };
        let code = std::panic::catch_unwind(std::panic::AssertUnwindSafe(tried)).unwrap_or(99);
        // SAFETY: ends the child at once, without running anything of the parent's.
        unsafe { libc::_exit(code) };
    }
    assert!(child > 0, "{}", std::io::Error::last_os_error());
    let mut status = -1;
    // SAFETY: the kernel writes the status of our own child into the number that we lend it.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    status
}

#[test]
fn child_is_refused_everything_and_its_parent_goes_on_unharmed() {
    let (_folder, path) = folder();
    let agent = FakeAgent::lending(&path, one_node);
    let board = FakeBoard::start(&path);
    board.put(MODULE, &[addr("10.0.1.1:80")], NodeView::Idle);
    let client = patient(&path);
    let elsewhere = ModuleId::new(9, 9);
    let mut own = client.picker();
    own.pick(MODULE).expect("on the board").ok().expect("reported");
    let mut used = client.picker();
    used.pick(MODULE).expect("on the board").ok().expect("reported");
    let belongings = Belongings {
        client: client.clone(),
        chosen: used.choose(MODULE).expect("on the board"),
        used,
        unused: client.picker(),
        call: own.pick(MODULE).expect("on the board"),
        asked: own.pick(elsewhere).expect("the agent answers"),
    };
    client.flush().expect("drained");
    let (offers, connections) = (board.offers(), agent.connections());
    let mut belongings = Some(belongings);
    // The parent's own are still there behind the fork: the child has a copy of all memory.
    let status = in_a_child(|| tried(belongings.take().expect("once")));
    assert_eq!(
        status, 0,
        "not refused, counted from 1 and shifted by 8; or a signal"
    );
    client.flush().expect("drained");
    assert_eq!(board.offers(), offers);
    assert_eq!(agent.connections(), connections);
    assert_eq!((board.calls(), agent.reports()), (2, 0));

    let Belongings {
        mut used,
        mut unused,
        call,
        asked,
        chosen,
        ..
    } = belongings.take().expect("the child took its own");
    assert_eq!(client.transport(), Transport::Board);
    used.report(&chosen, Outcome::Ok, Duration::from_millis(1))
        .expect("reported");
    call.ok().expect("reported");
    asked.ok().expect("reported");
    for picked in [
        used.pick(MODULE),
        unused.pick(MODULE),
        client.pick(MODULE),
        client.picker().pick(MODULE),
    ] {
        picked.expect("on the board").ok().expect("reported");
    }
    client.flush().expect("drained");
    assert_eq!((board.calls(), agent.reports()), (8, 1));
    // The child of a later time is refused as well, and a client of its own is none the worse for that of its parent.
    let status = in_a_child(|| {
        let made = Client::connect(&path).and_then(|made| Ok((made.transport(), made.flush()?)));
        i32::from(!is_refused(own.pick(MODULE)) || !matches!(made, Ok((Transport::Board, ()))))
    });
    assert_eq!(status, 0);
    own.pick(MODULE).expect("on the board").ok().expect("reported");
    client.flush().expect("drained");
    assert_eq!((board.calls(), agent.reports()), (9, 1));
}
