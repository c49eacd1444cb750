//! What a process that the harness started can be.

use crate::arguments::RoleCall;
use crate::error::BenchError;
use crate::{child, echo, load, machine};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::ffi::OsString;
use std::process::ExitCode;

/// A blocking echo on a Unix socket: [`echo::blocking`].
pub const ECHO_BLOCKING: &str = "echo-blocking";
/// An echo on the pool, ring or epoll: [`echo::pooled`].
pub const ECHO_POOLED: &str = "echo-pooled";
/// One caller, one question outstanding, every answer timed: [`load::latency`].
pub const LOAD_LATENCY: &str = "load-latency";
/// Many callers, as fast as the server answers: [`load::rate`].
pub const LOAD_RATE: &str = "load-rate";
/// A caller with the board in its own process: [`load::board`].
pub const LOAD_BOARD: &str = "load-board";
/// How soon such a caller sees what the agent thinks: [`load::change`].
pub const LOAD_CHANGE: &str = "load-change";
/// Many subscribers of one module: [`load::fanout`].
pub const LOAD_FANOUT: &str = "load-fanout";
/// An echo of the datagrams of callers of the C++ Lars: [`echo::datagrams`].
pub const ECHO_DATAGRAMS: &str = "echo-datagrams";
/// Callers of the C++ Lars: [`load::old_callers`].
pub const LOAD_OLD_CALLERS: &str = "load-old-callers";
/// One caller that asks on time: [`load::open`].
pub const LOAD_OPEN: &str = "load-open";
/// One caller beside others that flood: [`load::flood`].
pub const LOAD_FLOOD: &str = "load-flood";
/// Connections that say nothing: [`load::idle`].
pub const LOAD_IDLE: &str = "load-idle";
/// Callers that look SRV records up: [`load::srv`].
pub const LOAD_SRV: &str = "load-srv";
/// The `lars` command: any service.
pub const LARS: &str = "lars";

/// Is what the call says until that is done.
pub fn run(call: &RoleCall) -> ExitCode {
    child::end_with_the_harness();
    if !machine::pin(call.processor) {
        eprintln!(
            "mesh: {} cannot run on processor {} alone",
            call.role, call.processor
        );
    }
    let done = match call.role.as_str() {
        ECHO_BLOCKING => task(call).and_then(|task| echo::blocking::run(&task)),
        ECHO_POOLED => task(call).and_then(|task| echo::pooled::run(&task)),
        LOAD_LATENCY => answer(call, load::latency::run),
        LOAD_RATE => answer(call, load::rate::run),
        LOAD_BOARD => answer(call, load::board::run),
        LOAD_CHANGE => answer(call, load::change::run),
        LOAD_FANOUT => answer(call, load::fanout::run),
        ECHO_DATAGRAMS => task(call).and_then(|task| echo::datagrams::run(&task)),
        LOAD_OLD_CALLERS => answer(call, load::old_callers::run),
        LOAD_OPEN => answer(call, load::open::run),
        LOAD_FLOOD => answer(call, load::flood::run),
        LOAD_IDLE => task(call).and_then(|task| load::idle::run(&task)),
        LOAD_SRV => answer(call, load::srv::run),
        LARS => {
            return match task::<Vec<String>>(call) {
                Ok(words) => lars_console::cli::run(words.into_iter().map(OsString::from)),
                Err(error) => failed(call, &error),
            };
        }
        other => Err(BenchError::Usage(format!("there is no role '{other}'"))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(call, &error),
    }
}

/// The words under which a process may have as many descriptors as the system allows, for [`child::Child::start_under`]:
/// a shell asks for them and makes room for the process.
pub fn with_all_descriptors() -> Vec<String> {
    ["sh", "-c", "ulimit -n \"$(ulimit -Hn)\"; exec \"$@\"", "sh"]
        .map(str::to_owned)
        .to_vec()
}

/// Does what the call asks for and prints what came out.
fn answer<T: DeserializeOwned, A: Serialize>(
    call: &RoleCall,
    run: fn(&T) -> Result<A, BenchError>,
) -> Result<(), BenchError> {
    say(&run(&task(call)?)?)
}

fn task<T: DeserializeOwned>(call: &RoleCall) -> Result<T, BenchError> {
    serde_json::from_str(&call.task)
        .map_err(|error| BenchError::Usage(format!("task of {}: {error}", call.role)))
}

/// Prints one line that the harness waits for.
///
/// # Errors
/// It cannot be written as JSON.
pub fn say(value: &impl Serialize) -> Result<(), BenchError> {
    let line = serde_json::to_string(value).map_err(|error| BenchError::Answer(error.to_string()))?;
    println!("{line}");
    Ok(())
}

fn failed(call: &RoleCall, error: &BenchError) -> ExitCode {
    eprintln!("mesh: {}: {error}", call.role);
    ExitCode::FAILURE
}
