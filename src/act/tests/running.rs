//! Tests of commands: environment, pipes and end.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};

use super::*;

/// True if a process exists and is not a zombie.
fn runs(id: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|stat| {
        !stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .trim_start()
            .starts_with('Z')
    })
}

fn lines(outcome: &Outcome) -> Vec<String> {
    outcome.output.stdout.text().lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn values_reach_a_command_as_arguments_and_variables() {
    let payload = json!({"ref": "refs/heads/$(id) 'x' \"y\" ; é", "private": false});
    let outcome = perform(
        "{run: [/bin/sh, -c, 'printf \"%s\\n\" \"$@\" \"$REF\"', sh, '{{ payload.ref }}', '', '{{ payload.private }}'], env: {REF: '{{ payload.ref }}'}}",
        payload,
    )
    .await;
    assert_eq!(
        (outcome.verdict, outcome.detail.as_str()),
        (Verdict::Done, "exit 0")
    );
    let reference = "refs/heads/$(id) 'x' \"y\" ; é";
    assert_eq!(lines(&outcome), [reference, "", "false", reference]);
}

#[tokio::test]
async fn the_environment_is_clean() {
    let outcome = perform("{run: [env], env: {OWN: x}, cwd: /}", json!({})).await;
    let mut names: Vec<String> = lines(&outcome)
        .iter()
        .map(|line| line.split('=').next().unwrap().to_owned())
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "HOME",
            "HOOKYARD_ATTEMPT",
            "HOOKYARD_CLIENT_IP",
            "HOOKYARD_DELIVERY_ID",
            "HOOKYARD_ENDPOINT",
            "HOOKYARD_EVENT_ID",
            "HOOKYARD_METHOD",
            "HOOKYARD_REPLAY",
            "HOOKYARD_RULE",
            "HOOKYARD_VERIFIED",
            "LANG",
            "OWN",
            "PATH"
        ]
    );
    assert!(lines(&outcome).contains(&"HOOKYARD_ATTEMPT=2".to_owned()));
    assert!(lines(&outcome).contains(&"HOOKYARD_DELIVERY_ID=d-1".to_owned()));
}

#[tokio::test]
async fn the_folder_is_that_of_the_rules_file_or_cwd() {
    assert_eq!(lines(&perform("run: [pwd]", json!({})).await), ["/tmp"]);
    assert_eq!(
        lines(&perform("{run: [pwd], cwd: /usr}", json!({})).await),
        ["/usr"]
    );
}

