//! The one binary of Lars. Everything it does stands in the library beside it.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    lars_console::cli::run(std::env::args_os())
}
