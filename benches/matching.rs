//! Cost of an event on an endpoint with 10, 1,000 and 10,000 rules.
//!
//! A signed push of about 7 KB is verified, decoded and matched against rules for different
//! repositories. Goal: 10,000 rules cost at most 1.5 times as much as 10. Run with `cargo bench
//! --bench matching`.

use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion};
use hookyard::base::clock::Timestamp;
use hookyard::base::diagnostic::Diagnostics;
use hookyard::base::diagnostic::Source;
use hookyard::base::secret::Keyring;
use hookyard::base::yaml::Document;
use hookyard::event::EventId;
use hookyard::event::Received;
use hookyard::matching::{Condition, Matcher};
use hookyard::payload::{Decode, Event, decode};
use hookyard::verify::EventName;
use hookyard::verify::OutgoingRequest;
use hookyard::verify::SchemeContext;
use hookyard::verify::Verification;
use http::{HeaderMap, HeaderValue, Method};
use serde_json::{Value, json};

/// Numbers of rules on the endpoint.
const RULES: [usize; 3] = [10, 1_000, 10_000];

/// Builds a person as GitHub describes one.
fn person(name: &str) -> Value {
    json!({"name": name, "email": format!("{name}@example.com"), "username": name, "date": "2026-01-31T12:00:00Z"})
}

/// Builds a commit of the push.
fn commit(number: u32) -> Value {
    let id = format!("{number:040x}");
    json!({
        "id": id,
        "tree_id": id,
        "distinct": true,
        "message": format!("change number {number}\n\nIt makes the site a little better and says why it does."),
        "timestamp": "2026-01-31T12:00:00+01:00",
        "url": format!("https://github.example.com/acme/r5/commit/{id}"),
        "author": person("mona"),
        "committer": person("hubot"),
        "added": [format!("docs/chapter-{number}.md"), "assets/logo.svg"],
        "removed": [],
        "modified": ["src/main.rs", "README.md", format!("src/module_{number}.rs")],
    })
}

/// Builds a push as GitHub sends it.
fn push(repository: &str) -> Value {
    let links: serde_json::Map<String, Value> =
        ["forks", "keys", "teams", "hooks", "events", "branches", "tags"]
            .iter()
            .map(|name| {
                let link =
                    format!("https://api.github.example.com/repos/acme/{repository}/{name}{{/suffix}}");
                (format!("{name}_url"), Value::from(link))
            })
            .collect();
    let mut described = json!({
        "id": 1_234_567_890_u64,
        "node_id": "R_kgDOABCDEF",
        "name": repository,
        "full_name": format!("acme/{repository}"),
        "private": true,
        "owner": {"name": "acme", "login": "acme", "id": 42, "type": "Organization", "site_admin": false},
        "default_branch": "main",
        "topics": ["site", "documentation"],
        "visibility": "private",
    });
    if let Some(members) = described.as_object_mut() {
        members.extend(links);
    }
    let commits: Vec<Value> = (0..8).map(commit).collect();
    json!({
        "ref": "refs/heads/main",
        "before": format!("{:040x}", 6),
        "after": format!("{:040x}", 7),
        "repository": described,
        "pusher": person("mona"),
        "sender": {"login": "mona", "id": 7, "type": "User", "site_admin": false},
        "created": false,
        "deleted": false,
        "forced": false,
        "head_commit": commit(7),
        "commits": commits,
    })
}

/// Builds a matcher with this many rules, each for its own repository.
fn matcher(rules: usize) -> Matcher {
    let mut text = String::new();
    for rule in 0..rules {
        writeln!(
            text,
            "- {{event: push, $.repository.full_name: acme/r{rule}, $.ref: refs/heads/main, $.deleted: false}}"
        )
        .ok();
    }
    let mut diagnostics = Diagnostics::new();
    let source = Source {
        path: "rules.yaml".into(),
        text,
    };
    let name = EventName::Header(http::HeaderName::from_static("x-github-event"));
    let document = Document::parse(source, &mut diagnostics);
    let items = document.iter().flat_map(|document| document.root().items());
    let conditions: Vec<Condition> = items
        .filter_map(|item| Condition::compile(item, Some(&name), &mut diagnostics))
        .collect();
    assert_eq!(conditions.len(), rules, "{}", diagnostics.render(false));
    Matcher::new(conditions)
}

