//! How calls are told: verdicts, drops, batches, and the barrier behind them.

use crate::fake_agent::{FakeAgent, Got, MODULE, PATIENCE, addr, folder, one_node, patient};
use lars_client::{Call, Client, ClientError, NodeAddr, Outcome, Report};
use lars_wire::Kind;
use lars_wire::caller::ReportBatch;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Picks, judges the call as told, and returns the report that came.
fn report_of(judge: impl FnOnce(Call)) -> Report {
    let (_folder, path) = folder();
    let agent = FakeAgent::new(&path, one_node);
    let call = patient(&path).pick(MODULE).expect("there is a node");
    judge(call);
    agent.wait_for_report()
}

#[test]
fn verdict_is_reported_with_node_token_and_latency() {
    let waited = Duration::from_millis(2);
    let report = report_of(|call| {
        while call.elapsed() < waited {
            std::hint::spin_loop();
        }
        call.failed(-7).expect("the agent takes it");
    });
    assert_eq!(
        (report.module, report.node, report.token),
        (MODULE, addr("10.0.0.1:7777"), 1)
    );
    assert_eq!((report.outcome, report.retcode), (Outcome::Failed, -7));
    assert!(report.latency_us >= 2_000, "{} us", report.latency_us);
}

#[test]
fn each_verdict_has_its_outcome() {
    let outcome = |judge: fn(Call) -> Result<(), ClientError>| {
        report_of(|call| judge(call).expect("the agent takes it")).outcome
    };
    assert_eq!(outcome(Call::ok), Outcome::Ok);
    assert_eq!(outcome(Call::timed_out), Outcome::TimedOut);
    assert_eq!(outcome(Call::cancelled), Outcome::Cancelled);
}

#[test]
fn call_dropped_without_a_verdict_is_cancelled_once() {
    assert_eq!(report_of(drop).outcome, Outcome::Cancelled);
    let (_folder, path) = folder();
    let agent = FakeAgent::new(&path, one_node);
    let client = patient(&path);
    client
        .pick(MODULE)
        .expect("there is a node")
        .ok()
        .expect("the agent takes it");
    client.flush().expect("the agent answers");
    assert_eq!(agent.reports(), 1, "a judged call is not cancelled as well");
}

#[test]
fn call_that_became_a_node_is_not_reported() {
    let (_folder, path) = folder();
    let agent = FakeAgent::new(&path, one_node);
    let client = patient(&path);
    assert_eq!(
        client.pick(MODULE).expect("there is a node").into_node(),
        addr("10.0.0.1:7777")
    );
    client
        .pick(MODULE)
        .expect("there is a node")
        .ok()
        .expect("the agent takes it");
    client.flush().expect("the agent answers");
    assert_eq!(agent.reports(), 1);
}

#[test]
fn call_may_be_judged_on_another_thread() {
    let report = report_of(|call| {
        std::thread::spawn(move || call.ok())
            .join()
            .expect("no panic")
            .expect("the agent takes it");
    });
    assert_eq!(report.outcome, Outcome::Ok);
}

#[test]
fn report_without_a_call_says_what_it_was_told() {
    let (_folder, path) = folder();
    let agent = FakeAgent::new(&path, one_node);
    let node = addr("[::1]:80");
    let hour = Duration::from_hours(2);
    patient(&path)
        .report(MODULE, node, Outcome::TimedOut, 3, hour)
        .expect("the agent takes it");
    let told = Report {
        module: MODULE,
        node,
        token: 0,
        outcome: Outcome::TimedOut,
        retcode: 3,
        latency_us: u32::MAX,
    };
    assert_eq!(
        agent.wait_for_report(),
        told,
        "two hours are more than a report can carry"
    );
}

fn reports(count: u32) -> Vec<Report> {
    let report = |n: u32| Report {
        module: MODULE,
        node: NodeAddr::from_ipv4_number(n + 1, 80),
        token: 0,
        outcome: Outcome::Ok,
        retcode: 0,
        latency_us: n,
    };
    (0..count).map(report).collect()
}

#[test]
fn many_reports_travel_in_frames_of_1024_in_order() {
    let (_folder, path) = folder();
    let agent = FakeAgent::new(&path, one_node);
    let client = patient(&path);
    client.report_many(&reports(2_500)).expect("the agent takes them");
    client.report_many(&[]).expect("nothing is easy");
    let batches = agent.wait_for(Kind::ReportBatch, 3);
    let batches: Vec<ReportBatch> = batches.iter().map(Got::decode).collect();
    let sizes: Vec<usize> = batches.iter().map(|batch| batch.reports.len()).collect();
    assert_eq!(sizes, [1_024, 1_024, 452]);
    let came: Vec<Report> = batches.into_iter().flat_map(|batch| batch.reports).collect();
    assert_eq!(came, reports(2_500));
}

#[test]
fn flush_returns_when_every_connection_with_reports_has_ponged() {
    let (_folder, path) = folder();
    let agent = FakeAgent::new(&path, one_node);
    let client = patient(&path);
    // Three connections, since three calls of three threads are asked at one moment at least once.
    let barrier = std::sync::Barrier::new(3);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                barrier.wait();
                for _ in 0..100 {
                    client.report_many(&reports(10)).expect("the agent takes them");
                }
            });
        }
    });
    client.flush().expect("the agent answers");
    assert_eq!(agent.reports(), 3_000, "all are there when flush returns");
    let pings = agent.wait_for(Kind::Ping, 1).len();
    client.flush().expect("there is nothing to ask");
    assert_eq!(
        agent.wait_for(Kind::Ping, 1).len(),
        pings,
        "nothing was reported since"
    );
}

#[test]
fn flush_waits_for_a_connection_that_another_thread_uses() {
    let (_folder, path) = folder();
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let agent = FakeAgent::new(&path, move |got, peer| {
        if got.kind == Kind::Pick {
            held.lock()
                .expect("no panic")
                .recv()
                .expect("the test lets it go");
        }
        one_node(got, peer);
    });
    let client = Client::builder()
        .path(&path)
        .connections_max(2)
        .connect()
        .expect("it listens");
    client.report_many(&reports(5)).expect("the agent takes them");
    std::thread::scope(|scope| {
        let picker = scope.spawn(|| client.pick(MODULE).map(|call| call.node()));
        agent.wait_for(Kind::Pick, 1);
        let flusher = scope.spawn(|| client.flush());
        release.send(()).expect("the agent waits");
        picker.join().expect("no panic").expect("there is a node");
        flusher.join().expect("no panic").expect("the agent answers");
    });
    assert_eq!(agent.wait_for(Kind::Ping, 1)[0].connection, 0);
}

#[test]
fn flush_comes_through_although_other_threads_never_pause() {
    let (_folder, path) = folder();
    let agent = FakeAgent::new(&path, one_node);
    let client = Client::builder().path(&path).timeout(PATIENCE).connections_max(1);
    let client = client.connect().expect("it listens");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !done.load(Ordering::SeqCst) {
                    client
                        .pick(MODULE)
                        .expect("there is a node")
                        .ok()
                        .expect("the agent takes it");
                }
            });
        }
        for _ in 0..20 {
            let reported = agent.reports();
            client.flush().expect("the agent answers");
            assert!(agent.reports() >= reported);
        }
        done.store(true, Ordering::SeqCst);
    });
    assert_eq!(agent.connections(), 1);
}
