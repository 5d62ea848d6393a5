//! Tests of the rules that the guides show: `tests/fixtures/guides/PAGE-NUMBER.test.yaml` belongs to
//! the YAML block with this number, from 0, of `docs/guides/PAGE.md`. Each covers all of its rules.

use std::path::Path;

use crate::manual::pages;
use crate::manual_commands::fences;
use crate::scenario::{Scenario, said};

/// Blocks that stand in a file of their own, which the block before them includes.
const INCLUDED: [(&str, usize, &str); 1] = [("split-and-share-rules", 1, "rules.d/site.yaml")];

#[test]
fn the_rules_of_the_guides_have_tests_that_cover_them() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/guides");
    let mut untested = Vec::new();
    let mut from_files = 0;
    for (page, text) in pages() {
        let Some(name) = page.strip_prefix("docs/guides/") else {
            continue;
        };
        let name = name.trim_end_matches(".md");
        let fences = fences(&text);
        let blocks: Vec<usize> = (0..fences.len()).filter(|at| fences[*at].0 == "yaml").collect();
        for (number, at) in blocks.iter().enumerate() {
            let file = folder.join(format!("{name}-{number}.test.yaml"));
            let on_page = fences.get(at + 1).filter(|(kind, _)| kind == "yaml test");
            let tests = match (on_page, std::fs::read_to_string(file)) {
                (Some((_, tests)), _) => tests.clone(),
                (None, Ok(tests)) => {
                    from_files += 1;
                    tests
                }
                (None, Err(_)) => {
                    untested.push(format!("{name}-{number}"));
                    continue;
                }
            };
            let mut scenario = Scenario::new()
                .file("rules.yaml", &fences[*at].1)
                .file("rules.test.yaml", tests);
            for (_, next, path) in INCLUDED.iter().filter(|one| (one.0, one.1) == (name, number + 1)) {
                scenario = scenario.file(path, &fences[blocks[*next]].1);
            }
            let output = scenario.hookyard(&["test", "--coverage"]);
            assert!(output.status.success(), "{name}-{number}\n{}", said(&output));
        }
    }
    assert!(
        untested.is_empty(),
        "write tests/fixtures/guides/PAGE-NUMBER.test.yaml: {untested:?}"
    );
    assert_eq!(
        from_files,
        std::fs::read_dir(&folder).unwrap().count(),
        "a test file has no block"
    );
}

#[test]
fn the_example_of_the_package_for_several_machines_is_that_of_its_guide() {
    let guide = crate::manual::read("docs/guides/several-machines.md");
    let blocks = fences(&guide);
    let (_, block) = blocks.iter().find(|(kind, _)| kind == "yaml").unwrap();
    let example = crate::manual::read("docs/examples/several-machines.yaml");
    let rules: Vec<&str> = example.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(rules.join("\n"), block.trim_end());
}
