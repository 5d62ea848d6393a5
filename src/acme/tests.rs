//! Renewer against a simulated authority. A real one is used by `tests/system/test_acme.py`.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use parking_lot::Mutex;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};
use tempfile::TempDir;
use time::OffsetDateTime;

use crate::acme::issued::ActiveCertificate;
use crate::acme::storage::{AcmeStorage, parse_certificate};
use crate::acme::{Acme, Issued, Renewer, RenewerHandle, Settings};
use crate::base::clock::{Clock, Timestamp};

const DAY: Duration = Duration::from_hours(24);

type Signer = CertifiedIssuer<'static, KeyPair>;

/// Authority that knows an account, suggests renewal times, and issues nothing.
struct Authority {
    directory: String,
    signer: Signer,
    /// Requests received: path, and the payload if it was signed.
    requests: Arc<Mutex<Vec<(String, Value)>>>,
}

/// Answer to an order, and the suggested renewal window, if any.
#[derive(Clone)]
struct Behaviour {
    /// URL for new values of `Replay-Nonce`.
    nonce: Option<&'static str>,
    order: &'static str,
    window: Option<(Timestamp, Timestamp)>,
}

impl Authority {
    fn new(behaviour: Behaviour) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let signer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let own = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let own = own.signed_by(&key, &signer).unwrap();
        let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![own.der().clone()], der)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("https://{}", listener.local_addr().unwrap());
        let requests = Arc::<Mutex<Vec<(String, Value)>>>::default();
        let (directory, recorded, config) = (format!("{base}/dir"), Arc::clone(&requests), Arc::new(config));
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                let session = ServerConnection::new(Arc::clone(&config)).unwrap();
                let mut stream = StreamOwned::new(session, socket.unwrap());
                // A client that has gone away is no failure of the test.
                drop(serve(&mut stream, &base, &behaviour, &recorded));
            }
        });
        Self {
            directory,
            signer,
            requests,
        }
    }

    /// Creates a certificate, valid for `days`, with its key.
    fn pem(&self, names: &[&str], from: OffsetDateTime, days: i64) -> String {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        (params.not_before, params.not_after) = (from, from + time::Duration::days(days));
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.signer).unwrap();
        format!("{}{}", key.serialize_pem(), certificate.pem())
    }

    /// Returns the requested paths, and the payload of the last order.
    fn requests(&self) -> (Vec<String>, Value) {
        let requests = self.requests.lock();
        let mut orders = requests.iter().rev().filter(|(path, _)| path == "/order");
        let last = orders.next().map(|(_, payload)| payload.clone());
        let paths = requests.iter().map(|(path, _)| path.clone()).collect();
        (paths, last.unwrap_or_default())
    }
}

/// Handles one request.
fn serve(
    stream: &mut StreamOwned<ServerConnection, std::net::TcpStream>,
    base: &str,
    behaviour: &Behaviour,
    recorded: &Mutex<Vec<(String, Value)>>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(&mut *stream);
    let (mut line, mut length) = (String::new(), 0);
    reader.read_line(&mut line)?;
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let signed: Value = serde_json::from_slice(&body).unwrap_or_default();
    let payload = signed["payload"].as_str().unwrap_or_default();
    let payload = BASE64URL_NOPAD.decode(payload.as_bytes()).unwrap();
    let payload = serde_json::from_slice(&payload).unwrap_or_default();
    recorded.lock().push((path.clone(), payload));
    let (status, body) = match path.as_str() {
        "/dir" => {
            let mut directory = json!({
                "newNonce": behaviour.nonce.map_or(format!("{base}/nonce"), str::to_owned), "newAccount": format!("{base}/account"),
                "newOrder": format!("{base}/order"), "revokeCert": format!("{base}/revoke"),
                "keyChange": format!("{base}/key"),
            });
            if behaviour.window.is_some() {
                directory["renewalInfo"] = format!("{base}/renewal").into();
            }
            ("200 OK", directory.to_string())
        }
        "/nonce" => ("200 OK", String::new()),
        "/account" => ("201 Created", json!({"status": "valid"}).to_string()),
        "/order" => behaviour
            .order
            .split_once('\n')
            .map(|(status, body)| (status, body.to_owned()))
            .unwrap(),
        path if path.starts_with("/renewal/") => {
            let (start, end) = behaviour.window.unwrap();
            let window = json!({"start": start.to_string(), "end": end.to_string()});
            ("200 OK", json!({"suggestedWindow": window}).to_string())
        }
        _ => ("404 Not Found", String::new()),
    };
    let kind = if body.starts_with('{') {
        "application/json"
    } else {
        "text/html"
    };
    let retry_after = if body.contains("plainly") {
        ""
    } else {
        "Retry-After: 7200\r\n"
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nReplay-Nonce: bm9uY2U\r\n{retry_after}Location: {base}/account/1\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )?;
    stream.flush()?;
    stream.conn.send_close_notify();
    stream.flush()
}

