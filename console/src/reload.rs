//! SIGHUP: the configuration file is read again, and what may change in a running agent changes. A file of its own since
//! it outlives the start of whatever it belongs to: a thread that waits for the signal.

use crate::config::Config;
use crate::outcome::Failure;
use lars_agent::AgentPolicies;
use signal_hook::consts::SIGHUP;
use signal_hook::iterator::Signals;
use std::path::PathBuf;

/// What is read again, and who is told.
pub struct Reload {
    path: PathBuf,
    /// As it is in force.
    config: Config,
    policies: AgentPolicies,
}

impl Reload {
    /// From here on a SIGHUP reads `path` again instead of ending the process; `config` is what stood there at the
    /// start.
    pub fn listen(path: PathBuf, config: Config, policies: AgentPolicies) -> std::io::Result<()> {
        let mut signals = Signals::new([SIGHUP])?;
        let mut reload = Self {
            path,
            config,
            policies,
        };
        std::thread::Builder::new()
            .name("lars-reload".into())
            .spawn(move || {
                for _ in signals.forever() {
                    reload.read_again();
                }
            })?;
        Ok(())
    }

    fn read_again(&mut self) {
        match self.take() {
            Ok(sections) => {
                let file = self.path.display();
                let modules = self.config.modules.len();
                tracing::info!(%file, modules, "[policy] and [[module]] were read again and are in force");
                if !sections.is_empty() {
                    let sections = sections.join(", ");
                    tracing::warn!(%file, sections, "these sections changed, too: they take a restart");
                }
            }
            Err(failure) => {
                tracing::error!(%failure, "the configuration is refused; the one before stays in force");
            }
        }
    }

    /// Puts what the file says into force; returns the sections that changed and cannot be.
    fn take(&mut self) -> Result<Vec<&'static str>, Failure> {
        let config = Config::read(&self.path)?;
        let modules = config.module_policies().map_err(Failure::usage)?;
        self.policies.set(&config.policy, modules);
        let before = &self.config;
        let sections = [
            ("[agent]", before.agent != config.agent),
            ("[dns]", before.dns != config.dns),
            ("[report]", before.report != config.report),
            ("[store]", before.store != config.store),
            ("[compat]", before.compat != config.compat),
        ];
        let (policy, modules) = (config.policy, config.modules);
        // The other sections stay as they were at the start: each time it is told how the file differs from that.
        (self.config.policy, self.config.modules) = (policy, modules);
        let changed = sections.into_iter().filter(|section| section.1);
        Ok(changed.map(|section| section.0).collect())
    }
}
