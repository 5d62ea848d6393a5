//! Test harness: a folder, a rules file, the daemon, senders and targets.
//!
//! ```text
//! let daemon = Scenario::new().env("SECRET", "s3cret").rules("rules: …").start();
//! let answer = daemon.post("/github").header("X-GitHub-Event", "push").github("s3cret").body(PUSH).send();
//! daemon.eventually("the line is appended", || daemon.read("out.jsonl").contains("\"id\""));
//! ```
//!
//! In rules, `{dir}` means the scenario's folder. The daemon listens on a free port. Every wait has
//! a bound, and a daemon that outlives its test is killed.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tempfile::TempDir;

/// Maximum time for any step.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Seconds since the epoch.
pub fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

/// Number of open file descriptors of a process, once it is stable.
pub fn idle_descriptors(pid: u32) -> usize {
    let count = || std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    let (step, mut rested, mut last) = (Duration::from_millis(100), 0, count());
    for _ in 0..PATIENCE.as_millis() / step.as_millis() {
        std::thread::sleep(step);
        let now = count();
        rested = if now == last { rested + 1 } else { 0 };
        last = now;
        if rested >= 10 {
            break;
        }
    }
    last
}

/// The hex HMAC-SHA256 of `content`.
pub fn hmac_hex(secret: &str, content: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(&hmac_bytes(secret.as_bytes(), content))
}

/// The HMAC-SHA256 of `content`.
pub fn hmac_bytes(secret: &[u8], content: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
    mac.update(content);
    mac.finalize().into_bytes().to_vec()
}

/// Reads a file of `tests/fixtures`.
pub fn fixture(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Everything that a command has printed.
pub fn said(output: &Output) -> String {
    let [stdout, stderr] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    format!("{stdout}{stderr}")
}

/// Waits until `condition` holds.
#[track_caller]
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A scenario before the daemon starts.
pub struct Scenario {
    folder: TempDir,
    environment: BTreeMap<String, String>,
    through: Vec<String>,
}

impl Scenario {
    pub fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            environment: BTreeMap::new(),
            through: Vec::new(),
        }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Sets a variable of the daemon's environment.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Starts the daemon through a program that executes it.
    pub fn through(mut self, program: &[&str]) -> Self {
        self.through = program.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// Writes a file.
    pub fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        let path = self.folder().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        self
    }

    /// Makes a file readable by its owner only, like a secret.
    pub fn private(self, name: &str) -> Self {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(self.folder().join(name), mode).unwrap();
        self
    }

    /// Writes an executable shell script.
    pub fn script(self, name: &str, content: &str) -> Self {
        use std::os::unix::fs::PermissionsExt;
        let scenario = self.file(name, format!("#!/bin/sh\n{content}\n"));
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(scenario.folder().join(name), mode).unwrap();
        scenario
    }

    /// Writes the rules file. If it has no `server` section, one with a free port is added.
    pub fn rules(self, text: &str) -> Self {
        let text = rules_text(self.folder(), text);
        self.file("rules.yaml", text)
    }

    /// Runs `hookyard` with these arguments to its end.
    pub fn hookyard(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Deliveries of the arrivals that `hookyard events list` finds with these filters, newest
    /// first. `--rule` and `--state` also apply to the deliveries. A delivery for `on_failure` is no
    /// dead letter.
    pub fn deliveries(&self, filters: &[&str]) -> Vec<serde_json::Value> {
        let wanted = |option: &str, value: &serde_json::Value| {
            let given = filters.iter().position(|&word| word == option);
            given.is_none_or(|at| value == filters[at + 1])
        };
        let mut found = self.arrivals(filters);
        let found = found.iter_mut().flat_map(|arrival| {
            let mut deliveries = arrival["deliveries"].as_array().unwrap().clone();
            deliveries.reverse();
            deliveries
        });
        let is_dead =
            |delivery: &serde_json::Value| delivery["failure_of"].is_null() || !filters.contains(&"dead");
        found
            .filter(is_dead)
            .filter(|delivery| wanted("--rule", &delivery["rule"]) && wanted("--state", &delivery["state"]))
            .collect()
    }

    /// Arrivals that `hookyard events list` finds with these filters, newest first.
    pub fn arrivals(&self, filters: &[&str]) -> Vec<serde_json::Value> {
        let output = self.hookyard(&[&["events", "list", "--format", "json"], filters].concat());
        let listed: serde_json::Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
        listed["arrivals"].as_array().unwrap().clone()
    }

    /// Builds the command that runs `hookyard` here.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let binary = env!("CARGO_BIN_EXE_hookyard");
        let mut command = match self.through.split_first() {
            Some((program, arguments)) => {
                let mut command = Command::new(program);
                command.args(arguments).arg(binary);
                command
            }
            None => Command::new(binary),
        };
        command
            .args(arguments)
            .current_dir(self.folder())
            .env_clear()
            .envs(&self.environment);
        command
            .env("PATH", std::env::var("PATH").unwrap_or_default())
            .stdin(Stdio::null());
        command
    }

    /// Starts the daemon and waits until it serves.
    pub fn start(self) -> Daemon {
        let mut daemon = Daemon {
            scenario: self,
            child: None,
            address: ([127, 0, 0, 1], 0).into(),
            starts: 0,
        };
        daemon.start();
        daemon
    }
}

