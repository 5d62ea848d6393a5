//! Manual and example: rules load, links lead somewhere, and every key is shown. The commands of the
//! README run here, those of the other pages in `manual_commands.rs`.

use std::path::Path;

use crate::rsa::openssl;
use crate::scenario::{Daemon, Scenario};

pub fn read(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// README, CONTRIBUTING and every page of `docs`, each with its path.
pub fn pages() -> Vec<(String, String)> {
    let mut pages = vec!["README.md".to_owned(), "CONTRIBUTING.md".to_owned()];
    let mut folders = vec!["docs".to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let path = format!("{folder}/{}", entry.file_name().to_str().unwrap());
            if entry.path().is_dir() {
                folders.push(path);
            } else if Path::new(&path)
                .extension()
                .is_some_and(|extension| extension == "md")
            {
                pages.push(path);
            }
        }
    }
    pages
        .into_iter()
        .map(|path| (path.clone(), read(&path)))
        .collect()
}

/// The fenced blocks of one language in a text.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    text.split(&fence)
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap().to_owned())
        .collect()
}

/// A daemon with the example rules, on a free port.
fn example() -> Daemon {
    let text = read("rules.example.yaml").replace("listen: 127.0.0.1:9000", "listen: 127.0.0.1:0");
    Scenario::new()
        .file("rules.yaml", text)
        .file("hello.json", "{\"name\": \"world\"}\n")
        .start()
}

#[test]
fn the_commands_of_the_readme_do_what_it_says() {
    let daemon = example();
    std::fs::copy(
        daemon.folder().join("rules.yaml"),
        daemon.folder().join("rules.example.yaml"),
    )
    .unwrap();
    let mut ran = 0;
    for line in blocks(&read("README.md"), "sh")
        .iter()
        .flat_map(|block| block.lines())
    {
        let piped = line.strip_prefix("echo '{\"name\": \"world\"}' | ");
        let Some(command) = piped.unwrap_or(line).strip_prefix("cargo run -- ") else {
            let known = ["cargo test"];
            assert!(known.contains(&line), "an untested command: {line}");
            continue;
        };
        if command.starts_with("serve ") {
            assert_eq!(command, "serve rules.example.yaml");
            continue;
        }
        let command = command.replace("127.0.0.1:9000", &daemon.address.to_string());
        let arguments: Vec<&str> = command.split(' ').collect();
        let run = |arguments: &[&str]| {
            let mut command = daemon.scenario.command(arguments);
            if piped.is_some() {
                command.stdin(std::fs::File::open(daemon.folder().join("hello.json")).unwrap());
            }
            command.output().unwrap()
        };
        let output = run(&arguments);
        assert!(output.status.success(), "{command}: {output:?}");
        ran += 1;
        if arguments[0] == "send" {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(
                text.starts_with("200 {\"status\":\"accepted\",\"id\":\""),
                "{text}"
            );
            let again = run(&arguments);
            assert!(String::from_utf8_lossy(&again.stdout).starts_with("200 {\"status\":\"duplicate\""));
            let arguments: Vec<&str> = arguments
                .iter()
                .map(|word| {
                    if *word == "only-for-this-example" {
                        "other"
                    } else {
                        word
                    }
                })
                .collect();
            let refused = run(&arguments);
            assert_eq!(
                String::from_utf8_lossy(&refused.stdout),
                "403 {\"status\":\"refused\"}\n"
            );
        }
    }
    assert_eq!(ran, 1);
    daemon.eventually("the line is appended", || daemon.lines("hello.jsonl") == 1);
    daemon.eventually("the command ran", || daemon.log().contains("action=\"run\""));
    // After all commands, a clone contains no file that git would report.
    let ignored = read(".gitignore");
    let own = ["rules.yaml", "rules.example.yaml", "hello.json", "log.1"];
    for entry in std::fs::read_dir(daemon.folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let known = ignored
            .lines()
            .any(|pattern| matches(pattern.trim_start_matches('/'), &name));
        assert!(
            known || own.contains(&name.as_str()),
            "`{name}` is left behind, and not in .gitignore"
        );
    }
}

/// Matches a name against a pattern with at most one `*`.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        Some((before, after)) => name.starts_with(before) && name.ends_with(after),
        None => name == pattern,
    }
}

