//! How a client is made: where its agent is, who it says it is, how long it waits.

use crate::client::{BoardSide, Client};
use crate::connection::Deadline;
use crate::endpoint::Endpoint;
use crate::error::ClientError;
use crate::link::Link;
use crate::pool::Pool;
use lars_board::{ForkWord, RING_RECORDS_DEFAULT};
use lars_wire::bounds::CALLER_NAME_BYTES_MAX;
use std::path::PathBuf;
use std::sync::Arc;
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
    board: bool,
    ring_records: u32,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self {
            path: None,
            name: None,
            timeout: TIMEOUT_DEFAULT,
            connections_max: CONNECTIONS_MAX_DEFAULT,
            board: true,
            ring_records: RING_RECORDS_DEFAULT,
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

    /// Whether picks may be made from the agent's board, in this process; true where it is not said. Not worth it for
    /// a program that picks once: the board costs a thread and some milliseconds to begin with.
    pub fn board(mut self, board: bool) -> Self {
        self.board = board;
        self
    }

    /// Reports that each thread's ring holds, 64 to 65,536 (a power of two; others are rounded up), 32 bytes each; 8,192
    /// where it is not given. While the agent is gone the ring fills; beyond it calls are summed up for each node.
    pub fn ring_records(mut self, ring_records: u32) -> Self {
        self.ring_records = ring_records;
        self
    }

    /// Where it will connect to.
    #[cfg(feature = "tokio")]
    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint::Unix(self.path.clone().unwrap_or_else(path_default))
    }

    /// Makes the client and its first connection, so that an agent that is not there is told at once. Where the agent
    /// lends its board but it cannot be fetched, the client asks over the socket and goes on trying.
    pub fn connect(self) -> Result<Client, ClientError> {
        let deadline = Deadline::after(self.timeout);
        let path = self.path.unwrap_or_else(path_default);
        let name = bounded_name(self.name.unwrap_or_else(program_name));
        let invalid = |error: std::io::Error| ClientError::Invalid {
            endpoint: Endpoint::Unix(path.clone()),
            what: format!("this process has no memory left: {error}"),
        };
        let fork = Arc::new(ForkWord::new().map_err(invalid)?);
        let pool = Pool::new(
            path.clone(),
            name.clone(),
            self.connections_max,
            Arc::clone(&fork),
        );
        let lends_board = pool.check_out(deadline)?.lends_board();
        let side = if self.board && lends_board {
            let link = Arc::new(Link::new(path.clone(), name, self.ring_records, fork));
            Some(BoardSide::new(link, deadline.at).map_err(invalid)?)
        } else {
            None
        };
        Ok(Client::new(pool, self.timeout, side))
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
