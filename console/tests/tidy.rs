//! The house is kept by a test: who may import whom, how files open, how long they are, where unsafe may stand. Run
//! with `--nocapture` to see the figures.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Lines of a file at most.
const FILE_LINES_MAX: usize = 500;
/// Lines of a function that fits on a screen.
const FUNCTION_LINES: usize = 70;
/// Share of functions that may be longer, in percent.
const LONG_FUNCTIONS_PERCENT_MAX: usize = 1;
/// Crates in which unsafe may stand.
const UNSAFE_IN: [&str; 2] = ["lars-pool", "lars-board"];
/// Names that say that something was not understood yet.
const NO_NAMES: [&str; 9] = [
    "common", "util", "utils", "helper", "helpers", "manager", "types", "info", "context",
];
/// Each package, its folder, and which of ours it may import; a later line may import earlier ones at most.
const TABLE: [(&str, &str, &[&str]); 13] = [
    ("lars-wire", "wire", &[]),
    ("lars-compat", "compat", &["lars-wire"]),
    ("lars-pool", "pool", &[]),
    ("lars-board", "board", &["lars-wire"]),
    ("lars-store", "store", &["lars-wire"]),
    ("lars-shard", "agent/shard", &["lars-wire", "lars-board"]),
    (
        "lars-simulator",
        "agent/simulator",
        &["lars-shard", "lars-board", "lars-wire"],
    ),
    ("lars-client", "client", &["lars-wire", "lars-board"]),
    (
        "lars-agent",
        "agent",
        &[
            "lars-shard",
            "lars-board",
            "lars-pool",
            "lars-compat",
            "lars-wire",
        ],
    ),
    (
        "lars-dns",
        "dns",
        &["lars-store", "lars-pool", "lars-compat", "lars-wire"],
    ),
    (
        "lars-report",
        "report",
        &["lars-store", "lars-pool", "lars-compat", "lars-wire"],
    ),
    (
        "lars-console",
        "console",
        &[
            "lars-wire",
            "lars-compat",
            "lars-pool",
            "lars-board",
            "lars-store",
            "lars-shard",
            "lars-simulator",
            "lars-client",
            "lars-agent",
            "lars-dns",
            "lars-report",
        ],
    ),
    (
        "lars-benches",
        "benches",
        &[
            "lars-wire",
            "lars-compat",
            "lars-pool",
            "lars-board",
            "lars-store",
            "lars-shard",
            "lars-simulator",
            "lars-client",
            "lars-agent",
            "lars-dns",
            "lars-report",
            "lars-console",
        ],
    ),
];

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the workspace")
        .to_owned()
}

