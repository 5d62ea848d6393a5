//! Tests of hosts that an event names: public addresses only.

use serde_json::json;

use super::*;

async fn forward(url: &str, host: &str) -> Outcome {
    perform(
        &format!("{{forward: '{url}', timeout: 5s}}"),
        json!({"host": host}),
    )
    .await
}

#[tokio::test]
async fn a_private_host_of_an_event_is_dead_in_every_notation() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    for host in [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "0x7f.1",
        "2130706433",
        "0177.0.0.1",
        "0.0.0.0",
        "169.254.169.254",
        "10.0.0.1",
        "[fe80::1]",
        "[64:ff9b::7f00:1]",
    ] {
        for scheme in ["http", "https"] {
            let url = format!("{scheme}://{{{{ payload.host | safe }}}}:{port}/x");
            let outcome = forward(&url, host).await;
            assert_eq!(outcome.verdict, Verdict::Dead, "{host}: {}", outcome.detail);
            assert!(
                outcome.detail.ends_with("which is not a public address")
                    || outcome.detail.ends_with("neither a name nor a plain address"),
                "{host}: {}",
                outcome.detail
            );
        }
    }
    let nobody = tokio::time::timeout(std::time::Duration::from_millis(50), listener.accept()).await;
    assert!(nobody.is_err());
}

#[tokio::test]
async fn a_url_of_an_event_is_plain_or_dead() {
    for (url, value, why) in [
        (
            "{{ payload.host | safe }}",
            "ftp://example.com/",
            "is neither `http` nor `https`",
        ),
        ("{{ payload.host | safe }}", "example.com/", "has no scheme"),
        ("{{ payload.host }}", "https://example.com/", "has no scheme"),
        (
            "{{ payload.host | safe }}",
            "https://me:hunter2@example.com/",
            "has a user or a password in it",
        ),
        (
            "https://{{ payload.host | safe }}/",
            "a@b.example",
            "has a user or a password in it",
        ),
        ("https://{{ payload.host }}/", "a@b.example", "is not a URL"),
        (
            "https://{{ payload.host }}.example/",
            "evil.example/",
            "is not a URL",
        ),
        ("https://{{ payload.host }}/", "", "is not a URL"),
        (
            "https://{{ payload.host | safe }}/",
            "a.example:0",
            "has no valid port",
        ),
        (
            "https://{{ payload.host | safe }}/",
            "a.example/../b",
            "a segment `.` or `..`",
        ),
    ] {
        let outcome = forward(url, value).await;
        assert_eq!(
            outcome.verdict,
            Verdict::Dead,
            "{url} {value}: {}",
            outcome.detail
        );
        assert!(outcome.detail.contains(why), "{url} {value}: {}", outcome.detail);
        assert!(!outcome.detail.contains("hunter2"), "{}", outcome.detail);
    }
}

#[tokio::test]
async fn a_host_in_the_rules_may_be_private() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/{{{{ payload.host }}}}", listener.local_addr().unwrap());
    let (outcome, accepted) = tokio::join!(forward(&url, "x"), async {
        drop(listener.accept().await.unwrap());
    });
    let () = accepted;
    assert_eq!(outcome.verdict, Verdict::FAILED, "{}", outcome.detail);
}

#[test]
fn a_guarded_host_is_not_reached_through_a_proxy() {
    let url = "'https://{{ payload.host }}/'";
    let faults = compile_in(
        Path::new("/tmp"),
        &format!("{{forward: {url}, proxy: 'http://p:1'}}"),
    );
    assert!(faults.unwrap_err()[0].contains("behind a proxy its address cannot be checked"));
    let environment = [("HTTPS_PROXY", "http://p:1")];
    let with = |rest: &str| {
        compile_with(
            Path::new("/tmp"),
            &environment,
            &format!("{{forward: {url}{rest}}}"),
        )
    };
    assert!(with("").is_err());
    assert!(with(", proxy: none").is_ok());
}
