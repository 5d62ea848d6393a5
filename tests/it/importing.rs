//! `hookyard import`: hooks files of adnanh/webhook become rules that do the same.

use crate::scenario::{Daemon, Scenario, hmac_hex, rules_text, said};

/// Three hooks: a signed push, a token with the command's output, and a key in the URL.
const HOOKS: &str = r#"[
  {
    "id": "deploy",
    "execute-command": "note.sh",
    "command-working-directory": "{dir}",
    "pass-arguments-to-command": [
      {"source": "string", "name": "deploy"},
      {"source": "payload", "name": "commits.0.id"},
      {"source": "payload", "name": "absent"}
    ],
    "response-message": "deploying",
    "response-headers": [{"name": "X-Served-By", "value": "hooks"}],
    "trigger-rule": {"and": [
      {"match": {"type": "payload-hmac-sha256", "secret": "a-secret-of-the-test",
                 "parameter": {"source": "header", "name": "X-Hub-Signature-256"}}},
      {"match": {"type": "regex", "regex": "^refs/(heads|tags)/v\\d",
                 "parameter": {"source": "payload", "name": "ref"}}},
      {"not": {"match": {"type": "value", "value": "true",
                         "parameter": {"source": "payload", "name": "deleted"}}}}
    ]}
  },
  {
    "id": "restart",
    "execute-command": "{dir}/tell.sh",
    "pass-environment-to-command": [
      {"source": "payload", "name": "user.name", "envname": "USER_NAME"},
      {"source": "header", "name": "X-Kind"},
      {"source": "string", "name": "{{ not a template }}", "envname": "TEXT"}
    ],
    "http-methods": ["put"],
    "include-command-output-in-response": true,
    "trigger-rule": {"match": {"type": "value", "value": "a-token-of-the-test",
                               "parameter": {"source": "header", "name": "X-Gitlab-Token"}}}
  },
  {
    "id": "button",
    "execute-command": "{dir}/note.sh",
    "pass-arguments-to-command": [{"source": "url", "name": "what"}],
    "trigger-rule": {"match": {"type": "value", "value": "a-key-of-the-test",
                               "parameter": {"source": "url", "name": "token"}}}
  }
]"#;

fn imported() -> Daemon {
    let scenario = Scenario::new();
    let folder = scenario.folder().to_str().unwrap().to_owned();
    let scenario = scenario
        .file("hooks.json", HOOKS.replace("{dir}", &folder))
        .script("note.sh", "printf '<%s>' \"$@\" >> \"$(dirname \"$0\")/noted\"")
        .script("tell.sh", "echo \"$USER_NAME $HOOK_X_Kind $TEXT\"; echo more >&2");
    let output = scenario.hookyard(&["import", "hooks.json", "-o", "imported.yaml"]);
    let words = said(&output);
    // A variable had another name, which no shell could read.
    assert_eq!(output.status.code(), Some(1), "{words}");
    assert!(words.contains("hooks.json:27:7"), "{words}");
    assert!(
        words.contains("`HOOK_X-Kind` is no name that a shell could read"),
        "{words}"
    );
    assert!(
        words.contains("3 rules, 1 difference, 0 warnings; next: `hookyard check imported.yaml`"),
        "{words}"
    );
    let checked = scenario.hookyard(&["check", "imported.yaml"]);
    assert_eq!(checked.status.code(), Some(0), "{}", said(&checked));
    let text = std::fs::read_to_string(scenario.folder().join("imported.yaml")).unwrap();
    let rules = rules_text(scenario.folder(), &text);
    scenario.file("rules.yaml", rules).start()
}

