//! Misbehaving peers and unlucky moments: answers that are not read, heads that never end, signals
//! at the wrong time, no file descriptors left.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::scenario::{Answer, Daemon, PATIENCE, Scenario, eventually, idle_descriptors};

/// An open endpoint, and these settings of the server.
fn open(server: &str) -> String {
    format!(
        "server: {{listen: 127.0.0.1:0, {server}}}\nrules: [{{name: open, endpoint: /open, verify: none, actions: [append: open.jsonl]}}]\n"
    )
}

/// An endpoint whose sender waits for `script`, and these settings of the server.
fn waited(server: &str, wait: &str) -> String {
    format!(
        "server: {{listen: 127.0.0.1:0, {server}}}\nrules:\n  - {{name: work, endpoint: /work, verify: none, respond: {{wait: {wait}}}, actions: [{{run: [./work]}}]}}\n  - {{name: open, endpoint: /open, verify: none, actions: [append: open.jsonl]}}\n"
    )
}

/// Reads everything until the peer closes.
fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    drop(stream.read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Sends a text on its own connection. Returns everything up to the connection's end.
fn exchange(daemon: &Daemon, text: &str) -> String {
    let mut stream = daemon.connect();
    stream.write_all(text.as_bytes()).unwrap();
    rest(&mut stream)
}

/// Status and body of the only answer in a text.
fn only(text: &str) -> (&str, &str) {
    assert_eq!(text.matches("HTTP/1.").count(), 1, "{text}");
    (&text[9..12], text.split_once("\r\n\r\n").unwrap().1)
}

/// Waits for a process to end. Returns its exit code.
fn end(child: &mut Child) -> Option<i32> {
    let mut status = None;
    eventually("the process ends", || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    status.unwrap().code()
}

/// Time until the daemon ends on its own.
fn gone(daemon: &Daemon, since: Instant) -> Duration {
    let closed = || daemon.log().contains(" stopped");
    daemon.eventually("the daemon has stopped", closed);
    since.elapsed()
}

#[test]
fn a_peer_that_reads_no_answer_is_given_up() {
    let server = "max_connections: 1, request_timeout: 1s";
    let rules = format!(
        "endpoints: {{/open: {{methods: [GET, POST], respond: {{headers: {{X-Long: {}}}}}}}}}\n{}",
        "x".repeat(8000),
        open(server)
    );
    let daemon = Scenario::new().rules(&rules).start();
    let mut hog = narrow(&daemon);
    hog.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let many = b"GET /open HTTP/1.1\r\nHost: h\r\n\r\n".repeat(2000);
    // The daemon stops reading when its own answers are not read.
    let refused = (0..500).find(|_| hog.write_all(&many).is_err());
    assert!(refused.is_some(), "it took everything");
    let begun = Instant::now();
    assert_eq!(daemon.post("/open").json("{}").send().status, 200);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    drop(hog);
}

/// A connection with the smallest receive buffer that the kernel allows.
fn narrow(daemon: &Daemon) -> TcpStream {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(2048).unwrap();
        let stream = socket.connect(daemon.address).await.unwrap().into_std().unwrap();
        stream.set_nonblocking(false).unwrap();
        stream
    })
}

#[test]
fn a_slow_reader_gets_all_of_its_answers() {
    let daemon = Scenario::new().rules(&open("request_timeout: 1s")).start();
    let mut slow = narrow(&daemon);
    slow.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut sending = slow.try_clone().unwrap();
    let many = b"GET /none HTTP/1.1\r\nHost: h\r\n\r\n".repeat(3000);
    let writer = std::thread::spawn(move || sending.write_all(&many).unwrap());
    for number in 0..3000 {
        if number % 500 == 0 {
            std::thread::sleep(Duration::from_millis(400));
        }
        assert_eq!(Answer::read(&mut slow).unwrap().status, 404, "{number}");
    }
    writer.join().unwrap();
}

