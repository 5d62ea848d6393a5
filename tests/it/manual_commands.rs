//! Commands of the manual.
//!
//! The fence of a block says how its commands are tested. Those of `console` and `sh` blocks run here,
//! in a scratch folder and in order. The output of a `console` block is compared. `sh system` blocks
//! need root and systemd: `tests/system/test_manual.py` runs them. `sh not-run` blocks are listed in
//! `manual_blocks.rs`. Of all of them, and of code in the text, each `hookyard …` is handed to the
//! command line's parser.
//!
//! A page's commands run with the YAML block before them as `rules.yaml`. `hookyard serve` starts a
//! daemon on a free port, and so does the first URL of `https://hooks.example.com`, which stands for
//! it. In the output that a page shows, `…` stands for any text of a line, and a line of its own for
//! any lines. Ids and times are not compared.

use std::collections::VecDeque;
use std::process::Command;
use std::sync::{LazyLock, Mutex};
use std::time::Instant;

use clap::Parser;
use clap::error::ErrorKind;
use hookyard::cli::Arguments;
use regex::Regex;

use crate::manual::{pages, read};
use crate::scenario::{Daemon, PATIENCE, Scenario};

/// Address that the pages name. The daemon of a test has another port.
const ADDRESS: &str = "127.0.0.1:9000";

/// Server that the pages name, for a daemon that serves HTTPS.
const SERVER: &str = "https://hooks.example.com";

/// Folder that the pages name in outputs.
const FOLDER: &str = "/srv/hooks";

/// First words of commands that a `console` or `sh` block may hold. They touch the scratch folder alone.
const HARMLESS: &[&str] = &[
    "hookyard", "cargo", "echo", "printf", "cat", "sed", "curl", "touch", "for", "openssl",
];

static ID: LazyLock<Regex> =
    LazyLock::new(|| Regex::new("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").unwrap());
static BEGINNING_OF_ID: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\b[0-9a-f]{8}-[0-9a-f]{4}[0-9a-f-]*").unwrap());
static TIME: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z").unwrap());
static ASSIGNMENT: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^(export )?([A-Za-z_]+)=").unwrap());

/// Fenced blocks of a page, each with its language.
pub fn fences(text: &str) -> Vec<(String, String)> {
    let mut fences = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in text.lines() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(language), None) => open = Some((language.to_owned(), String::new())),
            (Some(_), Some(_)) => fences.extend(open.take()),
            (None, Some((_, block))) => {
                block.push_str(line);
                block.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a fence is not closed");
    fences
}

/// Commands of a `console` block, each with the output that the page shows.
fn session(block: &str) -> Vec<(String, String)> {
    let mut commands: Vec<(String, String)> = Vec::new();
    for line in block.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            commands.push((command.to_owned(), String::new()));
            continue;
        }
        let (command, output) = commands.last_mut().expect("a session begins with `$ `");
        match line.strip_prefix("> ").filter(|_| output.is_empty()) {
            Some(more) => *command = format!("{command}\n{more}"),
            None => *output += &format!("{line}\n"),
        }
    }
    commands
}

/// Words of a shell text, one list for each simple command. Variables stay as they are written.
fn simple_commands(text: &str) -> Vec<Vec<String>> {
    let mut commands = vec![Vec::new()];
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let end_word = |word: &mut Option<String>, commands: &mut Vec<Vec<String>>| {
            commands.last_mut().unwrap().extend(word.take());
        };
        match (quote, letter) {
            (Some(open), _) if letter == open => quote = None,
            (None | Some('"'), '\\') => match letters.next() {
                Some('\n') | None => {}
                Some(next) => word.get_or_insert_default().push(next),
            },
            (None, '\'' | '"') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => while letters.next_if(|letter| *letter != '\n').is_some() {},
            (None, '|' | '&' | ';' | '<' | '>' | '(' | ')' | '\n') => {
                end_word(&mut word, &mut commands);
                commands.push(Vec::new());
            }
            (None, _) if letter.is_whitespace() => end_word(&mut word, &mut commands),
            _ => word.get_or_insert_default().push(letter),
        }
    }
    commands.last_mut().unwrap().extend(word);
    commands.retain(|words| !words.is_empty());
    commands
}