#[test]
fn three_hooks_of_adnanh_webhook_do_the_same() {
    let daemon = imported();
    let push = |reference: &str, deleted: &str| {
        let body =
            format!(r#"{{"ref": "{reference}", "deleted": {deleted}, "commits": [{{"id": "c0ffee"}}]}}"#);
        let signature = format!("sha256={}", hmac_hex("a-secret-of-the-test", body.as_bytes()));
        let request = daemon
            .post("/hooks/deploy")
            .header("X-Hub-Signature-256", &signature);
        request
            .header("Content-Type", "application/json")
            .body(body)
            .send()
    };
    let answer = push("refs/tags/v1.2", "false");
    assert_eq!((answer.status, &*answer.body), (200, "deploying"));
    assert_eq!(answer.header("x-served-by"), Some("hooks"));
    daemon.eventually("the command runs", || {
        daemon.read("noted") == "<deploy><c0ffee><>"
    });
    for (reference, deleted) in [("refs/heads/main", "false"), ("refs/tags/v1.3", "true")] {
        let answer = push(reference, deleted);
        assert_eq!(
            (answer.status, &*answer.body),
            (200, "Hook rules were not satisfied.")
        );
    }
    let forged = daemon.post("/hooks/deploy").body("{}").send();
    assert_eq!(forged.status, 403);

    let restart = daemon
        .request("PUT", "/hooks/restart")
        .header("X-Gitlab-Token", "a-token-of-the-test");
    let restart = restart
        .header("X-Kind", "push")
        .header("Content-Type", "application/json");
    let answer = restart.body(r#"{"user": {"name": "mona"}}"#).send();
    assert_eq!(
        (answer.status, &*answer.body),
        (200, "mona push {{ not a template }}\nmore\n")
    );
    assert_eq!(daemon.post("/hooks/restart").body("{}").send().status, 405);

    let answer = daemon
        .request("GET", "/hooks/button?token=a-key-of-the-test&what=a+b")
        .send();
    assert_eq!((answer.status, &*answer.body), (200, ""));
    daemon.eventually("the button works", || {
        daemon.read("noted") == "<deploy><c0ffee><><a b>"
    });
    assert_eq!(
        daemon.request("GET", "/hooks/button?token=wrong").send().status,
        403
    );
}

#[test]
fn a_template_and_several_files_are_imported() {
    let template = r#"[{"id": "a", "execute-command": "/bin/true", "trigger-rule": {"match": {
      "type": "payload-hmac-sha1", "secret": "{{ getenv "SECRET" | js }}",
      "parameter": {"source": "header", "name": "X-Hub-Signature"}}}}]"#;
    let scenario = Scenario::new()
        .env("SECRET", "long-enough-for-a-test")
        .file("a.json", template)
        .file("b.yaml", "- id: b\n  execute-command: /bin/true\n");
    let output = scenario.hookyard(&["import", "a.json"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        said(&output).contains("translate it with `--template`"),
        "{}",
        said(&output)
    );
    let output = scenario.hookyard(&[
        "import",
        "--template",
        "--urlprefix=in",
        "a.json",
        "b.yaml",
        "-o",
        "rules.yaml",
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let rules = std::fs::read_to_string(scenario.folder().join("rules.yaml")).unwrap();
    assert!(
        rules.contains("    endpoint: /in/a\n    verify: {github_sha1: {secret: env:SECRET}}\n"),
        "{rules}"
    );
    assert!(rules.contains("    endpoint: /in/b\n"), "{rules}");
    let checked = scenario.hookyard(&["check"]);
    assert_eq!(checked.status.code(), Some(0), "{}", said(&checked));
    let again = scenario.hookyard(&["import", "b.yaml", "-o", "rules.yaml"]);
    assert_eq!(again.status.code(), Some(2));
    assert!(
        said(&again).contains("exists, and is not overwritten"),
        "{}",
        said(&again)
    );
}

/// Every property that the documentation of soulteary/webhook has, and a source of another fork.
const FORK: &str = r#"[{
  "id": "all",
  "execute-command": "/bin/cat",
  "command-working-directory": "/tmp",
  "response-message": "yes",
  "response-headers": [{"name": "X-Example-Header", "value": "it works"}],
  "success-http-response-code": 202,
  "incoming-payload-content-type": "application/json",
  "http-methods": ["POST"],
  "include-command-output-in-response": true,
  "stream-command-output": true,
  "include-command-output-in-response-on-error": true,
  "parse-parameters-as-json": [{"source": "payload", "name": "inner"}],
  "pass-arguments-to-command": [
    {"source": "string", "name": "-"},
    {"source": "template", "name": "{{ .Payload.a }}"}
  ],
  "pass-environment-to-command": [{"source": "payload", "name": "a", "envname": "A"}],
  "pass-file-to-command": [{"source": "raw-request-body", "envname": "FILE", "base64decode": false}],
  "trigger-rule": {"match": {"type": "payload-hmac-sha256", "secret": "a-secret-of-the-test",
                             "parameter": {"source": "header", "name": "X-Signature"}}},
  "trigger-rule-mismatch-http-response-code": 400,
  "trigger-signature-soft-failures": true,
  "include-command-out-in-response-on-error": true
}]
"#;

