//! Client certificates: the senders that are accepted by them, and their expiry.

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

use rcgen::CertificateParams;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, HandshakeKind, RootCertStore, SupportedProtocolVersion};

use crate::scenario::{Daemon, said};
use crate::tls::{Authority, Pair, Stream, any, authority, connect, pair, post, scene, signed};

/// An endpoint for the certificate `ci.internal`, and an open one.
const RULES: &str = "
server: {listen: 127.0.0.1:0, tls: {cert: cert.pem, key: key.pem, client_ca: clients.pem}}
rules:
  - {name: ci, endpoint: /ci, verify: {client_cert: {san: ci.internal}}, actions: [append: ci.jsonl]}
  - {name: open, endpoint: /open, verify: none, actions: [append: open.jsonl]}
";

/// A certificate for this name.
fn named(clients: &Authority, name: &str) -> Pair {
    signed(clients, &CertificateParams::new(vec![name.to_owned()]).unwrap())
}

/// A client that presents a certificate.
fn presenting(ca: &Authority, own: &Pair) -> ClientConfig {
    speaking(ca, own, rustls::ALL_VERSIONS)
}

fn speaking(ca: &Authority, own: &Pair, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(ca.der().clone()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_protocol_versions(versions).unwrap();
    let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap();
    builder
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![own.der.clone()], key)
        .unwrap()
}

/// True if a client is rejected before its request is answered. With TLS 1.3, a client learns about
/// its certificate only at the first answer.
fn is_sent_away(daemon: &Daemon, config: ClientConfig) -> bool {
    let sent = connect(daemon, config).and_then(|mut stream| {
        stream.write_all(b"POST /ci HTTP/1.1\r\nHost: h\r\n\r\n")?;
        stream.read(&mut [0; 1])
    });
    matches!(sent, Err(_) | Ok(0))
}

/// True if the daemon has closed the connection.
fn is_over(stream: &mut Stream) -> bool {
    matches!(stream.read(&mut [0; 1]), Ok(0) | Err(_))
}

#[test]
fn a_sender_is_known_by_its_certificate() {
    let [ca, clients, others] = [authority(), authority(), authority()];
    let daemon = scene(&pair(&ca), RULES)
        .file("clients.pem", clients.pem())
        .start();
    let mut known = connect(&daemon, presenting(&ca, &named(&clients, "ci.internal"))).unwrap();
    assert_eq!(post(&mut known, "/ci"), "200");
    let mut other = connect(&daemon, presenting(&ca, &named(&clients, "web.internal"))).unwrap();
    assert_eq!(
        (post(&mut other, "/ci"), post(&mut other, "/open")),
        ("403".into(), "200".into())
    );
    let mut without = connect(&daemon, any(&ca)).unwrap();
    assert_eq!(
        (post(&mut without, "/ci"), post(&mut without, "/open")),
        ("403".into(), "200".into())
    );
    // Signed by an untrusted authority.
    assert!(is_sent_away(
        &daemon,
        presenting(&ca, &named(&others, "ci.internal"))
    ));
    daemon.eventually("the log says why", || {
        let log = daemon.log();
        log.contains("the certificate of the client is not asked for")
            && log.contains("the client has presented no certificate")
            && log.contains("TLS handshake")
    });
    // Without an authority, no client can present a certificate.
    let alone = RULES.replace(", client_ca: clients.pem", "");
    let output = scene(&pair(&ca), &alone).hookyard(&["check", "rules.yaml"]);
    let said = said(&output);
    assert!(
        said.contains("no client is asked for the certificate that `/ci` requires"),
        "{said}"
    );
}

#[test]
fn a_certificate_that_has_expired_is_let_in_by_no_kept_connection_and_no_saved_session() {
    let [ca, clients] = [authority(), authority()];
    let daemon = scene(&pair(&ca), RULES)
        .file("clients.pem", clients.pem())
        .start();
    let mut params = CertificateParams::new(vec!["ci.internal".to_owned()]).unwrap();
    let until = time::OffsetDateTime::now_utc() + time::Duration::seconds(6);
    params.not_after = until;
    let own = signed(&clients, &params);
    let configs = [&rustls::version::TLS12, &rustls::version::TLS13].map(|one| speaking(&ca, &own, &[one]));
    let mut kept: Vec<Stream> = Vec::new();
    for config in configs.iter().chain(&configs) {
        let mut stream = connect(&daemon, config.clone()).unwrap();
        assert_eq!(post(&mut stream, "/ci"), "200");
        assert_eq!(stream.conn.handshake_kind(), Some(HandshakeKind::Full));
        kept.push(stream);
    }
    let left = until - time::OffsetDateTime::now_utc();
    std::thread::sleep(Duration::try_from(left).unwrap() + Duration::from_secs(1));
    for stream in &mut kept {
        let statuses = [post(stream, "/ci"), post(stream, "/open")];
        assert_eq!(statuses, ["403", "200"]);
    }
    for config in configs {
        assert!(is_sent_away(&daemon, config));
    }
    daemon.eventually("the log says why", || {
        daemon.log().contains("the certificate of the client expired at ")
    });
}