/// Fills in `{dir}`, and adds a `server` section with a free port.
pub fn rules_text(folder: &Path, text: &str) -> String {
    let text = text.replace("{dir}", folder.to_str().unwrap());
    if text.lines().any(|line| line.starts_with("server:")) {
        text
    } else {
        format!("server: {{listen: 127.0.0.1:0}}\n{text}")
    }
}

pub struct Daemon {
    pub scenario: Scenario,
    child: Option<Child>,
    pub address: SocketAddr,
    starts: u32,
}

impl Daemon {
    /// Starts the daemon, perhaps again, and waits until it serves.
    #[track_caller]
    pub fn start(&mut self) {
        self.starts += 1;
        let log = std::fs::File::create(self.log_path()).unwrap();
        let mut command = self.scenario.command(&["serve", "rules.yaml"]);
        let mut child = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let begun = Instant::now();
        self.address = loop {
            if let Some(address) = listening(&self.log()) {
                break address;
            }
            let ended = child.try_wait().unwrap();
            assert!(
                ended.is_none() && begun.elapsed() < PATIENCE,
                "the daemon did not start:\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(5));
        };
        self.child = Some(child);
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// Sends a signal to the daemon.
    pub fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        assert!(
            Command::new("kill")
                .args(["-s", name, &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Sets the soft half of one of the daemon's limits (`prlimit --nofile=64`).
    pub fn limit(&self, what: &str, most: &str) {
        let (pid, limit) = (self.pid().to_string(), format!("--{what}={most}:"));
        let done = Command::new("prlimit").args(["--pid", &pid, &limit]).status();
        assert!(done.unwrap().success());
    }

    /// Kills the daemon with SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            child.wait().unwrap();
        }
    }

    /// Stops the daemon in order. Returns its exit code.
    #[track_caller]
    pub fn stop(&mut self) -> Option<i32> {
        self.signal("TERM");
        let mut child = self.child.take().unwrap();
        let begun = Instant::now();
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status.code();
            }
            if begun.elapsed() > PATIENCE {
                drop(child.kill());
                panic!("the daemon did not stop:\n{}", self.log());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn log_path(&self) -> PathBuf {
        self.scenario.folder().join(format!("log.{}", self.starts))
    }

    /// Log since the last start.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.log_path()).unwrap_or_default()).into_owned()
    }

    pub fn folder(&self) -> &Path {
        self.scenario.folder()
    }

    /// Reads a file of the scenario's folder. A missing file is empty.
    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder().join(name)).unwrap_or_default()
    }

    /// Number of lines in a file.
    pub fn lines(&self, name: &str) -> usize {
        self.read(name).lines().count()
    }

    /// Waits until `condition` holds. Shows the log if it never does.
    #[track_caller]
    pub fn eventually(&self, what: &str, condition: impl FnMut() -> bool) {
        self.within(PATIENCE, what, condition);
    }

    /// Waits until `condition` holds, at most for `limit`.
    #[track_caller]
    pub fn within(&self, limit: Duration, what: &str, mut condition: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !condition() {
            assert!(begun.elapsed() < limit, "never: {what}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Asserts that the daemon has not ended.
    #[track_caller]
    pub fn still_runs(&mut self) {
        let ended = self.child.as_mut().unwrap().try_wait().unwrap();
        assert_eq!(ended, None, "the daemon has ended by itself:\n{}", self.log());
    }

    /// Writes other rules in place and waits until they are in force.
    #[track_caller]
    pub fn rewrite(&self, text: &str) {
        let reloads = self.log().matches(" reloaded ").count();
        std::fs::write(self.folder().join("rules.yaml"), rules_text(self.folder(), text)).unwrap();
        self.eventually("the rules are reloaded", || {
            self.log().matches(" reloaded ").count() > reloads
        });
    }

    /// Starts to build a POST to `path`.
    pub fn post(&self, path: &str) -> Sending {
        self.request("POST", path)
    }

    /// Starts to build a request.
    pub fn request(&self, method: &str, path: &str) -> Sending {
        Sending::to(self.address, method, path)
    }

    /// Opens a connection with a request to `/work`, whose command has noted in `begun` that it
    /// runs.
    pub fn at_work(&self) -> TcpStream {
        let mut stream = self.connect();
        stream.write_all(&self.post("/work").json("{}").bytes()).unwrap();
        self.eventually("it runs", || self.lines("begun") == 1);
        stream
    }

    /// Opens a connection.
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- the daemon's log:\n{}", self.log());
        }
    }
}

/// Parses the address from the log line `serving`.
fn listening(log: &str) -> Option<SocketAddr> {
    let line = log.lines().find(|line| line.contains("listening"))?;
    let (_, rest) = line.split_once("://")?;
    rest.split(['"', ',', ' ']).next()?.parse().ok()
}

/// Builder of a request.
#[derive(Clone)]
pub struct Sending {
    address: SocketAddr,
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    github: Option<String>,
}

impl Sending {
    /// Starts to build a request to this address.
    pub fn to(address: SocketAddr, method: &str, path: &str) -> Self {
        Self {
            address,
            method: method.to_owned(),
            path: path.to_owned(),
            headers: vec![("Host".to_owned(), "hooks.test".to_owned())],
            body: Vec::new(),
            github: None,
        }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets a JSON body.
    pub fn json(self, body: impl AsRef<[u8]>) -> Self {
        self.header("Content-Type", "application/json").body(body)
    }

    /// Sets the body, byte for byte.
    pub fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().to_vec();
        self
    }

    /// Signs the request like GitHub when it is sent.
    pub fn github(mut self, secret: &str) -> Self {
        self.github = Some(secret.to_owned());
        self
    }

    /// The bytes on the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.path);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(secret) = &self.github {
            head.push_str(&format!(
                "X-Hub-Signature-256: sha256={}\r\n",
                hmac_hex(secret, &self.body)
            ));
        }
        head.push_str(&format!("Content-Length: {}\r\n\r\n", self.body.len()));
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// Sends the request on a new connection.
    #[track_caller]
    pub fn send(&self) -> Answer {
        self.try_send()
            .unwrap_or_else(|error| panic!("{} {}: {error}", self.method, self.path))
    }

    /// Sends the request. Fails if the daemon does not answer.
    pub fn try_send(&self) -> std::io::Result<Answer> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(PATIENCE * 2))?;
        stream.write_all(&self.bytes())?;
        Answer::read(&mut stream)
    }
}

