//! Keeps the store: opens it, notes how it does, backs off while it is away, and tells people once each way.

use crate::stats::ControlCounts;
use crate::status::StoreState;
use lars_store::{AnyStore, StoreConfig, StoreError};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The first pause after a failure; it doubles up to [`BACKOFF_MAX`].
const BACKOFF_MIN: Duration = Duration::from_millis(100);
/// The longest pause.
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// How the first try to open went.
#[derive(Debug)]
pub(crate) enum Opened {
    /// It is open.
    Up,
    /// It is away; it is tried again.
    Away,
    /// It refuses, and will again.
    Unfit(StoreError),
}

/// The store, or the next try to have it.
pub(super) struct Keeper {
    config: StoreConfig,
    store: Option<AnyStore>,
    state: Arc<StoreState>,
    counts: Arc<ControlCounts>,
    pause: Duration,
    next_try: Instant,
}

impl Keeper {
    pub(super) fn new(config: StoreConfig, state: Arc<StoreState>, counts: Arc<ControlCounts>) -> Self {
        state.named(config.describe());
        Self {
            config,
            store: None,
            state,
            counts,
            pause: BACKOFF_MIN,
            next_try: Instant::now(),
        }
    }

    /// The first try.
    pub(super) async fn open_first(&mut self) -> Opened {
        match AnyStore::open(&self.config).await {
            Ok(store) => {
                self.store = Some(store);
                self.went_through();
                Opened::Up
            }
            Err(error @ StoreError::Away(_)) => {
                self.failed(&error);
                Opened::Away
            }
            Err(error) => Opened::Unfit(error),
        }
    }

    /// Whether the last call went through.
    pub(super) fn is_up(&self) -> bool {
        self.state.is_up()
    }

    /// The store, opened anew where the last call found it unfit; none while it cannot be.
    pub(super) async fn store(&mut self) -> Option<&mut AnyStore> {
        if self.store.is_none() {
            match AnyStore::open(&self.config).await {
                Ok(store) => {
                    self.store = Some(store);
                    self.went_through();
                }
                Err(error) => self.failed(&error),
            }
        }
        self.store.as_mut()
    }

    /// A call went through.
    pub(super) fn went_through(&mut self) {
        self.pause = BACKOFF_MIN;
        self.next_try = Instant::now();
        if self.state.is_up() {
            // A database may have been migrated meanwhile.
            if let Some(store) = &self.store {
                self.state.named(store.describe());
            }
            return;
        }
        if let Some(store) = &self.store {
            tracing::info!(store = store.describe(), "the store takes what it is given");
            self.state.up(store.describe());
            self.counts.store_up.set(1);
        }
    }

    /// A call failed: the next waits for a while.
    pub(super) fn failed(&mut self, error: &StoreError) {
        self.counts.store_errors.add(1);
        if self.state.is_up() || self.pause == BACKOFF_MIN {
            tracing::warn!(%error, "the store is away; acknowledgements are held back until it returns");
        }
        // What is unfit may be mended meanwhile, but hardly behind the same connection.
        if !matches!(error, StoreError::Away(_)) {
            self.store = None;
        }
        self.state.down(error.to_string());
        self.counts.store_up.set(0);
        self.next_try = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(BACKOFF_MAX);
    }

    /// When the next call may be made.
    pub(super) fn next_try(&self) -> Instant {
        self.next_try
    }

    /// Whether a call may be made now.
    pub(super) fn is_due(&self) -> bool {
        self.next_try <= Instant::now()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pause(keeper: &mut Keeper) -> Duration {
        let before = Instant::now();
        keeper.failed(&StoreError::Away("held".to_owned()));
        assert!(!keeper.is_due() && !keeper.is_up());
        // What passed in between is less than a pause.
        (keeper.next_try() - before).min(BACKOFF_MAX)
    }

    #[test]
    fn pauses_double_to_their_bound_and_start_anew_when_the_store_is_back() {
        let config = StoreConfig {
            sqlite_path: "/nowhere/lars.sqlite".into(),
            ..StoreConfig::default()
        };
        let mut keeper = Keeper::new(config, Arc::default(), Arc::default());
        for expected_ms in [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000] {
            let expected = Duration::from_millis(expected_ms);
            assert!(
                (expected..expected * 3 / 2).contains(&pause(&mut keeper)),
                "{expected:?}"
            );
        }
        keeper.went_through();
        assert!(keeper.is_due());
        assert!(pause(&mut keeper) < BACKOFF_MIN * 2);
    }
}
