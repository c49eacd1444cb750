//! Files by the standard library's calls, which block their thread.

use super::Place;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

/// The file's first bytes: `bytes_max` and one more.
pub(super) fn read(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    File::open(path)?
        .take(bytes_max.saturating_add(1))
        .read_to_end(&mut content)?;
    Ok(content)
}

pub(super) fn write(place: &Place, content: &[u8]) -> io::Result<()> {
    match fs::remove_file(&place.new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let replaced = write_new(place, content).and_then(|()| fs::rename(&place.new, &place.path));
    if replaced.is_err() {
        // Best effort: the next write removes it first.
        let _ = fs::remove_file(&place.new);
    }
    replaced?;
    File::open(&place.folder)?.sync_all()
}

fn write_new(place: &Place, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(&place.new)?;
    file.write_all(content)?;
    file.sync_all()
}
