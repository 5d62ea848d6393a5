//! TLS and HTTP/2 of the daemon itself: its certificate, the protocol versions, and a renewed
//! certificate.

use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Either, Full};
use hyper::body::{Body, Frame};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};
use tokio::task::JoinSet;

use crate::scenario::{Daemon, PATIENCE, Scenario, said};

pub type Authority = CertifiedIssuer<'static, KeyPair>;
pub type Stream = StreamOwned<ClientConnection, TcpStream>;

/// A certificate authority.
pub fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

pub struct Pair {
    pub cert: String,
    pub key: String,
    pub der: CertificateDer<'static>,
}

/// A certificate for `localhost`.
pub fn pair(authority: &Authority) -> Pair {
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    signed(authority, &params)
}

pub fn signed(authority: &Authority, params: &CertificateParams) -> Pair {
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    Pair {
        cert: certificate.pem(),
        key: key.serialize_pem(),
        der: certificate.der().clone(),
    }
}

/// A scenario with a certificate.
pub fn scene(pair: &Pair, rules: &str) -> Scenario {
    let scenario = Scenario::new()
        .file("cert.pem", &pair.cert)
        .file("key.pem", &pair.key);
    scenario.rules(rules)
}

/// An open endpoint, and these settings of the server.
pub fn open(server: &str) -> String {
    format!(
        "server: {{listen: 127.0.0.1:0, tls: {{cert: cert.pem, key: key.pem}}, {server}}}\nrules: [{{name: open, endpoint: /open, verify: none, actions: [append: open.jsonl]}}]\n"
    )
}

/// A client with these roots, versions and protocols.
pub fn client(
    authority: &Authority,
    versions: &[&'static SupportedProtocolVersion],
    alpn: &[&str],
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_protocol_versions(versions).unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    config
}

/// Opens a connection, with its handshake done.
pub fn connect(daemon: &Daemon, config: ClientConfig) -> std::io::Result<Stream> {
    secured(daemon.connect(), config)
}

/// Runs the handshake on a connection.
pub fn secured(mut socket: TcpStream, config: ClientConfig) -> std::io::Result<Stream> {
    let name = ServerName::try_from("localhost").unwrap();
    let mut session = ClientConnection::new(Arc::new(config), name).unwrap();
    while session.is_handshaking() {
        session.complete_io(&mut socket)?;
    }
    Ok(StreamOwned::new(session, socket))
}

/// A client that trusts the authority and speaks every version.
pub fn any(authority: &Authority) -> ClientConfig {
    client(authority, rustls::ALL_VERSIONS, &[])
}

/// The status of the response to a request on the connection.
pub fn post(stream: &mut Stream, path: &str) -> String {
    let request = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{{}}");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let mut piece = [0; 1024];
    while !answer.ends_with(b"}\n") {
        let count = stream.read(&mut piece).unwrap();
        assert_ne!(count, 0, "{}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&piece[..count]);
    }
    String::from_utf8_lossy(&answer)[9..12].to_owned()
}

/// The certificate that the daemon presents.
fn presented(daemon: &Daemon, authority: &Authority) -> CertificateDer<'static> {
    let stream = connect(daemon, any(authority)).unwrap();
    stream.conn.peer_certificates().unwrap()[0].clone().into_owned()
}

#[test]
fn it_speaks_tls_1_2_and_1_3_and_http_1_1() {
    let (ca, rules) = (authority(), open("request_timeout: 20s"));
    let daemon = scene(&pair(&ca), &rules).start();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        for alpn in [&[][..], &["http/1.1"]] {
            let mut stream = connect(&daemon, client(&ca, &[version], alpn)).unwrap();
            assert_eq!(stream.conn.protocol_version(), Some(version.version));
            assert_eq!(post(&mut stream, "/open"), "200");
            assert_eq!(post(&mut stream, "/none"), "404");
        }
    }
    // No common protocol.
    assert!(connect(&daemon, client(&ca, rustls::ALL_VERSIONS, &["smtp"])).is_err());
    // Another authority.
    assert!(connect(&daemon, any(&authority())).is_err());
}

