//! How a command ends: exit codes that scripts can rely on, and errors that say what, where and what to do.

use lars_agent::AgentError;
use lars_client::{ClientError, PickError, Reason};
use lars_dns::DnsError;
use lars_report::ReportError;
use std::fmt;
use std::process::ExitCode;

/// Exit codes, the same for every subcommand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    /// Done.
    Ok = 0,
    /// Anything that has no code of its own.
    Other = 1,
    /// Wrong arguments or a wrong configuration.
    Usage = 2,
    /// The module or node does not exist.
    NotFound = 3,
    /// Every node of the module is overloaded.
    Overloaded = 4,
    /// A service cannot be reached, or did not answer in time.
    Unreachable = 5,
}

/// Why a command did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The exit code.
    pub code: Code,
    /// For people: what, where, what to do. Empty where everything was said on standard output already.
    pub text: String,
}

impl Failure {
    /// A failure with a text.
    pub fn new(code: Code, text: impl Into<String>) -> Self {
        Self {
            code,
            text: text.into(),
        }
    }

    /// Wrong arguments or configuration.
    pub fn usage(text: impl Into<String>) -> Self {
        Self::new(Code::Usage, text)
    }

    /// Anything else.
    pub fn other(text: impl Into<String>) -> Self {
        Self::new(Code::Other, text)
    }

    /// An exit code whose reason stands on standard output already.
    pub fn silent(code: Code) -> Self {
        Self::new(code, "")
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let code = match &error {
            ClientError::NotRunning { .. } | ClientError::Timeout { .. } | ClientError::Lost { .. } => {
                Code::Unreachable
            }
            ClientError::Refused {
                reason: Reason::Unavailable,
                ..
            } => Code::Unreachable,
            ClientError::Invalid { .. } => Code::Usage,
            ClientError::Refused { .. }
            | ClientError::Protocol { .. }
            | ClientError::Forked { .. }
            | ClientError::Unsure { .. } => Code::Other,
        };
        Self::new(code, error.to_string())
    }
}

impl From<PickError> for Failure {
    fn from(error: PickError) -> Self {
        let code = match error {
            PickError::Overloaded { .. } => Code::Overloaded,
            PickError::NotFound { .. } => Code::NotFound,
            PickError::Pending { .. } => Code::Unreachable,
            PickError::Failed { .. } => Code::Other,
            PickError::Client(error) => return error.into(),
        };
        Self::new(code, error.to_string())
    }
}

impl From<AgentError> for Failure {
    fn from(error: AgentError) -> Self {
        let code = if matches!(error, AgentError::Config(_)) {
            Code::Usage
        } else {
            Code::Other
        };
        Self::new(code, format!("the agent does not start: {error}"))
    }
}

impl From<DnsError> for Failure {
    fn from(error: DnsError) -> Self {
        let code = match error {
            DnsError::Config(_) | DnsError::Store(_) => Code::Usage,
            DnsError::Listen { .. } | DnsError::System { .. } => Code::Other,
        };
        Self::new(code, format!("dns does not start: {error}"))
    }
}

impl From<ReportError> for Failure {
    fn from(error: ReportError) -> Self {
        let code = match error {
            ReportError::Config(_) | ReportError::Store(_) => Code::Usage,
            ReportError::Listen { .. } | ReportError::System { .. } => Code::Other,
        };
        Self::new(code, format!("report does not start: {error}"))
    }
}

/// Ends a command: the failure's text goes to standard error.
pub fn exit_code(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.text.is_empty() {
                eprintln!("lars: {}", failure.text);
            }
            ExitCode::from(failure.code as u8)
        }
    }
}
