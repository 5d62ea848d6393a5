//! Thousands of connections that send nothing or never finish: honest requests are still answered,
//! and memory stays bounded.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::scenario::{Answer, Daemon, PATIENCE, Scenario, said};
use crate::tls::{self, Authority};

/// Maximum memory of an idle connection, in bytes, without the kernel's buffers.
const PER_CONNECTION: usize = 64 << 10;

pub fn rules(server: &str) -> String {
    format!(
        "server: {{listen: 127.0.0.1:0, {server}}}\nrules: [{{name: open, endpoint: /open, verify: none, actions: [append: open.jsonl]}}]\n"
    )
}

/// Number of connections that this machine allows a process, up to `wanted`.
pub fn affordable(wanted: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let mut raised = limit;
    raised.current = limit.maximum;
    setrlimit(Resource::Nofile, raised).ok();
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    // Other tests have files open, too.
    let affordable = usize::try_from(files.saturating_sub(1500) / 2)
        .unwrap_or(wanted)
        .min(wanted);
    if affordable < wanted {
        eprintln!("{affordable} connections instead of {wanted}: no more files may be open here");
    }
    affordable
}

/// Memory of the daemon, in bytes.
fn memory(daemon: &Daemon) -> usize {
    of_memory(daemon, "VmRSS:")
}

/// Peak memory of the daemon, in bytes.
pub fn most_memory(daemon: &Daemon) -> usize {
    of_memory(daemon, "VmHWM:")
}

fn of_memory(daemon: &Daemon, which: &str) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(which)).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}

/// Useless connections: silent ones, and ones that stop in the head or in the body.
fn idlers(daemon: &Daemon, count: usize) -> Vec<TcpStream> {
    let says: [&[u8]; 4] = [
        b"",
        b"POST /op",
        b"POST /open HTTP/1.1\r\nHost: h\r\nX-Slow: ",
        b"POST /open HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n{",
    ];
    let connect = |index: usize| {
        let mut stream = daemon.connect();
        // A connection that was closed already is useless, too.
        stream.write_all(says[index % says.len()]).ok();
        stream
    };
    (0..count).map(connect).collect()
}

/// Sends honest requests, one after the other. Returns the time of the slowest.
pub fn honest(daemon: &Daemon, count: usize) -> Duration {
    let times = (0..count).map(|number| {
        let begun = Instant::now();
        let sending = daemon.post("/open").json(format!("{{\"n\": {number}}}"));
        assert_eq!(sending.send().outcome(), (200, "accepted".into()));
        begun.elapsed()
    });
    times.max().unwrap()
}

#[test]
fn five_thousand_idle_connections_keep_nobody_out_and_cost_little() {
    let daemon = Scenario::new()
        .rules(&rules("max_connections: 6000, request_timeout: 2m"))
        .start();
    honest(&daemon, 20);
    let before = memory(&daemon);
    let idlers = idlers(&daemon, affordable(5000));
    daemon.eventually("all are let in", || {
        let open = std::fs::read_dir(format!("/proc/{}/fd", daemon.pid())).unwrap();
        open.count() > idlers.len()
    });
    let slowest = honest(&daemon, 50);
    let grown = memory(&daemon).saturating_sub(before);
    eprintln!(
        "{} idle connections: {} KiB each, slowest honest request {slowest:?}",
        idlers.len(),
        (grown >> 10) / idlers.len()
    );
    assert!(
        grown < idlers.len() * PER_CONNECTION,
        "{} bytes each",
        grown / idlers.len()
    );
    assert!(slowest < Duration::from_secs(10), "{slowest:?}");
}

#[test]
fn who_takes_all_places_and_does_nothing_makes_room() {
    // Four times the number of slots, for far longer than the test takes.
    let daemon = Scenario::new()
        .rules(&rules("max_connections: 200, request_timeout: 2m"))
        .start();
    let idlers = idlers(&daemon, 800);
    let slowest = honest(&daemon, 50);
    eprintln!("with all places taken: slowest honest request {slowest:?}");
    assert!(slowest < Duration::from_secs(10), "{slowest:?}");
    let open = std::fs::read_dir(format!("/proc/{}/fd", daemon.pid()))
        .unwrap()
        .count();
    assert!(open < 200 + 60, "{open}");
    daemon.eventually("the log says so, and not a hundred times", || {
        let said = daemon.log().matches("evicted an idle connection").count();
        (1..100).contains(&said)
    });
    drop(idlers);
}

