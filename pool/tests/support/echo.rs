//! A handler that sends back what comes.

use lars_pool::{CloseReason, ConnectionId, Handler, Peer, Received, Turn};
use std::time::Instant;

/// Echoes bytes as they come.
pub(crate) struct Echo;

impl Handler for Echo {
    type Mail = ();

    fn opened(&mut self, _: &mut Turn<'_, ()>, _: ConnectionId, _: Peer, _: u16) {}

    fn received(&mut self, turn: &mut Turn<'_, ()>, connection: ConnectionId, bytes: &[u8]) -> Received {
        turn.reply(connection, bytes.len(), |out| {
            out[..bytes.len()].copy_from_slice(bytes);
            bytes.len()
        });
        Received::Consumed(bytes.len())
    }

    fn mail(&mut self, _: &mut Turn<'_, ()>, (): ()) {}

    fn closed(&mut self, _: &mut Turn<'_, ()>, _: ConnectionId, _: CloseReason) {}

    fn settle(&mut self, _: &mut Turn<'_, ()>) -> Option<Instant> {
        None
    }
}
