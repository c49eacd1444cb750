//! How a database is reached: its URL, a password from elsewhere, whom to trust. Judged here, and turned into what the
//! driver takes. No text of this file quotes a part of the URL that may belong to a password.

use super::tls;
use super::url::MysqlUrl;
use mysql_async::{Opts, OptsBuilder, SslOpts, UrlError};
use std::path::PathBuf;

/// How long a statement waits for a lock, in seconds, before the database gives up (error 1205): it is tried again.
const LOCK_WAIT_S: u32 = 1;
/// Prepared statements kept; there are fewer different ones in this crate.
const STATEMENTS_MAX: usize = 64;
/// Bytes of a password's file at most.
const PASSWORD_BYTES_MAX: usize = 4_096;
/// What a URL looks like.
const EXAMPLE: &str =
    "write mysql://USER:PASSWORD@HOST:PORT/DATABASE (percent signs stand for what a URL cannot hold)";

/// How a database is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// Where it is.
    pub url: MysqlUrl,
    /// The file that holds the password, where the URL has none; read at every connect.
    pub password_path: Option<PathBuf>,
    /// The certificates (PEM) of those who may vouch for the server, in place of the public ones.
    pub ca_path: Option<PathBuf>,
}

impl<T: Into<MysqlUrl>> From<T> for Access {
    fn from(url: T) -> Self {
        Self {
            url: url.into(),
            password_path: None,
            ca_path: None,
        }
    }
}

impl Access {
    /// Whether it names a database that this program can reach; says what is wrong with it. Reads no file.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.parse().map(drop)
    }

    /// Where it leads, without the password.
    pub(crate) fn place(&self) -> String {
        self.parse()
            .map_or_else(|_| "nowhere".to_owned(), |opts| place(&opts))
    }

    /// What the driver takes; reads the password's file.
    pub(super) fn options(&self) -> Result<Opts, String> {
        let opts = self.parse()?;
        let password = match (opts.pass(), self.url.other_password(), &self.password_path) {
            (None | Some(""), Some(password), _) => Some(password.to_owned()),
            (None | Some(""), None, Some(path)) => Some(read_password(path)?),
            _ => opts.pass().map(str::to_owned),
        };
        let local = opts.socket().is_some();
        let tls = tls::asked(&opts, self.ca_path.as_deref());
        let setup = vec![
            format!("SET SESSION innodb_lock_wait_timeout = {LOCK_WAIT_S}"),
            // Whatever the server sets for those who come: names keep their letters.
            "SET NAMES utf8mb4".to_owned(),
            // What does not fit a column is an error and never cut; a number stays a number whatever the server's
            // default.
            "SET SESSION sql_mode = 'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION'".to_owned(),
            "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ".to_owned(),
        ];
        let builder = OptsBuilder::from_opts(opts)
            .pass(password)
            .ssl_opts(tls)
            .setup(setup)
            .stmt_cache_size(STATEMENTS_MAX)
            .tcp_nodelay(true)
            // An update counts the rows that it found, also where they stood so already.
            .client_found_rows(true)
            // A Unix socket only where the URL names it: the server's own notion of it may be another container's.
            .prefer_socket(local);
        Ok(Opts::from(builder))
    }

    fn parse(&self) -> Result<Opts, String> {
        let opts = Opts::from_url(self.url.exposed()).map_err(|error| fault(&error))?;
        if opts.db_name().is_none_or(str::is_empty) {
            return Err(format!("it names no database; {EXAMPLE}"));
        }
        let (asks_for_tls, is_local) = (opts.ssl_opts().is_some(), opts.socket().is_some());
        if asks_for_tls && !tls::IS_BUILT_IN {
            return Err(
                "it asks for TLS (require_ssl=true), and this lars was built without it: build one with `cargo build \
                 --release --features tls`"
                    .to_owned(),
            );
        }
        if asks_for_tls && is_local {
            return Err(
                "it asks for TLS over a Unix socket, which needs none: leave out require_ssl or socket"
                    .to_owned(),
            );
        }
        if opts.ssl_opts().is_some_and(SslOpts::skip_domain_validation) {
            // The driver takes it and checks the name all the same.
            return Err(
                "verify_identity=false cannot be had: put the name in the server's certificate into the URL"
                    .to_owned(),
            );
        }
        if self.ca_path.is_some() && !asks_for_tls {
            return Err(
                "mysql_ca_path is given, but the URL asks for no TLS: add ?require_ssl=true".to_owned(),
            );
        }
        Ok(opts)
    }
}