#[test]
fn who_is_at_work_makes_room_for_nobody() {
    let rules = "
server: {listen: 127.0.0.1:0, max_connections: 3, request_timeout: 2m}
rules:
  - {name: work, endpoint: /work, verify: none, respond: {wait: 20s}, actions: [run: [./work]]}
  - {name: open, endpoint: /open, verify: none, actions: [append: open.jsonl]}
";
    let daemon = Scenario::new()
        .rules(rules)
        .script("work", "echo >> begun; sleep 2")
        .start();
    let mut waiting = daemon.at_work();
    let idlers = idlers(&daemon, 30);
    honest(&daemon, 5);
    assert_eq!(
        Answer::read(&mut waiting).unwrap().outcome(),
        (200, "done".into())
    );
    drop(idlers);
}

#[test]
fn a_body_in_the_smallest_of_pieces_takes_what_it_has() {
    let daemon = Scenario::new().rules(&rules("request_timeout: 2m")).start();
    honest(&daemon, 5);
    let before = memory(&daemon);
    let head = "POST /open HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    let text = [head, &"1\r\nx\r\n".repeat(300_000)].concat();
    let mut senders: Vec<TcpStream> = (0..4).map(|_| daemon.connect()).collect();
    for stream in &mut senders {
        stream.write_all(text.as_bytes()).unwrap();
    }
    for stream in &mut senders {
        stream.write_all(b"0\r\n\r\n").unwrap();
        assert_eq!(Answer::read(stream).unwrap().outcome(), (200, "accepted".into()));
    }
    let grown = most_memory(&daemon).saturating_sub(before);
    eprintln!("4 bodies of 300,000 pieces: {} KiB", grown >> 10);
    assert!(grown < 16 << 20, "{grown}");
}

/// Connections that each send a body except its last byte.
pub fn partial_bodies(daemon: &Daemon, count: usize, size: usize, source: [u8; 4]) -> Vec<TcpStream> {
    let head = format!("POST /open HTTP/1.1\r\nHost: h\r\nContent-Length: {size}\r\n\r\n");
    let bytes = [head.as_bytes(), &vec![b'x'; size - 1]].concat();
    let connect = |_| {
        let mut stream = connect_from(daemon, source).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        // A connection that is refused and closed while it sends is useless, too.
        stream.write_all(&bytes).ok();
        stream
    };
    (0..count).map(connect).collect()
}

