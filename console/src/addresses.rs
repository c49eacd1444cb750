//! `addresses.json` in the data folder: where the services of a `lars up` listen, for tools and scripts.

use serde::{Deserialize, Serialize};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The file's name in the data folder.
pub const FILE_NAME: &str = "addresses.json";

/// Where the services of one `lars up` listen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addresses {
    /// The agent's Unix socket.
    pub agent: PathBuf,
    /// The route directory.
    pub dns: SocketAddr,
    /// The record of calls.
    pub report: SocketAddr,
    /// The web page; none until there is one.
    pub console: Option<SocketAddr>,
    /// `/metrics`, `/healthz` and `/readyz`.
    pub admin: SocketAddr,
    /// UDP, for callers of the C++ Lars; empty where they are not served.
    #[serde(default)]
    pub compat: Vec<SocketAddr>,
}

impl Addresses {
    /// Reads the file of a data folder; none where there is no such file.
    pub fn read(data: &Path) -> io::Result<Option<Self>> {
        match std::fs::read(data.join(FILE_NAME)) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(io::Error::from),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes the file of a data folder: it is there whole or not at all.
    pub fn write(&self, data: &Path) -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        let new = data.join("addresses.json.new");
        std::fs::write(&new, text)?;
        std::fs::rename(new, data.join(FILE_NAME))
    }

    /// Removes the file: nothing listens there any more.
    pub fn remove(data: &Path) {
        // A file that is gone already is what is wanted.
        let _ = std::fs::remove_file(data.join(FILE_NAME));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_addresses_read_back_and_console_is_null() {
        let folder = tempfile::tempdir().expect("a folder");
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let addresses = Addresses {
            agent: PathBuf::from("/tmp/agent.sock"),
            dns: local(7778),
            report: local(7779),
            console: None,
            admin: local(7781),
            compat: vec![local(8888), local(8889), local(8890)],
        };
        assert_eq!(Addresses::read(folder.path()).expect("readable"), None);
        addresses.write(folder.path()).expect("written");
        let text = std::fs::read_to_string(folder.path().join(FILE_NAME)).expect("there");
        assert!(text.contains("\"console\": null"), "{text}");
        assert_eq!(Addresses::read(folder.path()).expect("readable"), Some(addresses));
    }
}
