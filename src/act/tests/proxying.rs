//! Tests of requests through a proxy.

use std::net::SocketAddr;

use parking_lot::Mutex;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::securing::{Server, authority, folder};
use super::*;

/// Proxy that answers plain requests itself, and leads every tunnel to one server.
struct Between {
    address: SocketAddr,
    /// Heads of the requests received.
    request_heads: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

impl Between {
    async fn new(server: Option<SocketAddr>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let request_heads = Arc::<Mutex<Vec<String>>>::default();
        let noted = Arc::clone(&request_heads);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(pass_on(stream, server, Arc::clone(&noted)));
            }
        });
        Self {
            address,
            request_heads,
            _tasks: tasks,
        }
    }

    fn request_heads(&self) -> Vec<String> {
        std::mem::take(&mut *self.request_heads.lock())
    }
}

async fn pass_on(mut stream: TcpStream, server: Option<SocketAddr>, request_heads: Arc<Mutex<Vec<String>>>) {
    let mut got = Vec::new();
    let mut byte = [0];
    while !got.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).await.unwrap() == 0 {
            return;
        }
        got.extend_from_slice(&byte);
    }
    let head = String::from_utf8(got).unwrap();
    let tunnel = head.starts_with("CONNECT ");
    request_heads.lock().push(head);
    match server.filter(|_| tunnel) {
        Some(server) => {
            let mut onward = TcpStream::connect(server).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            drop(tokio::io::copy_bidirectional(&mut stream, &mut onward).await);
        }
        None if tunnel => stream
            .write_all(b"HTTP/1.1 407 Who are you\r\n\r\n")
            .await
            .unwrap(),
        None => {
            let answer = b"HTTP/1.1 202 Accepted\r\nContent-Length: 5\r\nConnection: close\r\n\r\nproxy";
            stream.write_all(answer).await.unwrap();
        }
    }
}

async fn forward(folder: &Path, environment: &[(&str, &str)], yaml: &str) -> Outcome {
    let action = compile_with(folder, environment, yaml).unwrap();
    let event = event(json!({}), &[]);
    ACTOR
        .perform(&action, &action_context(&event, &[]), CancellationToken::new())
        .await
}

#[tokio::test]
async fn an_https_target_is_reached_through_a_tunnel_with_its_own_tls() {
    let trusted = authority("ours");
    let server = Server::new(&trusted, None).await;
    let between = Between::new(Some(server.address)).await;
    let folder = folder(&[("ca.pem", &trusted.pem())]);
    let yaml = format!(
        "{{forward: 'https://ci.internal/x', tls: {{ca: ca.pem}}, proxy: 'http://{}'}}",
        between.address
    );
    let outcome = forward(folder.path(), &[], &yaml).await;
    assert_eq!(outcome.verdict, Verdict::Done, "{}", outcome.detail);
    assert_eq!(outcome.output.stdout.bytes(), b"ok");
    assert_eq!(
        between.request_heads(),
        ["CONNECT ci.internal:443 HTTP/1.1\r\nHost: ci.internal:443\r\n\r\n"]
    );
}

#[tokio::test]
async fn an_http_request_is_handed_to_the_proxy_whole() {
    let between = Between::new(None).await;
    let yaml = format!(
        "{{forward: 'http://ci.internal:81/x?y=z', proxy: 'http://{}'}}",
        between.address
    );
    let outcome = forward(Path::new("/tmp"), &[], &yaml).await;
    assert_eq!(outcome.detail, "HTTP 202");
    let request_heads = between.request_heads();
    assert!(
        request_heads[0].starts_with("POST http://ci.internal:81/x?y=z HTTP/1.1\r\n"),
        "{request_heads:?}"
    );
    assert!(
        request_heads[0].contains("host: ci.internal:81\r\n"),
        "{request_heads:?}"
    );
    assert!(
        !request_heads[0].contains("proxy-authorization"),
        "{request_heads:?}"
    );
}