#[test]
fn half_sent_bodies_together_take_no_more_than_max_inflight() {
    // The allocator as the unit sets it.
    let daemon = Scenario::new()
        .env("MALLOC_ARENA_MAX", "4")
        .env("MALLOC_MMAP_THRESHOLD_", "65536")
        .env("MALLOC_TRIM_THRESHOLD_", "131072")
        .rules(&rules("max_inflight: 16MiB, request_timeout: 2m"))
        .start();
    honest(&daemon, 5);
    let before = memory(&daemon);
    // Six times as much, from one client or from many. The last address also sends the honest
    // requests.
    for source in [[127, 0, 0, 2], [127, 0, 0, 3], [127, 0, 0, 1]] {
        let senders = partial_bodies(&daemon, 100, 1 << 20, source);
        let slowest = honest(&daemon, 20);
        eprintln!("100 half-sent bodies: slowest honest request {slowest:?}");
        // Also a body that comes in pieces and is no larger than the others.
        let mut stream = daemon.connect();
        let head = "POST /open HTTP/1.1\r\nHost: h\r\nContent-Length: 300000\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        std::thread::sleep(Duration::from_millis(300));
        stream.write_all(&vec![b'x'; 100_000]).unwrap();
        std::thread::sleep(Duration::from_millis(50));
        stream.write_all(&vec![b'x'; 200_000]).unwrap();
        assert_eq!(
            Answer::read(&mut stream).unwrap().outcome(),
            (200, "accepted".into())
        );
        drop(senders);
    }
    let grown = most_memory(&daemon).saturating_sub(before);
    eprintln!("300 half-sent bodies of 1 MiB: {} KiB at most", grown >> 10);
    // Of 300 MiB: the budget, a read buffer for each connection, and what the allocator keeps.
    assert!(grown < 96 << 20, "{grown}");
    daemon.eventually("the log says so, and not a hundred times", || {
        // Some are evicted, some are refused, as they come.
        let said = daemon.log().matches("`max_inflight` reached").count();
        (1..100).contains(&said)
    });
    daemon.eventually("all of it is given back", || {
        let rules = daemon.folder().join("rules.yaml");
        let mut status = std::process::Command::new(env!("CARGO_BIN_EXE_hookyard"));
        let status = status
            .arg("status")
            .arg("--rules")
            .arg(rules)
            .args(["--format", "json"])
            .current_dir(daemon.folder());
        let text = said(&status.output().unwrap());
        text.contains(r#""inflight":{"bytes":0,"#)
    });
}

#[test]
fn who_is_evicted_is_told_to_come_again() {
    let daemon = Scenario::new()
        .rules(&rules("max_inflight: 2MiB, max_body: 1MiB, request_timeout: 2m"))
        .start();
    let mut held = partial_bodies(&daemon, 4, 1 << 20, [127, 0, 0, 2]);
    let answers: Vec<Answer> = held
        .iter_mut()
        .filter_map(|stream| {
            stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
            Answer::read(stream).ok()
        })
        .collect();
    assert!(!answers.is_empty());
    for answer in answers {
        assert_eq!(answer.outcome(), (503, "unavailable".into()));
        assert!(answer.header("retry-after").is_some());
    }
    assert!(
        daemon.log().contains("`max_inflight` reached"),
        "{}",
        daemon.log()
    );
}

#[test]
fn slow_senders_are_cut_off() {
    let daemon = Scenario::new().rules(&rules("request_timeout: 1s")).start();
    let mut slow = idlers(&daemon, 200);
    let begun = Instant::now();
    // A byte now and then does not keep a connection alive.
    while begun.elapsed() < Duration::from_millis(1500) {
        for stream in &mut slow {
            stream.write_all(b"a").ok();
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    for stream in &mut slow {
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut rest = Vec::new();
        let ended = stream.read_to_end(&mut rest);
        assert!(
            ended.is_ok() || ended.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset),
            "it is still open"
        );
    }
    honest(&daemon, 5);
}

/// A connection from this source address.
fn connect_from(daemon: &Daemon, source: [u8; 4]) -> std::io::Result<TcpStream> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.bind((source, 0).into())?;
        let stream = socket.connect(daemon.address).await?.into_std()?;
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(stream)
    })
}

#[test]
fn who_opens_connections_without_end_cuts_off_nobody_else() {
    let daemon = Scenario::new()
        .rules(&rules("max_connections: 64, request_timeout: 2m"))
        .start();
    let (over, opened) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut held = VecDeque::new();
            while !over.load(Ordering::Relaxed) {
                held.extend(connect_from(&daemon, [127, 0, 0, 2]));
                opened.fetch_add(1, Ordering::Relaxed);
                if held.len() > 300 {
                    held.pop_front();
                }
            }
        });
        daemon.eventually("all places are taken", || opened.load(Ordering::Relaxed) > 300);
        let answers: Vec<_> = (0..5)
            .map(|_| {
                let mut stream = connect_from(&daemon, [127, 0, 0, 1])?;
                let pause = Duration::from_millis(200);
                for part in [
                    "POST /open HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n",
                    "{}",
                ] {
                    std::thread::sleep(pause);
                    stream.write_all(part.as_bytes())?;
                }
                Answer::read(&mut stream).map(|answer| answer.status)
            })
            .collect();
        over.store(true, Ordering::Relaxed);
        eprintln!(
            "{} connections were opened during the flood",
            opened.load(Ordering::Relaxed)
        );
        let answers: Vec<u16> = answers.into_iter().map(Result::unwrap).collect();
        assert_eq!(answers, [200; 5]);
    });
}

