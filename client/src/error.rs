//! What can go wrong between a program and Lars. The texts say what, where and what to do.

use crate::endpoint::Endpoint;
use lars_wire::ModuleId;
use lars_wire::admin::Reason;
use lars_wire::caller::Status;
use std::time::Duration;

/// Why a service was not reached, or did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// Nobody accepts connections there. Nobody's fault but the operator's.
    #[error("nothing answers at {endpoint} ({reason}): {}", .endpoint.advice())]
    NotRunning {
        /// Where it was tried.
        endpoint: Endpoint,
        /// The system's reason.
        reason: String,
    },
    /// No answer came in time: the service hangs, or is busier than the timeout allows.
    #[error("{endpoint} did not answer {asked} within {} ms: look at `lars status`, or allow more time", .after.as_millis())]
    Timeout {
        /// Who was asked.
        endpoint: Endpoint,
        /// What was asked.
        asked: &'static str,
        /// How long was waited.
        after: Duration,
    },
    /// The connection broke while the service was being asked; a second try on a new connection broke as well.
    #[error("{endpoint} closed the connection ({reason}): it is stopping or restarting, try again")]
    Lost {
        /// Who was asked.
        endpoint: Endpoint,
        /// The system's reason.
        reason: String,
    },
    /// The service said no.
    #[error("{endpoint} refused: {text} ({reason:?})")]
    Refused {
        /// Who refused.
        endpoint: Endpoint,
        /// Why, for programs.
        reason: Reason,
        /// Why, for people.
        text: String,
    },
    /// What came back is not the Lars protocol: something else listens there, or its version is another one.
    #[error("{endpoint} does not speak this Lars protocol ({what}): check the address and both versions")]
    Protocol {
        /// Who answered.
        endpoint: Endpoint,
        /// What was wrong with it.
        what: String,
    },
    /// The caller asked for what cannot be sent.
    #[error("cannot ask {endpoint} that: {what}")]
    Invalid {
        /// Who was to be asked.
        endpoint: Endpoint,
        /// What is wrong with it.
        what: String,
    },
    /// The client belongs to the parent of this process: both would write to the same connections and rings.
    #[error("this client of {endpoint} was made before a fork: make a new one in the child process")]
    Forked {
        /// The agent.
        endpoint: Endpoint,
    },
    /// Connections broke behind reports that no flush had confirmed, and the agent may have taken them or not; or calls went to more
    /// nodes than this process sums up while the agent takes none.
    #[error(
        "{endpoint} restarted, hung or could not keep up: {reports} reports sent before may not have been counted"
    )]
    Unsure {
        /// The agent.
        endpoint: Endpoint,
        /// How many reports.
        reports: u64,
    },
}

/// Why there is no node to call, or no route to show.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PickError {
    /// Every node is overloaded.
    #[error("every node of module {module} is overloaded: do not call now, try again later")]
    Overloaded {
        /// The module.
        module: ModuleId,
    },
    /// dns does not know the module.
    #[error("module {module} does not exist: add a node with `lars route add {} {} IP:PORT`", .module.modid, .module.cmdid)]
    NotFound {
        /// The module.
        module: ModuleId,
    },
    /// The first route is not here yet.
    #[error(
        "the first route of module {module} is not here yet: wait for it with `register`, or look at `lars status` for the link to dns"
    )]
    Pending {
        /// The module.
        module: ModuleId,
    },
    /// The agent cannot answer for this module.
    #[error("the agent cannot answer for module {module}: `lars status` and its log tell why")]
    Failed {
        /// The module.
        module: ModuleId,
    },
    /// The agent was not reached.
    #[error(transparent)]
    Client(#[from] ClientError),
}

impl PickError {
    /// The error that a status other than ok stands for.
    pub(crate) fn unless_ok(status: Status, module: ModuleId) -> Result<(), Self> {
        match status {
            Status::Ok => Ok(()),
            Status::Overloaded => Err(Self::Overloaded { module }),
            Status::NotFound => Err(Self::NotFound { module }),
            Status::Pending => Err(Self::Pending { module }),
            Status::Failed => Err(Self::Failed { module }),
        }
    }
}
