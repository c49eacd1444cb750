//! `lars shadow OLD`: what an agent of the C++ Lars hears from our dns and from an old one, module by module.

use super::{print, print_json};
use crate::find::Find;
use crate::old_dns::OldDns;
use crate::outcome::{Code, Failure};
use clap::Args;
use lars_client::Endpoint;
use lars_client::admin::Admin;
use lars_wire::{ModuleId, NodeAddr};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::io;
use std::time::Duration;

#[derive(Args, Debug)]
#[command(
    after_help = "Both are asked as an agent of the C++ Lars asks. The modules are those that our dns has, and those named by \
                        --module: the old protocol cannot list. What differs is looked at again after --settle-s, since an \
                        old dns reloads only every 10 s.\nExit codes: 0 no difference, 1 differences, 5 one of them \
                        cannot be reached."
)]
pub(super) struct Shadow {
    /// Address of the old dns
    #[arg(value_name = "HOST:PORT")]
    old: String,
    /// Compare this module too, MODID.CMDID; may be given again and again
    #[arg(long, value_name = "MODULE", value_parser = module)]
    module: Vec<ModuleId>,
    /// Seconds after which what differs is looked at again; 0 for not at all
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = clap::value_parser!(u64).range(..=3_600))]
    settle_s: u64,
    /// How long each answer may take, in milliseconds
    #[arg(long, value_name = "N", default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(1..=600_000))]
    timeout_ms: u64,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    find: Find,
}

/// One module whose nodes differ.
struct Difference {
    module: ModuleId,
    ours_alone: Vec<NodeAddr>,
    theirs_alone: Vec<NodeAddr>,
}

fn module(text: &str) -> Result<ModuleId, String> {
    let numbers = text.split_once('.').and_then(|(modid, cmdid)| {
        let number = |digits: &str| digits.parse::<u32>().ok();
        Some(ModuleId::new(number(modid)?, number(cmdid)?))
    });
    numbers
        .filter(|module| *module != ModuleId::default())
        .ok_or_else(|| format!("'{text}' is no module: write MODID.CMDID, such as 1.2"))
}

impl Shadow {
    pub(super) fn run(self) -> Result<(), Failure> {
        let Endpoint::Tcp(ours) = self.find.dns()? else {
            return Err(Failure::usage("dns listens on TCP: give --dns HOST:PORT"));
        };
        let timeout = Duration::from_millis(self.timeout_ms);
        let mut admin = Admin::connect_with(&Endpoint::Tcp(ours.clone()), timeout)?;
        let listed = admin.list_routes(None)?;
        let mut modules: BTreeSet<ModuleId> = listed.iter().map(|row| row.module).collect();
        modules.extend(&self.module);
        let modules: Vec<ModuleId> = modules.into_iter().collect();
        let mut differing = self.compare(&ours, &modules, timeout)?;
        if !differing.is_empty() && self.settle_s > 0 {
            std::thread::sleep(Duration::from_secs(self.settle_s));
            let again: Vec<ModuleId> = differing.iter().map(|difference| difference.module).collect();
            differing = self.compare(&ours, &again, timeout)?;
        }
        self.tell(modules.len(), &differing)?;
        if differing.is_empty() {
            Ok(())
        } else {
            Err(Failure::silent(Code::Other))
        }
    }

    fn compare(
        &self,
        ours: &str,
        modules: &[ModuleId],
        timeout: Duration,
    ) -> Result<Vec<Difference>, Failure> {
        // A connection of its own each time: what was asked over an older one might be pushed instead.
        let ask = |addr: &str| {
            let routes = OldDns::connect(addr, timeout).and_then(|mut dns| dns.routes(modules));
            routes.map_err(|error| unreachable_at(addr, &error))
        };
        let (ours, theirs) = (ask(ours)?, ask(&self.old)?);
        Ok(differences(&ours, &theirs))
    }

    fn tell(&self, modules: usize, differing: &[Difference]) -> Result<(), Failure> {
        let texts = |nodes: &[NodeAddr]| nodes.iter().map(NodeAddr::to_string).collect::<Vec<_>>();
        if self.json {
            let told = differing.iter().map(|difference| {
                json!({
                    "modid": difference.module.modid,
                    "cmdid": difference.module.cmdid,
                    "ours_alone": texts(&difference.ours_alone),
                    "theirs_alone": texts(&difference.theirs_alone),
                })
            });
            return print_json(&json!({ "modules": modules, "differences": told.collect::<Vec<_>>() }));
        }
        let mut text = String::new();
        for difference in differing {
            for (whose, nodes) in [
                ("ours alone", &difference.ours_alone),
                ("theirs alone", &difference.theirs_alone),
            ] {
                if !nodes.is_empty() {
                    let nodes = texts(nodes).join(" ");
                    // Writing to a string does not fail.
                    let _ = writeln!(text, "{}  {whose}: {nodes}", difference.module);
                }
            }
        }
        let (many, s) = (differing.len(), if differing.len() == 1 { "s" } else { "" });
        print(&format!("{text}{modules} modules compared, {many} differ{s}\n"))
    }
}

fn unreachable_at(addr: &str, error: &io::Error) -> Failure {
    Failure::new(
        Code::Unreachable,
        format!("dns at {addr}: {error}; is it running, and is that its address?"),
    )
}

/// Modules whose nodes differ, in order.
fn differences(
    ours: &BTreeMap<ModuleId, BTreeSet<NodeAddr>>,
    theirs: &BTreeMap<ModuleId, BTreeSet<NodeAddr>>,
) -> Vec<Difference> {
    let nothing = BTreeSet::new();
    let modules: BTreeSet<&ModuleId> = ours.keys().chain(theirs.keys()).collect();
    let of = |module: &&ModuleId| {
        let (ours, theirs) = (
            ours.get(*module).unwrap_or(&nothing),
            theirs.get(*module).unwrap_or(&nothing),
        );
        (ours != theirs).then(|| Difference {
            module: **module,
            ours_alone: ours.difference(theirs).copied().collect(),
            theirs_alone: theirs.difference(ours).copied().collect(),
        })
    };
    modules.iter().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn module_zero_is_not_asked_for_since_it_would_end_an_old_dns() {
        assert_eq!(module("1.2"), Ok(ModuleId::new(1, 2)));
        for wrong in ["0.0", "1", "a.b", "1.2.3", ""] {
            assert!(module(wrong).is_err(), "{wrong}");
        }
    }
}
