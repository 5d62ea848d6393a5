//! `include`: rules in several files. Each file is watched, new ones too, and a place names its
//! file. Anchors and `x-` keys.

use std::fs;

use crate::scenario::{Daemon, Scenario, hmac_hex, said};

/// A file with one rule that anyone can fire.
fn rule(name: &str, file: &str) -> String {
    format!("rules:\n  - {{name: {name}, endpoint: /{name}, verify: none, actions: [append: {file}]}}\n")
}

fn answers(daemon: &Daemon, path: &str) -> u16 {
    daemon.post(path).json("{}").send().status
}

/// Waits until `path` is answered with this status.
#[track_caller]
fn becomes(daemon: &Daemon, path: &str, status: u16) {
    daemon.eventually(&format!("{path} is answered {status}"), || {
        answers(daemon, path) == status
    });
}

#[test]
fn rules_endpoints_and_schemes_of_all_files_are_one_set_with_paths_of_their_own() {
    let daemon = Scenario::new()
        .rules("include: [rules.d/*.yaml, more/one.yaml]\nendpoints:\n  /main: {verify: {acme: {secret: 'file:key'}}}\nrules: []\n")
        .file("key", "of-the-main-file-0123456789abcdef")
        .file("rules.d/key", "of-the-folder-0123456789abcdef")
        .private("key")
        .private("rules.d/key")
        .file(
            "rules.d/20-rules.yaml",
            "rules:\n  - {name: own, endpoint: /own, verify: {acme: {secret: 'file:key'}}, actions: [append: own.jsonl, run: [sh, -c, pwd > where]]}\n  \
             - {name: main, endpoint: /main, actions: [append: main.jsonl]}\n",
        )
        .file("rules.d/10-schemes.yaml", "schemes:\n  acme: {hmac: {header: X-Acme}}\n")
        .file("rules.d/.hidden.yaml", "nonsense")
        .file("rules.d/README", "nonsense")
        .file("more/one.yaml", rule("one", "../one.jsonl"))
        .start();
    let signed = |path: &str, secret: &str| {
        let signature = hmac_hex(secret, b"{}");
        daemon
            .post(path)
            .json("{}")
            .header("X-Acme", &signature)
            .send()
            .status
    };
    let (main, own) = (
        "of-the-main-file-0123456789abcdef",
        "of-the-folder-0123456789abcdef",
    );
    assert_eq!((signed("/own", main), signed("/own", own)), (403, 200));
    // The endpoint's own file decides where its secret is, and the rule's where its actions write.
    assert_eq!((signed("/main", own), signed("/main", main)), (403, 200));
    assert_eq!(answers(&daemon, "/one"), 200);
    daemon.eventually("all is appended", || {
        ["rules.d/own.jsonl", "rules.d/main.jsonl", "one.jsonl"].map(|file| daemon.lines(file)) == [1, 1, 1]
    });
    daemon.eventually("a command runs in the folder of its file", || {
        daemon.read("rules.d/where").trim().ends_with("/rules.d")
    });
}

#[test]
fn every_included_file_and_folder_is_watched_new_and_removed_ones_too() {
    let daemon = Scenario::new()
        .rules("include: rules.d/*.yaml\nrules: []\n")
        .start();
    let path = |name: &str| daemon.folder().join("rules.d").join(name);
    assert_eq!(answers(&daemon, "/one"), 404);
    // The folder does not exist yet.
    fs::create_dir(path("")).unwrap();
    fs::write(path("a.yaml"), rule("one", "../out.jsonl")).unwrap();
    becomes(&daemon, "/one", 200);
    fs::write(path("b.yaml"), rule("two", "../out.jsonl")).unwrap();
    becomes(&daemon, "/two", 200);
    fs::write(path("b.yaml"), rule("three", "../out.jsonl")).unwrap();
    becomes(&daemon, "/three", 200);
    assert_eq!(answers(&daemon, "/two"), 404);
    // As an editor does: a backup, and a rename over the file.
    fs::write(path(".b.yaml.new"), rule("four", "../out.jsonl")).unwrap();
    fs::rename(path(".b.yaml.new"), path("b.yaml")).unwrap();
    becomes(&daemon, "/four", 200);
    fs::remove_file(path("b.yaml")).unwrap();
    becomes(&daemon, "/four", 404);
    assert_eq!(answers(&daemon, "/one"), 200);
    fs::rename(path(""), daemon.folder().join("away")).unwrap();
    becomes(&daemon, "/one", 404);
    fs::rename(daemon.folder().join("away"), path("")).unwrap();
    becomes(&daemon, "/one", 200);
    let log = daemon.log();
    assert!(
        log.contains("cause=\"change\"") && !log.contains("cause=\"time\""),
        "{log}"
    );
}