#[test]
fn older_versions_are_refused_by_their_alert() {
    let daemon = scene(&pair(&authority()), &open("request_timeout: 20s")).start();
    // A ClientHello (RFC 5246 §7.4.1.2) of SSL 3, TLS 1.0 and TLS 1.1, with two suites of their
    // time.
    for minor in [0, 1, 2] {
        let mut hello = vec![3, minor];
        hello.extend_from_slice(&[7; 32]);
        hello.extend_from_slice(&[0, 0, 4, 0xc0, 0x13, 0x00, 0x2f, 1, 0]);
        let length = u8::try_from(hello.len()).unwrap();
        let mut record = vec![22, 3, 1, 0, length + 4, 1, 0, 0, length];
        record.extend_from_slice(&hello);
        let mut stream = daemon.connect();
        stream.write_all(&record).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        // A fatal alert: protocol_version or handshake_failure.
        assert_eq!((answer[0], answer[5]), (21, 2), "{minor}: {answer:?}");
        assert!([70, 40].contains(&answer[6]), "{minor}: {answer:?}");
    }
}

#[test]
fn who_does_not_shake_hands_is_cut_off() {
    let ca = authority();
    let daemon = scene(&pair(&ca), &open("request_timeout: 1s, max_connections: 2")).start();
    let begun = Instant::now();
    let mut silent = daemon.connect();
    let mut half = daemon.connect();
    half.write_all(&[22, 3, 1, 0, 200, 1, 0]).unwrap();
    for stream in [&mut silent, &mut half] {
        let mut rest = Vec::new();
        drop(stream.read_to_end(&mut rest));
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    }
    for _ in 0..60 {
        let mut plain = daemon.connect();
        plain
            .write_all(b"POST /open HTTP/1.1\r\nHost: h\r\n\r\n")
            .unwrap();
        let mut answer = Vec::new();
        drop(plain.read_to_end(&mut answer));
        assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    }
    assert_eq!(post(&mut connect(&daemon, any(&ca)).unwrap(), "/open"), "200");
    daemon.eventually("what is no handshake is noted", || {
        daemon.log().contains("TLS handshake")
    });
    let lines = daemon.log().matches("TLS handshake").count();
    assert!(lines < 50, "and not each for itself: {}", daemon.log());
}

#[test]
fn what_cannot_be_asked_of_an_authority_is_found() {
    let found = |acme: &str| {
        let rules = format!("server: {{tls: {acme}}}\nrules: []\n");
        let output = Scenario::new().rules(&rules).hookyard(&["check", "rules.yaml"]);
        (output.status.code(), said(&output))
    };
    for (acme, expected) in [
        ("{acme: yes please}", "`acme` is a mapping"),
        ("{acme: {agree_tos: true}}", "`domains` is missing"),
        (
            "{acme: {domains: [], agree_tos: true}}",
            "a certificate is for 1 to 100 names",
        ),
        (
            "{acme: {domains: a.test}}",
            "the authority issues nothing unless its terms are agreed to",
        ),
        (
            "{acme: {domains: a.test, agree_tos: false}}",
            "write `agree_tos: true`",
        ),
        (
            "{acme: {domains: '*.a.test', agree_tos: true}}",
            "a wildcard cannot be proved",
        ),
        (
            "{acme: {domains: 192.0.2.7, agree_tos: true}}",
            "a name, not an address",
        ),
        (
            "{acme: {domains: a.test, agree_tos: true, contact: ops}}",
            "a contact is an address of mail",
        ),
        (
            "{acme: {domains: a.test, agree_tos: true, directory: 'http://a.test'}}",
            "an `https` URL",
        ),
        (
            "{acme: {domains: a.test, agree_tos: true, ca: none.pem}}",
            "cannot read",
        ),
        (
            "{acme: {domains: a.test, agree_tos: true, eab: {kid: x}}}",
            "`key` is missing",
        ),
        (
            "{acme: {domains: a.test, agree_tos: true, eab: {kid: x, key: '???'}}}",
            "the key is not base64url",
        ),
        (
            "{acme: {domains: a.test, agree_tos: true, domain: b.test}}",
            "did you mean `domains`",
        ),
        (
            "{cert: cert.pem, acme: {domains: a.test, agree_tos: true}}",
            "either `acme` or `cert`",
        ),
    ] {
        let (code, text) = found(acme);
        assert!(code == Some(1) && text.contains(expected), "{acme}: {text}");
        assert!(text.contains("rules.yaml:1:"), "{text}");
    }
    let (code, text) = found("{acme: {domains: [a.test, A.test], agree_tos: true}}");
    assert!(code == Some(0) && text.contains("stands there twice"), "{text}");
}

