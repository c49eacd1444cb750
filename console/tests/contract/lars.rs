//! The real `lars` binary as a test uses it: run to its end, or held while it runs and ended with the test.

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// How long anything may take before a test gives up on it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The binary with these arguments and nothing in the environment that names a Lars.
pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lars"));
    for variable in [
        "LARS_DATA",
        "LARS_AGENT",
        "LARS_DNS",
        "LARS_REPORT",
        "LARS_LOG",
        "LARS_MYSQL",
        "LARS_MYSQL_PASSWORD",
        "LARS_MYSQL_CA",
        "NOTIFY_SOCKET",
    ] {
        command.env_remove(variable);
    }
    command.args(args);
    command
}

/// Runs to the end; exit code, standard output, standard error.
pub(crate) fn run(args: &[&str]) -> (i32, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command(args).output().expect("the binary runs");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (status.code().expect("no signal"), text(stdout), text(stderr))
}

/// Runs to the end; exit code and the JSON that was printed.
pub(crate) fn run_json(args: &[&str]) -> (i32, Value) {
    let (code, stdout, stderr) = run(args);
    let value =
        serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout:?} {stderr:?}"));
    (code, value)
}

/// Runs to the end, which must be a good one; standard output.
pub(crate) fn good(args: &[&str]) -> String {
    let (code, stdout, stderr) = run(args);
    assert_eq!(code, 0, "{args:?}: {stdout}{stderr}");
    stdout
}

/// A running service. Killed with the test, if it was not ended before.
pub(crate) struct Running {
    child: Child,
    /// The first line that it printed.
    pub(crate) first_line: String,
    /// From the start to that line.
    pub(crate) ready_after: Duration,
}

impl Running {
    /// Starts it and waits for its first line.
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::start_logging(args, Stdio::inherit())
    }

    /// The same with its log somewhere else.
    pub(crate) fn start_logging(args: &[&str], log: Stdio) -> Self {
        let begun = Instant::now();
        let mut child = command(args)
            .stdout(Stdio::piped())
            .stderr(log)
            .stdin(Stdio::null())
            .spawn()
            .expect("the binary starts");
        let mut first_line = String::new();
        let stdout = child.stdout.as_mut().expect("piped");
        BufReader::with_capacity(1, stdout)
            .read_line(&mut first_line)
            .expect("a line");
        Self {
            child,
            first_line,
            ready_after: begun.elapsed(),
        }
    }

    /// `lars up` on a folder, with free ports.
    pub(crate) fn up(data: &Path) -> Self {
        let running = Self::start(&["up", "--port", "0", "--data", path(data)]);
        assert!(
            running.first_line.starts_with("ready"),
            "{:?}",
            running.first_line
        );
        running
    }

    /// Ends it as a service manager does; how long that took.
    pub(crate) fn terminate(mut self) -> Duration {
        let begun = Instant::now();
        signal("TERM", &self.child);
        let code = self.wait();
        assert_eq!(code, Some(0), "SIGTERM is a good end");
        begun.elapsed()
    }

    /// Sends it a signal that does not end it.
    pub(crate) fn hear(&self, name: &str) {
        signal(name, &self.child);
    }

    /// Kills it, as a machine's end would.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("killed");
        self.wait();
    }

    fn wait(&mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("waited for") {
                return status.code();
            }
            assert!(Instant::now() < deadline, "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Ended already where the test came so far.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn signal(name: &str, child: &Child) {
    let kill = format!("kill -{name} {}", child.id());
    assert!(
        Command::new("sh")
            .args(["-c", &kill])
            .status()
            .expect("sh runs")
            .success()
    );
}

/// A path as an argument.
pub(crate) fn path(path: &Path) -> &str {
    path.to_str().expect("a temporary folder has a plain name")
}

/// Waits until `condition` gives something.
pub(crate) fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// What `addresses.json` says.
pub(crate) fn addresses(data: &Path) -> Value {
    let text = std::fs::read(data.join("addresses.json")).expect("addresses.json");
    serde_json::from_slice(&text).expect("JSON")
}

/// A page of the admin address: status line, headers and body in one text.
pub(crate) fn http(addr: &str, page: &str) -> String {
    let mut stream = TcpStream::connect(addr).expect("connected");
    write!(
        stream,
        "GET {page} HTTP/1.1\r\nHost: lars\r\nConnection: close\r\n\r\n"
    )
    .expect("asked");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    answer
}

/// The services' statuses say that bytes are moved by epoll, as they were told.
pub(crate) fn assert_all_on_epoll(status: &Value) {
    for service in ["agent", "dns", "report"] {
        let told = &status["services"][service];
        assert_eq!(
            [&told["io"], &told["io_reason"]],
            ["epoll", "asked for"],
            "{service}"
        );
    }
}
