//! Files of the control thread: whole reads, and writes that are either there or not.

use bytes::Bytes;
use std::io;
use std::path::Path;

/// The whole file, or `None` where there is none. Fails above `bytes_max`.
pub async fn read(path: &Path, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
    let _ = (path, bytes_max);
    todo!()
}

/// Writes `PATH.new`, syncs it, renames it over `path` and syncs the folder: after a crash the old or the new content
/// is there, never a mixture.
pub async fn write_atomic(path: &Path, content: Bytes) -> io::Result<()> {
    let _ = (path, content);
    todo!()
}
