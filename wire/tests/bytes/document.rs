//! docs/PROTOCOL.md against the code: its kinds, its bounds and its example are the real ones.

use crate::golden::GOLDEN;
use crate::table::{from_hex, rows, to_hex};
use lars_wire::{Kind, PREFACE, bounds};

const DOCUMENT: &str = include_str!("../../../docs/PROTOCOL.md");

/// The cells of every table row.
fn table_rows() -> Vec<Vec<&'static str>> {
    let rows = DOCUMENT
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.strip_suffix('|'));
    rows.map(|row| row.split('|').map(str::trim).collect()).collect()
}

#[test]
fn every_kind_stands_in_the_table_with_its_number_and_no_other() {
    let numbered = table_rows()
        .into_iter()
        .filter_map(|row| Some((row[0].parse::<u8>().ok()?, row[1])));
    let listed: Vec<(u8, String)> = numbered.map(|(kind, name)| (kind, name.to_owned())).collect();
    let real: Vec<(u8, String)> = Kind::ALL
        .iter()
        .map(|&kind| (u8::from(kind), format!("{kind:?}")))
        .collect();
    assert_eq!(listed, real);
}

#[test]
fn every_bound_stands_in_the_table_with_its_value() {
    let real = [
        ("FRAME_BYTES_MAX", bounds::FRAME_BYTES_MAX),
        ("HEADER_BYTES", bounds::HEADER_BYTES),
        ("BODY_BYTES_MAX", bounds::BODY_BYTES_MAX),
        ("AVOID_MAX", bounds::AVOID_MAX),
        ("CALLER_NAME_BYTES_MAX", bounds::CALLER_NAME_BYTES_MAX),
        ("REPORTS_MAX", bounds::REPORTS_MAX),
        ("NODES_MAX", bounds::NODES_MAX),
        ("PAGE_NODES_MAX", bounds::PAGE_NODES_MAX),
        ("PAGE_ZONES_MAX", bounds::PAGE_ZONES_MAX),
        ("ZONE_BYTES_MAX", bounds::ZONE_BYTES_MAX),
        ("WEIGHT_MAX", usize::from(bounds::WEIGHT_MAX)),
        ("WEIGHT_DEFAULT", usize::from(bounds::WEIGHT_DEFAULT)),
        ("MODULES_MAX", bounds::MODULES_MAX),
        ("TALLIES_MAX", bounds::TALLIES_MAX),
        ("EDITS_MAX", bounds::EDITS_MAX),
        ("EXPLAINED_MAX", bounds::EXPLAINED_MAX),
        ("STATUS_LINES_MAX", bounds::STATUS_LINES_MAX),
        ("NAME_CHARS_MAX", bounds::NAME_CHARS_MAX),
        ("NAME_BYTES_MAX", bounds::NAME_BYTES_MAX),
        ("NAMES_MAX", bounds::NAMES_MAX),
        ("HELD_MAX", bounds::HELD_MAX),
        ("CHANGES_MAX", bounds::CHANGES_MAX),
        ("CHANGE_REASON_BYTES_MAX", bounds::CHANGE_REASON_BYTES_MAX),
        ("SEEN_MAX", bounds::SEEN_MAX),
        ("TEXT_BYTES_MAX", bounds::TEXT_BYTES_MAX),
    ];
    let listed: Vec<(&str, usize)> = table_rows()
        .into_iter()
        .filter(|row| row.len() == 3)
        .filter_map(|row| Some((row[1], row[2].replace(',', "").parse().ok()?)))
        .collect();
    assert_eq!(listed, real);
}

/// Bytes at the start of a line: pairs of digits, one or two blanks apart, up to the gap before the words.
fn bytes_of(line: &str) -> Vec<u8> {
    let digits = line.split("   ").next().unwrap_or_default().replace(' ', "");
    from_hex(&digits)
}

#[test]
fn example_is_made_of_golden_frames() {
    let golden = rows(GOLDEN);
    let (mut block, mut seen) = (None::<(&str, Vec<u8>)>, Vec::new());
    for line in DOCUMENT.lines() {
        match (line.strip_prefix("```"), &mut block) {
            (Some(info), None) => block = info.strip_prefix("bytes ").map(|name| (name, Vec::new())),
            (Some(_), Some((name, bytes))) => {
                let line = golden
                    .iter()
                    .find(|(words, _)| words[0] == *name)
                    .expect("a golden frame of that name");
                assert_eq!(to_hex(bytes), to_hex(&line.1), "{name}");
                seen.push(*name);
                block = None;
            }
            (None, Some((_, bytes))) => bytes.extend(bytes_of(line)),
            (None, None) => {}
        }
    }
    assert_eq!(
        seen,
        ["hello", "welcome", "pick", "node", "report", "ping", "pong"]
    );
}

#[test]
fn preface_is_drawn_as_it_is() {
    let drawn = DOCUMENT
        .lines()
        .find(|line| line.contains("\"LARS\" CR LF"))
        .expect("it is drawn");
    assert_eq!(bytes_of(drawn), PREFACE);
}
