//! A server that is not reached, or that refuses.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixDatagram;

use crate::scenario::{Scenario, Sending, free_port, said};

/// Rules whose store is on a port of this machine.
fn rules(port: u16, admin: u16) -> String {
    format!(
        "store: {{url: 'postgres://me:geheim@127.0.0.1:{port}/queue', schema: hooks}}\n\
         node: web1\n\
         admin: {{listen: '127.0.0.1:{admin}'}}\n\
         rules: [{{name: a, endpoint: /a, verify: none, actions: [{{run: [/bin/true]}}]}}]\n"
    )
}

const PLACE: &str = "(schema `hooks`)";

fn get(port: u16, path: &str) -> u16 {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    Sending::to(address, "GET", path).send().status
}

#[test]
fn a_daemon_without_its_server_listens_and_is_not_ready() {
    let (port, admin) = (free_port(), free_port());
    let scenario = Scenario::new().rules(&rules(port, admin));
    let path = scenario.folder().join("notify");
    let notified = UnixDatagram::bind(&path).unwrap();
    let mut daemon = scenario.env("NOTIFY_SOCKET", path.to_str().unwrap()).start();
    daemon.eventually("it tells why it waits", || {
        daemon.log().contains("is not reached")
    });
    let answer = daemon.post("/a").json("{}").send();
    assert_eq!(answer.outcome(), (503, "unavailable".into()));
    assert_eq!(answer.header("retry-after"), Some("30"));
    assert_eq!([get(admin, "/readyz"), get(admin, "/healthz")], [503, 200]);
    let status = daemon.scenario.hookyard(&["status", "--check"]);
    assert_eq!(status.status.code(), Some(1));
    let problems = said(&status);
    assert!(
        problems.starts_with(&format!(
            "the store `postgres://127.0.0.1:{port}/queue {PLACE}` is not reached:"
        )),
        "{problems}"
    );
    assert!(!problems.contains("geheim") && !daemon.log().contains("geheim"));
    daemon.still_runs();
    notified.set_nonblocking(true).unwrap();
    let mut bytes = [0; 256];
    while let Ok(length) = notified.recv(&mut bytes) {
        assert!(!bytes[..length].starts_with(b"READY=1"));
    }
    assert_eq!(daemon.stop(), Some(0));
}

/// A server that answers each connection with an error.
fn refusing(code: &'static str, words: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let mut begun = [0; 512];
            drop(stream.read(&mut begun));
            let fields = format!("SFATAL\0VFATAL\0C{code}\0M{words}\0\0");
            let length = u32::try_from(fields.len() + 4).unwrap();
            drop(stream.write_all(&[b"E", &length.to_be_bytes()[..], fields.as_bytes()].concat()));
        }
    });
    port
}

#[test]
fn a_server_that_will_never_let_the_daemon_in_ends_the_start() {
    for (code, words) in [
        ("28P01", "password authentication failed for user \"me\""),
        ("3D000", "database \"queue\" does not exist"),
    ] {
        let scenario = Scenario::new().rules(&rules(refusing(code, words), free_port()));
        let output = scenario.hookyard(&["serve", "rules.yaml"]);
        assert_eq!(output.status.code(), Some(2));
        assert!(said(&output).contains(words), "{}", said(&output));
        assert!(!said(&output).contains("geheim"), "{}", said(&output));
    }
    // A server that starts is waited for.
    let port = refusing("57P03", "the database system is starting up");
    let daemon = Scenario::new().rules(&rules(port, free_port())).start();
    daemon.eventually("it waits", || {
        daemon.log().contains("the database system is starting up")
    });
    assert_eq!(daemon.post("/a").json("{}").send().status, 503);
}

#[test]
fn commands_name_the_server_and_never_its_password() {
    let port = free_port();
    let scenario = Scenario::new().rules(&rules(port, free_port()));
    let url = format!("postgres://me:geheim@127.0.0.1:{port}/queue");
    let place = format!("postgres://127.0.0.1:{port}/queue {PLACE}");
    let by_url = ["--store", &url, "--schema", "hooks"];
    for (arguments, code, expected) in [
        (
            vec!["store", "backup", "copy.db"],
            2,
            "use `pg_dump --schema=hooks`",
        ),
        (vec!["store", "vacuum"], 2, "autovacuum"),
        (vec!["events", "list"], 2, ""),
        (
            vec!["store", "schema"],
            0,
            "CREATE SCHEMA IF NOT EXISTS \"hooks\";",
        ),
    ] {
        for more in [&[][..], &by_url] {
            let arguments: Vec<&str> = arguments.iter().chain(more).copied().collect();
            let output = scenario.hookyard(&arguments);
            let text = said(&output);
            assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
            assert!(
                text.contains(expected) && !text.contains("geheim"),
                "{arguments:?}: {text}"
            );
            if arguments.contains(&"backup") {
                assert!(text.contains(&place), "{text}");
            }
        }
    }
    let connect = scenario.hookyard(&["check", "--connect"]);
    assert_eq!(connect.status.code(), Some(1));
    assert!(said(&connect).contains(&place), "{}", said(&connect));
    let wrong = scenario.hookyard(&["events", "list", "--store", "hookyard.db", "--schema", "x"]);
    assert!(
        said(&wrong).contains("is a file, and has no schema"),
        "{}",
        said(&wrong)
    );
}

#[test]
fn a_check_that_connects_says_that_a_file_has_no_server() {
    let scenario = Scenario::new().rules("rules: []\n");
    let output = scenario.hookyard(&["check", "--connect"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(said(&output).contains("the store is a file"), "{}", said(&output));
}
