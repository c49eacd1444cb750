//! The file of the last good routes: read back as it was written, and refused whatever happened to it.

use crate::routes::{addr, news, route};
use crate::seeds::with_seeds;
use lars_shard::RouteBook;
use lars_wire::caller::Status;
use lars_wire::directory::{RouteHead, pages};
use lars_wire::{ModuleId, NodeState, Route, RouteNode};
use std::sync::Arc;

fn book(routes: &[(ModuleId, Arc<Route>)]) -> RouteBook {
    let mut book = RouteBook::new();
    for (module, route) in routes {
        book.subscribe(*module);
        let head = RouteHead {
            module: *module,
            status: Status::Ok,
            instance: 5,
            version: 9,
            explained: false,
        };
        for page in pages(head, route) {
            book.page(page);
        }
    }
    book
}

fn random_route(random: &mut fastrand::Rng, nodes_max: u32) -> Arc<Route> {
    let count = random.u32(1..nodes_max);
    let node = |_| RouteNode {
        weight: random.u16(1..=10_000),
        state: if random.bool() {
            NodeState::Serving
        } else {
            NodeState::Draining
        },
        zone: Arc::from(["", "a", "b-17", "zone"][random.usize(..4)]),
        ..RouteNode::new(addr(random.u32(..100_000)))
    };
    Arc::new(Route::new((0..count).map(node).collect()))
}

#[test]
fn what_is_written_reads_back_with_what_to_say_to_dns() {
    with_seeds(8, |seed, mut random| {
        let routes: Vec<_> = (0..random.u32(..20))
            .map(|cmdid| (ModuleId::new(1, cmdid), random_route(&mut random, 3_000)))
            .collect();
        let written = book(&routes);
        let bytes = written.to_disk();
        let (read, told) = RouteBook::from_disk(&bytes).expect("it is whole");
        let expected: Vec<_> = routes
            .iter()
            .map(|(module, route)| news(*module, 9, route))
            .collect();
        assert_eq!(told, expected, "seed {seed}");
        assert_eq!(read.digest(None, 100), written.digest(None, 100), "seed {seed}");
        assert_eq!((read.to_disk(), read.edition()), (bytes, 0), "seed {seed}");
    });
}

#[test]
fn every_cut_and_every_flipped_bit_is_refused() {
    with_seeds(3, |seed, mut random| {
        let routes: Vec<_> = (0..8)
            .map(|cmdid| (ModuleId::new(1, cmdid), random_route(&mut random, 20)))
            .collect();
        let bytes = book(&routes).to_disk();
        for cut in 0..bytes.len() {
            assert!(
                RouteBook::from_disk(&bytes[..cut]).is_err(),
                "seed {seed}: cut at {cut}"
            );
        }
        for place in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[place] ^= 1 << random.u8(..8);
            assert!(
                RouteBook::from_disk(&flipped).is_err(),
                "seed {seed}: byte {place}"
            );
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert!(RouteBook::from_disk(&longer).is_err(), "seed {seed}");
    });
}

/// The checksum of the file, once more: a damaged file whose checksum fits must not panic either.
fn seal(content: &mut Vec<u8>) {
    let step = |hash: u64, &byte: &u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let checksum = content.iter().fold(0xcbf2_9ce4_8422_2325, step);
    content.extend_from_slice(&checksum.to_le_bytes());
}

#[test]
fn damage_under_a_fitting_checksum_never_panics_and_other_formats_are_named() {
    with_seeds(2, |_, mut random| {
        let routes: Vec<_> = (0..8)
            .map(|cmdid| (ModuleId::new(1, cmdid), random_route(&mut random, 20)))
            .collect();
        let mut content = book(&routes).to_disk();
        content.truncate(content.len() - 8);
        for place in 12..content.len() {
            let mut damaged = content.clone();
            damaged[place] = damaged[place].wrapping_add(random.u8(1..));
            seal(&mut damaged);
            if let Ok((book, told)) = RouteBook::from_disk(&damaged) {
                // What is let through is routes, each whole: such as another module's number or version.
                assert!(book.len() == told.len() && told.iter().all(|news| !news.route.is_empty()));
            }
        }
        content[8] = 2;
        seal(&mut content);
        let error = RouteBook::from_disk(&content).expect_err("another format");
        assert!(error.contains("another format"), "{error}");
    });
}

#[test]
fn module_that_stands_twice_or_out_of_order_is_refused() {
    let file = |modules: &[u32]| {
        let mut content = Vec::new();
        for &cmdid in modules {
            let bytes = book(&[(ModuleId::new(1, cmdid), route([1]))]).to_disk();
            let start = if content.is_empty() { 0 } else { 12 };
            content.extend_from_slice(&bytes[start..bytes.len() - 8]);
        }
        seal(&mut content);
        RouteBook::from_disk(&content).map(|(book, _)| book.len())
    };
    assert_eq!(file(&[1, 2, 3]), Ok(3));
    for wrong in [[1, 1, 2], [1, 2, 1], [2, 1, 3]] {
        let error = file(&wrong).expect_err("refused");
        assert!(error.contains("wrong place"), "{error}");
    }
}

#[test]
fn file_says_why_it_is_refused() {
    let bytes = book(&[(ModuleId::new(1, 1), route([1]))]).to_disk();
    for (bytes, why) in [
        (&bytes[..5], "too few"),
        (&[0; 64], "does not start"),
        (&bytes[..bytes.len() - 1], "checksum"),
    ] {
        let error = RouteBook::from_disk(bytes).expect_err(why);
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn sixty_five_thousand_modules_go_to_disk_and_back() {
    let routes: Vec<_> = (0..65_536)
        .map(|cmdid| (ModuleId::new(4, cmdid), route([cmdid + 1])))
        .collect();
    let bytes = book(&routes).to_disk();
    let (book, told) = RouteBook::from_disk(&bytes).expect("it is whole");
    assert_eq!((book.len(), told.len()), (65_536, 65_536));
}
