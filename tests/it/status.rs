//! The admin interface: status of the daemon, metrics, and health.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;

use serde_json::Value;

use crate::scenario::{Answer, Daemon, Scenario, free_port, said};
use crate::tls;

const RULES: &str = "
store: {path: hookyard.db}
rules:
  - name: deploy
    endpoint: /github
    verify: {github: {secret: k}}
    match: {$.n: {exists: true}}
    retry: {attempts: 1}
    actions:
      - shell: exit \"$CODE\"
        env: {CODE: \"{{ payload.n }}\"}
";

fn started(rules: &str) -> Daemon {
    Scenario::new().rules(rules).start()
}

/// Sends a request through the socket beside the store.
pub fn ask(daemon: &Daemon, path: &str) -> (u16, String) {
    let mut stream = UnixStream::connect(daemon.folder().join("hookyard.db.sock")).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// The metrics of the daemon.
pub fn metrics(daemon: &Daemon) -> String {
    ask(daemon, "/metrics").1
}

/// Output and exit code of `hookyard status`.
fn status(daemon: &Daemon, arguments: &[&str]) -> (String, Option<i32>) {
    let arguments = [&["status", "--rules", "rules.yaml"], arguments].concat();
    let output = daemon.scenario.hookyard(&arguments);
    let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr);
    (text, output.status.code())
}

fn status_json(daemon: &Daemon) -> Value {
    serde_json::from_str(&status(daemon, &["--format", "json"]).0).unwrap()
}

fn send(daemon: &Daemon, n: u32) -> Answer {
    daemon
        .post("/github")
        .json(format!("{{\"n\": {n}}}"))
        .github("k")
        .send()
}

#[test]
fn the_operator_sees_how_it_is_and_when_it_is_not_well() {
    let mut daemon = started(RULES);
    assert_eq!(send(&daemon, 0).status, 200);
    assert_eq!(send(&daemon, 3).status, 200);
    daemon.eventually("both have ended", || {
        let deliveries = &status_json(&daemon)["deliveries"];
        (deliveries["ended"].as_u64(), deliveries["dead"].as_u64()) == (Some(1), Some(1))
    });
    let json = status_json(&daemon);
    assert_eq!(json["pid"], daemon.pid());
    assert_eq!(json["ready"], true);
    assert_eq!(json["problems"], serde_json::json!([]));
    assert_eq!(json["rules"]["generation"], 1);
    assert_eq!(json["rules"]["sha256"].as_str().unwrap().len(), 64);
    assert_eq!(json["store"]["events"], 2);
    assert_eq!(json["listening"][0], format!("http://{}", daemon.address));
    assert!(
        json["last_arrivals"]["deploy"]
            .as_str()
            .unwrap()
            .starts_with("20")
    );
    assert_eq!(json["last_reload"], Value::Null);
    let (text, code) = status(&daemon, &[]);
    assert!(
        text.contains("deliveries: 0 waiting, 0 running, 1 ended, 1 dead letters"),
        "{text}"
    );
    assert!(text.contains("last arrival for deploy: 20"), "{text}");
    assert_eq!(code, Some(0));
    assert_eq!(status(&daemon, &["--check"]), ("ok\n".to_owned(), Some(0)));
    // A broken rules file is worth an alarm, and its diagnostics are shown.
    let sound = daemon.read("rules.yaml");
    let broken = "rules: [{name: a, endpont: /x}]\n";
    std::fs::write(daemon.folder().join("rules.yaml"), broken).unwrap();
    daemon.eventually("it is not well", || status(&daemon, &["--check"]).1 == Some(1));
    let (text, _) = status(&daemon, &["--check"]);
    assert!(text.contains("the rules file has not loaded since"), "{text}");
    let (text, _) = status(&daemon, &["--socket", "hookyard.db.sock"]);
    assert!(text.contains("refused") && text.contains("endpont"), "{text}");
    // Also if the file is not YAML at all, and does not name the socket.
    std::fs::write(daemon.folder().join("rules.yaml"), "rules: [\n").unwrap();
    daemon.eventually("it says so", || {
        let (text, code) = status(&daemon, &[]);
        code == Some(0) && text.contains("the usual place is asked") && text.contains("has not loaded since")
    });
    std::fs::write(daemon.folder().join("rules.yaml"), sound).unwrap();
    daemon.eventually("it is well again", || status(&daemon, &["--check"]).1 == Some(0));
    // No other user of this machine may ask.
    let socket = daemon.folder().join("hookyard.db.sock");
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    // A killed daemon's socket does not block the next one, and a stopped daemon removes its own.
    daemon.kill();
    let (text, code) = status(&daemon, &[]);
    assert!(text.contains("no daemon answers"), "{text}");
    assert_eq!(code, Some(2));
    daemon.start();
    assert_eq!(status(&daemon, &["--check"]).1, Some(0));
    daemon.stop();
    assert!(!socket.exists());
}

#[test]
fn a_store_that_takes_nothing_is_told_by_every_door() {
    let daemon = started(&RULES.replace("{path: hookyard.db}", "{path: hookyard.db, max_size: 1}"));
    assert_eq!(send(&daemon, 0).status, 503);
    assert_eq!(ask(&daemon, "/healthz"), (200, "ok\n".to_owned()));
    let (code, words) = ask(&daemon, "/readyz");
    assert!(code == 503 && words.contains("its limit is 1"), "{code} {words}");
    let (text, code) = status(&daemon, &["--check"]);
    assert!(text.contains("its limit is 1"), "{text}");
    assert_eq!(code, Some(1));
    assert!(ask(&daemon, "/metrics").1.contains("\nhookyard_store_full 1"));
}

#[test]
fn a_store_that_cannot_be_written_is_told_as_soon_as_it_is_known() {
    let daemon = started(RULES);
    let other = rusqlite::Connection::open(daemon.folder().join("hookyard.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(send(&daemon, 0).status, 503);
    // The store may also be blocked in another write, and not answer.
    let (text, code) = status(&daemon, &["--check"]);
    let told = text.contains("the last write failed") || text.contains("the store has not answered");
    assert!(told && code == Some(1), "{text}");
    assert_eq!(ask(&daemon, "/readyz").0, 503);
    other.execute_batch("ROLLBACK").unwrap();
    daemon.eventually("it is taken", || send(&daemon, 0).status == 200);
    assert_eq!(status(&daemon, &["--check"]), ("ok\n".to_owned(), Some(0)));
}

#[test]
fn who_holds_all_places_by_tcp_holds_none_of_the_operators_and_a_socket_is_nobody_elses() {
    let port = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let daemon = started(&format!("admin: {{socket: one.sock, listen: '{port}'}}\n{RULES}"));
    let held: Vec<TcpStream> = (0..40).map(|_| TcpStream::connect(port).unwrap()).collect();
    assert_eq!(status(&daemon, &["--check"]), ("ok\n".to_owned(), Some(0)));
    drop(held);
    // A second daemon with its own store, and the same name for its socket.
    let socket = daemon.folder().join("one.sock");
    let mut second = started(&format!("admin: {{socket: '{}'}}\n{RULES}", socket.display()));
    assert!(
        second.log().contains("something else listens there"),
        "{}",
        second.log()
    );
    second.stop();
    assert_eq!(status(&daemon, &["--check"]), ("ok\n".to_owned(), Some(0)));
}

/// The value of a series.
fn value(metrics: &str, series: &str) -> f64 {
    let mut lines = metrics.lines();
    let line = lines.find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in\n{metrics}"))
        .parse()
        .unwrap()
}

#[test]
fn what_happens_is_counted_and_every_series_is_documented() {
    let daemon = started(RULES);
    for n in [0, 0, 4] {
        assert_eq!(send(&daemon, n).status, 200);
    }
    assert_eq!(
        daemon.post("/github").json("{}").github("k").send().word(),
        "ignored"
    );
    assert_eq!(
        daemon.post("/github").json("{}").github("wrong").send().status,
        403
    );
    // More than are logged, since these log lines are throttled.
    for _ in 0..30 {
        assert_eq!(daemon.post("/nowhere").send().status, 404);
    }
    let metrics = || metrics(&daemon);
    daemon.eventually("the attempts are counted", || {
        let metrics = metrics();
        metrics.contains("outcome=\"done\"") && metrics.contains("outcome=\"failed\"")
    });
    let text = metrics();
    for (series, expected) in [
        (
            "hookyard_arrivals_total{endpoint=\"/github\",outcome=\"accepted\"}",
            2.0,
        ),
        (
            "hookyard_arrivals_total{endpoint=\"/github\",outcome=\"duplicate\"}",
            1.0,
        ),
        (
            "hookyard_arrivals_total{endpoint=\"/github\",outcome=\"ignored\"}",
            1.0,
        ),
        (
            "hookyard_refusals_total{endpoint=\"/github\",reason=\"bad-signature\"}",
            1.0,
        ),
        ("hookyard_turned_away_total{status=\"404\"}", 30.0),
        ("hookyard_log_lines_dropped_total", 0.0),
        ("hookyard_log_failing", 0.0),
        (
            "hookyard_attempts_total{rule=\"deploy\",action=\"shell\",outcome=\"done\"}",
            1.0,
        ),
        (
            "hookyard_attempts_total{rule=\"deploy\",action=\"shell\",outcome=\"failed\"}",
            1.0,
        ),
        ("hookyard_attempt_duration_seconds_count{action=\"shell\"}", 2.0),
        (
            "hookyard_deliveries_ended_total{rule=\"deploy\",state=\"dead\"}",
            1.0,
        ),
        ("hookyard_deliveries{state=\"dead\"}", 1.0),
        ("hookyard_rules_generation", 1.0),
        ("hookyard_store_events", 2.0),
        ("hookyard_store_full", 0.0),
    ] {
        assert!((value(&text, series) - expected).abs() < 0.5, "{series}\n{text}");
    }
    assert!(value(&text, "process_resident_memory_bytes") > 1e6);
    assert!(value(&text, "hookyard_store_commits_total") >= 2.0);
    assert!(
        value(
            &text,
            "hookyard_log_lines_left_out_total{kind=\"no such endpoint\"}"
        ) >= 1.0
    );
    assert!(text.ends_with("# EOF\n"));
    daemon.rewrite(&RULES.replace("name: deploy", "name: other"));
    daemon.eventually("what is of a rule that is gone is forgotten", || {
        let metrics = metrics();
        metrics.contains("hookyard_reloads_total{outcome=\"in force\"} 1")
            && !metrics.contains("rule=\"deploy\"")
    });
    // Every series is documented, and every documented series exists.
    let series = |name: &str, kind: &str| match kind {
        "counter" => format!("{name}_total"),
        _ => name.to_owned(),
    };
    let secured = tls::scene(&tls::pair(&tls::authority()), &tls::open("request_timeout: 20s")).start();
    let asking = "server: {listen: 127.0.0.1:0, tls: {acme: {domains: a.test, agree_tos: true, directory: 'https://127.0.0.1:1/'}}}\nendpoints: {/e: {verify: none, expect_every: 1h}}\nrules: [{name: e, endpoint: /e, actions: [append: e.jsonl]}]\n";
    let asking = self::metrics(&started(asking));
    assert!(asking.contains("hookyard_certificate_orders_total{outcome=\"issued\"} 0"));
    let text = text + &metrics() + &self::metrics(&secured) + &asking;
    let declared = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let declared: BTreeSet<String> = declared
        .map(|line| {
            let (name, kind) = line.split_once(' ').unwrap();
            format!("{} {kind}", series(name, kind))
        })
        .collect();
    // This one needs a server: see `postgres/served.rs`.
    let mut documented = documented();
    assert!(documented.remove("hookyard_nodes gauge"));
    assert_eq!(declared, documented);
    assert_labels_are_documented(&text);
}

/// Fails if a sample has a label that its row of the page does not name.
fn assert_labels_are_documented(text: &str) {
    let page = std::fs::read_to_string(metrics_page()).unwrap();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some((name, rest)) = line.split_once('{') else {
            continue;
        };
        let series = name
            .trim_end_matches("_bucket")
            .trim_end_matches("_count")
            .trim_end_matches("_sum");
        let row = page
            .lines()
            .find(|row| row.starts_with(&format!("| `{series}` ")))
            .unwrap();
        let documented = row.split('|').nth(3).unwrap();
        let (labels, _) = rest.rsplit_once('}').unwrap();
        let labels = labels.split("\",").map(|pair| pair.split('=').next().unwrap());
        let labels = labels.filter(|label| !label.is_empty() && *label != "le");
        for label in labels {
            assert!(documented.contains(&format!("`{label}`")), "{label}: {line}");
        }
    }
}

fn metrics_page() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/metrics.md")
}

/// The series in the documentation, with their types.
fn documented() -> BTreeSet<String> {
    let page = std::fs::read_to_string(metrics_page()).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let mut cells = row.split('|').skip(1).map(str::trim);
        format!(
            "{} {}",
            cells.next().unwrap().trim_matches('`'),
            cells.next().unwrap()
        )
    })
    .collect()
}

#[test]
fn on_tcp_less_is_told_and_there_may_be_no_socket_at_all() {
    let port = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let daemon = started(&format!("admin: {{socket: none, listen: '{port}'}}\n{RULES}"));
    assert!(!daemon.folder().join("hookyard.db.sock").exists());
    let get = |path: &str| {
        let mut stream = TcpStream::connect(port).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        Answer::read(&mut stream).unwrap()
    };
    assert_eq!(get("/healthz").status, 200);
    assert_eq!(get("/readyz").status, 200);
    assert_eq!(get("/metrics").status, 200);
    assert_eq!(get("/status").status, 404);
    let mut stream = TcpStream::connect(port).unwrap();
    write!(
        stream,
        "POST /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    )
    .unwrap();
    assert_eq!(Answer::read(&mut stream).unwrap().status, 405);
    let (text, code) = status(&daemon, &[]);
    assert!(text.contains("the daemon has no socket"), "{text}");
    assert_eq!(code, Some(2));
    let wrong = Scenario::new()
        .rules("admin: {listen: everywhere}\nrules: []\n")
        .hookyard(&["check"]);
    let text = said(&wrong);
    assert!(
        text.contains("`everywhere` is not an address and a port"),
        "{text}"
    );
}
