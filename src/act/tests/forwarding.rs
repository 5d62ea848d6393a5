//! Tests of forwards, against a target that can misbehave.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::*;

/// Reaction of the target to a request.
#[derive(Clone)]
pub enum Answer {
    /// Writes these bytes and keeps the connection open.
    Bytes(String),
    /// Never answers.
    Stall,
    /// Closes the connection.
    Cut,
    /// Writes without end.
    Endless,
    /// Writes without end, a byte at a time.
    Dripping,
}

/// Target with its address, the text of its requests, and the tokio tasks that serve it.
pub struct Target {
    pub address: String,
    pub requests: mpsc::UnboundedReceiver<String>,
    _tasks: JoinSet<()>,
}

impl Target {
    pub async fn new(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (sender, requests) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, answer.clone(), sender.clone()));
            }
        });
        Self {
            address,
            requests,
            _tasks: tasks,
        }
    }
}

/// Reads requests of one connection, and answers them.
async fn serve(mut stream: TcpStream, answer: Answer, sender: mpsc::UnboundedSender<String>) {
    let mut got = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        let Ok(length @ 1..) = stream.read(&mut chunk).await else {
            return;
        };
        got.extend_from_slice(&chunk[..length]);
        let text = String::from_utf8_lossy(&got).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let announced = head
            .lines()
            .find_map(|line| {
                line.to_ascii_lowercase()
                    .strip_prefix("content-length: ")?
                    .parse()
                    .ok()
            })
            .unwrap_or(0);
        if body.len() < announced {
            continue;
        }
        sender.send(text).unwrap();
        got.clear();
        match &answer {
            Answer::Bytes(bytes) => stream.write_all(bytes.as_bytes()).await.unwrap(),
            Answer::Stall => tokio::time::sleep(Duration::from_mins(1)).await,
            Answer::Cut => return,
            Answer::Endless => {
                let head = "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n";
                stream.write_all(head.as_bytes()).await.unwrap();
                while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
            }
            Answer::Dripping => {
                let head = "HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n";
                stream.write_all(head.as_bytes()).await.unwrap();
                while stream.write_all(b"1\r\nx\r\n").await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
    }
}

pub fn status(line: &str, headers: &str, body: &str) -> Answer {
    Answer::Bytes(format!(
        "HTTP/1.1 {line}\r\nContent-Length: {}\r\n{headers}\r\n{body}",
        body.len()
    ))
}

#[tokio::test]
async fn the_body_is_forwarded_unchanged_with_headers_but_without_credentials() {
    let mut target = Target::new(status("200 OK", "", "taken")).await;
    let mut event = event(
        json!({}),
        &[
            ("Content-Type", "application/x-custom; charset=x"),
            ("Content-Encoding", "gzip"),
            ("X-GitHub-Event", "push"),
            ("X-Many", "a"),
            ("X-Many", "b"),
            ("Host", "hooks.example.com"),
            ("Content-Length", "9999"),
            ("Authorization", "Bearer sender"),
            ("Proxy-Authorization", "x"),
            ("Cookie", "sender"),
            ("X-Hub-Signature-256", "sha256=sender"),
            ("Connection", "close, X-Hop"),
            ("X-Hop", "1"),
            ("Keep-Alive", "timeout=5"),
            ("TE", "trailers"),
            ("Transfer-Encoding", "chunked"),
            ("Upgrade", "h2c"),
            ("Expect", "100-continue"),
            ("X-Forwarded-For", "10.0.0.1"),
            ("X-Forwarded-Proto", "https"),
            ("Forwarded", "for=10.0.0.1"),
            ("User-Agent", "sender/1"),
            ("Idempotency-Key", "sender"),
        ],
    );
    Arc::make_mut(&mut event.received).body = Bytes::from_static(b" { \"raw\": \"bytes\" } \n");
    let withheld = [HeaderName::from_static("x-hub-signature-256")];
    let action = compile(&format!("forward: {}/in?x=1", target.address));
    let outcome = ACTOR
        .perform(
            &action,
            &action_context(&event, &withheld),
            CancellationToken::new(),
        )
        .await;
    assert_eq!(
        (outcome.verdict, outcome.detail.as_str()),
        (Verdict::Done, "HTTP 200")
    );
    assert_eq!(outcome.output.stdout.bytes(), b"taken");
    let request = target.requests.recv().await.unwrap();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert_eq!(body, " { \"raw\": \"bytes\" } \n");
    let mut lines: Vec<&str> = head.lines().collect();
    assert_eq!(lines.remove(0), "POST /in?x=1 HTTP/1.1");
    lines.sort_unstable();
    let id = format!("x-hookyard-event-id: {}", event.received.id);
    let host = format!("host: {}", target.address.strip_prefix("http://").unwrap());
    let agent = format!("user-agent: hookyard/{}", env!("CARGO_PKG_VERSION"));
    let mut expected = vec![
        "content-encoding: gzip",
        "content-length: 21",
        "content-type: application/x-custom; charset=x",
        &host,
        "idempotency-key: d-1",
        &agent,
        "x-github-event: push",
        &id,
        "x-many: a",
        "x-many: b",
    ];
    expected.sort_unstable();
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn method_headers_and_body_follow_the_rule() {
    let mut target = Target::new(status("204 No Content", "", "")).await;
    let yaml = format!(
        "{{forward: {{url: '{}/b/{{{{ payload.ref }}}}?q={{{{ payload.ref }}}}', method: put, body: '{{\"t\": {{{{ payload.ref | tojson }}}}}}'}}, headers: {{Authorization: \"Bearer {{{{ secret('CI_TOKEN') }}}}\", X-Ref: '{{{{ payload.ref }}}}'}}}}",
        target.address
    );
    let outcome = perform(&yaml, json!({"ref": "a/b \"ü"})).await;
    assert_eq!(outcome.verdict, Verdict::Done, "{}", outcome.detail);
    let request = target.requests.recv().await.unwrap();
    assert!(
        request.starts_with("PUT /b/a%2Fb%20%22%C3%BC?q=a%2Fb%20%22%C3%BC HTTP/1.1\r\n"),
        "{request}"
    );
    assert!(request.contains("authorization: Bearer s3cr3t\r\n"), "{request}");
    assert!(
        request.contains("content-type: application/json\r\n"),
        "{request}"
    );
    assert!(request.contains("x-ref: a/b \"ü\r\n"), "{request}");
    assert!(request.ends_with("\r\n\r\n{\"t\": \"a/b \\\"ü\"}"), "{request}");
}

#[tokio::test]
async fn a_text_body_a_bodiless_method_and_an_own_content_type() {
    let mut target = Target::new(status("200 OK", "", "")).await;
    for (rest, expected) in [
        ("body: 'not json'", "content-type: text/plain; charset=utf-8"),
        (
            "body: '<x/>', headers: {Content-Type: text/xml}",
            "content-type: text/xml",
        ),
        ("method: GET", "GET / HTTP/1.1"),
    ] {
        let yaml = format!("{{forward: {{url: '{}', {rest}}}}}", target.address);
        assert_eq!(perform(&yaml, json!({"a": 1})).await.verdict, Verdict::Done);
        let request = target.requests.recv().await.unwrap();
        assert!(request.contains(expected), "{request}");
        assert!(
            !request.starts_with("GET") || request.ends_with("\r\n\r\n"),
            "{request}"
        );
    }
}

#[tokio::test]
async fn an_invalid_request_is_dead_and_is_not_sent() {
    let mut target = Target::new(status("200 OK", "", "")).await;
    let base = target.address.clone();
    for (yaml, payload, reason) in [
        (
            format!("forward: '{base}/{{{{ payload.x }}}}'"),
            json!({}),
            "payload.x",
        ),
        (
            format!("forward: '{base}/a/{{{{ payload.x }}}}/b'"),
            json!({"x": ".."}),
            "segment",
        ),
        (
            format!("forward: '{base}/a/{{{{ payload.x | safe }}}}'"),
            json!({"x": "b/%2e%2e/c"}),
            "segment",
        ),
        (
            format!("{{forward: '{base}', headers: {{X-A: '{{{{ payload.x }}}}'}}}}"),
            json!({"x": "a\r\nX-B: c"}),
            "`x-a`",
        ),
        (
            format!("{{forward: '{base}', headers: {{X-A: '{{{{ payload.x }}}}'}}}}"),
            json!({"x": "a\u{0}"}),
            "`x-a`",
        ),
        (
            format!("{{forward: {{url: '{base}', body: '{{{{ payload.x }}}}'}}}}"),
            json!({}),
            "body: `payload.x`",
        ),
    ] {
        let outcome = perform(&yaml, payload).await;
        assert_eq!(outcome.verdict, Verdict::Dead, "{yaml}");
        assert!(outcome.detail.contains(reason), "{}", outcome.detail);
    }
    assert!(target.requests.try_recv().is_err());
}

#[tokio::test]
async fn responses_have_a_verdict_and_redirects_are_not_followed() {
    let mut elsewhere = Target::new(status("200 OK", "", "")).await;
    let location = format!("Location: {}/\r\n", elsewhere.address);
    let wait = |seconds| Verdict::Failed {
        retry_after: Some(Duration::from_secs(seconds)),
    };
    for (line, headers, verdict, detail) in [
        ("202 Accepted", "", Verdict::Done, "HTTP 202"),
        (
            "302 Found",
            location.as_str(),
            Verdict::Dead,
            "HTTP 302: redirects are not followed",
        ),
        (
            "307 Temporary Redirect",
            location.as_str(),
            Verdict::Dead,
            "HTTP 307: redirects are not followed",
        ),
        ("404 Not Found", "", Verdict::Dead, "HTTP 404"),
        ("429 Too Many", "Retry-After: 7\r\n", wait(7), "HTTP 429"),
        ("503 Busy", "Retry-After: 99999\r\n", wait(3600), "HTTP 503"),
        ("500 Oops", "", Verdict::FAILED, "HTTP 500"),
    ] {
        let target = Target::new(status(line, headers, "why")).await;
        let outcome = perform(&format!("forward: {}", target.address), json!({})).await;
        assert_eq!((outcome.verdict, outcome.detail.as_str()), (verdict, detail));
        assert_eq!(outcome.output.stdout.bytes(), b"why");
    }
    assert!(elsewhere.requests.try_recv().is_err());
}

#[tokio::test]
async fn a_slow_broken_or_missing_target_is_retried() {
    let stalling = Target::new(Answer::Stall).await;
    let started = Instant::now();
    let outcome = perform(
        &format!("{{forward: '{}', timeout: 300ms}}", stalling.address),
        json!({}),
    )
    .await;
    assert_eq!(
        (outcome.verdict, outcome.detail.as_str()),
        (Verdict::FAILED, "timed out after 300ms")
    );
    assert!(started.elapsed() < Duration::from_secs(5));
    let cutting = Target::new(Answer::Cut).await;
    let outcome = perform(&format!("forward: {}", cutting.address), json!({})).await;
    assert_eq!(outcome.verdict, Verdict::FAILED, "{}", outcome.detail);
    let garbage = Target::new(Answer::Bytes("SSH-2.0-x\r\n\r\n".into())).await;
    let outcome = perform(&format!("forward: {}", garbage.address), json!({})).await;
    assert_eq!(outcome.verdict, Verdict::FAILED, "{}", outcome.detail);
    let address = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let outcome = perform(&format!("forward: http://{address}/"), json!({})).await;
    assert_eq!(outcome.verdict, Verdict::FAILED);
    assert!(outcome.detail.contains("refused"), "{}", outcome.detail);
    // TLS to a server that does not speak it.
    let outcome = perform(
        &format!("forward: https://{}", garbage.address.replace("http://", "")),
        json!({}),
    )
    .await;
    assert_eq!(outcome.verdict, Verdict::FAILED, "{}", outcome.detail);
}

#[tokio::test]
async fn a_response_is_read_up_to_a_bound_and_its_status_decides() {
    let endless = Target::new(Answer::Endless).await;
    let outcome = perform(&format!("forward: {}", endless.address), json!({})).await;
    assert_eq!(outcome.verdict, Verdict::Done);
    assert!(outcome.output.stdout.bytes().len() < 20_000);
    assert!(outcome.output.stdout.total() < 200_000);
    let dripping = Target::new(Answer::Dripping).await;
    let started = Instant::now();
    let outcome = perform(&format!("forward: {}", dripping.address), json!({})).await;
    assert_eq!(
        (outcome.verdict, outcome.detail.as_str()),
        (Verdict::FAILED, "HTTP 503")
    );
    assert!(outcome.output.stdout.bytes().starts_with(b"xx"));
    assert!(started.elapsed() < Duration::from_secs(5));
    let torn = Answer::Bytes("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf".into());
    let stalling = Target::new(torn).await;
    let started = Instant::now();
    let outcome = perform(
        &format!("{{forward: '{}', timeout: 500ms}}", stalling.address),
        json!({}),
    )
    .await;
    assert_eq!(
        (outcome.verdict, outcome.output.stdout.text().as_str()),
        (Verdict::Done, "half")
    );
    assert!(started.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn connections_are_reused_and_a_stop_is_no_attempt() {
    let mut target = Target::new(status("200 OK", "", "x")).await;
    let event = event(json!({}), &[]);
    let action = compile(&format!("forward: {}", target.address));
    for _ in 0..3 {
        let outcome = ACTOR
            .perform(&action, &action_context(&event, &[]), CancellationToken::new())
            .await;
        assert_eq!(outcome.verdict, Verdict::Done);
        target.requests.recv().await.unwrap();
    }
    let stalling = Target::new(Answer::Stall).await;
    let action = compile(&format!("forward: {}", stalling.address));
    let stop = CancellationToken::new();
    let action_context = action_context(&event, &[]);
    let (outcome, ()) = tokio::join!(ACTOR.perform(&action, &action_context, stop.clone()), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        stop.cancel();
    });
    assert_eq!(outcome.verdict, Verdict::Stopped);
}