const REFUSED: &str = "403 Forbidden\n{\"type\": \"urn:ietf:params:acme:error:rejectedIdentifier\", \"detail\": \"not for you\"}";

/// The same answer without `Retry-After`.
const REFUSED_PLAINLY: &str =
    "403 Forbidden\n{\"type\": \"urn:ietf:params:acme:error:unauthorized\", \"detail\": \"plainly\"}";

/// Renewer with a stored certificate of 90 days, some days after it was issued.
struct Setup {
    authority: Authority,
    renewer: Renewer,
    handle: Arc<RenewerHandle>,
    acme: Acme,
    clock: Clock,
    /// Time at which the certificate was issued.
    issued: Timestamp,
    folder: TempDir,
}

impl Setup {
    fn new(order: &'static str, window: Option<(u32, u32)>, age: u32) -> Self {
        Self::with(order, window, age, None)
    }

    fn with(order: &'static str, window: Option<(u32, u32)>, age: u32, nonce: Option<&'static str>) -> Self {
        let now = OffsetDateTime::from_unix_timestamp(1_790_000_000).unwrap();
        let issued = Timestamp::from_seconds(now.unix_timestamp());
        let window = window.map(|(start, end)| (issued.plus(DAY * start), issued.plus(DAY * end)));
        let authority = Authority::new(Behaviour { nonce, order, window });
        let mut roots = RootCertStore::empty();
        roots.add(authority.signer.der().clone()).unwrap();
        let settings = Settings {
            directory: authority.directory.clone(),
            domains: BTreeSet::from(["a.test".to_owned()]),
            contact: Vec::new(),
            roots: Some(Arc::new(roots)),
            eab: None,
            digest: [1; 32],
        };
        let pem = authority.pem(&["a.test"], now, 90);
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("acme");
        AcmeStorage::new(inside.clone())
            .save_certificate(&settings, &pem)
            .unwrap();
        let clock = Clock::manual(issued.plus(DAY * age));
        let handle = Arc::new(RenewerHandle::new(inside, clock.clone()));
        Self {
            renewer: Renewer::new(Arc::clone(&handle)),
            handle,
            acme: Acme {
                settings: Arc::new(settings),
                issued: Arc::new(Issued::default()),
            },
            authority,
            clock,
            issued,
            folder,
        }
    }

    /// Days from the issue of the certificate to the next attempt.
    fn next(&self) -> f64 {
        let next = self.acme.issued.acme_status().next.unwrap();
        next.since(self.issued).as_secs_f64() / DAY.as_secs_f64()
    }
}

#[tokio::test]
async fn a_saved_certificate_is_used_at_once_and_renewed_at_the_suggested_time() {
    let mut setup = Setup::new(REFUSED, Some((20, 22)), 1);
    setup.renewer.run_due(&setup.acme).await;
    assert_eq!(setup.acme.issued.problem(setup.clock.now()), None);
    assert!((20.0..22.0).contains(&setup.next()), "{}", setup.next());
    // The window is not queried again at every look.
    let requests = setup.authority.requests().0.len();
    setup.renewer.run_due(&setup.acme).await;
    assert_eq!(setup.authority.requests().0.len(), requests);
    // The order then names the certificate that it replaces, but only once.
    setup.clock.advance(21 * DAY);
    setup.renewer.run_due(&setup.acme).await;
    let (_, order) = setup.authority.requests();
    assert_eq!(order["identifiers"], json!([{"type": "dns", "value": "a.test"}]));
    assert!(order["replaces"].as_str().unwrap().contains('.'), "{order}");
    setup.clock.advance(DAY);
    setup.renewer.run_due(&setup.acme).await;
    let (_, order) = setup.authority.requests();
    assert_eq!(
        (&order["replaces"], setup.acme.issued.acme_status().failed),
        (&Value::Null, 2)
    );
}

