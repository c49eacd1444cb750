//! `lars check FILE`: is this configuration one that every service would take?

use super::print;
use crate::config::Config;
use crate::outcome::Failure;
use clap::Args;
use std::path::PathBuf;

#[derive(Args, Debug)]
pub(super) struct Check {
    /// The configuration file (TOML)
    file: PathBuf,
    /// Print the whole configuration with every default filled in
    #[arg(long)]
    print: bool,
}

impl Check {
    pub(super) fn run(self) -> Result<(), Failure> {
        let config = Config::read(&self.file)?;
        if self.print {
            let text = toml::to_string_pretty(&config)
                .map_err(|error| Failure::other(format!("the configuration cannot be shown: {error}")))?;
            return print(&text);
        }
        print(&format!("{}: ok\n", self.file.display()))
    }
}
