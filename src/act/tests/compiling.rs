//! Tests of `Action::compile`: accepted YAML, and diagnostics for the rest.

use std::time::Duration;

use super::*;

fn faults(yaml: &str) -> Vec<String> {
    compile_in(Path::new("/tmp"), yaml).unwrap_err()
}

fn retry(yaml: &str) -> Result<Retry, Vec<String>> {
    let mut diagnostics = Diagnostics::new();
    let source = Source {
        path: "r".into(),
        text: yaml.to_owned(),
    };
    let document = Document::parse(source, &mut diagnostics).unwrap();
    let retry = Retry::compile(document.root(), &mut diagnostics);
    retry.ok_or_else(|| diagnostics.iter().map(Diagnostic::line).collect())
}

#[test]
fn actions_are_read() {
    for (yaml, name) in [
        ("run: [true]".replace("true", "'true'"), "run"),
        ("{run: [/bin/echo, -c, \"{{ payload.x }}\"], env: {A_1: \"{{ rule }}\"}, cwd: /, stdin: json, timeout: 1m, grace: 0s, exit: {done: [0, 3], retry: [75], dead: [78]}}".into(), "run"),
        ("shell: |\n  echo ${#A} '{{.Names}}'\nstdin: none".into(), "shell"),
        ("forward: https://ci.internal/build/{{ payload.ref }}?x={{ rule }}".into(), "forward"),
        ("{forward: {url: 'http://[::1]:80', method: put, headers: {X-A: \"{{ secret('CI_TOKEN') }}\"}, body: '{}'}, timeout: 5s}".into(), "forward"),
        ("forward: https://{{ payload.host }}/x".into(), "forward"),
        ("forward: '{{ payload.url | safe }}'".into(), "forward"),
        ("{forward: 'https://h/', proxy: none}".into(), "forward"),
        ("{forward: 'https://h/', proxy: 'http://proxy:3128'}".into(), "forward"),
        ("{append: log.jsonl}".into(), "append"),
        ("{append: /tmp/log, line: \"{{ payload.ref }}\", sync: true}".into(), "append"),
    ] {
        assert_eq!(compile(&yaml).name(), name, "{yaml}");
    }
}

#[test]
fn an_action_is_exactly_one_of_four() {
    for (yaml, expected) in [
        (
            "{}",
            "r:1:1: an action has one of `run`, `shell`, `forward`, `append`; found nothing",
        ),
        (
            "{cwd: /tmp, env: {}}",
            "an action has one of `run`, `shell`, `forward`, `append`; found `cwd`, `env`",
        ),
        ("{rnu: [x]}", "r:1:2: unknown action `rnu` (did you mean `run`?)"),
        (
            "{run: ['true'], append: x}",
            "one action does one thing; found `run` and `append`",
        ),
        ("text", "an action is a mapping"),
        ("[]", "an action is a mapping"),
    ] {
        let faults = faults(yaml);
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(faults[0].contains(expected), "{faults:?}");
    }
}

#[test]
fn every_error_of_an_action_is_reported_at_once() {
    let faults = faults(concat!(
        "run: [no-such-program, '{{ nope }}', 5]\n",
        "line: json\n",
        "evn: {}\n",
        "env: {1A: x, HOOKYARD_X: y, OK: '{{ payload.x | nope }}'}\n",
        "cwd: /no/such\n",
        "timeout: 0s\n",
        "exit: {done: [0], dead: [0]}\n",
        "user: no-such-user\n",
    ));
    let expected = [
        "r:1:7: there is no program `no-such-program` in `PATH`",
        "r:1:24: unknown name `nope` in a template",
        "r:1:38: this must be text (put it in quotes)",
        "r:2:1: `line` belongs to `append`, not to `run`",
        "r:3:1: unknown key `evn` (did you mean `env`?",
        "r:4:7: `1A` is not the name of a variable",
        "r:4:14: `HOOKYARD_X` is set by hookyard itself",
        "r:4:33: unknown filter `nope` in a template",
        "r:5:6: there is no folder `/no/such`",
        "r:6:10: `timeout` must be longer than nothing",
        "r:7:1: exit code 0 stands in two lists",
        "r:8:7: there is no user `no-such-user`",
    ];
    assert_eq!(faults.len(), expected.len(), "{faults:#?}");
    for (error, expected) in faults.iter().zip(expected) {
        assert!(error.starts_with(expected), "{error} / {expected}");
    }
}

