//! Cost of starting a command, in a daemon of a few MB and of 500 MB.
//!
//! Run with `cargo bench --bench spawning`. Each line is the median of [`STARTS`] sequential runs
//! of `/bin/true` by an action. Goal: a plain command costs the same at any memory size of the
//! daemon (`posix_spawn`). `user`, `nice` and `limits` only add the start of hookyard itself. The
//! last line shows the cost that they avoid: a change of user by `Command`, which copies all page
//! tables (`fork`).

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

/// Runs per measurement.
const STARTS: usize = 300;
/// Memory that the large daemon holds, in bytes.
const BALLAST: usize = 500 << 20;

fn main() -> ExitCode {
    // For `user` and `limits`, the daemon starts its own binary, which is this one here.
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
            // Only root can change the user.
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

/// Measures `start` and prints the median.
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

/// Runs the action once.
fn start(runtime: &Runtime, actor: &ActionRunner, action: &Action) {
    let event = event();
    let action_context = ActionContext {
        event: &event,
        rule: "bench",
        delivery: "d".to_owned(),
        attempt: 1,
        replays: 0,
        verified: true,
        actions: &[],
        item: None,
        withheld: &[],
        event_name: None,
        failure: None,
        live: None,
    };
    let outcome = runtime.block_on(actor.perform(action, &action_context, CancellationToken::new()));
    assert_eq!(outcome.verdict, Verdict::Done, "{}", outcome.detail);
}

/// Compiles an action from YAML.
fn action(text: &str) -> Action {
    let mut diagnostics = Diagnostics::new();
    let keyring = Keyring::new([], Path::new("/"));
    let workshop = CompileContext {
        keyring: &keyring,
        templates: &Templates::new(),
        schemes: &hookyard::verify::Definitions::default(),
        excludes_dash: None,
        timeout: None,
    };
    let source = Source {
        path: "bench".into(),
        text: text.to_owned(),
    };
    let document = Document::parse(source, &mut diagnostics).unwrap();
    Action::compile(document.root(), &workshop, &mut diagnostics).unwrap()
}

/// Builds an empty event.
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
        views: Vec::new(),
        fired_by: None,
    }
}
