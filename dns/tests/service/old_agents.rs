//! Agents of the C++ Lars on dns's usual port: they are answered and pushed to, and whatever they send harms nobody.

use crate::peer::{Peer, module, node, put, remove};
use crate::running::{DEADLINE, Store, connect, wait_until};
use lars_compat::message::{GetRoute, Host, Route};
use lars_compat::{HEADER_BYTES, MessageId, decode, encode, split};
use lars_dns::Dns;
use lars_wire::NodeAddr;
use std::io::{Read, Write};
use std::net::TcpStream;

/// An agent of the C++ Lars, as far as dns sees it.
struct OldAgent(TcpStream);

fn ask(cmdid: i32) -> Vec<u8> {
    ask_for(1, cmdid)
}

fn ask_for(modid: i32, cmdid: i32) -> Vec<u8> {
    let mut bytes = vec![0; 64];
    let written = encode(MessageId::GetRoute, &GetRoute { modid, cmdid }, &mut bytes);
    bytes.truncate(written.expect("it fits"));
    bytes
}

fn frame(number: i32, length: i32, body: &[u8]) -> Vec<u8> {
    [&number.to_le_bytes()[..], &length.to_le_bytes(), body].concat()
}

fn hosts(nodes: &[NodeAddr]) -> Vec<Host> {
    nodes.iter().filter_map(|node| Host::of(*node)).collect()
}

impl OldAgent {
    fn connect(dns: &Dns) -> Self {
        let stream = TcpStream::connect(dns.addr()).expect("dns listens");
        stream.set_nodelay(true).expect("a socket option");
        stream.set_read_timeout(Some(DEADLINE)).expect("a socket option");
        Self(stream)
    }

    fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).expect("dns reads");
    }

    fn next(&mut self) -> Route {
        let mut bytes = vec![0; HEADER_BYTES];
        self.0.read_exact(&mut bytes).expect("a header arrives");
        let length = i32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
        bytes.resize(HEADER_BYTES + length as usize, 0);
        self.0
            .read_exact(&mut bytes[HEADER_BYTES..])
            .expect("a body arrives");
        let frame = split(&bytes).expect("a good frame").expect("a whole one");
        assert_eq!(frame.id(), Some(MessageId::Route));
        decode(MessageId::Route, frame.body).expect("a route")
    }

    fn is_told(&mut self, cmdid: i32, nodes: &[NodeAddr]) {
        let route = self.next();
        assert_eq!((route.modid, route.cmdid), (1, cmdid));
        assert_eq!(route.hosts, hosts(nodes));
    }

    fn is_closed(&mut self) -> bool {
        let mut rest = [0; 256];
        loop {
            match self.0.read(&mut rest) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return error.kind() == std::io::ErrorKind::ConnectionReset,
            }
        }
    }
}

#[test]
fn old_agent_is_answered_and_told_of_every_change() {
    let store = Store::new();
    let dns = store.dns();
    let mut ours = connect(&dns);
    ours.edit(&[put(1, 1)]);
    let mut old = OldAgent::connect(&dns);
    old.send(&ask(1));
    old.is_told(1, &[node(1)]);
    ours.edit(&[put(1, 2)]);
    old.is_told(1, &[node(1), node(2)]);
    ours.edit(&[put(2, 9)]);
    ours.edit(&[remove(1, 1)]);
    old.is_told(1, &[node(2)]);
    ours.edit(&[remove(1, 2)]);
    old.is_told(1, &[]);
    ours.edit(&[put(1, 3)]);
    old.is_told(1, &[node(3)]);
    assert_eq!((ours.count("old_agents"), ours.count("bad_frames")), (1, 0));
    // An agent that cannot confirm is not waited for.
    assert_eq!(dns.stats().value("edits_unconfirmed"), Some(0));
    drop(old);
    wait_until("it is known that it left", || ours.count("old_agents") == 0);
}

#[test]
fn module_that_comes_later_is_pushed_to_who_asked_before() {
    let store = Store::new();
    let dns = store.dns();
    let mut ours = connect(&dns);
    ours.edit(&[put(9, 9)]);
    let mut old = OldAgent::connect(&dns);
    old.send(&ask(1));
    old.is_told(1, &[]);
    ours.edit(&[put(1, 1)]);
    old.is_told(1, &[node(1)]);
}

#[test]
fn frames_split_and_joined_anywhere_are_answered_in_order() {
    let store = Store::new();
    let dns = store.dns();
    connect(&dns).edit(&[put(1, 1), put(2, 2)]);
    let mut old = OldAgent::connect(&dns);
    for byte in ask(1) {
        old.send(&[byte]);
    }
    old.is_told(1, &[node(1)]);
    let many: Vec<u8> = (0..2_000).flat_map(|place| ask(1 + place % 2)).collect();
    let mut writer = OldAgent(old.0.try_clone().expect("a second handle"));
    let writing = std::thread::spawn(move || {
        for piece in many.chunks(777) {
            writer.send(piece);
        }
    });
    for place in 0..2_000 {
        old.is_told(1 + place % 2, &[node(1 + place as u32 % 2)]);
    }
    writing.join().expect("all was sent");
}

