//! Callers of the C++ Lars: each question answered exactly once by the rules of docs/COMPAT.md, each report counted.

use crate::caller::PATIENCE;
use crate::fake_report::Sum;
use crate::house::{House, eventually, module_of, node, over_both};
use lars_agent::AgentError;
use lars_compat::message::{GetHost, GetRoute, Host, HostAnswer, Report, Route};
use lars_compat::{DATAGRAM_BYTES_MAX, MessageId, datagram, decode, encode};
use lars_pool::IoChoice;
use lars_wire::{ModuleId, NodeAddr};
use prost::Message;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};

over_both!(
    module_is_asked_for_and_there_a_moment_later,
    any_port_serves_any_module_in_turns,
    fifteen_failures_running_overload_a_node_and_successes_bring_it_back,
    reports_of_old_callers_are_counted_exactly,
    long_route_is_cut_to_a_datagram,
    nodes_that_cannot_be_named_are_passed_over,
    garbage_costs_no_good_answer,
    each_question_is_answered_once_whatever_the_load,
    what_is_queued_at_the_stop_is_answered_first,
    taken_port_is_told,
);

/// Random datagrams of the short form; `LARS_GARBAGE=1000000` for the long one.
const GARBAGE: u32 = 20_000;

/// A caller of the C++ Lars, on one of the front's ports.
struct OldCaller {
    socket: UdpSocket,
    seq: u32,
}

impl OldCaller {
    fn at(addr: SocketAddr) -> Self {
        let socket = UdpSocket::bind(("127.0.0.1", 0)).expect("a port is free");
        socket.connect(addr).expect("an address");
        socket.set_read_timeout(Some(PATIENCE)).expect("a socket option");
        Self { socket, seq: 0 }
    }

    fn send(&self, id: MessageId, message: &impl Message) {
        let mut bytes = [0; 128];
        let written = encode(id, message, &mut bytes).expect("it fits");
        self.socket.send(&bytes[..written]).expect("the kernel takes it");
    }

    fn receive<M: Message + Default>(&self, id: MessageId) -> M {
        let mut bytes = vec![0; 70_000];
        let length = loop {
            // A ring that this process closed meanwhile may interrupt the wait.
            match self.socket.recv(&mut bytes) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                received => break received.expect("an answer"),
            }
        };
        let frame = datagram(&bytes[..length]).expect("one frame");
        assert_eq!(frame.id(), Some(id));
        decode(id, frame.body).expect("a good body")
    }

    fn host(&mut self, module: ModuleId) -> HostAnswer {
        self.seq += 1;
        let ask = GetHost {
            seq: self.seq,
            modid: module.modid as i32,
            cmdid: module.cmdid as i32,
        };
        self.send(MessageId::GetHost, &ask);
        let answer: HostAnswer = self.receive(MessageId::HostAnswer);
        assert_eq!(
            (answer.seq, answer.modid, answer.cmdid),
            (ask.seq, ask.modid, ask.cmdid)
        );
        assert_eq!(answer.retcode == 0, answer.host.is_some());
        answer
    }

    fn picks(&mut self, module: ModuleId) -> Option<NodeAddr> {
        let host = self.host(module).host?;
        lars_compat::node_of(host.ip, host.port)
    }

    fn route(&self, module: ModuleId) -> Vec<Host> {
        let ask = GetRoute {
            modid: module.modid as i32,
            cmdid: module.cmdid as i32,
        };
        self.send(MessageId::CallerGetRoute, &ask);
        let route: Route = self.receive(MessageId::CallerRoute);
        assert_eq!((route.modid, route.cmdid), (ask.modid, ask.cmdid));
        route.hosts
    }

    fn report(&self, module: ModuleId, addr: &str, retcode: i32) {
        let report = Report {
            modid: module.modid as i32,
            cmdid: module.cmdid as i32,
            host: Host::of(node(addr)),
            retcode,
        };
        self.send(MessageId::Report, &report);
    }

    fn hears_no_more(&self) -> bool {
        self.socket.set_nonblocking(true).expect("a socket option");
        self.socket.recv(&mut [0; 10]).is_err()
    }
}

/// A house whose front has free ports.
fn house(io: IoChoice) -> (House, Vec<OldCaller>) {
    let mut house = House::new(io);
    house.compat.enabled = true;
    house.compat.udp_base = 0;
    house.start();
    let callers: Vec<_> = house
        .agent()
        .old_front()
        .iter()
        .map(|addr| OldCaller::at(*addr))
        .collect();
    assert_eq!(callers.len(), 3);
    (house, callers)
}

/// Registers as those callers do: asks for the route until it is there.
fn registered(house: &House, caller: &OldCaller, core: u16, nodes: &[&str]) -> ModuleId {
    let module = module_of(core, 0);
    house.dns().put(module, nodes);
    eventually("the module is there", || !caller.route(module).is_empty());
    module
}

