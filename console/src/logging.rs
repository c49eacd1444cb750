//! Logs go to standard error, one line an event; `LARS_LOG` chooses what (tracing's filter syntax).

use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Starts logging once for the process. `default` is the level where `LARS_LOG` says nothing. A filter that cannot be
/// read is told and the default taken.
pub fn start(default: &str) {
    let chosen = std::env::var("LARS_LOG").ok().filter(|filter| !filter.is_empty());
    let filter = match chosen.as_deref().map(EnvFilter::try_new) {
        Some(Ok(filter)) => filter,
        Some(Err(error)) => {
            eprintln!("lars: LARS_LOG cannot be read ({error}); logging at '{default}'");
            EnvFilter::new(default)
        }
        None => EnvFilter::new(default),
    };
    // A second start in one process (tests, benches) keeps the first subscriber: nothing is lost by that.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .try_init();
}
