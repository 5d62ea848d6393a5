//! A sender: signed events, each with a number of its own, over kept connections, and when each was answered and acted on.
//!
//! Without a rate every connection sends as soon as it is answered. With one, events are due at even moments whatever
//! the answers do, and late ones count from when they were due: a daemon that stalls cannot hide it by slowing its sender.

use std::error::Error;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long the last events have to be acted on after the last answer.
const LINGER: Duration = Duration::from_secs(20);
/// How often the file is looked at: the resolution of what is measured.
const LOOK: Duration = Duration::from_micros(500);

/// What to send where.
#[derive(Debug)]
pub struct Course {
    /// The daemon.
    pub address: SocketAddr,
    /// The secret of its endpoint `/github`.
    pub secret: String,
    /// A JSON object; each event is this with `n` before its first key.
    pub body: PathBuf,
    /// How many connections there are.
    pub connections: u64,
    /// For how long.
    pub length: Duration,
    /// How many events a second; as many as can be, if none.
    pub rate: Option<f64>,
    /// Where the daemon's action writes `n`, a line an event, if it is to be watched.
    pub watched: Option<PathBuf>,
}

/// What all connections share.
struct Stage {
    course: Course,
    /// The body after `{"n":N,`.
    rest: Vec<u8>,
    keyed: Hmac<Sha256>,
    /// The number of the first event: later than that of any run before, so that none is a duplicate.
    first: u64,
    next: AtomicU64,
    begun: Instant,
}

/// One answer: which event, when it was due and when it was answered.
type Answered = (u64, Instant, Instant);

/// Sends, and says how it went.
pub fn send(course: Course) -> Result<Value, Box<dyn Error>> {
    let body = std::fs::read(&course.body)?;
    let rest = body
        .strip_prefix(b"{")
        .ok_or("the body is no JSON object")?
        .to_vec();
    let since = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let target = course.watched.clone();
    let stage = Arc::new(Stage {
        rest,
        keyed: Hmac::new_from_slice(course.secret.as_bytes())?,
        first: u64::try_from(since.as_micros())?,
        next: AtomicU64::new(0),
        begun: Instant::now(),
        course,
    });
    let done = Arc::new(AtomicBool::new(false));
    let watcher = target.map(|path| {
        let (done, first) = (Arc::clone(&done), stage.first);
        thread::spawn(move || watch(&path, first, &done))
    });
    let answered = drive(&stage);
    let length = stage.begun.elapsed();
    if watcher.is_some() && answered.is_ok() {
        thread::sleep(Duration::from_millis(200));
    }
    done.store(true, Ordering::Relaxed);
    let seen = watcher.map(thread::JoinHandle::join);
    let answered = answered?;
    let mut report = json!({
        "answered": answered.len(),
        "seconds": length.as_secs_f64(),
        "answer": spread(answered.iter().map(|(_, due, at)| *at - *due).collect()),
    });
    if let Some(seen) = seen {
        let seen = seen.map_err(|_panic| "the watcher panicked")??;
        let acted: Vec<Duration> = answered
            .iter()
            .filter_map(|(n, _, at)| {
                // An action may begin before the sender has read its answer: no time at all.
                let index = usize::try_from(*n - stage.first).ok()?;
                seen.get(index)?.map(|seen| seen.saturating_duration_since(*at))
            })
            .collect();
        if acted.len() != answered.len() {
            return Err(format!("of {} events {} were acted on", answered.len(), acted.len()).into());
        }
        if let Some(report) = report.as_object_mut() {
            report.insert("action".to_owned(), spread(acted));
        }
    }
    Ok(report)
}

/// Drives all connections to the end of the course.
#[tokio::main]
async fn drive(stage: &Arc<Stage>) -> Result<Vec<Answered>, String> {
    let mut connections = JoinSet::new();
    for _ in 0..stage.course.connections {
        connections.spawn(connection(Arc::clone(stage)));
    }
    let mut answered = Vec::new();
    while let Some(ended) = connections.join_next().await {
        answered.extend(ended.map_err(|error| error.to_string())??);
    }
    Ok(answered)
}

