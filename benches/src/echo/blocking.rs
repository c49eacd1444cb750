//! The plainest server there is: one connection at a time, one read, one write.

use super::EchoTask;
use crate::error::{BenchError, Doing};
use crate::exchange::{PICK_BYTES, answer};
use crate::role;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};

/// Echoes until the process is ended.
///
/// # Errors
/// It cannot listen or accept.
pub fn run(task: &EchoTask) -> Result<(), BenchError> {
    let listener = UnixListener::bind(&task.socket).doing("listen")?;
    let answer = answer()?;
    role::say(&"ready")?;
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
