//! The outbox with a disk behind it: what was counted arrives exactly once, whatever ends when.

use crate::seeds::with_seeds;
use crate::spool_world::World;
use lars_shard::spool::{SpoolJob, SpoolNews};

const HOUR_MS: u64 = 3_600_000;

#[test]
fn disk_is_left_alone_while_report_acknowledges() {
    let mut world = World::new();
    assert_eq!(world.take_job(), Some(&SpoolJob::Open));
    world.work();
    world.spool.connected();
    for second in 0..100 {
        world.add(second % 7, 3);
        world.talk();
        world.pass(1_000);
        assert_eq!(world.take_job(), None);
    }
    assert_eq!((world.report.total(), world.disk.len()), (300, 0));
}

#[test]
fn report_out_of_reach_for_a_quarter_of_a_second_starts_a_journal() {
    let mut world = World::new();
    world.work();
    world.add(1, 5);
    assert_eq!(world.take_job(), None);
    let due = world.spool.next_timeout().expect("it is to be asked again");
    assert_eq!(due - world.now().at, std::time::Duration::from_millis(250));
    world.pass(250);
    assert!(
        matches!(world.take_job(), Some(SpoolJob::Write { name, .. }) if name.ends_with(".journal")),
        "{:?}",
        world.take_job()
    );
    assert_eq!(world.spool.unsaved(), 1, "not before it is done");
    world.do_job();
    assert_eq!(
        (world.spool.unsaved(), world.news.as_slice()),
        (0, [SpoolNews::Started].as_slice())
    );
    world.add(2, 5);
    assert!(matches!(world.take_job(), Some(SpoolJob::Append { .. })));
    world.do_job();
    assert_eq!((world.spool.unsaved(), world.disk.len()), (0, 1));
}

#[test]
fn connected_report_that_owes_an_acknowledgement_has_a_second() {
    let mut world = World::new();
    world.work();
    world.spool.connected();
    world.add(1, 5);
    let (_, batch) = world.spool.next(world.now()).expect("it is sent");
    world.pass(999);
    assert_eq!(world.take_job(), None);
    world.pass(1);
    world.work();
    assert_eq!(world.disk.len(), 1, "the batch under way");
    world.add(2, 5);
    world.work();
    assert_eq!(
        (world.disk.len(), world.spool.unsaved()),
        (2, 0),
        "and what waits"
    );
    // It was stored all the while: killed now, the agent's heir offers the same batch, which is known.
    world.report.take(&batch);
    world.kill(&mut fastrand::Rng::with_seed(1));
    world.drain();
    world.assert_exact("");
}

#[test]
fn stop_with_report_away_leaves_nothing_behind_but_files() {
    let mut world = World::new();
    world.work();
    for node in 0..600 {
        world.add(node, 1);
    }
    world.stop();
    assert_eq!(world.disk.len(), 1);
    world.pass(HOUR_MS);
    world.drain();
    world.assert_exact("stopped");
    assert_eq!((world.disk.len(), world.spool.counts().replayed), (0, 2));
    assert!(world.report.oldest_ms >= HOUR_MS, "they are as old as they are");
}

#[test]
fn crowd_is_sealed_and_keeps_its_minutes_and_names() {
    let mut world = World::new();
    world.work();
    for minute in 0..60 {
        for node in 0..100 {
            world.add(node, 1);
            world.work();
        }
        world.pass(60_000);
        assert!(world.spool.pending() <= 700, "{minute}");
    }
    assert!(world.spool.counts().files >= 8, "{:?}", world.disk.keys());
    world.drain();
    world.assert_exact("");
}

#[test]
fn journal_that_merging_makes_much_shorter_is_written_anew() {
    let mut world = World::new();
    world.work();
    world.add(1, 1);
    world.pass(1_000);
    let mut longest = 0;
    for _ in 0..3_000 {
        world.add(1, 1);
        world.work();
        longest = longest.max(world.spool.counts().bytes);
    }
    assert!((60_000..70_000).contains(&longest), "{longest}");
    world.kill(&mut fastrand::Rng::with_seed(1));
    world.drain();
    world.assert_exact("");
}

#[test]
fn torn_end_of_a_journal_is_cut_off_and_told() {
    let mut world = World::new();
    world.work();
    for node in 0..3 {
        world.add(node, 10);
        world.pass(1_000);
        world.work();
    }
    let journal = world.disk.values_mut().next().expect("a journal");
    journal.truncate(journal.len() - 1);
    world.kill(&mut fastrand::Rng::with_seed(1));
    world.drain();
    assert_eq!(world.report.total(), 20);
    assert!(
        matches!(
            world.news[1..],
            [SpoolNews::Found { files: 1, .. }, SpoolNews::Torn(_), ..]
        ),
        "{:?}",
        world.news
    );
}

