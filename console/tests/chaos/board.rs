//! Callers with the board, and an agent that is killed again and again: no pick fails, what was flushed is counted once,
//! what lay in rings is counted by the next agent, and a failing node gets no more calls than in the simulator. And callers
//! that are killed or stopped: the others notice nothing.

use crate::caller::{Books, Caller, MODULE, NODES, PAUSE, SERVICE, THREADS, node};
use crate::counts::assert_exact;
use crate::load::total;
use crate::mesh::{Mesh, PATIENCE, Process, Random, Sums, seed, until};
use lars_client::Client;
use lars_simulator::{Policy, Scenario, simulate};
use std::num::NonZeroUsize;
use std::os::unix::net::UnixListener;
use std::thread;
use std::time::{Duration, Instant};

const CALLERS: usize = 4;
const KILLS: u64 = 5;
/// How long each agent lives before it is stopped.
const LIFE: Duration = Duration::from_secs(3);
/// Counts of an agent are with report this late (200 ms), on a busy machine.
const FLUSHED_WITHIN: Duration = Duration::from_millis(1_500);

fn fill(mesh: &Mesh) {
    let rows = (0..NODES).map(|number| {
        let ip = node(number).ipv4_number().expect("an IPv4 node");
        format!("({}, {}, {ip}, 80)", MODULE.modid, MODULE.cmdid)
    });
    let rows = rows.collect::<Vec<_>>().join(", ");
    mesh.sql(&format!(
        "INSERT INTO RouteData (modid, cmdid, serverip, serverport) VALUES {rows}"
    ));
    mesh.sql("DELETE FROM RouteVersion; INSERT INTO RouteVersion (id, version) VALUES (1, UNIX_TIMESTAMP())");
}

/// So many callers of the first agent, which knows the module.
fn start_callers(mesh: &Mesh, count: usize) -> Vec<Caller> {
    let client = Client::connect(mesh.socket(0)).expect("the agent listens");
    client.register(MODULE, PATIENCE).expect("a route");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("test.sock");
    let listener = UnixListener::bind(&path).expect("a socket");
    (0..count)
        .map(|_| Caller::start(&mesh.socket(0), &listener, &path))
        .collect()
}

/// What all callers together say.
fn all(callers: &mut [Caller], each: impl Fn(&mut Caller) -> Books) -> Books {
    let mut all = Books::default();
    for books in callers.iter_mut().map(each) {
        all.picked += books.picked;
        all.picked_failing += books.picked_failing;
        all.picked_stale += books.picked_stale;
        all.is_stale |= books.is_stale;
        add(&mut all.reported, &books.reported);
    }
    all
}

fn add(sums: &mut Sums, more: &Sums) {
    for (key, counts) in more {
        let sum = sums.entry(*key).or_default();
        for (sum, count) in sum.iter_mut().zip(counts) {
            *sum += count;
        }
    }
}

#[test]
fn agent_killed_five_times_fails_no_pick_of_four_callers_and_counts_each_call_once() {
    let seed = seed();
    let mut random = Random(seed);
    let mesh = Mesh::new(1, 1, 1, seed);
    fill(&mesh);
    let (_dns, _report) = (mesh.start("dns", 0), mesh.start("report", 0));
    let mut agent = mesh.start("agent", 0);
    let mut callers = start_callers(&mesh, CALLERS);

    for kill in 0..KILLS {
        thread::sleep(LIFE);
        let held = all(&mut callers, Caller::hold);
        assert!(!held.is_stale, "an agent lives");
        let flushed = held.reported;
        assert_exact(&mesh, &flushed);
        agent.signal("STOP");
        all(&mut callers, Caller::go);
        // Every other time for so long that the callers notice.
        thread::sleep(Duration::from_millis(300 + kill % 2 * 2_500 + random.below(200)));
        let in_rings = total(&all(&mut callers, Caller::tell).reported) - total(&flushed);
        agent.kill();
        assert!(in_rings > 0);
        assert_stale(&mut callers);
        thread::sleep(Duration::from_millis(random.below(500)));
        agent = mesh.start("agent", 0);
        println!("killed with {in_rings} calls and more in rings");
    }
    thread::sleep(LIFE);
    let books = all(&mut callers, Caller::hold);
    assert_exact(&mesh, &books.reported);
    assert_share(&books);
    all(&mut callers, Caller::go);
    killed_under_load(&mesh, &mut callers, agent, &books.reported);
}

