//! The door of the operator's page: hosts, origins, logins and guests.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::Stdio;

use crate::scenario::{Daemon, Scenario, free_port};

const RULES: &str = "
store: {path: hookyard.db}
rules: [{name: open, endpoint: /open, verify: none, actions: [append: open.jsonl]}]
";

/// Of `correct horse battery`.
const HASH: &str =
    "$pbkdf2-sha256$i=100000,l=32$MDEyMzQ1Njc4OWFiY2RlZg$hLne8TouGCTQgICXM2UlnguGPFJk6wzUwaafCbSR+18";

/// Sends a request with these header lines, and returns the status, the head and the body.
fn ask(stream: impl Read + Write, request: &str, headers: &[&str], body: &str) -> (u16, String, String) {
    let mut stream = stream;
    let lines = headers
        .iter()
        .fold(String::new(), |lines, line| lines + line + "\r\n");
    let length = body.len();
    let request =
        format!("{request} HTTP/1.1\r\n{lines}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}");
    // In one write: a daemon that refuses a request may not read its body.
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_owned(), body.to_owned())
}

fn socket(daemon: &Daemon, name: &str) -> UnixStream {
    UnixStream::connect(daemon.folder().join(name)).unwrap()
}

const JSON: &str = "Content-Type: application/json";
const LOCAL: &str = "Host: localhost";

#[test]
fn other_pages_in_the_browser_do_not_get_through_the_socket() {
    let daemon = Scenario::new().rules(RULES).start();
    let list = |headers: &[&str]| {
        ask(
            socket(&daemon, "hookyard.db.sock"),
            "POST /api/v1/rules/open/pause",
            headers,
            "{}",
        )
        .0
    };
    for (headers, status) in [
        (&[LOCAL, JSON][..], 200),
        (&[LOCAL, "Sec-Fetch-Site: same-origin"], 200),
        (&["Host: 127.0.0.1:9001", "Origin: http://127.0.0.1:9001"], 200),
        (&["Host: evil.example", JSON], 421),
        (&[JSON], 400),
        (&[LOCAL, LOCAL, JSON], 400),
        (&[LOCAL, JSON, "Sec-Fetch-Site: cross-site"], 403),
        (&[LOCAL, JSON, "Origin: http://evil.example"], 403),
        (&[LOCAL, JSON, "Origin: null"], 403),
        (&[LOCAL, "Content-Type: text/plain"], 403),
    ] {
        assert_eq!(list(headers), status, "{headers:?}");
    }
    let get = |target: &str, host: &str| {
        ask(
            socket(&daemon, "hookyard.db.sock"),
            &format!("GET {target}"),
            &[host],
            "",
        )
        .0
    };
    assert_eq!(get("/status", "Host: evil.example"), 421);
    assert_eq!(get("http://localhost/status", LOCAL), 400);
    assert_eq!(get("/metrics", "Host: evil.example"), 200);
    let (status, head, _) = ask(
        socket(&daemon, "hookyard.db.sock"),
        "OPTIONS /rules",
        &[
            LOCAL,
            "Origin: http://evil.example",
            "Access-Control-Request-Method: POST",
        ],
        "",
    );
    assert_eq!(status, 405);
    assert!(!head.contains("access-control"), "{head}");
    assert!(
        head.contains("frame-ancestors 'none'") && head.contains("no-store"),
        "{head}"
    );
    daemon.eventually("the log says why", || {
        daemon.log().contains("`Host` is `evil.example`, neither")
    });
}

#[test]
fn guests_only_read() {
    let rules = format!("admin: {{read_only_socket: {{path: guests.sock, mode: \"0600\"}}}}\n{RULES}");
    let daemon = Scenario::new().rules(&rules).start();
    let guest = |request: &str| ask(socket(&daemon, "guests.sock"), request, &[LOCAL, JSON], "{}");
    assert_eq!(guest("GET /status").0, 200);
    for path in [
        "rules/open/pause",
        "rules/open/fire",
        "targets/pause",
        "deliveries/drop",
        "plan",
    ] {
        let (status, _, body) = guest(&format!("POST /api/v1/{path}"));
        assert_eq!((status, &*body), (403, "{\"error\":\"read only\"}"), "{path}");
    }
    assert_eq!(guest("POST /api/v1/check").0, 403);
    // With `read_only`, so do browsers, and the command line of the daemon's own user works.
    daemon.rewrite(&rules.replace("admin: {", "admin: {page: read_only, "));
    let own = |headers: &[&str]| {
        ask(
            socket(&daemon, "hookyard.db.sock"),
            "POST /api/v1/rules/open/pause",
            headers,
            "{}",
        )
        .0
    };
    daemon.eventually("browsers only read", || {
        own(&[LOCAL, "Sec-Fetch-Site: same-origin"]) == 403
    });
    assert_eq!(own(&[LOCAL, JSON]), 200);
}