fn module_is_asked_for_and_there_a_moment_later(io: IoChoice) {
    let (house, mut callers) = house(io);
    for core in [0, 1] {
        let (there, absent) = (module_of(core, 0), module_of(core, 1));
        house.dns().put(there, &["10.0.0.1:80"]);
        assert_eq!(
            callers[0].host(there).retcode,
            3,
            "at once, since it is not here yet"
        );
        eventually("the module is there", || {
            callers[1].picks(there) == Some(node("10.0.0.1:80"))
        });
        assert_eq!(
            callers[0].route(there),
            [Host::of(node("10.0.0.1:80")).expect("IPv4")]
        );
        assert_eq!(
            (callers[2].host(absent).retcode, callers[2].route(absent)),
            (3, vec![])
        );
        // Removed: gone for these callers too.
        house.dns().put(there, &[]);
        eventually("the module is gone", || callers[0].host(there).retcode == 3);
    }
    let zero = ModuleId::default();
    assert_eq!(
        (callers[0].host(zero).retcode, callers[0].route(zero)),
        (3, vec![])
    );
}

fn any_port_serves_any_module_in_turns(io: IoChoice) {
    let (house, mut callers) = house(io);
    let nodes = ["10.0.0.1:80", "10.0.0.2:80", "192.168.0.3:80"];
    for core in [0, 1] {
        let module = registered(&house, &callers[0], core, &nodes);
        for caller in &mut callers {
            let picked: Vec<_> = (0..30).filter_map(|_| caller.picks(module)).collect();
            for addr in nodes {
                let count = picked.iter().filter(|picked| **picked == node(addr)).count();
                assert_eq!(count, 10, "{addr}");
            }
        }
    }
}

fn fifteen_failures_running_overload_a_node_and_successes_bring_it_back(io: IoChoice) {
    let (house, mut callers) = house(io);
    let (good, bad) = ("10.0.0.1:80", "10.0.0.2:80");
    for core in [0, 1] {
        let module = registered(&house, &callers[0], core, &[good, bad]);
        let caller = &mut callers[usize::from(core)];
        let of_bad = |caller: &mut OldCaller| {
            let picked = (0..110).filter_map(|_| caller.picks(module));
            picked.filter(|picked| *picked == node(bad)).count()
        };
        for _ in 0..14 {
            caller.report(module, bad, 1);
        }
        assert_eq!(of_bad(caller), 55);
        caller.report(module, bad, -7);
        eventually("it is probed and no more", || of_bad(caller) == 10);
        for _ in 0..15 {
            caller.report(module, bad, 0);
        }
        eventually("it takes its share again", || of_bad(caller) == 55);
        for addr in [good, bad] {
            for _ in 0..15 {
                caller.report(module, addr, 1);
            }
        }
        eventually("all are overloaded", || {
            let answers: Vec<_> = (0..22).map(|_| caller.host(module).retcode).collect();
            answers.iter().filter(|code| **code == 1).count() == 20
        });
    }
}

fn reports_of_old_callers_are_counted_exactly(io: IoChoice) {
    let (house, callers) = house(io);
    let addr = "10.0.0.1:80";
    let modules = [0, 1].map(|core| registered(&house, &callers[0], core, &[addr]));
    for round in 0..300 {
        for (place, caller) in callers.iter().enumerate() {
            for module in modules {
                caller.report(module, addr, i32::from(round % 10 == 0));
            }
            // What names no node is no report.
            let nobody = Report {
                modid: 1,
                cmdid: 1,
                host: None,
                retcode: 0,
            };
            if place == 0 {
                caller.send(MessageId::Report, &nobody);
            }
        }
    }
    for module in modules {
        let wanted: Sum = [3 * 270, 3 * 30, 0, 0];
        house.report.wait_sum(module, node(addr), wanted);
    }
}

fn long_route_is_cut_to_a_datagram(io: IoChoice) {
    let (house, mut callers) = house(io);
    let module = module_of(1, 0);
    let nodes = (0..10_000).map(|number| NodeAddr::from_ipv4_number(0x0a00_0001 + number, 80));
    house.dns().put_route(module, nodes.collect());
    eventually("the module is there", || !callers[0].route(module).is_empty());
    let hosts = callers[0].route(module);
    assert!((5_456..10_000).contains(&hosts.len()), "{}", hosts.len());
    let route = Route {
        modid: 1,
        cmdid: 1,
        hosts: hosts.clone(),
    };
    assert!(route.encoded_len() + 8 <= DATAGRAM_BYTES_MAX);
    assert_eq!(callers[1].route(module), hosts, "the same ones each time");
    // Picks know them all.
    let mut picked: Vec<_> = (0..10_000).filter_map(|_| callers[2].picks(module)).collect();
    picked.sort_unstable();
    picked.dedup();
    assert_eq!(picked.len(), 10_000);
}