#[test]
fn a_slow_head_is_answered_408_and_silence_is_not() {
    let daemon = Scenario::new().rules(&open("request_timeout: 1s")).start();
    let text = exchange(&daemon, "POST /open HTTP/1.1\r\nHost:");
    assert_eq!(only(&text), ("408", "{\"status\":\"too slow\"}\n"));
    assert!(text.contains("\r\nconnection: close\r\n"), "{text}");
    assert_eq!(exchange(&daemon, ""), "");
    // Also the second request of a connection.
    let text = exchange(&daemon, "GET /none HTTP/1.1\r\nHost: h\r\n\r\nPOST /open HT");
    let statuses: Vec<&str> = text.split("HTTP/1.1 ").skip(1).map(|one| &one[..3]).collect();
    assert_eq!(statuses, ["404", "408"], "{text}");
    daemon.eventually("both are noted", || {
        daemon.log().matches("status=408").count() == 2
    });
    assert_eq!(daemon.log().matches("turned away").count(), 3, "{}", daemon.log());
}

#[test]
fn what_is_refused_before_it_is_understood_is_noted() {
    let daemon = Scenario::new().rules(&open("request_timeout: 1s")).start();
    let text = exchange(&daemon, "POST /o pen HTTP/1.1\r\n\r\n");
    assert_eq!(only(&text).0, "400");
    let large = daemon.post("/open").header("X-Long", &"a".repeat(70_000));
    assert_eq!(large.try_send().unwrap().status, 431);
    for status in [400, 431] {
        daemon.eventually("the refusal is noted", || {
            daemon.log().lines().any(|line| {
                line.contains("INFO")
                    && line.contains("turned away")
                    && line.contains(&format!("status={status}"))
            })
        });
    }
}

#[test]
fn a_request_names_one_host_or_is_bad() {
    let daemon = Scenario::new().rules(&open("request_timeout: 5s")).start();
    let post = |version: &str, headers: &str| {
        let text =
            format!("POST /open HTTP/{version}\r\n{headers}Connection: close\r\nContent-Length: 0\r\n\r\n");
        let text = exchange(&daemon, &text);
        let (status, body) = only(&text);
        (status.to_owned(), body.to_owned())
    };
    let bad = ("400".to_owned(), "{\"status\":\"bad request\"}\n".to_owned());
    assert_eq!(post("1.1", ""), bad);
    assert_eq!(post("1.1", "Host: a\r\nHost: a\r\n"), bad);
    assert_eq!(post("1.0", "Host: a\r\nHost: b\r\n"), bad);
    assert_eq!(post("1.1", "Host:\r\n").0, "200");
    assert_eq!(post("1.0", "").0, "200");
    for host in [
        "a b", "a b/c@", "user@a", "a/b", "a:b", "a:1:2", ":80", "[::1", "a?b",
    ] {
        assert_eq!(post("1.1", &format!("Host: {host}\r\n")), bad, "{host}");
    }
    for host in [
        "a",
        "a.test:8443",
        "my_service:80",
        "192.0.2.7",
        "[2001:db8::7]:80",
        "a:",
    ] {
        assert_eq!(post("1.1", &format!("Host: {host}\r\n")).0, "200", "{host}");
    }
}

#[test]
fn a_target_with_a_host_of_its_own_names_the_same() {
    let daemon = Scenario::new().rules(&open("request_timeout: 5s")).start();
    let post = |target: &str, version: &str, headers: &str| {
        let text = format!(
            "POST {target} HTTP/{version}\r\n{headers}Connection: close\r\nContent-Length: 0\r\n\r\n"
        );
        only(&exchange(&daemon, &text)).0.to_owned()
    };
    for (target, host) in [
        ("http://evil/open", "Host: x\r\n"),
        ("http://x:81/open", "Host: x\r\n"),
        ("http://x/open", "Host:\r\n"),
        ("http://x/open", ""),
        ("http://user@x/open", "Host: user@x\r\n"),
        ("http://user@x/open", "Host: x\r\n"),
    ] {
        assert_eq!(post(target, "1.1", host), "400", "{target} {host}");
    }
    assert_eq!(post("http://x/open", "1.1", "Host: x\r\n"), "200");
    assert_eq!(post("http://X.test:80/open", "1.1", "Host: x.test:80\r\n"), "200");
    assert_eq!(post("http://x/open", "1.0", ""), "200");
}

#[test]
fn options_of_the_server_itself_is_answered() {
    let daemon = Scenario::new().rules(&open("request_timeout: 5s")).start();
    let answer = daemon.request("OPTIONS", "*").send();
    assert_eq!((answer.status, answer.header("allow")), (204, Some("OPTIONS")));
}