#[test]
fn a_session_on_tcp_begins_with_the_password_and_ends_with_it() {
    let port = free_port();
    let rules = format!("admin: {{listen: '127.0.0.1:{port}', password: 'file:admin.hash'}}\n{RULES}");
    let daemon = Scenario::new().file("admin.hash", HASH).rules(&rules).start();
    let connect = || TcpStream::connect(("127.0.0.1", port)).unwrap();
    let host = format!("Host: localhost:{port}");
    let origin = format!("Origin: http://localhost:{port}");
    assert_eq!(ask(connect(), "GET /healthz", &["Host: monitoring"], "").0, 200);
    let (status, head, _) = ask(connect(), "GET /status", &[&host], "");
    assert!(status == 303 && head.contains("location: /login"), "{head}");
    assert_eq!(ask(connect(), "GET /api/v1/rules", &[&host], "").0, 401);
    assert_eq!(
        ask(connect(), "POST /api/v1/rules/open/pause", &[&host, JSON], "{}").0,
        401
    );
    let (status, _, page) = ask(connect(), "GET /login", &[&host], "");
    assert!(status == 200 && page.contains("type=\"password\""), "{page}");

    let log_in = |headers: &[&str], password: &str| {
        ask(connect(), "POST /login", headers, &format!("password={password}"))
    };
    assert_eq!(
        log_in(&[&host, "Origin: http://evil.example"], "correct+horse+battery").0,
        403
    );
    let (status, head, _) = log_in(&[&host, &origin], "correct+horse+battery");
    assert_eq!(status, 303, "{head}");
    let cookie = head_cookie(&head);
    let with = |request: &str| ask(connect(), request, &[&host, &origin, &cookie], "{}").0;
    assert_eq!(
        (with("GET /status"), with("POST /api/v1/rules/open/pause")),
        (200, 200)
    );
    assert_eq!(with("POST /api/v1/check"), 403);
    assert_eq!(with("POST /logout"), 303);
    assert_eq!(with("GET /status"), 303);

    // Guesses are limited, and the log has none of them.
    let guesses: Vec<u16> = (0..7)
        .map(|_| log_in(&[&host, &origin], "guessed+secret").0)
        .collect();
    assert_eq!(guesses, [401, 401, 401, 401, 401, 429, 429]);
    let (status, head, _) = log_in(&[&host, &origin], "correct+horse+battery");
    assert!(status == 429 && head.contains("retry-after: "), "{head}");
    daemon.eventually("the log has the guesses", || {
        daemon.log().contains("too many attempts")
    });
    assert!(!daemon.log().contains("guessed") && !daemon.log().contains("correct"));
}

/// The cookie of an answer, as a request sends it.
fn head_cookie(head: &str) -> String {
    let line = head
        .lines()
        .find_map(|line| line.strip_prefix("set-cookie: "))
        .unwrap();
    let (pair, attributes) = line.split_once(';').unwrap();
    assert!(
        attributes.contains("HttpOnly") && attributes.contains("SameSite=Strict"),
        "{line}"
    );
    format!("Cookie: {pair}")
}

#[test]
fn the_command_line_makes_hashes_and_shows_the_way() {
    let daemon = Scenario::new().rules(RULES).start();
    let scenario = &daemon.scenario;
    let hash_of = |password: &str| {
        let mut command = scenario.command(&["admin", "password"]);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(password.as_bytes())
            .unwrap();
        let output = child.wait_with_output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, hash) = hash_of("correct horse battery\n");
    assert!(
        code == Some(0) && hash.starts_with("$pbkdf2-sha256$i=600000,l=32$"),
        "{hash}"
    );
    assert_eq!(hash_of("too short\n"), (Some(2), String::new()));

    // A relay, for this user.
    let mut command = scenario.command(&["open", "--no-browser"]);
    let command = command.env_remove("SSH_CONNECTION").stdout(Stdio::piped());
    let mut relay = command.stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(relay.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let address = line.trim().strip_prefix("http://").unwrap().trim_end_matches('/');
    let get = |host: &str| {
        let host = format!("Host: {host}");
        ask(TcpStream::connect(address).unwrap(), "GET /status", &[&host], "").0
    };
    assert_eq!((get(address), get("evil.example")), (200, 421));
    relay.kill().unwrap();
    relay.wait().unwrap();

    let mut command = scenario.command(&["open"]);
    let output = command
        .env("SSH_CONNECTION", "192.0.2.9 5000 198.51.100.1 2222")
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(
        said.contains("ssh -N -p 2222 -L 127.0.0.1:9001:") && said.contains("@198.51.100.1"),
        "{said}"
    );
}
