//! The first words on a connection to a service, and single questions behind them.

use crate::error::{BenchError, Doing};
use lars_wire::bounds::{FRAME_BYTES_MAX, HEADER_BYTES};
use lars_wire::caller::{Hello, Register, Registered, Status, Welcome};
use lars_wire::{Header, Message, ModuleId, PREFACE, VERSION, codec};
use std::io::{Read, Write};
use std::time::Duration;

/// How long a service may take for one answer before the run is given up.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Preface and hello.
///
/// # Errors
/// The hello does not fit a frame.
pub fn hello() -> Result<Vec<u8>, BenchError> {
    let hello = Hello {
        version: u16::from(VERSION),
        name: "bench".to_owned(),
    };
    let mut bytes = PREFACE.to_vec();
    codec::append(&hello, 1, &mut bytes).map_err(|error| BenchError::Answer(error.to_string()))?;
    Ok(bytes)
}

/// Sends preface and hello and takes the welcome.
///
/// # Errors
/// The connection failed, or the service refuses.
pub fn greet(stream: &mut (impl Read + Write)) -> Result<(), BenchError> {
    stream.write_all(&hello()?).doing("greet")?;
    receive::<Welcome>(stream).map(drop)
}

/// Waits until the agent has the route of `module`.
///
/// # Errors
/// It does not get one.
pub fn register(stream: &mut (impl Read + Write), module: ModuleId) -> Result<(), BenchError> {
    let deadline_ms = ANSWER_WITHIN.as_millis() as u32;
    let registered: Registered = ask(stream, &Register { module, deadline_ms })?;
    if registered.status == Status::Ok {
        Ok(())
    } else {
        Err(BenchError::Answer(format!(
            "module {module} is {:?}",
            registered.status
        )))
    }
}

/// Asks one question and takes its answer.
///
/// # Errors
/// The connection failed, or something else came back.
pub fn ask<Q: Message, A: Message>(stream: &mut (impl Read + Write), question: &Q) -> Result<A, BenchError> {
    send(stream, question)?;
    receive(stream)
}

/// Sends one message.
///
/// # Errors
/// The connection failed.
pub fn send<Q: Message>(stream: &mut impl Write, message: &Q) -> Result<(), BenchError> {
    let mut bytes = Vec::new();
    codec::append(message, 1, &mut bytes).map_err(|error| BenchError::Answer(error.to_string()))?;
    stream.write_all(&bytes).doing("send a message")
}

/// Takes one message.
///
/// # Errors
/// The connection failed, or another message came.
pub fn receive<A: Message>(stream: &mut impl Read) -> Result<A, BenchError> {
    let wrong = |text: String| BenchError::Answer(format!("{text} instead of a {:?}", A::KIND));
    let mut head = [0; HEADER_BYTES];
    stream.read_exact(&mut head).doing("receive a message")?;
    let header = Header::read(&head).map_err(|error| wrong(error.to_string()))?;
    let mut body = vec![0; (header.body_bytes as usize).min(FRAME_BYTES_MAX)];
    stream.read_exact(&mut body).doing("receive a message")?;
    if header.kind != A::KIND {
        return Err(wrong(format!(
            "a {:?} ({})",
            header.kind,
            String::from_utf8_lossy(&body)
        )));
    }
    codec::decode(&body).map_err(|error| wrong(error.to_string()))
}
