//! Files by tokio-uring: no step blocks the thread.

use super::Place;
use bytes::Bytes;
use std::io;
use std::path::Path;
use tokio_uring::fs::{self, File, OpenOptions};

/// Bytes of one read.
const READ_BYTES: usize = 64 * 1024;

/// The file's first bytes: `bytes_max` and one more.
pub(super) async fn read(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let file = File::open(path).await?;
    let result = read_open(&file, bytes_max.saturating_add(1)).await;
    file.close().await?;
    result
}

async fn read_open(file: &File, bytes_max: u64) -> io::Result<Vec<u8>> {
    let (mut content, mut piece) = (Vec::new(), Vec::with_capacity(READ_BYTES));
    while (content.len() as u64) < bytes_max {
        piece.clear();
        let (result, filled) = file.read_at(piece, content.len() as u64).await;
        piece = filled;
        if result? == 0 {
            break;
        }
        let wanted = bytes_max - content.len() as u64;
        let kept = usize::try_from(wanted).map_or(piece.len(), |wanted| wanted.min(piece.len()));
        content.extend_from_slice(&piece[..kept]);
    }
    Ok(content)
}

pub(super) async fn write(place: &Place, content: Bytes) -> io::Result<()> {
    // Made anew each time: a write that was dropped half-way may still be on its way into the old one.
    match fs::remove_file(&place.new).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let replaced = match write_new(place, content).await {
        Ok(()) => fs::rename(&place.new, &place.path).await,
        Err(error) => Err(error),
    };
    if replaced.is_err() {
        // Best effort: the next write removes it first.
        let _ = fs::remove_file(&place.new).await;
    }
    replaced?;
    sync_folder(place).await
}

pub(super) async fn write_at(path: &Path, offset: u64, content: Bytes) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path).await?;
    let written = match file.write_all_at(content, offset).await.0 {
        Ok(()) => file.sync_data().await,
        Err(error) => Err(error),
    };
    file.close().await?;
    written
}

pub(super) async fn remove(place: &Place) -> io::Result<()> {
    match fs::remove_file(&place.path).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(()) => sync_folder(place).await,
    }
}

pub(super) async fn rename(place: &Place, to: &Path) -> io::Result<()> {
    fs::rename(&place.path, to).await?;
    sync_folder(place).await
}

async fn sync_folder(place: &Place) -> io::Result<()> {
    let folder = File::open(&place.folder).await?;
    let synced = folder.sync_all().await;
    folder.close().await?;
    synced
}

async fn write_new(place: &Place, content: Bytes) -> io::Result<()> {
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&place.new)
        .await?;
    let written = match file.write_all_at(content, 0).await.0 {
        Ok(()) => file.sync_all().await,
        Err(error) => Err(error),
    };
    file.close().await?;
    written
}
