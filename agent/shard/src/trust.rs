//! Whether the dns at the other end is believed: one that shows an older state of the store than another has shown
//! before is a replica that lags, a restored backup, or a dns that hangs. For some seconds what is held is better.

use lars_wire::directory::StoreVersion;
use std::time::{Duration, Instant};

/// How long such a dns is not believed: longer than replicas lag as a rule. A store that stays older than what was
/// seen was set back by people, and then the directory must go on.
pub const DOUBT: Duration = Duration::from_secs(10);

/// What a word of dns about its store led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It is believed, as before.
    Believed,
    /// It is not believed until [`Trust::next_timeout`].
    Doubted,
    /// It is believed again: what was passed over is to be asked for.
    BelievedAgain,
}

/// A dns that is not believed.
#[derive(Clone, Copy, Debug)]
struct Doubt {
    said: StoreVersion,
    until: Instant,
}

/// What the agent has seen of the store, through whichever dns.
#[derive(Debug, Default)]
pub struct Trust {
    /// The newest that a dns which is believed has said.
    newest: Option<StoreVersion>,
    /// Kept when the link is lost: a dns that comes back at once is doubted for the rest of the time.
    doubt: Option<Doubt>,
    /// The doubted dns is at the other end now.
    doubting: bool,
}

impl Trust {
    /// A new link: who is at its other end says so.
    pub fn linked(&mut self) {
        self.doubting = false;
    }

    /// The dns at the other end says how far its store is. Versions of one instance are not compared: it has seen
    /// itself how the store went back.
    pub fn said(&mut self, now: Instant, said: StoreVersion) -> Heard {
        let is_older = self
            .newest
            .is_some_and(|newest| said.version < newest.version && said.instance != newest.instance);
        if is_older {
            let known = self.doubt.filter(|doubt| doubt.said.instance == said.instance);
            let until = known.map_or(now + DOUBT, |doubt| doubt.until);
            if now < until {
                self.doubt = Some(Doubt { said, until });
                self.doubting = true;
                return Heard::Doubted;
            }
        }
        self.believe(said)
    }

    /// Whether what dns says of a module of which a route is held is passed over now.
    pub fn is_doubting(&self) -> bool {
        self.doubting
    }

    /// When [`Self::due`] wants to be called.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.doubt.filter(|_| self.doubting).map(|doubt| doubt.until)
    }

    /// The doubt has lasted long enough: whether dns is believed from now on.
    pub fn due(&mut self, now: Instant) -> bool {
        match self.doubt {
            Some(doubt) if self.doubting && doubt.until <= now => {
                self.believe(doubt.said);
                true
            }
            _ => false,
        }
    }

    fn believe(&mut self, said: StoreVersion) -> Heard {
        self.newest = Some(said);
        self.doubt = None;
        if std::mem::take(&mut self.doubting) {
            Heard::BelievedAgain
        } else {
            Heard::Believed
        }
    }
}
