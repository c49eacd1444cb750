//! The running service: its cores, its control thread, and what its owner may ask.

use crate::catalog::Catalog;
use crate::config::DnsConfig;
use crate::control::{Control, ControlParts};
use crate::core::{CoreParts, DnsCore};
use crate::error::DnsError;
use crate::mail::{Mail, REQUESTS_WAITING_MAX, Word};
use crate::stats::{Counts, DnsStats};
use crate::subscriptions::Subscriptions;
use lars_pool::{Bind, CoreIndex, Cores, CoresConfig, IoInUse, Plan, control};
use lars_store::{StoreConfig, StoreError};
use std::net::SocketAddr;
use std::sync::{Arc, mpsc as std_mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How long a start waits to hear whether the store will do: long enough for a file, and one behind a network is
/// waited for while dns runs.
const STORE_FIRST_MAX: Duration = Duration::from_secs(3);

/// A running dns. Dropping it stops it.
#[derive(Debug)]
pub struct Dns {
    addr: SocketAddr,
    io: IoInUse,
    stats: DnsStats,
    words: mpsc::UnboundedSender<Word>,
    control: Option<JoinHandle<()>>,
    cores: Option<Cores>,
}

/// Whether a dns is ready, for those who ask again and again. Clones ask the same dns.
#[derive(Clone, Debug)]
pub struct DnsReadiness(DnsStats);

impl DnsReadiness {
    /// Whether the routes were read: before that, nobody is told anything.
    pub fn ready(&self) -> bool {
        self.0.0.catalog.is_loaded()
    }
}

impl Dns {
    /// Listens, and starts to read the store. Returns before the routes are read: see [`Self::ready`]. A store that is
    /// away is waited for; one that will not do is an error.
    pub fn start(config: &DnsConfig, store: &StoreConfig) -> Result<Self, DnsError> {
        config.check().map_err(DnsError::Config)?;
        store.check().map_err(DnsError::Store)?;
        let mut plan: Plan<Mail> = Plan::new(cores_of(config)).map_err(system("cannot prepare the cores"))?;
        let addr = listen(&mut plan, config.listen)?;

        let incarnation = random()?;
        let (first, second) = incarnation.split_at(8);
        let number = |half: &[u8]| half.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        // 0 means "from no dns" on the wire.
        let catalog = Arc::new(Catalog::new(number(first).max(1)));
        let counts = Arc::new(Counts::new(plan.stats(), Arc::clone(&catalog)));
        let (requests, requests_taken) = mpsc::channel(REQUESTS_WAITING_MAX);
        let (words, words_taken) = mpsc::unbounded_channel();
        let mailers = plan.mailers();
        let subscriptions_max = config.subscriptions_max.div_ceil(u32::from(plan.cores())) as usize;
        let handlers = (0..plan.cores()).map(|core| {
            DnsCore::new(CoreParts {
                core: CoreIndex(core),
                incarnation,
                catalog: Arc::clone(&catalog),
                subscriptions: Subscriptions::new(
                    config.connection_subscriptions_max as usize,
                    subscriptions_max,
                ),
                counts: Arc::clone(&counts),
                requests: requests.clone(),
                words: words.clone(),
            })
        });
        let handlers: Vec<DnsCore> = handlers.collect();
        let cores = plan.start(handlers).map_err(system("cannot start the cores"))?;
        let io = cores.io().clone();
        // Set once, here.
        let _ = counts.io.set(io.clone());

        let (opened, first_try) = std_mpsc::sync_channel(1);
        let parts = ControlParts {
            config: config.clone(),
            store: store.clone(),
            counts: Arc::clone(&counts),
            mailers,
            requests: requests_taken,
            words: words_taken,
            opened,
            seed: number(second),
        };
        let control = control::spawn("dns-control", io.kind, move || {
            Control::new(parts, Instant::now()).run()
        })
        .map_err(system("cannot start the control thread"))?;
        let dns = Self {
            addr,
            io,
            stats: DnsStats(counts),
            words,
            control: Some(control),
            cores: Some(cores),
        };
        match first_try.recv_timeout(STORE_FIRST_MAX) {
            Ok(Err(error @ (StoreError::Unfit(_) | StoreError::Refused(_)))) => {
                Err(DnsError::Store(error.to_string()))
            }
            _ => Ok(dns),
        }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The way bytes are moved.
    pub fn io(&self) -> &IoInUse {
        &self.io
    }

    /// Whether the routes were read.
    pub fn ready(&self) -> bool {
        self.readiness().ready()
    }

    /// Why the store does not answer; none while it does.
    pub fn store_error(&self) -> Option<String> {
        Some(self.stats.0.store().error).filter(|error| !error.is_empty())
    }

    /// The same as [`Self::ready`], for those who outlive this borrow.
    pub fn readiness(&self) -> DnsReadiness {
        DnsReadiness(self.stats.clone())
    }

    /// What it counts.
    pub fn stats(&self) -> DnsStats {
        self.stats.clone()
    }

    /// Stops it: what is queued is sent, an edit under way is stored or not, threads end.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        // Fails where the control thread has ended by itself.
        let _ = self.words.send(Word::Stop);
        if let Some(control) = self.control.take()
            && control.join().is_err()
        {
            tracing::error!("the control thread had panicked");
        }
        drop(self.cores.take());
    }
}

fn cores_of(config: &DnsConfig) -> CoresConfig {
    CoresConfig {
        name: "dns",
        io: config.io,
        cores: config.cores,
        pin: config.pin,
        connections_max: config.connections_max,
        unsent_bytes_max: config.unsent_max_mib as usize * 1024 * 1024,
    }
}

fn system(what: &'static str) -> impl Fn(std::io::Error) -> DnsError {
    move |source| DnsError::System { what, source }
}

fn listen(plan: &mut Plan<Mail>, listen: SocketAddr) -> Result<SocketAddr, DnsError> {
    let bound = plan
        .listen(&Bind::Tcp(listen), 0)
        .map_err(|source| DnsError::Listen { listen, source })?;
    Ok(bound.unwrap_or(listen))
}

/// An identity that no other start has.
fn random() -> Result<[u8; 16], DnsError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(std::io::Error::other)
        .map_err(system("no random numbers for an identity"))?;
    Ok(bytes)
}
