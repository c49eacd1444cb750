//! The plainest server there is: one connection at a time, one read, one write.

use super::EchoTask;
use crate::error::{BenchError, Doing};
use crate::exchange::{PICK_BYTES, answer};
use crate::load::place::Place;
use crate::role;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};

/// Echoes until the process is ended.
///
/// # Errors
/// It cannot listen or accept.
pub fn run(task: &EchoTask) -> Result<(), BenchError> {
    let Place::Unix(path) = &task.place else {
        return Err(BenchError::Usage(
            "the blocking echo listens on a Unix socket".to_owned(),
        ));
    };
    let listener = UnixListener::bind(path).doing("listen")?;
    let answer = answer(task.ask)?;
    role::say(&task.place)?;
    loop {
        let (stream, _) = listener.accept().doing("accept")?;
        serve(stream, &answer);
    }
}

/// Serves one connection to its end, whatever that is.
fn serve(mut stream: UnixStream, answer: &[u8]) {
    let mut question = [0; PICK_BYTES];
    while stream.read_exact(&mut question).is_ok() && stream.write_all(answer).is_ok() {}
}
