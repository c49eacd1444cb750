//! `lars status`: how agent, dns and report do, asked of each.

use super::table::table;
use super::{print, print_json};
use crate::find::Find;
use crate::outcome::{Code, Failure};
use clap::Args;
use lars_client::Endpoint;
use lars_client::admin::Admin;
use lars_wire::admin::{LinkState, StatusText};
use serde_json::{Map, Value, json};

#[derive(Args, Debug)]
pub(super) struct Status {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    find: Find,
}

/// One service's answer, or why there is none.
struct Part {
    service: &'static str,
    place: String,
    answer: Result<StatusText, Failure>,
}

impl Status {
    pub(super) fn run(self) -> Result<(), Failure> {
        let parts = self.ask();
        if self.json {
            print_json(&as_json(&parts))?;
        } else {
            print(&as_text(&parts))?;
        }
        // The agent is what callers need; without it the status is that of a Lars that does not work.
        match parts.into_iter().find(|part| part.answer.is_err()) {
            Some(Part {
                answer: Err(failure), ..
            }) => Err(Failure {
                code: Code::Unreachable,
                text: if self.json { String::new() } else { failure.text },
            }),
            _ => Ok(()),
        }
    }

    /// Asks the agent always, dns and report where they are named or known from the data folder.
    fn ask(&self) -> Vec<Part> {
        let agent = self.find.agent().map(Endpoint::Unix);
        let mut parts = vec![part("agent", agent)];
        let only_agent = self.find.agent_named().is_some() && !self.find.is_data_named();
        if !only_agent || self.find.dns_named().is_some() {
            parts.push(part("dns", self.find.dns()));
        }
        if !only_agent || self.find.report_named().is_some() {
            parts.push(part("report", self.find.report()));
        }
        parts
    }
}

fn part(service: &'static str, endpoint: Result<Endpoint, Failure>) -> Part {
    let place = endpoint.as_ref().map(ToString::to_string).unwrap_or_default();
    let answer = endpoint.and_then(|endpoint| Ok(Admin::connect(&endpoint)?.status()?));
    Part {
        service,
        place,
        answer,
    }
}

fn state_name(state: LinkState) -> &'static str {
    match state {
        LinkState::Connecting => "connecting",
        LinkState::Up => "up",
        LinkState::BackingOff => "backing off",
        LinkState::Standby => "standby",
    }
}

fn links(status: &StatusText, to: &str) -> Value {
    let link = |link: &lars_wire::admin::LinkStatus| json!({ "addr": link.addr, "state": state_name(link.state), "error": link.error });
    status
        .links
        .iter()
        .filter(|link| link.to == to)
        .map(link)
        .collect()
}

/// The agent's own figures stand at the top; every service's stand under `services`.
fn as_json(parts: &[Part]) -> Value {
    let mut object = Map::new();
    let mut services = Map::new();
    for part in parts {
        let value = match &part.answer {
            Err(failure) => json!({ "place": part.place, "error": failure.text }),
            Ok(status) => {
                let counts: Map<String, Value> = status
                    .counts
                    .iter()
                    .map(|(name, value)| (name.clone(), (*value).into()))
                    .collect();
                let notes: Map<String, Value> = status
                    .notes
                    .iter()
                    .map(|(name, text)| (name.clone(), text.clone().into()))
                    .collect();
                if part.service == "agent" {
                    object.insert("io".into(), status.io.clone().into());
                    object.insert("io_reason".into(), status.io_reason.clone().into());
                    for name in ["modules", "connections"] {
                        object.insert(name.into(), counts.get(name).cloned().unwrap_or_default());
                    }
                    object.insert("dns".into(), links(status, "dns"));
                    object.insert("report".into(), links(status, "report"));
                }
                json!({
                    "place": part.place, "version": status.version, "io": status.io,
                    "io_reason": status.io_reason, "counts": counts, "notes": notes,
                })
            }
        };
        services.insert(part.service.into(), value);
    }
    object.insert("services".into(), services.into());
    object.into()
}

fn as_text(parts: &[Part]) -> String {
    let mut rows = Vec::new();
    for part in parts {
        let mut row =
            |what: &str, value: String| rows.push(vec![part.service.to_owned(), what.to_owned(), value]);
        match &part.answer {
            Err(failure) => row("error", failure.text.clone()),
            Ok(status) => {
                row("place", part.place.clone());
                row("version", status.version.clone());
                row("io", format!("{} ({})", status.io, status.io_reason));
                for (name, value) in &status.counts {
                    row(name, value.to_string());
                }
                for (name, text) in &status.notes {
                    row(name, text.clone());
                }
                for link in &status.links {
                    let error = if link.error.is_empty() {
                        String::new()
                    } else {
                        format!(" ({})", link.error)
                    };
                    row(
                        &format!("link to {}", link.to),
                        format!("{} {}{error}", link.addr, state_name(link.state)),
                    );
                }
            }
        }
    }
    table(&["service", "what", "value"], &rows)
}
