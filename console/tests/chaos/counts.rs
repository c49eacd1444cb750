//! History equals what callers reported, to the call, whoever dies.

use crate::load::{Load, sum, total};
use crate::mesh::{Mesh, PATIENCE, Random, Sums, is_full, seed, until};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

/// Waits until history says exactly this, and never more.
pub(crate) fn assert_exact(mesh: &Mesh, reported: &Sums) {
    let (mut stored, wanted) = (Sums::new(), total(reported));
    let took = until("all calls are stored", PATIENCE, || {
        stored = mesh.history();
        assert!(
            total(&stored) <= wanted,
            "{} of {wanted} calls are stored",
            total(&stored)
        );
        total(&stored) == wanted
    });
    assert!(stored == *reported, "the sum is right, but not that of each node");
    println!("{wanted} calls are stored, each once, {took:.1?} after the last");
}

/// Holds up whoever writes history, in the middle of a transaction, for so many seconds.
fn lock_history(mesh: &Mesh, seconds: u64) -> thread::JoinHandle<()> {
    let url = mesh.url.clone();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let statements = format!("LOCK TABLES lars_history WRITE; DO SLEEP({seconds})");
        // It fails where the server is killed meanwhile.
        let _ = runtime
            .expect("a runtime")
            .block_on(lars_store::mariadb::run(&url, &statements));
    })
}

#[test]
fn mysql_stopped_and_killed_and_report_killed_again_and_again_change_no_sum() {
    let (stopped_s, kills) = if is_full() { (30, 20) } else { (4, 5) };
    let seed = seed();
    let mut random = Random(seed);
    let mesh = Mesh::new(2, 0, 1, seed);
    let mut report = mesh.start("report", 0);
    let _agents = [mesh.start("agent", 0), mesh.start("agent", 1)];
    let load = Load::start(&mesh, 0..2, seed, false);
    until("calls are stored", PATIENCE, || total(&mesh.history()) > 0);

    mesh.server.pause().expect("it is ours");
    thread::sleep(Duration::from_secs(stopped_s));
    mesh.server.go_on().expect("it is ours");
    until("an agent has counts on disk", PATIENCE, || {
        mesh.metric(0, "lars_agent_spool_bytes") > Some(0)
    });

    let before = total(&mesh.history());
    until("calls are stored again", PATIENCE, || {
        total(&mesh.history()) > before
    });
    let lock = lock_history(&mesh, 20);
    // Several flushes: transactions are begun and cannot end.
    thread::sleep(Duration::from_secs(1));
    mesh.server.kill().expect("it is ours");
    lock.join().expect("it ends with the server");
    mesh.server.resume().expect("it starts again");

    for _ in 0..kills {
        thread::sleep(Duration::from_millis(200 + random.below(1_200)));
        report.kill();
        thread::sleep(Duration::from_millis(random.below(400)));
        report = mesh.start("report", 0);
    }
    assert_exact(&mesh, &sum(&load.stop()));
    until("nothing is left on disk", PATIENCE, || {
        (0..2).all(|agent| mesh.metric(agent, "lars_agent_spool_bytes") == Some(0))
    });
}

#[test]
fn stopped_and_killed_agents_bring_what_was_on_disk_once() {
    let rounds = if is_full() { 10 } else { 2 };
    let seed = seed();
    let mesh = Mesh::new(1, 0, 1, seed);
    let mut books = Vec::new();
    for round in 0..rounds {
        // Report is away. Stopped in good order, nothing is lost.
        let agent = mesh.start("agent", 0);
        let load = Load::start(&mesh, 0..1, seed + round, false);
        thread::sleep(Duration::from_millis(1_500));
        books.extend(load.stop());
        agent.terminate();
        // Killed when all is saved, neither.
        let agent = mesh.start("agent", 0);
        let load = Load::start(&mesh, 0..1, seed + 1_000 + round, false);
        thread::sleep(Duration::from_secs(1));
        books.extend(load.stop());
        // A flush is due within 200 ms; what the cores have is not yet among the unsaved.
        thread::sleep(Duration::from_millis(600));
        until("all is saved", PATIENCE, || {
            mesh.metric(0, "lars_agent_tallies_unsaved") == Some(0)
        });
        agent.kill();
    }
    let reported = sum(&books);

    let agent = mesh.start("agent", 0);
    let report = mesh.start("report", 0);
    assert_exact(&mesh, &reported);
    until("nothing is left on disk", PATIENCE, || {
        mesh.metric(0, "lars_agent_spool_bytes") == Some(0)
    });
    report.kill();
    drop(agent);
    killed_under_load(&mesh, seed, &reported);
}

