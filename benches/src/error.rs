//! Why a measurement could not be made.

use std::io;

/// Why a measurement could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The command line asks for what there is not: the caller's fault.
    #[error(
        "{0}; usage: mesh --bench [--quick] [--only PREFIX] [--peer NAME=udp:HOST:PORT] [--peer NAME=dns:HOST:PORT] [--check] [--save]"
    )]
    Usage(String),
    /// The system refused.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: String,
        /// What the system said.
        source: io::Error,
    },
    /// A process that the harness started did not do its part.
    #[error("the process '{role}' {what}")]
    Child {
        /// What it was started as.
        role: String,
        /// What it did instead.
        what: String,
    },
    /// A service answered something else than was asked for.
    #[error("unexpected answer: {0}")]
    Answer(String),
    /// The database refused.
    #[error("MariaDB: {0}")]
    Database(#[from] mysql_async::Error),
    /// Ratios are far worse than those that are written down.
    #[error("worse than the ratios in {place}: {names}")]
    Worse {
        /// The file.
        place: String,
        /// Which, and by how much.
        names: String,
    },
}

/// Names what was being done when the system refused.
pub trait Doing<T> {
    /// As [`BenchError::Io`].
    fn doing(self, doing: &str) -> Result<T, BenchError>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, doing: &str) -> Result<T, BenchError> {
        self.map_err(|source| BenchError::Io {
            doing: doing.to_owned(),
            source,
        })
    }
}
