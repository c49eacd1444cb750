//! The control thread: one body of tests over tokio-uring and plain tokio.

#[path = "support/forbid_ring.rs"]
mod forbid_ring;

use bytes::{Bytes, BytesMut};
use lars_pool::IoKind;
use lars_pool::control::{self, Link, LinkReader, file};
use std::future::Future;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::time::timeout;

const DEADLINE: Duration = Duration::from_secs(10);

/// Runs the future to its end, first on tokio-uring, then on plain tokio; a panic inside fails the test.
fn on_both<F, Fut>(start: F)
where
    F: FnOnce() -> Fut + Clone + Send + 'static,
    Fut: Future<Output = ()>,
{
    for io in [IoKind::Uring, IoKind::Epoll] {
        let start = start.clone();
        // Nothing may hang: what does not end within the deadline is a failure.
        let body = move || async move { timeout(DEADLINE, start()).await.expect("it ends in time") };
        let thread = control::spawn("control", io, body).expect("a runtime can be made");
        thread
            .join()
            .unwrap_or_else(|_| panic!("the body fails on {io:?}"));
    }
}

/// A peer on loopback that does `talk` with each of two connections, one for each runtime.
fn peer(talk: impl Fn(TcpStream) + Send + 'static) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let addr = listener.local_addr().expect("it is bound");
    let thread = thread::spawn(move || {
        for _ in 0..2 {
            let (stream, _) = listener.accept().expect("a link connects");
            stream
                .set_read_timeout(Some(DEADLINE))
                .expect("a time-out can be set");
            talk(stream);
        }
    });
    (addr, thread)
}

async fn read_exactly(reader: &mut LinkReader, count: usize) -> BytesMut {
    let mut buffer = BytesMut::new();
    while buffer.len() < count {
        let (result, filled) = reader.read(buffer).await;
        buffer = filled;
        assert_ne!(
            result.expect("the peer talks"),
            0,
            "the end came after {} bytes",
            buffer.len()
        );
    }
    buffer
}

#[test]
fn link_gives_back_what_an_echo_was_told() {
    let (addr, echo) = peer(|mut stream| {
        let mut bytes = vec![0; 300_000];
        stream.read_exact(&mut bytes).expect("the link writes");
        stream.write_all(&bytes).expect("the link reads");
        assert_eq!(stream.read(&mut bytes).expect("the link ends"), 0);
    });
    on_both(move || async move {
        let (mut reader, writer) = Link::connect(addr, DEADLINE).await.expect("the echo listens");
        let told: Vec<u8> = (0..300_000_u32).map(|place| (place % 251) as u8).collect();
        writer
            .write_all(Bytes::from(told.clone()))
            .await
            .expect("the echo reads");
        assert_eq!(read_exactly(&mut reader, told.len()).await, told);
        writer.shutdown();
        let (result, rest) = reader.read(BytesMut::from(&b"kept"[..])).await;
        assert_eq!(
            (result.expect("the end is no error"), &rest[..]),
            (0, &b"kept"[..])
        );
    });
    echo.join().expect("the echo is content");
}

#[test]
fn read_appends_behind_what_the_buffer_holds() {
    let (addr, talker) = peer(|mut stream| {
        stream.write_all(b" world").expect("the link reads");
        let _ = stream.read(&mut [0]);
    });
    on_both(move || async move {
        let (mut reader, _writer) = Link::connect(addr, DEADLINE).await.expect("it listens");
        let (result, buffer) = reader.read(BytesMut::from(&b"hello"[..])).await;
        assert_eq!((result.expect("it talks"), &buffer[..]), (6, &b"hello world"[..]));
    });
    talker.join().expect("the talker is content");
}

