use super::*;
use crate::base::diagnostic::{Diagnostic, Source};
use crate::base::yaml::Document;

/// Compiles `admin`, and returns it with its diagnostics as `code: message`.
fn compiled(yaml: &str, tls: bool) -> (Admin, Vec<String>) {
    let mut diagnostics = Diagnostics::new();
    let (path, text) = (PathBuf::from("rules.yaml"), format!("admin: {yaml}\n"));
    let document = Document::parse(Source { path, text }, &mut diagnostics).unwrap();
    let keyring = Keyring::new([("HASH".into(), HASH.into())], Path::new("/etc/hookyard"));
    let admin = compile(document.root().given("admin"), tls, &keyring, &mut diagnostics);
    let said = diagnostics.iter().map(Diagnostic::line);
    (admin, said.collect())
}

const HASH: &str =
    "$pbkdf2-sha256$i=600000,l=32$MDEyMzQ1Njc4OWFiY2RlZg$AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI";

#[test]
fn the_keys_of_the_page_are_read() {
    let (admin, said) = compiled(
        "{listen: '10.0.0.1:9001', password: env:HASH, public_url: 'https://Ops.example.com:9001/', page: read_only, \
         read_only_socket: {path: guests.sock, mode: \"0666\"}}",
        true,
    );
    assert_eq!(said, [""; 0]);
    assert_eq!(admin.password.unwrap().to_phc(), HASH);
    let url = admin.public_url.unwrap();
    assert_eq!(
        (&*url.host, url.https, &*url.text),
        ("ops.example.com", true, "https://Ops.example.com:9001")
    );
    assert_eq!(admin.page, PageAccess::ReadOnly);
    let (path, access) = admin.read_only_socket.unwrap();
    assert_eq!(
        (path, access.mode),
        (PathBuf::from("/etc/hookyard/guests.sock"), 0o666)
    );

    let (admin, said) = compiled(
        &format!("{{listen: '127.0.0.1:9001', password: '{HASH}', page: none}}"),
        false,
    );
    assert_eq!(said, [""; 0]);
    assert!(admin.password.is_some() && admin.page == PageAccess::None);
    let (_, said) = compiled(&format!("{{listen: '[::1]:9001', password: '{HASH}'}}"), false);
    assert_eq!(said, [""; 0]);
}

#[test]
fn a_password_is_never_sent_in_clear_to_another_machine() {
    for listen in [
        "0.0.0.0:9001",
        "[::]:9001",
        "192.0.2.1:9001",
        "[::ffff:192.0.2.1]:9001",
    ] {
        let (_, said) = compiled(
            &format!("{{listen: '{listen}', password: '{HASH}', public_url: 'https://h'}}"),
            false,
        );
        assert!(
            said.len() == 1 && said[0].contains("would be sent in clear"),
            "{said:?}"
        );
        let (_, said) = compiled(&format!("{{listen: '{listen}', password: '{HASH}'}}"), true);
        assert!(
            said.len() == 1 && said[0].contains("only `admin.public_url` can allow"),
            "{said:?}"
        );
        // Without a password there is no page on TCP.
        assert_eq!(compiled(&format!("{{listen: '{listen}'}}"), false).1, [""; 0]);
    }
}

#[test]
fn mistakes_are_reported_and_no_diagnostic_shows_a_password() {
    for (yaml, expected) in [
        (
            "{listen: '127.0.0.1:1', password: my secret password}",
            "no hash of a password",
        ),
        ("{listen: '127.0.0.1:1', password: 'env:NOT_SET'}", "NOT_SET"),
        ("{listen: '127.0.0.1:1', password: [a]}", "a hash is text"),
        (
            "{listen: '127.0.0.1:1', password: '$pbkdf2-sha256$i=1,l=32$a$b'}",
            "no hash of a password",
        ),
        ("{password: env:HASH}", "there is no `admin.listen`"),
        ("{public_url: ops.example.com}", "is not a URL"),
        ("{public_url: 'http://ops.example.com'}", "is not `https`"),
        (
            "{public_url: 'https://ops.example.com/hookyard'}",
            "more than a scheme",
        ),
        (
            "{public_url: 'https://user@ops.example.com'}",
            "more than a scheme",
        ),
        ("{page: open}", "full"),
        ("{read_only_socket: ''}", "a socket is a path"),
        ("{read_only_socket: 5}", "a socket is a path"),
        ("{read_only_socket: {path: g.sock, mode: 660}}", "octal"),
        (
            "{socket: a.sock, read_only_socket: a.sock}",
            "the path of `socket`",
        ),
    ] {
        let (_, said) = compiled(yaml, false);
        assert!(said.len() == 1 && said[0].contains(expected), "{yaml}: {said:?}");
        assert!(!said[0].contains("my secret password"), "{said:?}");
    }
}