/// Arguments of each `hookyard` in a shell text, also of one that cargo runs.
fn arguments(text: &str) -> Vec<Vec<String>> {
    let text = text.replace("cargo run -- ", "hookyard ");
    let commands = simple_commands(&text).into_iter();
    commands
        .map(|words| {
            let given = words.into_iter().skip_while(|word| ASSIGNMENT.is_match(word));
            given.collect::<Vec<_>>()
        })
        .filter(|words| words.first().is_some_and(|word| word == "hookyard"))
        .collect()
}

#[test]
fn a_shell_text_is_split_into_its_commands() {
    for (text, expected) in [
        ("hookyard check", vec!["hookyard|check"]),
        ("a 'b c' \"d \\\" e\" f\\ g", vec!["a|b c|d \" e|f g"]),
        ("a \\\n  b # c\nd", vec!["a|b", "d"]),
        ("A=1 a > b && c | d; e", vec!["A=1|a", "b", "c", "d", "e"]),
        ("x=$(a b)", vec!["x=$", "a|b"]),
        ("a '' --x='#'", vec!["a||--x=#"]),
    ] {
        let found: Vec<String> = simple_commands(text)
            .iter()
            .map(|words| words.join("|"))
            .collect();
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn the_command_line_accepts_every_command_of_the_manual() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for (page, text) in pages() {
        let mut blocks = Vec::new();
        for (language, block) in fences(&text) {
            match language.as_str() {
                "sh" | "sh system" | "sh not-run" => blocks.push(block),
                "cron" => blocks.push(without_schedule(&block)),
                "yaml actions" => blocks.push(block.replace("- run: ", "")),
                "console" => blocks.extend(session(&block).into_iter().map(|(command, _)| command)),
                _ => {}
            }
        }
        for words in blocks.iter().flat_map(|block| arguments(block)) {
            count += 1;
            let parsed = Arguments::try_parse_from(&words).map_err(|error| error.kind());
            if !matches!(
                parsed,
                Ok(_) | Err(ErrorKind::DisplayHelp | ErrorKind::DisplayVersion)
            ) {
                wrong.push(format!("{page}: {words:?}: {parsed:?}"));
            }
        }
        for code in code_in_text(&text) {
            let Some(words) = arguments(&code).into_iter().next() else {
                continue;
            };
            count += 1;
            let parsed = Arguments::try_parse_from(&words).map_err(|error| error.kind());
            // A text may name a command without its arguments.
            let known = matches!(
                parsed,
                Ok(_)
                    | Err(ErrorKind::DisplayHelp
                        | ErrorKind::DisplayVersion
                        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
                        | ErrorKind::MissingSubcommand
                        | ErrorKind::MissingRequiredArgument)
            );
            if !known && !code.contains("COMMAND") {
                wrong.push(format!("{page}: `{code}`: {parsed:?}"));
            }
        }
    }
    assert!(count > 100, "{count}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Commands of a crontab, without the times and the user before them.
pub fn without_schedule(crontab: &str) -> String {
    let command = |line: &str| line.splitn(7, ' ').nth(6).unwrap().to_owned();
    crontab.lines().map(command).collect::<Vec<_>>().join("\n")
}

/// Code in the text of a page, outside of its blocks: `` `hookyard check` ``.
fn code_in_text(text: &str) -> Vec<String> {
    let mut inside = false;
    let mut prose = String::new();
    for line in text.lines() {
        if line.starts_with("```") {
            inside = !inside;
        } else if !inside {
            prose.push_str(line);
            prose.push('\n');
        }
    }
    let pieces = prose.split('`').skip(1).step_by(2);
    pieces.map(|piece| piece.replace('\n', " ")).collect()
}

#[test]
fn the_commands_of_the_manual_succeed_and_print_what_it_shows() {
    let pages: VecDeque<_> = pages()
        .into_iter()
        .filter(|(_, text)| text.contains("```console\n") || text.contains("```sh\n"))
        .collect();
    assert!(pages.len() >= 15, "{}", pages.len());
    let pages = Mutex::new(pages);
    let wrong = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                loop {
                    let Some((page, text)) = pages.lock().unwrap().pop_front() else {
                        break;
                    };
                    let found = run_page(&page, &text);
                    wrong.lock().unwrap().extend(found);
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// Runs the commands of a page. Returns each one that fails or prints something else.
fn run_page(page: &str, text: &str) -> Vec<String> {
    for program in ["curl", "openssl"] {
        let look = Command::new("sh")
            .args(["-c", &format!("command -v {program}")])
            .output();
        if text.contains(program) && !look.unwrap().status.success() {
            eprintln!("skipped: {page}, because {program} is not installed");
            return Vec::new();
        }
    }
    let mut wrong = Vec::new();
    let mut stage: Option<Stage> = None;
    let mut rules = None;
    for (language, block) in fences(text) {
        match language.as_str() {
            "yaml" => {
                stage = None;
                rules = Some(block);
            }
            // The tests of the rules before it.
            "yaml test" => {
                let stage = stage.get_or_insert_with(|| Stage::new(rules.as_deref()));
                std::fs::write(stage.scenario().folder().join("rules.test.yaml"), block).unwrap();
            }
            "console" => {
                let stage = stage.get_or_insert_with(|| Stage::new(rules.as_deref()));
                for (command, expected) in session(&block) {
                    if let Err(found) = stage.perform(&command, &expected) {
                        wrong.push(format!("{page}: $ {command}\n{found}"));
                    }
                }
            }
            "sh" => {
                let stage = stage.get_or_insert_with(|| Stage::new(rules.as_deref()));
                if let Err(found) = stage.perform(block.trim_end(), "") {
                    wrong.push(format!("{page}: {block}\n{found}"));
                }
            }
            _ => {}
        }
    }
    wrong
}

/// A folder with rules, and perhaps a daemon on them.
struct Stage {
    /// None once the daemon owns it.
    scenario: Option<Scenario>,
    daemon: Option<Daemon>,
    /// Assignments of the session, which each command repeats.
    assignments: String,
    /// The latest id in an output, for commands that name one.
    id: Option<String>,
}

impl Stage {
    fn new(rules: Option<&str>) -> Self {
        let example = read("rules.example.yaml").replace("listen: 127.0.0.1:9000", "listen: 127.0.0.1:0");
        let mut scenario = Scenario::new().script("deploy.sh", "true");
        for part in rules.unwrap_or_default().split("env:").skip(1) {
            let name = part
                .split(|letter: char| !letter.is_alphanumeric() && letter != '_')
                .next();
            scenario = scenario.env(name.unwrap(), "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0");
        }
        let text = rules.map_or_else(|| example.clone(), on_a_free_port);
        let scenario = scenario
            .file("rules.yaml", text)
            .file("rules.example.yaml", example);
        let scenario = if rules.is_some_and(|rules| rules.contains("fullchain.pem")) {
            certified(scenario)
        } else {
            scenario
        };
        Self {
            scenario: Some(scenario),
            daemon: None,
            assignments: String::new(),
            id: None,
        }
    }

    fn scenario(&self) -> &Scenario {
        let daemon = self.daemon.as_ref().map(|daemon| &daemon.scenario);
        daemon.or(self.scenario.as_ref()).unwrap()
    }

    /// Runs a command. Returns its output if it is not the expected one.
    fn perform(&mut self, command: &str, expected: &str) -> Result<(), String> {
        let command = command.replace("cargo run -- ", "hookyard ");
        if let Some(found) = ASSIGNMENT.captures(&command) {
            self.assignments += &format!("{command}\n");
            if let Some(scenario) = self.scenario.take_if(|_| found.get(1).is_some()) {
                let name = &found[2];
                let show = format!("{}printf %s \"${name}\"", self.assignments);
                let value = Command::new("sh").args(["-euc", &show]).output().unwrap();
                self.scenario = Some(scenario.env(name, &String::from_utf8_lossy(&value.stdout)));
            }
            return Ok(());
        }
        if command.starts_with("hookyard serve ") {
            self.serve();
            return Ok(());
        }
        if command.contains(SERVER) && self.daemon.is_none() {
            self.serve();
        }
        let first = command.split_whitespace().next().unwrap_or_default();
        assert!(
            HARMLESS.contains(&first),
            "neither for `console` nor for `sh`: {command}"
        );
        // A daemon works on after its answer. What only looks is repeated until it sees the result.
        let looks = first == "cat"
            || ["events list", "events show", "status", "check", "plan"]
                .iter()
                .any(|look| command.starts_with(&format!("hookyard {look}")));
        let pattern = pattern(expected);
        let begun = Instant::now();
        loop {
            let (succeeded, found) = self.run(&command);
            let right = match &pattern {
                Some(pattern) => pattern.is_match(&normal(&found)),
                None => succeeded,
            };
            if right {
                return Ok(());
            }
            if !looks || begun.elapsed() > PATIENCE {
                let log = self.daemon.as_ref().map(Daemon::log).unwrap_or_default();
                return Err(format!("found:\n{found}\nthe log:\n{log}"));
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }

    /// Starts the daemon. curl finds it also under the name of the pages' server.
    fn serve(&mut self) {
        let scenario = self.scenario.take().expect("the daemon runs already");
        let daemon = scenario.start();
        let server = SERVER.trim_start_matches("https://");
        let settings = format!(
            "connect-to = \"{server}:443:{}\"\ncacert = \"fullchain.pem\"\n",
            daemon.address
        );
        std::fs::write(daemon.folder().join(".curlrc"), settings).unwrap();
        self.daemon = Some(daemon);
    }

    /// Runs a command in the folder. Returns whether it succeeded, and what it printed.
    fn run(&mut self, command: &str) -> (bool, String) {
        let address = self.daemon.as_ref().map(|daemon| daemon.address.to_string());
        let address = address.unwrap_or_else(|| ADDRESS.to_owned());
        let mut command = command.replace(ADDRESS, &address);
        if let Some(id) = &self.id {
            command = BEGINNING_OF_ID.replace_all(&command, id).into_owned();
        }
        let binary = std::path::Path::new(env!("CARGO_BIN_EXE_hookyard"));
        let path = std::env::var("PATH").unwrap_or_default();
        let path = format!("{}:{path}", binary.parent().unwrap().display());
        let script = format!("{}exec 2>&1\n{command}", self.assignments);
        // The scenario's own command, with the shell in place of the binary.
        let mut shell = Command::new("sh");
        let environment = self.scenario().command(&[]);
        shell
            .args(["-euc", &script])
            .current_dir(self.scenario().folder())
            .env_clear();
        for (name, value) in environment.get_envs() {
            shell.env(name, value.unwrap_or_default());
        }
        let output = shell
            .env("PATH", path)
            .env("CURL_HOME", self.scenario().folder())
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if let Some(id) = ID.find_iter(&text).last() {
            self.id = Some(id.as_str().to_owned());
        }
        let folder = self.scenario().folder().to_str().unwrap();
        let text = text.replace(&address, ADDRESS).replace(folder, FOLDER);
        (output.status.success(), text)
    }
}

/// The scenario with a certificate of the pages' server.
fn certified(scenario: Scenario) -> Scenario {
    let name = SERVER.trim_start_matches("https://").to_owned();
    let issued = rcgen::generate_simple_self_signed([name]).unwrap();
    scenario
        .file("fullchain.pem", issued.cert.pem())
        .file("privkey.pem", issued.signing_key.serialize_pem())
        .private("privkey.pem")
}

/// Rules of a page that listen on a free port. Line numbers stay, for outputs that name them.
fn on_a_free_port(rules: &str) -> String {
    if rules.contains("listen:") {
        let addresses = ["0.0.0.0:443", "\"[::]:443\"", ADDRESS];
        let free = |rules: String, address: &&str| rules.replace(address, "127.0.0.1:0");
        addresses.iter().fold(rules.to_owned(), free)
    } else if rules.lines().any(|line| line == "server:") {
        rules.replace("server:\n", "server:\n  listen: 127.0.0.1:0\n")
    } else {
        format!("{rules}server: {{listen: 127.0.0.1:0}}\n")
    }
}

/// Output without ids and times, with single blanks.
fn normal(text: &str) -> String {
    let text = ID.replace_all(text, "<id>");
    let text = TIME.replace_all(&text, "<time>");
    let mut normal = String::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if !words.is_empty() {
            normal += &words.join(" ");
            normal.push('\n');
        }
    }
    normal
}

/// Pattern of an output that a page shows. None if the page shows none.
fn pattern(expected: &str) -> Option<Regex> {
    if expected.is_empty() {
        return None;
    }
    let mut pattern = String::from("^");
    for line in normal(expected).lines() {
        if line == "…" {
            pattern += r"(?:[^\n]*\n)*";
        } else {
            let parts: Vec<String> = line.split('…').map(regex::escape).collect();
            pattern += &parts.join(r"[^\n]*");
            pattern += r"\n";
        }
    }
    pattern.push('$');
    Some(Regex::new(&pattern).unwrap())
}
