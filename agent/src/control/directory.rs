//! The agent's half of the conversation with dns: subscriptions, pushes put together, acknowledgements, digests.

use crate::control::couriers::Couriers;
use crate::control::outflow::Outflow;
use crate::control::uplink::LinkEvent;
use crate::mail::{Confirm, Mail, Order};
use crate::stats::ControlCounts;
use lars_shard::RouteBook;
use lars_shard::book::Noted;
use lars_shard::trust::{DOUBT, Heard, Trust};
use lars_wire::admin::Refusal;
use lars_wire::bounds::MODULES_MAX;
use lars_wire::directory::{
    Digest, KnownModule, RouteDelta, RoutePage, StoreVersion, Subscribe, Unsubscribe,
};
use lars_wire::{CodecError, Kind, ModuleId, codec};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long dns may take to answer a digest; a longer silence means that nobody is there any more.
const DIGEST_TIMEOUT: Duration = Duration::from_secs(10);

/// A walk through all that is held, one message at a time.
#[derive(Clone, Copy, Debug)]
enum Digesting {
    /// The next one starts then.
    Until(Instant),
    /// One message is with dns; the walk goes on behind this module (none: that was the last).
    Asked {
        behind: Option<ModuleId>,
        deadline: Instant,
    },
}

/// The link to dns and all that goes over it.
pub(super) struct Directory {
    book: RouteBook,
    trust: Trust,
    outflow: Option<Outflow>,
    /// Counts connections, so that nothing of an older one is told to a newer.
    link: u64,
    digesting: Digesting,
    next_repull: Instant,
    digest_interval: Duration,
    repull_interval: Duration,
    counts: Arc<ControlCounts>,
}

impl Directory {
    /// No link yet; `book` is what the disk remembered.
    pub(super) fn new(
        now: Instant,
        book: RouteBook,
        digest_interval: Duration,
        repull_interval: Duration,
        counts: Arc<ControlCounts>,
    ) -> Self {
        Self {
            book,
            trust: Trust::default(),
            outflow: None,
            link: 0,
            digesting: Digesting::Until(now + digest_interval),
            next_repull: now + repull_interval,
            digest_interval,
            repull_interval,
            counts,
        }
    }

    /// All routes, for the disk.
    pub(super) fn book(&self) -> &RouteBook {
        &self.book
    }

    /// The link says something.
    pub(super) fn event(&mut self, now: Instant, event: LinkEvent, couriers: &mut Couriers) {
        match event {
            LinkEvent::Up(outflow) => {
                self.link += 1;
                self.trust.linked();
                self.outflow = Some(outflow);
                self.subscribe_all();
                self.digesting = Digesting::Until(now + self.digest_interval);
                self.next_repull = now + self.repull_interval;
            }
            LinkEvent::Down => self.outflow = None,
            LinkEvent::Frame { kind, body, .. } => {
                if let Err(error) = self.frame(now, kind, &body, couriers) {
                    tracing::warn!(%error, "dns sent what is no message of dns; the link is set up anew");
                    self.end();
                }
            }
        }
    }

    /// What a core wants done. Modules that follow each other travel together.
    pub(super) fn orders(&mut self, orders: &[Order]) {
        let alike = |a: &Order, b: &Order| std::mem::discriminant(a) == std::mem::discriminant(b);
        for run in orders.chunk_by(alike).flat_map(|run| run.chunks(MODULES_MAX)) {
            let (mut wanted, mut unwanted) = (Vec::new(), Vec::new());
            for order in run {
                match *order {
                    Order::Subscribe(module) => wanted.push(self.book.subscribe(module)),
                    Order::Unsubscribe(module) => {
                        self.book.unsubscribe(module);
                        unwanted.push(module);
                    }
                    Order::Applied(confirm) => self.applied(confirm),
                }
            }
            let Some(outflow) = &self.outflow else { continue };
            if !wanted.is_empty() {
                subscribe(outflow, wanted);
            }
            if !unwanted.is_empty() {
                outflow.send(&Unsubscribe { modules: unwanted }, 0);
            }
        }
    }

