//! The main use case, end to end: a real push, signed with its secret, runs a command, is
//! forwarded, and is appended. Then the rules are edited while the daemon runs.

use crate::scenario::{Scenario, Target, fixture};

#[test]
fn a_signed_push_deploys_is_forwarded_and_appended_and_an_edit_takes_effect() {
    let target = Target::ok();
    let rules = |branch: &str| {
        format!(
            r#"
rules:
  - name: deploy-site
    endpoint: /github
    verify: {{github: {{secret: env:GITHUB_SECRET}}}}
    match:
      event: push
      $.ref: refs/heads/{branch}
      $.repository.full_name: {{in: [acme/site, acme/docs]}}
    actions:
      - run: [./deploy.sh, --ref, "{{{{ payload.after }}}}"]
      - forward: {}/deploys
      - append: deploys.jsonl
"#,
            target.url()
        )
    };
    let daemon = Scenario::new()
        .env("GITHUB_SECRET", "It's a Secret to Everybody")
        .script(
            "deploy.sh",
            "cat > body.json; echo \"$@\" > arguments; env > environment",
        )
        .rules(&rules("main"))
        .start();
    let push = fixture("github/push.json");
    let sending = daemon
        .post("/github")
        .header("X-GitHub-Event", "push")
        .json(&push)
        .github("It's a Secret to Everybody");
    let answer = sending.send();
    assert_eq!(answer.outcome(), (200, "accepted".into()), "{answer:?}");

    daemon.eventually("the line is appended", || daemon.lines("deploys.jsonl") == 1);
    let payload: serde_json::Value = serde_json::from_slice(&push).unwrap();
    assert_eq!(
        daemon.read("arguments"),
        format!("--ref {}\n", payload["after"].as_str().unwrap())
    );
    assert_eq!(daemon.read("body.json").as_bytes(), push);
    assert!(daemon.read("environment").contains("HOOKYARD_RULE=deploy-site"));
    assert!(
        !daemon.read("environment").contains("Everybody"),
        "the secret is not the command's business"
    );
    let forwarded = target.requests();
    assert_eq!(forwarded.len(), 1);
    assert_eq!(forwarded[0].line, "POST /deploys HTTP/1.1");
    assert_eq!(forwarded[0].body, push);
    assert_eq!(forwarded[0].header("x-github-event"), Some("push"));
    assert_eq!(forwarded[0].header("x-hub-signature-256"), None);
    let record: serde_json::Value = serde_json::from_str(&daemon.read("deploys.jsonl")).unwrap();
    assert_eq!(record["payload"], payload);
    assert_eq!(record["rule"], "deploy-site");

    // The same event again is a duplicate.
    assert_eq!(sending.send().outcome(), (200, "duplicate".into()));

    // Edited while running: the rule now wants another branch.
    daemon.rewrite(&rules("release"));
    let other = String::from_utf8(push)
        .unwrap()
        .replace("refs/heads/main", "refs/heads/release");
    let post = |body: &str| {
        let sending = daemon.post("/github").header("X-GitHub-Event", "push").json(body);
        sending.github("It's a Secret to Everybody").send().outcome()
    };
    assert_eq!(post(&other), (200, "accepted".into()));
    assert_eq!(
        post(&other.replace("refs/heads/release", "refs/heads/main")),
        (200, "ignored".into())
    );
    daemon.eventually("the second line is appended", || {
        daemon.lines("deploys.jsonl") == 2
    });
}
