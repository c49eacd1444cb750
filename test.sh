#!/usr/bin/env bash
# Everything that must hold, in one command: installs what it needs and lacks, checks format and lints, runs all tests
# of the workspace, and stops what it started. `./test.sh --all` adds the longer checks (model checking, TLS, long chaos, the demo).
set -euo pipefail
cd "$(dirname "$0")"

all=false
for argument in "$@"; do
    case "$argument" in
        --all) all=true ;;
        *) echo "usage: ./test.sh [--all]" >&2; exit 2 ;;
    esac
done

say() { printf '\n== %s\n' "$*"; }

install() {
    local missing=()
    for pair in "$@"; do
        command -v "${pair%%:*}" >/dev/null 2>&1 || missing+=("${pair##*:}")
    done
    [ "${#missing[@]}" -eq 0 ] && return
    say "installing ${missing[*]}"
    local as_root=()
    [ "$(id -u)" -eq 0 ] || as_root=(sudo)
    "${as_root[@]}" apt-get update -qq
    DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}"
}

command -v cargo >/dev/null 2>&1 || { echo "cargo is missing: install Rust 1.95 or newer (https://rustup.rs)" >&2; exit 2; }
# The embedded store is C, compiled here.
install cc:gcc
# Programs of the C++ Lars are played by one in Python.
install python3:python3
# A private MariaDB stands behind the tests, on a temporary folder and a Unix socket; LARS_TEST_MYSQL names another.
if [ -z "${LARS_TEST_MYSQL:-}" ]; then
    PATH="$PATH:/usr/sbin:/sbin"
    install mariadbd:mariadb-server mariadb-install-db:mariadb-server
fi

say "format"
cargo fmt --all --check
say "lints"
cargo clippy --locked --workspace --all-targets -- -D warnings
say "tests"
cargo test --locked --workspace
cargo test --locked -p lars-client --features tokio

if $all; then
    # Not in the everyday run: it builds the driver and all that stands on it a second time.
    install openssl:openssl
    say "TLS to MySQL, which is a feature"
    cargo clippy --locked -p lars-store -p lars-console --features lars-console/tls --all-targets -- -D warnings
    cargo test --locked -p lars-store --features tls --lib --test tls
    say "the board's and the ring's protocol under every interleaving (loom)"
    RUSTFLAGS="--cfg loom" cargo test --locked -p lars-board --test loom --test loom_ring --test loom_bias --release --target-dir target/loom
    say "the board and its rings under ThreadSanitizer, which first has to find a race that is there"
    under_tsan() {
        local flags=$1
        shift
        # Unstable flags of a stable compiler. The standard library comes without instrumentation: see tsan.supp.
        RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer $flags" \
            TSAN_OPTIONS="suppressions=$PWD/board/tests/tsan.supp" \
            cargo test --locked -p lars-board --target "$(rustc -vV | sed -n 's/^host: //p')" --target-dir target/tsan "$@"
    }
    planted=$(under_tsan "--cfg planted_race" --test planted_race 2>&1 || true)
    if ! grep -q "WARNING: ThreadSanitizer: data race" <<<"$planted"; then
        echo "$planted" >&2
        echo "ThreadSanitizer does not find a planted race, so it proves nothing" >&2
        exit 1
    fi
    under_tsan "" --test ring --test race -- --nocapture --test-threads=1
    say "a hostile caller for ten seconds"
    LARS_HOSTILE_SECONDS=10 cargo test --locked -p lars-board --test ring
    LARS_HOSTILE_SECONDS=10 cargo test --locked -p lars-agent --test agent hostile
    say "services die, databases stop, links move: the long form"
    LARS_CHAOS=full cargo test --locked --release -p lars-console --test chaos -- --nocapture
    say "a million random datagrams at the front for callers of the C++ Lars"
    LARS_GARBAGE=1000000 cargo test --locked -p lars-agent --test agent garbage
    LARS_GARBAGE=1000000 cargo test --locked -p lars-console --test contract old_caller_finds
    say "the demo's story"
    data=$(mktemp -d)
    trap 'rm -rf "$data"' EXIT
    cargo run --locked --release --quiet -- up --demo --seconds 15 --port 0 --data "$data/lars"
fi
say "all passed"
