//! A running agent: how its threads are put together, and how it stops without losing a count.

use crate::address::caller_ip;
use crate::callers::{Callers, CallersParts, GrantTray, tray};
use crate::config::{AgentConfig, board_socket, core_socket};
use crate::control::{self, ControlParts};
use crate::core::{Core, CoreParts, Owner, no_connection_left};
use crate::disk;
use crate::error::AgentError;
use crate::links::Links;
use crate::mail::{MEMOS_MAX, Mail, PolicySet};
use crate::old_front::CompatConfig;
use crate::spool_state::SpoolState;
use crate::stats::AgentStats;
use crate::status::{KeptChanges, StatusSource};
use crate::tap::Tap;
use arc_swap::ArcSwap;
use lars_board::{Board, BoardConfig, BoardWriter};
use lars_pool::{Bind, CoreIndex, Cores, CoresConfig, IoInUse, Plan};
use lars_shard::{ChangeLog, PolicyConfig, RouteNews, Shard, ShardConfig, ZonePreference};
use lars_wire::ModuleId;
use lars_wire::admin::{LinkStatus, StatusText, bounded_text};
use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc, watch};

/// How long a not-found answer is remembered: what `lars route add` publishes meanwhile is pushed and replaces it.
const NOT_FOUND_MEMORY: Duration = Duration::from_secs(1);

/// A running agent. Dropping it stops it without the last flush; [`Agent::stop`] is the good end.
pub struct Agent {
    /// Ends first: what it drained is to be flushed. None where the board is not handed out.
    callers: Option<Callers>,
    cores: Cores,
    control: Option<JoinHandle<()>>,
    stop: Arc<Notify>,
    policies: watch::Sender<Arc<PolicySet>>,
    links: Arc<Links>,
    status: StatusSource,
    /// Whether the disk knew routes.
    remembers: bool,
    old_front: Vec<SocketAddr>,
}

/// Whether an agent is ready, for those that ask from elsewhere. Clones show the same agent.
#[derive(Clone)]
pub struct AgentReadiness {
    links: Arc<Links>,
    remembers: bool,
}

impl AgentReadiness {
    /// Whether picks can be answered: the disk knew routes, or dns is connected.
    pub fn ready(&self) -> bool {
        self.remembers || self.links.dns.is_up()
    }
}

/// The policies of a running agent, for those who change them. Clones are of the same agent.
#[derive(Clone)]
pub struct AgentPolicies(watch::Sender<Arc<PolicySet>>);

impl AgentPolicies {
    /// Nodes are judged by these policies from here on, within milliseconds: routes, counts, and what is known of the
    /// nodes stay (see [`Shard::set_policies`]).
    pub fn set(&self, policy: &PolicyConfig, module_policies: HashMap<ModuleId, PolicyConfig>) {
        let (policy, modules) = (policy.clone(), module_policies);
        // Nobody hears it where the control thread has ended: the agent stops.
        self.0.send_replace(Arc::new(PolicySet { policy, modules }));
    }
}

impl Agent {
    /// Starts the agent: when this returns, its sockets listen and what the disk remembered is answered.
    pub fn start(
        config: &AgentConfig,
        policy: &PolicyConfig,
        module_policies: HashMap<ModuleId, PolicyConfig>,
    ) -> Result<Self, AgentError> {
        Self::start_with(config, &CompatConfig::default(), policy, module_policies)
    }

