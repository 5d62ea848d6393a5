//! Baselines and sender for the load test: a minimal webhook receiver, a loop that starts a
//! program, and a sender of distinct events.
//!
//! `bare serve ADDRESS SECRET` checks GitHub's signature, parses the body as JSON and answers 200:
//! no rules, no memory, no limits. `bare spawn SECONDS` runs `/bin/true` in a loop and prints the
//! runs per second. `bare send ADDRESS SECRET BODY CONNECTIONS SECONDS [RATE [FILE]]` sends events
//! to the daemon. It prints, as JSON, the times to the answer and to each event's line in `FILE`;
//! `RATE` 0 means as fast as possible. `benches/load` runs them beside the daemon.

#![expect(clippy::print_stdout, reason = "the result is what it prints")]
#![expect(
    clippy::disallowed_methods,
    reason = "it measures real time, and its connections end with it"
)]

mod send;

use std::convert::Infallible;
use std::env;
use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use bytes::Bytes;
use data_encoding::HEXLOWER_PERMISSIVE;
use hmac::{Hmac, KeyInit, Mac};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use sha2::Sha256;
use tokio::net::TcpListener;

use send::Course;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["serve", address, secret] => serve(address.parse()?, secret.as_bytes())?,
        ["spawn", seconds] => println!("{:.1}", spawn(Duration::from_secs(seconds.parse()?))?),
        ["send", address, secret, body, connections, seconds, more @ ..] => {
            let rate: f64 = more.first().map_or(Ok(0.0), |rate| rate.parse())?;
            println!(
                "{}",
                send::send(Course {
                    address: address.parse()?,
                    secret: (*secret).to_owned(),
                    body: body.into(),
                    connections: connections.parse()?,
                    length: Duration::from_secs_f64(seconds.parse()?),
                    rate: (rate > 0.0).then_some(rate),
                    watched: more.get(1).map(PathBuf::from),
                })?
            );
        }
        _ => {
            println!(
                "usage: bare serve ADDRESS SECRET | bare spawn SECONDS\n       \
                 bare send ADDRESS SECRET BODY CONNECTIONS SECONDS [RATE [FILE]]"
            );
            return Ok(ExitCode::from(2));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Measures how often `/bin/true` can run per second.
fn spawn(length: Duration) -> Result<f64, Box<dyn Error>> {
    let begin = Instant::now();
    let mut count = 0_u32;
    while begin.elapsed() < length {
        if !Command::new("/bin/true").status()?.success() {
            return Err("/bin/true failed".into());
        }
        count += 1;
    }
    Ok(f64::from(count) / begin.elapsed().as_secs_f64())
}

/// Serves until the process is stopped.
#[tokio::main]
async fn serve(address: SocketAddr, secret: &[u8]) -> Result<(), Box<dyn Error>> {
    // Keyed once, as in the daemon: a copy is cheaper than a new key schedule.
    let keyed = Hmac::<Sha256>::new_from_slice(secret)?;
    let listener = TcpListener::bind(address).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let keyed = keyed.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| answer(request, keyed.clone()));
            // A disconnect ends only its own connection.
            http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await
                .ok();
        });
    }
}

/// Answers 200 to signed JSON, and 403 or 400 otherwise.
async fn answer(
    request: Request<Incoming>,
    keyed: Hmac<Sha256>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let signature = request.headers().get("x-hub-signature-256").cloned();
    let status = match request.into_body().collect().await {
        Ok(body) => {
            let body = body.to_bytes();
            let genuine = signature
                .as_ref()
                .and_then(|value| mac(value.as_bytes()))
                .is_some_and(|mac| keyed.chain_update(&body).verify_slice(&mac).is_ok());
            if !genuine {
                StatusCode::FORBIDDEN
            } else if serde_json::from_slice::<Value>(&body).is_err() {
                StatusCode::BAD_REQUEST
            } else {
                StatusCode::OK
            }
        }
        Err(_) => StatusCode::BAD_REQUEST,
    };
    let mut response = Response::new(Full::new(Bytes::from_static(br#"{"status":"ok"}"#)));
    *response.status_mut() = status;
    Ok(response)
}

/// Decodes the MAC in the header.
fn mac(header: &[u8]) -> Option<Vec<u8>> {
    HEXLOWER_PERMISSIVE.decode(header.strip_prefix(b"sha256=")?).ok()
}
