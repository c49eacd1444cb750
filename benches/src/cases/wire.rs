//! Bytes to messages and back.

use super::{Case, Operation};
use crate::exchange::route_page;
use crate::services::node;
use lars_wire::bounds::{FRAME_BYTES_MAX, HEADER_BYTES};
use lars_wire::caller::{BarePick, GetRoute, Node, Outcome, Pick, Report, ReportBatch, Status};
use lars_wire::record::{Tally, TallyBatch};
use lars_wire::session::Session;
use lars_wire::{FrameError, Message, ModuleId, PREFACE, codec};
use std::hint::black_box;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "wire.frames32.cut",
        make: frames,
    },
    Case {
        name: "wire.pick.decode",
        make: || decode(&Pick::new(MODULE)),
    },
    Case {
        name: "wire.pick.decode.bare",
        make: bare_pick,
    },
    Case {
        name: "wire.pick.decode.avoid3",
        make: || decode(&pick_that_avoids(3)),
    },
    Case {
        name: "wire.report.decode",
        make: || decode(&report()),
    },
    Case {
        name: "wire.report_batch32.decode",
        make: || {
            decode(&ReportBatch {
                reports: vec![report(); 32],
            })
        },
    },
    Case {
        name: "wire.node.decode",
        make: || decode(&answer()),
    },
    Case {
        name: "wire.node.encode",
        make: || encode(answer()),
    },
    Case {
        name: "wire.pick.encode",
        make: || encode(Pick::new(MODULE)),
    },
    Case {
        name: "wire.report.encode",
        make: || encode(report()),
    },
    Case {
        name: "wire.get_route.decode",
        make: || {
            decode(&GetRoute {
                module: MODULE,
                deadline_ms: 0,
            })
        },
    },
    Case {
        name: "wire.page10.encode",
        make: || encode(route_page()),
    },
    Case {
        name: "wire.tally_batch512.decode",
        make: || decode(&tallies()),
    },
];

const MODULE: ModuleId = ModuleId::new(1, 2);

fn pick_that_avoids(count: u32) -> Pick {
    let mut pick = Pick::new(MODULE);
    (0..count).for_each(|number| {
        pick.avoid.push(node(number));
    });
    pick
}

fn report() -> Report {
    Report {
        module: MODULE,
        node: node(1),
        token: 7,
        outcome: Outcome::Ok,
        retcode: 0,
        latency_us: 1_000,
    }
}

fn answer() -> Node {
    Node {
        status: Status::Ok,
        node: node(1),
        token: 7,
        version: 9,
    }
}

fn tallies() -> TallyBatch {
    let tally = |number| Tally {
        module: MODULE,
        node: node(number),
        ok: 90,
        ..Tally::default()
    };
    TallyBatch {
        incarnation: [1; 16],
        sequence: 1,
        caller: 1,
        age_ms: 0,
        tallies: (0..512).map(tally).collect(),
    }
}

/// The frame of a message that is known to fit.
fn framed(message: &impl Message) -> Vec<u8> {
    let mut frame = Vec::new();
    codec::append(message, 1, &mut frame).expect("a message of ours fits a frame");
    frame
}

fn decode<M: Message>(message: &M) -> Operation {
    let frame = framed(message);
    Box::new(move || {
        // By reference: handing it over by value would measure the copy.
        let decoded = codec::decode::<M>(black_box(&frame[HEADER_BYTES..]));
        black_box(&decoded);
    })
}

fn bare_pick() -> Operation {
    let frame = framed(&Pick::new(MODULE));
    Box::new(move || {
        let read = BarePick::read(black_box(&frame[HEADER_BYTES..]));
        black_box(&read);
    })
}

fn encode<M: Message + 'static>(message: M) -> Operation {
    let mut frame = vec![0; FRAME_BYTES_MAX];
    Box::new(move || {
        let encoded = codec::encode(black_box(&message), 1, black_box(&mut frame));
        black_box(&encoded);
    })
}

fn frames() -> Operation {
    let mut bytes = PREFACE.to_vec();
    let pick = framed(&Pick::new(MODULE));
    (0..32).for_each(|_| bytes.extend_from_slice(&pick));
    Box::new(move || {
        let drained = Session::new().drain(black_box(&bytes), 256, |frame| {
            black_box(&frame);
            Ok::<_, FrameError>(())
        });
        black_box(&drained);
    })
}
