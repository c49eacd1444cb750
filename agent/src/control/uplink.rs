//! One service's link: tries its addresses in turn, says hello, cuts frames, backs off, never gives up.

use crate::control::outflow::Outflow;
use crate::links::{LinkTable, Links};
use bytes::{Bytes, BytesMut};
use lars_pool::control::{Link, LinkReader};
use lars_wire::admin::{LinkState, Refusal};
use lars_wire::bounds::{FRAME_BYTES_MAX, HEADER_BYTES};
use lars_wire::caller::{Hello, Welcome};
use lars_wire::{Kind, VERSION, codec, frame};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::time::sleep;

/// How long a connection may take to be there, and again to be welcomed.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The first pause after all addresses failed; it doubles up to [`BACKOFF_MAX`].
const BACKOFF_MIN: Duration = Duration::from_millis(100);
/// The longest pause.
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// A link that was up for so long was good: the next pause is the shortest again. A service that is restarted again and
/// again must not make its agents wait for seconds; one that turns everybody away does so within milliseconds.
const GOOD_LINK: Duration = Duration::from_secs(1);
/// Events that wait for the control thread; beyond it the link is not read, which holds the peer back.
pub(super) const EVENTS_MAX: usize = 64;

/// What a link tells.
pub(super) enum LinkEvent {
    /// It is up: write here.
    Up(Outflow),
    /// A frame arrived.
    Frame {
        /// What it is.
        kind: Kind,
        /// What it answers.
        sequence: u32,
        /// Its body.
        body: Bytes,
    },
    /// It ended; another is tried.
    Down,
}

/// What a link is made of.
pub(super) struct Uplink {
    /// `dns` or `report`, for people.
    pub to: &'static str,
    /// `HOST:PORT`, at least one.
    pub addrs: Vec<String>,
    /// Where all states are shown.
    pub links: Arc<Links>,
    /// Which of the tables is this link's.
    pub table: fn(&Links) -> &LinkTable,
    /// Chance: the first address and the jitter.
    pub rng: fastrand::Rng,
    /// Who is told.
    pub events: mpsc::Sender<LinkEvent>,
}

/// Why the task of a link ends: nobody listens any more.
struct Deaf;

impl Uplink {
    /// Runs until nobody listens any more.
    pub(super) async fn run(mut self) {
        let first = self.rng.usize(..self.addrs.len());
        let mut pause = BACKOFF_MIN;
        let mut told = false;
        loop {
            for step in 0..self.addrs.len() {
                let place = (first + step) % self.addrs.len();
                let started = Instant::now();
                let Ok(up) = self.attempt(place, &mut told).await else {
                    return;
                };
                if up && started.elapsed() >= GOOD_LINK {
                    pause = BACKOFF_MIN;
                }
            }
            // Half of the pause is left to chance, so that a thousand agents do not come back in one moment.
            let half = pause.as_micros() as u64 / 2;
            sleep(Duration::from_micros(half + self.rng.u64(..=half))).await;
            pause = (pause * 2).min(BACKOFF_MAX);
            if self.events.is_closed() {
                return;
            }
        }
    }

    fn show(&self, place: usize, state: LinkState, error: Option<&str>) {
        (self.table)(&self.links).set(place, state, error);
    }

    /// One connection from its beginning to its end; returns whether it was up. Told to people once until it is up.
    async fn attempt(&mut self, place: usize, told: &mut bool) -> Result<bool, Deaf> {
        self.show(place, LinkState::Connecting, None);
        let mut up = false;
        let ended = match resolve(&self.addrs[place]).await {
            Ok(addrs) => self.connect(place, addrs, &mut up).await,
            Err(error) => Ok(error),
        };
        let error = ended?;
        // The agent stops and has ended the link itself: nothing to tell.
        if self.events.is_closed() {
            return Err(Deaf);
        }
        self.show(place, LinkState::BackingOff, Some(&error));
        let (to, addr) = (self.to, &self.addrs[place]);
        if up {
            *told = false;
            tracing::warn!(to, addr, error, "a link ended; trying again");
            self.events.send(LinkEvent::Down).await.map_err(|_| Deaf)?;
        } else if !std::mem::replace(told, true) {
            tracing::warn!(to, addr, error, "no link; trying again");
        }
        Ok(up)
    }

    async fn connect(&mut self, place: usize, addrs: Vec<SocketAddr>, up: &mut bool) -> Result<String, Deaf> {
        let mut error = "the name has no address".to_owned();
        for addr in addrs {
            match Link::connect(addr, CONNECT_TIMEOUT).await {
                Ok((reader, writer)) => {
                    let outflow = Outflow::start(writer);
                    let hello = Hello {
                        version: u16::from(VERSION),
                        name: "agent".to_owned(),
                    };
                    outflow.send(&hello, 0);
                    let ended = self.converse(place, reader, &outflow, up).await;
                    outflow.end();
                    return ended;
                }
                Err(cause) => error = cause.to_string(),
            }
        }
        Ok(error)
    }

