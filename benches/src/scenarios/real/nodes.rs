//! Real nodes on loopback: a UDP socket each, so many workers, service times and faults as a scenario says. A datagram is
//! a call's number; the answer is the number and whether it went well.

use crate::error::{BenchError, Doing};
use lars_simulator::{Change, NodePlan, Service};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{Notify, Semaphore};

/// Bytes of a call: its number.
pub(super) const CALL_BYTES: usize = 8;
/// Bytes of an answer: the number, and 1 where it went well.
pub(super) const ANSWER_BYTES: usize = CALL_BYTES + 1;
/// What the timer is late on average: it wakes at whole milliseconds.
const TIMER_LATE: Duration = Duration::from_micros(500);

/// What is wrong with a node now.
#[derive(Clone, Copy, Debug, Default)]
struct Fault {
    black_hole: bool,
    /// 0 for as fast as ever.
    slow: f64,
    fail_share: f64,
    fail_after: Duration,
    /// Counts black holes: what a node held when it became one is lost.
    life: u32,
}

struct Shared {
    fault: Mutex<Fault>,
    service: Service,
    workers: Semaphore,
}

impl Shared {
    fn fault(&self) -> Fault {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Running nodes; dropping them ends them.
pub(super) struct Nodes {
    pub(super) addrs: Vec<SocketAddr>,
    shared: Vec<Arc<Shared>>,
    stop: Arc<Notify>,
    thread: Option<JoinHandle<()>>,
}

impl Nodes {
    /// One node for each plan.
    pub(super) fn start(plans: &[NodePlan]) -> Result<Self, BenchError> {
        let (mut sockets, mut addrs, mut shared) = (Vec::new(), Vec::new(), Vec::new());
        for plan in plans {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).doing("opening a node's socket")?;
            socket.set_nonblocking(true).doing("opening a node's socket")?;
            addrs.push(socket.local_addr().doing("opening a node's socket")?);
            sockets.push(socket);
            shared.push(Arc::new(Shared {
                fault: Mutex::default(),
                service: plan.service,
                workers: Semaphore::new(plan.workers as usize),
            }));
        }
        let stop = Arc::new(Notify::new());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .doing("starting the nodes")?;
        let (stopped, served) = (Arc::clone(&stop), shared.clone());
        let serve_all = async move {
            let nodes = sockets.into_iter().zip(served).zip(1..);
            for ((socket, shared), seed) in nodes {
                tokio::task::spawn_local(serve(socket, shared, seed));
            }
            stopped.notified().await;
        };
        let thread = std::thread::Builder::new()
            .name("nodes".to_owned())
            .spawn(move || tokio::task::LocalSet::new().block_on(&runtime, serve_all))
            .doing("starting the nodes")?;
        Ok(Self {
            addrs,
            shared,
            stop,
            thread: Some(thread),
        })
    }

    /// Something happens to a node; an error where it cannot happen to a real one.
    pub(super) fn change(&self, node: u32, change: Change) -> Result<(), BenchError> {
        let shared = &self.shared[node as usize];
        let mut fault = shared.fault.lock().unwrap_or_else(PoisonError::into_inner);
        match change {
            Change::BlackHole => {
                fault.black_hole = true;
                fault.life += 1;
            }
            Change::Slow { factor } => fault.slow = factor,
            Change::Fail { share, after } => {
                fault.fail_share = share;
                fault.fail_after = Duration::from_nanos(after);
            }
            Change::Heal => {
                *fault = Fault {
                    life: fault.life,
                    ..Fault::default()
                };
            }
            other => {
                return Err(BenchError::Answer(format!(
                    "{} does not happen to real nodes",
                    other.name()
                )));
            }
        }
        Ok(())
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        self.stop.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic of theirs was printed when it happened.
            let _ = thread.join();
        }
    }
}

async fn serve(socket: UdpSocket, shared: Arc<Shared>, seed: u64) {
    let Ok(socket) = tokio::net::UdpSocket::from_std(socket) else {
        return;
    };
    let (socket, mut random) = (Arc::new(socket), fastrand::Rng::with_seed(seed));
    let mut call = [0; CALL_BYTES];
    loop {
        let Ok((CALL_BYTES, from)) = socket.recv_from(&mut call).await else {
            continue;
        };
        if !shared.fault().black_hole {
            let (socket, shared, luck) = (Arc::clone(&socket), Arc::clone(&shared), random.fork());
            tokio::task::spawn_local(answer(socket, shared, from, call, luck));
        }
    }
}

async fn answer(
    socket: Arc<tokio::net::UdpSocket>,
    shared: Arc<Shared>,
    from: SocketAddr,
    call: [u8; CALL_BYTES],
    mut luck: fastrand::Rng,
) {
    let life = shared.fault().life;
    let Ok(_worker) = shared.workers.acquire().await else {
        return;
    };
    let fault = shared.fault();
    let fails = luck.f64() < fault.fail_share;
    let time = if fails {
        fault.fail_after
    } else {
        let mean = shared.service.mean() * if fault.slow > 0.0 { fault.slow } else { 1.0 };
        let nanos = match shared.service {
            Service::Constant { .. } => mean,
            Service::Exponential { .. } | Service::Lognormal { .. } => -mean * (1.0 - luck.f64()).ln(),
        };
        Duration::from_nanos(nanos as u64)
    };
    tokio::time::sleep(time.saturating_sub(TIMER_LATE)).await;
    let fault = shared.fault();
    if fault.life != life || fault.black_hole {
        return;
    }
    let mut bytes = [0; ANSWER_BYTES];
    bytes[..CALL_BYTES].copy_from_slice(&call);
    bytes[CALL_BYTES] = u8::from(!fails);
    // A caller that is gone misses nothing.
    let _ = socket.send_to(&bytes, from).await;
}