    /// When [`Self::due`] wants to be called.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.outflow.as_ref()?;
        let digest = match self.digesting {
            Digesting::Until(start) => start,
            Digesting::Asked { deadline, .. } => deadline,
        };
        let next = digest.min(self.next_repull);
        Some(
            self.trust
                .next_timeout()
                .map_or(next, |doubted| doubted.min(next)),
        )
    }

    /// Starts what is due, and ends a link that is silent.
    pub(super) fn due(&mut self, now: Instant) {
        if self.outflow.is_none() {
            return;
        }
        match self.digesting {
            Digesting::Until(start) if start <= now => self.digest(now, None),
            Digesting::Asked { deadline, .. } if deadline <= now => {
                tracing::warn!("dns does not answer; the link is set up anew");
                self.digesting = Digesting::Until(now + self.digest_interval);
                self.end();
            }
            _ => {}
        }
        if self.trust.due(now) {
            tracing::warn!(
                "dns still shows an older RouteVersion than was seen before: it is believed from now on"
            );
            self.subscribe_all();
        }
        if self.next_repull <= now {
            self.next_repull = now + self.repull_interval;
            self.repull();
        }
    }

    /// Ends the link; the task that reads it sees to another.
    pub(super) fn end(&mut self) {
        if let Some(outflow) = &self.outflow {
            outflow.end();
        }
    }

    fn frame(
        &mut self,
        now: Instant,
        kind: Kind,
        body: &[u8],
        couriers: &mut Couriers,
    ) -> Result<(), CodecError> {
        match kind {
            Kind::RoutePage => {
                let page: RoutePage = codec::decode(body)?;
                if !self.passes_over(page.module) {
                    let noted = self.book.page(page);
                    self.noted(noted, couriers);
                }
            }
            Kind::RouteDelta => {
                let delta: RouteDelta = codec::decode(body)?;
                if !self.passes_over(delta.module) {
                    let noted = self.book.delta(delta);
                    self.noted(noted, couriers);
                }
            }
            Kind::StoreVersion => self.store_version(now, codec::decode(body)?),
            Kind::DigestDone => match self.digesting {
                Digesting::Asked {
                    behind: Some(last), ..
                } => self.digest(now, Some(last)),
                _ => self.digesting = Digesting::Until(now + self.digest_interval),
            },
            Kind::Refusal => {
                let refusal: Refusal = codec::decode(body)?;
                tracing::warn!(reason = ?refusal.reason, text = refusal.text, "dns refuses");
            }
            other => {
                tracing::warn!(kind = ?other, "dns sent what an agent does not take; the link is set up anew");
                self.end();
            }
        }
        Ok(())
    }

    /// dns says how far its store is.
    fn store_version(&mut self, now: Instant, said: StoreVersion) {
        let was_doubting = self.trust.is_doubting();
        match self.trust.said(now, said) {
            Heard::Believed => {}
            Heard::Doubted if was_doubting => {}
            Heard::Doubted => tracing::warn!(
                version = said.version,
                "dns shows an older RouteVersion than was seen before: the routes that are held are kept for {} s",
                DOUBT.as_secs()
            ),
            Heard::BelievedAgain => self.subscribe_all(),
        }
    }

    /// Whether what dns says of a module counts for nothing now: an old route is only better than none.
    fn passes_over(&self, module: ModuleId) -> bool {
        let passes = self.trust.is_doubting() && self.book.is_answered(module);
        self.counts.pushes_doubted.add(u64::from(passes));
        passes
    }

    fn subscribe_all(&mut self) {
        let Some(outflow) = &self.outflow else { return };
        for modules in self.book.reconnected().chunks(MODULES_MAX) {
            subscribe(outflow, modules.to_vec());
        }
    }

    fn noted(&mut self, noted: Noted, couriers: &mut Couriers) {
        match noted {
            Noted::More => {}
            Noted::Whole(news, ack) => {
                let confirm = Confirm { link: self.link, ack };
                couriers.send_to_owner(news.module, Mail::Learn(news, confirm));
            }
            Noted::AskAgain(known) => {
                if let Some(outflow) = &self.outflow {
                    subscribe(outflow, vec![known]);
                }
            }
        }
    }

    /// A push is on the board: now dns may say so to whoever made the change.
    fn applied(&mut self, confirm: Confirm) {
        if let Some(outflow) = self.outflow.as_ref().filter(|_| confirm.link == self.link) {
            outflow.send(&confirm.ack, 0);
            self.counts.pushes_acknowledged.add(1);
        }
    }

    fn digest(&mut self, now: Instant, after: Option<ModuleId>) {
        let modules = self.book.digest(after, MODULES_MAX);
        // The end of the walk needs no message of its own, but the first is sent even if it is empty: its answer
        // shows that dns is alive.
        if after.is_some() && modules.is_empty() {
            self.digesting = Digesting::Until(now + self.digest_interval);
            return;
        }
        if let Some(outflow) = &self.outflow {
            self.digesting = Digesting::Asked {
                behind: modules.last().map(|known| known.module),
                deadline: now + DIGEST_TIMEOUT,
            };
            outflow.send(&Digest { modules }, 0);
        }
    }

    fn repull(&mut self) {
        let Some(outflow) = &self.outflow else { return };
        let mut after = None;
        loop {
            let modules = self.book.digest(after, MODULES_MAX);
            let Some(last) = modules.last() else { return };
            after = Some(last.module);
            subscribe(outflow, modules);
        }
    }
}

fn subscribe(outflow: &Outflow, modules: Vec<KnownModule>) {
    outflow.send(&Subscribe { modules }, 0);
}
