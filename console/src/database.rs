//! Which MySQL database a command means: what its options and the environment say, put into a `[store]`. And how a
//! password that was typed as an argument is kept out of the list of processes.

use clap::Args;
use lars_store::{MysqlUrl, StoreConfig};
use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

/// A whole URL.
const URL: &str = "LARS_MYSQL";
/// The password, as it is, where the URL has none.
const PASSWORD: &str = "LARS_MYSQL_PASSWORD";
/// As `[store] mysql_ca_path`.
const CA: &str = "LARS_MYSQL_CA";

/// Options that name a MySQL database.
#[derive(Args, Clone, Debug, Default)]
pub struct Database {
    /// A MySQL database, mysql://USER:PASSWORD@HOST:PORT/DATABASE [env: LARS_MYSQL; LARS_MYSQL_PASSWORD is the
    /// password where the URL has none]
    #[arg(long, value_name = "URL")]
    mysql: Option<MysqlUrl>,
    /// Certificates (PEM) of those who may vouch for the MySQL server, with ?require_ssl=true in the URL
    /// [env: LARS_MYSQL_CA]
    #[arg(long, value_name = "FILE")]
    mysql_ca: Option<PathBuf>,
}

impl Database {
    /// Puts what was said into `store`: an option wins over the environment, and that over what `store` has.
    pub fn put_into(self, store: &mut StoreConfig) {
        let url = self.mysql.or_else(|| text(URL).map(MysqlUrl::from));
        if let Some(url) = url.or_else(|| store.mysql_url.take()) {
            store.mysql_url = Some(match text(PASSWORD) {
                Some(password) => url.with_password(&password),
                None => url,
            });
        }
        let ca = self.mysql_ca.or_else(|| environment(CA).map(PathBuf::from));
        store.mysql_ca_path = ca.or_else(|| store.mysql_ca_path.take());
    }
}

/// A variable; one that is set but empty counts as not set.
fn environment(variable: &str) -> Option<OsString> {
    std::env::var_os(variable).filter(|value| !value.is_empty())
}

fn text(variable: &str) -> Option<String> {
    environment(variable).map(|value| value.to_string_lossy().into_owned())
}

/// Starts this program anew in its own place, with the password of `--mysql URL` in its environment, where only the
/// same user can read it, and not among its arguments, where every user of the machine can. Returns where there is
/// none, or where that cannot be done.
pub fn conceal_password(args: &[OsString]) {
    let Some((args, password)) = concealed(args) else {
        return;
    };
    let (Ok(program), Some((name, args))) = (std::env::current_exe(), args.split_first()) else {
        return;
    };
    // Comes back only when it failed; the arguments are as good as they were.
    let _ = Command::new(program)
        .arg0(name)
        .args(args)
        .env(PASSWORD, password)
        .exec();
}

/// The arguments without the last password that they name, and that password.
fn concealed(args: &[OsString]) -> Option<(Vec<OsString>, String)> {
    let (mut shown, mut password, mut is_url) = (Vec::new(), None, false);
    for arg in args {
        let joined = arg.to_str().and_then(|arg| arg.strip_prefix("--mysql="));
        let url = if is_url { arg.to_str() } else { joined };
        let split = url.and_then(|url| MysqlUrl::from(url).split_password());
        is_url = arg == OsStr::new("--mysql") && !is_url;
        let Some((bare, found)) = split else {
            shown.push(arg.clone());
            continue;
        };
        let head = if joined.is_some() { "--mysql=" } else { "" };
        shown.push(format!("{head}{bare}").into());
        password = Some(found);
    }
    password.map(|password| (shown, password))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(text: &str) -> Vec<OsString> {
        text.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn password_leaves_the_arguments_and_all_else_stays() {
        for (before, after) in [
            (
                "lars up --mysql mysql://u:p%20w@h/d --port 0",
                "lars up --mysql mysql://u@h/d --port 0",
            ),
            (
                "lars migrate --mysql=mysql://u:p%20w@h:1/d?socket=x",
                "lars migrate --mysql=mysql://u@h:1/d?socket=x",
            ),
        ] {
            assert_eq!(concealed(&args(before)), Some((args(after), "p w".to_owned())));
        }
        for plain in [
            "lars up --mysql mysql://u@h/d",
            "lars pick 1 1",
            "lars up mysql://u:p@h/d",
            "lars up --mysql",
        ] {
            assert_eq!(concealed(&args(plain)), None, "{plain}");
        }
    }
}