#[test]
fn a_hangup_during_start_up_reloads() {
    // So many rules take a while to load.
    let rule = |number: usize| {
        format!(
            "  - {{name: r{number}, endpoint: /open, verify: none, match: {{$.a: {number}}}, actions: [{{append: open.jsonl}}]}}\n"
        )
    };
    let rules = format!("rules:\n{}", (0..8_000).map(rule).collect::<String>());
    let scenario = Scenario::new().rules(&rules);
    let log = scenario.folder().join("stderr");
    let mut command = scenario.command(&["serve", "rules.yaml"]);
    command
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(&log).unwrap());
    let mut child = command.spawn().unwrap();
    let begun = Instant::now();
    while !heeds_hangup(child.id()) && begun.elapsed() < Duration::from_secs(3) {
        std::thread::sleep(Duration::from_millis(5));
    }
    signal(&child, "HUP");
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(child.try_wait().unwrap(), None, "the signal ended it");
    let said = || std::fs::read_to_string(&log).unwrap();
    assert!(!said().contains("listening"), "it was still starting: {}", said());
    eventually("it serves, and has reloaded", || {
        said().contains("listening") && said().contains(" reloaded ")
    });
    signal(&child, "TERM");
    assert_eq!(end(&mut child), Some(0));
}

/// True if the process catches HUP.
fn heeds_hangup(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    caught.is_some_and(|mask| u64::from_str_radix(mask.trim(), 16).unwrap() & 1 == 1)
}

fn signal(child: &Child, name: &str) {
    let pid = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-s", name, &pid])
            .status()
            .unwrap()
            .success()
    );
}

#[test]
fn who_waits_is_told_before_the_daemon_goes_and_draining_and_actions_share_one_grace() {
    let daemon = Scenario::new()
        .script("work", "echo begun >> begun; exec sleep 60")
        .rules(&waited("stop_grace: 3s", "50s"))
        .start();
    let mut waiting = daemon.at_work();
    let stopped = Instant::now();
    daemon.signal("TERM");
    let answer = Answer::read(&mut waiting).unwrap();
    assert_eq!(answer.outcome(), (504, "pending".into()));
    assert!(answer.body.contains("\"id\""), "{answer:?}");
    assert!(
        stopped.elapsed() > Duration::from_secs(2),
        "{:?}",
        stopped.elapsed()
    );
    let took = gone(&daemon, stopped);
    assert!(
        took > Duration::from_millis(2900) && took < Duration::from_millis(5500),
        "{took:?}"
    );
}

