//! What dns said: pages put together, deltas applied, versions compared, and the last good routes as they go to disk.

mod assembly;
mod disk;

use crate::guard::Guard;
use assembly::{Assemblies, Step};
use lars_wire::bounds::NODES_MAX;
use lars_wire::caller::Status;
use lars_wire::directory::{KnownModule, PushAck, RouteDelta, RoutePage, route_nodes};
use lars_wire::{ModuleId, Route};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

/// A module's route, whole.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteNews {
    /// The module.
    pub module: ModuleId,
    /// Ok or not found.
    pub status: Status,
    /// Version of the route.
    pub version: u64,
    /// Whether dns knows why it is as it is.
    pub explained: bool,
    /// The nodes; empty with not found.
    pub route: Arc<Route>,
}

/// What a page or a delta led to.
#[derive(Clone, Debug, PartialEq)]
pub enum Noted {
    /// Nothing to tell yet: more pages are to come, or it is older than what is held, or the module is not
    /// subscribed to (any longer).
    More,
    /// The route is whole: tell its owner, and dns that it is applied.
    Whole(RouteNews, PushAck),
    /// It does not fit what is held: subscribe to the module again with this (hash 0), to get the whole.
    AskAgain(KnownModule),
}

/// How often a module is asked for again without a whole route in between: a dns whose hashes are wrong is not
/// asked in circles. The next connection or digest asks anew.
const ASKED_AGAIN_MAX: u8 = 3;

/// One version of a route, as one dns said it.
#[derive(Clone, Debug)]
struct Said {
    instance: u64,
    version: u64,
    hash: u64,
    route: Arc<Route>,
}

#[derive(Debug, Default)]
struct Subscription {
    /// What dns said last: what deltas build on.
    latest: Option<Said>,
    /// What to fall back on while the latest is held back; none while the latest is believed.
    good: Option<Said>,
    guard: Guard,
    asked_again: u8,
    /// Whether a dns of this process's life said anything: what only the disk knows need not be doubted.
    heard: bool,
}

impl Subscription {
    /// The route to trust, and to keep on disk.
    fn trusted(&self) -> Option<&Said> {
        self.good.as_ref().or(self.latest.as_ref())
    }

    /// What to say in a subscription or digest. While something is held back it is in doubt, and the whole is asked
    /// for.
    fn known(&self, module: ModuleId) -> KnownModule {
        match &self.latest {
            Some(said) if self.good.is_none() => KnownModule {
                module,
                instance: said.instance,
                version: said.version,
                hash: said.hash,
            },
            _ => nothing_known(module),
        }
    }

    /// Whether `version` is older than what the same dns said before. Different ones' versions are not compared.
    fn is_older(&self, instance: u64, version: u64) -> bool {
        let latest = self.latest.as_ref();
        latest.is_some_and(|said| said.instance == instance && version < said.version)
    }
}

/// Every route that this agent is subscribed to, on its control thread.
#[derive(Debug, Default)]
pub struct RouteBook {
    subscriptions: BTreeMap<ModuleId, Subscription>,
    assemblies: Assemblies,
    edition: u64,
}

impl RouteBook {
    /// An empty book.
    pub fn new() -> Self {
        Self::default()
    }

    /// The module is wanted from now on; returns what to say in the subscription. Of a module that is subscribed to
    /// already, and that dns has answered, the whole is asked for: whoever asks again is in doubt.
    pub fn subscribe(&mut self, module: ModuleId) -> KnownModule {
        let subscription = self.subscriptions.entry(module).or_default();
        if subscription.heard {
            nothing_known(module)
        } else {
            subscription.known(module)
        }
    }

    /// The module is wanted no more.
    pub fn unsubscribe(&mut self, module: ModuleId) {
        self.assemblies.forget(module);
        if let Some(subscription) = self.subscriptions.remove(&module)
            && subscription.trusted().is_some_and(|said| !said.route.is_empty())
        {
            self.edition += 1;
        }
    }

    /// A new connection to dns: half-received routes are forgotten. Everything to subscribe to, in order of module.
    pub fn reconnected(&mut self) -> Vec<KnownModule> {
        self.assemblies.clear();
        let known = |(module, subscription): (&ModuleId, &mut Subscription)| {
            subscription.asked_again = 0;
            subscription.known(*module)
        };
        self.subscriptions.iter_mut().map(known).collect()
    }

