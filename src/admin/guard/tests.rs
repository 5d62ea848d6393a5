//! The rows of the guard's table.

use http::Request;

use super::*;

/// Judges a request with these headers, as `Name: value`.
fn judge(method: &str, target: &str, headers: &[&str], transport: Transport) -> Result<Origin, GuardRefusal> {
    let mut request = Request::builder().method(method).uri(target);
    for line in headers {
        let (name, value) = line.split_once(": ").unwrap();
        request = request.header(name, value);
    }
    let (head, ()) = request.body(()).unwrap().into_parts();
    let url = PublicUrl {
        host: "ops.example.com".to_owned(),
        https: true,
        text: "https://ops.example.com".to_owned(),
    };
    check(&head, transport, Some(&url))
}

fn get(headers: &[&str]) -> Option<u16> {
    let refused = judge("GET", "/rules", headers, Transport::Unix).err();
    refused.map(|refusal| refusal.status().as_u16())
}

#[test]
fn only_names_of_this_machine_and_of_the_public_url_are_served() {
    for host in [
        "localhost",
        "LocalHost:9001",
        "127.0.0.1",
        "127.0.0.1:1",
        "[::1]",
        "[::1]:65535",
        "ops.example.com",
        "OPS.example.com:8443",
    ] {
        assert_eq!(get(&[&format!("Host: {host}")]), None, "{host}");
    }
    for host in [
        "example.com",
        "evil.localhost",
        "localhost.evil.example",
        "localhost.",
        "127.0.0.2",
        "127.1",
        "0.0.0.0",
        "2130706433",
        "[::ffff:127.0.0.1]",
        "[0:0:0:0:0:0:0:1]",
        "ops.example.com.evil.example",
        "hookyard",
        "::1",
    ] {
        assert!(
            matches!(get(&[&format!("Host: {host}")]), Some(421 | 400)),
            "{host}"
        );
    }
    for host in [
        "",
        ":9001",
        "localhost:",
        "localhost:0",
        "localhost:65536",
        "localhost:+80",
        "localhost:80:80",
        "user@localhost",
        "localhost/x",
        "localhost localhost",
        "localhost, evil.example",
        "[::1",
        "[::1]x",
        "[::1]80",
        "http://localhost",
    ] {
        assert!(
            matches!(get(&[&format!("Host: {host}")]), Some(400 | 421)),
            "{host}"
        );
    }
    assert_eq!(get(&[]), Some(400));
    assert_eq!(get(&["Host: localhost", "Host: localhost"]), Some(400));
    assert_eq!(get(&[&format!("Host: {}", "a".repeat(400))]), Some(400));
}

#[test]
fn a_target_that_is_a_whole_url_is_refused() {
    for target in [
        "http://localhost/rules",
        "https://ops.example.com/",
        "http://evil.example/rules",
    ] {
        let refused = judge("GET", target, &["Host: localhost"], Transport::Plain);
        assert_eq!(refused, Err(GuardRefusal::Target), "{target}");
    }
    let refused = judge("CONNECT", "localhost:80", &["Host: localhost"], Transport::Unix);
    assert_eq!(refused, Err(GuardRefusal::Target));
}

/// The result of a POST through each transport: `u` unix, `p` plain, `t` TLS; those that pass.
fn post(headers: &[&str]) -> String {
    let judged = |(name, transport)| {
        judge("POST", "/rules", headers, transport)
            .is_ok()
            .then_some(name)
    };
    let all = [
        ("u", Transport::Unix),
        ("p", Transport::Plain),
        ("t", Transport::Tls),
    ];
    all.into_iter().filter_map(judged).collect()
}

