//! Tests of requests over HTTPS, against a real server: trusted roots and client certificates.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::*;

pub type Authority = CertifiedIssuer<'static, KeyPair>;

/// Creates a certificate authority.
pub fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Creates a certificate for `name` and its key, both as PEM.
fn signed(authority: &Authority, name: &str) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    (certificate.pem(), key.serialize_pem())
}

/// Server that answers 200. Demands a client certificate of `clients`, if there are any.
pub struct Server {
    pub address: SocketAddr,
    /// Number of accepted connections.
    pub connections: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Server {
    pub async fn new(authority: &Authority, clients: Option<&Authority>) -> Self {
        let key = KeyPair::generate().unwrap();
        let names = ["localhost", "127.0.0.1", "ci.internal"]
            .map(str::to_owned)
            .to_vec();
        let certificate = CertificateParams::new(names)
            .unwrap()
            .signed_by(&key, authority)
            .unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let config = match clients {
            None => config.with_no_client_auth(),
            Some(clients) => {
                let mut roots = RootCertStore::empty();
                roots.add(clients.der().clone()).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                config.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = config
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::Relaxed);
                let acceptor = acceptor.clone();
                connections.spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    let mut got = Vec::new();
                    let mut chunk = [0; 4096];
                    while let Ok(length @ 1..) = stream.read(&mut chunk).await {
                        got.extend_from_slice(&chunk[..length]);
                        if got.ends_with(b"\r\n\r\n{}") {
                            got.clear();
                            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
                            stream.write_all(answer).await.unwrap();
                        }
                    }
                });
            }
        });
        Self {
            address,
            connections,
            _tasks: tasks,
        }
    }
}

/// Creates a folder with these files in it.
pub fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    }
    folder
}

async fn forward(folder: &Path, yaml: &str) -> Outcome {
    let action = compile_in(folder, yaml).unwrap();
    let event = event(json!({}), &[]);
    ACTOR
        .perform(&action, &action_context(&event, &[]), CancellationToken::new())
        .await
}

#[tokio::test]
async fn a_target_is_trusted_by_its_authority_and_an_unknown_issuer_is_refused() {
    let (trusted, others) = (authority("ours"), authority("others"));
    let server = Server::new(&trusted, None).await;
    let folder = folder(&[("ca.pem", &trusted.pem()), ("other.pem", &others.pem())]);
    let port = server.address.port();
    for host in ["localhost", "127.0.0.1"] {
        let yaml = format!("{{forward: 'https://{host}:{port}/', tls: {{ca: ca.pem}}}}");
        let outcome = forward(folder.path(), &yaml).await;
        assert_eq!(outcome.verdict, Verdict::Done, "{}", outcome.detail);
        assert_eq!(outcome.output.stdout.bytes(), b"ok");
    }
    for tls in ["", ", tls: {ca: other.pem}"] {
        let yaml = format!("{{forward: 'https://localhost:{port}/'{tls}}}");
        let outcome = forward(folder.path(), &yaml).await;
        assert_eq!(outcome.verdict, Verdict::FAILED, "{tls}");
        assert!(
            outcome.detail.contains("UnknownIssuer")
                || outcome.detail.contains("no certificate can be trusted"),
            "{}",
            outcome.detail
        );
    }
}

#[tokio::test]
async fn a_name_that_is_not_in_the_certificate_is_refused() {
    let trusted = authority("ours");
    let server = Server::new(&trusted, None).await;
    let folder = folder(&[("ca.pem", &trusted.pem())]);
    let port = server.address.port();
    let yaml = format!("{{forward: 'https://127.0.0.2:{port}/', tls: {{ca: ca.pem}}}}");
    let outcome = forward(folder.path(), &yaml).await;
    assert_eq!(outcome.verdict, Verdict::FAILED);
}

