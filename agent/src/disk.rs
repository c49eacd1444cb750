//! The last good routes as they stand on disk: read before the sockets listen, so that picks work with no dns.

use lars_shard::{RouteBook, RouteNews};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The largest file that is believed. A million nodes take some 25 MB.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// What the disk remembered.
pub(crate) struct Remembered {
    /// The book, for the control thread.
    pub book: RouteBook,
    /// Its routes, for their owners.
    pub news: Vec<RouteNews>,
}

/// Reads the file. A missing one is an empty book; a damaged one too, told in one warning and put aside.
pub(crate) fn load(path: &Path) -> Remembered {
    let empty = || Remembered {
        book: RouteBook::new(),
        news: Vec::new(),
    };
    let read = match read(path) {
        Ok(None) => return empty(),
        Ok(Some(bytes)) => RouteBook::from_disk(&bytes),
        Err(error) => Err(error.to_string()),
    };
    match read {
        Ok((book, news)) => {
            tracing::info!(path = %path.display(), modules = news.len(), "routes are known from disk");
            Remembered { book, news }
        }
        Err(error) => {
            let aside = put_aside(path);
            tracing::warn!(path = %path.display(), error, aside,
                "the file of the last good routes is damaged and ignored: modules are unknown until dns answers");
            empty()
        }
    }
}

fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::metadata(path) {
        Ok(file) if file.len() > FILE_BYTES_MAX => {
            let text = format!("{} bytes: at most {FILE_BYTES_MAX} are read", file.len());
            Err(io::Error::new(io::ErrorKind::FileTooLarge, text))
        }
        Ok(_) => fs::read(path).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Renames the file, so that it can be looked at and is not met again; says to what, or why not.
fn put_aside(path: &Path) -> String {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".damaged");
    let aside = PathBuf::from(aside);
    match fs::rename(path, &aside) {
        Ok(()) => format!("renamed to {}", aside.display()),
        Err(error) => format!("not renamed: {error}"),
    }
}