#[test]
fn the_operator_sees_until_when_the_certificate_is_valid() {
    let ca = authority();
    let daemon = scene(&pair(&ca), &open("request_timeout: 20s")).start();
    let check = |arguments: &[&str]| {
        let output = daemon.scenario.hookyard(&[&["status"], arguments].concat());
        (output.status.code(), said(&output))
    };
    let rules = ["--rules", "rules.yaml"];
    let (_, text) = check(&rules);
    assert!(text.contains("certificate: valid until 4096-01-01T"), "{text}");
    assert_eq!(
        check(&["--rules", "rules.yaml", "--check"]),
        (Some(0), "ok\n".into())
    );
    // A certificate for three months that ends in a week.
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let now = time::OffsetDateTime::now_utc();
    (params.not_before, params.not_after) = (now - time::Duration::days(83), now + time::Duration::days(7));
    let ending = signed(&ca, &params);
    std::fs::write(daemon.folder().join("key.pem"), &ending.key).unwrap();
    std::fs::write(daemon.folder().join("cert.pem"), &ending.cert).unwrap();
    daemon.eventually("it is in force, and not well", || {
        let (code, text) = check(&["--rules", "rules.yaml", "--check"]);
        code == Some(1) && text.contains("the certificate expires at ")
    });
    let metrics = crate::status::metrics(&daemon);
    let until = params.not_after.unix_timestamp();
    assert!(
        metrics.contains(&format!(
            "\nhookyard_certificate_expiry_timestamp_seconds {until}.0\n"
        )),
        "{metrics}"
    );
}

/// Points a link to another target, as certbot does.
fn relink(folder: &Path, name: &str, target: &str) {
    let fresh = folder.join(format!("{name}.new"));
    std::os::unix::fs::symlink(target, &fresh).unwrap();
    std::fs::rename(fresh, folder.join(name)).unwrap();
}

#[test]
fn a_renewed_certificate_is_taken_up_and_a_bad_one_is_not() {
    let ca = authority();
    let [first, second, third] = [pair(&ca), pair(&ca), pair(&ca)];
    let rules = open("request_timeout: 20s")
        .replace("cert: ", "cert: live/")
        .replace("key: ", "key: live/");
    let scenario = Scenario::new()
        .file("archive/cert1.pem", &first.cert)
        .file("archive/key1.pem", &first.key)
        .file("archive/cert2.pem", &second.cert)
        .file("archive/key2.pem", &second.key)
        .rules(&rules);
    let live = scenario.folder().join("live");
    std::fs::create_dir(&live).unwrap();
    relink(&live, "cert.pem", "../archive/cert1.pem");
    relink(&live, "key.pem", "../archive/key1.pem");
    let daemon = scenario.start();
    assert_eq!(presented(&daemon, &ca), first.der);
    let mut kept = connect(&daemon, any(&ca)).unwrap();
    assert_eq!(post(&mut kept, "/open"), "200");
    // The links, one after the other.
    relink(&live, "cert.pem", "../archive/cert2.pem");
    relink(&live, "key.pem", "../archive/key2.pem");
    daemon.eventually("the second is presented", || {
        presented(&daemon, &ca) == second.der
    });
    assert_eq!(post(&mut kept, "/open"), "200");
    // A certificate that does not match its key.
    std::fs::write(daemon.folder().join("archive/cert2.pem"), &third.cert).unwrap();
    daemon.eventually("it is refused", || {
        let log = daemon.log();
        log.contains("the key does not fit the certificate in `cert`")
            && log.contains("the rules in force stay")
    });
    assert_eq!(presented(&daemon, &ca), second.der);
    std::fs::write(daemon.folder().join("archive/cert2.pem"), "-----BEGIN CERT").unwrap();
    daemon.eventually("it is refused", || daemon.log().contains("it is not PEM"));
    assert_eq!(presented(&daemon, &ca), second.der);
    // Then a matching one, in place.
    std::fs::write(daemon.folder().join("archive/cert2.pem"), &third.cert).unwrap();
    std::fs::write(daemon.folder().join("archive/key2.pem"), &third.key).unwrap();
    daemon.eventually("the third is presented", || presented(&daemon, &ca) == third.der);
    assert_eq!(post(&mut kept, "/open"), "200");
}