#[test]
fn an_action_that_would_do_something_else_is_reported() {
    for (yaml, expected) in [
        (
            "run: /bin/deploy --now",
            "`run` is a list: the program, and its arguments one by one",
        ),
        ("run: []", "`run` is a list"),
        (
            "run: ['{{ payload.program }}']",
            "the program is fixed: it may not hold a template",
        ),
        ("run: [/no/such]", "there is no program `/no/such`"),
        ("run: [./deploy.sh]", "there is no program `/tmp/./deploy.sh`"),
        (
            "{run: [touch], env: {PATH: '/opt/{{ rule }}'}}",
            "`touch` cannot be looked up",
        ),
        (
            "shell: 'git checkout {{ payload.after }}'",
            "a script is fixed: `{{ payload` would not be filled in",
        ),
        ("shell: ''", "`shell` is the text of a script"),
        ("{run: ['true'], timeout: 10}", "a duration with its unit"),
        (
            "{run: ['true'], exit: {done: [256]}}",
            "expected a whole number from 0 to 255",
        ),
        ("{run: ['true'], exit: {ok: [0]}}", "unknown key `ok`"),
        ("{run: ['true'], stdin: file}", "unknown value `file`"),
        (
            "{run: ['true'], headers: {}}",
            "`headers` belongs to `forward`, not to `run`",
        ),
        (
            "{append: log, timeout: 5s}",
            "`timeout` belongs to `run` and `shell` and `forward`, not to `append`",
        ),
        (
            "{forward: 'https://h/', rate: 10}",
            "`rate` is how many requests, 1 to 1000000, in a second, minute or hour",
        ),
        ("{forward: 'https://h/', rate: 10/d}", "write `rate: 10/s`"),
        (
            "{append: log, rate: 10/s}",
            "`rate` belongs to `forward`, not to `append`",
        ),
        ("forward: ftp://host/x", "neither `http` nor `https`"),
        ("forward: ci.internal/build", "has no scheme"),
        ("forward: {method: POST}", "`url` is missing"),
        ("forward: {url: 'https://h/', boby: x}", "unknown key `boby`"),
        (
            "forward: {url: 'https://h/', method: CONNECT}",
            "`CONNECT` is not a method",
        ),
        (
            "{forward: {url: 'https://h/', headers: {}}, headers: {}}",
            "`headers` stands both",
        ),
        (
            "{forward: 'https://h/', headers: {Transfer-Encoding: x}}",
            "is for the connection to say",
        ),
        (
            "{forward: 'https://h/', headers: {'a b': x}}",
            "`a b` is not the name of a header",
        ),
        (
            "{forward: 'https://h/', headers: {X-A: \"a\\nb\"}}",
            "a header is one line of text",
        ),
        (
            "{forward: 'https://h/', headers: {X-A: x, x-a: y}}",
            "`x-a` is written twice",
        ),
        (
            "{forward: 'https://h/', headers: {A: \"{{ secret('UNSET') }}\"}}",
            "the environment variable `UNSET` is not set",
        ),
        (
            "append: /no/such/folder/log",
            "there is no folder `/no/such/folder`",
        ),
        ("append: /tmp", "`/tmp` is a folder"),
        ("append: '/tmp/{{ rule }}.log'", "the file to append to is fixed"),
        ("{append: log, sync: 'yes'}", "wrong type"),
    ] {
        let faults = faults(yaml);
        assert_eq!(faults.len(), 1, "{yaml}: {faults:#?}");
        assert!(faults[0].contains(expected), "{yaml}: {faults:?}");
    }
}

