//! The file of the last good routes: what a page looks like on the wire, it looks like here, between a head that
//! says what file it is and a checksum that says that it is whole.

use super::Said;
use crate::checksum::checksum;
use lars_wire::bounds::FRAME_BYTES_MAX;
use lars_wire::caller::Status;
use lars_wire::directory::{RouteHead, RoutePage, pages};
use lars_wire::{ModuleId, codec, frame};

/// The first bytes of the file.
const MAGIC: [u8; 8] = *b"LARSROUT";
/// The format that is written, and the only one that is read.
const FORMAT: u32 = 1;
/// Bytes of magic and format.
const HEAD_BYTES: usize = 12;

/// The file's bytes.
pub(super) fn write<'a>(routes: impl Iterator<Item = (ModuleId, &'a Said)>) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&FORMAT.to_le_bytes());
    let mut space = vec![0; FRAME_BYTES_MAX];
    for (module, said) in routes {
        let head = RouteHead {
            module,
            status: Status::Ok,
            instance: said.instance,
            version: said.version,
            // What was good is good after a restart: it is not to be held back.
            explained: true,
        };
        for page in pages(head, &said.route) {
            // A page fits a frame by its bounds, which were judged where the route came in.
            if let Ok(length) = codec::encode(&page, 0, &mut space) {
                bytes.extend_from_slice(&space[..length]);
            }
        }
    }
    let end = checksum(&bytes);
    bytes.extend_from_slice(&end.to_le_bytes());
    bytes
}

/// The file's pages, each still to be judged; fails where the file as a whole is not what was written.
pub(super) fn read(bytes: &[u8]) -> Result<impl Iterator<Item = Result<RoutePage, String>> + '_, String> {
    let Some((content, end)) = bytes.split_last_chunk::<8>() else {
        return Err(format!("{} bytes are too few for a file of routes", bytes.len()));
    };
    if content.len() < HEAD_BYTES || content[..8] != MAGIC {
        return Err("it does not start as a file of routes".to_owned());
    }
    if checksum(content) != u64::from_le_bytes(*end) {
        return Err("its checksum does not fit: it is damaged or was cut off".to_owned());
    }
    if content[8..HEAD_BYTES] != FORMAT.to_le_bytes() {
        return Err(format!(
            "it is of another format than {FORMAT}: another version of Lars wrote it"
        ));
    }
    let mut rest = &content[HEAD_BYTES..];
    Ok(std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let page = cut_page(&mut rest);
        if page.is_err() {
            rest = &[];
        }
        Some(page)
    }))
}

fn cut_page(rest: &mut &[u8]) -> Result<RoutePage, String> {
    let frame = frame::split(rest).map_err(|error| error.to_string())?;
    let frame = frame.ok_or("its last page is cut off")?;
    if frame.header.kind != lars_wire::Kind::RoutePage {
        return Err(format!("it holds a {:?}", frame.header.kind));
    }
    let page = codec::decode(frame.body).map_err(|error| error.to_string())?;
    *rest = &rest[frame.bytes()..];
    Ok(page)
}