#[test]
fn an_address_may_do_without_and_leaving_tls_takes_a_restart() {
    let ca = authority();
    let rules = open("request_timeout: 20s").replace(
        "listen: 127.0.0.1:0",
        "listen: [127.0.0.1:0, {address: '127.0.0.1:0', tls: false}]",
    );
    let daemon = scene(&pair(&ca), &rules).start();
    let log = daemon.log();
    let (_, plain) = log.split_once("http://").unwrap();
    let plain = plain.split('"').next().unwrap().parse().unwrap();
    let sending = crate::scenario::Sending::to(plain, "POST", "/open");
    assert_eq!(sending.json("{}").send().status, 200);
    assert_eq!(post(&mut connect(&daemon, any(&ca)).unwrap(), "/open"), "200");
    daemon.rewrite("server: {listen: 127.0.0.1:0}\nrules: [{name: open, endpoint: /open, verify: none, actions: [append: open.jsonl]}]\n");
    assert_eq!(post(&mut connect(&daemon, any(&ca)).unwrap(), "/open"), "200");
    daemon.eventually("it says so", || {
        daemon.log().contains("key=\"server.tls\"") && daemon.log().contains("at the next restart only")
    });
}

#[test]
fn what_is_wrong_with_a_certificate_is_found() {
    let ca = authority();
    let [one, other] = [pair(&ca), pair(&ca)];
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let expired = signed(&ca, &params);
    let found = |tls: &str| {
        let rules = format!("server: {{{tls}}}\nrules: []\n");
        let scenario = Scenario::new()
            .file("cert.pem", &one.cert)
            .file("key.pem", &one.key)
            .file("other.key", &other.key)
            .file("old.pem", &expired.cert)
            .file("old.key", &expired.key)
            .file("empty.pem", "\n# nothing\n")
            .rules(&rules);
        let output = scenario.hookyard(&["check", "rules.yaml"]);
        (output.status.code(), said(&output))
    };
    for (tls, code, expected) in [
        (
            "tls: {cert: cert.pem, key: other.key}",
            1,
            "the key does not fit the certificate",
        ),
        ("tls: {cert: cert.pem}", 1, "`key` is missing"),
        ("tls: {cert: none.pem, key: key.pem}", 1, "cannot read"),
        (
            "tls: {cert: empty.pem, key: key.pem}",
            1,
            "there is no certificate in it",
        ),
        (
            "tls: {cert: cert.pem, key: empty.pem}",
            1,
            "there is no private key in it",
        ),
        (
            "tls: {cert: cert.pem, key: key.pem, client_ca: empty.pem}",
            1,
            "there is no certificate in it",
        ),
        (
            "tls: {cert: cert.pem, key: key.pem, ciphers: x}",
            1,
            "unknown key `ciphers`",
        ),
        ("tls: yes", 1, "`tls` is a mapping"),
        (
            "tls: {cert: old.pem, key: old.key}",
            0,
            "the certificate expired at 2020-01-01",
        ),
        (
            "tls: {cert: cert.pem, key: key.pem}, listen: 'unix:/run/x'",
            0,
            "no address is served with it",
        ),
        (
            "listen: {address: '127.0.0.1:0', tls: true}",
            1,
            "there is no certificate to serve it with",
        ),
        (
            "listen: {address: 'unix:/run/x', tls: false}",
            1,
            "a unix socket is never served with TLS",
        ),
    ] {
        let (status, said) = found(tls);
        assert!(
            said.contains(expected) && status == Some(code),
            "{tls}: {status:?} {said}"
        );
    }
}

