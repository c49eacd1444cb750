//! Golden vectors: the bytes that programs long in use send and expect. Written by hand from the description, so that
//! they judge the derived code and not the other way round.

use lars_compat::message::{
    GetHost, GetRoute, Host, HostAnswer, HostCallResult, Report, Retcode, Route, Status,
};
use lars_compat::{MessageId, decode, encode, split};
use prost::Message;
use std::collections::BTreeMap;
use std::fmt::Debug;

pub(crate) const GOLDEN: &str = include_str!("../golden/frames.hex");

/// The lines of the table: name and bytes.
pub(crate) fn lines() -> BTreeMap<&'static str, Vec<u8>> {
    let lines = GOLDEN.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let mut words = line.split_whitespace();
            let name = words.next().expect("a name");
            (name, words.flat_map(from_hex).collect())
        })
        .collect()
}

fn from_hex(word: &str) -> Vec<u8> {
    let pair = |place| u8::from_str_radix(&word[place..place + 2], 16).expect("hexadecimal digits");
    (0..word.len()).step_by(2).map(pair).collect()
}

/// Those lines that were not compared yet.
struct Golden(BTreeMap<&'static str, Vec<u8>>);

impl Golden {
    fn is<M: Message + Default + PartialEq + Debug>(&mut self, name: &str, id: MessageId, message: &M) {
        let bytes = self.0.remove(name).unwrap_or_else(|| panic!("no line {name}"));
        let mut out = [0; 256];
        let written = encode(id, message, &mut out).expect("it fits");
        assert_eq!(out[..written], bytes, "{name}");
        let frame = split(&bytes).expect("good bytes").expect("a whole frame");
        assert_eq!((frame.id(), frame.bytes()), (Some(id), bytes.len()), "{name}");
        assert_eq!(decode::<M>(id, frame.body).as_ref(), Ok(message), "{name}");
    }
}

/// 10.0.0.1:7777
const FIRST: Host = Host {
    ip: 0x0a00_0001,
    port: 7_777,
};
/// 192.168.0.1:80
const SECOND: Host = Host {
    ip: 0xc0a8_0001_u32 as i32,
    port: 80,
};

fn route(hosts: &[Host]) -> Route {
    Route {
        modid: 1,
        cmdid: 2,
        hosts: hosts.to_vec(),
    }
}

fn answer(retcode: Retcode, host: Option<Host>) -> HostAnswer {
    HostAnswer {
        seq: 7,
        modid: 1,
        cmdid: 2,
        retcode: retcode as i32,
        host,
    }
}

fn report(retcode: i32) -> Report {
    Report {
        modid: 1,
        cmdid: 2,
        host: Some(FIRST),
        retcode,
    }
}

#[test]
fn every_message_has_the_bytes_that_the_description_gives() {
    let mut golden = Golden(lines());
    let ask = |modid, cmdid| GetRoute { modid, cmdid };
    golden.is("get_route", MessageId::GetRoute, &ask(1, 2));
    golden.is("get_route_zero", MessageId::GetRoute, &ask(0, 0));
    golden.is("get_route_negative", MessageId::GetRoute, &ask(-1, 300));
    golden.is("route", MessageId::Route, &route(&[FIRST, SECOND]));
    golden.is("route_gone", MessageId::Route, &route(&[]));
    let status = Status {
        modid: 1,
        cmdid: 2,
        caller: 0x0a00_0001,
        results: vec![HostCallResult {
            ip: SECOND.ip,
            port: SECOND.port,
            succ: 300,
            err: 7,
            overload: true,
        }],
        ts: 1_800_000_000,
    };
    golden.is("status", MessageId::Status, &status);
    golden.is("status_empty", MessageId::Status, &Status::default());
    let ask = |seq| GetHost {
        seq,
        modid: 1,
        cmdid: 2,
    };
    golden.is("get_host", MessageId::GetHost, &ask(7));
    golden.is("get_host_last", MessageId::GetHost, &ask(u32::MAX));
    golden.is("host", MessageId::HostAnswer, &answer(Retcode::Ok, Some(FIRST)));
    golden.is(
        "host_overloaded",
        MessageId::HostAnswer,
        &answer(Retcode::Overloaded, None),
    );
    golden.is(
        "host_not_found",
        MessageId::HostAnswer,
        &answer(Retcode::NotFound, None),
    );
    golden.is("report_success", MessageId::Report, &report(0));
    golden.is("report_failure", MessageId::Report, &report(1));
    let ask = GetRoute { modid: 1, cmdid: 2 };
    golden.is("caller_get_route", MessageId::CallerGetRoute, &ask);
    golden.is("caller_route", MessageId::CallerRoute, &route(&[FIRST]));
    assert_eq!(
        golden.0.len(),
        0,
        "lines without a message: {:?}",
        golden.0.keys()
    );
}