#[test]
fn a_broken_included_file_keeps_all_rules_and_names_its_place() {
    let daemon = Scenario::new()
        .rules(&format!(
            "include: [rules.d/*.yaml]\n{}",
            rule("one", "out.jsonl")
        ))
        .file("rules.d/a.yaml", rule("two", "../out.jsonl"))
        .start();
    let path = daemon.folder().join("rules.d/b.yaml");
    fs::write(&path, rule("three", "../out.jsonl").replace("append", "apend")).unwrap();
    daemon.eventually("the broken file is refused", || {
        daemon.log().contains("the rules in force stay")
    });
    let log = daemon.log();
    assert!(
        log.contains("rules.d/b.yaml:2:61: unknown action `apend`"),
        "{log}"
    );
    assert_eq!(
        ["/one", "/two", "/three"].map(|path| answers(&daemon, path)),
        [200, 200, 404]
    );
    let status = said(&daemon.scenario.hookyard(&["status"]));
    assert!(status.contains("rules.d/b.yaml:2:61"), "{status}");
    fs::write(&path, rule("three", "../out.jsonl")).unwrap();
    becomes(&daemon, "/three", 200);
    // An empty file may be a half-written one.
    fs::write(&path, "").unwrap();
    daemon.eventually("the empty file is refused", || {
        daemon.log().contains("b.yaml:1:1: the file is empty")
    });
    assert_eq!(answers(&daemon, "/three"), 200);
}

/// Output of `hookyard check` with these files. The first is the rules file.
fn check(files: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut scenario = Scenario::new();
    for (name, text) in files {
        scenario = scenario.file(name, text);
    }
    let output = scenario.hookyard(&["check", files[0].0]);
    (output.status.code(), said(&output))
}

#[test]
fn what_an_included_file_may_not_have_is_found_at_its_place() {
    let main = ("rules.yaml", "include: [a.yaml]\nrules: []\n");
    for (text, place, message) in [
        (
            "server: {max_body: 1KiB}\n",
            "a.yaml:1:1",
            "`server` stands in the main file only",
        ),
        (
            "rules: []\ndefaults: {timeout: 1s}\n",
            "a.yaml:2:1",
            "`defaults` stands in the main file only",
        ),
        (
            "rules: []\ninclude: [b.yaml]\n",
            "a.yaml:2:1",
            "an included file includes no other files",
        ),
        ("ruels: []\n", "a.yaml:1:1", "did you mean `rules`?"),
        ("rules:\n", "a.yaml:1:1", "`rules` has no value"),
        ("- name: x\n", "a.yaml:1:1", "an included file is a mapping"),
        ("# nothing\n", "a.yaml:", "the file is empty"),
        ("rules: [\n", "a.yaml:2:1", "expected node content"),
        (
            "rules: []\nendpoints: {x: {}}\n",
            "a.yaml:2:13",
            "does not begin with `/`",
        ),
    ] {
        let (code, found) = check(&[main, ("a.yaml", text)]);
        assert!(
            code == Some(1) && found.contains(place) && found.contains(message),
            "{text}: {found}"
        );
        let caret = found.lines().any(|line| line.contains('^'));
        assert!(caret || text.starts_with('#'), "{found}");
    }
}

