//! The whole agent over real sockets, between a fake dns and a fake report that speak lars-wire and nothing else.

mod bad_input;
mod caller;
mod changes;
mod doubt;
mod fake_dns;
mod fake_report;
mod hostile;
mod house;
mod judging;
mod many;
mod old_callers;
mod picks;
mod recording;
mod reload;
mod reports;
mod restart;
mod rings;
mod routes;
mod spool;
mod unreported;
