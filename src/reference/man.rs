//! Manual pages: hookyard-rules(5), and the sections that clap does not write.

use clap::Command;

use super::command_line::shown;
use super::environment::DAEMON;
use super::exit_codes::{CODES, COMMANDS};
use super::keys::{self, KeyType, mappings};

/// Files of an installation.
const FILES: [(&str, &str); 7] = [
    ("rules.yaml", "The rules file, if it is in the current directory."),
    ("/etc/hookyard/rules.yaml", "The rules file of the service."),
    (
        "/etc/hookyard/environment",
        "Variables of the service, such as secrets. It is read by systemd.",
    ),
    ("/var/lib/hookyard/hookyard.db", "The store of the service."),
    (
        "/run/hookyard/admin.sock",
        "The socket of the daemon, for `hookyard status`.",
    ),
    ("/usr/lib/systemd/system/hookyard.service", "The unit."),
    (
        "/usr/share/doc/hookyard/examples/",
        "An example of a rules file, and more.",
    ),
];

/// Returns the name and text of hookyard-rules(5).
pub fn rules() -> (&'static str, String) {
    let mut page = head("HOOKYARD-RULES", "5");
    page += ".SH NAME\nhookyard\\-rules \\- the rules file of hookyard\n";
    page += ".SH DESCRIPTION\n";
    for paragraph in [
        "The rules file is YAML. It says which requests to trust, which events to act on, and what to do.",
        "`hookyard check` reports everything that is wrong with it. A key that hookyard does not know is an error.",
        "A duration has a unit: `90s`, `10m`, `7d`. A size is a number of bytes or has a unit: `64KiB`, `1MiB`. \
         A rate is `10/s`, `60/m` or `500/h`. A secret is `env:NAME`, `file:PATH`, `credential:NAME` or the secret itself. \
         A relative path starts at the folder of the rules file.",
        "A change takes effect when the daemon reads the file again, unless the key says: after a restart.",
    ] {
        page += &format!("{}\n.PP\n", text(paragraph));
    }
    for mapping in mappings().iter().filter(|mapping| !mapping.path.is_empty()) {
        page += &format!(
            ".SH {}\n{}\n",
            quoted(&mapping.path.to_uppercase()),
            text(&mapping.says)
        );
        for (name, key) in mapping.keys.iter().filter(|(_, key)| !key.unusable) {
            let restart = match key.in_force {
                keys::InForce::Reload | keys::InForce::Never => "",
                keys::InForce::Restart => " Takes effect after a restart.",
            };
            page += &format!(
                ".TP\n\\fB{}\\fR: {}\n{}\n.br\nDefault: {}.{restart}\n.br\nExample: {}\n",
                escaped(name),
                text(&kind(&key.kind)),
                text(&key.says),
                text(&keys::default_of(key)),
                text(&format!("`{name}: {}`", keys::flow(&key.example))),
            );
        }
    }
    page += &without_mapping();
    page += ".SH EXAMPLE\n.nf\n";
    for line in EXAMPLE.lines() {
        page += &format!("{}\n", guarded(&escaped(line)));
    }
    page += ".fi\n";
    page += &see_also(&["hookyard(1)", "hookyard-check(1)"]);
    ("hookyard-rules.5", page)
}

/// Sections for the keys of the file whose values have no mapping of their own.
fn without_mapping() -> String {
    let described = |name: &str| mappings().iter().any(|mapping| mapping.path == name);
    let file = mappings().iter().filter(|mapping| mapping.path.is_empty());
    let keys = file.flat_map(|mapping| &mapping.keys);
    let mut sections = String::new();
    for (name, key) in keys.filter(|(name, _)| !described(name)) {
        sections += &format!(
            ".SH {}\n{}\n.br\nExample: {}\n",
            quoted(&name.to_uppercase()),
            text(&key.says),
            text(&format!("`{name}: {}`", keys::flow(&key.example))),
        );
    }
    sections
}