#[test]
fn writes_of_many_tasks_never_mix() {
    // More than loopback's buffers take at once (up to 4 MiB to send and 6 MiB to receive), so that writes are cut.
    const BLOCK: usize = 12 << 20;
    let (addr, checker) = peer(|mut stream| {
        let mut block = vec![0; BLOCK];
        let mut first = Vec::new();
        for _ in 0..4 {
            stream.read_exact(&mut block).expect("the link writes");
            assert!(
                block.iter().all(|byte| *byte == block[0]),
                "two writes were mixed"
            );
            first.push(block[0]);
        }
        assert_eq!(first, [0, 1, 2, 3], "in the order in which they were asked for");
    });
    on_both(move || async move {
        let (_reader, writer) = Link::connect(addr, DEADLINE).await.expect("it listens");
        let tasks: Vec<_> = (0..4_u8)
            .map(|number| {
                let writer = writer.clone();
                tokio::task::spawn_local(
                    async move { writer.write_all(Bytes::from(vec![number; BLOCK])).await },
                )
            })
            .collect();
        for task in tasks {
            task.await.expect("a task ends").expect("the peer reads");
        }
    });
    checker.join().expect("the checker is content");
}

#[test]
fn shutdown_ends_a_read_under_way() {
    let (addr, silent) = peer(|mut stream| {
        assert_eq!(stream.read(&mut [0]).expect("the link ends"), 0);
    });
    on_both(move || async move {
        let (mut reader, writer) = Link::connect(addr, DEADLINE).await.expect("it listens");
        let reading = tokio::task::spawn_local(async move { reader.read(BytesMut::new()).await.0 });
        tokio::task::yield_now().await;
        writer.shutdown();
        assert_eq!(reading.await.expect("it ends").expect("the end is no error"), 0);
        let late = writer.write_all(Bytes::from_static(b"late")).await;
        assert_eq!(late.expect_err("it is over").kind(), ErrorKind::BrokenPipe);
    });
    silent.join().expect("the peer is content");
}

#[test]
fn end_and_reset_by_the_peer_are_told_apart() {
    let (addr, peer) = peer(|mut stream| {
        stream.write_all(b"bye").expect("the link reads");
        stream.shutdown(Shutdown::Write).expect("it can be shut down");
        // Closing with the link's byte unread sends a reset.
        while stream.peek(&mut [0]).expect("the link writes") == 0 {}
    });
    on_both(move || async move {
        let (mut reader, writer) = Link::connect(addr, DEADLINE).await.expect("it listens");
        assert_eq!(read_exactly(&mut reader, 3).await, &b"bye"[..]);
        assert_eq!(reader.read(BytesMut::new()).await.0.expect("an end"), 0);
        writer
            .write_all(Bytes::from_static(b"?"))
            .await
            .expect("the other direction is open");
        let failed = loop {
            // The reset is on its way; until it is here a write still succeeds.
            if let Err(error) = writer.write_all(Bytes::from_static(b"?")).await {
                break error;
            }
        };
        assert!(
            matches!(failed.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset),
            "{failed}"
        );
    });
    peer.join().expect("the peer is content");
}

#[test]
fn dropped_read_ends_the_link_instead_of_losing_bytes() {
    let (addr, silent) = peer(|mut stream| {
        assert_eq!(stream.read(&mut [0]).expect("the link ends"), 0);
    });
    on_both(move || async move {
        let (mut reader, writer) = Link::connect(addr, DEADLINE).await.expect("it listens");
        let dropped = timeout(Duration::from_millis(1), reader.read(BytesMut::new())).await;
        assert!(dropped.is_err(), "nobody talks");
        assert_eq!(reader.read(BytesMut::new()).await.0.expect("an end"), 0);
        let late = writer.write_all(Bytes::from_static(b"late")).await;
        assert_eq!(late.expect_err("it is over").kind(), ErrorKind::BrokenPipe);
    });
    silent.join().expect("the peer is content");
}

