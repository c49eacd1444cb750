//! The mind as its users see it, in one binary: the rule, modules and nodes, the book, the outbox, the spool.

mod adaptive_bench;
mod adaptive_board;
mod adaptive_model;
mod adaptive_rule;
mod book;
mod book_disk;
mod classic_model;
mod classic_rule;
mod outbox;
mod policy_file;
mod routes;
mod seeds;
mod shard_counts;
mod shard_modules;
mod shard_nodes;
mod shard_reload;
mod shard_waiting;
mod shard_watch;
mod shard_zone;
mod spool;
mod spool_world;
mod trust;
