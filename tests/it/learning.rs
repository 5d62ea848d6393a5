//! Secrets that senders announce in their handshake: stored once, effective at once, and protected
//! from a second announcement.

use std::os::unix::fs::PermissionsExt;

use crate::handshakes::{RULES, daemon, event, logged, refused};
use crate::scenario::{Daemon, Scenario, hmac_hex};

#[test]
fn a_secret_that_is_told_is_learnt_once_and_verifies_from_then_on() {
    let mut daemon = daemon();
    let body = r#"{"events":[]}"#;
    let asana = |daemon: &Daemon, secret: &str| {
        daemon
            .post("/asana")
            .json("{}")
            .header("X-Hook-Secret", secret)
            .send()
    };
    let signed = |daemon: &Daemon, secret: &str, body: &str| {
        let mac = hmac_hex(secret, body.as_bytes());
        event(daemon, "/asana", "X-Hook-Signature", &mac, body)
    };
    logged(&daemon, "nothing is learnt yet");
    assert_eq!(signed(&daemon, "first", body), refused());
    assert_eq!(signed(&daemon, "", body), refused());
    logged(&daemon, "the secret comes with the handshake `asana`");
    let file = daemon.folder().join("learnt/asana");
    assert!(!file.exists());

    let greeted = asana(&daemon, "first");
    assert_eq!(
        (greeted.status, greeted.header("x-hook-secret")),
        (200, Some("first"))
    );
    // The answer waited for the reload, so the next event finds its secret.
    assert_eq!(signed(&daemon, "first", body), (200, "accepted".to_owned()));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "first\n");
    assert_eq!(
        std::fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(
        std::fs::read_dir(daemon.folder().join("learnt")).unwrap().count(),
        1
    );

    assert_eq!(asana(&daemon, "first").header("x-hook-secret"), Some("first"));
    let second = asana(&daemon, "second");
    assert_eq!(
        (second.outcome(), second.header("x-hook-secret")),
        (refused(), None)
    );
    logged(&daemon, "remove that file and repeat the handshake");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "first\n");
    assert_eq!(signed(&daemon, "second", r#"{"n":2}"#), refused());

    assert_eq!(daemon.stop(), Some(0));
    daemon.start();
    assert!(
        !daemon.log().contains("`learnt/asana` is written"),
        "{}",
        daemon.log()
    );
    assert_eq!(
        signed(&daemon, "first", r#"{"n":3}"#),
        (200, "accepted".to_owned())
    );
    assert_eq!(asana(&daemon, "second").outcome(), refused());

    std::fs::remove_file(&file).unwrap();
    daemon.eventually("the old secret is forgotten", || {
        // The earlier event again, so that the wait itself causes no new event.
        signed(&daemon, "first", r#"{"n":3}"#) == refused()
    });
    assert_eq!(asana(&daemon, "second").status, 200);
    assert_eq!(
        signed(&daemon, "second", r#"{"n":5}"#),
        (200, "accepted".to_owned())
    );
    daemon.eventually("all actions ran", || daemon.lines("ran.jsonl") == 3);
    assert!(!daemon.log().contains("X-Hook-Secret: "));
}

#[test]
fn notion_tells_its_secret_in_the_body_and_none_of_it_is_logged() {
    let rules = format!("log: {{level: debug}}{}", RULES.replace("server: ", "\nserver: "));
    let scenario = Scenario::new().rules(rules.trim_start());
    std::fs::create_dir(scenario.folder().join("learnt")).unwrap();
    let daemon = scenario.start();
    let tell = |token: &str| {
        let body = serde_json::json!({"verification_token": token}).to_string();
        daemon.post("/notion").json(body).send().status
    };
    assert_eq!(tell("secret_tMrlL1qK5vuQAh1b6cZGhFChZTSYJlce98V0pYn7yBl"), 200);
    assert_eq!(tell("secret_other"), 403);
    assert_eq!(tell("a\nb"), 400);
    // Nor does a record keep the body, whatever became of the handshake.
    let records = || {
        let store = rusqlite::Connection::open(daemon.folder().join("hookyard.db")).unwrap();
        let sql = "SELECT count(*), coalesce(sum(length(body)), 0) FROM arrivals WHERE size > 0";
        store
            .query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap()
    };
    daemon.eventually("they are recorded", || records() == (3, 0));
    let body = r#"{"type":"page.created"}"#;
    let mac = hmac_hex(
        "secret_tMrlL1qK5vuQAh1b6cZGhFChZTSYJlce98V0pYn7yBl",
        body.as_bytes(),
    );
    let outcome = event(
        &daemon,
        "/notion",
        "X-Notion-Signature",
        &format!("sha256={mac}"),
        body,
    );
    assert_eq!(outcome, (200, "accepted".to_owned()));
    daemon.eventually("the event's action ran", || daemon.lines("ran.jsonl") == 1);
    assert!(!daemon.log().contains("secret_"), "{}", daemon.log());
}

#[test]
fn what_cannot_be_learnt_is_not_answered_with_success() {
    let daemon = daemon();
    let told = daemon
        .post("/asana-told")
        .json("{}")
        .header("X-Hook-Secret", "k")
        .send();
    assert_eq!((told.outcome(), told.header("x-hook-secret")), (refused(), None));
    logged(&daemon, "`learn: FILE` in place of `secret`");
    std::fs::remove_dir(daemon.folder().join("learnt")).unwrap();
    let answer = daemon
        .post("/asana")
        .json("{}")
        .header("X-Hook-Secret", "first")
        .send();
    assert_eq!(answer.outcome(), (503, "unavailable".to_owned()));
    assert!(answer.header("retry-after").is_some() && answer.header("x-hook-secret").is_none());
    let log = logged(&daemon, "its secret is not learnt");
    let line = log
        .lines()
        .find(|line| line.contains("its secret is not learnt"))
        .unwrap();
    assert!(
        line.contains(" ERROR ") && line.contains("cannot be written"),
        "{line}"
    );
    std::fs::create_dir(daemon.folder().join("learnt")).unwrap();
    let answer = daemon
        .post("/asana")
        .json("{}")
        .header("X-Hook-Secret", "first")
        .send();
    assert_eq!(answer.status, 200);
}

#[test]
fn of_strangers_who_race_to_tell_a_secret_one_wins() {
    let daemon = daemon();
    let secrets: Vec<String> = (0..8).map(|number| format!("secret-{number}")).collect();
    let racing: Vec<_> = secrets
        .iter()
        .map(|secret| {
            let sending = daemon.post("/asana").json("{}").header("X-Hook-Secret", secret);
            std::thread::spawn(move || sending.send().status)
        })
        .collect();
    let statuses: Vec<u16> = racing.into_iter().map(|racing| racing.join().unwrap()).collect();
    assert_eq!(
        statuses.iter().filter(|status| **status == 200).count(),
        1,
        "{statuses:?}"
    );
    assert_eq!(
        statuses.iter().filter(|status| **status == 403).count(),
        7,
        "{statuses:?}"
    );
    let winner = statuses.iter().position(|status| *status == 200).unwrap();
    assert_eq!(daemon.read("learnt/asana").trim_end(), secrets[winner]);
}
