//! `--io`: how a service moves its bytes, where the command line says so and not the file. One file, since the services
//! by themselves and `lars up` take it alike.

use crate::config::Config;
use clap::{Args, ValueEnum};
use lars_pool::IoChoice;

#[derive(Args, Clone, Copy, Debug)]
pub(super) struct Io {
    /// How bytes are moved; stands above `io` of the configuration [default: auto]
    #[arg(long, value_name = "WAY")]
    io: Option<Way>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Way {
    /// io_uring where it works, else epoll, with a warning that says why
    Auto,
    /// io_uring, or do not start
    Uring,
    /// epoll
    Epoll,
}

impl Io {
    /// Puts what was said, if anything, into the sections of all services.
    pub(super) fn put_into(self, config: &mut Config) {
        let Some(way) = self.io else {
            return;
        };
        let choice = match way {
            Way::Auto => IoChoice::Auto,
            Way::Uring => IoChoice::Uring,
            Way::Epoll => IoChoice::Epoll,
        };
        config.agent.io = choice;
        config.dns.io = choice;
        config.report.io = choice;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_stands_above_every_section_and_silence_changes_none() {
        let text = "[agent]\nio = \"uring\"\n[dns]\nio = \"epoll\"\n";
        let of_file = Config::parse(text).expect("a configuration");
        let mut config = of_file.clone();
        Io { io: None }.put_into(&mut config);
        assert_eq!(config, of_file);
        for (way, choice) in [
            (Way::Auto, IoChoice::Auto),
            (Way::Uring, IoChoice::Uring),
            (Way::Epoll, IoChoice::Epoll),
        ] {
            Io { io: Some(way) }.put_into(&mut config);
            assert_eq!([config.agent.io, config.dns.io, config.report.io], [choice; 3]);
        }
    }
}
