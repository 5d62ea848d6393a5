//! Output of commands while they run: the admin API and `hookyard events follow`.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::Duration;

use crate::scenario::{Daemon, Scenario, said};

const RULES: &str = r#"
admin: {socket: admin.sock}
rules:
  - name: build
    endpoint: /build
    verify: none
    retry: {attempts: 2, backoff: [10ms]}
    actions:
      - shell: |
          echo "begin é"; sleep 0.3; echo warning >&2; sleep 0.3; printf '\303'; sleep 0.3
          while [ ! -e go ]; do sleep 0.02; done
          printf '\251\n'
          [ -e again ] || { touch again; exit 1; }
  - name: flood
    endpoint: /flood
    verify: none
    actions:
      - shell: "while [ ! -e go ]; do sleep 0.02; done; head -c 100000000 /dev/zero | tr '\\0' x; echo; echo last"
"#;

/// A daemon, and the delivery whose attempt runs.
fn running(rule: &str) -> (Daemon, String) {
    let daemon = Scenario::new().rules(RULES).start();
    let answer = daemon.post(&format!("/{rule}")).json("{}").send();
    assert_eq!(answer.status, 200);
    let mut id = String::new();
    daemon.eventually("it runs", || {
        let delivery = daemon.scenario.deliveries(&["--rule", rule]).pop().unwrap();
        delivery["delivery"]
            .as_str()
            .unwrap_or_default()
            .clone_into(&mut id);
        delivery["phase"] == "running"
    });
    (daemon, id)
}

/// A stream of a delivery, after the head of its response.
fn stream(daemon: &Daemon, id: &str, after: &str) -> BufReader<UnixStream> {
    let (status, reader) = answer(daemon, id, after);
    assert_eq!(status, 200);
    reader
}

fn answer(daemon: &Daemon, id: &str, after: &str) -> (u16, BufReader<UnixStream>) {
    let mut stream = UnixStream::connect(daemon.folder().join("admin.sock")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    write!(
        stream,
        "GET /api/v1/deliveries/{id}/output HTTP/1.0\r\nHost: localhost\r\nLast-Event-ID: {after}\r\n\r\n"
    )
    .unwrap();
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let status = line.split(' ').nth(1).unwrap().parse().unwrap();
    while line != "\r\n" {
        line.clear();
        reader.read_line(&mut line).unwrap();
    }
    (status, reader)
}

/// The next event: its id, name and data. `None` at the end of the stream.
fn next(reader: &mut impl BufRead) -> Option<(String, String, serde_json::Value)> {
    let (mut id, mut name, mut data) = Default::default();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap() == 0 {
            return None;
        }
        match line.trim_end().split_once(": ") {
            Some(("id", value)) => value.clone_into(&mut id),
            Some(("event", value)) => value.clone_into(&mut name),
            Some(("data", value)) => data = serde_json::from_str(value).unwrap(),
            None if !String::is_empty(&name) => return Some((id, name, data)),
            _ => {}
        }
    }
}

#[test]
fn output_is_followed_while_the_command_runs_and_into_its_retry() {
    let (daemon, id) = running("build");
    let mut follow = daemon.scenario.command(&["events", "follow", &id]);
    let mut following = follow
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(following.stdout.take().unwrap());
    let mut begin = String::new();
    stdout.read_line(&mut begin).unwrap();
    assert_eq!(begin, "begin é\n");
    std::fs::write(daemon.folder().join("go"), "").unwrap();
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "é\nbegin é\né\n");
    let output = following.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert_eq!(stderr.matches("warning\n").count(), 2, "{stderr}");
    for line in [
        "==> build: action 1 (shell), attempt 1\n",
        "==> failed, exit 1\n",
        "==> build: action 1 (shell), attempt 2\n",
        "==> done, exit 0\n==> done\n",
    ] {
        assert!(stderr.contains(line), "{stderr}");
    }
    // It has ended, so the stored output is shown.
    let output = daemon.scenario.hookyard(&["events", "follow", &id]);
    assert_eq!(said(&output).matches("begin é\né\n").count(), 1, "{output:?}");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_reader_that_connects_again_misses_nothing_and_gets_nothing_twice() {
    let (daemon, id) = running("build");
    let mut after = String::new();
    let (mut all, mut names) = (String::new(), Vec::new());
    let mut events = 0;
    loop {
        // A new connection for each event.
        let Some((at, name, data)) = next(&mut stream(&daemon, &id, &after)) else {
            panic!("it ended after {names:?}");
        };
        events += 1;
        assert!(events < 100, "{names:?}");
        if name == "waiting" {
            continue;
        }
        after = at;
        if name == "output" {
            all += data["text"].as_str().unwrap();
            std::fs::write(daemon.folder().join("go"), "").unwrap();
        }
        names.push(name);
        if names.last().unwrap() == "end" {
            assert_eq!(data["state"], "done");
            break;
        }
    }
    assert_eq!(all.replace("warning\n", ""), "begin é\né\nbegin é\né\n");
    let count = |wanted: &str| names.iter().filter(|name| *name == wanted).count();
    assert_eq!(
        (count("attempt"), count("attempt_end"), count("left_out")),
        (2, 2, 0),
        "{names:?}"
    );
}

#[test]
fn a_slow_reader_holds_back_no_command_and_learns_what_was_left_out() {
    let (daemon, id) = running("flood");
    let mut slow = stream(&daemon, &id, "");
    assert_eq!(next(&mut slow).unwrap().1, "attempt");
    std::fs::write(daemon.folder().join("go"), "").unwrap();
    daemon.within(Duration::from_mins(2), "the command ends", || {
        daemon.scenario.deliveries(&[])[0]["state"] == "done"
    });
    let (mut text, mut missing) = (String::new(), 0);
    while let Some((_, name, data)) = next(&mut slow) {
        match name.as_str() {
            "output" => text += data["text"].as_str().unwrap(),
            "left_out" => missing += data["bytes"].as_u64().unwrap(),
            _ => {}
        }
    }
    assert!(text.ends_with("x\nlast\n") && missing > 0);
    assert_eq!(text.len() as u64 + missing, 100_000_006);
}

#[test]
fn streams_are_bounded_and_leave_the_connections_free() {
    let (daemon, id) = running("build");
    let mut open: Vec<_> = (0..64).map(|_| stream(&daemon, &id, "")).collect();
    let (status, mut refused) = answer(&daemon, &id, "");
    let mut word = String::new();
    refused.read_to_string(&mut word).unwrap();
    assert_eq!((status, word.as_str()), (503, "too many streams\n"));
    let status = daemon.scenario.hookyard(&["status"]);
    assert_eq!(status.status.code(), Some(0));
    for reader in &mut open {
        assert_eq!(next(reader).unwrap().1, "attempt");
    }
    drop(open);
    daemon.eventually("a stream is free", || answer(&daemon, &id, "").0 == 200);
    for (id, after, expected) in [
        (id.as_str(), "x", 400),
        ("01a22d0e-5c5f-7fd3-8a6c-294a4ac8ff28", "", 404),
        ("none", "", 404),
    ] {
        assert_eq!(answer(&daemon, id, after).0, expected, "{id} {after}");
    }
}
