//! A caller as a process of its own: four threads that pick from the board, and a line to the test, which has it hold its
//! reports back for a moment and asks for its books. The test's own program, started again.

use crate::mesh::{Sum, Sums, signal};
use lars_client::{Call, Client, ModuleId, NodeAddr, Transport};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// What is called.
pub(crate) const MODULE: ModuleId = ModuleId::new(7, 7);
/// Its nodes; to the first of them every call fails.
pub(crate) const NODES: u32 = 10;
/// Threads of a caller.
pub(crate) const THREADS: u32 = 4;
/// How long a call takes, and from its end to the next.
pub(crate) const SERVICE: Duration = Duration::from_millis(1);
pub(crate) const PAUSE: Duration = Duration::from_millis(4);
/// Where the caller finds the agent, and the test.
const AGENT: &str = "LARS_CHAOS_AGENT";
const TEST: &str = "LARS_CHAOS_TEST";
/// How long a flush may wait for an agent that was just started.
const FLUSH_WITHIN: Duration = Duration::from_secs(20);

/// Node `number` of the module.
pub(crate) fn node(number: u32) -> NodeAddr {
    NodeAddr::from_ipv4_number(0x0a07_0001 + number, 80)
}

/// What a caller has done so far.
#[derive(Clone, Default)]
pub(crate) struct Books {
    /// What it reported.
    pub(crate) reported: Sums,
    /// Picks made from the board of an agent that lives, and those of them that gave the failing node.
    pub(crate) picked: u64,
    pub(crate) picked_failing: u64,
    /// Picks that said of themselves that they were stale.
    pub(crate) picked_stale: u64,
    /// Whether the client says that its board is.
    pub(crate) is_stale: bool,
}

impl Books {
    fn add(&mut self, node: NodeAddr, outcome: usize, calls: u64) {
        let sum: &mut Sum = self.reported.entry((MODULE, node)).or_default();
        sum[outcome] += calls;
    }

    /// In one line: the picks, whether the board is stale, then node, successes and failures.
    fn to_line(&self) -> String {
        let nodes = self
            .reported
            .iter()
            .map(|((_, node), [ok, failed, ..])| format!(" {node} {ok} {failed}"));
        format!(
            "{} {} {} {}{}",
            self.picked,
            self.picked_failing,
            self.picked_stale,
            u64::from(self.is_stale),
            nodes.collect::<String>()
        )
    }

    fn from_line(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let mut number = || words.next()?.parse().ok();
        let mut books = Self {
            picked: number()?,
            picked_failing: number()?,
            picked_stale: number()?,
            is_stale: number()? != 0,
            ..Self::default()
        };
        while let Some(node) = words.next() {
            let node = node.parse().ok()?;
            for outcome in 0..2 {
                books.add(node, outcome, words.next()?.parse().ok()?);
            }
        }
        Some(books)
    }
}

/// A caller as the test sees it; killed with it.
pub(crate) struct Caller {
    child: Child,
    line: BufReader<UnixStream>,
}

impl Caller {
    /// Starts one and waits until it calls.
    pub(crate) fn start(agent: &Path, listener: &UnixListener, test: &Path) -> Self {
        let program = std::env::current_exe().expect("this program");
        let child = Command::new(program)
            .args(["--exact", "caller::process_of_a_caller", "--nocapture"])
            .env(AGENT, agent)
            .env(TEST, test)
            .stdout(Stdio::null())
            .spawn()
            .expect("this program starts again");
        let (stream, _) = listener.accept().expect("it comes");
        stream
            .set_read_timeout(Some(FLUSH_WITHIN * 2))
            .expect("a time-out");
        Self {
            child,
            line: BufReader::new(stream),
        }
    }

    /// It reports nothing from here on, and goes on picking; all that it reported is with the agent.
    pub(crate) fn hold(&mut self) -> Books {
        self.ask("hold")
    }

    /// It reports again, first of all what it has held back.
    pub(crate) fn go(&mut self) -> Books {
        self.ask("go")
    }

    /// It reports nothing from here on, and goes on picking; what it reported may lie in its rings.
    pub(crate) fn still(&mut self) -> Books {
        self.ask("still")
    }

