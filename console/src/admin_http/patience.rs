//! Connections to the admin address, each with a bounded time and all of them bounded in number: who asks a byte at a
//! time, never asks, or never reads the answer, takes nobody else's place for long.

use axum::serve::Listener;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};

/// How long a first question may take until it is whole: scrapers ask at once.
const QUESTION_MAX: Duration = Duration::from_secs(10);
/// How long from an answer until the next question is whole: longer than scrapers let pass between two.
const NEXT_MAX: Duration = Duration::from_secs(90);
/// Connections at a time; more wait to be accepted.
const CONNECTIONS_MAX: usize = 64;

/// Accepts as many connections as there are places.
#[derive(Debug)]
pub(super) struct Patience {
    listener: TcpListener,
    places: Arc<Semaphore>,
    question_max: Duration,
}

/// A connection whose time ends.
#[derive(Debug)]
pub(super) struct Limited {
    stream: TcpStream,
    end: Pin<Box<Sleep>>,
    _place: Option<OwnedSemaphorePermit>,
}

impl Patience {
    pub(super) fn new(listener: TcpListener) -> Self {
        Self {
            listener,
            places: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            question_max: QUESTION_MAX,
        }
    }
}

impl Listener for Patience {
    type Io = Limited;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Limited, SocketAddr) {
        // It fails only where the semaphore is closed, which nobody does.
        let place = Arc::clone(&self.places).acquire_owned().await.ok();
        let (stream, addr) = Listener::accept(&mut self.listener).await;
        let limited = Limited {
            stream,
            end: Box::pin(sleep(self.question_max)),
            _place: place,
        };
        (limited, addr)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Limited {
    /// What came of it, unless it has to wait and there is no time left to.
    fn in_time<T>(&mut self, context: &mut Context<'_>, done: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if done.is_pending() && self.end.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        done
    }
}

impl AsyncRead for Limited {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.stream).poll_read(context, into);
        self.in_time(context, done)
    }
}

impl AsyncWrite for Limited {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.stream).poll_write(context, bytes);
        if matches!(done, Poll::Ready(Ok(_))) {
            self.end.as_mut().reset(Instant::now() + NEXT_MAX);
        }
        self.in_time(context, done)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// A server with little patience, for as long as the future runs.
    async fn served<F: Future>(question_max: Duration, ask: impl FnOnce(SocketAddr) -> F) -> F::Output {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let addr = listener.local_addr().expect("it is bound");
        let mut patience = Patience::new(listener);
        patience.question_max = question_max;
        let router = Router::new().route("/", get(|| async { "answer" }));
        tokio::select! {
            served = async { axum::serve(patience, router).await } => panic!("it ended: {served:?}"),
            output = ask(addr) => output,
        }
    }

    fn run<F: Future>(future: F) -> F::Output {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let limit = Duration::from_secs(15);
            tokio::time::timeout(limit, future)
                .await
                .expect("within 15 seconds")
        })
    }

    #[test]
    fn question_that_comes_byte_by_byte_is_closed_and_a_whole_one_is_answered() {
        run(served(Duration::from_millis(300), |addr| async move {
            let mut slow = TcpStream::connect(addr).await.expect("it listens");
            let started = Instant::now();
            // Until the server has closed it: then a write fails, or soon the read ends.
            let closed = async {
                loop {
                    let mut byte = [0];
                    tokio::select! {
                        read = slow.read(&mut byte) => break read.is_ok_and(|bytes| bytes == 0) || started.elapsed() > Duration::from_millis(250),
                        () = sleep(Duration::from_millis(20)) => {}
                    }
                    if slow.write_all(b"G").await.is_err() {
                        break true;
                    }
                }
            };
            assert!(closed.await);
            assert!(
                started.elapsed() >= Duration::from_millis(250),
                "{:?}",
                started.elapsed()
            );

            let mut good = TcpStream::connect(addr).await.expect("it listens");
            for _ in 0..2 {
                good.write_all(b"GET / HTTP/1.1\r\nHost: lars\r\n\r\n")
                    .await
                    .expect("it reads");
                let mut answer = vec![0; 1024];
                let bytes = good.read(&mut answer).await.expect("it answers");
                assert!(String::from_utf8_lossy(&answer[..bytes]).ends_with("answer"));
                // Longer than a first question may take.
                sleep(Duration::from_millis(400)).await;
            }
        }));
    }

    #[test]
    fn connections_beyond_the_places_wait_until_one_is_free() {
        run(served(Duration::from_millis(500), |addr| async move {
            let mut silent = Vec::new();
            for _ in 0..CONNECTIONS_MAX {
                silent.push(TcpStream::connect(addr).await.expect("it listens"));
            }
            let mut good = TcpStream::connect(addr).await.expect("the system accepts");
            good.write_all(b"GET / HTTP/1.1\r\nHost: lars\r\n\r\n")
                .await
                .expect("the system takes it");
            let (mut answer, started) = (vec![0; 1024], Instant::now());
            let bytes = good.read(&mut answer).await.expect("it answers in the end");
            assert!(String::from_utf8_lossy(&answer[..bytes]).ends_with("answer"));
            assert!(started.elapsed() > Duration::from_millis(100), "nobody waited");
            drop(silent);
        }));
    }
}
