//! Files by the standard library's calls, which block their thread.

use super::Place;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
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

pub(super) fn write_at(path: &Path, offset: u64, content: &[u8]) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    file.write_all_at(content, offset)?;
    file.sync_data()
}

pub(super) fn remove(place: &Place) -> io::Result<()> {
    match fs::remove_file(&place.path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(()) => File::open(&place.folder)?.sync_all(),
    }
}

pub(super) fn rename(place: &Place, to: &Path) -> io::Result<()> {
    fs::rename(&place.path, to)?;
    File::open(&place.folder)?.sync_all()
}

pub(super) fn list(folder: &Path) -> io::Result<Vec<(String, u64)>> {
    fs::create_dir_all(folder)?;
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (metadata, name) = (entry.metadata()?, entry.file_name());
        if let (true, Ok(name)) = (metadata.is_file(), name.into_string()) {
            files.push((name, metadata.len()));
        }
    }
    files.sort_unstable();
    Ok(files)
}

fn write_new(place: &Place, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(&place.new)?;
    file.write_all(content)?;
    file.sync_all()
}
