//! A MariaDB of one's own, for tests and benches: in a temporary folder, behind a Unix socket, without any network. It
//! ends with the process that started it, however that ends. Behind the cargo feature `mariadb`.

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Names another server, `mysql://USER:PASSWORD@HOST:PORT` of an account that may make databases.
pub const OTHER_SERVER: &str = "LARS_TEST_MYSQL";
/// Making the system tables and starting take a second; a busy machine takes longer.
const START_MAX: Duration = Duration::from_mins(2);
/// Between two looks whether it answers.
const START_LOOK: Duration = Duration::from_millis(20);

/// Holds the server's life: it ends when told, or when our end of the pipe is closed, as it is when we are killed.
const GUARD: &str = r#"
folder=$1; shift
"$@" </dev/null >/dev/null 2>&1 & server=$!
echo $server
exec 2>/dev/null
if read -r order; then
    case $order in stop) kill -TERM $server ;; *) kill -KILL $server ;; esac
    wait $server
else
    kill -KILL $server; wait $server; rm -rf "$folder"
fi
"#;

/// A server for tests: our own, or the one that [`OTHER_SERVER`] names.
#[derive(Debug)]
pub struct MariaDb {
    server: Server,
    databases: AtomicU32,
}

#[derive(Debug)]
enum Server {
    Own(Own),
    Other { url: String },
}

#[derive(Debug)]
struct Own {
    folder: TempDir,
    guard: Mutex<Option<Child>>,
    options: Vec<String>,
}

impl MariaDb {
    /// Starts a server, or takes the one that [`OTHER_SERVER`] names.
    ///
    /// # Errors
    /// For people: the programs are missing, or do not start.
    pub fn start() -> Result<Self, String> {
        match std::env::var(OTHER_SERVER) {
            Ok(url) => Ok(Self {
                server: Server::Other { url },
                databases: AtomicU32::new(0),
            }),
            Err(_) => Self::start_own(),
        }
    }

    /// Starts a server of our own, which may be stopped and killed.
    ///
    /// # Errors
    /// As [`MariaDb::start`].
    pub fn start_own() -> Result<Self, String> {
        Self::start_own_with(vec!["--skip-networking".to_owned()])
    }

    /// Starts a server of our own with these options beside those that every one has; without `--skip-networking` it
    /// listens on TCP too.
    ///
    /// # Errors
    /// As [`MariaDb::start`].
    pub fn start_own_with(options: Vec<String>) -> Result<Self, String> {
        let folder = tempfile::Builder::new()
            .prefix("lars-mariadb")
            .tempdir()
            .map_err(|error| format!("a folder for MariaDB: {error}"))?;
        // Two servers that share a folder for passing tables stumble over each other's.
        std::fs::create_dir(folder.path().join("tmp"))
            .map_err(|error| format!("a folder for MariaDB: {error}"))?;
        make_system_tables(folder.path())?;
        let server = Server::Own(Own {
            folder,
            guard: Mutex::new(None),
            options,
        });
        let started = Self {
            server,
            databases: AtomicU32::new(0),
        };
        started.resume()?;
        Ok(started)
    }

