//! dns over real sockets on loopback, with the embedded store: what an agent and an operator see.

mod editing;
mod foreign;
mod held;
mod hostile;
mod mysql;
mod names;
mod old_agents;
mod peer;
mod running;
mod store_version;
mod subscribing;