/// The driver's words without what they quote: a part of a password may look like a parameter.
fn fault(error: &UrlError) -> String {
    match error {
        UrlError::UnsupportedScheme { .. } => format!("it does not begin with mysql://; {EXAMPLE}"),
        UrlError::UnknownParameter { .. } => {
            format!(
                "it has a parameter behind '?' that is not known (socket, require_ssl and verify_ca are); {EXAMPLE}"
            )
        }
        UrlError::InvalidParamValue { param, .. } => {
            format!("its parameter {param} has a wrong value; {EXAMPLE}")
        }
        UrlError::Parse(error) => format!("it is no URL: {error}; {EXAMPLE}"),
        UrlError::FeatureRequired { .. } | UrlError::Invalid | UrlError::InvalidPoolConstraints { .. } => {
            format!("it is no whole URL of a database; {EXAMPLE}")
        }
    }
}

fn read_password(path: &std::path::Path) -> Result<String, String> {
    let at = |reason: &str| format!("mysql_password_path: {}: {reason}", path.display());
    let bytes = std::fs::read(path).map_err(|error| at(&error.to_string()))?;
    if bytes.len() > PASSWORD_BYTES_MAX {
        return Err(at(&format!(
            "it has more than {PASSWORD_BYTES_MAX} bytes: that is no password"
        )));
    }
    let text = String::from_utf8(bytes).map_err(|_| at("it is no UTF-8"))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// Where the database is, without the password.
pub(super) fn place(opts: &Opts) -> String {
    let database = opts.db_name().unwrap_or_default();
    let how = match opts.ssl_opts() {
        None => "",
        Some(tls) if tls.accept_invalid_certs() => " (TLS, whoever the server is)",
        Some(_) => " (TLS)",
    };
    match opts.socket() {
        Some(socket) => format!("{socket}/{database}"),
        None => format!("{}:{}/{database}{how}", opts.ip_or_hostname(), opts.tcp_port()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(url: &str) -> Access {
        Access::from(url)
    }

    #[test]
    fn place_says_where_and_never_the_password() {
        assert_eq!(
            access("mysql://lars:secret@db.example:3307/dnsserver").place(),
            "db.example:3307/dnsserver"
        );
        assert_eq!(
            access("mysql://root@localhost/lars?socket=/tmp/m.sock").place(),
            "/tmp/m.sock/lars"
        );
    }

    #[test]
    fn url_without_database_is_refused_with_an_example() {
        for url in ["mysql://root@localhost", "postgres://x/y", "nonsense"] {
            let error = access(url).check().expect_err(url);
            assert!(
                error.contains("mysql://USER:PASSWORD@HOST:PORT/DATABASE"),
                "{error}"
            );
        }
    }

    #[test]
    fn fault_of_a_url_quotes_no_part_of_its_password() {
        for url in [
            "mysql://lars:hun?ter2@db/x",
            "mysql://lars:hun/ter2@db/x",
            "mysql://lars:hun#ter2@db/x",
            "mysql://lars:hun?require_ssl=ter2@db/x",
            "mysql://db/x?hun=ter2",
            "hun://ter2",
        ] {
            let error = access(url).check().expect_err(url);
            assert!(!error.contains("hun") && !error.contains("ter2"), "{error}");
        }
    }

    #[test]
    fn password_comes_from_the_url_else_from_elsewhere_else_from_its_file() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "from a file\r\n").expect("written");
        let pass = |access: &Access| {
            let opts = access.options().expect("it will do");
            opts.pass().map(str::to_owned)
        };
        let mut bare = access("mysql://lars@db/x");
        assert_eq!(pass(&bare), None);
        bare.password_path = Some(file.path().to_owned());
        assert_eq!(pass(&bare).as_deref(), Some("from a file"));
        bare.url = bare.url.with_password("from elsewhere");
        assert_eq!(pass(&bare).as_deref(), Some("from elsewhere"));
        bare.url = MysqlUrl::from("mysql://lars:in%20it@db/x").with_password("from elsewhere");
        assert_eq!(pass(&bare).as_deref(), Some("in it"));
        let lost = Access {
            password_path: Some(PathBuf::from("/nowhere/at/all")),
            ..access("mysql://lars@db/x")
        };
        let error = lost.options().expect_err("there is no such file");
        assert!(
            error.contains("mysql_password_path") && error.contains("/nowhere/at/all"),
            "{error}"
        );
    }

    #[test]
    fn tls_is_asked_for_by_the_url_and_only_where_it_can_be_had() {
        let asked = access("mysql://lars@db/x?require_ssl=true").check();
        if tls::IS_BUILT_IN {
            assert_eq!(asked, Ok(()));
            let local = access("mysql://lars@db/x?require_ssl=true&socket=/tmp/m.sock").check();
            assert!(local.is_err_and(|text| text.contains("Unix socket")));
        } else {
            assert!(asked.is_err_and(|text| text.contains("--features tls")));
        }
        let trusting = Access {
            ca_path: Some(PathBuf::from("ca.pem")),
            ..access("mysql://lars@db/x")
        };
        assert!(
            trusting
                .check()
                .is_err_and(|text| text.contains("require_ssl=true"))
        );
    }
}
