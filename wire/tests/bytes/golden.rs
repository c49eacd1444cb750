//! Golden vectors: frozen bytes of every message. They change only with the protocol's version, since callers in
//! other languages are tested against the same file.

use crate::samples::{self, Visit};
use crate::table::{rows, to_hex};
use lars_wire::{Kind, Message, bounds::HEADER_BYTES, codec, frame};
use std::collections::BTreeMap;
use std::fmt::Debug;

pub(crate) const GOLDEN: &str = include_str!("../golden/frames.hex");

/// Compares each sample with its line and counts the kinds.
struct Frozen {
    lines: BTreeMap<String, (u8, u32, Vec<u8>)>,
    kinds: Vec<Kind>,
    wrong: Vec<String>,
}

impl Visit for Frozen {
    fn visit<M: Message + PartialEq + Debug>(&mut self, name: &str, sequence: u32, message: &M) {
        self.kinds.push(M::KIND);
        let mut bytes = Vec::new();
        codec::append(message, sequence, &mut bytes).expect("a sample fits");
        let kind = u8::from(M::KIND);
        match self.lines.remove(name) {
            Some(line) if line == (kind, sequence, bytes.clone()) => {}
            _ => self
                .wrong
                .push(format!("{name} {kind} {sequence} {}", to_hex(&bytes))),
        }
        let frame = frame::split(&bytes).expect("good bytes").expect("a whole frame");
        assert_eq!((frame.header.kind, frame.header.sequence), (M::KIND, sequence));
        assert_eq!(codec::decode::<M>(&bytes[HEADER_BYTES..]).as_ref(), Ok(message));
    }
}

#[test]
fn every_message_is_encoded_to_its_frozen_bytes_and_decoded_from_them() {
    let lines = rows(GOLDEN).into_iter().map(|(words, bytes)| {
        let [name, kind, sequence] = words[..] else {
            panic!("{words:?}: name, kind, sequence, bytes")
        };
        (
            name.to_owned(),
            (
                kind.parse().expect("a kind"),
                sequence.parse().expect("a sequence"),
                bytes,
            ),
        )
    });
    let mut frozen = Frozen {
        lines: lines.collect(),
        kinds: Vec::new(),
        wrong: Vec::new(),
    };
    samples::each(&mut frozen);
    assert!(
        frozen.wrong.is_empty(),
        "encoded otherwise than frozen:\n{}",
        frozen.wrong.join("\n")
    );
    assert!(
        frozen.lines.is_empty(),
        "frozen, but no longer a sample: {:?}",
        frozen.lines.keys()
    );
    for kind in Kind::ALL {
        assert!(frozen.kinds.contains(kind), "{kind:?} has no golden vector");
    }
}