    /// The same with a front for callers of the C++ Lars, if `compat` asks for one.
    pub fn start_with(
        config: &AgentConfig,
        compat: &CompatConfig,
        policy: &PolicyConfig,
        module_policies: HashMap<ModuleId, PolicyConfig>,
    ) -> Result<Self, AgentError> {
        config.check().map_err(AgentError::Config)?;
        compat.check().map_err(AgentError::Compat)?;
        let random = random()?;
        let mut plan = plan(config)?;
        let old_front = take_datagrams(&mut plan, compat)?;
        let remembered = disk::load(&config.routes_path);
        let remembers = !remembered.news.is_empty();

        let links = Arc::new(Links::new(&config.dns, &config.report));
        let status = status(config, &plan, &links, random.incarnation);
        let (memos, memo_inbox) = mpsc::channel(MEMOS_MAX);
        let (board, writers) = Board::create(BoardConfig {
            modules_max: config.modules_max,
            shards: plan.cores(),
        })?;
        board.bound_calls(Duration::from_millis(u64::from(config.call_bound_ms)));
        let seats = Seats {
            config,
            policy,
            module_policies,
            cores: plan.cores(),
            random,
        };
        let (tray, grants) = tray(status.stats.callers());
        let owners = seats.owners(writers, &tray, &status.stats, &remembered.news);
        let tap = Tap::default();
        let core = |(core, owner)| {
            Core::new(CoreParts {
                me: CoreIndex(core),
                cores: seats.cores,
                reader: board.reader(seats.seed(1_000 + u64::from(core))),
                owner,
                memos: memos.clone(),
                counts: status.stats.core(core),
                status: status.clone(),
                incarnation: random.incarnation,
                flush_interval: Duration::from_millis(u64::from(config.flush_interval_ms)),
                board: config.rings_max > 0,
                tap: tap.clone(),
            })
        };
        let handlers: Vec<Core> = (0..).zip(owners).map(core).collect();
        drop(memos);

        let stop = Arc::new(Notify::new());
        let (policies, policies_set) = watch::channel(Arc::default());
        let parts = ControlParts {
            dns: config.dns.clone(),
            report: config.report.clone(),
            links: Arc::clone(&links),
            mailers: plan.mailers(),
            memos: memo_inbox,
            stop: Arc::clone(&stop),
            policies: policies_set,
            book: remembered.book,
            routes_path: config.routes_path.clone(),
            spool_path: config.spool_path.clone(),
            spool_bytes_max: config.spool_bytes_max,
            spool: Arc::clone(&status.spool),
            changes: status.changes.clone(),
            incarnation: random.incarnation,
            caller: config.caller_ip.unwrap_or_else(caller_ip).to_bits(),
            digest_interval: Duration::from_secs(u64::from(config.digest_interval_s)),
            repull_interval: Duration::from_secs(u64::from(config.repull_interval_s)),
            counts: status.stats.control(),
            seed: seats.seed(2_000),
        };
        let callers = CallersParts {
            path: board_socket(&config.socket),
            board: board.clone(),
            mailers: plan.mailers(),
            incarnation: random.incarnation,
            rings_max: config.rings_max,
            grants,
            counts: status.stats.callers(),
            tap: tap.clone(),
        };
        let kind = plan.io().kind;
        let cores = plan
            .start(handlers)
            .map_err(system("the agent's cores do not start"))?;
        status.io.store(Arc::new(cores.io().clone()));
        let control = lars_pool::control::spawn("agent-control", kind, move || control::run(parts))
            .map_err(system("the agent's control thread does not start"))?;
        let callers = (config.rings_max > 0)
            .then(|| Callers::start(callers))
            .transpose()
            .map_err(system("the board cannot be handed out"))?;
        Ok(Self {
            callers,
            cores,
            control: Some(control),
            stop,
            policies,
            links,
            status,
            remembers,
            old_front,
        })
    }

    /// Where callers of the C++ Lars are served; empty where they are not.
    pub fn old_front(&self) -> &[SocketAddr] {
        &self.old_front
    }

    /// Whether picks can be answered: the disk knew routes, or dns is connected.
    pub fn ready(&self) -> bool {
        self.readiness().ready()
    }

    /// The same for those that ask from elsewhere.
    pub fn readiness(&self) -> AgentReadiness {
        AgentReadiness {
            links: Arc::clone(&self.links),
            remembers: self.remembers,
        }
    }

    /// A way to change its policies while it runs.
    pub fn policies(&self) -> AgentPolicies {
        AgentPolicies(self.policies.clone())
    }

    /// How bytes are moved, and why.
    pub fn io(&self) -> &IoInUse {
        self.cores.io()
    }

    /// The counts, for scraping.
    pub fn stats(&self) -> AgentStats {
        self.status.stats.clone()
    }

    /// The links to dns and report.
    pub fn links(&self) -> Vec<LinkStatus> {
        self.links.rows()
    }

    /// What the agent answers to [`lars_wire::admin::GetStatus`].
    pub fn status(&self) -> StatusText {
        self.status.text()
    }

    /// Stops within 1.5 s: no more reports are taken, the last counts go to report (for at most 1 s), what it does not
    /// take goes to disk with the routes; picks are answered until then.
    pub fn stop(mut self) {
        drop(self.callers.take());
        self.stop.notify_one();
        let control = self.control.take();
        if control.is_some_and(|control| control.join().is_err()) {
            tracing::error!("the agent's control thread ended by a panic: its last counts are lost");
        }
        self.cores.stop();
    }
}

/// What is left to chance at a start.
#[derive(Clone, Copy)]
struct Random {
    incarnation: [u8; 16],
    seed: u64,
}

fn random() -> Result<Random, AgentError> {
    let (mut incarnation, mut seed) = ([0; 16], [0; 8]);
    getrandom::fill(&mut incarnation)
        .and_then(|()| getrandom::fill(&mut seed))
        .map_err(|error| AgentError::System {
            what: "no randomness from the kernel",
            source: io::Error::other(error),
        })?;
    Ok(Random {
        incarnation,
        seed: u64::from_le_bytes(seed),
    })
}