    /// As a crash ends it, with its calls under way.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("gone");
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    /// What it has done.
    pub(crate) fn tell(&mut self) -> Books {
        self.ask("tell")
    }

    fn ask(&mut self, what: &str) -> Books {
        writeln!(self.line.get_mut(), "{what}").expect("the caller listens");
        let mut line = String::new();
        self.line.read_line(&mut line).expect("the caller answers");
        Books::from_line(&line)
            .unwrap_or_else(|| panic!("the caller ended, its reason stands above: {line:?}"))
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        // Ended already where the test failed for that.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where the test's callers run: no test of its own.
#[test]
fn process_of_a_caller() {
    if let (Some(agent), Some(test)) = (std::env::var_os(AGENT), std::env::var_os(TEST)) {
        run(&PathBuf::from(agent), &PathBuf::from(test));
    }
}

#[derive(Default)]
struct Desk {
    holds: AtomicBool,
    /// Threads that have seen it.
    holding: [AtomicBool; THREADS as usize],
    books: Mutex<Books>,
}

impl Desk {
    /// Tells the threads, and waits until all have seen it.
    fn hold(&self, holds: bool) {
        self.holds.store(holds, Ordering::SeqCst);
        while !self
            .holding
            .iter()
            .all(|seen| seen.load(Ordering::SeqCst) == holds)
        {
            thread::sleep(SERVICE);
        }
    }
}

fn run(agent: &Path, test: &Path) {
    // A thread that fails ends the process, so that the test hears of it at once.
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        tell(panic);
        std::process::exit(1);
    }));
    let client = Client::builder()
        .path(agent)
        .timeout(FLUSH_WITHIN)
        .connect()
        .expect("the agent listens");
    assert_eq!(client.transport(), Transport::Board);
    let (desk, client) = (&Desk::default(), &client);
    let mut stream = UnixStream::connect(test).expect("the test listens");
    let lines = BufReader::new(stream.try_clone().expect("a descriptor")).lines();
    thread::scope(|scope| {
        for number in 0..THREADS as usize {
            scope.spawn(move || call(client, number, desk));
        }
        for line in lines.map_while(Result::ok) {
            match line.as_str() {
                "hold" => {
                    desk.hold(true);
                    client.flush().expect("all is drained");
                }
                "still" => desk.hold(true),
                "go" => desk.hold(false),
                _ => {}
            }
            let mut told = desk.books.lock().expect("no thread failed").clone();
            told.is_stale = client.transport() == Transport::StaleBoard;
            writeln!(stream, "{}", told.to_line()).expect("the test listens");
        }
        std::process::exit(0);
    });
}

/// Threads of even numbers have a picker, the others share the client.
fn call(client: &Client, number: usize, desk: &Desk) {
    let mut picker = client.picker();
    let mut held: Vec<Call> = Vec::new();
    loop {
        let lives = client.transport() == Transport::Board;
        let picked = if number.is_multiple_of(2) {
            picker.pick(MODULE)
        } else {
            client.pick(MODULE)
        };
        let call = picked.unwrap_or_else(|error| panic!("a pick failed: {error}"));
        let mut books = desk.books.lock().expect("no thread failed");
        if lives {
            books.picked += 1;
            books.picked_failing += u64::from(call.node() == node(0));
        }
        books.picked_stale += u64::from(call.is_stale());
        drop(books);
        thread::sleep(SERVICE);
        held.push(call);
        let holds = desk.holds.load(Ordering::SeqCst);
        if !holds {
            for call in held.drain(..) {
                report(call, desk);
            }
        }
        desk.holding[number].store(holds, Ordering::SeqCst);
        thread::sleep(PAUSE);
    }
}

fn report(call: Call, desk: &Desk) {
    let node = call.node();
    let fails = node == self::node(0);
    let reported = if fails { call.failed(1) } else { call.ok() };
    reported.unwrap_or_else(|error| panic!("a report failed: {error}"));
    desk.books
        .lock()
        .expect("no thread failed")
        .add(node, usize::from(fails), 1);
}
