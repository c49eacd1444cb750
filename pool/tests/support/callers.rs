//! Callers of a service that echoes.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Several callers at a time, so that both cores serve some, each with `BYTES` bytes a word.
pub(crate) fn echoes<const BYTES: usize>(path: &Path) {
    let mut callers: Vec<_> = (0..8)
        .map(|_| UnixStream::connect(path).expect("it listens"))
        .collect();
    for round in 0..10 {
        for caller in &mut callers {
            let patience = Some(Duration::from_secs(10));
            caller.set_read_timeout(patience).expect("a time-out");
            caller.write_all(&[round; BYTES]).expect("it reads");
        }
        for caller in &mut callers {
            let mut answer = [0; BYTES];
            caller.read_exact(&mut answer).expect("it answers");
            assert_eq!(answer, [round; BYTES]);
        }
    }
}
