//! `lars name`: names for people of a business (modid) and of a service (cmdid), and how other listings show them.

use super::table::table;
use super::{print, print_json};
use crate::find::Find;
use crate::outcome::{Code, Failure};
use clap::{Args, Subcommand, ValueEnum};
use lars_client::admin::{Admin, NameOf, NameRow};
use lars_wire::ModuleId;
use lars_wire::names::check_name;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a listing waits for names that it can do without.
const BESIDE_MAX: Duration = Duration::from_secs(1);

#[derive(Args, Debug)]
pub(super) struct Name {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Give a business or a service a name, or another one
    Set(Set),
    /// Take its name away; exit code 3 where it has none
    Remove(Remove),
    /// List names; exit code 3 where the number asked for has none
    List(List),
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Of {
    /// A business
    Modid,
    /// A service; its name is the same in every business
    Cmdid,
}

#[derive(Args, Debug)]
struct Set {
    /// What is named
    of: Of,
    /// Its number
    number: u32,
    /// The name: at most 255 characters, none of them a control character, no blanks at its ends
    #[arg(value_parser = name)]
    name: String,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    find: Find,
}

#[derive(Args, Debug)]
struct Remove {
    /// What has the name
    of: Of,
    /// Its number
    number: u32,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    find: Find,
}

#[derive(Args, Debug)]
struct List {
    /// Only these
    of: Option<Of>,
    /// Only of this number
    number: Option<u32>,
    /// Print a JSON array
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    find: Find,
}

fn name(text: &str) -> Result<String, String> {
    check_name(text).map(|()| text.to_owned())
}

impl Of {
    fn on_the_wire(self) -> NameOf {
        match self {
            Self::Modid => NameOf::Modid,
            Self::Cmdid => NameOf::Cmdid,
        }
    }
}

fn word(of: NameOf) -> &'static str {
    match of {
        NameOf::Modid => "modid",
        NameOf::Cmdid => "cmdid",
    }
}

impl Name {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self.action {
            Action::Set(Set {
                of,
                number,
                name,
                json,
                find,
            }) => change(&find, of.on_the_wire(), number, Some(&name), json),
            Action::Remove(Remove {
                of,
                number,
                json,
                find,
            }) => change(&find, of.on_the_wire(), number, None, json),
            Action::List(list) => list.run(),
        }
    }
}

fn change(find: &Find, of: NameOf, number: u32, name: Option<&str>, json: bool) -> Result<(), Failure> {
    let before = Admin::connect(&find.dns()?)?.set_name(of, number, name.map(str::to_owned))?;
    let (what, missing) = (word(of), name.is_none() && before.is_none());
    if json {
        print_json(&json!({ "of": what, "number": number, "name": name, "before": before }))?;
    } else if !missing {
        let now = name.unwrap_or("no name any more");
        let was = before
            .as_ref()
            .map_or(String::new(), |before| format!(" (was {before})"));
        print(&format!("{what} {number}: {now}{was}\n"))?;
    }
    match (missing, json) {
        (false, _) => Ok(()),
        (true, true) => Err(Failure::silent(Code::NotFound)),
        (true, false) => {
            let text = format!("{what} {number} has no name: `lars name list` shows those there are");
            Err(Failure::new(Code::NotFound, text))
        }
    }
}

impl List {
    fn run(self) -> Result<(), Failure> {
        let mut admin = Admin::connect(&self.find.dns()?)?;
        let kinds = self
            .of
            .map_or(vec![NameOf::Modid, NameOf::Cmdid], |of| vec![of.on_the_wire()]);
        let mut rows: Vec<(NameOf, NameRow)> = Vec::new();
        for of in kinds {
            rows.extend(
                admin
                    .list_names(of, self.number)?
                    .into_iter()
                    .map(|row| (of, row)),
            );
        }
        if self.json {
            let row = |(of, row): &(NameOf, NameRow)| json!({ "of": word(*of), "number": row.number, "name": row.name });
            print_json(&rows.iter().map(row).collect())?;
        } else if !rows.is_empty() || self.number.is_none() {
            let row = |(of, row): &(NameOf, NameRow)| {
                vec![word(*of).to_owned(), row.number.to_string(), row.name.clone()]
            };
            let cells: Vec<_> = rows.iter().map(row).collect();
            print(&table(&["of", "number", "name"], &cells))?;
        }
        match self.number {
            Some(number) if rows.is_empty() => {
                let text = if self.json {
                    String::new()
                } else {
                    format!("{number} has no name")
                };
                Err(Failure::new(Code::NotFound, text))
            }
            _ => Ok(()),
        }
    }
}

