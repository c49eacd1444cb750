//! `/metrics`, `/healthz` and `/readyz` of a process, for Prometheus and for whoever restarts it.

mod patience;

use crate::families;
use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use patience::Patience;
use prometheus_client::registry::Registry;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::sync::oneshot;

/// Says whether the process is ready to serve, and what is missing where it is not.
pub type Readiness = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// The running server, on a thread of its own: a slow scrape costs no request.
pub struct AdminHttp {
    addr: SocketAddr,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl AdminHttp {
    /// Listens and serves.
    pub fn start(listen: SocketAddr, registry: Registry, readiness: Readiness) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(listen)
            .map_err(|error| io::Error::new(error.kind(), format!("the admin address {listen}: {error}")))?;
        listener.set_nonblocking(true)?;
        let addr = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (end, ended) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("lars-admin".into())
            .spawn(move || {
                runtime.block_on(async {
                    if let Err(error) = serve(listener, registry, readiness, ended).await {
                        tracing::error!("the admin address {addr} is served no longer: {error}");
                    }
                });
            })?;
        Ok(Self {
            addr,
            end: Some(end),
            thread: Some(thread),
        })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Drop for AdminHttp {
    fn drop(&mut self) {
        // Whoever is still being answered is cut off: nothing of a scrape is worth waiting for.
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn serve(
    listener: std::net::TcpListener,
    registry: Registry,
    readiness: Readiness,
    ended: oneshot::Receiver<()>,
) -> io::Result<()> {
    let registry = Arc::new(registry);
    let router = Router::new()
        .route("/metrics", get(move || std::future::ready(metrics(&registry))))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(move || std::future::ready(ready(&readiness))));
    let listener = tokio::net::TcpListener::from_std(listener)?;
    tokio::select! {
        served = axum::serve(Patience::new(listener), router) => served,
        _ = ended => Ok(()),
    }
}

fn metrics(registry: &Registry) -> impl IntoResponse + use<> {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, registry) {
        Ok(()) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            (
                StatusCode::OK,
                [(header::CONTENT_TYPE, kind)],
                families::joined(&text),
            )
        }
        Err(error) => {
            let kind = "text/plain; charset=utf-8";
            (
                StatusCode::INTERNAL_SERVER_ERROR,
                [(header::CONTENT_TYPE, kind)],
                format!("{error}\n"),
            )
        }
    }
}

fn ready(readiness: &Readiness) -> (StatusCode, String) {
    match readiness() {
        Ok(()) => (StatusCode::OK, "ready\n".into()),
        Err(missing) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {missing}\n")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::sync::atomic::{AtomicBool, Ordering};

    fn ask(addr: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(addr).expect("connected");
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: lars\r\nConnection: close\r\n\r\n"
        )
        .expect("asked");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answered");
        answer
    }

    #[test]
    fn readiness_is_told_apart_from_health() {
        let is_ready = Arc::new(AtomicBool::new(false));
        let seen = is_ready.clone();
        let readiness: Readiness = Arc::new(move || {
            if seen.load(Ordering::Relaxed) {
                Ok(())
            } else {
                Err("dns has no routes".into())
            }
        });
        let local = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = AdminHttp::start(local, Registry::default(), readiness).expect("started");
        assert!(ask(server.addr(), "/healthz").starts_with("HTTP/1.1 200"));
        let answer = ask(server.addr(), "/readyz");
        assert!(
            answer.starts_with("HTTP/1.1 503") && answer.contains("dns has no routes"),
            "{answer}"
        );
        is_ready.store(true, Ordering::Relaxed);
        assert!(ask(server.addr(), "/readyz").starts_with("HTTP/1.1 200"));
        assert!(ask(server.addr(), "/metrics").contains("# EOF"));
    }
}