#[tokio::test]
async fn where_it_does_not_say_so_a_third_of_the_life_is_left() {
    let mut setup = Setup::new(REFUSED, None, 1);
    setup.renewer.run_due(&setup.acme).await;
    assert!((57.0..=60.0).contains(&setup.next()), "{}", setup.next());
    setup.clock.advance(60 * DAY);
    setup.renewer.run_due(&setup.acme).await;
    let acme_status = setup.acme.issued.acme_status();
    let failure = acme_status.failure.unwrap();
    assert!(failure.contains("not for you"), "{failure}");
    // The old certificate is still in force. Only its last days are a problem.
    let problem = |days: u32| setup.acme.issued.problem(setup.issued.plus(DAY * days));
    assert_eq!(problem(70), None);
    assert!(problem(80).unwrap().contains("expires at") && problem(80).unwrap().contains("not for you"));
}

#[tokio::test]
async fn an_authority_that_would_be_left_alone_is() {
    let mut setup = Setup::new("503 Busy\n<html>later</html>", None, 61);
    setup.renewer.run_due(&setup.acme).await;
    setup.renewer.run_due(&setup.acme).await;
    let acme_status = setup.acme.issued.acme_status();
    let failure = acme_status.failure.unwrap();
    assert!(failure.ends_with("/order: HTTP 503"), "{failure}");
    // The authority asked for two hours. The default would be a minute.
    let next = acme_status.next.unwrap();
    assert_eq!(next.since(setup.clock.now()), Duration::from_hours(2));
    assert_eq!(acme_status.failed, 1);
    // Neither an operator nor a restart can shorten this pause.
    setup.renewer.retry_now();
    setup.renewer.run_due(&setup.acme).await;
    setup.renewer = Renewer::new(Arc::clone(&setup.handle));
    setup.renewer.run_due(&setup.acme).await;
    assert_eq!(setup.acme.issued.acme_status().failed, 1);
    // Other settings are tried at once.
    let settings = Arc::get_mut(&mut setup.acme.settings).unwrap();
    settings.digest = [2; 32];
    setup.renewer.run_due(&setup.acme).await;
    assert_eq!(setup.acme.issued.acme_status().failed, 2);
}

#[tokio::test]
async fn a_saved_certificate_for_other_names_is_not_used() {
    let mut setup = Setup::new(REFUSED, None, 1);
    let settings = Arc::get_mut(&mut setup.acme.settings).unwrap();
    settings.domains.insert("b.test".to_owned());
    setup.renewer.run_due(&setup.acme).await;
    let problem = setup.acme.issued.problem(setup.clock.now()).unwrap();
    assert!(
        problem.starts_with("there is no certificate yet: ") && problem.contains("not for you"),
        "{problem}"
    );
    let (_, order) = setup.authority.requests();
    assert_eq!(order["identifiers"][1]["value"], "b.test");
}

#[tokio::test]
async fn half_a_file_is_no_certificate_and_its_content_is_not_shown() {
    let setup = Setup::new(REFUSED, None, 1);
    let Setup { acme, .. } = &setup;
    let storage = AcmeStorage::new(setup.folder.path().join("acme"));
    let saved = std::fs::read_dir(setup.folder.path().join("acme"))
        .unwrap()
        .next()
        .unwrap();
    let path = saved.unwrap().path();
    let whole = std::fs::read_to_string(&path).unwrap();
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    for end in [
        0,
        100,
        whole.find("-----BEGIN CERTIFICATE").unwrap(),
        whole.len() - 100,
    ] {
        std::fs::write(&path, whole.get(..end).unwrap()).unwrap();
        let error = storage.certificate(&acme.settings).unwrap_err().to_string();
        assert!(
            error.starts_with("it is not PEM") || error.starts_with("there is no "),
            "{error}"
        );
    }
    std::fs::write(&path, whole).unwrap();
    assert!(storage.certificate(&acme.settings).unwrap().is_some());
}

