//! TLS to the database, behind the feature `tls`: whom the driver shall believe, and what its failures mean.

use super::CallError;
use mysql_async::{DriverError, Error, Opts, SslOpts};
use std::path::Path;

/// Whether this program can speak it.
pub(super) const IS_BUILT_IN: bool = cfg!(feature = "tls");

/// What the driver is told of TLS; none where the URL asks for none. With certificates of our own the public
/// authorities vouch for nobody.
#[cfg(feature = "tls")]
pub(super) fn asked(opts: &Opts, ca_path: Option<&Path>) -> Option<SslOpts> {
    let asked = opts.ssl_opts()?.clone();
    Some(match ca_path {
        Some(path) => asked
            .with_root_certs(vec![path.to_owned().into()])
            .with_disable_built_in_roots(true),
        None => asked,
    })
}

#[cfg(not(feature = "tls"))]
pub(super) fn asked(_: &Opts, _: Option<&Path>) -> Option<SslOpts> {
    None
}

/// What a failure to connect over TLS means. One that has to do with certificates stays until people mend it.
pub(super) fn fault(error: Error) -> CallError {
    const MEND: &str = "`[store] mysql_ca_path` or --mysql-ca FILE names the certificates of those who may vouch for \
                        the server, and the host in the URL must be a name in the server's certificate";
    match &error {
        Error::Driver(DriverError::NoClientSslFlagFromServer) => CallError::Unfit(
            "the URL asks for TLS and the server offers no TLS: give it a certificate, or leave out require_ssl".to_owned(),
        ),
        Error::Io(io) if is_lasting(io) => CallError::Unfit(format!("TLS: {io}; {MEND}")),
        _ => CallError::from(error),
    }
}

#[cfg(feature = "tls")]
fn is_lasting(error: &mysql_async::IoError) -> bool {
    use std::io::ErrorKind::{InvalidData, IsADirectory, NotFound, PermissionDenied};
    match error {
        mysql_async::IoError::Tls(_) => true,
        // What the other side showed is not believed, or the file of certificates cannot be read.
        mysql_async::IoError::Io(error) => {
            matches!(
                error.kind(),
                InvalidData | IsADirectory | NotFound | PermissionDenied
            )
        }
    }
}

#[cfg(not(feature = "tls"))]
fn is_lasting(_: &mysql_async::IoError) -> bool {
    false
}