#[test]
fn the_example_writes_nothing_outside_its_folder_and_shows_every_condition() {
    let daemon = example();
    assert!(daemon.folder().join("hookyard.db").exists());
    let body = r#"{"ref": "refs/heads/main", "repository": {"full_name": "acme/docs"},
        "commits": [{"modified": ["docs/a/b.md"], "author": {"email": "a@acme.example"}, "message": "x"}],
        "size": 999, "tag": "V1.0", "branch": "next", "title": "release 1", "version": "v1.2",
        "approved": true, "reviews": [1, 2], "sender": {"login": "mona"}}"#;
    let post = |body: &str| {
        let sending = daemon
            .post("/conditions/docs?n=1")
            .header("X-Kind", "deploy")
            .header("X-Token", "only-for-this-example");
        sending.json(body).send().outcome()
    };
    assert_eq!(post(body), (200, "accepted".into()), "{}", daemon.log());
    assert_eq!(post(&body.replace("mona", "dependabot")), (200, "ignored".into()));
}

#[test]
fn every_key_stands_in_the_example() {
    let example = read("rules.example.yaml");
    let mut missing = Vec::new();
    for file in [
        "src/config/document.rs",
        "src/config/limit.rs",
        "src/config/listen.rs",
        "src/config/tls.rs",
        "src/verify/parts/settings.rs",
        "src/verify/parts/places.rs",
        "src/verify/event_name.rs",
        "src/verify/handshake/shape.rs",
        "src/verify/scheme/signature/settings.rs",
        "src/verify/scheme/adyen.rs",
        "src/verify/scheme/none.rs",
        "src/verify/scheme/token.rs",
        "src/verify/scheme/client_cert.rs",
        "src/verify/scheme/credentials.rs",
        "src/verify/scheme/jwt/settings.rs",
        "src/act/run/mod.rs",
        "src/act/run/compile.rs",
        "src/act/run/limits.rs",
        "src/act/forward/compile.rs",
        "src/client/tls.rs",
        "src/act/append.rs",
        "src/act/rotate.rs",
        "src/act/retry.rs",
    ] {
        let text = read(file);
        let mut shape = false;
        let mut renamed = None;
        for line in text.lines().map(str::trim) {
            if line.contains("deny_unknown_fields") || line == "shape! {" {
                shape = true;
            } else if line == "}" {
                shape = false;
            } else if let Some((_, rest)) = line.split_once("rename = \"") {
                renamed = rest.split('"').next().map(str::to_owned);
            } else if let Some((name, _)) = line
                .split_once(": ")
                .filter(|_| shape && !line.starts_with(['/', '$']))
            {
                let name = renamed
                    .take()
                    .unwrap_or_else(|| name.trim_start_matches("pub ").to_owned());
                if name
                    .chars()
                    .all(|letter| letter.is_alphanumeric() || letter == '_')
                    && !example.contains(&format!("{name}:"))
                {
                    missing.push(format!("{name} ({file})"));
                }
            }
        }
    }
    assert!(
        missing.is_empty(),
        "not in rules.example.yaml: {}",
        missing.join(", ")
    );
    let operators = [
        "equals",
        "in",
        "prefix",
        "suffix",
        "contains",
        "matches",
        "glob",
        "gt",
        "gte",
        "lt",
        "lte",
        "in_cidr",
        "exists",
        "type",
        "length",
        "every",
        "none",
        "as",
        "ignore_case",
        "any",
        "all",
        "not",
        "event",
        "not_after",
        "mode",
    ];
    for operator in operators {
        assert!(
            example.contains(&format!("{operator}: ")) || example.contains(&format!("{operator}:\n")),
            "{operator}"
        );
    }
}

#[test]
fn the_table_of_senders_is_what_the_binary_prints() {
    let output = Scenario::new().hookyard(&["schemes"]);
    let table = String::from_utf8(output.stdout).unwrap();
    let page = read("docs/reference/senders.md");
    let (_, rest) = page.split_once("<!-- hookyard schemes -->\n\n").unwrap();
    let (found, _) = rest.split_once("\n\n<!-- end -->").unwrap();
    assert_eq!(found, table.trim_end());
}

