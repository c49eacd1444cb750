//! The client against a fake agent that speaks the bytes of lars-wire over a real Unix socket, well or badly.
mod admin;
#[cfg(feature = "tokio")]
mod asynchronous;
mod attempts;
mod board;
mod calls;
mod fake_agent;
mod fake_board;
mod gone;
mod misbehaviour;
mod picks;
mod restarts;