/// A key of an unsupported type, from `openssl genpkey -algorithm ed448`.
const ED448: &str = "-----BEGIN PRIVATE KEY-----\n\
MEcCAQAwBQYDK2VxBDsEOeZf6yjj6fAOVZrEu5mohe0Al+MAGndCas4t0rJiX2kI\n\
gFaYdN4VYzSlONubZ7aAh8WomKlbh8MSEw==\n\
-----END PRIVATE KEY-----\n\n";

#[test]
fn a_certificate_in_another_form_or_order_is_told_what_would_help() {
    let ca = authority();
    let one = pair(&ca);
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, "a client");
    let (root, other) = (ca.pem(), signed(&ca, &params));
    let found = |tls: &str| {
        let scenario = Scenario::new()
            .file("cert.pem", &one.cert)
            .file("key.pem", &one.key)
            .file("other.pem", &other.cert)
            .file("other.key", &other.key)
            .file("chain.pem", format!("{}{root}", one.cert))
            .file("turned.pem", format!("{root}{}", one.cert))
            .file("broken.pem", format!("{}{}{root}", one.cert, other.cert))
            .file("mark.pem", format!("\u{feff}{}", one.cert))
            .file("mark.key", format!("\u{feff}{}", one.key))
            .file("ed448.key", ED448)
            .file("locked.key", one.key.replace("PRIVATE", "ENCRYPTED PRIVATE"))
            .rules(&format!("server: {{tls: {tls}}}\nrules: []\n"));
        std::fs::write(scenario.folder().join("cert.der"), &one.der).unwrap();
        let output = scenario.hookyard(&["check", "rules.yaml"]);
        (output.status.code(), said(&output))
    };
    // The warning is about a world-readable key.
    let fine = "rules.yaml loads: 0 endpoints, 0 rules, 1 warning\n";
    for (tls, code, expected) in [
        ("{cert: chain.pem, key: key.pem}", 0, fine),
        ("{cert: mark.pem, key: mark.key, client_ca: mark.pem}", 0, fine),
        (
            "{cert: turned.pem, key: key.pem}",
            1,
            "it fits certificate 2 in that file",
        ),
        (
            "{cert: broken.pem, key: key.pem}",
            0,
            "the chain in it breaks off: certificate 1 was signed by",
        ),
        (
            "{cert: other.pem, key: other.key}",
            0,
            "the certificate is not for servers",
        ),
        ("{cert: cert.der, key: key.pem}", 1, "it is DER, not PEM"),
        (
            "{cert: cert.pem, key: key.pem, client_ca: cert.der}",
            1,
            "openssl x509 -inform der",
        ),
        (
            "{cert: cert.pem, key: locked.key}",
            1,
            "the private key in it is encrypted",
        ),
        ("{cert: cert.pem, key: ed448.key}", 1, "RSA of 2048 to 8192 bits"),
    ] {
        let (status, said) = found(tls);
        assert!(
            said.contains(expected) && status == Some(code),
            "{tls}: {status:?} {said}"
        );
    }
}