#[tokio::test]
async fn only_the_proxy_gets_its_password() {
    let between = Between::new(None).await;
    let url = format!("http://me:hunter2@{}/", between.address);
    let environment = [("PROXY", url.as_str())];
    let basic = "Basic bWU6aHVudGVyMg==";
    let yaml = "{forward: 'http://ci.internal/', proxy: env:PROXY}";
    let action = compile_with(Path::new("/tmp"), &environment, yaml).unwrap();
    assert!(!format!("{action:?}").contains("hunter2"));
    assert_eq!(
        forward(Path::new("/tmp"), &environment, yaml).await.detail,
        "HTTP 202"
    );
    let request_heads = between.request_heads();
    assert!(
        request_heads[0].contains(&format!("proxy-authorization: {basic}\r\n")),
        "{request_heads:?}"
    );
    let yaml = "{forward: 'https://ci.internal/', proxy: env:PROXY}";
    let outcome = forward(Path::new("/tmp"), &environment, yaml).await;
    assert_eq!(outcome.verdict, Verdict::FAILED);
    assert!(
        outcome.detail.contains("proxy authorization required"),
        "{}",
        outcome.detail
    );
    let request_heads = between.request_heads();
    assert!(
        request_heads[0].contains(&format!("Proxy-Authorization: {basic}\r\n")),
        "{request_heads:?}"
    );
    let detail = outcome.detail;
    assert!(
        !detail.contains("hunter2") && !detail.contains("bWU6"),
        "{detail}"
    );
}

#[tokio::test]
async fn the_environment_names_proxies_by_default_in_either_case() {
    let between = Between::new(None).await;
    let url = format!("http://{}", between.address);
    let bare = between.address.to_string();
    for (environment, yaml, goes_through) in [
        (
            &[("HTTP_PROXY", url.as_str())][..],
            "forward: http://ci.internal/",
            true,
        ),
        (
            &[("http_proxy", bare.as_str())],
            "forward: http://ci.internal/",
            true,
        ),
        (
            &[("HTTP_PROXY", url.as_str())],
            "{forward: 'http://ci.internal/', proxy: env}",
            true,
        ),
        (
            &[("HTTPS_PROXY", url.as_str())],
            "forward: https://ci.internal/",
            true,
        ),
        (
            &[("https_proxy", url.as_str())],
            "forward: https://ci.internal/",
            true,
        ),
        (
            &[("HTTPS_PROXY", url.as_str())],
            "forward: http://no.invalid/",
            false,
        ),
        (
            &[("HTTP_PROXY", url.as_str())],
            "{forward: 'http://no.invalid/', proxy: none}",
            false,
        ),
        (
            &[("HTTP_PROXY", url.as_str()), ("no_proxy", "ci.internal,invalid")],
            "forward: http://no.invalid/",
            false,
        ),
        (
            &[("HTTP_PROXY", url.as_str())],
            "forward: http://127.0.0.1:1/",
            false,
        ),
        (&[("HTTP_PROXY", "")], "forward: http://no.invalid/", false),
    ] {
        let outcome = forward(Path::new("/tmp"), environment, yaml).await;
        let request_heads = between.request_heads();
        assert_eq!(
            request_heads.len(),
            usize::from(goes_through),
            "{environment:?} {yaml}: {}",
            outcome.detail
        );
    }
}

#[test]
fn an_invalid_proxy_is_reported_at_load_without_its_password() {
    for (proxy, expected) in [
        ("https://me:hunter2@host:1", "only `http://` proxies are known"),
        ("socks5://me:hunter2@host:1", "only `http://` proxies are known"),
        ("http://me:hunter2@/", "it is not a URL"),
        ("http://me:hunter2@host/path", "a proxy's URL has no path"),
        ("env:UNSET", "the environment variable `UNSET` is not set"),
        ("env:WRONG", "only `http://` proxies are known"),
        ("[none]", "`proxy` is text"),
    ] {
        let yaml = format!("{{forward: 'https://h/', proxy: {proxy}}}");
        let environment = [("WRONG", "socks4://me:hunter2@host:1")];
        let faults = compile_with(Path::new("/tmp"), &environment, &yaml).unwrap_err();
        assert!(
            faults.iter().any(|error| error.contains(expected)),
            "{proxy}: {faults:?}"
        );
        assert!(
            !faults.iter().any(|error| error.contains("hunter2")),
            "{faults:?}"
        );
    }
    let environment = [("https_proxy", "socks5://me:hunter2@host:1")];
    let faults = compile_with(Path::new("/tmp"), &environment, "forward: https://h/").unwrap_err();
    assert_eq!(
        faults,
        [
            "r:1:1: the environment variable `https_proxy` names no proxy that can be used: only `http://` proxies are known, for `https` targets too (write `proxy: none` to go straight)"
        ]
    );
}