#[test]
fn each_property_of_a_fork_is_translated_or_reported_at_its_place() {
    let scenario = Scenario::new().file("hooks.json", FORK);
    let output = scenario.hookyard(&["import", "hooks.json", "-o", "rules.yaml"]);
    let words = said(&output);
    assert_eq!(output.status.code(), Some(1), "{words}");
    // What differs, each with its place.
    for (place, message) in [
        ("hooks.json:11:28", "the output is not streamed"),
        ("hooks.json:16:5", "a template of Go is not translated"),
        (
            "hooks.json:24:3",
            "unknown property `include-command-out-in-response-on-error`",
        ),
    ] {
        let (before, after) = words
            .split_once(message)
            .unwrap_or_else(|| panic!("{message}: {words}"));
        assert!(!before.is_empty() && after.contains(place), "{message}: {words}");
    }
    assert!(
        words.contains("did you mean `include-command-output-in-response-on-error`"),
        "{words}"
    );
    let rules = std::fs::read_to_string(scenario.folder().join("rules.yaml")).unwrap();
    for written in [
        "endpoint: /hooks/all",
        "decode: json",
        "unpack: {$.inner: json}",
        "prefix: sha256=",
        "X-Example-Header: it works",
        "status: 202",
        "wait: 10m",
        "ignored: {status: 400",
        "cwd: /tmp",
        "FILE=$(mktemp",
    ] {
        assert!(rules.contains(written), "{written}: {rules}");
    }
    let checked = scenario.hookyard(&["check", "rules.yaml"]);
    assert_eq!(checked.status.code(), Some(0), "{}", said(&checked));
}

#[test]
fn every_valid_json_file_is_read_with_its_places() {
    let hooks = "\u{feff}[{\"id\"\n: \"a\", \"execute-command\": \"/bin/true\",\n\"response-message\": \"\\ud83d\\ude00 \u{7f} \\ud800\",\n\"pass-arguments-to-command\": [{\"source\":\"nowhere\",\"name\":\"x\"}],\t\"trigger-rule\": {\"match\": {\"type\": \"value\", \"value\": \"a-long-token\", \"parameter\": {\"source\": \"header\", \"name\": \"X-Token\"}}}}]";
    let scenario = Scenario::new().file("hooks.json", hooks).file("hooks", hooks);
    for name in ["hooks.json", "hooks"] {
        let output = scenario.hookyard(&["import", name]);
        let words = said(&output);
        assert_eq!(output.status.code(), Some(1), "{words}");
        assert!(words.contains(&format!("{name}:4:41")), "{words}");
        assert!(words.contains("\u{1f600}"), "{words}");
    }
}

#[test]
fn rules_that_are_written_as_comments_are_not_counted() {
    let hooks = r#"[
      {"id": "good", "execute-command": "/bin/true", "trigger-rule": {"match": {"type": "value", "value": "a-long-token",
        "parameter": {"source": "header", "name": "X-Token"}}}},
      {"id": "bad", "execute-command": "/bin/sh", "pass-arguments-to-command": [{"source": "string", "name": "-c"},
        {"source": "payload", "name": "x"}], "trigger-rule": {"match": {"type": "value", "value": "a-long-token",
        "parameter": {"source": "header", "name": "X-Token"}}}}
    ]"#;
    let scenario = Scenario::new().file("hooks.json", hooks);
    let output = scenario.hookyard(&["import", "hooks.json"]);
    let words = said(&output);
    let commented = words.matches("written as a comment").count();
    assert!(commented > 0 && words.contains("1 rule, "), "{words}");
}