#[test]
fn the_proxy_protocol_comes_before_tls() {
    let ca = authority();
    let rules =
        open("request_timeout: 2s, proxy_protocol: 127.0.0.1") + "endpoints: {/open: {allow: 192.0.2.7}}\n";
    let daemon = scene(&pair(&ca), &rules).start();
    let through = |head: &[u8]| {
        let mut socket = daemon.connect();
        socket.write_all(head).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut session = ClientConnection::new(Arc::new(any(&ca)), name).unwrap();
        while session.is_handshaking() {
            session.complete_io(&mut socket)?;
        }
        Ok::<_, std::io::Error>(post(&mut StreamOwned::new(session, socket), "/open"))
    };
    assert_eq!(
        through(b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n").unwrap(),
        "200"
    );
    assert_eq!(
        through(b"PROXY TCP4 192.0.2.8 198.51.100.1 4711 443\r\n").unwrap(),
        "403"
    );
    let second = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\xc6\x33\x64\x01\x12\x67\x01\xbb";
    assert_eq!(through(second).unwrap(), "200");
    // A peer that sends no PROXY header, or only the beginning, is disconnected.
    assert!(through(b"").is_err());
    let begun = Instant::now();
    let mut half = daemon.connect();
    half.write_all(b"PROXY TCP4 192.").unwrap();
    let mut rest = Vec::new();
    drop(half.read_to_end(&mut rest));
    assert!(rest.is_empty() && begun.elapsed() < Duration::from_secs(15));
    daemon.eventually("the log says so", || {
        daemon.log().matches("PROXY protocol").count() >= 2
    });
    // From any other peer, a PROXY header is rejected.
    daemon.rewrite(&rules.replace("proxy_protocol: 127.0.0.1", "proxy_protocol: 192.0.2.1"));
    assert!(through(b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n").is_err());
    assert_eq!(through(b"").unwrap(), "403");
}

#[test]
fn a_peer_that_was_let_in_before_the_daemon_stops_comes_to_its_request() {
    // The daemon allows a second for this. A busy machine gets further tries.
    let statuses = (0..5).find_map(|_| finished_late().ok()).unwrap();
    assert_eq!(statuses, ["200", "200"]);
}

/// Responses to two connections when the daemon begins to stop: one has sent half of its PROXY
/// header, one has not begun its handshake.
fn finished_late() -> std::io::Result<[String; 2]> {
    let ca = authority();
    let daemon = scene(
        &pair(&ca),
        &open("request_timeout: 20s, proxy_protocol: 127.0.0.1"),
    )
    .start();
    let (begun, rest) = ("PROXY TCP4 192.0.2.7 ", "198.51.100.1 4711 443\r\n");
    let (mut half, mut whole) = (daemon.connect(), daemon.connect());
    half.write_all(begun.as_bytes())?;
    whole.write_all(format!("{begun}{rest}").as_bytes())?;
    std::thread::sleep(Duration::from_millis(300));
    daemon.signal("TERM");
    daemon.eventually("it stops", || daemon.log().contains("stopping"));
    half.write_all(rest.as_bytes())?;
    let status = |mut socket: TcpStream| {
        let name = ServerName::try_from("localhost").unwrap();
        let mut session = ClientConnection::new(Arc::new(any(&ca)), name).unwrap();
        while session.is_handshaking() {
            session.complete_io(&mut socket)?;
        }
        let mut stream = StreamOwned::new(session, socket);
        stream.write_all(b"POST /open HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}")?;
        let mut head = [0; 12];
        stream.read_exact(&mut head)?;
        std::io::Result::Ok(String::from_utf8_lossy(&head[9..]).into_owned())
    };
    Ok([status(half)?, status(whole)?])
}

/// A body in chunks, with the number of chunks left. Each has the size of the initial window.
struct Chunks(Arc<AtomicUsize>);

impl Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let left = self.0.load(Ordering::Relaxed);
        if left == 0 {
            return Poll::Ready(None);
        }
        self.0.store(left - 1, Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(vec![b'x'; 256 << 10])))))
    }
}

/// A client of HTTP/2.
struct Second {
    runtime: tokio::runtime::Runtime,
    sender: http2::SendRequest<Either<Full<Bytes>, Chunks>>,
    connection: JoinSet<hyper::Result<()>>,
}

