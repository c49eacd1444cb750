//! What scripts and people may rely on, tried on the real binary: addresses, exit codes, JSON, signals, files.

mod configuration;
mod lars;
mod mysql;
mod secrets;
mod services;
mod tools;
mod up;
