//! The forms for async callers give what the blocking ones give.

use crate::fake_agent::{FakeAgent, MODULE, addr, folder, one_node, patient};
use crate::fake_board::FakeBoard;
use lars_client::{ModuleId, PickError};
use lars_wire::Kind;
use lars_wire::caller::{NodeView, Registered, Status};
use std::time::Duration;

#[test]
fn tasks_pick_from_the_board_and_ask_where_it_cannot_tell() {
    let (_folder, path) = folder();
    let agent = FakeAgent::lending(&path, |got, peer| match got.kind {
        Kind::Register => {
            let (status, version) = (Status::NotFound, 0);
            peer.answer(got.sequence, &Registered { status, version });
        }
        _ => one_node(got, peer),
    });
    let board = FakeBoard::start(&path);
    board.put(MODULE, &[addr("10.0.1.1:80")], NodeView::Idle);
    let client = patient(&path);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let call = client.pick_async(MODULE).await.expect("on the board");
        assert_eq!((call.node(), agent.count(Kind::Pick)), (addr("10.0.1.1:80"), 0));
        call.ok().expect("reported");
        let asked = client
            .pick_async(ModuleId::new(9, 9))
            .await
            .expect("the agent answers");
        assert_eq!(
            (asked.node(), agent.count(Kind::Pick)),
            (addr("10.0.0.1:7777"), 1)
        );
        drop(asked);
        let refused = client
            .register_async(ModuleId::new(8, 8), Duration::from_millis(5))
            .await;
        assert!(matches!(refused, Err(PickError::NotFound { .. })), "{refused:?}");
        client.flush_async().await.expect("confirmed");
    });
    assert_eq!((board.calls(), agent.reports()), (1, 1));
}