#[tokio::test]
async fn stdin_is_the_body_the_record_or_nothing() {
    let payload = json!({"a": [1, 2]});
    let body = perform("run: [cat]", payload.clone()).await;
    assert_eq!(lines(&body), [r#"{"a":[1,2]}"#]);
    let none = perform("{run: [cat], stdin: none}", payload.clone()).await;
    assert_eq!(none.output.stdout.total(), 0);
    let record = perform("{run: [cat], stdin: json}", payload.clone()).await;
    let record: serde_json::Value = serde_json::from_str(&record.output.stdout.text()).unwrap();
    assert_eq!(record["payload"], payload);
    assert_eq!(record["path"], "/deploy/site");
}

#[tokio::test]
async fn a_shell_stops_at_the_first_error_and_at_an_unset_variable() {
    let outcome = perform("shell: |\n  echo one\n  false\n  echo two", json!({})).await;
    assert_eq!(
        (outcome.verdict, lines(&outcome)),
        (Verdict::FAILED, vec!["one".to_owned()])
    );
    let outcome = perform("shell: 'echo \"$NO_SUCH_NAME\"'", json!({})).await;
    assert_eq!(outcome.verdict, Verdict::FAILED);
}

#[tokio::test]
async fn exit_codes_and_signals_have_a_verdict() {
    for (yaml, verdict, detail) in [
        ("shell: exit 0", Verdict::Done, "exit 0"),
        ("shell: exit 3", Verdict::FAILED, "exit 3"),
        ("{shell: exit 3, exit: {done: [0, 3]}}", Verdict::Done, "exit 3"),
        ("{shell: exit 78, exit: {dead: [78]}}", Verdict::Dead, "exit 78"),
        (
            "{shell: exit 75, exit: {retry: [75]}}",
            Verdict::FAILED,
            "exit 75",
        ),
        ("shell: kill -9 $$", Verdict::FAILED, "killed by SIGKILL"),
        ("shell: kill -15 $$", Verdict::FAILED, "killed by SIGTERM"),
    ] {
        let outcome = perform(yaml, json!({})).await;
        assert_eq!(
            (outcome.verdict, outcome.detail.as_str()),
            (verdict, detail),
            "{yaml}"
        );
    }
}

#[tokio::test]
async fn an_undefined_value_is_never_an_empty_argument() {
    let marker = tempfile::tempdir().unwrap();
    let file = marker.path().join("ran");
    let yaml = format!("run: [touch, '{}', '{{{{ payload.after }}}}']", file.display());
    let outcome = perform(&yaml, json!({})).await;
    assert_eq!(outcome.verdict, Verdict::Dead);
    assert!(outcome.detail.contains("payload.after"), "{}", outcome.detail);
    let outcome = perform("{run: ['true'], env: {X: '{{ payload.after }}'}}", json!({})).await;
    assert!(
        outcome.detail.contains("`X`: `payload.after` is undefined"),
        "{}",
        outcome.detail
    );
    assert!(!file.exists());
}

#[tokio::test]
async fn arguments_that_the_kernel_refuses_are_dead_with_a_reason() {
    let nul = json!({"x": "a\u{0}b"});
    let outcome = perform("run: [echo, '{{ payload.x }}']", nul.clone()).await;
    assert_eq!(
        (outcome.verdict, outcome.detail.as_str()),
        (Verdict::Dead, "argument 1 holds a NUL byte")
    );
    let outcome = perform("{run: [env], env: {X: '{{ payload.x }}'}}", nul).await;
    assert_eq!(outcome.detail, "the variable `X` holds a NUL byte");
    let long = json!({"x": "a".repeat(200_000)});
    let outcome = perform("run: [echo, '{{ payload.x }}']", long).await;
    assert_eq!(outcome.verdict, Verdict::Dead);
    assert!(outcome.detail.contains("stdin"), "{}", outcome.detail);
}

#[tokio::test]
async fn a_program_that_has_disappeared_is_retried() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("program");
    std::os::unix::fs::symlink("/bin/true", &program).unwrap();
    let action = compile(&format!("run: ['{}']", program.display()));
    std::fs::remove_file(&program).unwrap();
    let event = event(json!({}), &[]);
    let outcome = ACTOR
        .perform(&action, &action_context(&event, &[]), CancellationToken::new())
        .await;
    assert_eq!(outcome.verdict, Verdict::FAILED);
    assert!(outcome.detail.starts_with("cannot start"), "{}", outcome.detail);
}

#[tokio::test]
async fn no_output_blocks_a_command() {
    let outcome = perform(
        "{shell: 'head -c 1048576 /dev/zero >&2; echo between; head -c 1048576 /dev/zero | tr \"\\0\" x; echo; echo end', timeout: 20s}",
        json!({}),
    )
    .await;
    assert_eq!(outcome.verdict, Verdict::Done, "{}", outcome.detail);
    assert_eq!(outcome.output.stderr.total(), 1 << 20);
    let text = outcome.output.stdout.text();
    assert!(text.starts_with("between\nxxx") && text.ends_with("xxx\nend\n"));
    assert!(text.len() < 20_000 && text.contains("bytes left out"));
}

#[tokio::test]
async fn a_command_may_ignore_a_large_body() {
    let payload = json!({"x": "y".repeat(3 << 20)});
    let counted = perform("{run: [wc, -c], timeout: 20s}", payload.clone()).await;
    assert_eq!(
        counted.output.stdout.text().trim(),
        (3 * (1 << 20) + 8).to_string()
    );
    for yaml in [
        "run: ['true']",
        "shell: 'exec <&-; sleep 0.1'",
        "run: [head, -c, '1']",
    ] {
        let outcome = perform(yaml, payload.clone()).await;
        assert_eq!(outcome.verdict, Verdict::Done, "{yaml}: {}", outcome.detail);
    }
    // The command writes while it reads.
    let echoed = perform("{run: [cat], timeout: 20s}", payload).await;
    assert_eq!(echoed.output.stdout.total(), 3 * (1 << 20) + 8);
}

#[tokio::test]
async fn a_grandchild_that_keeps_the_pipe_open_does_not_delay_the_delivery() {
    let started = Instant::now();
    let outcome = perform("shell: 'sleep 30 & echo $!'", json!({})).await;
    assert_eq!(outcome.verdict, Verdict::Done);
    assert!(started.elapsed() < Duration::from_secs(5));
    // The grandchild is left alone, because it was started to stay.
    let grandchild: i32 = lines(&outcome)[0].parse().unwrap();
    assert!(runs(grandchild));
    let id = rustix::process::Pid::from_raw(grandchild).unwrap();
    rustix::process::kill_process(id, rustix::process::Signal::KILL).unwrap();
}

#[tokio::test]
async fn a_tree_that_ignores_term_is_killed_after_its_grace() {
    let started = Instant::now();
    let outcome = perform(
        "{shell: \"trap '' TERM; (trap '' TERM; sleep 60) & echo $!; echo $$; sleep 60; sleep 60\", timeout: 300ms, grace: 300ms}",
        json!({}),
    )
    .await;
    assert_eq!(
        (outcome.verdict, outcome.detail.as_str()),
        (Verdict::FAILED, "timed out after 300ms")
    );
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
    sleep(Duration::from_millis(50)).await;
    for line in lines(&outcome) {
        assert!(!runs(line.parse().unwrap()), "{line}");
    }
}

#[tokio::test]
async fn a_command_that_obeys_term_ends_at_once_and_its_output_is_kept() {
    let started = Instant::now();
    let outcome = perform(
        "{shell: \"trap 'echo tidied; exit 0' TERM; echo begun; sleep 60 & wait\", timeout: 300ms, grace: 30s}",
        json!({}),
    )
    .await;
    // The command ended in order, but only after its timeout.
    assert_eq!(outcome.verdict, Verdict::FAILED);
    assert_eq!(lines(&outcome), ["begun", "tidied"]);
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_child_that_ignores_term_does_not_outlive_its_leader() {
    let outcome = perform(
        "{shell: \"(trap '' TERM; sleep 60) & echo $!; wait\", timeout: 300ms, grace: 300ms}",
        json!({}),
    )
    .await;
    sleep(Duration::from_millis(50)).await;
    assert!(!runs(lines(&outcome)[0].parse().unwrap()));
}

#[tokio::test]
async fn a_stop_ends_the_group_and_is_no_attempt() {
    let event = event(json!({}), &[]);
    let stop = CancellationToken::new();
    let action = compile("shell: 'sleep 60 & echo $!; wait'");
    let started = Instant::now();
    let action_context = action_context(&event, &[]);
    let (outcome, ()) = tokio::join!(ACTOR.perform(&action, &action_context, stop.clone()), async {
        sleep(Duration::from_millis(300)).await;
        stop.cancel();
    });
    assert_eq!(outcome.verdict, Verdict::Stopped);
    assert!(started.elapsed() < Duration::from_secs(5));
    sleep(Duration::from_millis(50)).await;
    assert!(!runs(lines(&outcome)[0].parse().unwrap()));
    let outcome = ACTOR.perform(&action, &action_context, stop).await;
    assert_eq!(outcome.verdict, Verdict::Stopped);
}

#[tokio::test]
async fn an_abandoned_attempt_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("id");
    let action = compile(&format!("shell: 'sleep 60 & echo $! > {}; wait'", file.display()));
    let event = event(json!({}), &[]);
    let action_context = action_context(&event, &[]);
    let attempt = ACTOR.perform(&action, &action_context, CancellationToken::new());
    let given_up = tokio::time::timeout(Duration::from_millis(400), attempt).await;
    assert!(given_up.is_err());
    sleep(Duration::from_millis(100)).await;
    let id = std::fs::read_to_string(&file).unwrap();
    assert!(!runs(id.trim().parse().unwrap()));
}

#[tokio::test]
async fn no_zombie_and_no_descriptor_is_left() {
    let count = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let payload = json!({"x": "y".repeat(100_000)});
    drop(perform("run: ['true']", payload.clone()).await);
    let before = count();
    for _ in 0..40 {
        drop(perform("run: ['true']", payload.clone()).await);
        drop(perform("{shell: sleep 9, timeout: 10ms, grace: 10ms}", payload.clone()).await);
    }
    // Other tests of this process open files at the same time.
    assert!(count() < before + 60, "{before} {}", count());
    let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", std::process::id()));
    for child in children.unwrap_or_default().split_whitespace() {
        let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        assert!(!stat.contains("(true) Z"), "{stat}");
    }
}
