//! The thread that a client with a board keeps: it finds the agent, fetches its board, offers it the client's rings,
//! notices when it dies or hangs, and finds the next one. No pick waits for it.

use crate::link::{Link, send};
use crate::outlet::Outlet;
use lars_board::{Board, Packet, Packets, wait};
use lars_wire::bounds::{HEADER_BYTES, TEXT_BYTES_MAX};
use lars_wire::caller::{Hello, Pong, Welcome};
use lars_wire::frame::{self, Frame};
use lars_wire::ring::RingTaken;
use lars_wire::{Kind, VERSION, codec};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Within this callers notice that their agent hangs.
const NOTICED_MAX: Duration = Duration::from_secs(2);
/// How often an agent's heart is felt.
const TICK: Duration = Duration::from_millis(250);
/// An owner's heart beats every 100 ms; one that was not heard for so long hangs.
const SILENCE_MAX: Duration = Duration::from_millis(1_500);
/// For how long this thread may find no processor when it is to feel the heart.
const LATE_MAX: Duration = Duration::from_millis(200);
const _: () = assert!(
    SILENCE_MAX.as_millis() + TICK.as_millis() + LATE_MAX.as_millis() < NOTICED_MAX.as_millis(),
    "an agent hangs with its last beat, and that is felt with the first tick behind the silence"
);
/// The first and the longest pause before a dead agent is looked for again.
const PAUSE_FIRST: Duration = Duration::from_millis(2);
const PAUSE_MAX: Duration = Duration::from_millis(250);
/// An agent that has served for so long is taken to be well: when it dies, the first pause comes again. Sooner, one that welcomes
/// and dies would be met hundreds of times a second by every caller of the host.
const SERVED_MIN: Duration = Duration::from_secs(1);
/// How long an agent may take to answer a hello.
const HELLO_MAX: Duration = Duration::from_secs(1);
/// Bytes of the longest packet that an agent sends: a refusal with its text.
const PACKET_BYTES_MAX: usize = HEADER_BYTES + 16 + TEXT_BYTES_MAX;

/// Starts the thread; what is returned ends it when dropped.
pub(crate) fn start(link: &Arc<Link>, first: Option<Arc<Packets>>) -> io::Result<Keeper> {
    let (stop, stopped) = Packets::pair()?;
    std::thread::Builder::new()
        .name("lars-client".to_owned())
        .spawn({
            let link = Arc::clone(link);
            move || {
                Watch {
                    link,
                    stopped,
                    stops: false,
                }
                .run(first);
            }
        })?;
    let link = Arc::clone(link);
    Ok(Keeper { link, stop })
}

/// Ends the thread when dropped, once no call is under way.
pub(crate) struct Keeper {
    link: Arc<Link>,
    stop: Packets,
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // A child has no such thread, and shares the socket with its parent's.
        if !self.link.is_child() {
            let _ = self.stop.send(b"stop", None);
        }
    }
}

/// Connects, fetches the board and puts it in force.
pub(crate) fn attach(link: &Link, deadline: Instant) -> io::Result<Arc<Packets>> {
    let packets = Packets::connect(&link.path)?;
    let hello = Hello {
        version: u16::from(VERSION),
        name: link.name.clone(),
    };
    if !send(&packets, &hello, None) {
        return Err(io::Error::other("the agent takes no hello"));
    }
    let mut bytes = [0; PACKET_BYTES_MAX];
    loop {
        let left = deadline
            .checked_duration_since(Instant::now())
            .ok_or(io::ErrorKind::TimedOut)?;
        wait(&[packets.as_fd()], Some(left))?;
        if let Some(Packet { bytes: length, file }) = packets.receive(&mut bytes)? {
            let board = welcomed(&bytes[..length], file)?;
            let packets = Arc::new(packets);
            link.attach(board, Arc::clone(&packets));
            return Ok(packets);
        }
    }
}

/// The board that came with a welcome.
fn welcomed(bytes: &[u8], file: Option<OwnedFd>) -> io::Result<Board> {
    let frame = whole(bytes).ok_or(io::ErrorKind::UnexpectedEof)?;
    let welcome = match frame.header.kind {
        Kind::Welcome => codec::decode::<Welcome>(frame.body).ok(),
        _ => None,
    };
    let spoken = welcome.is_some_and(|welcome| welcome.version == u16::from(VERSION));
    match file {
        Some(file) if spoken => Board::open(file).map_err(io::Error::other),
        _ => Err(io::Error::other("the agent welcomes with no board")),
    }
}

/// The frame that a packet is.
fn whole(bytes: &[u8]) -> Option<Frame<'_>> {
    let frame = frame::split(bytes).ok()??;
    (frame.bytes() == bytes.len()).then_some(frame)
}

