//! Files that arguments name: every command reads a bounded part of a regular file, and nothing else.

use std::fs::File;
use std::process::Command;

use crate::scenario::{Scenario, said};

const RULES: &str = "
rules:
  - {name: a, endpoint: /a, verify: none, actions: [{append: a.log}]}
";

/// Commands that read the file in the place of `FILE`.
const COMMANDS: [&[&str]; 9] = [
    &["check", "FILE"],
    &["explain", "FILE"],
    &["import", "FILE"],
    &["import", "hooks.json", "FILE"],
    &["explain", "rules.yaml", "--body", "FILE"],
    &["explain", "rules.yaml", "--captured", "FILE"],
    &["fire", "a", "--body", "FILE"],
    &["fire", "a", "--json", "FILE"],
    &["send", "http://127.0.0.1:9/a", "--as", "none", "--body", "FILE"],
];

#[test]
fn what_is_no_file_or_too_large_is_refused_by_every_command_that_reads_one() {
    let scenario = Scenario::new().rules(RULES).file("hooks.json", "[]");
    let folder = scenario.folder().to_owned();
    let piped = Command::new("mkfifo").arg(folder.join("pipe")).status();
    assert!(piped.unwrap().success());
    // It takes no room on the disk.
    let large = File::create(folder.join("large")).unwrap();
    large.set_len(1 << 40).unwrap();
    for (name, reason) in [
        ("/dev/zero", "is a device, not a file"),
        ("pipe", "is a named pipe, not a file"),
        (".", "is a folder, not a file"),
        ("large", "large"),
        ("absent", "No such file"),
    ] {
        for command in COMMANDS {
            let arguments: Vec<&str> = command
                .iter()
                .map(|argument| if *argument == "FILE" { name } else { argument })
                .collect();
            let output = scenario.hookyard(&arguments);
            let words = said(&output);
            assert_ne!(output.status.code(), Some(0), "{arguments:?}: {words}");
            assert!(words.contains(reason), "{arguments:?}: {words}");
        }
    }
}

#[test]
fn standard_input_without_an_end_is_refused_by_every_command_that_reads_it() {
    let scenario = Scenario::new().rules(RULES);
    for arguments in [
        &["check", "-"][..],
        &["import", "-"],
        &["explain", "rules.yaml", "--body", "-"],
    ] {
        let mut command = scenario.command(arguments);
        command.stdin(File::open("/dev/zero").unwrap());
        let output = command.output().unwrap();
        assert_ne!(output.status.code(), Some(0), "{arguments:?}");
    }
}