/// While their agent is dead each caller says so, and so does each of its picks.
fn assert_stale(callers: &mut [Caller]) {
    for caller in callers {
        let mut before = Books::default();
        until("the end is noticed", PATIENCE, || {
            before = caller.tell();
            before.is_stale
        });
        until("picks go on, and say what they are", PATIENCE, || {
            caller.tell().picked_stale >= before.picked_stale + u64::from(THREADS)
        });
        let after = caller.tell();
        assert!(
            after.is_stale && after.picked - before.picked <= u64::from(THREADS),
            "nobody lives"
        );
    }
}

/// The failing node's share of picks while agents lived, beside that of the simulator for one agent's life: until the failures
/// are seen, and no probe comes within that time in either.
fn assert_share(books: &Books) {
    let rate = f64::from(CALLERS as u32 * THREADS) / (SERVICE + PAUSE).as_secs_f64();
    let scenario = format!(
        "name = 'one of ten fails'\nduration_s = {}\nwarmup_s = 0\nreaders = {}\nrate_per_s = {rate}\ntimeout_ms = 1000\n\
         [[nodes]]\ncount = {NODES}\nworkers = 64\nservice_ms = {{ kind = 'constant', mean = {} }}\n\
         [[events]]\nat_s = 0\nnodes = [0]\ndo = 'fail'\nshare = 1.0\nin_ms = {}\n",
        LIFE.as_secs_f64(),
        CALLERS as u32 * THREADS,
        SERVICE.as_secs_f64() * 1e3,
        SERVICE.as_secs_f64() * 1e3,
    );
    let scenario = Scenario::parse(&scenario).expect("a scenario");
    let policy = Policy::Lars(Box::default());
    let one = NonZeroUsize::MIN;
    let (report, _) = simulate(&scenario, &policy, 20, one, Instant::now(), false).expect("simulated");
    let simulated = report.metrics.share_of_calls[&0].expect("calls").mean;
    let seen = books.picked_failing as f64 / books.picked as f64;
    println!(
        "the failing node has had {:.3}% of picks, {:.3}% in the simulator",
        seen * 1e2,
        simulated * 1e2
    );
    assert!(
        seen < 2.0 * simulated && seen > 0.25 * simulated,
        "{seen} beside {simulated}"
    );
}

/// Killed in the midst of calls, an agent takes with it what it drained since its last flush, and nothing comes twice.
fn killed_under_load(mesh: &Mesh, callers: &mut [Caller], agent: Process, before: &Sums) {
    thread::sleep(LIFE);
    let old = all(callers, Caller::tell).reported;
    thread::sleep(FLUSHED_WITHIN);
    agent.kill();
    let _agent = mesh.start("agent", 0);
    thread::sleep(LIFE);
    let reported = all(callers, Caller::hold).reported;
    let mut stored = Sums::new();
    until("the agent has nothing left", PATIENCE, || {
        stored = mesh.history();
        let pending = mesh.metric(0, "lars_agent_tallies_pending");
        pending == Some(0) && total(&stored) > total(before)
    });
    for (key, sum) in &stored {
        let most = reported[key];
        assert!(
            sum.iter().zip(most).all(|(stored, most)| *stored <= most),
            "{key:?}: {sum:?} of {most:?}"
        );
    }
    let (stored, reported) = (total(&stored), total(&reported));
    println!(
        "killed under load: of {reported} calls {stored} are stored, {} were old enough",
        total(&old)
    );
    assert!(stored >= total(&old));
}