/// Builds a request with `body`.
fn received(body: Bytes) -> Received {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    headers.insert("x-github-event", HeaderValue::from_static("push"));
    let at = Timestamp::from_seconds(1_769_860_800);
    Received {
        id: EventId::new(at),
        at,
        endpoint: Arc::from("/github"),
        method: Method::POST,
        path: "/github".to_owned(),
        query: String::new(),
        parameters: Vec::new(),
        client: None,
        certificate: None,
        headers,
        body,
    }
}

/// Compiles GitHub's verification.
fn github() -> Verification {
    let mut diagnostics = Diagnostics::new();
    let source = Source {
        path: "verify".into(),
        text: "{github: a secret for the benchmark}".to_owned(),
    };
    let keyring = Keyring::new([], Path::new("."));
    let scheme_context = SchemeContext {
        keyring: &keyring,
        schemes: &hookyard::verify::Definitions::default(),
        public_url: None,
        max_body: 1 << 20,
        decompress_unverified: false,
        beside_others: false,
    };
    Document::parse(source, &mut diagnostics)
        .and_then(|document| Verification::compile(document.root(), &scheme_context, &mut diagnostics))
        .unwrap_or_else(|| panic!("{}", diagnostics.render(false)))
}

/// Signs the request.
fn signed(mut received: Received) -> Received {
    let draft = OutgoingRequest {
        method: &received.method,
        url: "http://127.0.0.1/github",
        headers: &received.headers,
        body: &received.body,
        at: received.at,
        id: "",
        restamp: true,
    };
    let added = github().sign(&draft).unwrap_or_else(|error| panic!("{error}"));
    received.headers.extend(added.headers);
    received
}

/// Decodes the event's body again.
fn decoded(event: &mut Event) {
    let payload = decode(
        Decode::Auto,
        &event.received.headers,
        &event.received.body,
        u64::MAX,
    );
    event.payload = payload.unwrap_or_else(|error| panic!("{error}"));
}

/// Builds a push to `repository`, not decoded yet.
fn event(repository: &str) -> Event {
    let body = Bytes::from(push(repository).to_string());
    assert!((6_500..8_500).contains(&body.len()), "{} bytes", body.len());
    let received = signed(received(body));
    let payload = decode(Decode::Text, &received.headers, &Bytes::new(), 0);
    Event {
        received: received.into(),
        payload: payload.unwrap_or_else(|error| panic!("{error}")),
        views: Vec::new(),
        fired_by: None,
    }
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let github = github();
    let mut wanted = criterion.benchmark_group("verify, decode and match a push that one rule wants");
    for rules in RULES {
        let matcher = matcher(rules);
        let mut event = event("r5");
        wanted.bench_function(BenchmarkId::from_parameter(rules), |bencher| {
            bencher.iter(|| {
                assert!(github.prove(black_box(&event.received)).is_ok());
                decoded(&mut event);
                let matching = matcher.matching(black_box(&event), &|_| true);
                assert_eq!(matching, [5]);
            });
        });
    }
    wanted.finish();
    let mut unwanted =
        criterion.benchmark_group("verify, decode, match and explain a push that no rule wants");
    for rules in RULES {
        let matcher = matcher(rules);
        let mut event = event("unknown");
        unwanted.bench_function(BenchmarkId::from_parameter(rules), |bencher| {
            bencher.iter(|| {
                assert!(github.prove(black_box(&event.received)).is_ok());
                decoded(&mut event);
                assert!(matcher.matching(black_box(&event), &|_| true).is_empty());
                black_box(matcher.nearest_miss(&event, &|_| true));
            });
        });
    }
    unwanted.finish();
    let mut matching = criterion.benchmark_group("match alone");
    for rules in RULES {
        let matcher = matcher(rules);
        let mut event = event("r5");
        decoded(&mut event);
        matching.bench_function(BenchmarkId::from_parameter(rules), |bencher| {
            bencher.iter(|| matcher.matching(black_box(&event), &|_| true));
        });
    }
    matching.finish();
    let event = event("r5");
    criterion.bench_function("verify alone", |bencher| {
        bencher.iter(|| github.prove(black_box(&event.received)));
    });
}
