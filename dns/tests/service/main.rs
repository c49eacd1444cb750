//! dns over real sockets on loopback, with the embedded store: what an agent and an operator see.

mod editing;
mod foreign;
mod hostile;
mod mysql;
mod old_agents;
mod peer;
mod running;
mod subscribing;