#[test]
fn dropped_write_ends_the_link_instead_of_sending_half_a_frame() {
    let (go, gone) = mpsc::channel::<()>();
    let (addr, reader) = peer(move |mut stream| {
        gone.recv_timeout(DEADLINE).expect("the write was dropped");
        let mut all = Vec::new();
        let read = stream.read_to_end(&mut all);
        assert!(
            read.is_err() || all.iter().all(|byte| *byte == 7),
            "nothing came behind the half frame"
        );
    });
    on_both(move || async move {
        let (_reader, writer) = Link::connect(addr, DEADLINE).await.expect("it listens");
        let large = writer.write_all(Bytes::from(vec![7; 64 << 20]));
        assert!(
            timeout(Duration::from_millis(20), large).await.is_err(),
            "nobody reads"
        );
        let late = writer.write_all(Bytes::from_static(b"late")).await;
        assert_eq!(late.expect_err("it is over").kind(), ErrorKind::BrokenPipe);
        go.send(()).expect("the peer waits");
    });
    reader.join().expect("the peer is content");
}

/// A listener whose queue is full, so that the kernel drops whoever knocks; and what fills it.
fn deaf_listener() -> (SocketAddr, (TcpListener, TcpStream)) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    // SAFETY: no memory is passed; the descriptor is open. Listening again shortens the queue to one connection.
    let result = unsafe { libc::listen(std::os::fd::AsRawFd::as_raw_fd(&listener), 0) };
    assert_eq!(result, 0, "a listening socket can listen again");
    let addr = listener.local_addr().expect("it is bound");
    let first = TcpStream::connect(addr).expect("one fits the queue");
    (addr, (listener, first))
}

#[test]
fn connect_fails_with_its_time_out_or_with_the_reason() {
    let (deaf, _full) = deaf_listener();
    let nobody = TcpListener::bind("127.0.0.1:0")
        .and_then(|free| free.local_addr())
        .expect("a free port");
    on_both(move || async move {
        let error = Link::connect(nobody, DEADLINE).await.expect_err("nobody listens");
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        let error = Link::connect(deaf, Duration::from_millis(50))
            .await
            .expect_err("nobody answers");
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(error.to_string().contains(&deaf.to_string()), "{error}");
    });
}

#[test]
fn file_is_written_whole_and_read_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("routes");
    let leftover = folder.path().join("routes.new");
    let inside = (path.clone(), leftover.clone());
    on_both(move || async move {
        let (path, leftover) = inside;
        let _ = std::fs::remove_file(&path);
        assert_eq!(file::read(&path, 10).await.expect("no file is no error"), None);
        // What a crash half-way leaves behind.
        std::fs::write(&leftover, b"half").expect("it can be written");
        for size in [0, 1, 65_536, 300_000] {
            let content: Vec<u8> = (0..size).map(|place: u32| (place % 253) as u8).collect();
            file::write_atomic(&path, Bytes::from(content.clone()))
                .await
                .expect("it can be written");
            assert!(!leftover.exists(), "the new file took its place");
            let read = file::read(&path, u64::from(size)).await.expect("it can be read");
            assert_eq!(read.as_deref(), Some(&content[..]));
        }
        for bytes_max in [0, 100, 299_999] {
            let error = file::read(&path, bytes_max).await.expect_err("it is longer");
            assert_eq!(error.kind(), ErrorKind::FileTooLarge);
        }
    });
}

#[test]
fn failed_write_leaves_the_old_content() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("routes");
    std::fs::write(&path, b"old").expect("it can be written");
    // A folder stands where the new file would be made.
    std::fs::create_dir(folder.path().join("routes.new")).expect("it can be made");
    on_both(move || async move {
        assert!(
            file::write_atomic(&path, Bytes::from_static(b"new"))
                .await
                .is_err()
        );
        assert_eq!(
            file::read(&path, 10).await.expect("it is there").as_deref(),
            Some(&b"old"[..])
        );
        let nowhere = path.join("under/a/file");
        assert!(
            file::write_atomic(&nowhere, Bytes::from_static(b"new"))
                .await
                .is_err()
        );
        assert!(
            file::write_atomic(&PathBuf::from("/"), Bytes::from_static(b"new"))
                .await
                .is_err()
        );
    });
}