/// Sockets first: whoever finds another agent there touches nothing else.
fn plan(config: &AgentConfig) -> Result<Plan<Mail>, AgentError> {
    let mut plan = Plan::new(CoresConfig {
        name: "agent",
        io: config.io,
        cores: config.cores,
        pin: config.pin,
        connections_max: config.connections_max,
        unsent_bytes_max: config.unsent_max_mib as usize * 1024 * 1024,
    })
    .map_err(system("the agent's cores cannot be planned"))?;
    let listen = |path: &std::path::Path| {
        let path = path.to_path_buf();
        move |source| AgentError::Listen { path, source }
    };
    plan.set_busy_poll(Duration::from_micros(config.busy_poll_us.into()));
    plan.answer_when_full(&no_connection_left(config.connections_max));
    let shared = Bind::Unix(config.socket.clone());
    plan.listen(&shared, 0).map_err(listen(&config.socket))?;
    for core in 0..plan.cores() {
        let path = core_socket(&config.socket, core);
        plan.listen_on(CoreIndex(core), &Bind::Unix(path.clone()), 0)
            .map_err(listen(&path))?;
    }
    Ok(plan)
}

/// The front for callers of the C++ Lars: its ports, shared out among the cores.
fn take_datagrams(plan: &mut Plan<Mail>, compat: &CompatConfig) -> Result<Vec<SocketAddr>, AgentError> {
    let cores = plan.cores();
    let sockets = (0..).zip(compat.addrs());
    sockets
        .map(|(place, addr)| {
            plan.take_datagrams(CoreIndex(place % cores), addr, place)
                .map_err(|source| AgentError::ListenUdp { addr, source })
        })
        .collect()
}

fn status(
    config: &AgentConfig,
    plan: &Plan<Mail>,
    links: &Arc<Links>,
    incarnation: [u8; 16],
) -> StatusSource {
    let caller: Ipv4Addr = config.caller_ip.unwrap_or_else(caller_ip);
    let notes = [
        ("caller", caller.to_string()),
        ("cores", plan.cores().to_string()),
        ("routes_path", config.routes_path.display().to_string()),
        ("spool_path", config.spool_path.display().to_string()),
    ];
    let spool = Arc::new(SpoolState::new(config.spool_bytes_max > 0));
    StatusSource {
        stats: AgentStats::new(plan.stats(), Arc::clone(links), Arc::clone(&spool)),
        spool,
        links: Arc::clone(links),
        io: Arc::new(ArcSwap::from_pointee(plan.io().clone())),
        changes: KeptChanges::new(ChangeLog::new(incarnation, caller.to_bits())),
        notes: Arc::new(
            notes
                .map(|(name, text)| (name.to_owned(), bounded_text(text)))
                .to_vec(),
        ),
    }
}

/// What the shards are made of.
struct Seats<'a> {
    config: &'a AgentConfig,
    policy: &'a PolicyConfig,
    module_policies: HashMap<ModuleId, PolicyConfig>,
    cores: u16,
    random: Random,
}

impl Seats<'_> {
    /// A seed of its own for each use.
    fn seed(&self, of: u64) -> u64 {
        self.random
            .seed
            .wrapping_add(of.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// One owner a core, each with the routes that the disk remembered of its modules.
    fn owners(
        &self,
        writers: Vec<BoardWriter>,
        tray: &GrantTray,
        stats: &AgentStats,
        news: &[RouteNews],
    ) -> Vec<Owner> {
        let now = Instant::now();
        let owner = |(core, writer)| Owner::new(self.shard(core), writer, tray.clone(), stats.core(core));
        let mut owners: Vec<Owner> = (0..).zip(writers).map(owner).collect();
        for news in news {
            owners[usize::from(news.module.shard(self.cores))].learn(now, news, None);
        }
        owners
    }

    fn shard(&self, core: u16) -> Shard {
        let module_policies = self
            .module_policies
            .iter()
            .filter(|(module, _)| module.shard(self.cores) == core)
            .map(|(&module, policy)| (module, policy.clone()))
            .collect();
        let config = ShardConfig {
            policy: self.policy.clone(),
            module_policies,
            modules_max: self.config.modules_max.div_ceil(u32::from(self.cores)),
            module_idle: Duration::from_secs(u64::from(self.config.module_idle_s)),
            not_found_memory: NOT_FOUND_MEMORY,
        };
        let mut shard = Shard::new(config, self.seed(u64::from(core)));
        shard.prefer_zone(ZonePreference {
            zone: self.config.zone.as_str().into(),
            usable_percent: self.config.zone_usable_percent,
        });
        shard
    }
}

fn system(what: &'static str) -> impl Fn(io::Error) -> AgentError {
    move |source| AgentError::System { what, source }
}