#[test]
fn the_rules_of_the_manual_load() {
    let pages = pages();
    let blocks: Vec<(&str, String)> = pages
        .iter()
        .flat_map(|(page, text)| {
            blocks(text, "yaml")
                .into_iter()
                .map(|block| (page.as_str(), block))
        })
        .collect();
    assert!(blocks.len() >= 30, "{}", blocks.len());
    let mut wrong = Vec::new();
    for (page, block) in blocks {
        let mut scenario = Scenario::new().script("deploy.sh", "true").rules(&block);
        for part in block.split("env:").skip(1) {
            let name: String = part
                .chars()
                .take_while(|letter| letter.is_alphanumeric() || *letter == '_')
                .collect();
            scenario = scenario.env(&name, "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0");
        }
        for part in block.split("secret('").skip(1) {
            scenario = scenario.env(part.split('\'').next().unwrap(), "a-secret-of-the-manual-7");
        }
        for part in block.split("jwks: file:").skip(1) {
            let name = part
                .split(|letter: char| ", }\n".contains(letter))
                .next()
                .unwrap();
            scenario = scenario.file(name, crate::jwt::key_set());
        }
        if block.contains("file:sender.pem") {
            let folder = scenario.folder();
            openssl(folder, &["genrsa", "-out", "private.pem", "2048"]);
            openssl(
                folder,
                &["rsa", "-in", "private.pem", "-pubout", "-out", "sender.pem"],
            );
        }
        if block.contains("tls:") {
            scenario = certified(scenario);
        }
        let mut arguments = vec!["check", "--format", "json"];
        if block.contains("credential:") {
            // Rules of a server, with a credential and a script that only the server has.
            arguments.push("--offline");
        }
        let output = scenario.hookyard(&arguments);
        let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        if block.contains("user: nobody") && !rustix::process::geteuid().is_root() {
            // Without root, `user` cannot work, and the diagnostic says so. There are no other
            // diagnostics.
            let diagnostics = found["diagnostics"].as_array().unwrap();
            assert_eq!(diagnostics.len(), 1, "{page}\n{block}\n{found:#}");
            assert_eq!(diagnostics[0]["code"], "user", "{block}\n{found:#}");
            continue;
        }
        if found["loads"] != true || !doubts(&found).is_empty() {
            wrong.push(format!("{page}\n{block}\n{found:#}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_link_of_the_manual_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut wrong = Vec::new();
    let mut links = 0;
    for (page, text) in pages() {
        for (at, _) in text.match_indices("](") {
            let target = text[at + 2..].split([')', ' ']).next().unwrap();
            if target.contains("://") {
                continue;
            }
            links += 1;
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let path = if file.is_empty() {
                root.join(&page)
            } else {
                root.join(&page).parent().unwrap().join(file)
            };
            let there = path.exists();
            let headed = anchor.is_empty()
                || std::fs::read_to_string(&path).is_ok_and(|text| {
                    let headings = text.lines().filter(|line| line.starts_with('#'));
                    headings.map(anchor_of).any(|heading| heading == anchor)
                });
            if !there || !headed {
                wrong.push(format!("{page}: {target}"));
            }
        }
    }
    assert!(links > 50, "{links}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The anchor of a heading.
fn anchor_of(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    text.chars()
        .filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'))
        .map(|letter| if letter == ' ' { '-' } else { letter })
        .collect()
}

#[test]
fn the_example_script_deploys_a_commit_and_takes_nothing_else_for_one() {
    let folder = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/examples/deploy.sh");
    let run = |line: &str| {
        let output = std::process::Command::new("sh")
            .args(["-euc", line])
            .current_dir(folder.path())
            .env("SITE", folder.path())
            .env("SCRIPT", &script)
            .output()
            .unwrap();
        (
            output.status.success(),
            String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        )
    };
    let made = run(
        "git init -q work; cd work; git config user.email a@b.c; git config user.name a; \
         echo one > index.html; git add .; git commit -qm one; git clone -q --bare . ../repository.git; \
         git remote add origin ../repository.git; mkdir ../releases; git rev-parse HEAD",
    );
    if !made.0 {
        eprintln!("skipped: git is not installed");
        return;
    }
    let bare = "git -C repository.git remote set-url origin \"$PWD/work\"; ";
    assert!(run(&format!("{bare} \"$SCRIPT\" {}", made.1)).0);
    assert_eq!(run("cat current/index.html").1, "one");
    let (_, second) = run("cd work; echo two > index.html; git commit -qam two; git rev-parse HEAD");
    assert!(run(&format!("\"$SCRIPT\" {second}")).0);
    assert_eq!(run("cat current/index.html").1, "two");
    for wrong in [
        "--help",
        "main",
        "../..",
        "0000000000000000000000000000000000000000",
    ] {
        assert!(!run(&format!("\"$SCRIPT\" {wrong}")).0, "{wrong}");
    }
    assert_eq!(run("cat current/index.html").1, "two");
}

/// Diagnostics of `check`, without notes.
fn doubts(found: &serde_json::Value) -> Vec<&serde_json::Value> {
    let diagnostics = found["diagnostics"].as_array().unwrap().iter();
    diagnostics
        .filter(|diagnostic| diagnostic["severity"] != "note")
        .collect()
}

#[test]
fn the_rules_of_the_explanations_load_and_their_notes_are_those_that_check_prints() {
    let page = read("docs/explain/replay-protection.md");
    let blocks = |language: &str| {
        let fence = format!("```{language}\n");
        let blocks = page.split(&fence).skip(1);
        blocks
            .map(|rest| rest.split("```").next().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let mut printed = String::new();
    let secret = "a-long-secret-of-many-letters-and-digits-7";
    for block in blocks("yaml") {
        let scenario = Scenario::new()
            .env("GITHUB_SECRET", secret)
            .env("WORK_SECRET", secret)
            .env("NEW_SECRET", secret)
            .env("OLD_SECRET", "another-secret-of-many-letters-and-digits-8")
            .rules(&block);
        let output = scenario.hookyard(&["check", "--format", "json"]);
        let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(found["loads"], true, "{block}\n{found:#}");
        assert!(doubts(&found).is_empty(), "{block}\n{found:#}");
        printed += &crate::scenario::said(&scenario.hookyard(&["check"]));
    }
    for note in blocks("text") {
        assert!(printed.contains(note.trim_end()), "{note}\n{printed}");
    }
    assert!(page.lines().all(|line| line.chars().count() <= 100));
}

#[test]
fn the_rules_of_the_package_let_nobody_in_and_their_example_loads() {
    let text = read("systemd/debian/rules.yaml");
    let check = |text: &str| {
        let scenario = Scenario::new()
            .env("GITHUB_SECRET", "c2VjcmV0c2VjcmV0")
            .file("rules.yaml", text);
        let output = scenario.hookyard(&["check", "--format", "json"]);
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
    };
    let found = check(&text);
    assert_eq!(
        (&found["loads"], &found["rules"]),
        (&true.into(), &0.into()),
        "{found:#}"
    );
    assert_eq!(found["diagnostics"], serde_json::json!([]), "{found:#}");

    let (before, example) = text.split_once("rules: []\n").unwrap();
    let (_, example) = example.split_once("# rules:\n").unwrap();
    let lines: Vec<&str> = example
        .lines()
        .map(|line| line.strip_prefix("# ").unwrap())
        .collect();
    let example = lines.join("\n");
    // The example's script does not exist on this machine.
    let example = example.replace("/usr/local/bin/deploy-site", "/bin/true");
    let found = check(&format!("{before}rules:\n{example}"));
    assert_eq!(
        (&found["loads"], &found["rules"]),
        (&true.into(), &1.into()),
        "{found:#}"
    );
    assert!(doubts(&found).is_empty(), "{found:#}");
}

/// A scenario with the certificates that the README names.
fn certified(scenario: Scenario) -> Scenario {
    use std::os::unix::fs::PermissionsExt;
    let issued = rcgen::generate_simple_self_signed(["ledger.internal".to_owned()]).unwrap();
    let scenario = scenario
        .file("internal-ca.pem", issued.cert.pem())
        .file("clients.pem", issued.cert.pem())
        .file("fullchain.pem", issued.cert.pem())
        .file("privkey.pem", issued.signing_key.serialize_pem())
        .file("hookyard.pem", issued.cert.pem())
        .file("hookyard.key", issued.signing_key.serialize_pem());
    let mode = std::fs::Permissions::from_mode(0o600);
    for key in ["hookyard.key", "privkey.pem"] {
        std::fs::set_permissions(scenario.folder().join(key), mode.clone()).unwrap();
    }
    scenario
}
