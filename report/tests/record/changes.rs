//! Changes of nodes' states: acknowledged when stored, and stored once.

use crate::peer::{Peer, module, node};
use crate::place::Place;
use lars_wire::caller::NodeView;
use lars_wire::event::{ChangeAck, ChangeBatch, StateChange};

fn batch(numbers: std::ops::RangeInclusive<u64>) -> ChangeBatch {
    let change = |number| StateChange {
        number,
        module: module(),
        node: node(1),
        age_ms: 60_000,
        from: NodeView::Idle,
        to: NodeView::Overloaded,
        reason: "5 failures in a row".to_owned(),
    };
    ChangeBatch {
        incarnation: [7; 16],
        caller: 9,
        changes: numbers.map(change).collect(),
    }
}

#[test]
fn acknowledged_changes_are_stored_once_with_the_time_of_their_age() {
    let place = Place::new();
    let report = place.start();
    let mut peer = Peer::welcomed(&report);
    for (numbers, last) in [(1..=3, 3), (1..=3, 3), (2..=5, 5)] {
        peer.send(&batch(numbers), 9);
        let (header, ack) = peer.receive::<ChangeAck>();
        assert_eq!((header.sequence, ack.incarnation, ack.number), (9, [7; 16], last));
    }
    let stored = place.changes();
    let mut numbers: Vec<u64> = stored.iter().map(|change| change.number).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2, 3, 4, 5]);
    let now_ms = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("a clock")
        .as_millis() as u64;
    let change = &stored[0];
    assert!(
        (59_000..75_000).contains(&(now_ms - change.unix_ms)),
        "{change:?}"
    );
    assert_eq!((change.caller, change.to), (9, NodeView::Overloaded));
    report.stop();
}
