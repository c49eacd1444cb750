//! `cargo bench -p lars-benches --bench mesh -- [--quick] [--only PREFIX]`

fn main() -> std::process::ExitCode {
    lars_benches::run(std::env::args().skip(1))
}
