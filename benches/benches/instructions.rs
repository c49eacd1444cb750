//! `cargo bench -p lars-benches --bench instructions -- [PART OF A NAME]`

fn main() -> std::process::ExitCode {
    lars_benches::instructions::run(std::env::args().skip(1))
}
