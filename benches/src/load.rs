//! The asking side. Blocking sockets on one thread, on a processor of its own: nothing cheaper could ask.

pub mod latency;
pub mod rate;

use crate::error::{BenchError, Doing};
use crate::exchange::Ask;
use crate::greeting::{ANSWER_WITHIN, greet, register};
use lars_wire::ModuleId;
use serde::{Deserialize, Serialize};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

/// Modules that a load asks about, one a connection, in turn.
pub const MODULES: u32 = 16;

/// Whom to ask, and what.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Target {
    /// The server's Unix socket.
    pub socket: PathBuf,
    /// The server's process.
    pub process: u32,
    /// Whether it is an agent, which is greeted and must know the modules; an echo is not.
    pub is_agent: bool,
    /// What is asked.
    pub ask: Ask,
}

/// The module that connection `number` asks about.
pub fn module(number: u32) -> ModuleId {
    ModuleId::new(100, number % MODULES)
}

impl Target {
    /// Connects; an agent then has the route of connection `number`'s module.
    ///
    /// # Errors
    /// The server does not answer as it should.
    pub fn connect(&self, number: u32) -> Result<UnixStream, BenchError> {
        let mut stream = UnixStream::connect(&self.socket).doing(&self.socket.display().to_string())?;
        stream
            .set_read_timeout(Some(ANSWER_WITHIN))
            .doing("set a time-out")?;
        if self.is_agent {
            greet(&mut stream)?;
            register(&mut stream, module(number))?;
        }
        Ok(stream)
    }
}