#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    /// Reads one answer from a connection.
    pub fn read(stream: &mut TcpStream) -> std::io::Result<Self> {
        let broken = |what: &str| std::io::Error::new(std::io::ErrorKind::UnexpectedEof, what.to_owned());
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            // If a test is stopped and continued, an interrupted read is retried only by
            // `read_exact`.
            stream.read_exact(&mut byte).map_err(|error| match error.kind() {
                std::io::ErrorKind::UnexpectedEof => broken("the connection ended before the answer"),
                _ => error,
            })?;
            head.push(byte[0]);
        }
        let text = String::from_utf8_lossy(&head).into_owned();
        let mut lines = text.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
        let status: u16 = status.ok_or_else(|| broken("no status"))?;
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        if status == 100 {
            return Self::read(stream);
        }
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let length = length.and_then(|(_, value)| value.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        stream.read_exact(&mut body)?;
        Ok(Self {
            status,
            headers,
            body: String::from_utf8_lossy(&body).into_owned(),
        })
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| *known == name.to_lowercase())
            .map(|(_, value)| value.as_str())
    }

    /// The word `status` in the body.
    pub fn word(&self) -> String {
        let body: serde_json::Value = serde_json::from_str(&self.body).unwrap_or_default();
        body["status"].as_str().unwrap_or_default().to_owned()
    }

    /// Status and word, to compare in one line.
    pub fn outcome(&self) -> (u16, String) {
        (self.status, self.word())
    }
}

