//! Tests of the rules that the guides show: `tests/fixtures/guides/PAGE-NUMBER.test.yaml` belongs to
//! the YAML block with this number, from 0, of `docs/guides/PAGE.md`. Each covers all of its rules.

use std::path::Path;

use crate::manual::pages;
use crate::manual_commands::fences;
use crate::scenario::{Scenario, said};

/// Blocks without tests: client certificates and public keys cannot be pretended yet, and the others
/// are about the daemon or about another program.
const UNTESTED: &[(&str, usize)] = &[
    ("behind-nginx-caddy-traefik", 3),
    ("client-certificates", 1),
    ("http-message-signatures", 1),
    ("migrate-from-adnanh-webhook", 6),
    ("own-scripts-signing", 1),
    ("plan-a-change", 1),
    ("pubsub-jwt", 2),
    ("rotate-secrets", 1),
    ("run-commands-safely", 6),
    ("split-and-share-rules", 4),
    ("stripe-relay", 1),
    // The page has its tests in a block of its own.
    ("test-your-rules", 1),
    ("tls-acme", 2),
];

#[test]
fn the_rules_of_the_guides_have_tests_that_cover_them() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/guides");
    let mut untested: Vec<(String, usize)> = Vec::new();
    let mut tested = 0;
    for (page, text) in pages() {
        let Some(name) = page.strip_prefix("docs/guides/") else {
            continue;
        };
        let name = name.trim_end_matches(".md");
        let blocks = fences(&text).into_iter().filter(|(kind, _)| kind == "yaml");
        for (number, (_, rules)) in blocks.enumerate() {
            let Ok(tests) = std::fs::read_to_string(folder.join(format!("{name}-{number}.test.yaml"))) else {
                match untested.iter_mut().find(|(known, _)| known == name) {
                    Some((_, blocks)) => *blocks += 1,
                    None => untested.push((name.to_owned(), 1)),
                }
                continue;
            };
            let scenario = Scenario::new()
                .file("rules.yaml", rules)
                .file("rules.test.yaml", tests);
            let output = scenario.hookyard(&["test", "--coverage"]);
            assert!(output.status.success(), "{name}-{number}\n{}", said(&output));
            tested += 1;
        }
    }
    untested.sort();
    let known: Vec<(String, usize)> = UNTESTED
        .iter()
        .map(|(name, blocks)| ((*name).to_owned(), *blocks))
        .collect();
    assert_eq!(
        untested, known,
        "write tests/fixtures/guides/PAGE-NUMBER.test.yaml"
    );
    assert_eq!(
        tested,
        std::fs::read_dir(&folder).unwrap().count(),
        "a test file has no block"
    );
}
