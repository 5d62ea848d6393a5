//! `hookyard rules`: the rules with their state, and pauses of rules and targets, asked from the
//! running daemon.

use serde_json::json;

use super::ask::ask;
use super::location::StoreLocation;
use super::table::aligned;
use super::{Format, NO, YES, fail, say, status};
use crate::admin::{Paused, RulesAnswer, RulesRequest};
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
    let (request, does_not) = match &arguments.command {
        Command::List => (RulesRequest::List, "list its rules"),
        Command::Pause(subject) => (RulesRequest::Pause(subject.paused()), "pause that"),
        Command::Resume(subject) => (RulesRequest::Resume(subject.paused()), "resume that"),
    };
    let socket = status::socket_of(&arguments.store_location, status::BY_RULES)?;
    let running = status::request_status(&socket);
    if let Some(other) = running
        .ok()
        .and_then(|running| status::identity_mismatch(&arguments.store_location, &running))
    {
        return Err(fail(&format!("the daemon at `{}` {other}", socket.display())));
    }
    let answer: RulesAnswer =
        ask(&socket, "POST /rules", &request).map_err(|error| fail(&error.describe(&socket, does_not)))?;
    if let Some(why) = &answer.failed {
        return Err(fail(why));
    }
    let text = match (&arguments.command, arguments.format) {
        (Command::List, Format::Json) => {
            json!({"rules": answer.rules, "targets": answer.targets}).to_string()
        }
        (_, Format::Json) => json!({"changed": answer.changed, "pause": answer.pause}).to_string(),
        (Command::List, Format::Text) => listed(&answer),
        (Command::Pause(_), Format::Text) => paused(&answer),
        (Command::Resume(subject), Format::Text) => resumed(&answer, subject),
    };
    let is_list = matches!(arguments.command, Command::List);
    Ok(say(&text, if is_list || answer.changed { YES } else { NO }))
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
fn listed(answer: &RulesAnswer) -> String {
    let heads = ["rule", "endpoint", "state", "waiting", "running", "last match"];
    let mut rows = vec![heads.map(str::to_owned)];
    rows.extend(answer.rules.iter().map(row));
    let mut lines: Vec<String> = aligned(&rows).lines().map(str::to_owned).collect();
    let targets = answer.targets.iter();
    lines.extend(targets.map(|target| format!("target {}: {}", target.name, target.text())));
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
