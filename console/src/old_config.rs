//! Configuration files of the C++ Lars (INI), and what each of their keys is here. Pure.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt::Write;

/// What became of one old key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Became {
    /// The file that it stood in.
    pub file: String,
    /// `[section] key = value`, a password with stars.
    pub old: String,
    /// Our key, `[section] key = value`; none where it has no counterpart.
    pub new: Option<String>,
    /// What people should know about it; may be empty.
    pub note: &'static str,
}

/// What old files say, in our words.
#[derive(Debug, Default)]
pub struct Imported {
    /// By section, in order of keys.
    sections: BTreeMap<&'static str, BTreeMap<&'static str, toml::Value>>,
    /// Every old key, in order of the files.
    pub became: Vec<Became>,
    /// The database's password, which does not stand in the configuration.
    pub password: Option<String>,
}

/// Which of the three programs a file belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Program {
    Agent,
    Dns,
    Report,
}

/// A key of a file, in its section.
#[derive(Debug)]
struct Key {
    section: String,
    name: String,
    value: String,
}

/// How a value is carried over.
#[derive(Clone, Copy)]
enum As {
    Integer,
    Float,
    /// Seconds there, milliseconds here.
    Milliseconds,
}

/// Keys of `[loadbalance]`, ours, and how the value is carried over.
const POLICY: [(&str, &str, As); 10] = [
    ("probe_num", "probe_num", As::Integer),
    ("init_succ_cnt", "init_succ_cnt", As::Integer),
    ("init_err_cnt", "init_err_cnt", As::Integer),
    ("err_rate", "err_rate", As::Float),
    ("succ_rate", "succ_rate", As::Float),
    ("contin_err_limit", "contin_err_limit", As::Integer),
    ("contin_succ_limit", "contin_succ_limit", As::Integer),
    ("window_err_rate", "window_err_rate", As::Float),
    ("idle_timeout", "idle_timeout_ms", As::Milliseconds),
    ("overload_timeout", "overload_timeout_ms", As::Milliseconds),
];

impl Imported {
    /// Takes a file in; two that say different things of one key are an error.
    pub fn add(&mut self, file: &str, text: &str) -> Result<(), String> {
        let keys = read(text).map_err(|reason| format!("{file}: {reason}"))?;
        let program = program(&keys).ok_or_else(|| {
            format!(
                "{file}: this is none of lars_lb_agent.conf ([loadbalance]), lars_dns.conf ([reactor], [mysql]) and \
                 lars_reporter.conf ([repoter])"
            )
        })?;
        let sections: BTreeMap<(&str, &str), &str> = keys
            .iter()
            .map(|key| ((&*key.section, &*key.name), &*key.value))
            .collect();
        for key in &keys {
            let (new, note) = self.carry(program, key, &sections).map_err(|reason| {
                format!(
                    "{file}: [{}] {} = {}: {reason}",
                    key.section,
                    key.name,
                    shown(key)
                )
            })?;
            self.became.push(Became {
                file: file.to_owned(),
                old: format!("[{}] {} = {}", key.section, key.name, shown(key)),
                new,
                note,
            });
        }
        if program == Program::Agent {
            self.set("policy", "name", "classic".into())?;
            self.set("policy", "preset", "lars".into())?;
            self.set("compat", "enabled", true.into())?;
        }
        Ok(())
    }

