//! A whole report over loopback TCP, as agents see it: what is acknowledged is stored, and stored once.

mod agents;
mod changes;
mod hostile;
mod mysql;
mod old_agents;
mod peer;
mod place;
mod storage;