#[test]
fn a_second_signal_is_heard_while_requests_drain() {
    let daemon = Scenario::new()
        .script("work", "echo begun >> begun; exec sleep 60")
        .rules(&waited("stop_grace: 60s", "50s"))
        .start();
    let mut waiting = daemon.at_work();
    daemon.signal("TERM");
    daemon.eventually("it stops", || daemon.log().contains("stopping"));
    let urged = Instant::now();
    daemon.signal("TERM");
    assert_eq!(
        Answer::read(&mut waiting).unwrap().outcome(),
        (504, "pending".into())
    );
    let took = gone(&daemon, urged);
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn a_request_that_comes_while_the_daemon_stops_is_taken_on_a_connection_that_was_let_in() {
    let mut daemon = Scenario::new()
        .script("work", "echo begun >> begun; exec sleep 3")
        .rules(&waited("stop_grace: 60s, request_timeout: 20s", "50s"))
        .start();
    let mut waiting = daemon.at_work();
    let mut kept = daemon.connect();
    kept.write_all(&daemon.post("/open").json("{}").bytes()).unwrap();
    assert_eq!(Answer::read(&mut kept).unwrap().status, 200);
    kept.write_all(b"POST /open HTTP/1.1\r\n").unwrap();
    // One connection is about to send its request, and one never does.
    let (mut fresh, mut silent) = (daemon.connect(), daemon.connect());
    std::thread::sleep(Duration::from_millis(200));
    daemon.signal("TERM");
    daemon.eventually("it stops", || daemon.log().contains("stopping"));
    std::thread::sleep(Duration::from_millis(200));
    fresh
        .write_all(&daemon.post("/open").json(r#"{"n": 1}"#).bytes())
        .unwrap();
    kept.write_all(b"Host: h\r\nContent-Length: 2\r\n\r\n{}").unwrap();
    for mut connection in [fresh, kept] {
        let answer = Answer::read(&mut connection).unwrap();
        assert_eq!(answer.outcome(), (200, "accepted".into()));
        assert_eq!(answer.header("connection"), Some("close"));
        assert_eq!(connection.read(&mut [0]).unwrap(), 0, "and it is the last");
    }
    assert_eq!(silent.read(&mut [0]).unwrap(), 0, "closed without a word");
    assert_eq!(
        Answer::read(&mut waiting).unwrap().outcome(),
        (200, "done".into())
    );
    daemon.kill();
}

#[test]
fn a_request_that_comes_when_the_grace_is_over_is_sent_away() {
    // The daemon allows a second for this. A busy machine gets further tries.
    let answer = (0..5).find_map(|_| late_request().ok()).unwrap();
    assert_eq!(answer.outcome(), (503, "unavailable".into()));
    assert_eq!(
        (answer.header("retry-after"), answer.header("connection")),
        (Some("30"), Some("close"))
    );
}

/// Response to a request whose head ends after a second signal.
fn late_request() -> std::io::Result<Answer> {
    let daemon = Scenario::new()
        .script(
            "work",
            "trap '' TERM; echo begun >> begun; while :; do sleep 1; done",
        )
        .rules(&waited("stop_grace: 60s, request_timeout: 20s", "50s"))
        .start();
    let _waiting = daemon.at_work();
    let mut kept = daemon.connect();
    kept.write_all(&daemon.post("/open").json("{}").bytes()).unwrap();
    assert_eq!(Answer::read(&mut kept).unwrap().status, 200);
    kept.write_all(b"POST /open HTTP/1.1\r\n").unwrap();
    std::thread::sleep(Duration::from_millis(200));
    daemon.signal("TERM");
    daemon.eventually("it stops", || daemon.log().contains("stopping"));
    daemon.signal("TERM");
    daemon.eventually("it hurries", || daemon.log().contains("a second signal came"));
    kept.write_all(b"Host: h\r\nContent-Length: 2\r\n\r\n{}")?;
    Answer::read(&mut kept)
}

#[test]
fn a_machine_without_descriptors_is_complained_of_once_a_second() {
    let daemon = Scenario::new()
        .script(
            "work",
            "echo begun >> begun; while [ ! -e go ]; do sleep 0.1; done",
        )
        .rules(&waited("request_timeout: 20s", "50s"))
        .start();
    // The only connection is busy, so none can be evicted.
    let mut waiting = daemon.at_work();
    daemon.limit("nofile", "5");
    let held: Vec<TcpStream> = (0..10).map(|_| daemon.connect()).collect();
    let complaints = || daemon.log().matches("could not be accepted").count();
    daemon.eventually("it complains", || complaints() > 0);
    std::thread::sleep(Duration::from_millis(2500));
    let heard = complaints();
    assert!((2..=4).contains(&heard), "{heard}:\n{}", daemon.log());
    assert!(daemon.log().contains("left_out="), "{}", daemon.log());
    drop(held);
    daemon.limit("nofile", "1024");
    assert_eq!(daemon.post("/open").json("{}").send().status, 200);
    std::fs::write(daemon.folder().join("go"), "").unwrap();
    assert_eq!(
        Answer::read(&mut waiting).unwrap().outcome(),
        (200, "done".into())
    );
}

#[test]
fn who_does_nothing_makes_room_where_no_descriptor_is_left() {
    let daemon = Scenario::new().rules(&open("request_timeout: 20s")).start();
    // The daemon opens some of its files after it has begun to listen.
    let open_files = idle_descriptors(daemon.pid());
    daemon.limit("nofile", &(open_files + 5).to_string());
    let held: Vec<TcpStream> = (0..20).map(|_| daemon.connect()).collect();
    let begun = Instant::now();
    let mut last = daemon.connect();
    last.write_all(&daemon.post("/none").json("{}").bytes()).unwrap();
    assert_eq!(Answer::read(&mut last).unwrap().status, 404);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    drop(held);
}

#[test]
fn idle_connections_leave_descriptors_for_commands() {
    let rules = "rules: [{name: work, endpoint: /work, verify: none, respond: {wait: 10s}, actions: [{run: [./work]}]}]\n";
    let daemon = Scenario::new()
        .script("work", "exit 0")
        .through(&["sh", "-c", "ulimit -n 128; exec \"$@\"", "sh"])
        .rules(rules)
        .start();
    assert!(
        daemon.log().contains("too low for `max_connections`") && daemon.log().contains("places=64"),
        "{}",
        daemon.log()
    );
    let held: Vec<TcpStream> = (0..150).map(|_| daemon.connect()).collect();
    for _ in 0..3 {
        let answer = daemon.post("/work").json("{}").send();
        assert_eq!(answer.outcome(), (200, "done".into()), "{}", daemon.log());
    }
    assert!(!daemon.log().contains("Too many open files"), "{}", daemon.log());
    drop(held);
}

#[test]
fn a_low_limit_is_raised_and_commands_have_it_as_it_was() {
    let rules = "server: {listen: 127.0.0.1:0, max_connections: 100}\nrules:\n  - {name: plain, endpoint: /plain, verify: none, respond: {wait: 10s}, actions: [{run: [./plain]}]}\n  \
         - {name: nice, endpoint: /nice, verify: none, respond: {wait: 10s}, actions: [{run: [./nice], nice: 1}]}\n  \
         - {name: more, endpoint: /more, verify: none, respond: {wait: 10s}, actions: [{run: [./more], limits: {files: 300}}]}\n";
    let note = |file: &str| format!("echo $(ulimit -S -n) $(ulimit -H -n) > {file}.limit");
    let daemon = Scenario::new()
        // A command gets its limit a moment after its start.
        .script("plain", &format!("sleep 0.5; {}", note("plain")))
        .script("nice", &note("nice"))
        .script("more", &note("more"))
        .through(&[
            "sh",
            "-c",
            "ulimit -S -n 200; ulimit -H -n 4000; exec \"$@\"",
            "sh",
        ])
        .rules(rules)
        .start();
    let files = || {
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", daemon.pid())).unwrap();
        let mut lines = limits.lines();
        let files = lines.find(|line| line.starts_with("Max open files")).unwrap();
        let numbers: Vec<&str> = files.split_whitespace().skip(3).take(2).collect();
        numbers.join(" ")
    };
    assert_eq!(files(), "1380 4000", "100 + 256 + 8 × 128");
    assert!(!daemon.log().contains(" WARN "), "{}", daemon.log());
    for (name, expected) in [
        ("plain", "200 4000\n"),
        ("nice", "200 4000\n"),
        ("more", "300 300\n"),
    ] {
        let answer = daemon.post(&format!("/{name}")).json("{}").send();
        assert_eq!(answer.outcome(), (200, "done".into()), "{}", daemon.log());
        assert_eq!(daemon.read(&format!("{name}.limit")), expected, "{name}");
    }
    // A reload with a higher `deliveries.limit` raises it further.
    daemon.rewrite(&format!("deliveries: {{limit: 200}}\n{rules}"));
    assert_eq!(files(), "1956 4000", "100 + 256 + 8 × 200");
    assert_eq!(
        daemon.post("/plain").json("[]").send().outcome(),
        (200, "done".into())
    );
    assert_eq!(daemon.read("plain.limit"), "200 4000\n");
}

#[test]
fn a_request_with_two_lengths_is_the_last_of_its_connection() {
    // A proxy that follows Content-Length would take data after the chunks as part of the body (RFC
    // 9112 §6.3).
    let daemon = Scenario::new().rules(&open("request_timeout: 5s")).start();
    let (length, chunked) = ("Content-Length: 50\r\n", "Transfer-Encoding: chunked\r\n");
    for headers in [[length, chunked], [chunked, length]].map(|lines| lines.concat()) {
        let smuggled = "POST /smuggled HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n";
        let text = format!("POST /open HTTP/1.1\r\nHost: h\r\n{headers}\r\n0\r\n\r\n{smuggled}");
        let text = exchange(&daemon, &text);
        assert_eq!(only(&text).0, "200");
        assert!(text.contains("\r\nconnection: close\r\n"), "{text}");
    }
    let twice = "POST /open HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}";
    assert_eq!(only(&exchange(&daemon, twice)).0, "400");
    assert!(!daemon.log().contains("smuggled"), "{}", daemon.log());
}
