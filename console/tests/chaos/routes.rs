//! Two dns on one database, one killed each second under changes: agents end with the database's truth, and no pick
//! fails meanwhile.

use crate::mesh::{Mesh, PATIENCE, Random, is_full, seed, until};
use lars_client::Client;
use lars_wire::{ModuleId, NodeAddr};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const AGENTS: usize = 3;
const MODULES: u64 = 20;
/// Within so long agents have the truth.
const TRUTH_WITHIN: Duration = Duration::from_secs(5);

/// What the database says of each module.
type Truth = Vec<BTreeSet<u32>>;

fn module(place: u64) -> ModuleId {
    ModuleId::new(5, 1 + place as u32)
}

/// A change as the old page makes it: the row, then the change row and the version, each for itself.
fn change(mesh: &Mesh, truth: &mut Truth, random: &mut Random) {
    let place = random.below(MODULES);
    let (ModuleId { modid, cmdid }, nodes) = (module(place), &mut truth[place as usize]);
    let node = 0x0a00_0001 + random.below(12) as u32;
    let statement = if !nodes.contains(&node) {
        nodes.insert(node);
        format!(
            "INSERT INTO RouteData (modid, cmdid, serverip, serverport) VALUES ({modid}, {cmdid}, {node}, 80)"
        )
    } else if nodes.len() > 1 {
        nodes.remove(&node);
        format!(
            "DELETE FROM RouteData WHERE modid = {modid} AND cmdid = {cmdid} AND serverip = {node} AND serverport = 80"
        )
    } else {
        return;
    };
    mesh.sql(&statement);
    mesh.sql("UPDATE RouteVersion SET version = UNIX_TIMESTAMP() WHERE id = 1");
    mesh.sql(&format!(
        "INSERT INTO RouteChange (modid, cmdid, version) VALUES ({modid}, {cmdid}, UNIX_TIMESTAMP())"
    ));
}

fn fill(mesh: &Mesh) -> Truth {
    let mut rows = Vec::new();
    let truth: Truth = (0..MODULES)
        .map(|_| (0..4).map(|node| 0x0a00_0001 + node).collect())
        .collect();
    for (place, nodes) in truth.iter().enumerate() {
        let ModuleId { modid, cmdid } = module(place as u64);
        rows.extend(nodes.iter().map(|node| format!("({modid}, {cmdid}, {node}, 80)")));
    }
    mesh.sql(&format!(
        "INSERT INTO RouteData (modid, cmdid, serverip, serverport) VALUES {}",
        rows.join(", ")
    ));
    mesh.sql("DELETE FROM RouteVersion; INSERT INTO RouteVersion (id, version) VALUES (1, UNIX_TIMESTAMP())");
    truth
}

/// Whether an agent's routes are the database's.
fn knows(client: &Client, truth: &Truth) -> bool {
    truth.iter().enumerate().all(|(place, nodes)| {
        let wanted: BTreeSet<_> = nodes
            .iter()
            .map(|node| NodeAddr::from_ipv4_number(*node, 80))
            .collect();
        let route = client.route(module(place as u64)).expect("the agent answers");
        route.nodes.iter().map(|node| node.addr).collect::<BTreeSet<_>>() == wanted
    })
}

#[test]
fn dns_killed_each_second_under_changes_leaves_every_agent_with_the_truth_and_no_pick_failed() {
    let seconds = if is_full() { 60 } else { 12 };
    let seed = seed();
    let mut random = Random(seed);
    let mesh = Mesh::new(AGENTS, 2, 0, seed);
    let mut truth = fill(&mesh);
    let mut dns = [mesh.start("dns", 0), mesh.start("dns", 1)].map(Some);
    let agents: Vec<_> = (0..AGENTS).map(|number| mesh.start("agent", number)).collect();
    let client = |number: usize| Client::connect(mesh.socket(number)).expect("the agent listens");
    let clients: Vec<_> = (0..AGENTS).map(client).collect();
    for client in &clients {
        for place in 0..MODULES {
            client.register(module(place), PATIENCE).expect("a route");
        }
    }
    let (stop, picks) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let pickers: Vec<_> = clients
        .iter()
        .map(|client| {
            let (client, stop, picks) = (client.clone(), Arc::clone(&stop), Arc::clone(&picks));
            thread::spawn(move || {
                for place in (0..MODULES).cycle() {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let call = client
                        .pick(module(place))
                        .unwrap_or_else(|error| panic!("a pick failed: {error}"));
                    call.ok().expect("reported");
                    picks.fetch_add(1, Ordering::Relaxed);
                    thread::sleep(Duration::from_millis(1));
                }
            })
        })
        .collect();

    let begun = Instant::now();
    let mut kills = 0;
    while begun.elapsed() < Duration::from_secs(seconds) {
        let place = random.below(2) as usize;
        dns[place].take().expect("it runs").kill();
        let killed_at = Instant::now();
        change(&mesh, &mut truth, &mut random);
        dns[place] = Some(mesh.start("dns", place));
        kills += 1;
        while killed_at.elapsed() < Duration::from_secs(1) {
            change(&mesh, &mut truth, &mut random);
            thread::sleep(Duration::from_millis(20));
        }
    }
    let mut slowest = Duration::ZERO;
    for client in &clients {
        slowest += until(
            "an agent has the database's truth",
            TRUTH_WITHIN.saturating_sub(slowest),
            || knows(client, &truth),
        );
    }
    stop.store(true, Ordering::Relaxed);
    for picker in pickers {
        picker.join().expect("no pick failed");
    }
    println!(
        "{kills} kills, {} picks, none failed; all agents had the truth after {slowest:.1?}",
        picks.load(Ordering::Relaxed)
    );
    drop(agents);
}
