//! A datagram's question and answer allocate nothing. Its own test program, since the counting allocator is the whole
//! program's.

use allocation_counter::measure;
use lars_compat::message::{GetHost, Host, HostAnswer, Report};
use lars_compat::route::RouteWriter;
use lars_compat::{DATAGRAM_BYTES_MAX, MessageId, datagram, decode, encode};
use lars_wire::{ModuleId, NodeAddr, NodeState};

#[test]
fn questions_answers_and_reports_allocate_nothing() {
    let host = Some(Host {
        ip: -1_062_731_775,
        port: 80,
    });
    let (ask, answer, report) = (
        GetHost {
            seq: 1,
            modid: 2,
            cmdid: 3,
        },
        HostAnswer {
            seq: 1,
            modid: 2,
            cmdid: 3,
            retcode: 0,
            host,
        },
        Report {
            modid: 2,
            cmdid: 3,
            host,
            retcode: 1,
        },
    );
    let mut out = [0; 128];
    let mut good = 0;
    let allocated = measure(|| {
        let bytes = encode(MessageId::GetHost, &ask, &mut out).unwrap_or(0);
        let body = datagram(&out[..bytes]).map_or(&[][..], |frame| frame.body);
        good += i32::from(decode::<GetHost>(MessageId::GetHost, body) == Ok(ask));
        let bytes = encode(MessageId::HostAnswer, &answer, &mut out).unwrap_or(0);
        let body = datagram(&out[..bytes]).map_or(&[][..], |frame| frame.body);
        good += i32::from(decode::<HostAnswer>(MessageId::HostAnswer, body) == Ok(answer));
        let bytes = encode(MessageId::Report, &report, &mut out).unwrap_or(0);
        let body = datagram(&out[..bytes]).map_or(&[][..], |frame| frame.body);
        good += i32::from(decode::<Report>(MessageId::Report, body) == Ok(report));
    });
    assert_eq!((good, allocated.count_total), (3, 0));
}

#[test]
fn route_writer_uses_its_memory_again() {
    let mut writer = RouteWriter::new();
    let mut out = vec![0; DATAGRAM_BYTES_MAX];
    let nodes = (1..1_000).map(|number| (NodeAddr::from_ipv4_number(number, 80), NodeState::Serving));
    let mut write = || writer.write(MessageId::CallerRoute, ModuleId::new(1, 2), &nodes, &mut out);
    assert!(write().is_some());
    assert_eq!(measure(|| assert!(write().is_some())).count_total, 0);
}
