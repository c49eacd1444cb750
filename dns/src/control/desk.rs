//! What operators ask of the store: each question goes to the control thread, which owns it, and is answered there.

use super::{Control, unreachable_now};
use crate::mail::{Asked, Asker, Request};
use lars_store::{AnyStore, NameStore, StoreError};
use lars_wire::admin::{Reason, Refusal, bounded_text};
use lars_wire::bounds::{HELD_MAX, NAMES_MAX};
use lars_wire::held::{HeldAccepted, HeldRows, ListHeld};
use lars_wire::names::{ListNames, NameRows, NameSet, SetName};

impl Control {
    /// Answers one question.
    pub(super) async fn asked(&mut self, request: Request) {
        let Request { asker, asked } = request;
        match asked {
            Asked::Edit(edits) => self.edit(asker, edits).await,
            Asked::Names(list) => {
                let listed = self.names(&list).await;
                self.answer_or_refuse(listed, &asker);
            }
            Asked::Name(set) => {
                let done = self.name(&set).await;
                self.answer_or_refuse(done, &asker);
            }
            Asked::Held(ListHeld { after }) => {
                let (rows, more) = self.keeper.held_rows(after, HELD_MAX);
                let waits = self.keeper.held().1 > 0;
                self.answer(&HeldRows { waits, rows, more }, &asker, false);
            }
            Asked::Accept { by } => {
                let accepted = self.accept(&by).await;
                self.answer_or_refuse(accepted, &asker);
            }
        }
    }

    async fn names(&mut self, list: &ListNames) -> Result<NameRows, StoreError> {
        let store = known(self.store.as_mut())?;
        let rows_max = NAMES_MAX as u32;
        // One more than a page, to see whether there are more.
        let rows = store
            .names(list.of, list.number, list.after, rows_max + 1)
            .await?;
        Ok(NameRows::filled(rows, false))
    }

    async fn name(&mut self, set: &SetName) -> Result<NameSet, StoreError> {
        let store = known(self.store.as_mut())?;
        let before = store.set_name(set.of, set.number, set.name.as_deref()).await?;
        Ok(NameSet { before })
    }

    /// People say that what is held back is meant: the store is taken as it is, and pushed.
    async fn accept(&mut self, by: &str) -> Result<HeldAccepted, StoreError> {
        // What others changed is no part of it.
        self.publish(None);
        let held = self.keeper.held().0;
        if held == 0 {
            return Ok(HeldAccepted {
                released: 0,
                changed: 0,
            });
        }
        let accepted = self.keeper.accept(known(self.store.as_mut())?).await;
        let changed = self.keeper.changes_waiting() as u64;
        self.publish(None);
        let left = self.keeper.held().0;
        tracing::warn!(
            by,
            released = held - left,
            changed,
            left,
            "what was held back is accepted"
        );
        accepted?;
        self.store_answered();
        Ok(HeldAccepted {
            released: held,
            changed,
        })
    }

    fn answer_or_refuse<M: lars_wire::Message>(&mut self, done: Result<M, StoreError>, asker: &Asker) {
        match done {
            Ok(message) => self.answer(&message, asker, false),
            Err(error) => self.refuse(&error, asker),
        }
    }

    /// Tells why the store did not do what was asked.
    pub(super) fn refuse(&mut self, error: &StoreError, asker: &Asker) {
        let (reason, close) = match error {
            StoreError::Refused(_) => (Reason::Malformed, true),
            StoreError::Away(_) | StoreError::Unfit(_) => (Reason::Unavailable, false),
        };
        let refusal = Refusal {
            reason,
            text: bounded_text(error.to_string()),
        };
        self.answer(&refusal, asker, close);
    }
}

fn known(store: Option<&mut AnyStore>) -> Result<&mut AnyStore, StoreError> {
    store.ok_or_else(unreachable_now)
}