fn manifest(folder: &str) -> toml::Table {
    let path = top().join(folder).join("Cargo.toml");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.parse()
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every Rust file of the workspace, with its text.
fn sources() -> BTreeMap<PathBuf, String> {
    fn walk(folder: &Path, found: &mut BTreeMap<PathBuf, String>) {
        for entry in fs::read_dir(folder)
            .expect("a folder")
            .map(|entry| entry.expect("an entry"))
        {
            let (path, name) = (entry.path(), entry.file_name());
            if entry.file_type().expect("a type").is_dir() {
                if name != "target" && !name.to_string_lossy().starts_with('.') {
                    walk(&path, found);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("readable");
                found.insert(path.strip_prefix(top()).expect("below the top").to_owned(), text);
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(&top(), &mut found);
    assert!(
        found.len() > 50,
        "the walk finds the house's files, not {}",
        found.len()
    );
    found
}

/// Lines of each function, by the indentation that rustfmt gives.
fn functions(text: &str) -> Vec<usize> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (first, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let head = code.split('(').next().unwrap_or_default();
        let is_function = head.split_whitespace().rev().nth(1) == Some("fn") && !code.starts_with("//");
        if !is_function || code.ends_with(';') || code.ends_with('}') {
            continue;
        }
        let end = format!("{}}}", &line[..line.len() - code.len()]);
        if let Some(length) = lines[first..].iter().position(|line| *line == end) {
            found.push(length + 1);
        }
    }
    found
}

#[test]
fn imports_run_strictly_down() {
    let members = manifest("")["workspace"]["members"]
        .as_array()
        .expect("members")
        .len();
    assert_eq!(members, TABLE.len(), "every member stands in the table");
    for (place, (package, folder, allowed)) in TABLE.iter().enumerate() {
        let manifest = manifest(folder);
        assert_eq!(manifest["package"]["name"].as_str(), Some(*package));
        let mut sections = vec![manifest.get("dependencies")];
        sections.push(manifest.get("dev-dependencies"));
        let names = sections
            .into_iter()
            .flatten()
            .filter_map(toml::Value::as_table)
            .flat_map(toml::Table::keys);
        for name in names.filter(|name| name.starts_with("lars-") && name != package) {
            assert!(
                allowed.contains(&name.as_str()),
                "{package} must not import {name}"
            );
        }
        for name in *allowed {
            let below = TABLE[..place].iter().any(|(earlier, ..)| earlier == name);
            assert!(below, "{package}: the table itself has a cycle at {name}");
        }
    }
}

#[test]
fn there_is_exactly_one_binary() {
    let with_binary: Vec<_> = TABLE
        .iter()
        .filter(|(_, folder, _)| top().join(folder).join("src/main.rs").exists())
        .collect();
    assert_eq!(with_binary.len(), 1);
    for (package, folder, _) in TABLE {
        let declared = manifest(folder)
            .get("bin")
            .and_then(|bins| bins.as_array().map(Vec::len))
            .unwrap_or(0);
        assert_eq!(declared, usize::from(package == "lars-console"), "{package}");
    }
}

#[test]
fn files_open_with_what_they_are_and_are_short() {
    let mut lengths = Vec::new();
    for (path, text) in sources() {
        assert!(
            text.starts_with("//!"),
            "{} opens with //! lines that say what it is",
            path.display()
        );
        assert!(
            path.file_name().is_some_and(|name| name != "mod.rs"),
            "{}: name the file",
            path.display()
        );
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        assert!(!NO_NAMES.contains(&&*stem), "{}: find its name", path.display());
        lengths.push((text.lines().count(), path));
    }
    lengths.sort();
    let (largest, path) = lengths.last().expect("files");
    println!(
        "{} files, median {} lines, largest {largest} ({})",
        lengths.len(),
        lengths[lengths.len() / 2].0,
        path.display()
    );
    assert!(
        *largest <= FILE_LINES_MAX,
        "{} has {largest} lines: a noun too many",
        path.display()
    );
}

#[test]
fn functions_fit_on_a_screen() {
    let mut found: Vec<(usize, PathBuf)> = Vec::new();
    for (path, text) in sources() {
        found.extend(functions(&text).into_iter().map(|lines| (lines, path.clone())));
    }
    found.sort();
    let long: Vec<_> = found
        .iter()
        .filter(|(lines, _)| *lines > FUNCTION_LINES)
        .collect();
    println!(
        "{} functions, {} over {FUNCTION_LINES} lines: {long:?}",
        found.len(),
        long.len()
    );
    assert!(found.len() > 300, "the scan finds functions, not {}", found.len());
    assert!(
        long.len() * 100 <= found.len() * LONG_FUNCTIONS_PERCENT_MAX,
        "{long:?}"
    );
}

#[test]
fn unsafe_stands_where_it_may() {
    for (package, folder, _) in TABLE {
        let lib = fs::read_to_string(top().join(folder).join("src/lib.rs")).expect("a lib.rs");
        let forbidden = lib.contains("#![forbid(unsafe_code)]");
        assert_eq!(
            forbidden,
            !UNSAFE_IN.contains(&package),
            "{package}: unsafe forbidden: {forbidden}"
        );
        assert_eq!(
            manifest(folder)["lints"]["workspace"].as_bool(),
            Some(true),
            "{package}"
        );
    }
}

#[test]
fn nothing_is_silenced() {
    // Written in two parts so that this file does not find itself.
    let bare_allow = ["#[", "allow("].concat();
    let bare_allow_all = ["#![", "allow("].concat();
    let ignored = ["#[", "ignore"].concat();
    for (path, text) in sources() {
        for (number, line) in text.lines().enumerate() {
            let silenced = [&bare_allow, &bare_allow_all, &ignored]
                .into_iter()
                .any(|word| line.contains(word.as_str()));
            assert!(
                !silenced,
                "{}:{}: use expect with a reason, or mend it",
                path.display(),
                number + 1
            );
        }
    }
}
