//! `hookyard send --rule`: endpoint, scheme and secret come from the rules file.

use crate::scenario::{Scenario, said};

const RULES: &str = r#"
server: {listen: 127.0.0.1:0, public_url: https://hooks.example.com}
rules:
  - name: deploy
    endpoint: /deploy/{app}
    verify: {github: env:GITHUB_SECRET}
    match: {event: push, path.app: site}
    actions: [{append: deploys.jsonl}]
  - name: call
    endpoint: /call
    verify: {twilio: env:TWILIO_TOKEN}
    actions: [{append: calls.jsonl}]
  - name: both
    endpoint: /both
    verify: {any: [{ed25519: {public_key: "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", header: X-Sig}}, {gitlab: env:GITLAB_TOKEN}]}
    actions: [{append: both.jsonl}]
  - name: foreign
    endpoint: /foreign
    verify: {ed25519: {public_key: "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", header: X-Sig}}
    respond: {body: fine}
    actions: [{append: foreign.jsonl}]
  - name: open
    endpoint: /open
    verify: none
    respond: {body: fine}
    actions: [{append: open.jsonl}]
"#;

#[test]
fn a_rule_says_endpoint_scheme_and_secret() {
    let scenario = Scenario::new()
        .env("GITHUB_SECRET", "it-is-a-long-secret-1234567890")
        .env("TWILIO_TOKEN", "it-is-a-long-secret-1234567891")
        .env("GITLAB_TOKEN", "it-is-a-long-secret-1234567892");
    let daemon = scenario
        .file("one.json", "1")
        .file("two.json", "2")
        .rules(RULES)
        .start();
    let base = format!("http://{}", daemon.address);
    let send = |arguments: &[&str]| {
        let output = daemon.scenario.hookyard(&[&["send"], arguments].concat());
        (output.status.code(), said(&output))
    };
    let push = ["--rule", "deploy", "--path", "app=site", "--event", "push"];
    for arguments in [
        &[&[&*base], &push[..]].concat()[..],
        &[
            &format!("{base}/deploy/site"),
            "--rule",
            "deploy",
            "--event",
            "push",
            "--body",
            "one.json",
        ],
        // The sender signs the public URL.
        &[&base, "--rule", "call"],
        // The first alternative has a public key alone.
        &[&base, "--rule", "both"],
    ] {
        let (code, text) = send(arguments);
        assert_eq!(code, Some(0), "{arguments:?}: {text}");
        assert!(text.starts_with("200 {\"status\":\"accepted\""), "{text}");
    }
    let (_, text) = send(&[
        &base,
        "--rule",
        "deploy",
        "--path",
        "app=other",
        "--event",
        "push",
        "--body",
        "two.json",
    ]);
    assert!(text.starts_with("200 {\"status\":\"ignored\""), "{text}");
    // The body does not say the outcome.
    assert_eq!(
        send(&[&base, "--rule", "open"]),
        (Some(0), "200 (accepted) fine\n".to_owned())
    );
    let (_, json) = send(&[&base, "--rule", "open", "--format", "json"]);
    assert_eq!(
        json,
        "{\"body\":\"fine\",\"outcome\":\"accepted\",\"status\":200}\n"
    );

    for (arguments, expected) in [
        (
            &[&*base, "--rule", "deplyo"][..],
            "error: the rules file has no rule `deplyo` (did you mean `deploy`?)",
        ),
        (
            &[&base, "--rule", "deploy"],
            "error: the path `/deploy/{app}` needs one value for `app`: `--path app=VALUE`",
        ),
        (
            &[&base, "--rule", "foreign"],
            "error: `send` cannot sign for `foreign`: the rules file has no key that signs by `ed25519`",
        ),
        (
            &["--rule", "open"],
            "error: the rules file names no address to send to",
        ),
        (
            &[&base, "--rule", "open", "--as", "none"],
            "error: the argument '--rule <NAME>' cannot be used",
        ),
        (
            &[&base],
            "error: the following required arguments were not provided:",
        ),
        (&["--rule", "open", "--rules", "absent.yaml"], "error: "),
    ] {
        let (code, text) = send(arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {text}");
        assert!(text.starts_with(expected), "{arguments:?}: {text}");
    }
}
