//! Supervision: the daemon's notifications, its watchdog, and socket activation.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv6Addr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::scenario::{Answer, Daemon, PATIENCE, Scenario, Sending, eventually};
use crate::tls;

const RULES: &str = "rules:\n  - {name: a, endpoint: /a, verify: none, actions: [append: a.jsonl]}\n  \
     - {name: b, endpoint: /b, verify: none, actions: [run: [./wait.sh]]}\n";

/// The socket for the daemon's notifications.
struct Notifier(UnixDatagram);

impl Notifier {
    /// Returns a notifier, and the scenario whose daemon it supervises.
    fn of(scenario: Scenario) -> (Self, Scenario) {
        let path = scenario.folder().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let scenario = scenario.env("NOTIFY_SOCKET", path.to_str().unwrap());
        (Self(socket), scenario)
    }

    /// Waits for the next notification, at most for `limit`.
    fn next(&self, limit: Duration) -> Option<String> {
        let until = Instant::now() + limit;
        let mut bytes = [0; 4096];
        loop {
            let left = until.saturating_duration_since(Instant::now());
            self.0
                .set_read_timeout(Some(left.max(Duration::from_millis(1))))
                .unwrap();
            match self.0.recv(&mut bytes) {
                Ok(length) => return Some(String::from_utf8_lossy(&bytes[..length]).into_owned()),
                Err(error) if error.kind() == ErrorKind::WouldBlock && left.is_zero() => return None,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Waits for the next notification that contains this text.
    #[track_caller]
    fn hears(&self, text: &str) -> String {
        let begun = Instant::now();
        let mut heard = Vec::new();
        while begun.elapsed() < PATIENCE {
            if let Some(told) = self.next(PATIENCE) {
                if told.contains(text) {
                    return told;
                }
                heard.push(told);
            }
        }
        panic!("never told: {text}; but: {heard:#?}");
    }

    /// Number of watchdog notifications within `limit`.
    fn feeds(&self, limit: Duration) -> usize {
        let until = Instant::now() + limit;
        let mut feeds = 0;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return feeds;
            }
            feeds += usize::from(self.next(left).is_some_and(|told| told == "WATCHDOG=1\n"));
        }
    }
}

fn write(daemon: &Daemon, text: &str) {
    std::fs::write(daemon.folder().join("rules.yaml"), text).unwrap();
}

#[test]
fn a_supervisor_hears_of_every_turn_and_of_what_is_in_force() {
    let scenario = Scenario::new().script("wait.sh", "true").rules(RULES);
    let (supervisor, scenario) = Notifier::of(scenario);
    let mut daemon = scenario.start();
    let address = daemon.address;
    let line = |generation: u64| {
        format!(
            "STATUS=2 rules, generation {generation}; queue: 0 waiting, 0 under way, 0 dead; listening on http://{address}\n"
        )
    };
    assert_eq!(supervisor.hears("READY=1"), format!("READY=1\n{}", line(1)));

    daemon.signal("HUP");
    let told = supervisor.hears("RELOADING=1");
    let moment = told.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
    assert!(moment.trim_end().parse::<u64>().unwrap() > 0, "{told}");
    assert_eq!(supervisor.hears("READY=1"), format!("READY=1\n{}", line(2)));

    let good = daemon.read("rules.yaml");
    write(&daemon, &good.replace("verify: none", "verify: nobody"));
    let refused = "STATUS=the rules file does not load (2 diagnostics), the rules before it are in force: 2 rules, generation 2;";
    assert!(supervisor.hears("STATUS=").starts_with(refused));
    daemon.signal("HUP");
    supervisor.hears("RELOADING=1");
    assert_eq!(
        supervisor.hears("READY=1"),
        "READY=1\n",
        "and the line is as it was"
    );
    write(&daemon, &good);
    assert_eq!(supervisor.hears("STATUS="), line(2), "what was refused is gone");

    assert_eq!(daemon.stop(), Some(0));
    assert_eq!(
        supervisor.hears("STOPPING=1"),
        "STOPPING=1\nSTATUS=stopping: running actions end first\n"
    );
    assert_eq!(
        supervisor.next(Duration::from_millis(1)),
        None,
        "and nothing after it"
    );
}

#[test]
fn what_takes_a_restart_is_told_until_it_is_as_it_was() {
    let scenario = Scenario::new().script("wait.sh", "true").rules(RULES);
    let (supervisor, scenario) = Notifier::of(scenario);
    let daemon = scenario.start();
    supervisor.hears("READY=1");
    let good = daemon.read("rules.yaml");
    write(&daemon, &good.replace("127.0.0.1:0", "127.0.0.2:0"));
    let needed = "STATUS=a restart is needed for server.listen: 2 rules, generation 2;";
    assert!(supervisor.hears("STATUS=").starts_with(needed));
    // The problem is still shown when something else changes.
    write(
        &daemon,
        &good
            .replace("127.0.0.1:0", "127.0.0.2:0")
            .replace("name: b", "name: c"),
    );
    assert!(
        supervisor
            .hears("STATUS=")
            .starts_with(&needed.replace("generation 2", "generation 3"))
    );
    write(&daemon, &good);
    assert!(
        supervisor
            .hears("STATUS=")
            .starts_with("STATUS=2 rules, generation 4;")
    );
}

#[test]
fn a_supervisor_that_does_not_listen_is_complained_of_once() {
    let scenario = Scenario::new()
        .script("wait.sh", "true")
        .env("WATCHDOG_USEC", "40000")
        .rules(RULES);
    let (supervisor, scenario) = Notifier::of(scenario);
    drop(supervisor);
    let daemon = scenario.start();
    daemon.eventually("it complains", || {
        daemon.log().contains("systemd could not be notified")
    });
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(daemon.log().matches("notified").count(), 1, "{}", daemon.log());
}

#[test]
fn the_line_of_status_follows_the_queue() {
    let wait = "touch begun; while [ ! -e go ]; do sleep 0.05; done";
    let scenario = Scenario::new().script("wait.sh", wait).rules(RULES);
    let (supervisor, scenario) = Notifier::of(scenario);
    let daemon = scenario.start();
    assert_eq!(daemon.post("/b").json("{}").send().status, 200);
    supervisor.hears("queue: 0 waiting, 1 under way, 0 dead");
    std::fs::write(daemon.folder().join("go"), "").unwrap();
    supervisor.hears("queue: 0 waiting, 0 under way, 0 dead");
}

#[test]
fn the_watchdog_is_fed_while_the_store_is_locked_and_not_while_the_process_is_stopped() {
    let scenario = Scenario::new()
        .script("wait.sh", "true")
        .env("WATCHDOG_USEC", "400000")
        .rules(RULES);
    let (supervisor, scenario) = Notifier::of(scenario);
    let daemon = scenario.start();
    supervisor.hears("WATCHDOG=1");

    // Far longer than the watchdog's limit, and than the store waits for a lock, also behind its
    // sweep at the start.
    let other = rusqlite::Connection::open(daemon.folder().join("hookyard.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let event = daemon.post("/a").json("{}");
    let sent_away = std::thread::spawn(move || event.send());
    assert!(supervisor.feeds(Duration::from_secs(11)) > 20, "{}", daemon.log());
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(sent_away.join().unwrap().status, 503);

    daemon.signal("STOP");
    // Skip notifications already on their way.
    supervisor.feeds(Duration::from_millis(200));
    assert_eq!(supervisor.feeds(Duration::from_secs(1)), 0);
    daemon.signal("CONT");
    supervisor.hears("WATCHDOG=1");
}

#[test]
fn a_watchdog_that_is_not_ours_is_not_fed() {
    for environment in [None, Some(("WATCHDOG_USEC", "100000"))] {
        let scenario = Scenario::new().script("wait.sh", "true").rules(RULES);
        let (supervisor, mut scenario) = Notifier::of(scenario);
        if let Some((name, value)) = environment {
            scenario = scenario.env(name, value).env("WATCHDOG_PID", "1");
        }
        let daemon = scenario.start();
        supervisor.hears("READY=1");
        assert_eq!(
            supervisor.feeds(Duration::from_millis(500)),
            0,
            "{}",
            daemon.log()
        );
    }
}

#[test]
fn all_sockets_that_are_handed_over_are_served_and_no_command_gets_them() {
    let rules = "server: {listen: systemd}\nrules:\n  - {name: fds, endpoint: /, verify: none, actions: [run: [./fds.sh], append: done]}\n";
    let scenario = Scenario::new()
        .script("fds.sh", "ls -l /proc/$$/fd > fds.$$; mv fds.$$ fds")
        .rules(rules);
    let folder = scenario.folder().to_owned();
    let tcp = TcpListener::bind((Ipv6Addr::LOCALHOST, 0));
    // Without IPv6, use IPv4.
    let tcp = tcp.or_else(|_| TcpListener::bind("127.0.0.1:0")).unwrap();
    let unix = UnixListener::bind(folder.join("http.sock")).unwrap();
    let address = tcp.local_addr().unwrap();
    let start = |log: &str| Handed::start(&folder, &tcp, &unix, log);
    let daemon = start("log.1");
    let over_unix = || over_unix(&folder.join("http.sock"));
    let post = || Sending::to(address, "POST", "/").json("{}").send();
    assert_eq!(post().outcome(), (200, "accepted".into()));
    assert_eq!(over_unix().unwrap(), "HTTP/1.1 200");
    eventually("the command ran", || folder.join("fds").exists());
    let fds = std::fs::read_to_string(folder.join("fds")).unwrap();
    assert!(fds.contains(" 0 -> "), "{fds}");
    assert_eq!(fds.matches("socket:").count(), 0, "{fds}");

    // Between two daemons, connections are not refused but wait.
    daemon.stop();
    let waiting: Vec<std::thread::JoinHandle<Answer>> = (0..20)
        .map(|_| std::thread::spawn(move || Sending::to(address, "POST", "/").json("{}").send()))
        .collect();
    // Data from a client that has disconnected by then is accepted, too.
    let large = format!("{{\"x\": \"{}\"}}", "y".repeat(100_000));
    for _ in 0..20 {
        let mut stream = TcpStream::connect(address).unwrap();
        let event = Sending::to(address, "POST", "/").json(&large).bytes();
        stream.write_all(&event).unwrap();
    }
    std::thread::sleep(Duration::from_millis(300));
    let daemon = start("log.2");
    for answer in waiting {
        assert_eq!(answer.join().unwrap().outcome(), (200, "accepted".into()));
    }
    assert_eq!(
        over_unix().unwrap(),
        "HTTP/1.1 200",
        "the file of a socket stays its owner's"
    );
    let done = || std::fs::read_to_string(folder.join("done")).map_or(0, |done| done.lines().count());
    eventually("all is done, once", || done() == 2 + 20 + 20 + 1);
    daemon.stop();
}

#[test]
fn of_the_sockets_that_are_handed_over_tcp_is_served_with_tls() {
    let authority = tls::authority();
    let rules = "server: {listen: systemd, tls: {cert: cert.pem, key: key.pem}}\nrules: [{name: all, endpoint: /, verify: none, actions: [append: done]}]\n";
    let scenario = tls::scene(&tls::pair(&authority), rules);
    let folder = scenario.folder().to_owned();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let unix = UnixListener::bind(folder.join("http.sock")).unwrap();
    let daemon = Handed::start(&folder, &tcp, &unix, "log");
    let socket = || {
        let socket = TcpStream::connect(tcp.local_addr().unwrap()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    };
    let mut secured = tls::secured(socket(), tls::any(&authority)).unwrap();
    assert_eq!(tls::post(&mut secured, "/"), "200");
    let mut plain = socket();
    let event = Sending::to(tcp.local_addr().unwrap(), "POST", "/").json("{}");
    plain.write_all(&event.bytes()).unwrap();
    let mut answer = Vec::new();
    drop(plain.read_to_end(&mut answer));
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    assert_eq!(over_unix(&folder.join("http.sock")).unwrap(), "HTTP/1.1 200");
    daemon.stop();
}

/// A scenario whose command lists its file descriptors, and the sockets for its daemon.
fn handing_over(listen: &str) -> (Scenario, TcpListener, UnixListener) {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = listen.replace("{tcp}", &tcp.local_addr().unwrap().to_string());
    let scenario = Scenario::new()
        .script("fds.sh", "ls -l /proc/$$/fd > fds.$$; mv fds.$$ fds")
        .rules(&format!(
            "server: {{listen: {listen}}}\nrules:\n  - {{name: fds, endpoint: /, verify: none, actions: [run: [./fds.sh]]}}\n"
        ));
    let unix = UnixListener::bind(scenario.folder().join("http.sock")).unwrap();
    (scenario, tcp, unix)
}

#[test]
fn sockets_that_no_rule_asks_for_are_told_and_no_command_gets_them() {
    let (scenario, tcp, unix) = handing_over("'unix:{dir}/own.sock'");
    let folder = scenario.folder().to_owned();
    let daemon = Handed::start(&folder, &tcp, &unix, "log");
    let log = || std::fs::read_to_string(folder.join("log")).unwrap();
    eventually("it serves", || log().contains(" serving "));
    assert_eq!(over_unix(&folder.join("own.sock")).unwrap(), "HTTP/1.1 200");
    eventually("the command ran", || folder.join("fds").exists());
    let fds = std::fs::read_to_string(folder.join("fds")).unwrap();
    assert!(fds.contains(" 0 -> "), "{fds}");
    assert_eq!(fds.matches("socket:").count(), 0, "{fds}");
    let http = format!("unix:{}", folder.join("http.sock").display());
    for held in [tcp.local_addr().unwrap().to_string(), http] {
        let told = format!("WARN systemd holds {held}, on which the rules do not listen");
        assert!(log().contains(&told), "{}", log());
    }
    daemon.stop();
    assert!(folder.join("http.sock").exists(), "systemd's file");
}

#[test]
fn an_address_of_the_rules_is_the_socket_that_systemd_holds_there() {
    for listen in [
        "['{tcp}', 'unix:{dir}/http.sock']",
        "[systemd, '{tcp}']",
        "['unix:{dir}/http.sock', systemd]",
    ] {
        let (scenario, tcp, unix) = handing_over(listen);
        let folder = scenario.folder().to_owned();
        let address = tcp.local_addr().unwrap();
        for log in ["log.1", "log.2"] {
            let daemon = Handed::start(&folder, &tcp, &unix, log);
            let answer = Sending::to(address, "POST", "/").json("{}").send();
            assert_eq!(answer.outcome(), (200, "accepted".into()), "{listen}");
            assert_eq!(over_unix(&folder.join("http.sock")).unwrap(), "HTTP/1.1 200");
            daemon.stop();
            let said = std::fs::read_to_string(folder.join(log)).unwrap();
            assert!(!said.contains(" WARN "), "{said}");
            assert!(
                said.contains("/http.sock") && said.contains(&format!("http://{address}")),
                "{said}"
            );
        }
    }
}

#[test]
fn what_systemd_hands_over_must_listen_and_be_named_exactly() {
    let (scenario, tcp, unix) = handing_over("'0.0.0.0:{port}'");
    let folder = scenario.folder().to_owned();
    let rules = scenario.folder().join("rules.yaml");
    let text = std::fs::read_to_string(&rules).unwrap();
    let address = tcp.local_addr().unwrap();
    std::fs::write(&rules, text.replace("{port}", &address.port().to_string())).unwrap();
    let failure = |log: &str, tcp: &OwnedFd, environment: &str| {
        let mut daemon = Handed::with(&folder, tcp.try_clone().unwrap(), &unix, log, environment);
        assert_eq!(daemon.0.wait().unwrap().code(), Some(2));
        std::fs::read_to_string(folder.join(log)).unwrap()
    };
    let said = failure(
        "log.1",
        &tcp.try_clone().unwrap().into(),
        "LISTEN_FDS=2 LISTEN_PID=$$",
    );
    let expected = format!("Address already in use (os error 98); systemd has handed over {address}, unix:");
    assert!(said.contains(&expected), "{said}");

    let idle = rustix::net::socket(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::STREAM,
        None,
    )
    .unwrap();
    rustix::net::bind(&idle, &std::net::SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let said = failure("log.2", &idle, "LISTEN_FDS=2 LISTEN_PID=$$");
    assert!(
        said.contains("cannot use the socket 0 that systemd handed over: it is bound to 127.0.0.1:"),
        "{said}"
    );
    let datagram = UnixDatagram::unbound().unwrap().into();
    let said = failure("log.3", &datagram, "LISTEN_FDS=2 LISTEN_PID=$$");
    assert!(
        said.contains("the socket 0 that systemd handed over: it is no stream socket"),
        "{said}"
    );
    let said = failure("log.4", &idle, "LISTEN_FDS=2000000000 LISTEN_PID=$$");
    assert!(
        said.contains("LISTEN_FDS=2000000000: at most 256 sockets"),
        "{said}"
    );
}

#[test]
fn a_socket_that_systemd_does_not_hold_is_asked_for_in_vain() {
    let scenario = Scenario::new().rules(
        "server: {listen: systemd}\nrules: [{name: a, endpoint: /a, verify: none, actions: [append: a]}]\n",
    );
    let said = crate::scenario::said(&scenario.hookyard(&["serve", "rules.yaml"]));
    assert!(
        said.contains("systemd handed over no socket: `systemctl status hookyard.socket` says why"),
        "{said}"
    );
}

/// The response to a request through the unix socket.
fn over_unix(socket: &Path) -> std::io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let event = Sending::to(([127, 0, 0, 1], 0).into(), "POST", "/").json("{}");
    stream.write_all(&event.bytes())?;
    let mut head = [0; 12];
    stream.read_exact(&mut head)?;
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// A daemon started with inherited sockets. Killed if its test does not stop it.
struct Handed(std::process::Child);

impl Handed {
    /// Starts a daemon on the rules in `folder`. The sockets stay open here, as with systemd, and
    /// become file descriptors 3 and 4.
    fn start(folder: &Path, tcp: &TcpListener, unix: &UnixListener, log: &str) -> Self {
        let tcp = tcp.try_clone().unwrap().into();
        Self::with(folder, tcp, unix, log, "LISTEN_FDS=2 LISTEN_PID=$$")
    }

    /// Starts a daemon with this environment.
    fn with(folder: &Path, tcp: OwnedFd, unix: &UnixListener, log: &str, environment: &str) -> Self {
        let give = format!("exec env {environment} \"$@\" 3<&0 4<&1 </dev/null >/dev/null");
        let daemon = Scenario::new()
            .through(&["sh", "-c", &give, "sh"])
            .command(&["serve", "rules.yaml"])
            .current_dir(folder)
            .stdin(Stdio::from(tcp))
            .stdout(Stdio::from(OwnedFd::from(unix.try_clone().unwrap())))
            .stderr(std::fs::File::create(folder.join(log)).unwrap())
            .spawn();
        Self(daemon.unwrap())
    }

    /// Stops the daemon in order.
    fn stop(mut self) {
        let pid = self.0.id().to_string();
        let kill = std::process::Command::new("kill").arg(&pid).status();
        assert!(kill.unwrap().success());
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Handed {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
