//! Diagnostics for `handshake:`, `verify_token:` and `learn:` at load.

use super::compiled;
use crate::base::diagnostic::{Diagnostic, Severity};

fn lines(text: &str) -> Vec<String> {
    let (_, diagnostics) = compiled(text, None);
    let line = |diagnostic: &Diagnostic| diagnostic.line().replace("r.yaml:", "");
    diagnostics.iter().map(line).collect()
}

#[test]
fn a_handshake_that_nobody_knows_is_found_with_what_was_meant() {
    assert_eq!(
        lines("{hmac: {secret: env:A, handshake: slcak}}"),
        [
            "1:43: unknown handshake `slcak` (did you mean `slack`? known here: slack, discord, twitch, zoom, meta, \
             dropbox, asana, trello, notion, microsoft_graph, cloudevents, x, none)"
        ]
    );
    assert_eq!(
        lines("{hmac: {secret: env:A, handshake: [slack]}}"),
        ["1:32: `handshake` is a name, or `none`"]
    );
    assert!(lines("{hmac: {secret: env:A, handshake: }}")[0].contains("`handshake` has no value"));
}

#[test]
fn a_key_that_the_handshake_does_not_ask_for_is_found() {
    for (text, message) in [
        (
            "{slack: {secret: env:A, verify_token: env:B}}",
            "1:47: `verify_token` is of no use: the handshake `slack` does not ask for it (it belongs to the handshake meta)",
        ),
        (
            "{github: {secret: env:A, verify_token: env:B}}",
            "1:48: `verify_token` is of no use without a handshake (it belongs to the handshake meta)",
        ),
        (
            "{meta: {secret: env:A, handshake: none, verify_token: env:B}}",
            "1:63: `verify_token` is of no use without a handshake (it belongs to the handshake meta)",
        ),
        (
            "{meta: {secret: env:A, learn: file}}",
            "1:39: `learn` is of no use: the handshake `meta` does not ask for it (it belongs to the handshake asana or notion)",
        ),
        (
            "{asana: {secret: env:A, learn: file}}",
            "1:40: `secret` and `learn` exclude each other: the secret that is learnt would be another",
        ),
        (
            "{asana: {learn: 'env:A'}}",
            "1:25: `learn` is the path of a file, without `env:`",
        ),
        ("{asana: {learn: [a]}}", "1:18: `learn` is the path of a file"),
        (
            "{bearer: {secret: env:A, handshake: zoom}}",
            "1:45: the handshake `zoom` is answered with an HMAC, and this scheme has no secret for one",
        ),
        (
            r#"{hmac: {secret: env:A, handshake: x, timestamp: {}, content: "{timestamp}{body}"}}"#,
            "1:43: the handshake `x` tells strangers HMACs under the secret: with another content than `{body}` they could sign with them",
        ),
        (
            "{hmac: {secret: env:A, handshake: x, form_field: payload}}",
            "1:43: the handshake `x` tells strangers HMACs under the secret: with another content than `{body}` they could sign with them",
        ),
        (
            "{meta: {secret: env:A, verify_token: env:EMPTY}}",
            "1:46: the environment variable `EMPTY` is empty",
        ),
    ] {
        assert_eq!(lines(text), [message], "{text}");
    }
    for text in [
        "{token: {secret: env:A, header: X, handshake: dropbox, verify_token: env:B}}",
        "{basic: {user: ci, password: env:A, handshake: cloudevents, learn: x}}",
        "{bearer: {secret: env:A, learn: x}}",
        "{bearer: {secret: env:A, handshake: asana, learn: x}}",
    ] {
        let (_, diagnostics) = compiled(text, None);
        assert!(
            diagnostics.len() == 1 && diagnostics[0].severity == Severity::Error,
            "{text}: {diagnostics:?}"
        );
    }
}

#[test]
fn faults_of_a_scheme_and_of_its_handshake_are_found_at_once() {
    let found = lines("{hmac: {secret: env:UNSET, header: 'X Y', handshake: nobody, verify_token: env:A}}");
    assert_eq!(found.len(), 4, "{found:?}");
    let found = lines("{hmac: {secret: env:A, colour: red, handshake: nobody}}");
    assert_eq!(found.len(), 2, "{found:?}");
}

#[test]
fn a_secret_that_is_yet_to_be_learnt_is_a_warning_and_the_file_is_watched() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("asana");
    let text = format!("{{asana: {{learn: '{}'}}}}", file.display());
    for content in [None, Some(""), Some("\n")] {
        if let Some(content) = content {
            std::fs::write(&file, content).unwrap();
        }
        let (verification, diagnostics) = compiled(&text, None);
        assert!(verification.is_some());
        assert_eq!(
            (diagnostics.len(), diagnostics[0].severity),
            (1, Severity::Warning)
        );
        assert!(
            diagnostics[0].message.starts_with("nothing is learnt yet: "),
            "{diagnostics:?}"
        );
    }
    std::fs::write(&file, "secret\n").unwrap();
    let (_, diagnostics) = compiled(&text, None);
    let shown: Vec<&str> = diagnostics
        .iter()
        .map(|diagnostic| diagnostic.message.as_str())
        .collect();
    assert!(
        shown
            .iter()
            .all(|message| message.starts_with("every user can read")),
        "{shown:?}"
    );
    let nowhere = format!("{{asana: {{learn: '{}/none/asana'}}}}", folder.path().display());
    let found = lines(&nowhere);
    assert!(
        found[0].contains("does not exist, and nothing can be learnt"),
        "{found:?}"
    );
    // A folder is no secret, and an unreadable file is not treated as missing.
    assert!(
        lines(&format!("{{asana: {{learn: '{}'}}}}", folder.path().display()))[0]
            .contains("is a folder, not a file")
    );
}

#[test]
fn a_secret_that_could_not_be_any_text_is_not_learnt() {
    for text in [
        "{standard: {learn: x, handshake: asana}}",
        "{hmac: {learn: x, handshake: asana, secret_encoding: hex}}",
        "{hmac: {learn: x, handshake: asana, strip_prefix: whsec_}}",
    ] {
        let (_, diagnostics) = compiled(text, None);
        assert!(
            diagnostics
                .iter()
                .any(|diagnostic| diagnostic.code == "handshake" && diagnostic.message.contains("any text")),
            "{text} {diagnostics:?}"
        );
    }
}