#[test]
fn a_proxy_is_not_one_client_that_holds_too_much() {
    let server = "max_connections: 40, request_timeout: 2m, trusted_proxies: 127.0.0.3";
    let daemon = Scenario::new().rules(&rules(server)).start();
    let many = |source, count| -> Vec<TcpStream> {
        (0..count)
            .map(|_| connect_from(&daemon, source).unwrap())
            .collect()
    };
    let proxied = many([127, 0, 0, 3], 30);
    let strangers = many([127, 0, 0, 2], 10);
    honest(&daemon, 8);
    let open = |streams: &[TcpStream]| {
        let ended = |mut stream: &TcpStream| {
            stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
            stream.read(&mut [0]).is_ok()
        };
        streams.iter().filter(|stream| !ended(stream)).count()
    };
    assert_eq!(open(&proxied), 30);
    assert!(open(&strangers) < 10);
}

#[test]
fn half_a_handshake_by_the_thousand_keeps_nobody_out() {
    let ca = tls::authority();
    let server = "max_connections: 200, request_timeout: 2m";
    let daemon = tls::scene(&tls::pair(&ca), &tls::open(server)).start();
    let mut idlers = Vec::new();
    for index in 0..1000 {
        let mut stream = daemon.connect();
        if index % 2 == 0 {
            stream.write_all(&[22, 3, 1, 2, 0, 1, 0, 1]).ok();
        }
        idlers.push(stream);
    }
    for _ in 0..10 {
        let config = tls::client(&ca, rustls::ALL_VERSIONS, &[]);
        let mut stream = tls::connect(&daemon, config).unwrap();
        assert_eq!(tls::post(&mut stream, "/open"), "200");
    }
    drop(idlers);
}

/// Opens an HTTP/2 connection for arbitrary frames.
pub fn second(daemon: &Daemon, ca: &Authority) -> tls::Stream {
    let mut stream = tls::connect(daemon, tls::client(ca, rustls::ALL_VERSIONS, &["h2"])).unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
    stream.write_all(&frame(4, 0, 0, &[])).unwrap();
    stream
}

/// A frame (RFC 9113 §4.1).
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [&head, payload].concat()
}

/// Header block of `GET https://h/` (RFC 7541, by the static table).
const HEAD: &[u8] = b"\x82\x87\x84\x41\x01h";

/// Writes the frames from `next` until the daemon closes, at most `times`. Returns true if it did.
fn had_enough(stream: &mut tls::Stream, times: u32, mut next: impl FnMut(u32) -> Vec<u8>) -> bool {
    stream
        .sock
        .set_write_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    (0..times).any(|number| stream.write_all(&next(number)).is_err())
}

#[test]
fn a_head_that_never_ends_is_cut_off() {
    let ca = tls::authority();
    let daemon = tls::scene(&tls::pair(&ca), &tls::open("request_timeout: 2m")).start();
    let mut stream = second(&daemon, &ca);
    let before = memory(&daemon);
    // A header without an end, in CONTINUATION frames.
    let begun = [HEAD, &[0x00, 0x01, b'a', 0x7f, 0xff, 0xff, 0xff, 0x7f]].concat();
    stream.write_all(&frame(1, 0, 1, &begun)).unwrap();
    assert!(had_enough(&mut stream, 4000, |_| frame(9, 0, 1, &[b'a'; 16_000])));
    let grown = memory(&daemon).saturating_sub(before);
    assert!(grown < 16 << 20, "{grown}");
}