/// A request that a target received.
#[derive(Clone, Debug)]
pub struct Request {
    pub line: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| *known == name.to_lowercase())
            .map(|(_, value)| value.as_str())
    }
}

/// A port on which nothing listens, below those that the kernel gives to outgoing connections. Until
/// a daemon listens on it, no other test gets it.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 10_000 + u16::try_from(std::process::id() % 20_000).unwrap();
    loop {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed);
        if TcpListener::bind(("0.0.0.0", port)).is_ok() {
            return port;
        }
    }
}

/// A target of forwards. `respond` returns the response to each request by its number, from 0.
pub struct Target {
    pub address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Target {
    pub fn new(respond: impl Fn(usize) -> String + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (seen, respond) = (Arc::clone(&requests), Arc::new(respond));
        // The threads end with the test process. Each connection has its own.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, respond) = (Arc::clone(&seen), Arc::clone(&respond));
                std::thread::spawn(move || answer(stream, &seen, &*respond));
            }
        });
        Self { address, requests }
    }

    /// A target that always answers with success.
    pub fn ok() -> Self {
        Self::new(|_| "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_owned())
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requests received so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

/// Answers the requests of one connection.
fn answer(
    mut stream: TcpStream,
    seen: &Mutex<Vec<Request>>,
    respond: &(dyn Fn(usize) -> String + Send + Sync),
) {
    loop {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            if !matches!(stream.read(&mut byte), Ok(1)) {
                return;
            }
            head.push(byte[0]);
        }
        let text = String::from_utf8_lossy(&head).into_owned();
        let headers: Vec<(String, String)> = text
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let mut body = vec![0; length.and_then(|(_, value)| value.parse().ok()).unwrap_or(0)];
        if stream.read_exact(&mut body).is_err() {
            return;
        }
        let line = text.lines().next().unwrap_or_default().to_owned();
        let number = {
            let mut seen = seen.lock().unwrap();
            seen.push(Request { line, headers, body });
            seen.len() - 1
        };
        let response = respond(number);
        // Without a response, the target disconnects.
        let over = response.is_empty() || response.contains("Connection: close\r\n");
        if stream.write_all(response.as_bytes()).is_err() || over {
            return;
        }
    }
}
