//! `lars up --demo`: real TCP nodes, real callers, and the story of what Lars does for them, one line an event. The
//! story is checked as it is told: a line that starts with `!` did not come true.

mod callers;
mod nodes;
mod story;

use crate::outcome::Failure;
use crate::signals::EndSignals;
use crate::up::Up;
use callers::Callers;
use lars_client::Endpoint;
use lars_client::admin::Admin;
use lars_wire::ModuleId;
use lars_wire::NodeState;
use lars_wire::admin::{RouteEdit, RouteRow};
use lars_wire::bounds::WEIGHT_DEFAULT;
use nodes::Cast;
use std::time::{Duration, Instant};
use story::Story;

/// The shortest time in which the story can be told.
pub const SECONDS_MIN: u64 = 10;
/// The module that the demo's callers ask for.
pub const MODULE: ModuleId = ModuleId::new(9_001, 1);
/// How often, after the story, a line says how things go.
const SUMMARY_EVERY: Duration = Duration::from_secs(5);

/// Tells the story on a running Lars; ends after `length` or by a signal. Returns whether the story came true. Whoever
/// gave a length wants to know just that, so a signal in the middle of the story is a failure then.
pub fn run(up: &Up, signals: &EndSignals, length: Option<Duration>) -> Result<bool, Failure> {
    let deadline = length.map(|length| Instant::now() + length);
    let cast =
        Cast::start().map_err(|error| Failure::other(format!("the demo's nodes do not start: {error}")))?;
    let mut admin = Admin::connect(&Endpoint::Tcp(up.addresses().dns.to_string()))?;
    publish(&mut admin, &cast)?;
    let stored_before = story::stored_calls(up)?;
    let callers = Callers::start(&up.addresses().agent, &cast)?;
    let mut story = Story::new(up, signals, &cast, callers);

    let ended_early = story.tell()?;
    if !ended_early {
        rest(&mut story, signals, deadline);
    }
    let outcome = story.end_calls()?;
    let true_to_the_end = ended_early || story.settle(&outcome, stored_before)?;
    admin.edit_routes(cast.nodes().iter().map(|node| remove(node.addr())).collect())?;
    if ended_early && length.is_some() {
        return Err(Failure::other("the demo was ended before its story was told"));
    }
    Ok(true_to_the_end)
}

/// What follows the story: a line now and then until the end.
fn rest(story: &mut Story<'_>, signals: &EndSignals, deadline: Option<Instant>) {
    loop {
        let next = Instant::now() + SUMMARY_EVERY;
        let until = deadline.map_or(next, |deadline| deadline.min(next));
        if signals.wait(Some(until)) || deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return;
        }
        story.summary();
    }
}

/// Makes the cast the module's nodes, and nobody else: an earlier demo may have been killed.
fn publish(admin: &mut Admin, cast: &Cast) -> Result<(), Failure> {
    let mut edits: Vec<_> = admin
        .list_routes(Some(MODULE))?
        .iter()
        .map(|row| remove(row.node))
        .collect();
    edits.extend(cast.nodes().iter().map(|node| {
        RouteEdit::Put(RouteRow {
            module: MODULE,
            node: node.addr(),
            weight: WEIGHT_DEFAULT,
            state: NodeState::Serving,
            zone: String::new(),
        })
    }));
    admin.edit_routes(edits)?;
    Ok(())
}

fn remove(node: lars_wire::NodeAddr) -> RouteEdit {
    RouteEdit::Remove { module: MODULE, node }
}
