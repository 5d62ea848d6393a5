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
use crate::acme::storage::{AcmeStorage, held};
use crate::acme::{Acme, Issued, Renewer, RenewerHandle, Settings};
use crate::base::clock::{Clock, Timestamp};

const DAY: Duration = Duration::from_hours(24);

type Signer = CertifiedIssuer<'static, KeyPair>;

/// Authority that knows an account, suggests renewal times, and issues nothing.
struct Authority {
    directory: String,
    signer: Signer,
    /// Requests received: path, and the payload if it was signed.
    asked: Arc<Mutex<Vec<(String, Value)>>>,
}

/// Answer to an order, and the suggested renewal window, if any.
#[derive(Clone)]
struct Manner {
    /// URL for new values of `Replay-Nonce`.
    nonce: Option<&'static str>,
    order: &'static str,
    window: Option<(Timestamp, Timestamp)>,
}

impl Authority {
    fn new(manner: Manner) -> Self {
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
        let asked = Arc::<Mutex<Vec<(String, Value)>>>::default();
        let (directory, heard, config) = (format!("{base}/dir"), Arc::clone(&asked), Arc::new(config));
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                let session = ServerConnection::new(Arc::clone(&config)).unwrap();
                let mut stream = StreamOwned::new(session, socket.unwrap());
                // A client that has gone away is no failure of the test.
                drop(converse(&mut stream, &base, &manner, &heard));
            }
        });
        Self {
            directory,
            signer,
            asked,
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
    fn asked(&self) -> (Vec<String>, Value) {
        let asked = self.asked.lock();
        let mut orders = asked.iter().rev().filter(|(path, _)| path == "/order");
        let last = orders.next().map(|(_, payload)| payload.clone());
        let paths = asked.iter().map(|(path, _)| path.clone()).collect();
        (paths, last.unwrap_or_default())
    }
}