fn nodes_that_cannot_be_named_are_passed_over(io: IoChoice) {
    let (house, mut callers) = house(io);
    let mixed = ["10.0.0.1:80", "[2001:db8::1]:80", "10.0.0.2:80"];
    let module = registered(&house, &callers[0], 0, &mixed);
    for _ in 0..20 {
        let picked = callers[0].picks(module).expect("a node that can be named");
        assert!(picked.ipv4_number().is_some());
    }
    assert_eq!(callers[0].route(module).len(), 2);
    let only = module_of(1, 3);
    house.dns().put(only, &["[2001:db8::1]:80"]);
    eventually("it is known that none can be named", || {
        callers[0].host(only).retcode == 2
    });
}

fn garbage_costs_no_good_answer(io: IoChoice) {
    let (house, mut callers) = house(io);
    let module = registered(&house, &callers[0], 0, &["10.0.0.1:80"]);
    let given = std::env::var("LARS_SEED").ok().and_then(|text| text.parse().ok());
    let seed: u64 = given.unwrap_or_else(|| fastrand::u64(..));
    println!("LARS_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let given = std::env::var("LARS_GARBAGE")
        .ok()
        .and_then(|text| text.parse().ok());
    // What may be answered: nobody reads it, and the kernel drops what this socket has no room for.
    let wild = OldCaller::at(house.agent().old_front()[0]);
    for round in 0..given.unwrap_or(GARBAGE) {
        let length = random.usize(0..60);
        let mut bytes: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(length).collect();
        // Half of them with a header that fits, so that the body is looked at; none that would be answered.
        if round % 2 == 0 && length >= 8 {
            let id = [6, 1, 2, 3, 5, 8, 99][random.usize(..7)];
            bytes[..4].copy_from_slice(&i32::to_le_bytes(id));
            bytes[4..8].copy_from_slice(&(length as i32 - 8).to_le_bytes());
        }
        callers[0].socket.send(&bytes).expect("the kernel takes it");
        if length >= 8 {
            // The same as a question: a message or none, as chance wills.
            bytes[..4].copy_from_slice(&i32::to_le_bytes([4, 7][random.usize(..2)]));
            bytes[4..8].copy_from_slice(&(length as i32 - 8).to_le_bytes());
            wild.socket.send(&bytes).expect("the kernel takes it");
        }
        if round % 50 == 0 {
            assert_eq!(callers[0].picks(module), Some(node("10.0.0.1:80")));
            assert_eq!(callers[1].route(module).len(), 1);
        }
    }
    assert!(callers[0].hears_no_more());
}

fn each_question_is_answered_once_whatever_the_load(io: IoChoice) {
    let (house, callers) = house(io);
    let module = registered(&house, &callers[0], 0, &["10.0.0.1:80"]);
    let addrs = house.agent().old_front().to_vec();
    std::thread::scope(|scope| {
        for place in 0..16 {
            let addr = addrs[place % 3];
            scope.spawn(move || {
                let mut caller = OldCaller::at(addr);
                for _ in 0..500 {
                    assert!(caller.picks(module).is_some());
                    caller.report(module, "10.0.0.1:80", 0);
                }
                // Many at once, of one who has room for their answers.
                for seq in 0..100 {
                    let ask = GetHost {
                        seq,
                        modid: module.modid as i32,
                        cmdid: module.cmdid as i32,
                    };
                    caller.send(MessageId::GetHost, &ask);
                }
                for seq in 0..100 {
                    let answer: HostAnswer = caller.receive(MessageId::HostAnswer);
                    assert_eq!(answer.seq, seq);
                }
                assert!(caller.hears_no_more());
            });
        }
    });
    let wanted: Sum = [16 * 500, 0, 0, 0];
    house.report.wait_sum(module, node("10.0.0.1:80"), wanted);
}

fn what_is_queued_at_the_stop_is_answered_first(io: IoChoice) {
    let (mut house, mut callers) = house(io);
    let module = registered(&house, &callers[0], 0, &["10.0.0.1:80"]);
    assert!(callers[0].picks(module).is_some());
    let ask = GetHost {
        seq: 77,
        modid: module.modid as i32,
        cmdid: module.cmdid as i32,
    };
    for caller in &callers {
        for _ in 0..100 {
            caller.send(MessageId::GetHost, &ask);
        }
    }
    house.stop();
    for caller in &callers {
        for _ in 0..100 {
            let answer: HostAnswer = caller.receive(MessageId::HostAnswer);
            assert_eq!((answer.seq, answer.retcode), (77, 0));
        }
    }
}

fn taken_port_is_told(io: IoChoice) {
    let taken = UdpSocket::bind(("127.0.0.1", 0)).expect("a port is free");
    let port = taken.local_addr().expect("it is bound").port();
    let mut house = House::new(io);
    house.compat.enabled = true;
    house.compat.udp_base = port.min(u16::MAX - 2);
    let refused = house.try_start().err().expect("the port is taken");
    assert!(matches!(refused, AgentError::ListenUdp { .. }), "{refused}");
    assert!(refused.to_string().contains("udp_base"), "{refused}");
}
