//! Sender of signed events: each has its own number, connections are kept, and the times of answers
//! and actions are measured.
//!
//! Without a rate, every connection sends as soon as it is answered. With a rate, events are due at
//! even intervals regardless of the answers, and latency counts from the due time. So a daemon that
//! stalls cannot hide it by slowing its sender.

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

/// Maximum time for an answer.
const PATIENCE: Duration = Duration::from_mins(1);
/// Maximum wait for the last actions after the last answer.
const LINGER: Duration = Duration::from_secs(20);
/// Interval between reads of the file, which is the resolution of the measurement.
const LOOK: Duration = Duration::from_micros(500);

/// Parameters of a run.
#[derive(Debug)]
pub struct Course {
    /// Address of the daemon.
    pub address: SocketAddr,
    /// Secret of the endpoint `/github`.
    pub secret: String,
    /// A JSON object. Each event is this with `n` before its first key.
    pub body: PathBuf,
    /// Number of connections.
    pub connections: u64,
    /// Duration of the run.
    pub length: Duration,
    /// Events per second. `None`: as many as possible.
    pub rate: Option<f64>,
    /// File to watch, to which the daemon's action writes `n`, one line per event.
    pub watched: Option<PathBuf>,
}

/// State shared by all connections.
struct Stage {
    course: Course,
    /// The body after `{"n":N,`.
    rest: Vec<u8>,
    keyed: Hmac<Sha256>,
    /// Number of the first event. Higher than in any earlier run, so that no event is a duplicate.
    first: u64,
    next: AtomicU64,
    begun: Instant,
}

/// An answered event: its number, and the times when it was due and answered.
type Answered = (u64, Instant, Instant);

/// Sends the events and returns the measurements.
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
                // If the action starts before the sender has read its answer, the time counts as
                // zero.
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

/// Runs all connections to the end.
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

/// Sends event after event on one connection, each after the previous answer.
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
    /// Builds the request of one event.
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

/// Reads one answer. Anything except `accepted` ends the run, so only durable events are measured.
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

/// Watches the file. Returns when the line of each event was first seen.
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

/// Returns median, 99th percentile and maximum, in milliseconds.
fn spread(mut times: Vec<Duration>) -> Value {
    times.sort_unstable();
    let at = |share: usize| {
        let index = (times.len() * share / 100).min(times.len().saturating_sub(1));
        times.get(index).map(|time| time.as_secs_f64() * 1000.0)
    };
    json!({"p50": at(50), "p99": at(99), "max": at(100)})
}
