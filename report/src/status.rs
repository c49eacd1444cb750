//! How report does: whether the store takes what it is given, and the answer to who asks.

use crate::stats::ReportStats;
use lars_pool::IoInUse;
use lars_wire::admin::{LinkState, LinkStatus, StatusText, bounded_text};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// The store as the control thread sees it. Written when it changes, read when somebody asks.
#[derive(Debug, Default)]
pub(crate) struct StoreState {
    up: AtomicBool,
    /// Which store, and the last failure (empty for none since it is up).
    words: Mutex<(String, String)>,
}

impl StoreState {
    /// It is called so, until it says more itself.
    pub(crate) fn named(&self, describe: String) {
        self.words.lock().unwrap_or_else(PoisonError::into_inner).0 = describe;
    }

    /// It took what it was given.
    pub(crate) fn up(&self, describe: String) {
        *self.words.lock().unwrap_or_else(PoisonError::into_inner) = (describe, String::new());
        self.up.store(true, Ordering::Release);
    }

    /// It did not, and why.
    pub(crate) fn down(&self, error: String) {
        self.up.store(false, Ordering::Release);
        self.words.lock().unwrap_or_else(PoisonError::into_inner).1 = error;
    }

    /// Whether it takes what it is given.
    pub(crate) fn is_up(&self) -> bool {
        self.up.load(Ordering::Acquire)
    }

    fn words(&self) -> (String, String) {
        self.words.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What a status is made of. Clones show the same service.
#[derive(Clone, Debug)]
pub(crate) struct StatusSource {
    /// The counts.
    pub stats: ReportStats,
    /// The store.
    pub store: Arc<StoreState>,
    /// How bytes are moved, known once the cores run.
    pub io: Arc<OnceLock<IoInUse>>,
    /// How long history is kept.
    pub history_retention_days: u32,
}

impl StatusSource {
    /// The status as it stands now.
    pub(crate) fn text(&self) -> StatusText {
        let io = self.io.get();
        let (store, error) = self.store.words();
        let (note, state) = if self.store.is_up() {
            (store.clone(), LinkState::Up)
        } else {
            (
                format!("{store} is away, acknowledgements are held back: {error}"),
                LinkState::BackingOff,
            )
        };
        let retention = format!("{} days", self.history_retention_days);
        StatusText {
            service: "report".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            io: io.map_or("", |io| io.kind.name()).to_owned(),
            io_reason: bounded_text(io.map_or_else(String::new, |io| io.reason.clone())),
            counts: self.stats.named(),
            notes: vec![
                ("store".to_owned(), bounded_text(note)),
                ("history".to_owned(), retention),
            ],
            links: vec![LinkStatus {
                to: "store".to_owned(),
                addr: bounded_text(store),
                state,
                error: bounded_text(error),
            }],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source() -> StatusSource {
        StatusSource {
            stats: ReportStats::new(Arc::new([lars_pool::CoreStats::default()])),
            store: Arc::default(),
            io: Arc::default(),
            history_retention_days: 7,
        }
    }

    #[test]
    fn store_that_is_away_is_named_with_its_reason() {
        let source = source();
        source.store.named("sqlite x".to_owned());
        assert!(source.text().notes[0].1.starts_with("sqlite x is away"));
        source.store.up("sqlite x, schema 1".to_owned());
        assert_eq!(
            source.text().notes[0],
            ("store".to_owned(), "sqlite x, schema 1".to_owned())
        );
        source.store.down("disk full".to_owned());
        let text = source.text();
        assert!(
            text.notes[0].1.contains("sqlite x") && text.notes[0].1.contains("disk full"),
            "{:?}",
            text.notes
        );
        assert_eq!(
            (text.links[0].state, text.links[0].error.as_str()),
            (LinkState::BackingOff, "disk full")
        );
        source.store.up("sqlite x, schema 1".to_owned());
        assert_eq!(
            (
                source.text().links[0].state,
                source.text().links[0].error.as_str()
            ),
            (LinkState::Up, "")
        );
    }
}