/// The pauses before an agent is looked for: each about twice as long as the one before, until an agent has served.
struct Pauses {
    next: Duration,
}

impl Pauses {
    fn new() -> Self {
        Self { next: PAUSE_FIRST }
    }

    /// An agent was there, and is gone after this long.
    fn served(&mut self, service: Duration) {
        if service >= SERVED_MIN {
            *self = Self::new();
        }
    }

    /// The next pause. Many callers of one host lose the same agent at once: up to a quarter less keeps them apart, as `chance`,
    /// from 0 to 1, has it.
    fn take(&mut self, chance: f64) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(PAUSE_MAX).mul_f64(1.0 - 0.25 * chance);
        pause
    }
}

/// The thread.
struct Watch {
    link: Arc<Link>,
    stopped: Packets,
    /// Whether the client is gone.
    stops: bool,
}

impl Watch {
    fn run(mut self, mut attached: Option<Arc<Packets>>) {
        let mut pauses = Pauses::new();
        loop {
            if let Some(packets) = attached.take() {
                let since = Instant::now();
                let lives = self.serve(&packets);
                self.link.detach();
                pauses.served(since.elapsed());
                if lives {
                    break;
                }
            }
            self.wait(pauses.take(fastrand::f64()), None);
            self.tick(Instant::now());
            if self.is_over(false) {
                break;
            }
            attached = attach(&self.link, Instant::now() + HELLO_MAX).ok();
        }
        self.link.clear();
    }

    /// Serves until the agent goes away, or the client does: then true.
    fn serve(&mut self, packets: &Packets) -> bool {
        loop {
            if self.wait(TICK, Some(packets)) && !self.receive(packets) {
                return false;
            }
            self.tick(Instant::now());
            if self.is_over(true) {
                return true;
            }
        }
    }

    /// Sleeps until there is something to read from the agent, or the client ends; whether it was the agent.
    fn wait(&mut self, at_most: Duration, packets: Option<&Packets>) -> bool {
        let stopped = self.stopped.as_fd();
        let ready = match (packets, self.stops) {
            (Some(packets), false) => wait(&[packets.as_fd(), stopped], Some(at_most)),
            (Some(packets), true) => wait(&[packets.as_fd()], Some(at_most)),
            (None, false) => wait(&[stopped], Some(at_most)).map(|ready| vec![false, ready[0]]),
            (None, true) => wait(&[], Some(at_most)).map(|_| vec![false]),
        };
        let ready = ready.unwrap_or_default();
        self.stops |= ready.get(1).is_some_and(|&told| told);
        ready.first().is_some_and(|&from_agent| from_agent)
    }

    /// Takes in what the agent sent; whether it is still there.
    fn receive(&self, packets: &Packets) -> bool {
        let mut bytes = [0; PACKET_BYTES_MAX];
        loop {
            let length = match packets.receive(&mut bytes) {
                Ok(Some(packet)) if packet.bytes > 0 => packet.bytes,
                Ok(None) => return true,
                Ok(Some(_)) | Err(_) => return false,
            };
            let Some(frame) = whole(&bytes[..length]) else {
                return false;
            };
            match frame.header.kind {
                Kind::RingTaken => {
                    let Ok(RingTaken { ring, taken }) = codec::decode(frame.body) else {
                        return false;
                    };
                    if let Some(outlet) = self.link.outlet(ring) {
                        outlet.answered(taken);
                    }
                }
                Kind::Pong => {
                    let Ok(Pong { echo }) = codec::decode(frame.body) else {
                        return false;
                    };
                    self.link.answered(echo);
                }
                // A refusal, or what a newer agent says: start anew.
                _ => return false,
            }
        }
    }

    /// What is to be done now and then, whether there is an agent or not.
    fn tick(&self, now: Instant) {
        self.link.stopwatch.compare();
        for outlet in self.link.holding() {
            outlet.unload();
        }
        if let Some((_, board)) = self.link.board() {
            board.advance(now);
            let hangs = board.silence(now) > SILENCE_MAX;
            self.link.set_stale(hangs || !self.link.is_attached());
        }
    }

