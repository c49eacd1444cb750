//! Agents of the C++ Lars: they ask for a route, and are told of each change of it for as long as they are connected.
//! They cannot be refused in words, nor confirm what they got.

use super::connection::Speech;
use super::{DnsCore, FRAMES_PER_TURN_MAX, Stop};
use crate::mail::Mail;
use crate::subscriptions::Step;
use lars_compat::message::GetRoute;
use lars_compat::route::route_bytes_max;
use lars_compat::{Frame, FrameError, MessageId, decode, module_of, split};
use lars_pool::{ConnectionId, Received, Turn};
use lars_wire::ModuleId;
use lars_wire::admin::Reason;

impl From<FrameError> for Stop {
    fn from(error: FrameError) -> Self {
        Self::Refuse(Reason::Malformed, error.to_string())
    }
}

impl DnsCore {
    /// The first bytes of a connection are an old agent's.
    pub(super) fn met_old_agent(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connection_mut(id) {
            connection.speech = Speech::Old;
            self.old_now += 1;
            self.counts().old_agents.set(self.old_now);
        }
    }

    pub(super) fn received_old(
        &mut self,
        turn: &mut Turn<'_, Mail>,
        id: ConnectionId,
        bytes: &[u8],
    ) -> Received {
        let mut consumed = 0;
        for _ in 0..FRAMES_PER_TURN_MAX {
            let asked = match split(&bytes[consumed..]) {
                Ok(None) => return Received::Consumed(consumed),
                Ok(Some(frame)) => {
                    let asked = self.old_question(turn, id, frame);
                    consumed += if asked.is_ok() { frame.bytes() } else { 0 };
                    asked
                }
                Err(error) => Err(error.into()),
            };
            match asked {
                Ok(()) => {}
                Err(Stop::Later) => return Received::Yield(consumed),
                Err(Stop::Refuse(_, text)) => {
                    self.complain(turn, id, &text);
                    return Received::Close;
                }
            }
        }
        // The turn's share is done: what is left, a whole frame or not, is shown again after others had theirs.
        Received::Yield(consumed)
    }

    fn old_question(
        &mut self,
        turn: &mut Turn<'_, Mail>,
        id: ConnectionId,
        frame: Frame<'_>,
    ) -> Result<(), Stop> {
        let loaded = self.parts.catalog.is_loaded();
        if (loaded && !self.pay(turn, id)) || !Self::has_room(turn, id) {
            return Err(Stop::Later);
        }
        self.counts().requests.add(1);
        if frame.id() != Some(MessageId::GetRoute) {
            // As those programs do with a message that they do not expect.
            self.counts().old_skipped.add(1);
            return Ok(());
        }
        let GetRoute { modid, cmdid } = decode(MessageId::GetRoute, frame.body)?;
        self.subscribe_old(id, module_of(modid, cmdid))?;
        self.pay_or_list(turn, id);
        Ok(())
    }

    /// Answers an old agent, which is told of the module's changes from here on.
    pub(super) fn answer_old(&mut self, turn: &mut Turn<'_, Mail>, id: ConnectionId, module: ModuleId) {
        let view = self.parts.catalog.view(module);
        self.parts.subscriptions.set_step(id.slot, module, Step::In);
        if !view.exists() && !view.is_explained() {
            // To such an agent an empty route means that the module is gone. A store that suddenly has nothing at all
            // is not believed so far; silence leaves the agent with what it holds, and a change will be pushed.
            return;
        }
        self.counts().routes_sent.add(1);
        let nodes = view.nodes().iter().map(|node| (node.addr(), node.state()));
        let bytes_max = route_bytes_max(MessageId::Route, nodes.len());
        turn.reply(id, bytes_max, |out| {
            let written = self.old_routes.write(MessageId::Route, module, &nodes, out);
            written.unwrap_or(0)
        });
    }
}
