//! Diagnostics of `check` about secrets that cannot work or could be guessed.

use crate::scenario::{Scenario, said};

const STRONG: &str = "5f2c1e0b9a8d7c6b5a49382716f5e4d3";

/// Output of `check` for one rule with this `verify`. `FILE` holds `content`.
fn check(verify: &str, content: &str) -> (Option<i32>, String) {
    let rules = format!(
        "rules:\n  - {{name: a, endpoint: /a, verify: {{{verify}}}, actions: [{{append: a.txt, line: x}}]}}\n"
    );
    let scenario = Scenario::new().rules(&rules).file("secret", content);
    let scenario = scenario.env("NAME", content);
    let output = scenario.hookyard(&["check", "rules.yaml"]);
    (output.status.code(), said(&output))
}

#[test]
fn a_reference_that_nothing_puts_in_is_no_secret() {
    for secret in ["${NAME}", "$NAME", "{{ secret }}", "${{ secrets.NAME }}"] {
        for scheme in ["github", "bearer", "standard", "stripe"] {
            let (code, said) = check(&format!("{scheme}: \"{secret}\""), "");
            assert_eq!(code, Some(1), "{said}");
            assert!(said.contains("variables are not replaced here"), "{said}");
            assert!(said.contains("write `env:NAME`"), "{said}");
        }
    }
    let (code, said) = check("github: env:NAME", "${GITHUB_SECRET}");
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("the secret looks like a variable that was not replaced"),
        "{said}"
    );
}

#[test]
fn a_secret_that_could_be_guessed_is_a_warning_and_a_strong_one_is_none() {
    let blank = "begins or ends with a blank";
    for (verify, content, warning) in [
        ("github: file:secret", "change-me", "a word out of examples"),
        ("github: env:NAME", "secret", "a word out of examples"),
        (
            "github: env:NAME",
            "fifteen-letters",
            "the secret has 15 bytes: use 16 or more",
        ),
        (
            "basic: {user: a, password: env:NAME, id: {header: X-Id}}",
            "short",
            "the secret has 5 bytes",
        ),
        (
            "jwt: {algorithms: [HS256], secret: env:NAME, audience: a, body_hash: sha256}",
            "twenty-nine-letters-are-not-1",
            "the secret has 29 bytes: use 32 or more",
        ),
        ("github: env:NAME", "5f2c1e0b9a8d7c6b5a49382716f5e4d3 ", blank),
        (
            "github: file:secret",
            "5f2c1e0b9a8d7c6b5a49382716f5e4d3\n\n",
            blank,
        ),
        (
            "github: env:NAME",
            "\"5f2c1e0b9a8d7c6b5a49382716f5e4d3\"",
            "the secret stands in quotes, which count",
        ),
        (
            "github: file:secret",
            "'5f2c1e0b9a8d7c6b5a49382716f5e4d3'\n",
            "the secret stands in quotes, which count",
        ),
        (
            "github: file:secret",
            "GITHUB_SECRET=5f2c1e0b9a8d7c6b5a49382716f5e4d3",
            "the secret begins with a name and `=`",
        ),
        (
            "stripe: env:NAME",
            "whsec_whsec_5f2c1e0b9a8d7c6b5a49382716f5e4d3",
            "the secret has its prefix twice",
        ),
        (
            "bearer: env:NAME",
            STRONG,
            "an event that is sent twice runs twice",
        ),
        (
            "github: {secret: [env:NAME, {secret: file:secret, not_after: 2020-01-31}]}",
            STRONG,
            "the secret has expired",
        ),
    ] {
        let (code, said) = check(verify, content);
        assert_eq!(code, Some(0), "{said}");
        assert!(
            said.contains("warning: ") && said.contains(warning),
            "{verify}: {said}"
        );
        assert!(
            !said.contains(content.trim()) || content == "secret" || content == "short",
            "{said}"
        );
    }
    for verify in [
        "github: env:NAME",
        "bearer: {secret: env:NAME, id: {header: X-Id}}",
        "jwt: {algorithms: [HS256], secret: env:NAME, audience: a, body_hash: sha256}",
        "standard: env:NAME",
        "gitlab: env:NAME",
    ] {
        let (code, said) = check(verify, STRONG);
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains(" 0 warnings"), "{verify}: {said}");
    }
}

#[test]
fn a_key_with_its_prefix_twice_is_an_error_where_the_prefix_is_taken_off() {
    let key = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let (code, said) = check("standard: env:NAME", &format!("whsec_whsec_{key}"));
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("the secret begins with `whsec_` twice: leave one out"),
        "{said}"
    );
    assert!(!said.contains(key), "{said}");
}

#[test]
fn a_token_that_no_header_can_hold_is_an_error() {
    for (verify, content) in [
        (
            "bearer: {secret: env:NAME, id: {header: X-Id}}",
            "5f2c1e0b9a8d7c6b5a493827 ",
        ),
        ("gitlab: env:NAME", "5f2c1e0b9a8d7c6b5a493827\n"),
        (
            "token: {header: X-Token, secret: env:NAME}",
            "5f2c1e0b\n9a8d7c6b5a493827",
        ),
    ] {
        let (code, said) = check(verify, content);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("a header cannot hold this secret"), "{said}");
    }
    let (code, said) = check(
        "token: {query: token, secret: env:NAME}",
        "5f2c1e0b9a8d7c6b5a493827 ",
    );
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn the_example_is_not_warned_of_its_own_secrets() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/rules.example.yaml");
    let scenario = Scenario::new().file("rules.yaml", std::fs::read_to_string(example).unwrap());
    let output = scenario.hookyard(&["check", "rules.yaml"]);
    let said = said(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(!said.contains("warning: "), "{said}");
    assert!(said.contains("0 warnings"), "{said}");
    // `check` still says that these secrets are public.
    assert_eq!(
        said.matches("note: a secret of the example, which strangers know")
            .count(),
        6,
        "{said}"
    );
}