impl Second {
    fn new(daemon: &Daemon, authority: &Authority) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let config = Arc::new(client(authority, rustls::ALL_VERSIONS, &["h2", "http/1.1"]));
        let (sender, connection) = runtime.block_on(async {
            let socket = tokio::net::TcpStream::connect(daemon.address).await.unwrap();
            let name = ServerName::try_from("localhost").unwrap();
            let stream = tokio_rustls::TlsConnector::from(config)
                .connect(name, socket)
                .await
                .unwrap();
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder.max_header_list_size(1 << 20);
            let (sender, driven) = builder.handshake(TokioIo::new(stream)).await.unwrap();
            let mut connection = JoinSet::new();
            connection.spawn(driven);
            (sender, connection)
        });
        Self {
            runtime,
            sender,
            connection,
        }
    }

    /// Sends a request. Returns status, word and headers of the response.
    fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<(u16, String, http::HeaderMap), hyper::Error> {
        let sending = self.sender.send_request(request.map(Either::Left));
        self.runtime.block_on(async {
            let answer = sending.await?;
            let (head, body) = answer.into_parts();
            let body = body.collect().await?.to_bytes();
            let body: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
            let word = body["status"].as_str().unwrap_or_default().to_owned();
            Ok((head.status.as_u16(), word, head.headers))
        })
    }

    fn post(&mut self, path: &str, body: impl Into<Bytes>) -> (u16, String) {
        let (status, word, _) = self
            .send(second_post(path).body(Full::new(body.into())).unwrap())
            .unwrap();
        (status, word)
    }

    /// The status of a request whose unwanted body is still read to its end.
    fn waved_off(&mut self, path: &str) -> u16 {
        let left = Arc::new(AtomicUsize::new(8));
        let body = Either::Right(Chunks(Arc::clone(&left)));
        let sending = self.sender.send_request(second_post(path).body(body).unwrap());
        let answer = self.runtime.block_on(sending).unwrap();
        assert_eq!(left.load(Ordering::Relaxed), 0, "{path}: chunks not taken");
        answer.status().as_u16()
    }

    /// Time until the daemon closes the connection.
    fn ended(&mut self) -> Duration {
        let begun = Instant::now();
        let ending = async { tokio::time::timeout(PATIENCE, self.connection.join_next()).await };
        let ended = self.runtime.block_on(ending);
        assert!(ended.is_ok(), "it is still open");
        begun.elapsed()
    }
}

fn second_post(path: &str) -> http::request::Builder {
    Request::post(format!("https://localhost{path}")).header("content-type", "application/json")
}

