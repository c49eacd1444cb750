//! `cargo bench -p lars-benches --bench scenarios -- [--real] [--quick] [--only PREFIX]`

fn main() -> std::process::ExitCode {
    lars_benches::scenarios::run(std::env::args().skip(1))
}