#[test]
fn damaged_sealed_file_gives_what_is_whole_and_is_put_aside() {
    let mut world = World::new();
    world.work();
    for node in 0..600 {
        world.add(node, 1);
    }
    world.stop();
    let sealed = world.disk.values_mut().next().expect("a file");
    *sealed.last_mut().expect("a byte") ^= 1;
    world.drain();
    assert_eq!(world.report.total(), 512);
    assert!(
        world
            .news
            .iter()
            .any(|news| matches!(news, SpoolNews::Damaged(_))),
        "{:?}",
        world.news
    );
    assert!(world.disk.keys().all(|name| name.ends_with(".damaged")) && world.disk.len() == 1);
}

#[test]
fn what_is_three_days_old_is_given_up_and_told() {
    for is_killed in [false, true] {
        let mut world = World::new();
        world.work();
        world.add(1, 7);
        world.pass(1_000);
        world.work();
        if is_killed {
            world.kill(&mut fastrand::Rng::with_seed(1));
        } else {
            world.stop();
        }
        world.pass(72 * HOUR_MS + 2_000);
        world.drain();
        assert_eq!((world.report.total(), world.spool.counts().expired_calls), (0, 7));
        assert!(
            matches!(world.news[..], [.., SpoolNews::Expired(_, 7), SpoolNews::Drained]),
            "{:?}",
            world.news
        );
    }
}

#[test]
fn full_spool_and_broken_disk_keep_counts_in_memory_and_lose_none() {
    for (bytes_max, broken) in [(20_000, false), (1 << 30, true), (0, false)] {
        let mut world = World::new();
        world.config.bytes_max = bytes_max;
        world.spool = lars_shard::Spool::new(world.config);
        world.work();
        for second in 0..900 {
            if second == 5 {
                world.broken = broken;
            }
            world.add(second % 300, 1);
            world.pass(1_000);
            world.work();
            assert!(world.spool.counts().bytes <= bytes_max);
        }
        assert_eq!(world.spool.trouble().is_some(), bytes_max > 0);
        assert!(world.spool.unsaved() > 0);
        // Report has everything before the disk has recovered.
        world.spool.connected();
        world.talk();
        world.assert_exact(&format!("{bytes_max} {broken}"));
        world.broken = false;
        world.add(1, 1);
        world.drain();
        world.assert_exact("at last");
        assert_eq!(world.disk.len(), 0);
    }
}

#[test]
fn older_copy_of_reports_records_is_answered_by_other_identities() {
    let mut world = World::new();
    world.work();
    for node in 0..1_400 {
        world.add(node, 1);
        world.pass(10);
        world.work();
    }
    world.stop();
    world.work();
    world.spool.connected();
    let older = world.report.clone();
    for step in 0..4 {
        world.work();
        world.add(9_000 + step, 1);
        let (lane, batch) = world.spool.next(world.now()).expect("something to send");
        let ack = world.report.take(&batch).expect("no gap yet");
        assert!(world.spool.acknowledged(world.now(), &ack), "{lane:?}");
    }
    // What was stored since is gone, with the calls in it; the incarnations are known up to their first batch.
    let lost = world.report.total() - older.total();
    let newest = world.report.stored.clone();
    world.report = older;
    world.report.stored = newest.keys().map(|&incarnation| (incarnation, 0)).collect();
    world.add(9_100, 1);
    world.talk();
    assert_eq!(world.report.total() + lost, world.total());
    assert_eq!(world.spool.counts().files, 0);
}

#[test]
fn every_call_arrives_once_over_any_history_of_losses_and_orderly_stops() {
    with_seeds(60, |seed, mut random| {
        let mut world = World::new();
        for _ in 0..400 {
            live(&mut world, &mut random);
            if random.u8(..60) == 0 {
                world.stop();
            }
        }
        world.drain();
        world.assert_exact(&format!("seed {seed}"));
    });
}

#[test]
fn killed_at_any_moment_nothing_is_stored_twice_and_what_was_saved_arrives() {
    with_seeds(80, |seed, mut random| {
        let mut world = World::new();
        let saves_first = random.bool();
        for _ in 0..300 {
            live(&mut world, &mut random);
            if random.u8(..30) == 0 {
                if saves_first {
                    world.pass(1_000);
                    world.do_job();
                    world.work();
                    assert_eq!(world.spool.unsaved(), 0, "seed {seed}");
                }
                world.kill(&mut random);
            }
        }
        world.drain();
        for (key, stored) in &world.report.sums {
            assert!(stored <= &world.added[key], "seed {seed}: {key:?} twice");
        }
        if saves_first {
            world.assert_exact(&format!("seed {seed}"));
        }
    });
}

/// Something happens.
fn live(world: &mut World, random: &mut fastrand::Rng) {
    match random.u8(..12) {
        0..=3 => {
            for _ in 0..random.u32(..80) {
                world.add(random.u32(1..150), random.u32(..20));
            }
        }
        4 => world.pass(random.u64(..2_000)),
        5 => world.pass(random.u64(..90_000)),
        6 => world.spool.connected(),
        7 => {
            world.work();
        }
        8 => {
            world.take_job();
        }
        9 => world.do_job(),
        _ => world.send_one(random.u8(..3)),
    }
}