/// The names of the modules of a listing.
#[derive(Debug, Default)]
pub(super) struct Names {
    modids: BTreeMap<u32, String>,
    cmdids: BTreeMap<u32, String>,
}

impl Names {
    /// Those of one module, or all. A listing is worth more than its names: where they cannot be had, it is told and
    /// there are none.
    pub(super) fn beside(find: &Find, module: Option<ModuleId>) -> Self {
        let read = || -> Result<Self, Failure> {
            let mut admin = Admin::connect_with(&find.dns()?, BESIDE_MAX)?;
            let mut of = |of, number| -> Result<BTreeMap<u32, String>, Failure> {
                let rows = admin.list_names(of, number)?;
                Ok(rows.into_iter().map(|row| (row.number, row.name)).collect())
            };
            Ok(Self {
                modids: of(NameOf::Modid, module.map(|module| module.modid))?,
                cmdids: of(NameOf::Cmdid, module.map(|module| module.cmdid))?,
            })
        };
        read().unwrap_or_else(|failure| {
            eprintln!("lars: without names: {}", failure.text);
            Self::default()
        })
    }

    pub(super) fn modid(&self, modid: u32) -> Option<&str> {
        self.modids.get(&modid).map(String::as_str)
    }

    pub(super) fn cmdid(&self, cmdid: u32) -> Option<&str> {
        self.cmdids.get(&cmdid).map(String::as_str)
    }

    /// A table whose rows begin with modid and cmdid, with a column of names behind each where any of them has one.
    pub(super) fn table(&self, heading: &[&str], rows: &[(ModuleId, Vec<String>)]) -> String {
        let modids = rows.iter().any(|(module, _)| self.modid(module.modid).is_some());
        let cmdids = rows.iter().any(|(module, _)| self.cmdid(module.cmdid).is_some());
        let mut all = vec!["modid"];
        all.extend(modids.then_some("modid_name"));
        all.push("cmdid");
        all.extend(cmdids.then_some("cmdid_name"));
        all.extend(heading);
        let shown = |name: Option<&str>| name.unwrap_or("-").to_owned();
        let cells = |(module, rest): &(ModuleId, Vec<String>)| {
            let mut row = vec![module.modid.to_string()];
            row.extend(modids.then(|| shown(self.modid(module.modid))));
            row.push(module.cmdid.to_string());
            row.extend(cmdids.then(|| shown(self.cmdid(module.cmdid))));
            row.extend(rest.iter().cloned());
            row
        };
        table(&all, &rows.iter().map(cells).collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn column_of_names_stands_there_only_where_some_row_has_one() {
        let rows = [
            (ModuleId::new(1, 2), vec!["a".to_owned()]),
            (ModuleId::new(3, 2), vec!["b".to_owned()]),
        ];
        let mut names = Names::default();
        assert_eq!(
            names.table(&["x"], &rows),
            "modid  cmdid  x\n    1      2  a\n    3      2  b\n"
        );
        names.cmdids.insert(9, "elsewhere".to_owned());
        assert!(!names.table(&["x"], &rows).contains("name"));
        names.modids.insert(3, "shop".to_owned());
        let text = "modid  modid_name  cmdid  x\n    1  -               2  a\n    3  shop            2  b\n";
        assert_eq!(names.table(&["x"], &rows), text);
    }
}
