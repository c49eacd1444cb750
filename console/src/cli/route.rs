//! `lars route`: the routes as dns has them, and changes to them. A change is published when the command returns.

use super::name::Names;
use super::print;
use super::route_accept::RouteAccept;
use super::route_check::RouteCheck;
use crate::find::Find;
use crate::outcome::{Code, Failure};
use clap::{Args, Subcommand};
use lars_client::admin::Admin;
use lars_wire::admin::{Edited, RouteEdit, RouteRow};
use lars_wire::{ModuleId, NodeAddr, NodeState, bounds};
use serde::{Deserialize, Serialize};
use std::io::Read;
use std::path::{Path, PathBuf};

#[derive(Args, Debug)]
pub(super) struct Route {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// List nodes of one module, or of all
    List(List),
    /// Add a node to a module, or change its weight, zone or state
    Add(Add),
    /// Remove a node from a module
    Remove(Remove),
    /// Add every node of a file that `export` or `list --json` wrote; names in it are passed over
    Import(Import),
    /// Write every node as JSON
    Export(Export),
    /// List every row of the store that cannot be served, and why; exit code 1 when there is one
    Check(RouteCheck),
    /// Release what dns holds back because too much vanished at once; exit code 3 when nothing is held
    Accept(RouteAccept),
}

#[derive(Args, Debug)]
struct List {
    /// The business
    #[arg(requires = "cmdid")]
    modid: Option<u32>,
    /// The service in the business
    cmdid: Option<u32>,
    /// Print a JSON array
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    find: Find,
}

#[derive(Args, Debug)]
struct Add {
    /// The business
    modid: u32,
    /// The service in the business
    cmdid: u32,
    /// The node, such as 10.0.0.1:7777 or [2001:db8::1]:7777
    #[arg(value_name = "IP:PORT")]
    node: NodeAddr,
    /// Its share of calls relative to the module's other nodes
    #[arg(long, value_name = "N", default_value_t = bounds::WEIGHT_DEFAULT, value_parser = clap::value_parser!(u16).range(1..=bounds::WEIGHT_MAX as i64))]
    weight: u16,
    /// The zone it stands in
    #[arg(long, value_name = "Z", default_value = "", value_parser = zone)]
    zone: String,
    /// Give it no new calls
    #[arg(long)]
    draining: bool,
    #[command(flatten)]
    find: Find,
}

#[derive(Args, Debug)]
struct Remove {
    /// The business
    modid: u32,
    /// The service in the business
    cmdid: u32,
    /// The node
    #[arg(value_name = "IP:PORT")]
    node: NodeAddr,
    #[command(flatten)]
    find: Find,
}

#[derive(Args, Debug)]
struct Import {
    /// The file; - reads standard input
    file: PathBuf,
    #[command(flatten)]
    find: Find,
}

#[derive(Args, Debug)]
struct Export {
    /// The file; standard output where none is given
    file: Option<PathBuf>,
    #[command(flatten)]
    find: Find,
}

/// One node of one module as files and `--json` have it.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    modid: u32,
    cmdid: u32,
    node: String,
    #[serde(default = "weight_default")]
    weight: u16,
    #[serde(default)]
    zone: String,
    #[serde(default)]
    state: LineState,
    /// In what `list --json` wrote; `lars name set` gives names.
    #[serde(default, skip_serializing)]
    modid_name: Option<String>,
    #[serde(default, skip_serializing)]
    cmdid_name: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum LineState {
    #[default]
    Serving,
    Draining,
}

fn weight_default() -> u16 {
    bounds::WEIGHT_DEFAULT
}

fn zone(text: &str) -> Result<String, String> {
    if text.len() > bounds::ZONE_BYTES_MAX {
        return Err(format!("at most {} bytes", bounds::ZONE_BYTES_MAX));
    }
    if text.chars().any(char::is_control) {
        Err("no control characters".into())
    } else {
        Ok(text.to_owned())
    }
}

impl Route {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self.action {
            Action::List(list) => list.run(),
            Action::Add(add) => add.run(),
            Action::Remove(remove) => remove.run(),
            Action::Import(import) => import.run(),
            Action::Export(export) => export.run(),
            Action::Check(check) => check.run(),
            Action::Accept(accept) => accept.run(),
        }
    }
}

fn admin(find: &Find) -> Result<Admin, Failure> {
    Ok(Admin::connect(&find.dns()?)?)
}

impl List {
    fn run(self) -> Result<(), Failure> {
        let module = self
            .modid
            .zip(self.cmdid)
            .map(|(modid, cmdid)| ModuleId::new(modid, cmdid));
        let rows = admin(&self.find)?.list_routes(module)?;
        let names = Names::beside(&self.find, module);
        if self.json {
            let line = |row: &RouteRow| NamedLine {
                line: Line::from(row),
                modid_name: names.modid(row.module.modid),
                cmdid_name: names.cmdid(row.module.cmdid),
            };
            return print(&pretty(&rows.iter().map(line).collect::<Vec<_>>())?);
        }
        let cells = |row: &RouteRow| {
            let line = Line::from(row);
            let state = format!("{:?}", line.state).to_lowercase();
            let zone = if line.zone.is_empty() {
                "-".to_owned()
            } else {
                line.zone
            };
            (row.module, vec![line.node, line.weight.to_string(), zone, state])
        };
        let cells: Vec<_> = rows.iter().map(cells).collect();
        print(&names.table(&["node", "weight", "zone", "state"], &cells))
    }
}

/// A row as `--json` shows it: the keys of a file, and the names.
#[derive(Serialize)]
struct NamedLine<'a> {
    #[serde(flatten)]
    line: Line,
    modid_name: Option<&'a str>,
    cmdid_name: Option<&'a str>,
}