#[test]
fn file_is_continued_at_a_place_renamed_listed_and_removed() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path().join("made/when/listed");
    on_both(move || async move {
        let [path, gone] = ["journal", "gone"].map(|name| folder.join(name));
        assert_eq!(file::list(&folder).await.expect("it is made"), []);
        let begun = file::write_atomic(&path, Bytes::from_static(b"begun-torn")).await;
        begun.expect("it can be written");
        for (offset, content) in [(5, "-goes"), (10, "-on")] {
            let written = file::write_at(&path, offset, Bytes::from(content)).await;
            written.expect("it can be continued");
        }
        let read = file::read(&path, 100).await.expect("it can be read");
        assert_eq!(read.as_deref(), Some(&b"begun-goes-on"[..]));
        file::rename(&path, "gone").await.expect("it can be renamed");
        let listed = file::list(&folder).await.expect("it can be listed");
        assert_eq!(listed, [("gone".to_owned(), 13)]);
        let lost = file::write_at(&path, 0, Bytes::from_static(b"x")).await;
        assert_eq!(lost.expect_err("it is not there").kind(), ErrorKind::NotFound);
        for _ in 0..2 {
            file::remove(&gone).await.expect("removed is removed");
        }
        assert_eq!(file::list(&folder).await.expect("it can be listed"), []);
    });
}

#[test]
fn timers_tasks_and_channels_from_other_threads_work() {
    on_both(|| async {
        let (told, mut asked) = tokio::sync::mpsc::channel(1);
        let other = thread::spawn(move || told.blocking_send(42));
        let local = tokio::task::spawn_local(async move { asked.recv().await });
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(local.await.expect("the task ends"), Some(42));
        other.join().expect("the thread ends").expect("it was heard");
    });
}

#[test]
fn tasks_left_over_end_with_the_thread() {
    let (addr, silent) = peer(|mut stream| {
        assert_eq!(stream.read(&mut [0]).expect("the link ends"), 0);
    });
    on_both(move || async move {
        let (mut reader, _writer) = Link::connect(addr, DEADLINE).await.expect("it listens");
        tokio::task::spawn_local(async move { reader.read(BytesMut::new()).await.0 });
        tokio::task::yield_now().await;
    });
    silent.join().expect("the peer sees the end");
}

/// Starts a control thread where `forbidden` fails with EPERM and says how its link moves bytes.
fn body_where(forbidden: Option<libc::c_long>) -> String {
    let (addr, listener) = peer(drop);
    let asked = thread::spawn(move || {
        if let Some(number) = forbidden {
            forbid_ring::forbid(number).expect("a filter can be installed");
        }
        let (tell, told) = mpsc::channel();
        let body = move || async move {
            let (_reader, writer) = Link::connect(addr, DEADLINE).await.expect("it listens");
            tell.send(format!("{writer:?}")).expect("the test waits");
        };
        let thread = control::spawn("control", IoKind::Uring, body).expect("there is always a runtime");
        thread.join().expect("it ends");
        told.recv().expect("it said so")
    });
    let body = asked.join().expect("it ends");
    drop(TcpStream::connect(addr));
    listener.join().expect("it ends");
    body
}

#[test]
fn control_thread_runs_without_io_uring_where_that_is_forbidden() {
    for forbidden in [libc::SYS_io_uring_setup, libc::SYS_io_uring_enter] {
        let body = body_where(Some(forbidden));
        assert!(body.contains("Plain("), "{body}");
    }
}

#[test]
fn control_thread_uses_io_uring_where_it_works() {
    let works = io_uring::IoUring::new(8).is_ok();
    assert_eq!(body_where(None).contains("Uring("), works);
}