/// Handles one request.
fn converse(
    stream: &mut StreamOwned<ServerConnection, std::net::TcpStream>,
    base: &str,
    manner: &Manner,
    heard: &Mutex<Vec<(String, Value)>>,
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
    heard.lock().push((path.clone(), payload));
    let (status, body) = match path.as_str() {
        "/dir" => {
            let mut directory = json!({
                "newNonce": manner.nonce.map_or(format!("{base}/nonce"), str::to_owned), "newAccount": format!("{base}/account"),
                "newOrder": format!("{base}/order"), "revokeCert": format!("{base}/revoke"),
                "keyChange": format!("{base}/key"),
            });
            if manner.window.is_some() {
                directory["renewalInfo"] = format!("{base}/renewal").into();
            }
            ("200 OK", directory.to_string())
        }
        "/nonce" => ("200 OK", String::new()),
        "/account" => ("201 Created", json!({"status": "valid"}).to_string()),
        "/order" => manner
            .order
            .split_once('\n')
            .map(|(status, body)| (status, body.to_owned()))
            .unwrap(),
        path if path.starts_with("/renewal/") => {
            let (start, end) = manner.window.unwrap();
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
    let respite = if body.contains("plainly") {
        ""
    } else {
        "Retry-After: 7200\r\n"
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nReplay-Nonce: bm9uY2U\r\n{respite}Location: {base}/account/1\r\nConnection: close\r\n\r\n{body}",
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
struct Scene {
    authority: Authority,
    keeper: Renewer,
    renewing: Arc<RenewerHandle>,
    acme: Acme,
    clock: Clock,
    /// Time at which the certificate was issued.
    issued: Timestamp,
    folder: TempDir,
}

impl Scene {
    fn new(order: &'static str, window: Option<(u32, u32)>, age: u32) -> Self {
        Self::with(order, window, age, None)
    }

    fn with(order: &'static str, window: Option<(u32, u32)>, age: u32, nonce: Option<&'static str>) -> Self {
        let now = OffsetDateTime::from_unix_timestamp(1_790_000_000).unwrap();
        let issued = Timestamp::from_seconds(now.unix_timestamp());
        let window = window.map(|(start, end)| (issued.plus(DAY * start), issued.plus(DAY * end)));
        let authority = Authority::new(Manner { nonce, order, window });
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
            .keep_certificate(&settings, &pem)
            .unwrap();
        let clock = Clock::manual(issued.plus(DAY * age));
        let renewing = Arc::new(RenewerHandle::new(inside, clock.clone()));
        Self {
            keeper: Renewer::new(Arc::clone(&renewing)),
            renewing,
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
async fn what_is_kept_is_in_force_at_once_and_renewed_when_the_authority_says_so() {
    let mut scene = Scene::new(REFUSED, Some((20, 22)), 1);
    scene.keeper.look(&scene.acme).await;
    assert_eq!(scene.acme.issued.problem(scene.clock.now()), None);
    assert!((20.0..22.0).contains(&scene.next()), "{}", scene.next());
    // The window is not queried again at every look.
    let asked = scene.authority.asked().0.len();
    scene.keeper.look(&scene.acme).await;
    assert_eq!(scene.authority.asked().0.len(), asked);
    // The order then names the certificate that it replaces, but only once.
    scene.clock.advance(21 * DAY);
    scene.keeper.look(&scene.acme).await;
    let (_, order) = scene.authority.asked();
    assert_eq!(order["identifiers"], json!([{"type": "dns", "value": "a.test"}]));
    assert!(order["replaces"].as_str().unwrap().contains('.'), "{order}");
    scene.clock.advance(DAY);
    scene.keeper.look(&scene.acme).await;
    let (_, order) = scene.authority.asked();
    assert_eq!(
        (&order["replaces"], scene.acme.issued.acme_status().failed),
        (&Value::Null, 2)
    );
}

#[tokio::test]
async fn where_it_does_not_say_so_a_third_of_the_life_is_left() {
    let mut scene = Scene::new(REFUSED, None, 1);
    scene.keeper.look(&scene.acme).await;
    assert!((57.0..=60.0).contains(&scene.next()), "{}", scene.next());
    scene.clock.advance(60 * DAY);
    scene.keeper.look(&scene.acme).await;
    let acme_status = scene.acme.issued.acme_status();
    let failure = acme_status.failure.unwrap();
    assert!(failure.contains("not for you"), "{failure}");
    // The old certificate is still in force. Only its last days are a problem.
    let problem = |days: u32| scene.acme.issued.problem(scene.issued.plus(DAY * days));
    assert_eq!(problem(70), None);
    assert!(problem(80).unwrap().contains("expires at") && problem(80).unwrap().contains("not for you"));
}

#[tokio::test]
async fn an_authority_that_would_be_left_alone_is() {
    let mut scene = Scene::new("503 Busy\n<html>later</html>", None, 61);
    scene.keeper.look(&scene.acme).await;
    scene.keeper.look(&scene.acme).await;
    let acme_status = scene.acme.issued.acme_status();
    let failure = acme_status.failure.unwrap();
    assert!(failure.ends_with("/order: HTTP 503"), "{failure}");
    // The authority asked for two hours. The default would be a minute.
    let next = acme_status.next.unwrap();
    assert_eq!(next.since(scene.clock.now()), Duration::from_hours(2));
    assert_eq!(acme_status.failed, 1);
    // Neither an operator nor a restart can shorten this pause.
    scene.keeper.retry_now();
    scene.keeper.look(&scene.acme).await;
    scene.keeper = Renewer::new(Arc::clone(&scene.renewing));
    scene.keeper.look(&scene.acme).await;
    assert_eq!(scene.acme.issued.acme_status().failed, 1);
    // Other settings are tried at once.
    let settings = Arc::get_mut(&mut scene.acme.settings).unwrap();
    settings.digest = [2; 32];
    scene.keeper.look(&scene.acme).await;
    assert_eq!(scene.acme.issued.acme_status().failed, 2);
}

#[tokio::test]
async fn a_kept_certificate_for_other_names_is_not_taken() {
    let mut scene = Scene::new(REFUSED, None, 1);
    let settings = Arc::get_mut(&mut scene.acme.settings).unwrap();
    settings.domains.insert("b.test".to_owned());
    scene.keeper.look(&scene.acme).await;
    let problem = scene.acme.issued.problem(scene.clock.now()).unwrap();
    assert!(
        problem.starts_with("there is no certificate yet: ") && problem.contains("not for you"),
        "{problem}"
    );
    let (_, order) = scene.authority.asked();
    assert_eq!(order["identifiers"][1]["value"], "b.test");
}

#[tokio::test]
async fn half_a_file_is_no_certificate_and_nobody_is_shown_what_stands_there() {
    let scene = Scene::new(REFUSED, None, 1);
    let Scene { acme, .. } = &scene;
    let storage = AcmeStorage::new(scene.folder.path().join("acme"));
    let kept = std::fs::read_dir(scene.folder.path().join("acme"))
        .unwrap()
        .next()
        .unwrap();
    let path = kept.unwrap().path();
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
    let mut scene = Scene::new(REFUSED_PLAINLY, None, 61);
    scene.keeper.look(&scene.acme).await;
    assert_eq!(scene.acme.issued.acme_status().failed, 1);
    for _ in 0..10 {
        scene.keeper.retry_now();
        scene.keeper.look(&scene.acme).await;
    }
    assert_eq!(scene.acme.issued.acme_status().failed, 5);
    scene.clock.advance(Duration::from_hours(2));
    scene.keeper.retry_now();
    scene.keeper.look(&scene.acme).await;
    assert_eq!(scene.acme.issued.acme_status().failed, 6);
    // After a clock was ahead, the difference is not waited for.
    scene.clock.set(scene.issued.plus(DAY * 61));
    scene.keeper.look(&scene.acme).await;
    let next = scene.acme.issued.acme_status().next.unwrap();
    assert_eq!(next.since(scene.clock.now()), Duration::from_hours(6));
}

#[tokio::test]
async fn what_a_library_does_not_survive_is_an_attempt_in_vain() {
    let mut scene = Scene::with(REFUSED, None, 61, Some(""));
    scene.keeper.look(&scene.acme).await;
    let acme_status = scene.acme.issued.acme_status();
    let failure = acme_status.failure.unwrap();
    assert!(
        failure.starts_with("what the authority says is not understood"),
        "{failure}"
    );
    // The message is one line, whatever the authority sent.
    assert!(!failure.contains(char::is_control), "{failure:?}");
    scene.clock.advance(DAY);
    scene.keeper.look(&scene.acme).await;
    assert_eq!(scene.acme.issued.acme_status().failed, 2);
    // A plain HTTP URL is not followed, because anything on the way could answer.
    let mut scene = Scene::with(REFUSED, None, 61, Some("http://127.0.0.1:9/nonce"));
    scene.keeper.look(&scene.acme).await;
    let failure = scene.acme.issued.acme_status().failure.unwrap();
    assert!(failure.contains("is no `https` URL"), "{failure}");
}

#[tokio::test]
async fn what_is_kept_and_has_expired_is_not_put_in_place_of_what_has_not() {
    let mut scene = Scene::new(REFUSED, None, 100);
    let now = OffsetDateTime::from_unix_timestamp(scene.clock.now().as_seconds()).unwrap();
    let pem = scene
        .authority
        .pem(&["a.test", "b.test"], now - time::Duration::days(1), 90);
    let valid = held(&scene.acme.settings, &pem).unwrap();
    let valid = ActiveCertificate {
        kept_as: "other".to_owned(),
        ..valid
    };
    scene.acme.issued.put(valid);
    scene.keeper.look(&scene.acme).await;
    let in_use = scene.acme.issued.held();
    assert!((*in_use).as_ref().unwrap().names.contains("b.test"));
    // Another one is requested all the same, and the expired one is better than none.
    assert_eq!(scene.acme.issued.acme_status().failed, 1);
    scene.acme.issued = Arc::new(Issued::default());
    assert!(scene.renewing.take(&scene.acme).is_some());
    assert!(scene.acme.issued.validity().is_some());
}

#[tokio::test]
async fn a_name_without_a_certificate_is_a_problem_once_it_was_asked_in_vain() {
    let mut scene = Scene::new(REFUSED, None, 1);
    assert!(scene.renewing.take(&scene.acme).is_some());
    let settings = Arc::get_mut(&mut scene.acme.settings).unwrap();
    settings.domains.insert("b.test".to_owned());
    settings.digest = [2; 32];
    let problem = |scene: &Scene| scene.acme.issued.problem(scene.clock.now());
    scene.renewing.changed(Some(&scene.acme), false);
    assert_eq!(problem(&scene), None);
    scene.keeper.look(&scene.acme).await;
    let told = problem(&scene).unwrap();
    assert!(
        told.starts_with("there is no certificate for b.test yet: "),
        "{told}"
    );
    // Without that name there is no problem.
    let settings = Arc::get_mut(&mut scene.acme.settings).unwrap();
    settings.domains.remove("b.test");
    scene.acme.issued.note(|acme_status| acme_status.missing.clear());
    assert_eq!(problem(&scene), None);
}
