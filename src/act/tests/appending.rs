//! Tests of lines appended to files.

use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use super::*;
use crate::base::json_plan::Plan;
use crate::payload::{Decode, decode_planned};

async fn append(action: &Action, payload: serde_json::Value) -> Outcome {
    let event = event(
        payload,
        &[
            ("X-GitHub-Event", "push"),
            ("X-Many", "a"),
            ("X-Many", "b"),
            ("Authorization", "Basic x"),
            ("Cookie", "c"),
            ("X-Signature", "s"),
        ],
    );
    let withheld = [HeaderName::from_static("x-signature")];
    ACTOR
        .perform(
            action,
            &action_context(&event, &withheld),
            CancellationToken::new(),
        )
        .await
}

#[tokio::test]
async fn the_record_is_one_line_without_credentials() {
    let folder = tempfile::tempdir().unwrap();
    let action = compile_in(folder.path(), "append: log.jsonl").unwrap();
    for _ in 0..2 {
        let outcome = append(
            &action,
            json!({"message": "two\nlines", "id": 9_007_199_254_740_993_i64}),
        )
        .await;
        assert_eq!(outcome.verdict, Verdict::Done, "{}", outcome.detail);
    }
    let path = folder.path().join("log.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().count(), 2);
    let record: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    let id = record["id"].as_str().unwrap().to_owned();
    assert_eq!(
        record,
        json!({
            "id": id, "received_at": "2023-11-14T22:13:20.000Z", "endpoint": "/deploy/{app}", "rule": "deploy-site",
            "verified": true, "method": "POST", "path": "/deploy/site", "query": "who=me&who=you", "client": "192.0.2.1",
            "headers": {"x-github-event": "push", "x-many": "a, b"},
            "payload": {"message": "two\nlines", "id": 9_007_199_254_740_993_i64},
        })
    );
    assert!(text.starts_with(r#"{"id":""#), "{text}");
    let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode & !0o640, 0, "{mode:o}");
}

#[test]
fn the_record_holds_the_json_of_any_body() {
    for (body, expected) in [
        (
            &b" {\"n\": 18446744073709551617}\t"[..],
            r#"{"n": 18446744073709551617}"#,
        ),
        (b"[1,\r\n 18446744073709551617]\n", "[1,18446744073709551617]"),
        (b"\xEF\xBB\xBF{\"a\": 1e2}", r#"{"a":100.0}"#),
        (b"{\"a\": \"\\ud83d\"}", "{\"a\":\"\u{FFFD}\"}"),
        (b"{\"a\": \"\xFF\"}", "{\"a\":\"\u{FFFD}\"}"),
        (b"true", "true"),
    ] {
        let mut event = event(json!(null), &[]);
        let body = Bytes::copy_from_slice(body);
        let plan = Arc::new(Plan::default());
        let payload = decode_planned(Decode::Json, &HeaderMap::new(), &body, 1 << 20, &plan).unwrap();
        Arc::make_mut(&mut event.received).body = body;
        event.payload = payload;
        for failure in [None, Some(("run", "exit 1"))] {
            let failure = failure.map(|(action, reason)| FailureContext {
                action,
                reason,
                output: "",
            });
            let context = ActionContext {
                failure,
                ..action_context(&event, &[])
            };
            let record = String::from_utf8(record::json(&context).unwrap()).unwrap();
            let behind = if failure.is_some() {
                r#","failure":{"action":"run","reason":"exit 1","output":""}}"#
            } else {
                "}"
            };
            let expected = format!(r#","payload":{expected}{behind}"#);
            assert!(record.ends_with(&expected), "{record}");
            assert!(
                serde_json::from_str::<serde_json::Value>(&record).is_ok(),
                "{record}"
            );
        }
    }
}

#[tokio::test]
async fn a_template_line_is_one_line_and_strict() {
    let folder = tempfile::tempdir().unwrap();
    let yaml = "{append: log, line: '{{ payload.m }} {{ attempt }}', sync: true}";
    let action = compile_in(folder.path(), yaml).unwrap();
    assert_eq!(
        append(&action, json!({"m": "a\nforged\r\nline"})).await.verdict,
        Verdict::Done
    );
    let undefined = append(&action, json!({})).await;
    assert_eq!(undefined.verdict, Verdict::Dead);
    assert!(undefined.detail.contains("payload.m"), "{}", undefined.detail);
    let text = std::fs::read_to_string(folder.path().join("log")).unwrap();
    assert_eq!(text, "a\\nforged\\r\\nline 2\n");
}

#[tokio::test]
async fn a_file_that_was_rotated_or_deleted_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let action = compile_in(folder.path(), "{append: log, line: '{{ payload.n }}'}").unwrap();
    let path = folder.path().join("log");
    append(&action, json!({"n": 1})).await;
    std::fs::rename(&path, folder.path().join("log.1")).unwrap();
    append(&action, json!({"n": 2})).await;
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "2\n");
    std::fs::remove_file(&path).unwrap();
    append(&action, json!({"n": 3})).await;
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "3\n");
    // The folder is missing, which a retry may find repaired.
    std::fs::remove_dir_all(folder.path()).unwrap();
    assert_eq!(append(&action, json!({"n": 4})).await.verdict, Verdict::FAILED);
}

#[tokio::test]
async fn a_full_disk_is_a_failure() {
    let outcome = append(&compile("append: /dev/full"), json!({})).await;
    assert_eq!(outcome.verdict, Verdict::FAILED);
    assert!(outcome.detail.contains("No space left"), "{}", outcome.detail);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn lines_of_many_writers_never_mix() {
    let folder = tempfile::tempdir().unwrap();
    let action = Arc::new(compile_in(folder.path(), "{append: log, line: '{{ payload.x }}'}").unwrap());
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..32_u8 {
        let action = Arc::clone(&action);
        tasks.spawn(async move {
            let letter = char::from(b'A' + task % 26).to_string();
            for round in 0..20 {
                let outcome = append(&action, json!({"x": letter.repeat(9_000 + round)})).await;
                assert_eq!(outcome.verdict, Verdict::Done);
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    let text = std::fs::read_to_string(folder.path().join("log")).unwrap();
    assert_eq!(text.lines().count(), 640);
    for line in text.lines() {
        let first = line.chars().next().unwrap();
        assert!(line.len() >= 9_000 && line.chars().all(|letter| letter == first));
    }
}
