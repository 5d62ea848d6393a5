//! `hookyard rules`: the rules with their state, and pauses of rules and targets, asked from the
//! running daemon.

use std::path::Path;

use serde_json::json;

use super::ask::{NotAnswered, ask, fetch, segment};
use super::location::StoreLocation;
use super::table::aligned;
use super::{Format, NO, YES, fail, say, status};
use crate::admin::page::RuleList;
use crate::admin::{Paused, RulesAnswer};
use crate::base::escape;
use crate::status::{PauseStatus, RuleStatus};

#[derive(Debug, clap::Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct Arguments {
    #[command(flatten)]
    store_location: StoreLocation,
    /// Output format.
    #[arg(long, global = true, value_enum, default_value_t)]
    format: Format,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List all rules: state, pause, waiting and running deliveries, last match since the start.
    List,
    /// Show all that is known of a rule.
    Show {
        /// The rule.
        rule: String,
    },
    /// Let the deliveries of a rule wait, or the forwards to a target.
    Pause(Subject),
    /// End a pause. The deliveries go on in order.
    Resume(Subject),
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Subject {
    /// The rule.
    rule: Option<String>,
    /// The target: scheme, host and port of forwards.
    #[arg(long, value_name = "URL")]
    target: Option<String>,
}

impl Subject {
    fn paused(&self) -> Paused {
        match (&self.rule, &self.target) {
            (Some(rule), _) => Paused::Rule(rule.clone()),
            (None, target) => Paused::Target(target.clone().unwrap_or_default()),
        }
    }
}

pub fn run(arguments: &Arguments) -> u8 {
    answer(arguments).unwrap_or_else(|code| code)
}

fn answer(arguments: &Arguments) -> Result<u8, u8> {
    let socket = status::socket_of(&arguments.store_location, status::BY_RULES)?;
    let running = status::request_status(&socket);
    if let Some(other) = running
        .ok()
        .and_then(|running| status::identity_mismatch(&arguments.store_location, &running))
    {
        return Err(fail(&format!("the daemon at `{}` {other}", socket.display())));
    }
    let failed = |error: NotAnswered, does_not| match error {
        NotAnswered::Refused(why) => fail(&why),
        error => fail(&error.describe(&socket, does_not)),
    };
    let (answer, text) = match &arguments.command {
        Command::List => {
            let list: RuleList =
                fetch(&socket, "/api/v1/rules").map_err(|error| failed(error, "list its rules"))?;
            let text = match arguments.format {
                Format::Json => json!(list).to_string(),
                Format::Text => listed(&list),
            };
            return Ok(say(&text, YES));
        }
        Command::Show { rule } => {
            let path = format!("/api/v1/rules/{}", segment(rule));
            let rule: RuleStatus = fetch(&socket, &path).map_err(|error| failed(error, "show that"))?;
            let text = match arguments.format {
                Format::Json => json!(rule).to_string(),
                Format::Text => shown(&rule),
            };
            return Ok(say(&text, YES));
        }
        Command::Pause(subject) => {
            let answer = change(&socket, subject, "pause").map_err(|error| failed(error, "pause that"))?;
            let text = paused(&answer);
            (answer, text)
        }
        Command::Resume(subject) => {
            let answer = change(&socket, subject, "resume").map_err(|error| failed(error, "resume that"))?;
            let text = resumed(&answer, subject);
            (answer, text)
        }
    };
    if let Some(why) = &answer.failed {
        return Err(fail(why));
    }
    let text = match arguments.format {
        Format::Json => json!({"changed": answer.changed, "pause": answer.pause}).to_string(),
        Format::Text => text,
    };
    Ok(say(&text, if answer.changed { YES } else { NO }))
}

/// Asks the daemon to pause or resume.
fn change(socket: &Path, subject: &Subject, word: &str) -> Result<RulesAnswer, NotAnswered> {
    match subject.paused() {
        // An empty name is no segment of a path.
        Paused::Rule(name) if name.is_empty() => Err(NotAnswered::Refused(
            "the rules in force have no rule ``".to_owned(),
        )),
        Paused::Rule(name) => {
            let operation = format!("POST /api/v1/rules/{}/{word}", segment(&name));
            ask(socket, &operation, &json!({}))
        }
        Paused::Target(target) => {
            let operation = format!("POST /api/v1/targets/{word}");
            ask(socket, &operation, &json!({"target": target}))
        }
    }
}