#[test]
fn a_request_with_effects_comes_from_the_same_origin_or_from_a_program() {
    const LOCAL: &str = "Host: localhost:9001";
    const PUBLIC: &str = "Host: ops.example.com";
    const JSON: &str = "Content-Type: application/json";
    for (headers, passes) in [
        // `Sec-Fetch-Site` decides.
        (&[LOCAL, "Sec-Fetch-Site: same-origin"][..], "upt"),
        (&[LOCAL, "Sec-Fetch-Site: none"], "upt"),
        (&[LOCAL, "Sec-Fetch-Site: same-site"], ""),
        (&[LOCAL, "Sec-Fetch-Site: cross-site"], ""),
        (&[LOCAL, "Sec-Fetch-Site: cross-site", JSON], ""),
        (
            &[
                LOCAL,
                "Sec-Fetch-Site: cross-site",
                "Origin: http://localhost:9001",
            ],
            "",
        ),
        (&[LOCAL, "Sec-Fetch-Site: Same-Origin"], ""),
        (&[LOCAL, "Sec-Fetch-Site: "], ""),
        (
            &[
                LOCAL,
                "Sec-Fetch-Site: same-origin",
                "Sec-Fetch-Site: same-origin",
            ],
            "",
        ),
        // Without it, `Origin` does.
        (&[LOCAL, "Origin: http://localhost:9001"], "up"),
        (&[LOCAL, "Origin: https://localhost:9001"], "ut"),
        (&[LOCAL, "Origin: http://localhost:9002"], ""),
        (&[LOCAL, "Origin: http://localhost"], ""),
        (&[LOCAL, "Origin: http://127.0.0.1:9001"], ""),
        (&[LOCAL, "Origin: http://evil.example", JSON], ""),
        (&[LOCAL, "Origin: localhost:9001"], ""),
        (&[LOCAL, "Origin: ws://localhost:9001"], ""),
        (&[LOCAL, "Origin: "], ""),
        (&[LOCAL, "Origin: null"], ""),
        (&[LOCAL, "Origin: null", JSON], ""),
        (&[LOCAL, "Origin: null", "Sec-Fetch-Site: same-origin"], ""),
        (
            &[
                LOCAL,
                "Origin: http://localhost:9001",
                "Origin: http://localhost:9001",
            ],
            "",
        ),
        (&[PUBLIC, "Origin: https://ops.example.com"], "upt"),
        (&[PUBLIC, "Origin: http://ops.example.com"], ""),
        (&[PUBLIC, "Origin: https://ops.example.com:8443"], ""),
        (&[PUBLIC, "Origin: https://www.ops.example.com"], ""),
        (&["Host: [::1]:9", "Origin: http://[::1]:9"], "up"),
        // Without both, only a type that no form can send.
        (&[LOCAL, JSON], "upt"),
        (&[LOCAL, "Content-Type: Application/JSON; charset=utf-8"], "upt"),
        (&[LOCAL], ""),
        (&[LOCAL, "Content-Type: text/plain"], ""),
        (&[LOCAL, "Content-Type: text/plain; a=application/json"], ""),
        (&[LOCAL, "Content-Type: application/jsonp"], ""),
        (&[LOCAL, "Content-Type: application/x-www-form-urlencoded"], ""),
        (&[LOCAL, "Content-Type: multipart/form-data; boundary=b"], ""),
        (&[LOCAL, JSON, "Content-Type: text/plain"], ""),
        // `Host` comes first.
        (&["Host: evil.example", JSON], ""),
        (&["Host: evil.example", "Sec-Fetch-Site: same-origin"], ""),
        (&["Host: evil.example", "Origin: http://evil.example"], ""),
        (&[JSON], ""),
    ] {
        assert_eq!(post(headers), passes, "{headers:?}");
    }
}

#[test]
fn a_get_needs_no_origin_and_other_methods_are_not_allowed() {
    for method in ["GET", "HEAD"] {
        let head = ["Host: localhost", "Sec-Fetch-Site: cross-site"];
        assert!(judge(method, "/", &head, Transport::Plain).is_ok());
    }
    for method in ["OPTIONS", "PUT", "DELETE", "PATCH", "TRACE", "post", "X"] {
        let head = ["Host: localhost", "Sec-Fetch-Site: same-origin"];
        let refused = judge(method, "/", &head, Transport::Plain).unwrap_err();
        assert_eq!(refused.status(), StatusCode::METHOD_NOT_ALLOWED, "{method}");
    }
}

#[test]
fn a_browser_is_known_by_its_headers() {
    for (headers, expected) in [
        (&[][..], false),
        (&["Content-Type: application/json"], false),
        (&["Sec-Fetch-Site: same-origin"], true),
        (&["Origin: http://localhost"], true),
    ] {
        let mut request = Request::builder();
        for line in headers {
            let (name, value) = line.split_once(": ").unwrap();
            request = request.header(name, value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        assert_eq!(is_by_browser(&head), expected, "{headers:?}");
    }
}