    /// A page arrived.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a page is told once: nothing is left to do with it"
    )]
    pub fn page(&mut self, page: RoutePage) -> Noted {
        let module = page.module;
        let Some(subscription) = self.subscriptions.get(&module) else {
            return Noted::More;
        };
        let is_route = matches!(page.status, Status::Ok | Status::NotFound);
        if !is_route || subscription.is_older(page.instance, page.version) {
            return Noted::More;
        }
        let (explained, instance, version, hash) = (page.explained, page.instance, page.version, page.hash);
        match self.assemblies.add(&page) {
            Step::More => Noted::More,
            Step::Broken => self.ask_again(module),
            Step::Whole(route) => {
                let route = Arc::new(route);
                let said = Said {
                    instance,
                    version,
                    hash,
                    route,
                };
                self.accept(module, said, explained)
            }
        }
    }

    /// A delta arrived.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a delta is told once: nothing is left to do with it"
    )]
    pub fn delta(&mut self, delta: RouteDelta) -> Noted {
        let module = delta.module;
        let Some(subscription) = self.subscriptions.get(&module) else {
            return Noted::More;
        };
        self.assemblies.forget(module);
        let latest = subscription.latest.as_ref();
        let Some(base) = latest.filter(|said| (said.instance, said.version) == (delta.instance, delta.base))
        else {
            let has_it =
                latest.is_some_and(|said| said.instance == delta.instance && delta.version <= said.version);
            return if has_it {
                Noted::More
            } else {
                self.ask_again(module)
            };
        };
        let put = route_nodes(&delta.zones, &delta.put);
        let route = Arc::new(base.route.with_delta(put, &delta.removed));
        let said = Said {
            instance: delta.instance,
            version: delta.version,
            hash: delta.hash,
            route,
        };
        let fits = said.route.content_hash() == said.hash && said.route.nodes().len() <= NODES_MAX;
        if fits && delta.version > delta.base {
            self.accept(module, said, delta.explained)
        } else {
            self.ask_again(module)
        }
    }

    /// What is held, for the digest: at most `modules_max` from `after` on, in order of module. A module without an
    /// answer yet is in it too, so that a lost answer is repaired.
    pub fn digest(&self, after: Option<ModuleId>, modules_max: usize) -> Vec<KnownModule> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let behind = self.subscriptions.range((start, Bound::Unbounded));
        behind
            .take(modules_max)
            .map(|(module, subscription)| subscription.known(*module))
            .collect()
    }

    /// Whether dns, or the disk, has said anything of a module that is subscribed to.
    pub fn is_answered(&self, module: ModuleId) -> bool {
        let subscription = self.subscriptions.get(&module);
        subscription.is_some_and(|subscription| subscription.latest.is_some())
    }

    /// Modules subscribed to.
    pub fn len(&self) -> usize {
        self.subscriptions.len()
    }

    /// Whether nothing is subscribed to.
    pub fn is_empty(&self) -> bool {
        self.subscriptions.is_empty()
    }

    /// Counts changes of what would be written to disk.
    pub fn edition(&self) -> u64 {
        self.edition
    }

    /// The last good routes as bytes: magic, format version, frames of route pages, checksum. A route that is held
    /// back is not good; a module that is not found is left out.
    pub fn to_disk(&self) -> Vec<u8> {
        let trusted = self
            .subscriptions
            .iter()
            .filter_map(|(module, subscription)| Some((*module, subscription.trusted()?)));
        disk::write(trusted.filter(|(_, said)| !said.route.is_empty()))
    }

    /// Reads them back: the book, and news for the owners. A damaged file says why and gives nothing.
    pub fn from_disk(bytes: &[u8]) -> Result<(Self, Vec<RouteNews>), String> {
        let mut book = Self::new();
        let mut news = Vec::new();
        for page in disk::read(bytes)? {
            let page = page?;
            let module = page.module;
            // Modules were written in order, each once.
            let is_next = book
                .subscriptions
                .last_key_value()
                .is_none_or(|(last, _)| *last < module);
            if is_next && book.assemblies.is_empty() {
                book.subscribe(module);
            } else if !book.assemblies.has(module) {
                return Err(format!("module {module} stands at the wrong place"));
            }
            match book.page(page) {
                Noted::Whole(route, _) if route.status == Status::Ok => news.push(route),
                Noted::More if book.assemblies.has(module) => {}
                _ => return Err(format!("the pages of module {module} do not make a route")),
            }
        }
        if !book.assemblies.is_empty() {
            return Err("the last route is not whole".to_owned());
        }
        for subscription in book.subscriptions.values_mut() {
            subscription.heard = false;
        }
        book.edition = 0;
        Ok((book, news))
    }

    fn ask_again(&mut self, module: ModuleId) -> Noted {
        let Some(subscription) = self.subscriptions.get_mut(&module) else {
            return Noted::More;
        };
        if subscription.asked_again == ASKED_AGAIN_MAX {
            return Noted::More;
        }
        subscription.asked_again += 1;
        Noted::AskAgain(nothing_known(module))
    }

    /// Takes a whole route. The guard decides here as it will in the shard: what is held back there is not written
    /// to disk here.
    fn accept(&mut self, module: ModuleId, said: Said, explained: bool) -> Noted {
        let Some(subscription) = self.subscriptions.get_mut(&module) else {
            return Noted::More;
        };
        let (version, route) = (said.version, said.route.clone());
        let trusted = subscription.trusted();
        let trusted_route = trusted.map(|said| said.route.clone()).unwrap_or_default();
        let changes_disk = trusted.map_or(!route.is_empty(), |good| {
            (good.instance, good.version, good.hash) != (said.instance, version, said.hash)
        });
        if subscription.guard.passes(&trusted_route, &route, explained) {
            subscription.good = None;
            self.edition += u64::from(changes_disk);
        } else if subscription.good.is_none() {
            subscription.good = subscription.latest.take();
        }
        subscription.latest = Some(said);
        (subscription.heard, subscription.asked_again) = (true, 0);
        let status = if route.is_empty() {
            Status::NotFound
        } else {
            Status::Ok
        };
        let news = RouteNews {
            module,
            status,
            version,
            explained,
            route,
        };
        Noted::Whole(news, PushAck { module, version })
    }
}

fn nothing_known(module: ModuleId) -> KnownModule {
    KnownModule {
        module,
        instance: 0,
        version: 0,
        hash: 0,
    }
}