/// Formats the answer to a pause.
fn paused(answer: &RulesAnswer) -> String {
    let Some(pause) = &answer.pause else {
        return String::new();
    };
    let PauseStatus { kind, name, .. } = pause;
    let text = if answer.changed {
        format!("the {kind} {name} is paused: its deliveries wait")
    } else {
        format!("the {kind} {name} was paused already: {}", pause.text())
    };
    escape::line(&text).into_owned()
}

/// Formats the answer to a resume.
fn resumed(answer: &RulesAnswer, subject: &Subject) -> String {
    let text = match &answer.pause {
        Some(pause) => format!(
            "the {} {} goes on; it was {}",
            pause.kind,
            pause.name,
            pause.text()
        ),
        None => match subject.paused() {
            Paused::Rule(name) => format!("the rule {name} was not paused"),
            Paused::Target(name) => format!("the target {name} was not paused"),
        },
    };
    escape::line(&text).into_owned()
}

/// Formats the list.
fn listed(list: &RuleList) -> String {
    let heads = ["rule", "endpoint", "state", "waiting", "running", "last match"];
    let mut rows = vec![heads.map(str::to_owned)];
    rows.extend(list.rules.iter().map(row));
    let mut lines: Vec<String> = aligned(&rows).lines().map(str::to_owned).collect();
    let targets = list.targets.iter();
    lines.extend(targets.map(|target| format!("target {}: {}", target.name, target.text())));
    let lines: Vec<_> = lines.iter().map(|line| escape::line(line)).collect();
    lines.join("\n")
}

/// Formats all that is known of a rule.
fn shown(rule: &RuleStatus) -> String {
    let mut lines = vec![format!("rule {}: {}", rule.name, rule.state)];
    lines.extend(
        rule.endpoint
            .iter()
            .map(|endpoint| format!("endpoint: {endpoint}")),
    );
    lines.extend(rule.paused.as_ref().map(PauseStatus::text));
    lines.extend(rule.unavailable.iter().map(|why| format!("unavailable: {why}")));
    lines.push(format!(
        "deliveries: {} waiting ({} for quiet, {} in a group), {} running, {} dead letters",
        rule.waiting, rule.debounced, rule.queued, rule.running, rule.dead
    ));
    if let Some(day) = &rule.day {
        let p95 = day.p95.map(|p95| format!(", 95 of 100 within about {p95:.3} s"));
        lines.push(format!(
            "attempts since {}: {} done, {} failed{}",
            day.since,
            day.done,
            day.failed,
            p95.unwrap_or_default()
        ));
    }
    lines.extend(rule.last_match.iter().map(|at| format!("last match: {at}")));
    lines.extend(rule.last_failure.as_ref().map(|failure| {
        format!(
            "last failure: {}, delivery {}: {}",
            failure.at, failure.delivery, failure.reason
        )
    }));
    lines.extend(rule.secrets.iter().map(|secret| {
        let last_match = secret.last_match.as_deref().unwrap_or("never seen");
        format!(
            "secret: {} {}, last matched: {last_match}",
            secret.scheme, secret.source
        )
    }));
    lines.extend(rule.warnings.iter().map(|warning| format!("warning: {warning}")));
    if let Some(source) = &rule.source {
        lines.push(format!("{}:", source.file));
        let numbered = source.lines.iter().zip(source.first_line..);
        lines.extend(numbered.map(|(line, number)| format!("{number:>5}  {line}")));
    }
    let lines: Vec<_> = lines.iter().map(|line| escape::line(line)).collect();
    lines.join("\n")
}

fn row(rule: &RuleStatus) -> [String; 6] {
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let state = match &rule.paused {
        Some(pause) => format!("{}, {}", rule.state, pause.text()),
        None => rule.state.clone(),
    };
    [
        rule.name.clone(),
        or_none(&rule.endpoint),
        state,
        rule.waiting.to_string(),
        rule.running.to_string(),
        or_none(&rule.last_match),
    ]
}