#[tokio::test]
async fn an_operator_need_not_wait_and_cannot_ask_without_end() {
    let mut setup = Setup::new(REFUSED_PLAINLY, None, 61);
    setup.renewer.run_due(&setup.acme).await;
    assert_eq!(setup.acme.issued.acme_status().failed, 1);
    for _ in 0..10 {
        setup.renewer.retry_now();
        setup.renewer.run_due(&setup.acme).await;
    }
    assert_eq!(setup.acme.issued.acme_status().failed, 5);
    setup.clock.advance(Duration::from_hours(2));
    setup.renewer.retry_now();
    setup.renewer.run_due(&setup.acme).await;
    assert_eq!(setup.acme.issued.acme_status().failed, 6);
    // After a clock was ahead, the difference is not waited for.
    setup.clock.set(setup.issued.plus(DAY * 61));
    setup.renewer.run_due(&setup.acme).await;
    let next = setup.acme.issued.acme_status().next.unwrap();
    assert_eq!(next.since(setup.clock.now()), Duration::from_hours(6));
}

#[tokio::test]
async fn a_panic_in_a_library_is_a_failed_attempt() {
    let mut setup = Setup::with(REFUSED, None, 61, Some(""));
    setup.renewer.run_due(&setup.acme).await;
    let acme_status = setup.acme.issued.acme_status();
    let failure = acme_status.failure.unwrap();
    assert!(
        failure.starts_with("what the authority says is not understood"),
        "{failure}"
    );
    // The message is one line, whatever the authority sent.
    assert!(!failure.contains(char::is_control), "{failure:?}");
    setup.clock.advance(DAY);
    setup.renewer.run_due(&setup.acme).await;
    assert_eq!(setup.acme.issued.acme_status().failed, 2);
    // A plain HTTP URL is not followed, because anything on the way could answer.
    let mut setup = Setup::with(REFUSED, None, 61, Some("http://127.0.0.1:9/nonce"));
    setup.renewer.run_due(&setup.acme).await;
    let failure = setup.acme.issued.acme_status().failure.unwrap();
    assert!(failure.contains("is no `https` URL"), "{failure}");
}

#[tokio::test]
async fn an_expired_saved_certificate_does_not_replace_a_valid_one() {
    let mut setup = Setup::new(REFUSED, None, 100);
    let now = OffsetDateTime::from_unix_timestamp(setup.clock.now().as_seconds()).unwrap();
    let pem = setup
        .authority
        .pem(&["a.test", "b.test"], now - time::Duration::days(1), 90);
    let valid = parse_certificate(&setup.acme.settings, &pem).unwrap();
    let valid = ActiveCertificate {
        file_name: "other".to_owned(),
        ..valid
    };
    setup.acme.issued.install(valid);
    setup.renewer.run_due(&setup.acme).await;
    let in_use = setup.acme.issued.active();
    assert!((*in_use).as_ref().unwrap().names.contains("b.test"));
    // Another one is requested all the same, and the expired one is better than none.
    assert_eq!(setup.acme.issued.acme_status().failed, 1);
    setup.acme.issued = Arc::new(Issued::default());
    assert!(setup.handle.load(&setup.acme).is_some());
    assert!(setup.acme.issued.validity().is_some());
}

#[tokio::test]
async fn a_name_without_a_certificate_is_a_problem_after_a_failed_attempt() {
    let mut setup = Setup::new(REFUSED, None, 1);
    assert!(setup.handle.load(&setup.acme).is_some());
    let settings = Arc::get_mut(&mut setup.acme.settings).unwrap();
    settings.domains.insert("b.test".to_owned());
    settings.digest = [2; 32];
    let problem = |setup: &Setup| setup.acme.issued.problem(setup.clock.now());
    setup.handle.reloaded(Some(&setup.acme), false);
    assert_eq!(problem(&setup), None);
    setup.renewer.run_due(&setup.acme).await;
    let problem_text = problem(&setup).unwrap();
    assert!(
        problem_text.starts_with("there is no certificate for b.test yet: "),
        "{problem_text}"
    );
    // Without that name there is no problem.
    let settings = Arc::get_mut(&mut setup.acme.settings).unwrap();
    settings.domains.remove("b.test");
    setup
        .acme
        .issued
        .update_status(|acme_status| acme_status.missing.clear());
    assert_eq!(problem(&setup), None);
}