#[test]
fn names_are_unique_over_all_files_and_a_finding_names_both_places() {
    let (code, found) = check(&[
        (
            "rules.yaml",
            "include: [d/*.yaml]\nendpoints: {/x: {}}\nschemes: {acme: {hmac: {}}}\nrules:\n  - {name: a, endpoint: /x, verify: none, actions: [append: x]}\n",
        ),
        (
            "d/one.yaml",
            "rules:\n  - {name: a, endpoint: /y, verify: none, actions: [append: x]}\n",
        ),
        (
            "d/two.yaml",
            "\nschemes: {acme: {hmac: {}}}\nendpoints: {/x: {}}\n",
        ),
    ]);
    assert_eq!(code, Some(1));
    for part in [
        "d/one.yaml:2:12",
        "a second rule named `a`; the first is in line 5 of `rules.yaml`",
        "d/two.yaml:3:13",
        "a second endpoint `/x`; the first is in line 2 of `rules.yaml`",
        "d/two.yaml:2:11",
        "a second scheme named `acme`; the first is in line 3 of `rules.yaml`",
    ] {
        assert!(found.contains(part), "{part}: {found}");
    }
}

#[test]
fn a_pattern_may_match_nothing_and_a_path_must_exist() {
    let check_include = |include: &str| {
        check(&[
            ("rules.yaml", &format!("include: {include}\n")),
            ("d/a.yaml", "rules: []\n"),
        ])
    };
    for good in [
        "none/*.yaml",
        "d/*.txt",
        "'*.yaml'",
        "[d/*.yaml, d/a.yaml]",
        "d/../d/a.yaml",
        "d/[a-c].yaml",
        "'d/{a,b}.yaml'",
    ] {
        let (code, found) = check_include(good);
        assert_eq!(code, Some(0), "{good}: {found}");
    }
    for (wrong, message) in [
        ("none.yaml", "there is no file `none.yaml`"),
        ("[d/*.yaml, none/a.yaml]", "rules.yaml:1:21"),
        ("d", "`d` is a folder, not a file"),
        ("rules.yaml", "the file includes itself"),
        ("'*/a.yaml'", "a pattern stands in the name of the file"),
        ("[5]", "`include` is a path, or a list of paths"),
        ("''", "`include` is a path, or a list of paths"),
        ("'d/[a.yaml'", "d/[a.yaml"),
    ] {
        let (code, found) = check_include(wrong);
        assert!(code == Some(1) && found.contains(message), "{wrong}: {found}");
    }
}

#[test]
fn included_files_are_bounded_in_number_and_in_sum() {
    let folder = Scenario::new()
        .file("rules.yaml", "include: ['d/*.yaml']\n")
        .file("d/0.yaml", "rules: []\n");
    for number in 1..=1000 {
        fs::write(folder.folder().join(format!("d/{number}.yaml")), "rules: []\n").unwrap();
    }
    let found = said(&folder.hookyard(&["check", "rules.yaml"]));
    assert!(found.contains("more than 1000 included files"), "{found}");
    let long = format!("# {}\nrules: []\n", "x".repeat(6 << 20));
    let (code, found) = check(&[
        ("rules.yaml", "include: ['d/*.yaml']\n"),
        ("d/a.yaml", &long),
        ("d/b.yaml", &long),
        ("d/c.yaml", &long),
    ]);
    assert!(
        code == Some(1) && found.contains("have more than 16777216 bytes"),
        "{found}"
    );
    // The values of all files together, as those of one.
    let bomb = format!(
        "x-a: &a [{}]\nx-b: [{}]\nrules: []\n",
        "1, ".repeat(1000),
        "*a, ".repeat(600)
    );
    let (code, found) = check(&[
        ("rules.yaml", "include: ['d/*.yaml']\n"),
        ("d/a.yaml", &bomb),
        ("d/b.yaml", &bomb),
    ]);
    assert!(
        code == Some(1) && found.contains("d/b.yaml") && found.contains("more than 1048576 values"),
        "{found}"
    );
}