#[test]
fn a_rotation_that_would_never_happen_is_reported() {
    for (yaml, expected) in [
        ("{append: log, rotate: {}}", "says neither `size` nor `every`"),
        (
            "{append: log, rotate: {keep: 3}}",
            "says neither `size` nor `every`",
        ),
        ("{append: log, rotate: {size: 0}}", "more than nothing"),
        ("{append: log, rotate: {size: big}}", "invalid size `big`"),
        ("{append: log, rotate: {every: hour}}", "unknown value `hour`"),
        (
            "{append: log, rotate: {every: day, keep: 0}}",
            "`keep` is 1 to 1000",
        ),
        (
            "{append: log, rotate: {every: day, keep: 1001}}",
            "`keep` is 1 to 1000",
        ),
        ("{append: log, rotate: {daily: true}}", "unknown key `daily`"),
        (
            "{run: ['true'], rotate: {every: day}}",
            "`rotate` belongs to `append`",
        ),
    ] {
        let faults = faults(yaml);
        assert_eq!(faults.len(), 1, "{yaml}: {faults:#?}");
        assert!(faults[0].contains(expected), "{yaml}: {faults:?}");
    }
    for yaml in [
        "{size: 1MiB}",
        "{every: day}",
        "{size: 512, every: day, keep: 1000}",
    ] {
        compile(&format!("{{append: log, rotate: {yaml}}}"));
    }
}

#[test]
fn retries_are_read_with_bounds() {
    let seconds = |list: &[u64]| list.iter().map(|s| Duration::from_secs(*s)).collect::<Vec<_>>();
    let read = retry("{attempts: 3, backoff: [10s, 60s, 5m]}").unwrap();
    assert_eq!((read.attempts, read.backoff), (3, seconds(&[10, 60, 300])));
    let read = retry("{backoff: [1s, 2s, 3s, 4s]}").unwrap();
    assert_eq!((read.attempts, read.backoff), (4, seconds(&[1, 2, 3, 4])));
    let read = retry("{attempts: 1}").unwrap();
    assert_eq!((read.attempts, read.backoff), (1, seconds(&[10, 60, 300])));
    let read = retry("{attempts: 9, backoff: 5s}").unwrap();
    assert_eq!(
        (read.attempts, read.backoff, read.jitter),
        (9, seconds(&[5]), false)
    );
    for wrong in [
        "{attempts: 0}",
        "{attempts: 101}",
        "{attempts: -1}",
        "{attempts: many}",
        "{backoff: []}",
        "{backoff: [10]}",
        "{tries: 3}",
        "3",
    ] {
        assert_eq!(retry(wrong).map_err(|faults| faults.len()), Err(1), "{wrong}");
    }
    assert_eq!(compile("append: log").default_retry(), Retry::for_commands());
    let requests = compile("forward: https://h/").default_retry();
    assert_eq!((requests.attempts, requests.jitter), (8, true));
}

#[test]
fn an_action_is_described_without_secrets() {
    let event = event(serde_json::json!({"ref": "a b"}), &[]);
    let values = action_context(&event, &[]).values();
    let described = |yaml: &str| compile(yaml).describe(&values).unwrap();
    assert_eq!(
        described("{run: [/bin/echo, '{{ payload.ref }}'], env: {T: \"{{ secret('CI_TOKEN') }}\"}}"),
        serde_json::json!({"run": ["/bin/echo", "a b"], "env": {"T": "***"}, "cwd": "/tmp", "timeout": "10m"})
    );
    assert_eq!(
        described(
            "{forward: 'https://h/{{ payload.ref }}', headers: {Authorization: \"Bearer {{ secret('CI_TOKEN') }}\"}}"
        ),
        serde_json::json!({"forward": {
            "url": "https://h/a%20b", "method": "POST",
            "headers": {"authorization": "Bearer ***"}, "body": "(the body as it arrived)",
        }, "timeout": "15s"})
    );
    assert_eq!(
        described("{append: log, line: '{{ payload.ref }}'}"),
        serde_json::json!({"append": "/tmp/log", "line": "a b"})
    );
    assert!(
        compile("run: [/bin/echo, '{{ payload.gone }}']")
            .describe(&values)
            .is_err()
    );
}