    /// Reads to the end. The one reader of the connection: a read is never dropped, since what it would have read
    /// would be lost; who wants it to end shuts the connection down.
    async fn converse(
        &mut self,
        place: usize,
        mut reader: LinkReader,
        outflow: &Outflow,
        up: &mut bool,
    ) -> Result<String, Deaf> {
        let watchdog = tokio::task::spawn_local({
            let outflow = outflow.clone();
            async move {
                sleep(CONNECT_TIMEOUT).await;
                outflow.end();
            }
        });
        let mut buffer = BytesMut::new();
        let ended = loop {
            match cut(&mut buffer) {
                Ok(Some((kind, sequence, body))) if *up => {
                    let frame = LinkEvent::Frame { kind, sequence, body };
                    if self.events.send(frame).await.is_err() {
                        break Err(Deaf);
                    }
                    continue;
                }
                Ok(Some((kind, _, body))) => match welcomed(kind, &body) {
                    Ok(()) => {
                        watchdog.abort();
                        *up = true;
                        self.show(place, LinkState::Up, None);
                        tracing::info!(to = self.to, addr = self.addrs[place], "a link is up");
                        if self.events.send(LinkEvent::Up(outflow.clone())).await.is_err() {
                            break Err(Deaf);
                        }
                        continue;
                    }
                    Err(error) => break Ok(error),
                },
                Ok(None) => {}
                Err(error) => break Ok(error.to_string()),
            }
            buffer.reserve(FRAME_BYTES_MAX);
            let (read, given_back) = reader.read(buffer).await;
            buffer = given_back;
            match read {
                Ok(0) if *up => break Ok("the connection ended".to_owned()),
                Ok(0) => break Ok("the connection ended before a welcome".to_owned()),
                Ok(_) => {}
                Err(error) => break Ok(error.to_string()),
            }
        };
        watchdog.abort();
        ended
    }
}

/// Cuts one frame off the front.
fn cut(buffer: &mut BytesMut) -> Result<Option<(Kind, u32, Bytes)>, frame::FrameError> {
    let Some(whole) = frame::split(buffer)? else {
        return Ok(None);
    };
    let (header, bytes) = (whole.header, whole.bytes());
    Ok(Some((
        header.kind,
        header.sequence,
        buffer.split_to(bytes).freeze().slice(HEADER_BYTES..),
    )))
}

/// The first frame must welcome us.
fn welcomed(kind: Kind, body: &[u8]) -> Result<(), String> {
    match kind {
        Kind::Welcome => match codec::decode::<Welcome>(body) {
            Ok(welcome) if welcome.version == u16::from(VERSION) => Ok(()),
            Ok(welcome) => Err(format!("protocol version {} is spoken there", welcome.version)),
            Err(error) => Err(error.to_string()),
        },
        Kind::Refusal => match codec::decode::<Refusal>(body) {
            Ok(refusal) => Err(format!("refused: {}", refusal.text)),
            Err(error) => Err(error.to_string()),
        },
        other => Err(format!("a {other:?} came instead of a welcome")),
    }
}

/// Looks the name up anew at each try; an address in figures needs no look-up.
async fn resolve(addr: &str) -> Result<Vec<SocketAddr>, String> {
    if let Ok(addr) = addr.parse() {
        return Ok(vec![addr]);
    }
    match tokio::time::timeout(CONNECT_TIMEOUT, tokio::net::lookup_host(addr)).await {
        Ok(Ok(addrs)) => Ok(addrs.collect()),
        Ok(Err(error)) => Err(format!("{addr}: {error}")),
        Err(_) => Err(format!("{addr}: no answer from the name service")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lars_wire::caller::Ping;

    #[test]
    fn frames_are_cut_one_by_one_and_half_of_one_waits() {
        let mut bytes = Vec::new();
        for echo in 0..2 {
            codec::append(&Ping { echo }, 7, &mut bytes).expect("a ping fits");
        }
        let mut buffer = BytesMut::from(&bytes[..bytes.len() - 1]);
        let (kind, sequence, body) = cut(&mut buffer).expect("good bytes").expect("a whole frame");
        assert_eq!((kind, sequence, body.len()), (Kind::Ping, 7, 8));
        assert!(cut(&mut buffer).expect("good bytes").is_none());
    }

    #[test]
    fn anything_but_a_welcome_says_why_there_is_no_link() {
        assert!(
            welcomed(Kind::Pong, &[])
                .expect_err("no welcome")
                .contains("Pong")
        );
    }
}
