//! The client against a fake agent that speaks the bytes of lars-wire over a real Unix socket, well or badly.
mod admin;
mod calls;
mod fake_agent;
mod misbehaviour;
mod picks;
mod restarts;