#[test]
fn the_file_that_goes_beyond_the_bound_is_named_and_not_each_one_after_it() {
    let mut bomb = "x-a: &a [1,1,1,1,1,1,1,1,1,1]\n".to_owned();
    for (one, next) in ["a", "b", "c", "d", "e"].iter().zip(["b", "c", "d", "e", "f"]) {
        bomb.push_str(&format!(
            "x-{next}: &{next} [{}]\n",
            vec![format!("*{one}"); 10].join(",")
        ));
    }
    bomb.push_str("rules: []\n");
    let (code, told) = check(&[
        ("rules.yaml", "include: [rules.d/*.yaml]\nrules: []\n"),
        ("rules.d/a.yaml", "rules: []\n"),
        ("rules.d/b.yaml", &bomb),
        ("rules.d/c.yaml", "rules: []\n"),
    ]);
    assert_eq!(code, Some(1));
    assert!(
        told.contains("rules.d/b.yaml") && told.contains("1 error"),
        "{told}"
    );
    assert!(!told.contains("rules.d/c.yaml"), "{told}");
}

#[test]
fn commands_read_the_included_files() {
    let scenario = Scenario::new()
        .rules("include: [rules.d/*.yaml]\n")
        .file("rules.d/a.yaml", rule("one", "../out.jsonl"))
        .file("body.json", "{}");
    let text = |arguments: &[&str]| said(&scenario.hookyard(arguments));
    assert!(text(&["check", "rules.yaml"]).contains("rules.yaml loads: 1 endpoint, 1 rule"));
    assert!(text(&["check", "--offline", "rules.yaml"]).contains("rules.yaml loads: 1 endpoint, 1 rule"));
    let explained = text(&["explain", "rules.yaml", "--body", "body.json"]);
    assert!(explained.contains("one"), "{explained}");
    let daemon = scenario.start();
    let fired = said(&daemon.scenario.hookyard(&["fire", "one", "--body", "body.json"]));
    daemon.eventually("it is fired", || daemon.lines("out.jsonl") == 1);
    assert!(!fired.contains("error"), "{fired}");
    let address = format!("http://{}", daemon.address);
    let sent = said(&daemon.scenario.hookyard(&["send", &address, "--rule", "one"]));
    assert!(sent.starts_with("200 "), "{sent}");
    daemon.eventually("it is sent", || daemon.lines("out.jsonl") == 2);
    // The daemon judges a new main file with the files that lie beside its own.
    let new = daemon.folder().join("new.yaml");
    fs::write(
        &new,
        "include: [rules.d/*.yaml]\nrules: []\nstore: {max_size: x}\n",
    )
    .unwrap();
    let judged = said(&daemon.scenario.hookyard(&["check", "--running", "new.yaml"]));
    assert!(
        judged.contains("new.yaml:3:") && judged.contains("judged by the daemon"),
        "{judged}"
    );
    fs::write(daemon.folder().join("rules.d/b.yaml"), "rules: [{}]\n").unwrap();
    let judged = said(&daemon.scenario.hookyard(&["check", "--running", "new.yaml"]));
    assert!(judged.contains("rules.d/b.yaml:1:"), "{judged}");
}

#[test]
fn keys_for_anchors_are_ignored_and_a_finding_in_them_stands_where_it_is_written() {
    let text = "x-secret: &secret {secret: env:KEY_OF_TEST}\nx-rule: &rule\n  verify: {github: *secret}\n  retry: {attempts: 3}\nrules:\n  \
                - {<<: *rule, name: a, endpoint: /a, actions: [append: a]}\n  - {<<: *rule, name: b, endpoint: /b, retry: {attempts: 5}, actions: [append: b]}\n";
    let scenario = Scenario::new()
        .file("rules.yaml", text)
        .env("KEY_OF_TEST", "0123456789abcdef0123456789");
    let output = scenario.hookyard(&["check", "rules.yaml"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let wrong = text
        .replace("attempts: 3", "attempts: x")
        .replace("env:KEY", "env:NO_KEY");
    let (code, found) = check(&[("rules.yaml", &wrong)]);
    assert_eq!(code, Some(1));
    assert!(
        found.contains("rules.yaml:1:28") && found.contains("rules.yaml:4:21"),
        "{found}"
    );
    for wrong in ["y-rule: {}\nrules: []\n", "server: {x-listen: 1}\nrules: []\n"] {
        assert_eq!(check(&[("rules.yaml", wrong)]).0, Some(1), "{wrong}");
    }
}
