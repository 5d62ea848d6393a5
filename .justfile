# Recipes for developers. CI runs the same commands (.ci/run).

set shell := ["bash", "-euo", "pipefail", "-c"]

# List all recipes.
default:
    @just --list

# Run all checks that must pass before a commit.
ci: fmt clippy test doc deny

# Check the formatting.
fmt:
    cargo fmt --all --check

# Run clippy without warnings, also on tests and benches.
clippy:
    cargo clippy --locked --all-targets -- -D warnings

# Run unit, property and integration tests.
test:
    cargo test --locked

# Build the documentation without broken links.
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items

# Check licences, duplicate versions, banned crates and sources.
deny:
    cargo deny --locked check licenses bans sources

# Check for known vulnerabilities (fetches the advisory database).
advisories:
    cargo deny --locked check advisories

# Verify the shipped systemd unit and its security exposure.
unit:
    .ci/unit

# Test requests signed by the senders' own libraries (needs node and python3).
senders binary="target/debug/hookyard":
    cargo build --locked
    tests/real_senders/run {{ binary }}

# Test TLS and HTTP/2 with OpenSSL, curl and nghttp2 (needs openssl, curl and nghttp2-client).
edge binary="target/debug/hookyard":
    cargo build --locked
    .ci/edge {{ binary }}

# Run micro-benchmarks: verify, decode, match, start commands.
bench:
    cargo bench --locked

# Measure the daemon under load, alone and beside a bare server (needs wrk).
load *phases:
    python3 benches/load {{ phases }}
