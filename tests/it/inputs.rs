//! Files that arguments name: every command reads a bounded part of a regular file. Requests and
//! files to import may come from a pipe, too.

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

/// True if the command waits for a pipe, such as `<(command)`.
fn may_be_a_pipe(command: &[&str]) -> bool {
    let options = ["--body", "--captured", "--json"];
    command[0] == "import" || command.iter().any(|word| options.contains(word))
}

#[test]
fn a_request_may_come_from_a_pipe_within_the_same_bound() {
    let scenario = Scenario::new().rules(RULES);
    let explained = |input: &str| {
        let script = format!("\"$HOOKYARD\" explain rules.yaml --endpoint /a --body <({input})");
        let program = scenario.command(&[]).get_program().to_owned();
        let mut command = Command::new("bash");
        command.args(["-c", &script]).env("HOOKYARD", program);
        let output = command.current_dir(scenario.folder()).output().unwrap();
        (output.status.code(), said(&output))
    };
    let (code, words) = explained("echo '{\"a\": 1}'");
    assert_eq!(code, Some(0), "{words}");
    let (code, words) = explained("cat /dev/zero");
    assert_eq!(code, Some(2), "{words}");
    assert!(words.contains("is larger than 256 MiB"), "{words}");
}

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
        for command in COMMANDS
            .iter()
            .filter(|command| name != "pipe" || !may_be_a_pipe(command))
        {
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
