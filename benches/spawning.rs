//! What does it cost to start a command, in a daemon of a few MB and in one of 500?
//!
//! `cargo bench --bench spawning`. Each line is the median of [`STARTS`] starts of `/bin/true` by an action, one after the
//! other, its end included. To hold: what is started as it is costs the same whatever the daemon's memory
//! (`posix_spawn`), and `user`, `nice` and `limits` add the start of hookyard itself to it, no more. The last line is
//! what they are spared: a change of user by `Command`, which copies the tables of all the memory first (`fork`).

#![expect(clippy::unwrap_used, reason = "a measurement that goes wrong shall panic")]
#![expect(clippy::print_stdout, reason = "the result")]
#![expect(clippy::disallowed_methods, reason = "it measures real time")]

use std::hint::black_box;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hookyard::act::{Action, ActionContext, ActionRunner, CompileContext, Verdict, exec};
use hookyard::base::clock::Timestamp;
use hookyard::base::diagnostic::Diagnostics;
use hookyard::base::diagnostic::Source;
use hookyard::base::secret::Keyring;
use hookyard::base::yaml::Document;
use hookyard::event::EventId;
use hookyard::event::Received;
use hookyard::payload::{BodyKind, Event, Payload};
use hookyard::template::Templates;
use http::{HeaderMap, Method};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

/// How often each is started.
const STARTS: usize = 300;
/// What the large daemon holds.
const BALLAST: usize = 500 << 20;

fn main() -> ExitCode {
    // The daemon starts itself for `user` and `limits`, and here the daemon is this.
    if std::env::args_os()
        .nth(1)
        .is_some_and(|first| first == exec::COMMAND)
    {
        return hookyard::cli::run();
    }
    let runtime = Runtime::new().unwrap();
    let actor = ActionRunner::new().unwrap();
    let user = rustix::process::geteuid();
    for ballast in [0, BALLAST] {
        let ballast = vec![1_u8; ballast];
        println!("--- {} MB", black_box(&ballast).len() >> 20);
        for (name, more) in [
            ("as it is", ""),
            ("nice", ", nice: 1"),
            ("limits", ", limits: {files: 256, memory: 64MiB}"),
            ("user", ", user: nobody"),
        ] {
            // Only root becomes another.
            if user.is_root() || name != "user" {
                let action = action(&format!("{{run: [/bin/true], stdin: none, cwd: /{more}}}"));
                report(name, || start(&runtime, &actor, &action));
            }
        }
        report("`Command::uid`", || {
            let mut command = std::process::Command::new("/bin/true");
            assert!(command.uid(user.as_raw()).status().unwrap().success());
        });
        drop(ballast);
    }
    ExitCode::SUCCESS
}

/// Measures it and says how long it took.
fn report(name: &str, mut start: impl FnMut()) {
    let mut times: Vec<Duration> = (0..STARTS)
        .map(|_| {
            let begun = Instant::now();
            start();
            begun.elapsed()
        })
        .collect();
    times.sort_unstable();
    let median = times.get(STARTS / 2).unwrap();
    println!("{name:>16} {:>9.0} µs", median.as_secs_f64() * 1e6);
}

/// Does it once.
fn start(runtime: &Runtime, actor: &ActionRunner, action: &Action) {
    let event = event();
    let action_context = ActionContext {
        event: &event,
        rule: "bench",
        delivery: "d".to_owned(),
        attempt: 1,
        replays: 0,
        verified: true,
        withheld: &[],
        failure: None,
    };
    let outcome = runtime.block_on(actor.perform(action, &action_context, CancellationToken::new()));
    assert_eq!(outcome.verdict, Verdict::Done, "{}", outcome.detail);
}

/// The action that this is the YAML of.
fn action(text: &str) -> Action {
    let mut diagnostics = Diagnostics::new();
    let keyring = Keyring::new([], Path::new("/"));
    let workshop = CompileContext {
        keyring: &keyring,
        templates: &Templates::new(),
        excludes_dash: None,
    };
    let source = Source {
        path: "bench".into(),
        text: text.to_owned(),
    };
    let document = Document::parse(source, &mut diagnostics).unwrap();
    Action::compile(document.root(), &workshop, &mut diagnostics).unwrap()
}

/// An event without anything in it.
fn event() -> Event {
    let at = Timestamp::from_seconds(1_700_000_000);
    Event {
        received: Arc::new(Received {
            id: EventId::new(at),
            at,
            endpoint: "/bench".into(),
            method: Method::POST,
            path: "/bench".into(),
            query: String::new(),
            parameters: Vec::new(),
            client: None,
            certificate: None,
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }),
        payload: Payload::new(BodyKind::Json, Arc::new(serde_json::Value::Null)),
    }
}