    /// What one key becomes, and what is to be said of it.
    fn carry(
        &mut self,
        program: Program,
        key: &Key,
        sections: &BTreeMap<(&str, &str), &str>,
    ) -> Result<(Option<String>, &'static str), String> {
        let beside = |name: &str| sections.get(&(&*key.section, name)).copied();
        match (&*key.section, &*key.name) {
            ("dnsserver", "ip") => self.link("dns", key, beside("port")),
            ("reporter", "ip") => self.link("report", key, beside("port")),
            ("dnsserver" | "reporter" | "reactor", "port") => Ok((None, "stands behind the address")),
            ("loadbalance", "update_timeout") => Ok((
                None,
                "needs none: routes are pushed, and compared every digest_interval_s",
            )),
            ("loadbalance", name) => {
                let Some((_, ours, how)) = POLICY.iter().find(|(old, ..)| *old == name) else {
                    return Ok((None, "unknown, left out"));
                };
                let value = carried(&key.value, *how)?;
                Ok((Some(self.set("policy", ours, value)?), ""))
            }
            ("reactor", "ip") => self.listen(program, key, beside("port")),
            ("reactor", "maxConn") => {
                let value = carried(&key.value, As::Integer)?;
                Ok((Some(self.set(of(program), "connections_max", value)?), ""))
            }
            ("reactor", "threadNum") => Ok((None, "needs none: a thread a processor, see `cores`")),
            ("repoter" | "reporter", "db_thread_cnt") => {
                Ok((None, "needs none: many rows are written in one transaction"))
            }
            ("mysql", "db_host") => self.database(key, sections),
            ("mysql", "db_passwd") => self.password(key),
            ("mysql", "db_port" | "db_user" | "db_name") => Ok((None, "stands in the URL")),
            _ => Ok((None, "unknown, left out")),
        }
    }

    fn link(
        &mut self,
        name: &'static str,
        key: &Key,
        port: Option<&str>,
    ) -> Result<(Option<String>, &'static str), String> {
        let port = port.ok_or("the port is missing beside it")?;
        let addrs = vec![toml::Value::from(format!("{}:{port}", key.value))];
        Ok((Some(self.set("agent", name, addrs.into())?), ""))
    }

    fn listen(
        &mut self,
        program: Program,
        key: &Key,
        port: Option<&str>,
    ) -> Result<(Option<String>, &'static str), String> {
        let port = port.ok_or("the port is missing beside it")?;
        let addr: std::net::SocketAddr = format!("{}:{port}", key.value)
            .parse()
            .map_err(|_| "no address with a port".to_owned())?;
        let told = self.set(of(program), "listen", addr.to_string().into())?;
        if addr.ip().is_loopback() {
            return Ok((Some(told), ""));
        }
        self.set(of(program), "insecure", true.into())?;
        Ok((
            Some(told),
            "others reach it, so insecure = true stands beside it: the network must be trusted",
        ))
    }

    fn database(
        &mut self,
        key: &Key,
        sections: &BTreeMap<(&str, &str), &str>,
    ) -> Result<(Option<String>, &'static str), String> {
        let of = |name: &str| sections.get(&("mysql", name)).copied();
        let name = of("db_name").ok_or("db_name is missing beside it")?;
        let (user, port) = (of("db_user").unwrap_or("root"), of("db_port").unwrap_or("3306"));
        let url = format!("mysql://{}@{}:{port}/{}", percent(user), key.value, percent(name));
        Ok((Some(self.set("store", "mysql_url", url.into())?), ""))
    }

    fn password(&mut self, key: &Key) -> Result<(Option<String>, &'static str), String> {
        if self.password.as_ref().is_some_and(|other| *other != key.value) {
            return Err("another file has another one: import them one by one".to_owned());
        }
        self.password = Some(key.value.clone());
        Ok((None, "kept apart, see `[store] mysql_password_path`"))
    }

    /// Sets a key of ours, which may be set once or to the same.
    fn set(
        &mut self,
        section: &'static str,
        key: &'static str,
        value: toml::Value,
    ) -> Result<String, String> {
        let told = format!("[{section}] {key} = {value}");
        match self.sections.entry(section).or_default().entry(key) {
            Entry::Vacant(free) => {
                free.insert(value);
            }
            Entry::Occupied(other) if *other.get() != value => {
                let other = other.get();
                return Err(format!(
                    "another file gives [{section}] {key} = {other}: import them one by one"
                ));
            }
            Entry::Occupied(_) => {}
        }
        Ok(told)
    }

    /// Says where the password was put.
    pub fn set_password_path(&mut self, path: &str) -> Result<(), String> {
        self.set("store", "mysql_password_path", path.into()).map(drop)
    }

