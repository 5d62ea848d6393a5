# The desk routine. CI runs the same lines (.ci/run).

set shell := ["bash", "-euo", "pipefail", "-c"]

# What there is.
default:
    @just --list

# Everything that must pass before a commit.
ci: fmt clippy test doc deny

# Is it formatted?
fmt:
    cargo fmt --all --check

# No warnings, in tests and benches neither.
clippy:
    cargo clippy --locked --all-targets -- -D warnings

# Unit, property and integration tests.
test:
    cargo test --locked

# The documentation builds, without a broken link.
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items

# Licences, duplicate versions, banned crates, sources.
deny:
    cargo deny --locked check licenses bans sources

# Known vulnerabilities; fetches the advisory database.
advisories:
    cargo deny --locked check advisories

# Is the shipped unit sound, and how exposed is the service?
unit:
    .ci/unit

# Requests signed by the senders' own libraries (needs node and python3).
senders binary="target/debug/hookyard":
    cargo build --locked
    tests/real_senders/run {{ binary }}

# TLS and HTTP/2 as OpenSSL, curl and nghttp2 see them (needs openssl, curl and nghttp2-client).
edge binary="target/debug/hookyard":
    cargo build --locked
    .ci/edge {{ binary }}

# Micro-benchmarks: verify, decode, match.
bench:
    cargo bench --locked

# The daemon beside a bare server, and by itself, under load (needs wrk).
load *phases:
    python3 benches/load {{ phases }}
