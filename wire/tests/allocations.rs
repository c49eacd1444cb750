//! What decoding allocates: nothing for the hot messages, and for hostile ones less than a bound that a peer cannot
//! raise. Its own test program, since the counting allocator is the whole program's.

#[path = "bytes/samples.rs"]
mod samples;

use allocation_counter::measure;
use lars_wire::bounds::{BODY_BYTES_MAX, EXPLAINED_MAX, FRAME_BYTES_MAX, HEADER_BYTES};
use lars_wire::caller::{Node, Pick, Report};
use lars_wire::{Kind, Message, ModuleId, NodeAddr, codec};
use samples::Visit;
use std::fmt::Debug;

const HOT: [Kind; 9] = [
    Kind::Pick,
    Kind::Node,
    Kind::Report,
    Kind::GetRoute,
    Kind::Register,
    Kind::Registered,
    Kind::Ping,
    Kind::Pong,
    Kind::PushAck,
];

/// Encodes and decodes each sample of a hot kind and counts.
struct Hot {
    seen: usize,
}

impl Visit for Hot {
    fn visit<M: Message + PartialEq + Debug>(&mut self, name: &str, sequence: u32, message: &M) {
        if !HOT.contains(&M::KIND) {
            return;
        }
        self.seen += 1;
        let mut frame = vec![0; FRAME_BYTES_MAX];
        let (mut bytes, mut good) = (0, false);
        let encoding = measure(|| bytes = codec::encode(message, sequence, &mut frame).unwrap_or(0));
        let decoding = measure(|| good = codec::decode::<M>(&frame[HEADER_BYTES..bytes]).is_ok());
        assert!(good, "{name}");
        assert_eq!(
            (encoding.count_total, decoding.count_total),
            (0, 0),
            "{name} allocates"
        );
    }
}

#[test]
fn hot_messages_are_encoded_and_decoded_without_allocating() {
    let mut hot = Hot { seen: 0 };
    samples::each(&mut hot);
    assert!(hot.seen >= HOT.len());
    assert_eq!((Pick::KIND, Node::KIND, Report::KIND), (HOT[0], HOT[1], HOT[2]));
}

/// Writes a hostile count over every eight bytes of each sample's body, in a body of full length or its own.
struct Hostile {
    tried: usize,
    largest: u64,
}

impl Visit for Hostile {
    fn visit<M: Message + PartialEq + Debug>(&mut self, name: &str, sequence: u32, message: &M) {
        let mut frame = Vec::new();
        codec::append(message, sequence, &mut frame).expect("a sample fits");
        let body = &frame[HEADER_BYTES..];
        let counts = [
            u64::MAX,
            1 << 63,
            1 << 40,
            u64::from(u32::MAX),
            BODY_BYTES_MAX as u64,
            BODY_BYTES_MAX as u64 / 2,
            EXPLAINED_MAX as u64,
            1_024,
            512,
            256,
        ];
        // Explained nodes, 35 bytes on the wire, take 56 in memory, and their reasons come on top. No service decodes
        // an explanation, callers alone do.
        let bodies = if M::KIND == Kind::Explanation { 3 } else { 2 };
        for length in [body.len(), BODY_BYTES_MAX] {
            for place in 0..body.len().saturating_sub(7) {
                for count in counts {
                    let mut hostile = body.to_vec();
                    hostile[place..place + 8].copy_from_slice(&count.to_le_bytes());
                    hostile.resize(length, 0);
                    // Dropped inside, whatever it is: what is measured is the most that was held at one moment.
                    let info = measure(|| drop(codec::decode::<M>(&hostile)));
                    self.tried += 1;
                    self.largest = self.largest.max(info.bytes_max);
                    assert!(
                        info.bytes_max < bodies * BODY_BYTES_MAX as u64,
                        "{name} with {count} at {place} of {length} allocates {} bytes",
                        info.bytes_max
                    );
                }
            }
        }
    }
}

#[test]
fn hostile_counts_allocate_less_than_two_bodies_and_an_explanation_less_than_three() {
    let mut hostile = Hostile { tried: 0, largest: 0 };
    samples::each(&mut hostile);
    println!(
        "{} bodies tried, {} bytes allocated at most",
        hostile.tried, hostile.largest
    );
    assert!(hostile.tried > 10_000);
}

#[test]
fn module_and_node_are_as_small_in_memory_as_on_the_wire() {
    assert_eq!((size_of::<ModuleId>(), size_of::<NodeAddr>()), (8, 18));
}
