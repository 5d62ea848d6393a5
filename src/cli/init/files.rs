//! The files that `hookyard init` writes, and what it says to do next.

use std::path::Path;

use aws_lc_rs::rand;

use super::sender::{NONE, OWN, Origin, Sender};
use crate::base::shell_word::quoted;
use crate::reference::Described;

/// Rules of the package.
const PACKAGE: &str = "/etc/hookyard";
/// URL that stands for the server in the files.
const HOST: &str = "https://hooks.example.com";

/// A file to write.
pub struct File {
    pub name: &'static str,
    pub text: String,
    pub mode: u32,
}

/// Returns the files for a sender, for this folder.
pub fn of(sender: &Sender, folder: &Path) -> Result<Vec<File>, String> {
    let mut files = vec![
        File {
            name: "rules.yaml",
            text: rules(sender),
            mode: 0o644,
        },
        File {
            name: "rules.test.yaml",
            text: tests(sender),
            mode: 0o644,
        },
    ];
    let has_secret = !matches!(sender.origin, Origin::None | Origin::Learned);
    if has_secret {
        files.push(File {
            name: "secret.env",
            text: secret(sender)?,
            mode: 0o600,
        });
    }
    files.push(File {
        name: "hookyard.conf",
        text: drop_in(folder, has_secret),
        mode: 0o644,
    });
    Ok(files)
}

fn rules(sender: &Sender) -> String {
    let Sender { name, shown, .. } = sender;
    let modeline = Described::Rules.modeline();
    let server = if sender.signs_url() {
        format!(
            "\n# The URL by which {shown} knows this server, which is signed.\nserver: {{public_url: \"{HOST}\"}}\n"
        )
    } else {
        String::new()
    };
    let example = if sender.has_event {
        "{event: NAME, $.some.field: value}"
    } else {
        "{$.some.field: value}"
    };
    let repeats = if sender.repeats {
        format!(
            "    # Nothing in a request of {shown} tells two events apart: one that is sent twice runs twice.\n    on_duplicate: run\n"
        )
    } else {
        String::new()
    };
    let verify = sender.verify();
    let space = if verify.starts_with('\n') { "" } else { " " };
    format!(
        "{modeline}
# Rules of hookyard. `hookyard check rules.yaml` says what is wrong with them, and `hookyard test` runs
# rules.test.yaml. A change is in force a moment after the file is saved.
{server}
rules:
  - name: {name}
    endpoint: /{name}
    verify:{space}{verify}
{repeats}    # For some of the events only: match: {example}
    actions:
      - shell: echo \"event $HOOKYARD_EVENT_ID for the rule $HOOKYARD_RULE\"
"
    )
}

fn tests(sender: &Sender) -> String {
    let Sender { name, json, .. } = sender;
    let modeline = Described::Tests.modeline();
    let secrets = match sender.origin {
        Origin::None => String::new(),
        _ => format!(
            "\n# In place of the real ones, which no test reads.\nsecrets: {{\"{}\": \"{}\"}}\n",
            sender.source(),
            sender.test_secret()
        ),
    };
    let taken = format!(
        "  - name: an event is taken
    request: {{endpoint: /{name}, json: {json}}}
    expect:
      answer: {{status: 200, outcome: accepted}}
      rules: [{name}]
"
    );
    let refused = format!(
        "  - name: a request without a signature is refused
    request: {{endpoint: /{name}, as: none}}
    expect: {{outcome: refused}}
"
    );
    let tests = match name.as_str() {
        NONE => taken,
        _ if sender.can_sign() => taken + &refused,
        _ => refused,
    };
    format!(
        "{modeline}
# Tests of rules.yaml: `hookyard test rules.test.yaml`. Nothing runs, and nothing is sent.
{secrets}
tests:
{tests}"
    )
}

/// The file with the secret, for a shell and for the service.
fn secret(sender: &Sender) -> Result<String, String> {
    let variable = sender.variable();
    if sender.origin == Origin::Yours {
        let mut random = [0; 32];
        rand::fill(&mut random).map_err(|_unspecified| "the machine has no random numbers".to_owned())?;
        return Ok(format!("{variable}={}\n", sender.secret_of(&random)));
    }
    Ok(format!(
        "# Write what {} shows behind the sign.\n{variable}=\n",
        sender.shown
    ))
}

fn drop_in(folder: &Path, has_secret: bool) -> String {
    let shown = folder.display().to_string().replace('%', "%%");
    let secret = if has_secret {
        format!("EnvironmentFile={shown}/secret.env\n")
    } else {
        String::new()
    };
    let rules = if folder == Path::new(PACKAGE) {
        String::new()
    } else {
        let quoted = shown
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('$', "$$");
        format!(
            "# The rules of this folder, which the user `hookyard` must be able to read.\nExecStart=\nExecStart=/usr/bin/hookyard serve \"{quoted}/rules.yaml\"\n"
        )
    };
    format!("# A drop-in for the unit of the Debian package.\n[Service]\n{secret}{rules}")
}

/// Says what was written and what to do next.
pub fn next(sender: &Sender, folder: &Path, files: &[File]) -> String {
    let at = |name: &str| folder.join(name).display().to_string();
    let at = |name: &str| quoted(at(name).trim_start_matches("./"));
    let names: Vec<String> = files.iter().map(|file| at(file.name)).collect();
    let url = format!("{HOST}/{}", sender.name);
    let setup = sender
        .setup
        .replace("{url}", &url)
        .replace("{secret}", &sender.variable());
    let title = match sender.name.as_str() {
        OWN | NONE => "The sender".to_owned(),
        _ => format!("At {}", sender.shown),
    };
    let mut steps = vec![format!("hookyard test {}", at("rules.test.yaml"))];
    match sender.origin {
        Origin::Theirs | Origin::Key => steps.push(format!("write the secret into {}", at("secret.env"))),
        _ => {}
    }
    let has_variables = files.iter().any(|file| file.name == "secret.env");
    if has_variables {
        let file = at("secret.env");
        let file = if file.contains('/') {
            file
        } else {
            format!("./{file}")
        };
        steps.push(format!("set -a; . {file}; set +a"));
    }
    steps.push(format!("hookyard serve {}", at("rules.yaml")));
    if sender.can_sign() && sender.origin != Origin::Learned {
        let rules = at("rules.yaml");
        let same = if has_variables {
            ", with the same variables"
        } else {
            ""
        };
        steps.push(format!(
            "in a second terminal{same}: hookyard send --rule {} --rules {rules}",
            sender.name
        ));
    }
    steps.push(format!(
        "as a service: install -D -m 644 {} /etc/systemd/system/hookyard.service.d/hookyard.conf, then systemctl daemon-reload and systemctl restart hookyard",
        at("hookyard.conf")
    ));
    let steps: Vec<String> = steps
        .iter()
        .enumerate()
        .map(|(at, step)| format!("  {}. {step}", at + 1))
        .collect();
    format!(
        "wrote {}\n\n{title} (in place of {HOST}, the URL of this server):\n  {setup}\n\nNext:\n{}",
        names.join(", "),
        steps.join("\n")
    )
}
