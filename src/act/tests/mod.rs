//! Tests of whole actions, with real processes, real sockets and real files.

mod appending;
mod compiling;
mod confining;
mod forwarding;
mod guarding;
mod pacing;
mod proxying;
mod rotating;
mod running;
mod securing;

use std::path::Path;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::*;
use crate::base::clock::Timestamp;
use crate::base::diagnostic::{Diagnostic, Severity, Source};
use crate::base::yaml::Document;
use crate::event::{EventId, Received};
use crate::payload::{BodyKind, Event, Payload};

/// Shared by all tests, because reading the system's certificates takes time.
static ACTOR: LazyLock<ActionRunner> = LazyLock::new(|| ActionRunner::new().unwrap());

/// Compiles one action. The error is all diagnostics as lines.
fn compile_in(folder: &Path, yaml: &str) -> Result<Action, Vec<String>> {
    compile_with(folder, &[], yaml)
}

/// Compiles like [`compile_in`], with more variables in the environment.
fn compile_with(folder: &Path, more: &[(&str, &str)], yaml: &str) -> Result<Action, Vec<String>> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut environment = vec![("PATH".into(), path), ("CI_TOKEN".into(), "s3cr3t".into())];
    environment.extend(more.iter().map(|(name, value)| (name.into(), value.into())));
    let keyring = Keyring::new(environment, folder);
    let templates = Templates::new();
    let context = CompileContext {
        keyring: &keyring,
        templates: &templates,
        schemes: &Definitions::default(),
        excludes_dash: None,
        timeout: None,
    };
    let mut diagnostics = Diagnostics::new();
    let source = Source {
        path: "r".into(),
        text: yaml.to_owned(),
    };
    let document = Document::parse(source, &mut diagnostics);
    let action = document.and_then(|document| Action::compile(document.root(), &context, &mut diagnostics));
    assert_eq!(
        action.is_some(),
        !diagnostics.has_errors(),
        "{}",
        diagnostics.render(false)
    );
    let clean = diagnostics.count(Severity::Unavailable) == 0;
    let action = action.filter(|_| clean);
    action.ok_or_else(|| diagnostics.sorted().iter().map(Diagnostic::line).collect())
}

fn compile(yaml: &str) -> Action {
    compile_in(Path::new("/tmp"), yaml).unwrap()
}

fn event(payload: serde_json::Value, headers: &[(&str, &str)]) -> Event {
    let at = Timestamp::from_seconds(1_700_000_000);
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_str(value).unwrap(),
        );
    }
    Event {
        received: Arc::new(Received {
            id: EventId::new(at),
            at,
            endpoint: "/deploy/{app}".into(),
            method: Method::POST,
            path: "/deploy/site".into(),
            query: "who=me&who=you".into(),
            parameters: vec![("app".into(), "site".into())],
            client: Some([192, 0, 2, 1].into()),
            certificate: None,
            headers: map,
            body: Bytes::from(payload.to_string()),
        }),
        payload: Payload::new(BodyKind::Json, Arc::new(payload)),
        views: Vec::new(),
        fired_by: None,
    }
}

fn action_context<'o>(event: &'o Event, withheld: &'o [HeaderName]) -> ActionContext<'o> {
    ActionContext {
        event,
        rule: "deploy-site",
        delivery: "d-1".into(),
        attempt: 2,
        verified: true,
        replays: 0,
        actions: &[],
        item: None,
        withheld,
        event_name: None,
        failure: None,
        live: None,
    }
}

/// Performs one action for a payload.
async fn perform(yaml: &str, payload: serde_json::Value) -> Outcome {
    let event = event(payload, &[]);
    ACTOR
        .perform(
            &compile(yaml),
            &action_context(&event, &[]),
            CancellationToken::new(),
        )
        .await
}

#[test]
fn templates_see_the_event_under_its_names() {
    let event = event(
        serde_json::json!({"ref": "main"}),
        &[("X-GitHub-Event", "push"), ("X-Two", "1")],
    );
    let keyring = Keyring::new([], Path::new("/"));
    let values = action_context(&event, &[]).values();
    let received = &event.received;
    for (source, expected) in [
        ("{{ payload.ref }}", "main".to_owned()),
        (
            "{{ headers['X-GitHub-Event'] }} {{ headers.x_github_event }}",
            "push push".to_owned(),
        ),
        (
            "{{ headers | list | join(' ') }}",
            "x-github-event x-two".to_owned(),
        ),
        (
            "{{ query.who }} {{ path.app }} {{ path }}",
            "me site {\"app\":\"site\"}".to_owned(),
        ),
        ("{{ body }}", r#"{"ref":"main"}"#.to_owned()),
        (
            "{{ event.id }} {{ event.received_at }}",
            format!("{} {}", received.id, received.at),
        ),
        (
            "{{ rule }} {{ endpoint }} {{ attempt }}",
            "deploy-site /deploy/{app} 2".to_owned(),
        ),
    ] {
        let template = Templates::new()
            .compile(source, crate::template::Scope::Action, &keyring)
            .unwrap();
        assert_eq!(template.render(&values), Ok(expected), "{source}");
    }
}

#[test]
fn an_answer_sees_what_the_actions_did() {
    let event = event(serde_json::json!({}), &[]);
    let mut outcome = Outcome::new(Verdict::Done, "exit 0", std::time::Duration::ZERO);
    outcome.output.stdout.push(b"built");
    let performed = [PerformedAction::new(Some("build".into()), "run", &outcome)];
    let context = ActionContext {
        actions: &performed,
        item: None,
        ..action_context(&event, &[])
    };
    let values = context.values();
    let template = Templates::new()
        .with_actions(crate::template::KnownActions::Any)
        .compile(
            "{{ actions[0].stdout }} {{ actions.build.outcome }} {{ actions[-1].detail }} {{ actions.build.status }} \
             {{ actions | length }}",
            crate::template::Scope::Answer,
            &Keyring::new([], Path::new("/")),
        )
        .unwrap();
    assert_eq!(template.render(&values).unwrap(), "built done exit 0 0 1");
}
