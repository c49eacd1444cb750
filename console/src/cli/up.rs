//! `lars up`: everything in one process; with `--demo`, a story besides.

use super::io::Io;
use super::print;
use crate::config::Config;
use crate::database::Database;
use crate::demo;
use crate::notify::{State, notify};
use crate::outcome::{Code, Failure};
use crate::reload::Reload;
use crate::signals::EndSignals;
use crate::up::{PORT_DEFAULT, UpOptions};
use clap::Args;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

#[derive(Args, Debug)]
pub(super) struct Up {
    /// Folder that holds everything: the SQLite file, the socket, the routes on disk, addresses.json
    /// [env: LARS_DATA] [default: ./lars-data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// First of four ports (dns, report, console, admin); 0 takes free ones
    #[arg(long, value_name = "BASE", default_value_t = PORT_DEFAULT)]
    port: u16,
    /// Configuration file: cores, bounds, policies (listeners, paths and links are those of `up`). [policy] and [[module]]
    /// are read again on SIGHUP
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Serve callers of the C++ Lars too, at UDP 127.0.0.1:8888 to 8890 (`[compat]` of the configuration says otherwise;
    /// --port does not shift them)
    #[arg(long)]
    compat: bool,
    #[command(flatten)]
    io: Io,
    #[command(flatten)]
    database: Database,
    /// Start nodes and callers too and tell what Lars does for them
    #[arg(long)]
    demo: bool,
    /// With --demo: end after so many seconds, with exit code 1 if the story did not come true
    #[arg(long, value_name = "N", requires = "demo", value_parser = clap::value_parser!(u64).range(demo::SECONDS_MIN..=86_400))]
    seconds: Option<u64>,
}

impl Up {
    pub(super) fn run(self) -> Result<(), Failure> {
        crate::logging::start("warn");
        let begun = Instant::now();
        let mut config = match &self.config {
            Some(path) => Config::read(path)?,
            None => Config::default(),
        };
        // What is read again is compared with what stood in the file.
        let file = self.config.map(|path| (path, config.clone()));
        self.io.put_into(&mut config);
        self.database.put_into(&mut config.store);
        config.compat.enabled |= self.compat;
        let signals = EndSignals::listen().map_err(|error| Failure::other(format!("signals: {error}")))?;
        let options = UpOptions {
            data: crate::find::data_folder(self.data),
            port: self.port,
            config,
        };
        let up = crate::up::Up::start_unless(options, || signals.wait(Some(Instant::now())))?;
        if let Some((path, config)) = file {
            Reload::listen(path, config, up.policies())
                .map_err(|error| Failure::other(format!("signals: {error}")))?;
        }
        let told = ready_line(&up, begun).and_then(|()| {
            notify(State::Ready);
            if self.demo {
                let length = self.seconds.map(Duration::from_secs);
                demo::run(&up, &signals, length)
            } else {
                signals.wait(None);
                Ok(true)
            }
        });
        notify(State::Stopping);
        up.stop();
        match told {
            Ok(true) => Ok(()),
            Ok(false) => Err(Failure::new(
                Code::Other,
                "the demo's story did not come true: see the lines marked with !",
            )),
            Err(failure) => Err(failure),
        }
    }
}

fn ready_line(up: &crate::up::Up, begun: Instant) -> Result<(), Failure> {
    let addresses = up.addresses();
    print(&format!(
        "ready in {} ms: agent {}{}, dns {}, report {}, admin {}\n",
        begun.elapsed().as_millis(),
        addresses.agent.display(),
        front_words(&addresses.compat),
        addresses.dns,
        addresses.report,
        addresses.admin
    ))
}

/// Where callers of the C++ Lars are served, in the words of the line that says where all is.
pub(super) fn front_words(addrs: &[SocketAddr]) -> String {
    match addrs {
        [] => String::new(),
        [first, others @ ..] => others.iter().fold(format!(" and UDP {first}"), |words, addr| {
            format!("{words}, {}", addr.port())
        }),
    }
}
