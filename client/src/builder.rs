//! How a client is made: where its agent is, who it says it is, how long it waits.

use crate::client::Client;
use crate::connection::Deadline;
use crate::error::ClientError;
use crate::pool::Pool;
use lars_wire::bounds::CALLER_NAME_BYTES_MAX;
use std::path::PathBuf;
use std::time::Duration;

/// How long an operation may take where nothing else is said.
pub(crate) const TIMEOUT_DEFAULT: Duration = Duration::from_secs(1);
/// Connections of one client where nothing else is said: as many threads can ask at one moment.
const CONNECTIONS_MAX_DEFAULT: usize = 16;

/// What a client is made from. Made by [`Client::builder`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `connect`"]
pub struct Builder {
    path: Option<PathBuf>,
    name: Option<String>,
    timeout: Duration,
    connections_max: usize,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self {
            path: None,
            name: None,
            timeout: TIMEOUT_DEFAULT,
            connections_max: CONNECTIONS_MAX_DEFAULT,
        }
    }

    /// The agent's socket. Where it is not given: `LARS_AGENT`, else `agent.sock` in the folder `LARS_DATA`, else
    /// `lars-data/agent.sock`, as the `lars` command finds it.
    pub fn path(mut self, path: impl Into<PathBuf>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// The name that operators see; cut at 64 bytes. The program's own where it is not given.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// How long an operation may take; 1 s where it is not given. What is asked to wait takes its wait on top.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How many connections the client may open, at least 1; 16 where it is not given. Each thread that asks holds
    /// one for that moment; more threads wait for one.
    pub fn connections_max(mut self, connections_max: usize) -> Self {
        self.connections_max = connections_max;
        self
    }

    /// Makes the client and its first connection, so that an agent that is not there is told at once.
    pub fn connect(self) -> Result<Client, ClientError> {
        let path = self.path.unwrap_or_else(path_default);
        let name = bounded_name(self.name.unwrap_or_else(program_name));
        let pool = Pool::new(path, name, self.connections_max);
        drop(pool.check_out(Deadline::after(self.timeout))?);
        Ok(Client::new(pool, self.timeout))
    }
}

fn path_default() -> PathBuf {
    if let Some(path) = std::env::var_os("LARS_AGENT") {
        return path.into();
    }
    let data = std::env::var_os("LARS_DATA").map_or_else(|| PathBuf::from("lars-data"), PathBuf::from);
    data.join("agent.sock")
}

/// The running program's file name.
pub(crate) fn program_name() -> String {
    let program = std::env::current_exe().ok();
    let name = program.as_deref().and_then(|path| path.file_name());
    name.map_or_else(
        || "unnamed".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    )
}

/// Cuts a name at what a hello may carry, at a character's border.
pub(crate) fn bounded_name(mut name: String) -> String {
    name.truncate(name.floor_char_boundary(CALLER_NAME_BYTES_MAX));
    name
}