    /// Starts the stopped or killed server again; returns when it answers.
    ///
    /// # Errors
    /// It is not our own, or does not answer in time.
    pub fn resume(&self) -> Result<(), String> {
        let Own {
            folder,
            guard,
            options,
        } = self.own()?;
        let folder = folder.path();
        let mut guard = guard.lock().map_err(|_| "an earlier call failed".to_owned())?;
        let mut child = Command::new("sh")
            .args(["-c", GUARD, "sh"])
            .arg(folder)
            .args(server_command(folder))
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("sh: {error}"))?;
        let mut id = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout)
                .read_line(&mut id)
                .map_err(|error| format!("mariadbd: {error}"))?;
        }
        *guard = Some(child);
        let deadline = Instant::now() + START_MAX;
        while std::os::unix::net::UnixStream::connect(socket(folder)).is_err() {
            let is_gone = !Path::new(&format!("/proc/{}", id.trim())).exists();
            if is_gone || Instant::now() > deadline {
                let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
                let from = log.len().saturating_sub(2_000);
                return Err(format!(
                    "mariadbd does not start; its log ends so: {}",
                    log.get(from..).unwrap_or(&log)
                ));
            }
            std::thread::sleep(START_LOOK);
        }
        Ok(())
    }

    /// Stops the server as an operator would; returns when it is gone.
    ///
    /// # Errors
    /// It is not our own.
    pub fn stop(&self) -> Result<(), String> {
        self.end("stop")
    }

    /// Kills the server; returns when it is gone.
    ///
    /// # Errors
    /// It is not our own.
    pub fn kill(&self) -> Result<(), String> {
        self.end("kill")
    }

    /// Stops the server in its tracks, so that it neither answers nor ends, until [`MariaDb::go_on`].
    ///
    /// # Errors
    /// It is not our own.
    pub fn pause(&self) -> Result<(), String> {
        self.signal("STOP")
    }

    /// Lets a paused server go on.
    ///
    /// # Errors
    /// It is not our own.
    pub fn go_on(&self) -> Result<(), String> {
        self.signal("CONT")
    }

    /// Makes an empty database; returns its URL.
    ///
    /// # Errors
    /// The server's.
    pub async fn database(&self) -> Result<String, String> {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("lars_test_{}_{number}", std::process::id());
        let statement = format!("DROP DATABASE IF EXISTS {name}; CREATE DATABASE {name}");
        run(&self.url(""), &statement).await?;
        Ok(self.url(&name))
    }

    /// The URL of a database, as the account that may do everything.
    fn url(&self, database: &str) -> String {
        match &self.server {
            Server::Own(own) => {
                let socket = socket(own.folder.path());
                // What a path has that a URL has not.
                let socket = socket.to_string_lossy().replace('/', "%2F");
                format!("mysql://root@localhost/{database}?socket={socket}")
            }
            Server::Other { url } => {
                let (server, rest) = url
                    .split_once('?')
                    .map_or((url.as_str(), None), |(a, b)| (a, Some(b)));
                let rest = rest.map_or_else(String::new, |rest| format!("?{rest}"));
                format!("{}/{database}{rest}", server.trim_end_matches('/'))
            }
        }
    }

    fn own(&self) -> Result<&Own, String> {
        match &self.server {
            Server::Own(own) => Ok(own),
            Server::Other { .. } => Err(format!(
                "the server that {OTHER_SERVER} names is not ours to stop"
            )),
        }
    }

    fn signal(&self, name: &str) -> Result<(), String> {
        let folder = self.own()?.folder.path();
        let id = std::fs::read_to_string(folder.join("pid")).map_err(|error| format!("mariadbd: {error}"))?;
        let sent = Command::new("sh")
            .args(["-c", "kill -$1 $2", "sh", name, id.trim()])
            .status();
        match sent {
            Ok(status) if status.success() => Ok(()),
            other => Err(format!("kill -{name} {}: {other:?}", id.trim())),
        }
    }

    fn end(&self, order: &str) -> Result<(), String> {
        let mut guard = self
            .own()?
            .guard
            .lock()
            .map_err(|_| "an earlier call failed".to_owned())?;
        let Some(mut child) = guard.take() else {
            return Ok(());
        };
        if let Some(mut stdin) = child.stdin.take() {
            writeln!(stdin, "{order}").map_err(|error| format!("sh: {error}"))?;
        }
        child.wait().map_err(|error| format!("sh: {error}"))?;
        Ok(())
    }
}

impl Drop for MariaDb {
    fn drop(&mut self) {
        if self.own().is_ok() {
            // What cannot be ended here ends with the process.
            let _ = self.kill();
        }
    }
}

/// Runs statements, divided by semicolons, on a connection of their own, as another program would.
///
/// # Errors
/// The server's, for people.
pub async fn run(url: &str, statements: &str) -> Result<(), String> {
    let work = async {
        let mut conn = Conn::new(Opts::from_url(url)?).await?;
        conn.query_drop(statements).await?;
        conn.disconnect().await
    };
    work.await
        .map_err(|error: mysql_async::Error| format!("{statements}: {error}"))
}

fn socket(folder: &Path) -> PathBuf {
    folder.join("socket")
}

fn make_system_tables(folder: &Path) -> Result<(), String> {
    let log =
        File::create(folder.join("install-log")).map_err(|error| format!("a log for MariaDB: {error}"))?;
    let copy = log
        .try_clone()
        .map_err(|error| format!("a log for MariaDB: {error}"))?;
    let status = Command::new("mariadb-install-db")
        .env("TMPDIR", folder.join("tmp"))
        .arg("--no-defaults")
        .arg(format!("--datadir={}", folder.join("data").display()))
        .args(["--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"])
        .stdin(Stdio::null())
        .stdout(copy)
        .stderr(log)
        .status()
        .map_err(|error| {
            format!(
                "mariadb-install-db: {error}; install mariadb-server, as ./test.sh does, or name a server in {OTHER_SERVER}"
            )
        })?;
    if status.success() {
        return Ok(());
    }
    let log = std::fs::read_to_string(folder.join("install-log")).unwrap_or_default();
    Err(format!("mariadb-install-db: {status}: {log}"))
}

fn server_command(folder: &Path) -> Vec<String> {
    let at = |name: &str| folder.join(name).display().to_string();
    let found = ["/usr/sbin/mariadbd", "/usr/libexec/mariadbd"]
        .into_iter()
        .find(|path| Path::new(path).exists());
    let mut command = vec![
        // Not in every account's path.
        found.unwrap_or("mariadbd").to_owned(),
        "--no-defaults".to_owned(),
        format!("--datadir={}", at("data")),
        format!("--tmpdir={}", at("tmp")),
        format!("--socket={}", at("socket")),
        format!("--pid-file={}", at("pid")),
        format!("--log-error={}", at("log")),
        "--skip-name-resolve".to_owned(),
        "--max-connections=400".to_owned(),
        "--innodb-buffer-pool-size=512M".to_owned(),
        // A commit is with the kernel when it is answered: it outlives the server's death, as the tests need it.
        "--innodb-flush-log-at-trx-commit=2".to_owned(),
    ];
    if Path::new("/proc/self")
        .metadata()
        .is_ok_and(|owner| std::os::unix::fs::MetadataExt::uid(&owner) == 0)
    {
        command.push("--user=root".to_owned());
    }
    command
}
