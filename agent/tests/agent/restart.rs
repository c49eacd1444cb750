//! Stopping and starting: with dns gone, with a damaged file, beside another agent, with several addresses.

use crate::fake_dns::FakeDns;
use crate::house::{House, eventually, module_of, node, over_both};
use lars_agent::{Agent, AgentError};
use lars_pool::IoChoice;
use lars_wire::admin::LinkState;
use lars_wire::caller::Status;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

over_both!(
    restart_with_dns_gone_answers_from_disk,
    routes_are_on_disk_soon_after_they_came,
    damaged_file_is_put_aside_and_the_agent_starts,
    second_agent_on_the_same_socket_is_refused_and_the_first_goes_on,
    next_dns_in_the_list_takes_over,
    dns_that_comes_late_is_found,
    dns_that_is_silent_or_no_dns_at_all_is_given_up_for_another,
);

fn restart_with_dns_gone_answers_from_disk(io: IoChoice) {
    let mut house = House::ready(io);
    let modules = [module_of(0, 0), module_of(1, 0)];
    let mut caller = house.caller();
    for module in modules {
        house.dns().put(module, &["10.0.0.1:80", "[2001:db8::2]:80"]);
        caller.register(module, 10_000);
    }
    let before = caller.route(modules[0], 0).1;
    assert!(house.stop() < Duration::from_millis(1_500));
    let addr = house.dns().addr.clone();
    house.dns = None;
    house.start();
    let mut caller = house.caller();
    for module in modules {
        assert_eq!(caller.pick(module).status, Status::Ok);
    }
    assert_eq!(caller.route(modules[0], 0).1, before);
    // Another dns at the same address knows better: what the disk remembered is compared and replaced.
    let dns = FakeDns::start_at(&addr, 8);
    let version = dns.put(modules[0], &["10.0.0.3:80"]);
    house.dns = Some(dns);
    house.dns().wait_ack(modules[0], version);
    assert_eq!(caller.pick(modules[0]).node, node("10.0.0.3:80"));
}

fn routes_are_on_disk_soon_after_they_came(io: IoChoice) {
    let house = House::ready(io);
    house.dns().put(module_of(0, 0), &["10.0.0.1:80"]);
    house.caller().register(module_of(0, 0), 10_000);
    // Not only at stop: a machine may lose its power.
    eventually("the file", || house.config.routes_path.exists());
}

fn damaged_file_is_put_aside_and_the_agent_starts(io: IoChoice) {
    let mut house = House::ready(io);
    let module = module_of(0, 0);
    house.dns().put(module, &["10.0.0.1:80"]);
    house.caller().register(module, 10_000);
    house.stop();
    let mut bytes = std::fs::read(&house.config.routes_path).expect("the file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&house.config.routes_path, &bytes).expect("the folder is ours");
    house.start();
    assert_eq!(
        std::fs::read(house.path("agent.routes.damaged")).expect("it was put aside"),
        bytes
    );
    assert_eq!(house.caller().pick_within(module, 10_000).status, Status::Ok);
}

fn second_agent_on_the_same_socket_is_refused_and_the_first_goes_on(io: IoChoice) {
    let house = House::ready(io);
    let mut caller = house.caller();
    let error = house.try_start().err().expect("the path is taken");
    assert!(
        matches!(&error, AgentError::Listen { path, .. } if *path == house.config.socket),
        "{error:?}"
    );
    assert!(error.to_string().contains("agent.sock"), "{error}");
    caller.ping();
    house.caller().ping();
    house.caller_of(1).ping();
}

fn next_dns_in_the_list_takes_over(io: IoChoice) {
    let mut house = House::new(io);
    let second = FakeDns::start();
    house.config.dns.push(second.addr.clone());
    let module = module_of(1, 0);
    house.dns().put(module, &["10.0.0.1:80"]);
    second.put(module, &["10.0.0.1:80"]);
    house.start();
    let mut caller = house.caller();
    assert_eq!(caller.pick_within(module, 10_000).status, Status::Ok);
    let up = |agent: &Agent| {
        let links = agent.links();
        links
            .iter()
            .find(|link| link.to == "dns" && link.state == LinkState::Up)
            .map(|link| link.addr.clone())
    };
    let first = up(house.agent()).expect("a link is up");
    let other = if first == second.addr {
        drop(second);
        house.dns().addr.clone()
    } else {
        house.dns = None;
        second.addr.clone()
    };
    eventually("the other takes over", || {
        up(house.agent()).as_deref() == Some(other.as_str())
    });
    // A lost link costs no answer.
    assert_eq!(caller.pick(module).status, Status::Ok);
}

fn dns_that_comes_late_is_found(io: IoChoice) {
    let mut house = House::new(io);
    let addr = house.dns().addr.clone();
    house.dns = None;
    let agent = house.try_start().expect("an agent starts without dns");
    assert!(!agent.ready());
    let dns = FakeDns::start_at(&addr, 9);
    eventually("the link", || agent.ready());
    assert!(dns.state().connected());
    agent.stop();
}

fn dns_that_is_silent_or_no_dns_at_all_is_given_up_for_another(io: IoChoice) {
    let mut house = House::new(io);
    // One accepts and says nothing, one speaks another protocol.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let stranger = TcpListener::bind("127.0.0.1:0").expect("a port");
    for listener in [&silent, &stranger] {
        let addr = listener.local_addr().expect("bound").to_string();
        house.config.dns.insert(0, addr);
    }
    let talk = thread::spawn(move || {
        for mut stream in stranger.incoming().flatten() {
            let wrote = stream.write_all(b"220 mail ready\r\n");
            // The agent says hello; whoever says nothing ends this.
            if wrote.is_err() || !stream.read(&mut [0; 1]).is_ok_and(|bytes| bytes == 1) {
                return;
            }
        }
    });
    house.start();
    let module = module_of(0, 0);
    house.dns().put(module, &["10.0.0.1:80"]);
    assert_eq!(house.caller().pick_within(module, 10_000).status, Status::Ok);
    let stranger = house.config.dns[0].clone();
    house.stop();
    // Nobody connects to it any more: this ends its thread.
    drop(TcpStream::connect(stranger));
    talk.join().expect("no panic");
}