#[test]
fn a_session_is_resumed_where_nobody_is_asked_for_a_certificate() {
    let ca = authority();
    let daemon = scene(&pair(&ca), &crate::tls::open("request_timeout: 20s")).start();
    let config = any(&ca);
    for expected in [HandshakeKind::Full, HandshakeKind::Resumed] {
        let mut stream = connect(&daemon, config.clone()).unwrap();
        assert_eq!(post(&mut stream, "/open"), "200");
        assert_eq!(stream.conn.handshake_kind(), Some(expected));
    }
}

#[test]
fn an_authority_that_is_thrown_out_vouches_for_nobody_from_the_reload_on() {
    let [ca, clients, others] = [authority(), authority(), authority()];
    let daemon = scene(&pair(&ca), RULES)
        .file("clients.pem", clients.pem())
        .start();
    let trust = |authorities: &[&Authority]| {
        let reloads = daemon.log().matches(" reloaded ").count();
        let pem: String = authorities.iter().map(|authority| authority.pem()).collect();
        std::fs::write(daemon.folder().join("clients.pem"), pem).unwrap();
        daemon.eventually("the rules are reloaded", || {
            daemon.log().matches(" reloaded ").count() > reloads
        });
    };
    let [first, second] = [named(&clients, "ci.internal"), named(&others, "ci.internal")];
    let mut kept = connect(&daemon, presenting(&ca, &first)).unwrap();
    let mut without = connect(&daemon, any(&ca)).unwrap();
    assert_eq!(post(&mut kept, "/ci"), "200");
    assert_eq!(post(&mut without, "/open"), "200");
    // A further authority does not change the known clients.
    trust(&[&clients, &others]);
    assert_eq!([post(&mut kept, "/ci"), post(&mut kept, "/ci")], ["200", "200"]);
    // After its authority is removed, a certificate counts as none, and a new handshake fails.
    trust(&[&others]);
    assert_eq!(post(&mut kept, "/ci"), "403");
    assert!(is_over(&mut kept));
    assert!(is_sent_away(&daemon, presenting(&ca, &first)));
    assert_eq!(post(&mut without, "/open"), "200");
    let mut other = connect(&daemon, presenting(&ca, &second)).unwrap();
    assert_eq!(post(&mut other, "/ci"), "200");
    let log = daemon.log();
    assert!(log.contains("no authority in force vouches for it now"), "{log}");
}

#[test]
fn a_certificate_that_nobody_can_have_is_found() {
    let found = |client_cert: &str| {
        let rules = RULES.replace("{san: ci.internal}", client_cert);
        let scenario = scene(&pair(&authority()), &rules).file("clients.pem", authority().pem());
        let output = scenario.hookyard(&["check", "rules.yaml"]);
        (output.status.code(), said(&output))
    };
    for (client_cert, expected) in [
        (
            "{subject: 'CM=ci,O=Acme'}",
            ["unknown attribute `CM`", "did you mean `CN`"],
        ),
        (
            "{subject: 'CN=ci,Organisation=Acme'}",
            ["unknown attribute `Organisation`", "known here: CN, SN"],
        ),
        (
            "{subject: 'O=Black+Decker'}",
            ["a subject is written `CN=ci,O=Acme`", "`+` is written `\\+`"],
        ),
        (
            "{subject: [CN=ci, 'CN=\\Z']}",
            ["a subject is written", "two hexadecimal digits"],
        ),
        (
            "{san: 'ci.internal:443'}",
            ["no certificate can hold this name", "without a port"],
        ),
        (
            "{fingerprint: abcd}",
            ["a fingerprint is 64 hexadecimal digits", "SHA-256"],
        ),
    ] {
        let (code, text) = found(client_cert);
        let told = expected.iter().all(|part| text.contains(part));
        assert!(code == Some(1) && told, "{client_cert}: {text}");
        assert!(text.contains("rules.yaml:4:"), "{text}");
    }
    for client_cert in [
        "{subject: 'emailAddress=ci@acme.example,street=x,uid=42,GN=g+SN=s,1.2.3=odd'}",
        "{san: ['2001:0DB8:0::7', 'spiffe://acme/ci', ci@acme.example]}",
    ] {
        let (code, text) = found(client_cert);
        assert_eq!(code, Some(0), "{client_cert}: {text}");
    }
}
