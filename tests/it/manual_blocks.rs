//! Blocks of the manual: each is tested somewhere, or stands in a list here.

use std::collections::BTreeMap;

use serde_yaml::Value;

use crate::manual::pages;
use crate::manual_commands::fences;
use crate::scenario::Scenario;

/// Kinds of blocks, and the test of each. A block is of the kind that its fence names.
const KINDS: &[(&str, &str)] = &[
    ("yaml", "the_rules_of_the_manual_load"),
    (
        "yaml test",
        "the_commands_of_the_manual_succeed_and_print_what_it_shows",
    ),
    ("yaml part", "the_parts_of_rules_in_the_manual_load"),
    ("yaml traefik", "the_routers_of_traefik_lead_to_the_daemon"),
    (
        "yaml alertmanager",
        "the_receiver_of_alertmanager_calls_the_endpoint_of_its_page",
    ),
    (
        "yaml actions",
        "the_command_line_accepts_every_command_of_the_manual",
    ),
    ("yaml prometheus", "tests/system/test_configurations.py"),
    (
        "console",
        "the_commands_of_the_manual_succeed_and_print_what_it_shows",
    ),
    ("sh", "the_commands_of_the_manual_succeed_and_print_what_it_shows"),
    ("sh system", "tests/system/test_manual.py"),
    ("sh not-run", "every_block_of_the_manual_is_tested_or_listed"),
    ("sql", "the_schema_of_the_manual_is_that_of_the_store"),
    ("cron", "the_command_line_accepts_every_command_of_the_manual"),
    ("nginx", "tests/system/test_proxies.py"),
    ("caddy", "tests/system/test_proxies.py"),
    ("ini", "tests/system/test_unit_file.py"),
    ("dockerfile", "every_block_of_the_manual_is_tested_or_listed"),
    // Requests of a sender, and hooks of adnanh/webhook, which are no files of hookyard.
    ("json", "every_block_of_the_manual_is_tested_or_listed"),
    // Outputs and excerpts. No commands: see the test.
    ("text", "every_block_of_the_manual_is_tested_or_listed"),
];

/// Blocks that no test runs, by the first line of each. They need a web site, a registry, a
/// daemon of Docker, or the build of which this test is a part.
const NOT_RUN: &[(&str, &str)] = &[
    (
        "docs/guides/pubsub-jwt.md",
        "curl -fsS https://www.googleapis.com/oauth2/v3/certs -o google.json.new && mv google.json.new google.json",
    ),
    (
        "docs/guides/pubsub-jwt.md",
        "gcloud pubsub subscriptions create hookyard --topic=orders \\",
    ),
    (
        "docs/guides/pubsub-jwt.md",
        "gcloud pubsub topics publish orders --message='{\"order\": 1}'",
    ),
    ("docs/guides/several-machines.md", "apt install postgresql"),
    (
        "docs/guides/several-machines.md",
        "install -d -m 0700 /etc/hookyard/credentials",
    ),
    (
        "docs/guides/several-machines.md",
        "sudo -u postgres pg_dump --format custom --file /var/backups/hookyard.dump hookyard",
    ),
    (
        "docs/guides/split-and-share-rules.md",
        "cd /etc/hookyard && sha256sum rules.yaml rules.d/*.yaml | sha256sum",
    ),
    (
        "docs/install/binary.md",
        "rustup target add x86_64-unknown-linux-musl",
    ),
    ("docs/install/container.md", "FROM debian:12-slim"),
    (
        "docs/install/container.md",
        "cargo build --release --features jemalloc",
    ),
    (
        "docs/install/from-source.md",
        "cargo build --release --features jemalloc",
    ),
    ("docs/install/from-source.md", "cargo test"),
];

/// Programs whose lines are commands, also in a `text` block.
const PROGRAMS: &[&str] = &[
    "$",
    "hookyard",
    "systemctl",
    "journalctl",
    "curl",
    "apt",
    "cargo",
    "install",
];

/// All blocks of one kind, each with its page.
fn blocks_of(kind: &str) -> Vec<(String, String)> {
    let blocks = pages().into_iter().flat_map(|(page, text)| {
        let blocks = fences(&text).into_iter();
        blocks.map(move |(kind, block)| (page.clone(), kind, block))
    });
    blocks
        .filter(|(_, found, _)| found == kind)
        .map(|(page, _, block)| (page, block))
        .collect()
}

