//! What scripts and people may rely on, tried on the real binary: addresses, exit codes, JSON, signals, files.

mod accept;
mod configuration;
mod guide;
mod lars;
mod mysql;
mod names;
mod old_programs;
mod record;
mod reload;
mod secrets;
mod services;
mod simulate;
mod tools;
mod up;