#[test]
fn requests_that_are_taken_back_by_the_thousand_harm_nobody() {
    let ca = tls::authority();
    let daemon = tls::scene(&tls::pair(&ca), &tls::open("request_timeout: 2m")).start();
    let before = memory(&daemon);
    let mut reset = second(&daemon, &ca);
    let mut reading = reset.sock.try_clone().unwrap();
    // The answers are read, so that they do not block the connection.
    let reader = std::thread::spawn(move || drop(std::io::copy(&mut reading, &mut std::io::sink())));
    had_enough(&mut reset, 20_000, |number| {
        let stream = 2 * number + 1;
        [frame(1, 5, stream, HEAD), frame(3, 0, stream, &[0, 0, 0, 8])].concat()
    });
    let mut honest = tls::connect(&daemon, tls::client(&ca, rustls::ALL_VERSIONS, &[])).unwrap();
    assert_eq!(tls::post(&mut honest, "/open"), "200");
    let grown = memory(&daemon).saturating_sub(before);
    eprintln!("20,000 requests taken back: {} KiB", grown >> 10);
    assert!(grown < 64 << 20, "{grown}");
    reset.sock.shutdown(std::net::Shutdown::Both).ok();
    reader.join().unwrap();
}

/// A header field that the peer adds to its dynamic table (RFC 7541 §6.2.1), with an empty value.
fn remembered(name: &str) -> Vec<u8> {
    [&[0x40, u8::try_from(name.len()).unwrap()], name.as_bytes(), &[0]].concat()
}

/// Opens a connection with the maximum number of requests. Each repeats a field of the dynamic
/// table `times`, in one byte each, and announces a body that never comes. Adds the bytes sent to
/// `sent`.
fn bomb(daemon: &Daemon, ca: &Authority, times: usize, sent: &mut usize) -> tls::Stream {
    let post: &[u8] = b"\x83\x87\x04\x05/open\x01\x01h";
    let mut stream = second(daemon, ca);
    let names = (0..64).map(|number| remembered(&format!("{number:03x}")));
    let first: Vec<u8> = names.flatten().collect();
    let mut frames = frame(1, 4, 1, &[post, &first].concat());
    // The newest entry of the dynamic table has index 62.
    let again: Vec<u8> = (0..times)
        .map(|index| 0x80 | (62 + u8::try_from(index % 64).unwrap()))
        .collect();
    for number in 1..100 {
        frames.extend(frame(1, 4, 2 * number + 1, &[post, &again].concat()));
    }
    stream.write_all(&frames).unwrap();
    *sent += frames.len();
    stream
}

/// Reads frames of a kind, as stream and payload, until there are `count`.
fn frames_of(stream: &mut tls::Stream, kind: u8, count: usize) -> Vec<(u32, Vec<u8>)> {
    let mut found = Vec::new();
    while found.len() < count {
        let mut head = [0; 9];
        stream.read_exact(&mut head).unwrap();
        let [_, high, middle, low, this, _, ..] = [&[0], &head[..]].concat()[..] else {
            unreachable!()
        };
        let length = u32::from_be_bytes([0, high, middle, low]);
        let mut payload = vec![0; length as usize];
        stream.read_exact(&mut payload).unwrap();
        if this == kind {
            let [a, b, c, d] = head[5..] else { unreachable!() };
            found.push((u32::from_be_bytes([a, b, c, d]), payload));
        }
    }
    found
}

/// Time of an honest HTTP/2 request, including its connection.
fn honest_second(daemon: &Daemon, ca: &Authority) -> Duration {
    let begun = Instant::now();
    let mut stream = second(daemon, ca);
    let post = frame(1, 4, 1, b"\x83\x87\x04\x05/open\x01\x01h");
    stream.write_all(&[post, frame(0, 1, 1, b"{}")].concat()).unwrap();
    let answers = frames_of(&mut stream, 1, 1);
    assert_eq!((answers[0].0, answers[0].1[0]), (1, 0x88), "`:status: 200`");
    begun.elapsed()
}

