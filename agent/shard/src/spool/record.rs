//! The bytes of a spool's files. A file starts with what it is; then follow records, each a checksum, a Unix time in
//! milliseconds and a batch as it goes over the wire. A record that is cut off or damaged ends the file.

use crate::checksum::checksum;
use lars_wire::bounds::{FRAME_BYTES_MAX, TALLIES_MAX};
use lars_wire::record::{Tally, TallyBatch};
use lars_wire::{codec, frame};

/// The first bytes of a file: its kind, and the format that is written and the only one that is read.
const HEAD: [u8; 12] = *b"LARSSPOL\x01\0\0\0";
/// Bytes before a record's batch: checksum, time.
const RECORD_HEAD_BYTES: usize = 16;
/// Bytes of a tally and of a batch without any, both with some to spare.
const TALLY_BYTES: usize = 80;
const BATCH_BYTES: usize = 128;
/// Bytes of a file that is believed: what an outbox of 65,536 tallies gives fits many times.
pub const FILE_BYTES_MAX: u64 = 64 << 20;

/// A batch and when it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// Unix time in milliseconds: ages in the batch are as of then.
    pub unix_ms: u64,
    /// Its own age is 0.
    pub batch: TallyBatch,
}

/// The file ends here, and not where a record ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Torn;

/// A file without records.
pub(super) fn head() -> Vec<u8> {
    HEAD.to_vec()
}

/// Where the first record of a file stands.
pub(super) fn first(file: &[u8]) -> Result<usize, Torn> {
    if file.starts_with(&HEAD) {
        Ok(HEAD.len())
    } else {
        Err(Torn)
    }
}

/// Appends a record.
pub(super) fn append(out: &mut Vec<u8>, unix_ms: u64, batch: &TallyBatch) {
    let start = out.len();
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(&unix_ms.to_le_bytes());
    let body = out.len();
    // A batch of at most TALLIES_MAX fits a frame: the protocol's bounds hold that at compile time.
    let room = BATCH_BYTES + batch.tallies.len() * TALLY_BYTES;
    out.resize(body + room.min(FRAME_BYTES_MAX), 0);
    let bytes = codec::encode(batch, 0, &mut out[body..]).unwrap_or(0);
    debug_assert!(bytes > 0, "a batch fits a frame");
    out.truncate(body + bytes);
    let sum = checksum(&out[start + 8..]);
    out[start..start + 8].copy_from_slice(&sum.to_le_bytes());
}

/// Cuts the record at `offset`; moves `offset` behind it. None at the file's end.
pub(super) fn cut(file: &[u8], offset: &mut usize) -> Result<Option<Record>, Torn> {
    let rest = file.get(*offset..).ok_or(Torn)?;
    if rest.is_empty() {
        return Ok(None);
    }
    let (head, body) = rest.split_at_checked(RECORD_HEAD_BYTES).ok_or(Torn)?;
    let frame = frame::split(body).ok().flatten().ok_or(Torn)?;
    let end = RECORD_HEAD_BYTES + frame.bytes();
    if checksum(&rest[8..end]).to_le_bytes() != head[..8] || frame.header.kind != lars_wire::Kind::TallyBatch
    {
        return Err(Torn);
    }
    let batch = codec::decode(frame.body).map_err(|_| Torn)?;
    let unix_ms = head[8..]
        .iter()
        .rev()
        .fold(0, |ms, &byte| ms << 8 | u64::from(byte));
    *offset += end;
    Ok(Some(Record { unix_ms, batch }))
}

/// All whole records of a file, and whether what follows them is torn.
pub(super) fn read(file: &[u8]) -> (Vec<Record>, bool) {
    let mut records = Vec::new();
    let Ok(mut offset) = first(file) else {
        return (records, true);
    };
    loop {
        match cut(file, &mut offset) {
            Ok(Some(record)) => records.push(record),
            Ok(None) => return (records, false),
            Err(Torn) => return (records, true),
        }
    }
}

/// Whose batches are written, and as what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Author {
    /// Their identity.
    pub incarnation: [u8; 16],
    /// What `ServerCallStatus` names the agent.
    pub caller: u32,
}

/// Appends tallies as batches, counted from `sequence`; returns the sequence after the last.
pub(super) fn append_tallies(
    out: &mut Vec<u8>,
    author: Author,
    mut sequence: u64,
    unix_ms: u64,
    tallies: impl IntoIterator<Item = Tally>,
) -> u64 {
    let mut tallies = tallies.into_iter().peekable();
    while tallies.peek().is_some() {
        let batch = TallyBatch {
            incarnation: author.incarnation,
            sequence,
            caller: author.caller,
            age_ms: 0,
            tallies: tallies.by_ref().take(TALLIES_MAX).collect(),
        };
        append(out, unix_ms, &batch);
        sequence += 1;
    }
    sequence
}

#[cfg(test)]
mod tests {
    use super::*;
    use lars_wire::ModuleId;

    const AUTHOR: Author = Author {
        incarnation: [7; 16],
        caller: 3,
    };

    fn file(tallies: u32) -> Vec<u8> {
        let tally = |ok| Tally {
            module: ModuleId::new(1, 2),
            ok,
            ..Tally::default()
        };
        let mut bytes = head();
        let next = append_tallies(&mut bytes, AUTHOR, 4, 1_000, (1..=tallies).map(tally));
        assert_eq!(next, 4 + u64::from(tallies).div_ceil(TALLIES_MAX as u64));
        bytes
    }

    #[test]
    fn what_was_written_is_read_in_its_order() {
        let (records, torn) = read(&file(1_200));
        let seen: Vec<_> = records
            .iter()
            .map(|record| (record.batch.sequence, record.batch.tallies.len(), record.unix_ms))
            .collect();
        assert_eq!(seen, [(4, 512, 1_000), (5, 512, 1_000), (6, 176, 1_000)]);
        let calls: u32 = records
            .iter()
            .flat_map(|r| &r.batch.tallies)
            .map(|tally| tally.ok)
            .sum();
        assert_eq!((calls, torn), ((1..=1_200).sum(), false));
    }

    #[test]
    fn file_cut_anywhere_gives_the_whole_records_before() {
        let bytes = file(520);
        let mut ends = vec![HEAD.len()];
        while let Ok(Some(_)) = cut(&bytes, &mut { *ends.last().expect("one") }) {
            let mut end = *ends.last().expect("one");
            cut(&bytes, &mut end).expect("it was cut before");
            ends.push(end);
        }
        assert_eq!(ends.len(), 3);
        for length in 0..bytes.len() {
            let (records, torn) = read(&bytes[..length]);
            let whole = ends.iter().filter(|end| **end <= length).count();
            assert_eq!(
                (records.len(), torn),
                (whole.saturating_sub(1), !ends.contains(&length)),
                "{length}"
            );
        }
    }

    #[test]
    fn changed_byte_anywhere_ends_the_file_there() {
        let bytes = file(3);
        for place in 0..bytes.len() {
            let mut wrong = bytes.clone();
            wrong[place] ^= 0x55;
            assert_eq!(read(&wrong), (Vec::new(), true), "byte {place}");
        }
    }
}
