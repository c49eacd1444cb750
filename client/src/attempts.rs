//! Retry elsewhere: the tries of one call, each at a node that was not tried yet, and where they end. A file of its own
//! because a pick knows nothing of the one before it: the memory stands here.

use crate::call::Call;
use crate::client::{Client, PickOptions};
use crate::error::PickError;
use crate::picker::Picker;
use lars_wire::ModuleId;
use lars_wire::bounds::AVOID_MAX;
use lars_wire::caller::Avoid;
use std::fmt;
use std::time::Duration;

/// Tries of one call where nothing else is said: two nodes that fail one after the other are seldom chance, three are
/// a fault that a fourth try does not mend.
const TRIES_MAX_DEFAULT: usize = 3;

/// The tries of one call. Made by [`Client::attempts`] or [`Picker::attempts`].
///
/// ```no_run
/// # use lars_client::{AttemptError, Client, ModuleId, NodeAddr};
/// # fn talk(node: NodeAddr) -> Result<String, std::io::Error> { Ok(node.to_string()) }
/// # fn ask(client: &Client) -> Result<String, Box<dyn std::error::Error>> {
/// let mut attempts = client.attempts(ModuleId::new(1, 1));
/// loop {
///     // Ends with an error that says why: tries used up, no node left, or the module has had its share of retries.
///     let call = attempts.pick()?;
///     match talk(call.node()) {
///         Ok(answer) => {
///             call.ok()?;
///             return Ok(answer);
///         }
///         Err(_) => call.failed(-1)?,
///     }
/// }
/// # }
/// ```
///
/// Report each failed try before the next pick: what one try taught is known to the other callers then. Only calls
/// that may be made twice may be retried; that is the caller's to know.
pub struct Attempts<'a> {
    source: Source<'a>,
    module: ModuleId,
    key: Option<u64>,
    wait: Duration,
    tried: Avoid,
    tries: usize,
    tries_max: usize,
}

/// Who picks.
enum Source<'a> {
    Client(&'a Client),
    Picker(&'a mut Picker),
}

/// Why there is no further try.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttemptError {
    /// As many tries as were allowed have been made.
    #[error("module {module}: {tries} tries were made, no more are allowed for one call")]
    TriesUsed {
        /// The module.
        module: ModuleId,
        /// How many.
        tries: usize,
    },
    /// Every node that takes calls was tried.
    #[error("module {module}: every node that takes calls was tried ({tries})")]
    NoOtherNode {
        /// The module.
        module: ModuleId,
        /// How many.
        tries: usize,
    },
    /// The module has had its share of retries of late (see `retry_percent` in the agent's `[policy]`), or no node of
    /// it takes calls any more. More retries would add load to what already fails: give the error to who asked.
    #[error(
        "module {module}: no more retries now, too many of its calls were retried of late or no node is left"
    )]
    BudgetSpent {
        /// The module.
        module: ModuleId,
        /// Tries made so far.
        tries: usize,
    },
    /// The first pick failed, or a later one for a reason that has nothing to do with retries.
    #[error(transparent)]
    Pick(#[from] PickError),
}

impl<'a> Attempts<'a> {
    pub(crate) fn of_client(client: &'a Client, module: ModuleId) -> Self {
        Self::new(Source::Client(client), module)
    }

    pub(crate) fn of_picker(picker: &'a mut Picker, module: ModuleId) -> Self {
        Self::new(Source::Picker(picker), module)
    }

    fn new(source: Source<'a>, module: ModuleId) -> Self {
        Self {
            source,
            module,
            key: None,
            wait: Duration::ZERO,
            tried: Avoid::NONE,
            tries: 0,
            tries_max: TRIES_MAX_DEFAULT,
        }
    }

    /// As [`PickOptions::key`].
    #[must_use]
    pub fn key(mut self, key: u64) -> Self {
        self.key = Some(key);
        self
    }

    /// As [`PickOptions::wait`], for the first try.
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// How many tries the call may have, the first counted in: 1 to 9 (a pick can avoid 8 nodes), 3 where it is not
    /// said.
    #[must_use]
    pub fn tries_max(mut self, tries_max: usize) -> Self {
        self.tries_max = tries_max.clamp(1, AVOID_MAX + 1);
        self
    }

    /// Tries made so far.
    pub fn tries(&self) -> usize {
        self.tries
    }

    /// The next node to try.
    pub fn pick(&mut self) -> Result<Call, AttemptError> {
        let (module, wait) = (self.module, self.next_wait()?);
        let (key, avoid) = (self.key, self.tried.as_slice());
        let options = PickOptions { key, avoid, wait };
        let picked = match &mut self.source {
            Source::Client(client) => client.pick_with(module, options),
            Source::Picker(picker) => picker.pick_with(module, options),
        };
        self.judge(picked)
    }

    /// As [`Self::pick`], with a call as [`Client::pick_async`] gives it.
    #[cfg(feature = "tokio")]
    pub async fn pick_async(&mut self) -> Result<Call, AttemptError> {
        let (module, wait) = (self.module, self.next_wait()?);
        let (key, avoid) = (self.key, self.tried.as_slice());
        let options = PickOptions { key, avoid, wait };
        let picked = match &mut self.source {
            Source::Client(client) => client.pick_with_async(module, options).await,
            Source::Picker(picker) => picker.pick_with_async(module, options).await,
        };
        self.judge(picked)
    }

    /// Whether there may be another try, and how long it may wait for the first route.
    fn next_wait(&self) -> Result<Duration, AttemptError> {
        let (module, tries) = (self.module, self.tries);
        match tries {
            _ if tries >= self.tries_max => Err(AttemptError::TriesUsed { module, tries }),
            0 => Ok(self.wait),
            _ => Ok(Duration::ZERO),
        }
    }

    /// What came of a pick, as a try.
    fn judge(&mut self, picked: Result<Call, PickError>) -> Result<Call, AttemptError> {
        let (module, tries) = (self.module, self.tries);
        let call = match picked {
            Err(PickError::Overloaded { .. }) if tries > 0 => {
                return Err(AttemptError::BudgetSpent { module, tries });
            }
            other => other?,
        };
        // A pick avoids what was tried as far as it can: where it cannot, the call is given up before it is made.
        if self.tried.as_slice().contains(&call.node()) {
            return Err(AttemptError::NoOtherNode { module, tries });
        }
        self.tried.push(call.node());
        self.tries += 1;
        Ok(call)
    }
}

impl fmt::Debug for Attempts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempts")
            .field("module", &self.module)
            .field("tried", &self.tried.as_slice())
            .field("tries_max", &self.tries_max)
            .finish_non_exhaustive()
    }
}