#[test]
fn every_block_of_the_manual_is_tested_or_listed() {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut not_run = Vec::new();
    for (page, text) in pages() {
        for (kind, block) in fences(&text) {
            let known = KINDS.iter().any(|(known, _)| *known == kind);
            assert!(known, "{page}: no test is known for the fence `{kind}`:\n{block}");
            if ["sh not-run", "dockerfile"].contains(&kind.as_str()) {
                not_run.push((page.clone(), block.lines().next().unwrap().to_owned()));
            }
            if kind == "text" {
                let mut words = block.lines().filter_map(|line| line.split(' ').next());
                let program = words.find(|word| PROGRAMS.contains(word));
                assert_eq!(
                    program, None,
                    "{page}: a command in a block without a test:\n{block}"
                );
            }
            *counts.entry(kind).or_default() += 1;
        }
    }
    not_run.sort();
    let expected: Vec<(String, String)> = NOT_RUN
        .iter()
        .map(|(page, line)| ((*page).to_owned(), (*line).to_owned()))
        .collect();
    assert_eq!(not_run, expected);
    let tests = [
        crate::manual::read("tests/it/manual.rs"),
        crate::manual::read("tests/it/manual_commands.rs"),
        crate::manual::read("tests/it/manual_blocks.rs"),
    ]
    .concat();
    for (kind, test) in KINDS {
        assert!(counts.contains_key(*kind), "no block is of the kind `{kind}`");
        let there = match test.strip_suffix(".py") {
            Some(_) => crate::manual::read(test).contains(&format!("(\"{kind}\"")),
            None => tests.contains(&format!("fn {test}()")),
        };
        assert!(there, "`{kind}` is tested by `{test}`, which does not read it");
    }
}

#[test]
fn the_schema_of_the_manual_is_that_of_the_store() {
    let blocks = blocks_of("sql");
    let blocks: Vec<&str> = blocks.iter().map(|(_, block)| block.trim()).collect();
    let schema = crate::manual::read("src/store/sqlite/schema.sql");
    assert_eq!(
        blocks,
        [schema.trim()],
        "copy schema.sql into docs/reference/store.md"
    );
}

#[test]
fn the_parts_of_rules_in_the_manual_load() {
    for (page, block) in blocks_of("yaml part") {
        let rule = "rules:\n  - name: part\n    endpoint: /part\n";
        let verify = "    verify: {github: {secret: env:GITHUB_SECRET}}\n";
        let actions = "    actions:\n";
        let rules = match block.trim_start().split([' ', ':']).next().unwrap() {
            "-" => format!("{rule}{verify}{actions}{block}"),
            "verify" => format!("{rule}{block}{actions}      - append: part.jsonl\n"),
            // The folder exists on a server only.
            _ => format!("{}rules: []\n", block.replace("/var/log/hookyard/", "")),
        };
        let scenario = Scenario::new()
            .env("GITHUB_SECRET", "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0")
            .rules(&rules);
        let output = scenario.hookyard(&["check", "--offline", "--format", "json"]);
        let found: Value = serde_yaml::from_slice(&output.stdout).unwrap();
        // Without root, a command cannot become another user.
        let unavailable = block.contains("user:") && !rustix::process::geteuid().is_root();
        assert!(
            found["loads"] == true || unavailable,
            "{page}\n{rules}\n{found:#?}"
        );
    }
}

#[test]
fn the_routers_of_traefik_lead_to_the_daemon() {
    let blocks = blocks_of("yaml traefik");
    assert_eq!(blocks.len(), 2);
    for (page, block) in blocks {
        let found: Value = serde_yaml::from_str(&block).unwrap();
        let http = &found["http"];
        let routers = http["routers"].as_mapping().unwrap();
        for router in routers.values() {
            let servers = &http["services"][&router["service"]]["loadBalancer"]["servers"];
            assert_eq!(servers[0]["url"], "http://127.0.0.1:9000", "{page}\n{block}");
            for name in router["middlewares"].as_sequence().into_iter().flatten() {
                assert!(http["middlewares"][name].is_mapping(), "{page}\n{block}");
            }
        }
    }
}

#[test]
fn the_receiver_of_alertmanager_calls_the_endpoint_of_its_page() {
    for (page, block) in blocks_of("yaml alertmanager") {
        let found: Value = serde_yaml::from_str(&block).unwrap();
        let url = found["receivers"][0]["webhook_configs"][0]["url"]
            .as_str()
            .unwrap();
        let path = url.strip_prefix("http://127.0.0.1:9000").unwrap();
        let text = crate::manual::read(&page);
        assert!(
            text.contains(&format!("    endpoint: {path}\n")),
            "{page}: {path}"
        );
    }
}