#[test]
fn it_speaks_http_2_within_the_same_bounds() {
    let ca = authority();
    let daemon = scene(&pair(&ca), &open("request_timeout: 20s, max_body: 1KiB")).start();
    let mut second = Second::new(&daemon, &ca);
    assert_eq!(second.post("/open", "{}"), (200, "accepted".into()));
    assert_eq!(second.post("/none", "{}").0, 404);
    // Also if its length is not announced.
    let large = second.post("/open", vec![b'x'; 2000]);
    assert_eq!(large, (413, "too large".into()));
    assert_eq!(second.waved_off("/none"), 404);
    assert_eq!(second.waved_off("/open"), 413);
    let (status, _, headers) = second
        .send(
            Request::get("https://localhost/open")
                .body(Full::default())
                .unwrap(),
        )
        .unwrap();
    assert_eq!(
        (status, headers["allow"].to_str().unwrap()),
        (405, "POST, OPTIONS")
    );
    assert!(!headers.contains_key("connection"));
    // The same maximum head size as in HTTP/1.
    let long = |size: usize| {
        second_post("/open")
            .header("x-long", "a".repeat(size))
            .body(Full::new(Bytes::from("{}")))
            .unwrap()
    };
    assert_eq!(second.send(long(50_000)).unwrap().0, 200);
    assert_eq!(second.send(long(70_000)).map_or(431, |answer| answer.0), 431);
    // `Host` beside `:authority` is allowed if both are equal.
    let mut second = Second::new(&daemon, &ca);
    let mut beside = |host: &str| {
        second
            .send(
                second_post("/open")
                    .header("host", host)
                    .body(Full::new(Bytes::from("{}")))
                    .unwrap(),
            )
            .unwrap()
            .0
    };
    assert_eq!(
        [beside("localhost"), beside("LocalHost"), beside("other")],
        [200, 200, 400]
    );
    // The same maximum number of fields as in HTTP/1.
    let fields = |count: usize| {
        let request = second_post("/open");
        let request = (1..count).fold(request, |request, number| {
            request.header(format!("x-{number}"), "y")
        });
        request.body(Full::new(Bytes::from("{}"))).unwrap()
    };
    let too_many = second.send(fields(101)).unwrap();
    assert_eq!((too_many.0, too_many.1.as_str()), (431, "too large"));
    assert_eq!(second.send(fields(99)).unwrap().0, 200);
    daemon.eventually("they are taken", || daemon.lines("open.jsonl") >= 3);
    // Every event has a `Host` header, in every HTTP version.
    assert!(
        daemon
            .read("open.jsonl")
            .lines()
            .next()
            .unwrap()
            .contains("\"host\":\"localhost\""),
        "{}",
        daemon.read("open.jsonl")
    );
}

#[test]
fn an_idle_connection_of_http_2_is_ended() {
    let ca = authority();
    let daemon = scene(&pair(&ca), &open("request_timeout: 1s, max_connections: 1")).start();
    let mut second = Second::new(&daemon, &ca);
    assert_eq!(second.post("/open", "{}").0, 200);
    assert!(second.ended() < Duration::from_secs(15));
    // The slot is free again.
    assert_eq!(post(&mut connect(&daemon, any(&ca)).unwrap(), "/open"), "200");
}

#[test]
fn a_handshake_that_is_under_way_comes_to_its_request_while_the_daemon_stops() {
    let ca = authority();
    let daemon = scene(&pair(&ca), &open("request_timeout: 20s, stop_grace: 20s")).start();
    let mut socket = daemon.connect();
    let mut session =
        ClientConnection::new(Arc::new(any(&ca)), ServerName::try_from("localhost").unwrap()).unwrap();
    let mut hello = Vec::new();
    session.write_tls(&mut hello).unwrap();
    let (first, rest) = hello.split_at(20);
    socket.write_all(first).unwrap();
    // Until the connection is accepted.
    std::thread::sleep(Duration::from_millis(300));
    daemon.signal("TERM");
    daemon.eventually("it stops", || daemon.log().contains("stopping"));
    socket.write_all(rest).unwrap();
    while session.is_handshaking() {
        session.complete_io(&mut socket).unwrap();
    }
    assert_eq!(post(&mut StreamOwned::new(session, socket), "/open"), "200");
}

#[test]
fn requests_of_http_2_are_answered_while_the_daemon_stops() {
    let ca = authority();
    let rules = open("request_timeout: 20s, stop_grace: 20s").replace(
        "actions: [append: open.jsonl]",
        "respond: {wait: 20s}, actions: [run: [./work]]",
    );
    let mut daemon = scene(&pair(&ca), &rules)
        .script("work", "echo >> begun; sleep 2")
        .start();
    let mut second = Second::new(&daemon, &ca);
    let sending = second.sender.send_request(
        second_post("/open")
            .body(Either::Left(Full::new(Bytes::from("{}"))))
            .unwrap(),
    );
    let answer = second.runtime.spawn(sending);
    // Until the connection is closed.
    second.runtime.block_on(async {
        while daemon.lines("begun") == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    daemon.signal("TERM");
    let answer = second.runtime.block_on(answer).unwrap().unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(second.ended() < Duration::from_secs(15));
    assert_eq!(daemon.stop(), Some(0));
}
