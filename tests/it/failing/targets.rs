//! Targets that hang, disconnect or do not exist: at each stage of HTTP, an attempt ends in time,
//! with a reason, and is retried.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use crate::failing::{attempts, event};
use crate::scenario::Scenario;

/// Time that a hanging target holds a connection: longer than any test.
const FOR_EVER: Duration = Duration::from_mins(5);

/// A target that handles each connection with `behave`.
fn target(behave: impl Fn(TcpStream) + Send + Sync + Clone + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // The threads end with the test process.
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let behave = behave.clone();
            std::thread::spawn(move || behave(stream));
        }
    });
    address
}

/// A target that reads the request, sends `words`, and hangs.
fn stalls_after(words: &'static str) -> SocketAddr {
    target(move |mut stream| {
        read_request(&mut stream);
        drop(stream.write_all(words.as_bytes()));
        std::thread::sleep(FOR_EVER);
    })
}

/// A target that reads the request, sends `words`, and disconnects.
fn ends_after(words: &'static str) -> SocketAddr {
    target(move |mut stream| {
        read_request(&mut stream);
        drop(stream.write_all(words.as_bytes()));
    })
}

/// A target that reads the request, sends `words`, then `more` forever.
fn goes_on(words: &'static str, more: &'static str) -> SocketAddr {
    target(move |mut stream| {
        read_request(&mut stream);
        let mut said = stream.write_all(words.as_bytes());
        while said.is_ok() {
            said = stream.write_all(more.as_bytes());
        }
    })
}

fn read_request(stream: &mut TcpStream) {
    let mut head = Vec::new();
    let mut byte = [0];
    // The body of these requests is `{"n":0}`.
    while !head.ends_with(b"}") && matches!(stream.read(&mut byte), Ok(1)) {
        head.push(byte[0]);
    }
}

/// A listener with a full queue, so that connecting gets no response.
fn full_queue() -> (SocketAddr, Vec<TcpStream>, TcpListener) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .unwrap();
    let listener = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        socket.listen(1).unwrap().into_std().unwrap()
    });
    let address = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        assert!(queued.len() < 100, "the queue is never full");
        queued.push(stream);
    }
    (address, queued, listener)
}

#[test]
fn a_target_that_hangs_at_any_stage_is_given_up_in_time_and_tried_again() {
    const TIMED_OUT: &str = "timed out after 1s";
    let http = |address: SocketAddr| format!("http://{address}/");
    let (queue, _queued, _listener) = full_queue();
    let silent = target(|_stream| std::thread::sleep(FOR_EVER));
    // Closing a socket with unread data resets the connection.
    let reset = target(|mut stream| drop(stream.read(&mut [0])));
    let nobody = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let endless = "HTTP/1.1 200 OK\r\n";
    // Stage, target, and the part of the reason that the log must contain.
    let failing = [
        ("nobody-listens", http(nobody), "Connection refused"),
        ("queue-is-full", http(queue), TIMED_OUT),
        ("says-nothing", http(silent), TIMED_OUT),
        ("tls-stalls", format!("https://{silent}/"), TIMED_OUT),
        ("half-a-status", http(stalls_after("HTTP/1.1 20")), TIMED_OUT),
        (
            "half-a-head",
            http(stalls_after("HTTP/1.1 200 OK\r\nA: b\r\n")),
            TIMED_OUT,
        ),
        (
            "head-without-end",
            http(goes_on(endless, "A: b\r\n")),
            "message head is too large",
        ),
        (
            "ends-before-the-answer",
            http(ends_after("")),
            "connection closed before message completed",
        ),
        (
            "ends-in-the-head",
            http(ends_after("HTTP/1.1 200 OK\r\nA")),
            "connection closed before message completed",
        ),
        (
            "is-no-http",
            http(ends_after("SSH-2.0-OpenSSH_9.6\r\n")),
            "invalid HTTP",
        ),
        ("resets", http(reset), "onnection"),
        (
            "status-500-without-end",
            http(goes_on("HTTP/1.1 500 No\r\n\r\n", "x")),
            "HTTP 500",
        ),
    ];
    // Once there is a status, it decides, regardless of the body.
    let done = [
        (
            "body-stalls",
            http(stalls_after("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")),
        ),
        ("body-without-end", http(goes_on("HTTP/1.1 200 OK\r\n\r\n", "x"))),
        (
            "body-is-cut",
            http(ends_after("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")),
        ),
    ];
    let rule = |name: &str, url: &str| {
        format!(
            "  - {{name: {name}, endpoint: /in, verify: {{github: {{secret: k}}}}, \
             actions: [{{forward: '{url}', timeout: 1s}}], retry: {{attempts: 2, backoff: [100ms]}}}}\n"
        )
    };
    let mut rules = "log: {format: json}\nrules:\n".to_owned();
    for (name, url, _) in &failing {
        rules += &rule(name, url);
    }
    for (name, url) in &done {
        rules += &rule(name, url);
    }
    let daemon = Scenario::new().rules(&rules).start();
    assert_eq!(event(&daemon, 0).send().outcome(), (200, "accepted".into()));
    for (name, _, reason) in failing {
        daemon.eventually(name, || attempts(&daemon, name).len() == 2);
        let attempts = attempts(&daemon, name);
        let [first, second] = &attempts[..] else {
            panic!("{name}: {attempts:?}");
        };
        for [outcome, detail, _] in [first, second] {
            assert_eq!(outcome, "failed", "{name}: {detail}");
            assert!(detail.contains(reason), "{name}: {detail}");
        }
        assert!(first[2].starts_with("retry at"), "{name}: {first:?}");
        assert!(second[2].starts_with("dead"), "{name}: {second:?}");
    }
    for (name, _) in done {
        daemon.eventually(name, || !attempts(&daemon, name).is_empty());
        let [outcome, detail, next] = &attempts(&daemon, name)[0];
        assert_eq!([outcome, detail, next], ["done", "HTTP 200", "done"], "{name}");
    }
}

#[test]
fn a_name_that_cannot_be_resolved_is_tried_again() {
    // A name that never exists (RFC 6761). Without a reachable name server, the lookup fails
    // slowly.
    let rules = "
log: {format: json}
rules:
  - name: astray
    endpoint: /in
    verify: {github: {secret: k}}
    actions: [{forward: 'http://hooks.invalid/', timeout: 2s}]
    retry: {attempts: 2, backoff: [100ms]}
";
    let mut daemon = Scenario::new().rules(rules).start();
    assert_eq!(event(&daemon, 0).send().outcome(), (200, "accepted".into()));
    daemon.eventually("it is given up", || attempts(&daemon, "astray").len() == 2);
    let attempts = attempts(&daemon, "astray");
    for [outcome, detail, _] in &attempts {
        assert_eq!(outcome, "failed");
        let said = detail.contains("failed to lookup address information") || detail == "timed out after 2s";
        assert!(said, "{detail}");
    }
    assert!(attempts[0][2].starts_with("retry at"), "{attempts:?}");
    assert!(attempts[1][2].starts_with("dead"), "{attempts:?}");
    assert_eq!(daemon.stop(), Some(0));
}
