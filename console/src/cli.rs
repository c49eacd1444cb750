//! The `lars` command: what can be said, and which file does it. One file a subcommand.

mod at_store;
mod changes;
mod check;
mod explain;
mod import;
mod io;
mod migrate;
mod name;
mod pick;
mod record;
mod report_call;
mod route;
mod route_accept;
mod route_check;
mod service;
mod shadow;
mod simulate;
mod status;
mod table;
mod up;

use crate::outcome::{Code, Failure, exit_code};
use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};
use lars_store::mysql::url::hide_passwords;
use lars_wire::ModuleId;
use std::ffi::OsString;
use std::process::ExitCode;

/// One module, or all where none is named.
#[derive(Args, Debug)]
struct OnlyModule {
    /// Only of this module: the business
    #[arg(requires = "cmdid")]
    modid: Option<u32>,
    /// The service in the business
    cmdid: Option<u32>,
}

impl OnlyModule {
    fn module(&self) -> Option<ModuleId> {
        Some(ModuleId::new(self.modid?, self.cmdid?))
    }
}

/// Which node? Lars tells a program which node of a service to call, and learns from how the calls go.
#[derive(Parser, Debug)]
#[command(
    name = "lars",
    version,
    propagate_version = false,
    disable_help_subcommand = true
)]
#[command(
    after_help = "Exit codes: 0 ok, 2 usage or configuration, 3 not found, 4 overloaded, 5 unreachable, 1 anything \
                  else.\nLARS_LOG chooses what is logged to standard error (such as LARS_LOG=debug)."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run everything in one process on loopback, with the embedded store or a MySQL database
    Up(up::Up),
    /// Run the agent: answers callers on this host
    Agent(service::Service),
    /// Run dns: turns modules into routes
    Dns(service::Service),
    /// Run report: stores the results of calls
    Report(service::Service),
    /// Check a configuration file
    Check(check::Check),
    /// Turn configuration files of the C++ Lars into ours
    Import(import::Import),
    /// Bring a MySQL database to the newest schema
    Migrate(migrate::Migrate),
    /// List and change routes
    Route(route::Route),
    /// List and change the names that people give to businesses and services
    Name(name::Name),
    /// Ask the agent for a node of a module
    Pick(pick::Pick),
    /// Tell the agent how calls to a node went
    ReportCall(report_call::ReportCall),
    /// Tell why the agent sees each node of a module as it does
    Explain(explain::Explain),
    /// List which nodes were taken out or back lately, and why
    Changes(changes::Changes),
    /// Write every call that is reported to the agent as a line of JSON, for a while
    Record(record::Record),
    /// Run a scenario in virtual time and see how calls would go
    Simulate(simulate::Simulate),
    /// Show how agent, dns and report do
    Status(status::Status),
    /// Compare dns with one of the C++ Lars, as an agent of it sees them
    Shadow(shadow::Shadow),
    /// Print the version
    Version(Version),
}

#[derive(clap::Args, Debug)]
struct Version {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the command that `args` say (the first is the program's name).
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    crate::database::conceal_password(&args);
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            print_usage(&error);
            let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            return ExitCode::from(if asked { Code::Ok } else { Code::Usage } as u8);
        }
    };
    exit_code(match cli.command {
        Command::Up(command) => command.run(),
        Command::Agent(command) => command.run(service::Kind::Agent),
        Command::Dns(command) => command.run(service::Kind::Dns),
        Command::Report(command) => command.run(service::Kind::Report),
        Command::Check(command) => command.run(),
        Command::Import(command) => command.run(),
        Command::Migrate(command) => command.run(),
        Command::Route(command) => command.run(),
        Command::Name(command) => command.run(),
        Command::Pick(command) => command.run(),
        Command::ReportCall(command) => command.run(),
        Command::Explain(command) => command.run(),
        Command::Record(command) => command.run(),
        Command::Changes(command) => command.run(),
        Command::Simulate(command) => command.run(),
        Command::Status(command) => command.run(),
        Command::Shadow(command) => command.run(),
        Command::Version(command) => version(&command),
    })
}

/// Prints help, version, or what is wrong with the arguments: without the password of a URL that stands in a wrong
/// place.
fn print_usage(error: &clap::Error) {
    let text = error.to_string();
    let hidden = hide_passwords(&text);
    if hidden == text || !error.use_stderr() {
        // Help and version are what was asked for; printing them can only fail where nobody reads.
        let _ = error.print();
    } else {
        eprint!("{hidden}");
    }
}

fn version(command: &Version) -> Result<(), Failure> {
    let version = env!("CARGO_PKG_VERSION");
    let protocol = lars_wire::VERSION;
    if command.json {
        print_json(&serde_json::json!({ "version": version, "protocol": protocol }))
    } else {
        print(&format!("lars {version} (protocol {protocol})\n"))
    }
}

/// Prints to standard output; a reader that has left (`| head`) ends the command quietly.
fn print(text: &str) -> Result<(), Failure> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Err(Failure::silent(Code::Ok)),
        Err(error) => Err(Failure::other(format!("standard output: {error}"))),
    }
}

fn print_json(value: &serde_json::Value) -> Result<(), Failure> {
    print(&format!("{value:#}\n"))
}