    /// Whether the client is gone and nothing is left to be reported: no call under way, and, while there is an agent to
    /// drain them, no ring that is not empty.
    fn is_over(&self, has_agent: bool) -> bool {
        // One count is the link's own list, one the list that these are.
        let is_idle = |outlet: &Outlet| outlet.handles() <= 3;
        self.stops
            && self
                .link
                .outlets()
                .iter()
                .all(|outlet| is_idle(outlet) && (!has_agent || self.link.is_stale() || outlet.unload()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::Transport;
    use lars_board::{BoardConfig, ForkWord, PacketListener, RING_RECORDS_DEFAULT};
    use std::path::PathBuf;

    /// How often an agent's owners beat.
    const BEAT: Duration = Duration::from_millis(100);

    const CONFIG: BoardConfig = BoardConfig {
        modules_max: 64,
        shards: 1,
    };

    fn link(socket: PathBuf) -> Arc<Link> {
        let fork = Arc::new(ForkWord::new().expect("a page"));
        Arc::new(Link::new(socket, "test".to_owned(), RING_RECORDS_DEFAULT, fork))
    }

    fn watch() -> Watch {
        let (_stop, stopped) = Packets::pair().expect("descriptors are left");
        Watch {
            link: link("/nowhere/agent.sock".into()),
            stopped,
            stops: false,
        }
    }

    #[test]
    fn agent_that_hangs_is_noticed_within_two_seconds_and_one_that_beats_is_not_suspected() {
        // However the beats lie between the ticks.
        for offset_ms in 0..TICK.as_millis() as u64 {
            let watch = watch();
            let (board, mut writers) = Board::create(CONFIG).expect("memory");
            let (_agent, ours) = Packets::pair().expect("descriptors are left");
            watch.link.attach(board, Arc::new(ours));
            let mut tick = Instant::now();
            let mut last = tick + Duration::from_millis(offset_ms);
            for _ in 0..80 {
                let beat = last + BEAT;
                while tick < beat {
                    watch.tick(tick);
                    assert_eq!(watch.link.transport(), Transport::Board, "it beats");
                    tick += TICK;
                }
                writers[0].beat(beat);
                last = beat;
            }
            watch.tick(tick);
            while watch.link.transport() == Transport::Board {
                tick += TICK;
                watch.tick(tick);
            }
            let noticed = (tick + LATE_MAX).duration_since(last);
            assert!(noticed < NOTICED_MAX, "{noticed:?}");
            writers[0].beat(tick);
            watch.tick(tick);
            assert_eq!(watch.link.transport(), Transport::Board, "it is back");
        }
    }

    #[test]
    fn pause_doubles_up_to_its_bound_and_is_short_again_when_an_agent_has_served() {
        for chance in [0.0, 0.5, 1.0] {
            let mut pauses = Pauses::new();
            let mut before = pauses.take(chance);
            assert_eq!(before, PAUSE_FIRST);
            for _ in 0..20 {
                // An agent that welcomes and dies is no better than none.
                pauses.served(SERVED_MIN.mul_f64(0.99));
                let pause = pauses.take(chance);
                assert!(
                    pause <= PAUSE_MAX && pause >= PAUSE_MAX.min(before * 2).mul_f64(0.75),
                    "{pause:?}"
                );
                before = pause;
            }
            assert!(before >= PAUSE_MAX.mul_f64(0.75), "{before:?}");
            pauses.served(SERVED_MIN);
            assert_eq!(pauses.take(chance), PAUSE_FIRST);
        }
    }

    /// Welcomes the caller that waits, and ends the connection.
    fn welcome_and_die(listener: &PacketListener, board: &Board) {
        let packets = listener.accept().expect("it listens").expect("one waits");
        wait(&[packets.as_fd()], Some(HELLO_MAX)).expect("it can be waited for");
        packets.receive(&mut [0; PACKET_BYTES_MAX]).expect("a hello");
        let welcome = Welcome {
            version: u16::from(VERSION),
            incarnation: [0; 16],
            sockets: 0,
            board: true,
        };
        let mut bytes = Vec::new();
        codec::append(&welcome, 1, &mut bytes).expect("it fits");
        packets
            .send(&bytes, Some(board.file()))
            .expect("the client reads");
    }

    #[test]
    fn agent_that_welcomes_and_dies_is_met_more_and_more_rarely() {
        let folder = tempfile::tempdir().expect("a folder");
        let link = link(folder.path().join("agent.sock"));
        let listener = PacketListener::bind(&link.path).expect("the socket is free");
        let (board, _writers) = Board::create(CONFIG).expect("memory");
        let keeper = start(&link, None).expect("a thread");
        let (end, mut welcomed) = (Instant::now() + SERVED_MIN, 0);
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            if wait(&[listener.as_fd()], Some(left)).expect("it can be waited for")[0] {
                welcome_and_die(&listener, &board);
                welcomed += 1;
            }
        }
        drop(keeper);
        println!("met {welcomed} times in {SERVED_MIN:?}");
        // Each pause is longer by half at least: eleven take a third of the second, those behind them a sixth each.
        assert!((1..=16).contains(&welcomed), "met {welcomed} times");
    }
}