/// Killed in the midst of calls, an agent loses what was reported since its last flush, and nothing comes twice.
fn killed_under_load(mesh: &Mesh, seed: u64, before: &Sums) {
    let agent = mesh.start("agent", 0);
    let load = Load::start(mesh, 0..1, seed + 2_000, true);
    thread::sleep(Duration::from_secs(4));
    let killed_at = Instant::now();
    agent.kill();
    let books = load.stop();
    let agent = mesh.start("agent", 0);
    let _report = mesh.start("report", 0);
    until("the agent has nothing left", PATIENCE, || {
        let is_zero = |name| mesh.metric(0, name) == Some(0);
        is_zero("lars_agent_spool_bytes")
            && is_zero("lars_agent_tallies_pending")
            && total(&mesh.history()) > total(before)
    });
    drop(agent);
    let (stored, mut reported) = (mesh.history(), sum(&books));
    for (key, counts) in before {
        let sum = reported.entry(*key).or_default();
        for (sum, count) in sum.iter_mut().zip(counts) {
            *sum += count;
        }
    }
    for (key, sum) in &stored {
        let most = reported[key];
        assert!(
            sum.iter().zip(most).all(|(stored, most)| *stored <= most),
            "{key:?}: {sum:?} of {most:?}"
        );
    }
    // A flush each 200 ms; the rest is for a busy machine, on which a flush and its write may be late.
    let saved_until = killed_at
        .checked_sub(Duration::from_millis(1_500))
        .expect("a clock");
    let at = |book: &crate::load::Book| {
        book.notes
            .iter()
            .rev()
            .find(|(at, _)| *at <= saved_until)
            .map_or(0, |(_, calls)| *calls)
    };
    let saved: u64 = books.iter().map(at).sum();
    let (arrived, most) = (total(&stored) - total(before), total(&reported) - total(before));
    println!("killed under load: of {most} calls {arrived} arrived, {saved} were older than 1.5 s");
    assert!(saved > 0 && arrived >= saved, "{arrived} of {saved}");
}

#[test]
fn two_reports_and_links_that_move_in_the_middle_of_a_batch_count_each_call_once() {
    let rounds = if is_full() { 20 } else { 4 };
    let seed = seed();
    let mut random = Random(seed);
    let mesh = Mesh::new(2, 0, 2, seed);
    let mut reports = [mesh.start("report", 0), mesh.start("report", 1)].map(Some);
    let _agents = [mesh.start("agent", 0), mesh.start("agent", 1)];
    let load = Load::start(&mesh, 0..2, seed, false);
    mesh.cutting.is_on.store(true, Ordering::Relaxed);
    for _ in 0..rounds {
        let before = total(&mesh.history());
        until("calls are stored", PATIENCE, || total(&mesh.history()) > before);
        // Batches are begun and not stored; then their report dies, and the other gets the same batches.
        let lock = lock_history(&mesh, 1);
        thread::sleep(Duration::from_millis(300 + random.below(400)));
        let place = random.below(2) as usize;
        reports[place].take().expect("it runs").kill();
        lock.join().expect("it ends");
        thread::sleep(Duration::from_millis(random.below(500)));
        reports[place] = Some(mesh.start("report", place));
    }
    if is_full() {
        // One hangs with batches in its hands until the agents have given it up; then it goes on.
        let hung = reports[0].as_ref().expect("it runs");
        hung.signal("STOP");
        thread::sleep(Duration::from_secs(40));
        hung.signal("CONT");
    }
    mesh.cutting.is_on.store(false, Ordering::Relaxed);
    let cuts = mesh.cutting.cuts.load(Ordering::Relaxed);
    println!("{cuts} acknowledgements were lost with their connections");
    assert!(cuts > 0);
    assert_exact(&mesh, &sum(&load.stop()));
}
