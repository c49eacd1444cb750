//! Files of the control thread: whole reads, writes that are either there or not, and appending. By tokio-uring where
//! it runs; elsewhere by the standard library on a thread that may block.

mod blocking;
mod uring;

use crate::control::runtime;
use crate::cores::IoKind;
use bytes::Bytes;
use std::io;
use std::path::{Path, PathBuf};

/// The whole file, or `None` where there is none. Fails above `bytes_max`.
///
/// # Errors
/// What reading failed with; `FileTooLarge` above `bytes_max`, after at most one byte more was read.
pub async fn read(path: &Path, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
    let result = match runtime::kind() {
        IoKind::Uring => uring::read(path, bytes_max).await,
        IoKind::Epoll => {
            let path = path.to_owned();
            on_thread(move || blocking::read(&path, bytes_max)).await
        }
    };
    match result {
        Ok(content) if content.len() as u64 > bytes_max => {
            let text = format!("{} has more than {bytes_max} bytes", path.display());
            Err(io::Error::new(io::ErrorKind::FileTooLarge, text))
        }
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes `PATH.new`, syncs it, renames it over `path` and syncs the folder: after a crash the old or the new content
/// is there, never a mixture. One write of a path at a time.
///
/// # Errors
/// What one of these steps failed with. The old content is then still there, unless only the folder could not be
/// synced.
pub async fn write_atomic(path: &Path, content: Bytes) -> io::Result<()> {
    let place = Place::of(path)?;
    match runtime::kind() {
        IoKind::Uring => uring::write(&place, content).await,
        IoKind::Epoll => on_thread(move || blocking::write(&place, &content)).await,
    }
}

/// Writes `content` at `offset` of a file that is there and syncs it. Whoever appends knows how long the file is; what
/// a write that failed left behind that is overwritten by the next.
///
/// # Errors
/// What one of these steps failed with. Some of the content may then be in the file.
pub async fn write_at(path: &Path, offset: u64, content: Bytes) -> io::Result<()> {
    match runtime::kind() {
        IoKind::Uring => uring::write_at(path, offset, content).await,
        IoKind::Epoll => {
            let path = path.to_owned();
            on_thread(move || blocking::write_at(&path, offset, &content)).await
        }
    }
}

/// Removes a file and syncs its folder: after a crash it does not come back. One that is not there is removed already.
///
/// # Errors
/// What one of these steps failed with.
pub async fn remove(path: &Path) -> io::Result<()> {
    let place = Place::of(path)?;
    match runtime::kind() {
        IoKind::Uring => uring::remove(&place).await,
        IoKind::Epoll => on_thread(move || blocking::remove(&place)).await,
    }
}

/// Renames a file within its folder and syncs that.
///
/// # Errors
/// What one of these steps failed with.
pub async fn rename(path: &Path, name: &str) -> io::Result<()> {
    let place = Place::of(path)?;
    let to = place.folder.join(name);
    match runtime::kind() {
        IoKind::Uring => uring::rename(&place, &to).await,
        IoKind::Epoll => on_thread(move || blocking::rename(&place, &to)).await,
    }
}

/// The files of a folder, made where there is none: names (those in UTF-8) and lengths, in order of their names. The
/// kernel's ring has no operation for it, so a thread that may block does it in both cases.
///
/// # Errors
/// What making or reading the folder failed with.
pub async fn list(folder: &Path) -> io::Result<Vec<(String, u64)>> {
    let folder = folder.to_owned();
    on_thread(move || blocking::list(&folder)).await
}

/// The names that an atomic write needs.
struct Place {
    path: PathBuf,
    /// What is written first.
    new: PathBuf,
    folder: PathBuf,
}

impl Place {
    fn of(path: &Path) -> io::Result<Self> {
        let Some(name) = path.file_name() else {
            let text = format!("{} names no file", path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        };
        let mut new_name = name.to_owned();
        new_name.push(".new");
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        Ok(Self {
            path: path.to_owned(),
            new: folder.join(new_name),
            folder: folder.to_owned(),
        })
    }
}

async fn on_thread<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(io::Error::other(error)),
    }
}