#[test]
fn nothing_that_an_old_agent_sends_harms_another() {
    let store = Store::new();
    let dns = store.dns();
    let mut ours = connect(&dns);
    ours.edit(&[put(1, 1)]);
    let mut good = OldAgent::connect(&dns);
    good.send(&ask(1));
    good.is_told(1, &[node(1)]);

    // Odd, and answered or skipped.
    let mut odd = OldAgent::connect(&dns);
    odd.send(&frame(1, 0, &[]));
    let nothing = odd.next();
    assert_eq!((nothing.modid, nothing.cmdid, nothing.hosts.len()), (0, 0, 0));
    odd.send(&ask_for(0, 0));
    assert_eq!(odd.next(), nothing);
    odd.send(&ask_for(-1, i32::MIN));
    let negative = odd.next();
    assert_eq!((negative.modid, negative.cmdid), (-1, i32::MIN));
    for skipped in [0, 2, 3, 8, 9, 77, -1, i32::MAX, i32::MIN] {
        odd.send(&frame(skipped, 3, b"abc"));
        odd.send(&frame(skipped, 0, &[]));
    }
    odd.send(&ask(1));
    odd.is_told(1, &[node(1)]);
    assert_eq!(dns.stats().value("old_skipped"), Some(18));

    // Broken, and closed.
    for broken in [
        frame(1, -1, &[]),
        frame(1, i32::MIN, &[]),
        frame(1, 65_528, &[]),
        frame(1, i32::MAX, &[0; 100]),
        frame(1, 2, &[0x08, 0x80]),
        frame(1, 3, &[0xff; 3]),
    ] {
        let mut bad = OldAgent::connect(&dns);
        bad.send(&ask(1));
        bad.is_told(1, &[node(1)]);
        bad.send(&broken);
        assert!(bad.is_closed(), "{broken:?}");
    }
    ours.edit(&[put(1, 2)]);
    good.is_told(1, &[node(1), node(2)]);
    odd.is_told(1, &[node(1), node(2)]);
    assert_eq!((ours.count("bad_frames"), ours.count("old_agents")), (6, 2));
}

#[test]
fn more_than_a_thousand_old_agents_are_served_together() {
    const AGENTS: usize = 1_100;
    let store = Store::new();
    let dns = store.dns_with(|config| config.cores = 2);
    let mut ours = connect(&dns);
    ours.edit(&[put(1, 1)]);
    let mut old: Vec<OldAgent> = (0..AGENTS).map(|_| OldAgent::connect(&dns)).collect();
    for agent in &mut old {
        agent.send(&ask(1));
    }
    for agent in &mut old {
        agent.is_told(1, &[node(1)]);
    }
    assert_eq!(ours.count("old_agents"), AGENTS as u64);
    ours.edit(&[put(1, 2)]);
    for agent in &mut old {
        agent.is_told(1, &[node(1), node(2)]);
    }
}

#[test]
fn long_route_is_cut_to_one_frame_and_who_reads_slowly_gets_the_newest() {
    let store = Store::new();
    store.fill(1, 10_000);
    let dns = store.dns();
    let mut ours = connect(&dns);
    let mut old = OldAgent::connect(&dns);
    // More answers than any socket's buffers hold.
    for _ in 0..400 {
        old.send(&ask(1));
    }
    for last in 0..20 {
        ours.edit(&[remove(1, 10_000 - last)]);
    }
    ours.edit(&[remove(1, 1)]);
    let first = old.next();
    assert_eq!(first.hosts[0], hosts(&[node(1)])[0]);
    assert!(
        (5_457..10_000).contains(&first.hosts.len()),
        "{}",
        first.hosts.len()
    );
    let newest = hosts(&[node(2)])[0];
    while old.next().hosts[0] != newest {}
    let whole = ours.get_route(1).nodes();
    assert_eq!((whole.len(), whole[0]), (10_000 - 21, node(2)));
    assert_eq!(module(1).cmdid, 1);
}

#[test]
fn strangers_and_ours_are_told_apart_from_old_agents() {
    let store = Store::new();
    let dns = store.dns();
    connect(&dns).edit(&[put(1, 1)]);
    let mut stranger = Peer::silent(dns.addr());
    stranger.try_write(&[1, 0, 0, 7, 0, 0, 0, 0]);
    assert!(
        stranger.try_next().is_some(),
        "it is told that it lacks the preface"
    );
    let mut ours = connect(&dns);
    assert_eq!(ours.get_route(1).nodes(), [node(1)]);
    assert_eq!(ours.count("old_agents"), 0);
}
