# The steps of building and testing, each written once. CI calls the same recipes (.ci/run).

set shell := ["bash", "-euo", "pipefail", "-c"]

target := absolute_path(env("CARGO_TARGET_DIR", "target"))
python := target / "system/venv/bin/python"
ruff := target / "system/venv/bin/ruff"

export PYTHONDONTWRITEBYTECODE := "1"

# List all recipes.
default:
    @just --list

# Run the checks that must pass before a commit.
ci: fmt clippy test doc deny scripts

# Check the formatting.
fmt:
    cargo fmt --all --check

# Run clippy without warnings, also on tests and benches.
clippy:
    cargo clippy --locked --all-targets -- -D warnings

# Build the documentation without broken links.
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items

# Run unit, property and integration tests.
test:
    cargo test --locked

# Check licences, duplicate versions, banned crates and sources.
deny:
    cargo deny --locked check licenses bans sources

# Check for known vulnerabilities (fetches the advisory database).
advisories:
    cargo deny --locked check advisories

# Check the scripts: shell, Python, and JavaScript if there is node.
scripts: tools
    bash -n .ci/run systemd/debian/build tests/system/install
    for script in systemd/debian/p*; do sh -n "$script"; done
    perl -c tests/system/cluster/perform.pl
    {{ ruff }} check --no-cache --config tests/system/ruff.toml tests/system
    {{ ruff }} format --no-cache --check --config tests/system/ruff.toml tests/system
    {{ ruff }} check --no-cache --isolated --select E9,F benches
    if command -v node >/dev/null; then for script in tests/system/{real_senders,editors}/*.mjs; do node --check "$script"; done; fi

# Run system tests: a file, `-k NAME`, or everything that this machine can run.
[positional-arguments]
system *arguments: build
    {{ just_executable() }} pytest "$@"

# Test the shipped systemd unit and its security exposure (needs systemd-analyze).
unit: (pytest "test_unit_file.py")

# Test requests signed by the senders' own libraries (needs node and npm).
senders: build libraries (pytest "test_senders.py")

# Test TLS and HTTP/2 with OpenSSL, curl and nghttp2 (needs openssl, curl and nghttp2-client).
edge: build (pytest "test_edge_tls.py" "test_edge_http2.py")

# Test the manual's configurations of other programs (needs nginx, caddy, promtool, curl and openssl).
manual: build (pytest "test_proxies.py" "test_configurations.py")

# Test certificates from an ACME authority (needs openssl and pebble).
acme: build (pytest "test_acme.py")

# Test that no event is answered before its sync (needs strace and root).
sync: build (pytest "test_sync_order.py")

# Test imported rules side by side with adnanh/webhook (needs webhook).
import: build (pytest "test_import.py" "test_differences.py")

# Test the JSON Schemas with ajv and yaml-language-server (needs node and npm).
editors: build schema-readers (pytest "test_editors.py")

# Test the security of the operator's page with curl (needs curl and openssl; root, to be other users).
page: build (pytest "page")

# Test the operator's page in a real browser (needs chromium, node and npm).
browser: build browser-driver (pytest "browser")

# Test the Debian package in a container (needs root or sudo, cargo-deb, debootstrap, systemd-nspawn).
[positional-arguments]
package *arguments: tools
    #!/usr/bin/env bash
    set -euo pipefail
    # Two revisions, for the upgrade from one to the other.
    packages=()
    for revision in 1 2; do
        packages+=("$(systemd/debian/build dev --fast --compress-system --deb-revision $revision --output {{ target }}/ci/)")
    done
    sudo=
    [ "$(id -u)" = 0 ] || sudo=sudo
    cd tests/system
    $sudo env CARGO_TARGET_DIR={{ target }} PYTHONDONTWRITEBYTECODE=1 HOOKYARD_PACKAGES="${packages[*]}" \
        {{ python }} -m pytest -m container --ignore test_senders.py "$@"

# Test several daemons on one PostgreSQL (needs postgresql and perl).
[positional-arguments]
cluster *arguments: build tools
    cargo test --locked --lib --test it --no-run
    cd tests/system && {{ python }} -m cluster.with_server cargo test --locked --lib -- --ignored postgres:: --skip speed::
    cd tests/system && {{ python }} -m cluster.with_server cargo test --locked --test it -- --ignored postgres::
    cd tests/system && {{ python }} -m pytest cluster "$@"

# Run micro-benchmarks: verify, decode, match, start commands.
bench:
    cargo bench --locked

# Measure the daemon under load, alone and beside a bare server (needs wrk).
load *phases:
    python3 benches/load {{ phases }}

# Measure the operator's page under load: `watched`, `many`, `million` (needs chromium).
page-load *arguments: tools browser-driver
    cargo build --locked --release --features jemalloc --bin hookyard --example bare
    cd tests/system && {{ python }} -m browser.load {{ arguments }}

# Make the pictures of the guide to the operator's page again (needs chromium).
pictures: build tools browser-driver
    cd tests/system && {{ python }} -m browser.images

[private]
build:
    cargo build --locked --quiet

[positional-arguments]
[private]
pytest *arguments: tools
    cd tests/system && {{ python }} -m pytest "$@"

[private]
tools:
    tests/system/install

[private]
libraries:
    tests/system/install senders

[private]
schema-readers:
    tests/system/install editors

[private]
browser-driver:
    tests/system/install browser