impl Add {
    fn run(self) -> Result<(), Failure> {
        let row = RouteRow {
            module: ModuleId::new(self.modid, self.cmdid),
            node: self.node,
            weight: self.weight,
            state: if self.draining {
                NodeState::Draining
            } else {
                NodeState::Serving
            },
            zone: self.zone,
        };
        let edited = admin(&self.find)?.edit_routes(vec![RouteEdit::Put(row)])?;
        print(&published(&edited))
    }
}

impl Remove {
    fn run(self) -> Result<(), Failure> {
        let module = ModuleId::new(self.modid, self.cmdid);
        let edited = admin(&self.find)?.edit_routes(vec![RouteEdit::Remove {
            module,
            node: self.node,
        }])?;
        if edited.removed == 0 {
            let text = format!(
                "module {module} has no node {}: `lars route list` shows what there is",
                self.node
            );
            return Err(Failure::new(Code::NotFound, text));
        }
        print(&published(&edited))
    }
}

impl Import {
    fn run(self) -> Result<(), Failure> {
        let at = |reason: String| Failure::usage(format!("{}: {reason}", self.file.display()));
        let mut text = String::new();
        let read = if self.file == Path::new("-") {
            std::io::stdin().read_to_string(&mut text)
        } else {
            std::fs::File::open(&self.file).and_then(|mut file| file.read_to_string(&mut text))
        };
        read.map_err(|error| at(format!("cannot be read: {error}")))?;
        let lines: Vec<Line> = serde_json::from_str(&text).map_err(|error| at(error.to_string()))?;
        let edits = lines
            .into_iter()
            .enumerate()
            .map(|(place, line)| {
                Ok(RouteEdit::Put(line.row().map_err(|reason| {
                    at(format!("entry {}: {reason}", place + 1))
                })?))
            })
            .collect::<Result<Vec<_>, Failure>>()?;
        if edits.is_empty() {
            return Err(at("holds no nodes".into()));
        }
        let edited = admin(&self.find)?.edit_routes(edits)?;
        print(&published(&edited))
    }
}

impl Export {
    fn run(self) -> Result<(), Failure> {
        let text = exported(&admin(&self.find)?.list_routes(None)?)?;
        match self.file {
            None => print(&text),
            Some(path) => std::fs::write(&path, text)
                .map_err(|error| Failure::other(format!("{}: cannot be written: {error}", path.display()))),
        }
    }
}

fn exported(rows: &[RouteRow]) -> Result<String, Failure> {
    pretty(&rows.iter().map(Line::from).collect::<Vec<_>>())
}

fn pretty(lines: &[impl Serialize]) -> Result<String, Failure> {
    let mut text = serde_json::to_string_pretty(lines).map_err(|error| Failure::other(error.to_string()))?;
    text.push('\n');
    Ok(text)
}

fn published(edited: &Edited) -> String {
    let late = match edited.unconfirmed {
        0 => String::new(),
        agents => format!("; {agents} agents have not confirmed it yet"),
    };
    format!(
        "{} put, {} removed, version {}{late}\n",
        edited.put, edited.removed, edited.version
    )
}

impl From<&RouteRow> for Line {
    fn from(row: &RouteRow) -> Self {
        Self {
            modid: row.module.modid,
            cmdid: row.module.cmdid,
            node: row.node.to_string(),
            weight: row.weight,
            zone: row.zone.clone(),
            state: match row.state {
                NodeState::Serving => LineState::Serving,
                NodeState::Draining => LineState::Draining,
            },
            modid_name: None,
            cmdid_name: None,
        }
    }
}

impl Line {
    fn row(self) -> Result<RouteRow, String> {
        let node = self.node.parse::<NodeAddr>().map_err(|error| error.to_string())?;
        if self.weight == 0 || self.weight > bounds::WEIGHT_MAX {
            return Err(format!(
                "weight {} is not within 1 to {}",
                self.weight,
                bounds::WEIGHT_MAX
            ));
        }
        Ok(RouteRow {
            module: ModuleId::new(self.modid, self.cmdid),
            node,
            weight: self.weight,
            state: match self.state {
                LineState::Serving => NodeState::Serving,
                LineState::Draining => NodeState::Draining,
            },
            zone: zone(&self.zone).map_err(|reason| format!("zone: {reason}"))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exported_line_imports_as_the_same_row() {
        let row = RouteRow {
            module: ModuleId::new(1, 2),
            node: "[2001:db8::1]:80".parse().expect("a node"),
            weight: 7,
            state: NodeState::Draining,
            zone: "a".into(),
        };
        let text = exported(std::slice::from_ref(&row)).expect("JSON");
        let lines: Vec<Line> = serde_json::from_str(&text).expect("lines");
        assert_eq!(
            lines
                .into_iter()
                .map(|line| line.row().expect("a row"))
                .collect::<Vec<_>>(),
            [row]
        );
    }

    #[test]
    fn wrong_lines_say_what_is_wrong() {
        let line = |text: &str| {
            serde_json::from_str::<Line>(text)
                .map_err(|e| e.to_string())
                .and_then(Line::row)
        };
        let bad = [
            (r#"{"modid": 1, "cmdid": 1, "node": "10.0.0.1"}"#, "IPV4:PORT"),
            (
                r#"{"modid": 1, "cmdid": 1, "node": "10.0.0.1:1", "weight": 0}"#,
                "weight",
            ),
            (
                r#"{"modid": 1, "cmdid": 1, "node": "10.0.0.1:1", "colour": 0}"#,
                "colour",
            ),
            (r#"{"modid": -1, "cmdid": 1, "node": "10.0.0.1:1"}"#, "-1"),
        ];
        for (text, word) in bad {
            let error = line(text).expect_err(text);
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