#[test]
fn heads_that_swell_when_they_are_read_take_little_memory() {
    let ca = tls::authority();
    let daemon = tls::scene(&tls::pair(&ca), &tls::open("request_timeout: 2m")).start();
    honest_second(&daemon, &ca);
    for (times, allowed) in [(1700, 48 << 20), (95, 48 << 20)] {
        let before = memory(&daemon);
        let mut sent = 0;
        let mut bombs: Vec<_> = (0..20).map(|_| bomb(&daemon, &ca, times, &mut sent)).collect();
        let slowest = honest_second(&daemon, &ca);
        std::thread::sleep(Duration::from_millis(500));
        let grown = memory(&daemon).saturating_sub(before);
        eprintln!(
            "{} KiB of heads of {times} fields: {} KiB, honest {slowest:?}",
            sent >> 10,
            grown >> 10
        );
        assert!(grown < allowed, "{grown}");
        assert!(slowest < Duration::from_secs(5), "{slowest:?}");
        if times > 100 {
            // All of them are answered, and none is accepted.
            for stream in &mut bombs {
                frames_of(stream, 1, 99);
            }
            daemon.eventually("the log says why", || daemon.log().contains("too many fields"));
        }
    }
}

#[test]
fn requests_of_http_2_that_never_come_to_their_end_keep_nobody_out() {
    let ca = tls::authority();
    let server = "max_connections: 100, request_timeout: 2m";
    let daemon = tls::scene(&tls::pair(&ca), &tls::open(server)).start();
    let mut sent = 0;
    let idlers: Vec<_> = (0..50).map(|_| bomb(&daemon, &ca, 0, &mut sent)).collect();
    let times: Vec<Duration> = (0..10).map(|_| honest_second(&daemon, &ca)).collect();
    let slowest = *times.iter().max().unwrap();
    eprintln!("with 5000 requests that rest: honest ones took {times:?}");
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    daemon.eventually("the log says so, and not a hundred times", || {
        let said = daemon
            .log()
            .matches("over HTTP/2 reached: evicted an idle one")
            .count();
        (1..100).contains(&said)
    });
    drop(idlers);
}

#[test]
fn half_sent_bodies_of_http_2_are_held_to_the_same_bound() {
    let ca = tls::authority();
    let server = "max_inflight: 16MiB, request_timeout: 2m";
    let daemon = tls::scene(&tls::pair(&ca), &tls::open(server)).start();
    honest_second(&daemon, &ca);
    let before = memory(&daemon);
    // Each request sends as much as its window allows, and more as soon as the window opens again.
    let held: Vec<_> = (0..40)
        .map(|_| {
            let mut stream = second(&daemon, &ca);
            for number in 0..4 {
                let post = frame(1, 4, 2 * number + 1, b"\x83\x87\x04\x05/open\x01\x01h");
                stream.write_all(&post).unwrap();
                // The default windows of RFC 9113, which the daemon cannot lower before its
                // settings arrive.
                let piece = frame(0, 0, 2 * number + 1, &[b'x'; 16_000]);
                stream.write_all(&piece).unwrap();
            }
            stream
        })
        .collect();
    let slowest = honest_second(&daemon, &ca);
    let grown = most_memory(&daemon).saturating_sub(before);
    eprintln!(
        "160 half-sent bodies over HTTP/2: {} KiB, honest {slowest:?}",
        grown >> 10
    );
    assert!(grown < 64 << 20, "{grown}");
    drop(held);
}

#[test]
fn a_body_that_would_never_fit_is_found_by_check() {
    for (server, endpoints, found) in [
        ("max_inflight: 1MiB, max_body: 2MiB", "", true),
        ("max_inflight: 2MiB, max_body: 2MiB", "", false),
        ("max_inflight: 2MiB", "endpoints: {/open: {max_body: 3MiB}}", true),
        ("max_body: 129MiB", "", true),
        ("max_inflight: 129MiB, max_body: 129MiB", "", false),
    ] {
        let rules = format!("{}{endpoints}\n", rules(server));
        let checked = Scenario::new().rules(&rules).hookyard(&["check", "rules.yaml"]);
        let text = said(&checked);
        assert_eq!(checked.status.code(), Some(i32::from(found)), "{server}: {text}");
        assert_eq!(text.contains("raise `server.max_inflight`"), found, "{text}");
    }
}