/// One connection: an event, its answer, the next.
async fn connection(stage: Arc<Stage>) -> Result<Vec<Answered>, String> {
    let said = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect(stage.course.address).await.map_err(said)?;
    stream.set_nodelay(true).map_err(said)?;
    let mut answered = Vec::new();
    let mut buffer = Vec::with_capacity(1024);
    loop {
        let index = stage.next.fetch_add(1, Ordering::Relaxed);
        let due = match stage.course.rate {
            #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^53 events")]
            Some(rate) => stage.begun + Duration::from_secs_f64(index as f64 / rate),
            None => Instant::now(),
        };
        if due - stage.begun >= stage.course.length {
            return Ok(answered);
        }
        sleep(due.saturating_duration_since(Instant::now())).await;
        let n = stage.first + index;
        stream.write_all(&stage.request(n)).await.map_err(said)?;
        timeout(PATIENCE, answer(&mut stream, &mut buffer))
            .await
            .map_err(|elapsed| elapsed.to_string())??;
        answered.push((n, due, Instant::now()));
    }
}

impl Stage {
    /// The bytes of one event.
    fn request(&self, n: u64) -> Vec<u8> {
        let begin = format!("{{\"n\":{n},");
        let mac = self
            .keyed
            .clone()
            .chain_update(&begin)
            .chain_update(&self.rest)
            .finalize();
        let mut bytes = format!(
            "POST /github HTTP/1.1\r\nHost: hooks\r\nContent-Type: application/json\r\nX-GitHub-Event: push\r\n\
             X-Hub-Signature-256: sha256={}\r\nContent-Length: {}\r\n\r\n{begin}",
            HEXLOWER.encode(&mac.into_bytes()),
            begin.len() + self.rest.len()
        )
        .into_bytes();
        bytes.extend_from_slice(&self.rest);
        bytes
    }
}

/// Reads one answer. Anything but `accepted` ends the run: what is measured is what was written down.
async fn answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<(), String> {
    buffer.clear();
    loop {
        if stream.read_buf(buffer).await.map_err(|error| error.to_string())? == 0 {
            return Err("the connection ended before the answer".to_owned());
        }
        let text = String::from_utf8_lossy(buffer);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head.lines().find_map(|line| {
            line.to_ascii_lowercase()
                .strip_prefix("content-length: ")?
                .parse()
                .ok()
        });
        if body.len() < length.unwrap_or(0) {
            continue;
        }
        if head.starts_with("HTTP/1.1 200 ") && body.contains("accepted") {
            return Ok(());
        }
        return Err(format!("answered {text}"));
    }
}

/// When the line of each event was first seen, until all is done and nothing more comes.
fn watch(path: &PathBuf, first: u64, done: &AtomicBool) -> Result<Vec<Option<Instant>>, String> {
    let said = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut seen: Vec<Option<Instant>> = Vec::new();
    let (mut file, mut text, mut chunk) = (None, Vec::new(), vec![0; 1 << 16]);
    let mut ended: Option<Instant> = None;
    loop {
        if file.is_none() {
            file = match File::open(path) {
                Ok(file) => Some(file),
                Err(error) if error.kind() == ErrorKind::NotFound => None,
                Err(error) => return Err(said(error)),
            };
        }
        let read = match &mut file {
            Some(file) => file.read(&mut chunk).map_err(said)?,
            None => 0,
        };
        let at = Instant::now();
        text.extend_from_slice(chunk.get(..read).unwrap_or_default());
        while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = text.drain(..=end).collect();
            let number = String::from_utf8_lossy(&line).trim().parse::<u64>().ok();
            let Some(index) = number.and_then(|n| usize::try_from(n.checked_sub(first)?).ok()) else {
                continue;
            };
            if seen.len() <= index {
                seen.resize(index + 1, None);
            }
            if let Some(place) = seen.get_mut(index) {
                place.get_or_insert(at);
            }
        }
        if read > 0 {
            continue;
        }
        if done.load(Ordering::Relaxed) {
            let quiet = ended.get_or_insert(at);
            let missing = seen.iter().any(Option::is_none);
            if at - *quiet > if missing { LINGER } else { Duration::from_secs(1) } {
                return Ok(seen);
            }
        }
        thread::sleep(LOOK);
    }
}

/// Median, 99th percentile and maximum, in milliseconds.
fn spread(mut times: Vec<Duration>) -> Value {
    times.sort_unstable();
    let at = |share: usize| {
        let index = (times.len() * share / 100).min(times.len().saturating_sub(1));
        times.get(index).map(|time| time.as_secs_f64() * 1000.0)
    };
    json!({"p50": at(50), "p99": at(99), "max": at(100)})
}
