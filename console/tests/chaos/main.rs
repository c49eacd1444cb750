//! Services die, databases stop, links move: what callers see and what is counted stays right. Real processes on a
//! MariaDB of one's own. Short by default; `LARS_CHAOS=full`, which `./test.sh --all` sets, takes minutes.

mod board;
mod caller;
mod counts;
mod cutter;
mod load;
mod mesh;
mod routes;