/// A small rules file.
pub const EXAMPLE: &str = "\
rules:
  - name: deploy-site
    endpoint: /github
    verify: {github: {secret: env:GITHUB_SECRET}}
    match: {event: push, $.ref: refs/heads/main}
    actions:
      - run: [/srv/site/deploy.sh, \"{{ payload.after }}\"]
";

/// The type of a key without links.
fn kind(kind: &KeyType) -> String {
    match kind {
        KeyType::Mapping(id) => {
            let path = mappings().iter().find(|mapping| mapping.id == *id);
            format!(
                "mapping, see {}",
                path.map_or("", |mapping| mapping.path.as_str()).to_uppercase()
            )
        }
        KeyType::MapOf(inner) => format!("mapping of names to: {}", self::kind(inner)),
        KeyType::List(inner) => format!("list of: {}", self::kind(inner)),
        KeyType::OneOrMany(inner) => format!("{}; or a list of them", self::kind(inner)),
        KeyType::Either(choices) => {
            let choices: Vec<String> = choices.iter().map(self::kind).collect();
            choices.join(", or ")
        }
        other => other.to_string(),
    }
}

/// Returns the sections that follow those of clap in the page of a command. `path` is the name of
/// the command without `hookyard`.
pub fn sections(root: &Command, path: &str) -> String {
    let mut page = ".SH \"EXIT STATUS\"\n".to_owned();
    let rows: Vec<_> = COMMANDS
        .iter()
        .filter(|(name, _)| *name == path || name.starts_with(&format!("{path} --")))
        .collect();
    if rows.is_empty() {
        for (code, meaning) in CODES {
            page += &format!(".TP\n\\fB{code}\\fR\n{}\n", text(meaning));
        }
    }
    for (name, meanings) in &rows {
        let option = name.strip_prefix(path).unwrap_or_default().trim();
        for (code, meaning) in meanings
            .iter()
            .enumerate()
            .filter(|(_, meaning)| **meaning != "-")
        {
            let with = if option.is_empty() {
                String::new()
            } else {
                format!(" with {}", escaped(option))
            };
            page += &format!(".TP\n\\fB{code}\\fR{with}\n{}\n", text(meaning));
        }
    }
    if path.is_empty() {
        page += ".SH FILES\n";
        for (file, what) in FILES {
            page += &format!(".TP\n\\fI{}\\fR\n{}\n", escaped(file), text(what));
        }
        page += ".SH ENVIRONMENT\n";
        for (name, meaning) in DAEMON {
            page += &format!(".TP\n\\fB{}\\fR\n{}\n", escaped(name), text(meaning));
        }
    }
    let mut others = vec!["hookyard-rules(5)".to_owned()];
    if path.is_empty() {
        let commands = root.get_subcommands().filter(|command| shown(command));
        others.extend(commands.map(|command| format!("hookyard-{}(1)", command.get_name())));
        others.push("systemd.service(5)".to_owned());
    } else {
        others.insert(0, "hookyard(1)".to_owned());
    }
    let others: Vec<&str> = others.iter().map(String::as_str).collect();
    page + &see_also(&others)
}

fn head(title: &str, section: &str) -> String {
    format!(
        ".ie \\n(.g .ds Aq \\(aq\n.el .ds Aq '\n.TH {title} {section} \"\" \"hookyard {}\"\n",
        env!("CARGO_PKG_VERSION")
    )
}

fn see_also(pages: &[&str]) -> String {
    let pages: Vec<String> = pages
        .iter()
        .map(|page| match page.split_once('(') {
            Some((name, section)) => format!("\\fB{}\\fR({section}", escaped(name)),
            None => escaped(page),
        })
        .collect();
    format!(".SH \"SEE ALSO\"\n{}\n", pages.join(", "))
}

/// Turns Markdown into roff: code is bold, and of a link only its text stays.
fn text(markdown: &str) -> String {
    let mut plain = String::new();
    let mut rest = markdown;
    while let Some((before, after)) = rest.split_once('[') {
        let link = after
            .split_once("](")
            .and_then(|(text, after)| Some((text, after.split_once(')')?.1)));
        plain += before;
        if let Some((text, after)) = link.filter(|(text, _)| !text.contains('[')) {
            plain += text;
            rest = after;
        } else {
            plain.push('[');
            rest = after;
        }
    }
    plain += rest;
    let pieces = plain.split('`').enumerate().map(|(at, piece)| {
        if at % 2 == 1 {
            format!("\\fB{}\\fR", escaped(piece))
        } else {
            escaped(piece)
        }
    });
    guarded(&pieces.collect::<String>())
}

/// Escapes what roff would interpret.
fn escaped(text: &str) -> String {
    let escaped = text
        .replace('\\', "\\e")
        .replace('-', "\\-")
        .replace('\'', "\\*(Aq");
    escaped.replace('…', "...")
}

/// Keeps a line from being a request.
fn guarded(line: &str) -> String {
    if line.starts_with(['.', '\'']) {
        format!("\\&{line}")
    } else {
        line.to_owned()
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", escaped(text).replace('"', "\\(dq"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_page_of_the_rules_file_has_every_key_and_an_example_that_loads() {
        let (_, page) = rules();
        for mapping in mappings() {
            for (name, _) in mapping.keys.iter().filter(|(_, key)| !key.unusable) {
                let heading = format!(".SH \"{}\"", name.to_uppercase());
                let entry = format!("\\fB{}\\fR: ", escaped(name));
                assert!(page.contains(&entry) || page.contains(&heading), "{name}");
            }
        }
        let environment = vec![("GITHUB_SECRET".into(), "a-secret-of-the-manual-page".into())];
        let loaded = crate::config::load_text(Path::new("rules.yaml"), EXAMPLE.to_owned(), environment);
        assert!(loaded.is_ok(), "{}", loaded.unwrap_err().render(false));
    }

    #[test]
    fn markdown_becomes_roff() {
        for (markdown, roff) in [
            ("a `--b` c", "a \\fB\\-\\-b\\fR c"),
            (
                "see [the `x` page](x.md#y), or [z]",
                "see the \\fBx\\fR page, or [z]",
            ),
            (".a 'b' \\d", "\\&.a \\*(Aqb\\*(Aq \\ed"),
        ] {
            assert_eq!(text(markdown), roff, "{markdown}");
        }
    }
}
