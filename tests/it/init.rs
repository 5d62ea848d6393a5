//! `hookyard init` through the binary: what it writes loads without warnings, for every sender.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;

use crate::scenario::{Scenario, said};

/// Names of all senders that `init` knows.
fn senders() -> Vec<String> {
    let output = Scenario::new().hookyard(&["schemes", "--format", "json"]);
    let schemes: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let presets = schemes.iter().filter(|scheme| scheme["sender"] != "");
    let names = presets.map(|scheme| scheme["name"].as_str().unwrap().to_owned());
    names.chain(["own".to_owned(), "none".to_owned()]).collect()
}

/// The secrets of the test file that `init` has written.
fn secrets(folder: &Path) -> Vec<(String, String)> {
    let text = fs::read_to_string(folder.join("rules.test.yaml")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("secrets: "));
    let read = |line: &str| {
        let (name, value) = line.trim_matches(['{', '}']).split_once("\": \"").unwrap();
        let (_, name) = name.split_once(':').unwrap();
        (name.to_owned(), value.trim_end_matches('"').to_owned())
    };
    line.into_iter().map(read).collect()
}

/// Senders whose rules have a warning, since what it says holds for every such rule.
const WARNED: [(&str, &str); 3] = [
    ("asana", "nothing is learnt yet"),
    ("mailgun", "the content does not cover the body"),
    ("notion", "nothing is learnt yet"),
];

#[test]
fn rules_of_every_sender_load_without_a_warning_and_their_test_passes() {
    let senders = senders();
    assert!(senders.len() > 55, "{senders:?}");
    let mut wrong = Vec::new();
    for sender in senders {
        let scenario = Scenario::new();
        let output = scenario.hookyard(&["init", "--sender", &sender]);
        let told = said(&output);
        assert!(output.status.success(), "{sender}: {told}");
        assert!(!told.contains("{url}") && !told.contains("{secret}"), "{told}");
        let mut command = scenario.command(&["check", "rules.yaml"]);
        for (name, value) in secrets(scenario.folder()) {
            command.env(name, value);
        }
        let output = command.output().unwrap();
        let told = said(&output);
        let tested = scenario.hookyard(&["test", "rules.test.yaml"]);
        assert!(tested.status.success(), "{sender}: {}", said(&tested));
        let warned = WARNED.iter().find(|(name, _)| *name == sender);
        if let Some((_, warning)) = warned {
            assert!(told.contains(warning) && told.contains(", 1 warning"), "{told}");
            continue;
        }
        if !output.status.success() || !told.contains(", 0 warnings") {
            wrong.push(format!("{sender}: {told}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_secret_is_random_and_private_and_the_rule_takes_what_it_signs() {
    let scenario = Scenario::new();
    let output = scenario.hookyard(&["init", "--sender", "github"]);
    let told = said(&output);
    for part in [
        "wrote rules.yaml, rules.test.yaml, secret.env, hookyard.conf",
        "At GitHub",
        "Settings → Webhooks → Add webhook",
        "hookyard test rules.test.yaml",
        "hookyard send --rule github",
    ] {
        assert!(told.contains(part), "{told}");
    }
    let path = scenario.folder().join("secret.env");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let line = fs::read_to_string(&path).unwrap();
    let secret = line.trim().strip_prefix("GITHUB_SECRET=").unwrap().to_owned();
    assert_eq!(secret.len(), 64);
    let other = Scenario::new();
    other.hookyard(&["init", "--sender", "github"]);
    assert_ne!(
        fs::read_to_string(other.folder().join("secret.env")).unwrap(),
        line
    );

    let text = fs::read_to_string(scenario.folder().join("rules.yaml")).unwrap();
    assert!(text.starts_with("# yaml-language-server: $schema=/usr/share/hookyard/rules.schema.json\n"));
    let daemon = Scenario::new().env("GITHUB_SECRET", &secret).rules(&text).start();
    let taken = daemon.post("/github").json("{}").github(&secret).send();
    assert_eq!(taken.outcome(), (200, "accepted".into()));
}

#[test]
fn no_file_is_overwritten_and_none_is_written_beside_one() {
    let scenario = Scenario::new().file("rules.test.yaml", "mine");
    let output = scenario.hookyard(&["init"]);
    assert_eq!(output.status.code(), Some(2));
    let told = said(&output);
    assert!(told.contains("rules.test.yaml` is there already"), "{told}");
    let left: Vec<_> = fs::read_dir(scenario.folder()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(
        fs::read_to_string(scenario.folder().join("rules.test.yaml")).unwrap(),
        "mine"
    );
}

#[test]
fn a_sender_or_a_folder_that_is_not_there_is_an_error() {
    let scenario = Scenario::new();
    for (arguments, part) in [
        (["init", "--sender", "githbu"], "did you mean `github`?"),
        (["init", "--sender", "hmac"], "`own` stands for your own scripts"),
        (["init", "--dir", "a/b"], "cannot make the folder `a/b`"),
    ] {
        let output = scenario.hookyard(&arguments);
        assert_eq!(output.status.code(), Some(2));
        assert!(said(&output).contains(part), "{}", said(&output));
    }
    assert_eq!(fs::read_dir(scenario.folder()).unwrap().count(), 0);
}

#[test]
fn the_drop_in_names_the_secret_and_the_rules_of_the_folder() {
    let scenario = Scenario::new();
    scenario.hookyard(&["init", "--sender", "stripe"]);
    let folder = scenario.folder().canonicalize().unwrap();
    let text = fs::read_to_string(folder.join("hookyard.conf")).unwrap();
    let folder = folder.display();
    assert!(
        text.contains(&format!("\nEnvironmentFile={folder}/secret.env\n")),
        "{text}"
    );
    let start = format!("\nExecStart=\nExecStart=/usr/bin/hookyard serve \"{folder}/rules.yaml\"\n");
    assert!(text.contains(&start), "{text}");
    let secret = fs::read_to_string(scenario.folder().join("secret.env")).unwrap();
    assert!(
        secret.contains("Stripe") && secret.ends_with("STRIPE_SECRET=\n"),
        "{secret}"
    );
}

#[test]
fn a_missing_folder_is_made_and_what_is_said_can_be_pasted_into_a_shell() {
    let scenario = Scenario::new();
    let output = scenario.hookyard(&["init", "--sender", "github", "--dir", "it's mine"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let next = said(&output);
    for line in [
        r"hookyard test 'it'\''s mine/rules.test.yaml'",
        r". 'it'\''s mine/secret.env'; set",
        r"hookyard serve 'it'\''s mine/rules.yaml'",
    ] {
        assert!(next.contains(line), "{next}");
    }
    assert!(scenario.folder().join("it's mine/rules.yaml").is_file());
}
