//! One core of dns on a real core of the pool, behind a Unix socket (whose buffers are small and the same everywhere),
//! with the catalog and the mail in the test's hands.

mod allocations;
mod storms;
mod streaks;

use super::*;
use crate::publisher::Publisher;
use lars_pool::mail::Mailer;
use lars_pool::{Bind, Cores, CoresConfig, IoChoice, Plan};
use lars_wire::caller::{Hello, Welcome};
use lars_wire::{Header, Kind, ModuleId, PREFACE};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use tempfile::TempDir;

const MODULE: ModuleId = ModuleId::new(1, 1);

/// A core that serves; stopped when it is dropped.
struct Running {
    mailer: Mailer<Mail>,
    counts: Arc<Counts>,
    path: PathBuf,
    _cores: Cores,
    _folder: TempDir,
    // What a core tells the control thread; nobody listens.
    _requests: mpsc::Receiver<Request>,
    _words: mpsc::UnboundedReceiver<Word>,
}

/// Starts a core on what a publisher wrote, in the form that `wrap` gives it; none where there is no such way to move
/// bytes here.
fn start<H: Handler<Mail = Mail> + Send + 'static>(
    io: IoChoice,
    publisher: &Publisher,
    wrap: impl FnOnce(DnsCore) -> H,
) -> Option<Running> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("socket");
    let planned = Plan::new(CoresConfig {
        name: "tried",
        io,
        cores: 1,
        pin: false,
        connections_max: 1_000,
        unsent_bytes_max: 256 * 1024 * 1024,
    });
    let mut plan = match planned {
        Ok(plan) => plan,
        Err(error) => {
            eprintln!("not tested over {io:?}: {error}");
            return None;
        }
    };
    plan.listen(&Bind::Unix(path.clone()), 0)
        .expect("the path is free");
    let mailer = plan.mailers().pop().expect("there is one core");
    let catalog = Arc::clone(publisher.catalog());
    catalog.set_loaded();
    let counts = Arc::new(Counts::new(plan.stats(), Arc::clone(&catalog)));
    let (requests, requests_taken) = mpsc::channel(1);
    let (words, words_taken) = mpsc::unbounded_channel();
    let core = DnsCore::new(CoreParts {
        core: CoreIndex(0),
        incarnation: [0; 16],
        catalog,
        subscriptions: Subscriptions::new(10, 10_000),
        counts: Arc::clone(&counts),
        requests,
        words,
    });
    let cores = plan.start(vec![wrap(core)]).expect("the core starts");
    Some(Running {
        mailer,
        counts,
        path,
        _cores: cores,
        _folder: folder,
        _requests: requests_taken,
        _words: words_taken,
    })
}

impl Running {
    /// A connection that said hello.
    fn connect(&self) -> UnixStream {
        let mut stream = UnixStream::connect(&self.path).expect("it listens");
        let hello = Hello {
            version: 1,
            name: "test".to_owned(),
        };
        let greeting = [PREFACE.as_slice(), &frame(&hello)].concat();
        stream.write_all(&greeting).expect("it reads");
        receive::<Welcome>(&mut stream);
        stream
    }

    /// Sends mail as the control thread does.
    fn send(&mut self, mail: Mail) {
        let mut mail = Some(mail);
        while let Some(refused) = mail.take().and_then(|mail| self.mailer.send(mail).err()) {
            mail = Some(refused);
            std::thread::yield_now();
        }
    }
}

fn frame(message: &impl Message) -> Vec<u8> {
    let mut bytes = Vec::new();
    codec::append(message, 1, &mut bytes).expect("it fits");
    bytes
}

fn receive<M: Message>(stream: &mut UnixStream) -> M {
    let (header, body) = receive_any(stream);
    assert_eq!(header.kind, M::KIND);
    codec::decode(&body).expect("the answer that is waited for")
}

fn receive_any(stream: &mut UnixStream) -> (Header, Vec<u8>) {
    let mut head = [0; HEADER_BYTES];
    stream.read_exact(&mut head).expect("an answer");
    let header = Header::read(&head).expect("a header");
    let mut body = vec![0; header.body_bytes as usize];
    stream.read_exact(&mut body).expect("its body");
    (header, body)
}
