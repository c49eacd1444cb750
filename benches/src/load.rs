//! The asking side. Blocking sockets on one thread, on a processor of its own: nothing cheaper could ask.

pub mod bare;
pub mod board;
pub mod change;
pub mod chase;
pub mod datagram;
pub mod fanout;
pub mod flood;
pub mod idle;
pub mod latency;
pub mod old_callers;
pub mod open;
pub mod place;
pub mod rate;
pub mod srv;

use crate::error::BenchError;
use crate::exchange::Ask;
use crate::greeting::{greet, register};
use lars_wire::ModuleId;
use place::{Place, Stream};
use serde::{Deserialize, Serialize};

/// Modules that a load asks about, one a connection, in turn.
pub const MODULES: u32 = 16;

/// What a server must be told before it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServerKind {
    /// Nothing.
    Echo,
    /// A greeting.
    Dns,
    /// A greeting, and which module will be asked about.
    Agent,
}

/// Whom to ask, and what.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Target {
    /// Where the server listens.
    pub place: Place,
    /// The server's process.
    pub process: u32,
    /// What it is.
    pub kind: ServerKind,
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
    pub fn connect(&self, number: u32) -> Result<Stream, BenchError> {
        let mut stream = self.place.connect()?;
        if self.kind != ServerKind::Echo {
            greet(&mut stream)?;
        }
        if self.kind == ServerKind::Agent {
            register(&mut stream, module(number))?;
        }
        Ok(stream)
    }
}
