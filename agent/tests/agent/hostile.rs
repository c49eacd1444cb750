//! Callers of bad will, or that died or hang: they lose what is theirs, and the agent and everybody else go on.

use crate::house::{House, eventually, node};
use crate::rings::{Neighbour, furnished, report};
use lars_board::RingWriter;
use lars_pool::IoChoice;
use lars_wire::ModuleId;
use lars_wire::caller::{Outcome, Ping, Status};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long the hostile caller writes: `LARS_HOSTILE_SECONDS`, else a moment.
fn hostile_time() -> Duration {
    let given = std::env::var("LARS_HOSTILE_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok());
    given.map_or(Duration::from_secs(1), Duration::from_secs)
}

/// Writes into rings of its own whatever comes to mind, and offers a new one whenever one was given up; how many.
fn scribble(house: &House, until: Instant, seed: u64) -> u64 {
    let (mut rng, mut rings) = (fastrand::Rng::with_seed(seed), 0);
    let hostile = Neighbour::of(house);
    while Instant::now() < until {
        let mut ring = RingWriter::create(64).expect("memory");
        assert!(hostile.offer(&ring), "its connection is none the worse");
        let file = File::from(ring.file().try_clone_to_owned().expect("another descriptor"));
        rings += 1;
        let broken = house.agent().stats().rings_broken();
        while house.agent().stats().rings_broken() == broken && Instant::now() < until {
            // Calls of modules that nobody has, some of them whole, so that not all is refused at the first look.
            let module = ModuleId::new(66, rng.u32(..3));
            report(&mut ring, module, node("10.66.0.1:80"), Outcome::Failed);
            let bytes: [u8; 16] = std::array::from_fn(|_| rng.u8(..));
            let place = if rng.u8(..8) == 0 {
                rng.u64(..2_500)
            } else {
                512 + rng.u64(..2_000)
            };
            file.write_all_at(&bytes, place).expect("written");
        }
    }
    rings
}

#[test]
fn caller_that_writes_random_bytes_harms_nobody_else() {
    let seed: u64 = std::env::var("LARS_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| fastrand::u64(..));
    println!("LARS_SEED={seed}");
    let (house, modules) = furnished(IoChoice::Auto);
    let good = Neighbour::of(&house);
    let mut ring = RingWriter::create(256).expect("memory");
    assert!(good.offer(&ring));
    let (until, done) = (Instant::now() + hostile_time(), AtomicBool::new(false));
    let (rings, reported) = std::thread::scope(|scope| {
        let hostile = scope.spawn(|| {
            let rings = scribble(&house, until, seed);
            done.store(true, Ordering::SeqCst);
            rings
        });
        let mut reported = 0_u64;
        while !done.load(Ordering::SeqCst) {
            for _ in 0..50 {
                report(&mut ring, modules[0], node("10.0.0.2:80"), Outcome::Ok);
            }
            reported += 50;
            std::thread::sleep(Duration::from_millis(1));
        }
        (hostile.join().expect("the agent takes its rings"), reported)
    });
    eventually("everything is in the ring", || ring.unload());
    good.flush();
    house
        .report
        .wait_sum(modules[0], node("10.0.0.2:80"), [reported, 0, 0, 0]);
    let broken = house.agent().stats().rings_broken();
    println!("{rings} rings of a hostile caller, {broken} given up; {reported} calls of another counted");
    assert!(broken > 0 && broken <= rings + 1);
    eventually("a node can be asked for as before", || {
        house.caller().pick(modules[1]).status == Status::Ok
    });
}

#[test]
fn caller_that_stands_still_loses_its_connection_alone() {
    let (house, modules) = furnished(IoChoice::Auto);
    let (stopped, good) = (Neighbour::of(&house), Neighbour::of(&house));
    let mut left = RingWriter::create(64).expect("memory");
    let mut ring = RingWriter::create(64).expect("memory");
    assert!(stopped.offer(&left) && good.offer(&ring));
    report(&mut left, modules[0], node("10.0.0.1:80"), Outcome::Failed);
    // It asks and asks, and reads no answer: as one that was stopped in the middle of its work.
    let mut asked = 0_u64;
    eventually("the agent has done with it", || {
        let mut bytes = Vec::new();
        lars_wire::codec::append(&Ping { echo: asked }, 9, &mut bytes).expect("it fits");
        asked += 1;
        matches!(
            stopped.packets.send(&bytes, None),
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe
        )
    });
    report(&mut ring, modules[0], node("10.0.0.1:80"), Outcome::Ok);
    good.flush();
    house
        .report
        .wait_sum(modules[0], node("10.0.0.1:80"), [1, 1, 0, 0]);
    assert_eq!(house.agent().stats().rings(), 1);
}

#[test]
fn record_that_was_never_finished_counts_for_nothing() {
    let (house, modules) = furnished(IoChoice::Auto);
    let neighbour = Neighbour::of(&house);
    let mut ring = RingWriter::create(64).expect("memory");
    assert!(neighbour.offer(&ring));
    report(&mut ring, modules[0], node("10.0.0.1:80"), Outcome::Ok);
    neighbour.flush();
    // The next record is half written, as a thread leaves it that is killed before it counts it.
    let file = File::from(ring.file().try_clone_to_owned().expect("another descriptor"));
    file.write_all_at(&modules[0].to_bits().to_ne_bytes(), 512 + 32)
        .expect("written");
    drop((ring, neighbour));
    eventually("the ring is let go", || house.agent().stats().rings() == 0);
    house
        .report
        .wait_sum(modules[0], node("10.0.0.1:80"), [1, 0, 0, 0]);
    assert_eq!(house.agent().stats().rings_broken(), 0);
}