    /// The configuration file.
    pub fn toml(&self) -> String {
        let mut text = String::new();
        for (section, keys) in &self.sections {
            // Writing to a string does not fail.
            let blank = if text.is_empty() { "" } else { "\n" };
            let _ = writeln!(text, "{blank}[{section}]");
            for (key, value) in keys {
                let _ = writeln!(text, "{key} = {value}");
            }
        }
        text
    }
}

/// The section of a service.
fn of(program: Program) -> &'static str {
    match program {
        Program::Agent => "agent",
        Program::Dns => "dns",
        Program::Report => "report",
    }
}

/// Told apart by sections that only one of them has.
fn program(keys: &[Key]) -> Option<Program> {
    let has = |section: &str| keys.iter().any(|key| key.section == section);
    if has("loadbalance") || has("dnsserver") {
        Some(Program::Agent)
    } else if has("repoter") || (has("reporter") && has("reactor")) {
        Some(Program::Report)
    } else if has("reactor") {
        Some(Program::Dns)
    } else {
        None
    }
}

fn carried(text: &str, how: As) -> Result<toml::Value, String> {
    let integer = || {
        text.parse::<u32>()
            .map(i64::from)
            .map_err(|_| "no whole number".to_owned())
    };
    Ok(match how {
        As::Integer => integer()?.into(),
        As::Milliseconds => (integer()? * 1_000).into(),
        As::Float => {
            let number: f64 = text.parse().map_err(|_| "no number".to_owned())?;
            number.into()
        }
    })
}

/// The value as it may be shown.
fn shown(key: &Key) -> &str {
    if key.name == "db_passwd" {
        "***"
    } else {
        &key.value
    }
}