#[tokio::test]
async fn a_client_certificate_is_presented_where_one_is_demanded() {
    let (trusted, clients) = (authority("ours"), authority("others"));
    let server = Server::new(&trusted, Some(&clients)).await;
    let (certificate, key) = signed(&clients, "hookyard");
    let folder = folder(&[
        ("ca.pem", &trusted.pem()),
        ("client.pem", &certificate),
        ("client.key", &key),
    ]);
    let url = format!("https://localhost:{}/", server.address.port());
    let with = format!("{{forward: '{url}', tls: {{ca: ca.pem, cert: client.pem, key: 'file:client.key'}}}}");
    let outcome = forward(folder.path(), &with).await;
    assert_eq!(outcome.verdict, Verdict::Done, "{}", outcome.detail);
    let without = format!("{{forward: '{url}', tls: {{ca: ca.pem}}}}");
    let outcome = forward(folder.path(), &without).await;
    assert_eq!(outcome.verdict, Verdict::FAILED);
    assert!(
        outcome.detail.to_lowercase().contains("certificate"),
        "{}",
        outcome.detail
    );
}

#[tokio::test]
async fn forwards_of_one_tls_setting_share_their_connections() {
    let trusted = authority("ours");
    let server = Server::new(&trusted, None).await;
    let folder = folder(&[("ca.pem", &trusted.pem()), ("again.pem", &trusted.pem())]);
    for ca in ["ca.pem", "again.pem", "ca.pem"] {
        let url = format!("https://localhost:{}/", server.address.port());
        let outcome = forward(folder.path(), &format!("{{forward: '{url}', tls: {{ca: {ca}}}}}")).await;
        assert_eq!(outcome.verdict, Verdict::Done, "{}", outcome.detail);
    }
    assert_eq!(server.connections.load(Ordering::Relaxed), 1);
}

#[test]
fn errors_in_tls_files_are_reported_at_load() {
    let trusted = authority("ours");
    let (certificate, _) = signed(&trusted, "a");
    let (_, key) = signed(&trusted, "b");
    let folder = folder(&[
        ("cert.pem", &certificate),
        ("other.key", &key),
        ("empty.pem", "nothing here\n"),
        (
            "torn.pem",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ),
        (
            "torn.key",
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        ),
    ]);
    for (tls, expected) in [
        ("{ca: none.pem}", &["r:1:36: cannot read"][..]),
        ("{ca: empty.pem}", &["r:1:36: there is no certificate in it"]),
        ("{ca: torn.pem}", &["r:1:36: a certificate in it cannot be used"]),
        ("{cert: cert.pem}", &["r:1:32: `key` is missing"]),
        ("{key: other.key}", &["r:1:32: `cert` is missing"]),
        (
            "{cert: cert.pem, key: other.key}",
            &["r:1:53: the key does not fit the certificate in `cert`"],
        ),
        (
            "{cert: cert.pem, key: cert.pem}",
            &["r:1:53: there is no private key in it"],
        ),
        (
            "{cert: cert.pem, key: torn.key}",
            &["r:1:53: the key cannot be used"],
        ),
        (
            "{ca: none.pem, cert: empty.pem, key: empty.pem}",
            &[
                "r:1:36: cannot read",
                "r:1:52: there is no certificate in it",
                "r:1:68: there is no private key in it",
            ],
        ),
        ("{ca: '{{ rule }}'}", &["r:1:36: the name of a PEM file is fixed"]),
        ("{}", &["r:1:26: `tls` holds neither"]),
        ("ca.pem", &["r:1:31: `tls` is a mapping"]),
        ("{verify: false}", &["r:1:32: unknown key `verify`"]),
    ] {
        let yaml = format!("{{forward: 'https://h/x', tls: {tls}}}");
        let faults = compile_in(folder.path(), &yaml).unwrap_err();
        assert_eq!(faults.len(), expected.len(), "{tls}: {faults:#?}");
        for (error, expected) in faults.iter().zip(expected) {
            assert!(error.starts_with(expected), "{tls}: {error} / {expected}");
        }
    }
    let faults = compile_in(folder.path(), "{forward: 'http://h/x', tls: {ca: cert.pem}}").unwrap_err();
    assert_eq!(faults, ["r:1:25: `tls` is about `https`, and the URL is none"]);
}