#[test]
fn caller_that_is_killed_and_one_that_is_stopped_cost_nobody_else_a_call() {
    const STOPPED: Duration = Duration::from_secs(1);
    let seed = seed();
    let mesh = Mesh::new(1, 1, 1, seed);
    fill(&mesh);
    let (_dns, _report) = (mesh.start("dns", 0), mesh.start("report", 0));
    let agent = mesh.start("agent", 0);
    let mut callers = start_callers(&mesh, CALLERS);
    let (mut killed, stopped) = (callers.remove(0), callers.remove(0));
    let pause = all(&mut callers, Caller::tell).picked;
    thread::sleep(STOPPED);
    let before = all(&mut callers, Caller::tell).picked;

    // Killed with calls in its rings that nobody has drained, and others under way.
    let drained = total(&killed.hold().reported);
    agent.signal("STOP");
    killed.go();
    thread::sleep(Duration::from_millis(200));
    let left = killed.still().reported;
    killed.kill();
    agent.signal("CONT");
    let in_rings = total(&left) - drained;
    assert!(in_rings > 0);

    // Stopped as it stands, in whatever it is about to do.
    stopped.signal("STOP");
    let meanwhile = all(&mut callers, Caller::tell).picked;
    thread::sleep(STOPPED);
    let after = all(&mut callers, Caller::tell).picked;
    stopped.signal("CONT");
    println!(
        "{in_rings} calls in the rings of the killed one; {} picks of the others in a second, {} before",
        after - meanwhile,
        before - pause
    );
    assert!(after - meanwhile > (before - pause) / 2, "the others go on");
    until("the killed one's connection is gone", PATIENCE, || {
        mesh.metric(0, "lars_agent_callers") == Some(CALLERS as u64 - 1)
    });

    callers.push(stopped);
    let held = all(&mut callers, Caller::hold);
    assert_eq!((held.is_stale, held.picked_stale), (false, 0));
    let mut reported = left.clone();
    add(&mut reported, &held.reported);
    assert_exact(&mesh, &reported);
    assert_eq!(mesh.metric(0, "lars_agent_rings_broken_total"), Some(0));
    all(&mut callers, Caller::go);
    killed_at_work(&mesh, callers, left);
}

/// Killed at any moment, a caller takes nothing with it but the call that each of its threads was about to report. `left` is what
/// others reported that are gone.
fn killed_at_work(mesh: &Mesh, mut callers: Vec<Caller>, left: Sums) {
    thread::sleep(Duration::from_millis(500));
    let (begun, mut killed, mut least) = (Instant::now(), callers.remove(0), left);
    add(&mut least, &killed.tell().reported);
    thread::sleep(Duration::from_millis(50));
    killed.kill();
    // Of its last moments nobody knows but by how many calls they had room for.
    let moments = begun.elapsed();
    let rounds = moments.as_millis() / (SERVICE + PAUSE).as_millis() + 2;
    let more_max = u64::from(THREADS) * rounds as u64;
    let held = all(&mut callers, Caller::hold);
    assert_eq!((held.is_stale, held.picked_stale), (false, 0));
    add(&mut least, &held.reported);
    let mut stored = Sums::new();
    until("all calls are stored", PATIENCE, || {
        stored = mesh.history();
        mesh.metric(0, "lars_agent_tallies_pending") == Some(0) && total(&stored) >= total(&least)
    });
    for (key, least) in &least {
        let stored = stored.get(key).copied().unwrap_or_default();
        let has_all = least.iter().zip(stored).all(|(least, stored)| *least <= stored);
        assert!(has_all, "{key:?}: {stored:?} of {least:?}");
    }
    let more = total(&stored) - total(&least);
    println!("killed at work with {more} calls of its last {moments:.0?}, {more_max} at most");
    assert!(more <= more_max);
}