/// What may not stand in a URL, with percent signs.
fn percent(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let bytes = text.bytes();
    bytes
        .map(|byte| {
            if plain(byte) {
                (byte as char).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

/// Reads an INI file: sections in brackets, `key = value`, comments behind `;` or `#` at the beginning of a line.
fn read(text: &str) -> Result<Vec<Key>, String> {
    let (mut keys, mut section): (Vec<Key>, String) = (Vec::new(), String::new());
    for (number, line) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with([';', '#']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            name.trim().clone_into(&mut section);
            continue;
        }
        let (name, value) = line
            .split_once('=')
            .ok_or_else(|| format!("line {number} is neither [section] nor key = value"))?;
        let (name, value) = (name.trim().to_owned(), value.trim().to_owned());
        if keys.iter().any(|key| key.section == section && key.name == name) {
            return Err(format!("line {number}: [{section}] {name} stands twice"));
        }
        keys.push(Key {
            section: section.clone(),
            name,
            value,
        });
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use lars_shard::policy::PolicyName;

    const AGENT: &str = "\u{feff}[reporter]\nip = 10.0.0.8\nport = 7779\n\n[dnsserver]\nip=10.0.0.7\nport=7778\n\
        [loadbalance]\n;a comment\nprobe_num=10\ninit_succ_cnt=180\ninit_err_cnt=5\nerr_rate=0.1\nsucc_rate=0.5\n\
        contin_err_limit=15\ncontin_succ_limit=15\nwindow_err_rate=0.7\nidle_timeout=20\noverload_timeout=30\n\
        update_timeout=15\n";
    const DNS: &str = "[reactor]\nmaxConn = 1024\nthreadNum = 5\nip = 127.0.0.1\nport = 7778\n[mysql]\n\
        db_host = db.local\ndb_port = 3306\ndb_user = la@rs\ndb_passwd = s:3/cret\ndb_name = lars_dns\n";

    fn imported(files: &[(&str, &str)]) -> Result<Imported, String> {
        let mut imported = Imported::default();
        for (file, text) in files {
            imported.add(file, text)?;
        }
        Ok(imported)
    }

    #[test]
    fn thresholds_keep_their_meaning_under_the_classic_rule() {
        let imported = imported(&[("agent.conf", AGENT)]).expect("a good file");
        let config = Config::parse(&imported.toml()).expect("a good configuration");
        assert_eq!(config.agent.dns, ["10.0.0.7:7778"]);
        assert_eq!(config.agent.report, ["10.0.0.8:7779"]);
        assert_eq!(config.policy.name, Some(PolicyName::Classic));
        assert_eq!(
            (config.policy.probe_num, config.policy.err_rate),
            (Some(10), Some(0.1))
        );
        assert_eq!(
            (config.policy.idle_timeout_ms, config.policy.overload_timeout_ms),
            (Some(20_000), Some(30_000))
        );
        assert!(config.compat.enabled);
        // Every key is told of, and only one has no counterpart.
        assert_eq!(imported.became.len(), 15);
        let without: Vec<_> = imported
            .became
            .iter()
            .filter(|became| became.new.is_none())
            .map(|became| became.old.as_str())
            .collect();
        assert_eq!(
            without,
            [
                "[reporter] port = 7779",
                "[dnsserver] port = 7778",
                "[loadbalance] update_timeout = 15"
            ]
        );
    }

    #[test]
    fn database_becomes_a_url_and_its_password_is_kept_apart() {
        let report = DNS.replace("7778", "7779") + "[repoter]\ndb_thread_cnt = 3\n";
        let imported = imported(&[("dns.conf", DNS), ("report.conf", &report)]).expect("good files");
        let text = imported.toml();
        assert!(
            text.contains("mysql_url = \"mysql://la%40rs@db.local:3306/lars_dns\""),
            "{text}"
        );
        assert_eq!(imported.password.as_deref(), Some("s:3/cret"));
        assert!(!text.contains("cret") && !format!("{:?}", imported.became).contains("cret"));
        let config = Config::parse(&text).expect("a good configuration");
        assert_eq!(
            (config.dns.listen.port(), config.report.listen.port()),
            (7778, 7779)
        );
        assert_eq!((config.dns.connections_max, config.dns.insecure), (1_024, false));
    }

    #[test]
    fn address_that_others_reach_keeps_its_meaning_and_is_told() {
        let open = DNS.replace("127.0.0.1", "10.1.2.3");
        let imported = imported(&[("dns.conf", &open)]).expect("a good file");
        let config = Config::parse(&imported.toml()).expect("a good configuration");
        assert!(config.dns.insecure && config.dns.listen.to_string() == "10.1.2.3:7778");
        assert!(
            imported
                .became
                .iter()
                .any(|became| became.note.contains("trusted"))
        );
    }

    #[test]
    fn wrong_files_are_told_by_file_and_key() {
        for (text, words) in [
            ("nothing", "line 1"),
            ("[other]\na = 1\n", "none of lars_lb_agent.conf"),
            ("[dnsserver]\nip = 10.0.0.1\n", "port is missing"),
            (
                "[loadbalance]\nprobe_num = many\n",
                "[loadbalance] probe_num = many",
            ),
            ("[loadbalance]\nprobe_num = 1\nprobe_num = 2\n", "twice"),
            ("[reactor]\nip = here\nport = 1\n", "[reactor] ip"),
        ] {
            let error = imported(&[("old.conf", text)]).expect_err(text);
            assert!(error.contains(words) && error.starts_with("old.conf"), "{error}");
        }
        let other = DNS.replace("db.local", "other.local");
        let error = imported(&[("dns.conf", DNS), ("dns2.conf", &other)]).expect_err("they differ");
        assert!(error.contains("one by one"), "{error}");
    }

    #[test]
    fn unknown_keys_are_told_and_left_out() {
        let text = AGENT.to_owned() + "colour = red\n";
        let imported = imported(&[("agent.conf", &text)]).expect("a good file");
        let last = imported.became.last().expect("it is told of");
        assert_eq!(
            (last.old.as_str(), last.new.as_deref(), last.note),
            ("[loadbalance] colour = red", None, "unknown, left out")
        );
    }
}
