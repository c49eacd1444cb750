//! `lars import FILE...`: configuration files of the C++ Lars in our words, and what each old key became.

use super::table::table;
use super::{print, print_json};
use crate::config::Config;
use crate::old_config::{Became, Imported};
use crate::outcome::Failure;
use clap::Args;
use serde_json::json;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

#[derive(Args, Debug)]
#[command(
    after_help = "Standard output has the new configuration (with --out, nothing); standard error says what each \
                        old key became. The database's password is written to FILE.mysql-password with --out, and \
                        else left to LARS_MYSQL_PASSWORD or `[store] mysql_password_path`."
)]
pub(super) struct Import {
    /// lars_lb_agent.conf, lars_dns.conf, lars_reporter.conf: one or several, known by their sections
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Write the configuration to this file, which must not be there yet
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print one JSON object: the configuration as text, and what each old key became
    #[arg(long)]
    json: bool,
}

impl Import {
    pub(super) fn run(self) -> Result<(), Failure> {
        let mut imported = Imported::default();
        for file in &self.files {
            let bytes = std::fs::read(file)
                .map_err(|error| Failure::usage(format!("{}: cannot be read: {error}", file.display())))?;
            imported
                .add(&file.display().to_string(), &String::from_utf8_lossy(&bytes))
                .map_err(Failure::usage)?;
        }
        if let Some(out) = &self.out {
            write_password(&mut imported, out)?;
        }
        let text = imported.toml();
        Config::parse(&text).map_err(|error| Failure::usage(format!("the old values: {error}")))?;
        if let Some(out) = &self.out {
            write_new(out, 0o644, &text)?;
        }
        if self.json {
            let became = imported.became.iter().map(
                |became| json!({ "file": became.file, "old": became.old, "new": became.new, "note": became.note }),
            );
            return print_json(&json!({ "toml": text, "keys": became.collect::<Vec<_>>() }));
        }
        explain(&imported, self.out.as_deref());
        if self.out.is_none() { print(&text) } else { Ok(()) }
    }
}

/// Puts the password into a file of its own beside the configuration.
fn write_password(imported: &mut Imported, out: &Path) -> Result<(), Failure> {
    let Some(password) = imported.password.clone() else {
        return Ok(());
    };
    let mut name = out.as_os_str().to_owned();
    name.push(".mysql-password");
    let path = std::path::absolute(PathBuf::from(name))
        .map_err(|error| Failure::other(format!("{}: {error}", out.display())))?;
    let shown = path
        .to_str()
        .ok_or_else(|| Failure::usage(format!("{}: the path must be UTF-8", out.display())))?;
    if out.exists() {
        return Err(there_already(out));
    }
    imported.set_password_path(shown).map_err(Failure::usage)?;
    write_new(&path, 0o600, &format!("{password}\n"))
}

fn write_new(path: &Path, mode: u32, text: &str) -> Result<(), Failure> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => there_already(path),
            _ => Failure::other(format!("{}: cannot be made: {error}", path.display())),
        })?;
    file.write_all(text.as_bytes())
        .map_err(|error| Failure::other(format!("{}: {error}", path.display())))
}

fn there_already(path: &Path) -> Failure {
    Failure::usage(format!(
        "{}: is there already; it is not written over",
        path.display()
    ))
}

/// What became of each key, for people.
fn explain(imported: &Imported, out: Option<&Path>) {
    let row = |became: &Became| {
        let new = became.new.clone().unwrap_or_else(|| "-".to_owned());
        vec![
            became.file.clone(),
            became.old.clone(),
            new,
            became.note.to_owned(),
        ]
    };
    let rows: Vec<Vec<String>> = imported.became.iter().map(row).collect();
    eprint!("{}", table(&["FILE", "OLD", "NEW", "NOTE"], &rows));
    match (out, &imported.password) {
        (Some(out), _) => eprintln!(
            "written: {}; `lars check {}` shows it",
            out.display(),
            out.display()
        ),
        (None, Some(_)) => {
            eprintln!(
                "the password is not shown: give it by LARS_MYSQL_PASSWORD or `[store] mysql_password_path`"
            );
        }
        (None, None) => {}
    }
}
