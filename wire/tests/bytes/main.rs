//! The bytes of the protocol: frozen, survived, bounded, and drawn as docs/PROTOCOL.md says.
mod document;
mod golden;
mod hostile;
mod largest;
mod plain;
mod round_trip;
mod samples;
mod strategies;
mod table;
