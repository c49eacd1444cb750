//! TLS to the database: who is believed, who is not, and that nothing goes in the clear. A program of its own, since it
//! is built only with the feature `tls`.

use lars_store::mariadb::{MariaDb, run};
use lars_store::mysql::access::Access;
use lars_store::mysql::migrate::migrate;
use lars_store::{MysqlStore, RouteStore, StoreError};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// A certificate authority and a certificate by it for `localhost`, made by the `openssl` command.
struct Certificates {
    folder: TempDir,
}

impl Certificates {
    fn new() -> Self {
        let made = Self {
            folder: tempfile::tempdir().expect("a folder"),
        };
        let ca = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=lars-test-ca \
                  -addext basicConstraints=critical,CA:TRUE -keyout ca.key -out ca.pem";
        let request = "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost \
                       -keyout server.key -out server.csr";
        let sign = "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names \
                    -out server.pem";
        std::fs::write(made.path("names"), "subjectAltName = DNS:localhost\n").expect("written");
        for words in [ca, request, sign] {
            let output = Command::new("openssl")
                .args(words.split_whitespace())
                .current_dir(made.folder.path())
                .output()
                .expect("openssl is installed");
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        made
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    listener.local_addr().expect("an address").port()
}

fn server(port: u16, certificates: Option<&Certificates>) -> MariaDb {
    let mut options = vec!["--bind-address=127.0.0.1".to_owned(), format!("--port={port}")];
    match certificates {
        Some(made) => {
            let option = |name: &str, file: &str| format!("--ssl-{name}={}", made.path(file).display());
            options.extend([
                option("ca", "ca.pem"),
                option("cert", "server.pem"),
                option("key", "server.key"),
            ]);
        }
        None => options.push("--skip-ssl".to_owned()),
    }
    MariaDb::start_own_with(options).unwrap_or_else(|error| panic!("{error}"))
}

/// A database with an account that may come over TLS alone, if `is_strict`; host and database for a URL.
async fn database(server: &MariaDb, is_strict: bool) -> String {
    let url = server.database().await.expect("a database");
    migrate(&url, false).await.expect("the tables are made");
    let name = url
        .split('/')
        .nth(3)
        .and_then(|rest| rest.split('?').next())
        .expect("a name");
    let require = if is_strict { "REQUIRE SSL" } else { "" };
    run(
        &url,
        &format!("CREATE USER 'far'@'%' IDENTIFIED BY 'p' {require}; GRANT ALL ON {name}.* TO 'far'@'%'"),
    )
    .await
    .expect("an account");
    name.to_owned()
}

async fn fails(access: Access) -> String {
    match MysqlStore::open(access).await {
        Err(StoreError::Unfit(text)) => text,
        Err(other) => panic!("the next try would end alike: {other}"),
        Ok(_) => panic!("it was believed"),
    }
}

fn with_ca(url: &str, ca: &Path) -> Access {
    Access {
        ca_path: Some(ca.to_owned()),
        ..Access::from(url)
    }
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(work)
}

#[test]
fn server_is_believed_by_its_certificate_and_by_nothing_else() {
    let (certificates, others, port) = (Certificates::new(), Certificates::new(), free_port());
    let server = server(port, Some(&certificates));
    block_on(async {
        let name = database(&server, true).await;
        let url = |host: &str, query: &str| format!("mysql://far:p@{host}:{port}/{name}{query}");
        let ca = certificates.path("ca.pem");

        let strict = url("localhost", "?require_ssl=true");
        let mut store = MysqlStore::open(with_ca(&strict, &ca))
            .await
            .expect("it is who it says");
        assert_eq!(store.observe(0).await.expect("it answers").rows, Some(0));
        assert!(store.describe().contains("(TLS)"), "{}", store.describe());
        migrate(with_ca(&strict, &ca), false)
            .await
            .expect("migrating goes the same way");

        let in_the_clear = fails(Access::from(url("localhost", ""))).await;
        assert!(in_the_clear.contains("denied"), "{in_the_clear}");
        for (what, access) in [
            (
                "the public authorities do not know it",
                Access::from(strict.as_str()),
            ),
            ("another authority", with_ca(&strict, &others.path("ca.pem"))),
            (
                "another name",
                with_ca(&url("127.0.0.1", "?require_ssl=true"), &ca),
            ),
            (
                "no certificates in the file",
                with_ca(&strict, &certificates.path("names")),
            ),
            ("no such file", with_ca(&strict, &certificates.path("none"))),
        ] {
            let text = fails(access).await;
            assert!(
                text.contains("TLS") && text.contains("mysql_ca_path"),
                "{what}: {text}"
            );
        }
        let unnamed = fails(Access::from(url(
            "localhost",
            "?require_ssl=true&verify_identity=false",
        )))
        .await;
        assert!(unnamed.contains("verify_identity"), "{unnamed}");
        let any = url("127.0.0.1", "?require_ssl=true&verify_ca=false");
        let store = MysqlStore::open(any.as_str()).await.expect("whoever it is");
        assert!(store.describe().contains("whoever"), "{}", store.describe());
    });
}

#[test]
fn server_that_offers_no_tls_is_told_no_password() {
    let port = free_port();
    let server = server(port, None);
    block_on(async {
        let name = database(&server, false).await;
        let url = format!("mysql://far:p@127.0.0.1:{port}/{name}");
        MysqlStore::open(url.as_str())
            .await
            .expect("in the clear it would do");
        let text = fails(Access::from(format!("{url}?require_ssl=true"))).await;
        assert!(text.contains("offers no TLS"), "{text}");
    });
}
