//! TLS to a server, and who is let in.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

use super::super::link::Link;
use super::super::{Durability, Target, connect_check};
use super::instance::{Instance, target};
use crate::store::StoreError;

/// A server with TLS and users of several kinds, and the files of its clients.
struct Secured {
    instance: Instance,
    folder: TempDir,
}

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate with these names, and its key, as PEM.
fn certificate(by: &Authority, common_name: &str, names: &[&str]) -> (String, String) {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, common_name);
    let key = KeyPair::generate().unwrap();
    let signed = params.signed_by(&key, by).unwrap();
    (signed.pem(), key.serialize_pem())
}

impl Secured {
    fn start() -> Self {
        let instance = Instance::start(&["fsync = off"]);
        instance.sql("CREATE ROLE scram LOGIN PASSWORD 'geheim'; CREATE ROLE certified LOGIN; CREATE ROLE nobody LOGIN");
        instance.admit(&[
            "local all postgres trust",
            "hostssl all scram 127.0.0.1/32 scram-sha-256",
            "hostssl all certified 127.0.0.1/32 cert",
        ]);
        let folder = tempfile::tempdir().unwrap();
        let this = Self { instance, folder };
        let (known, other) = (authority("known"), authority("other"));
        this.client("ca.pem", &known.pem());
        this.client("other.pem", &other.pem());
        let (certificate_of, key) = certificate(&known, "certified", &[]);
        this.client("client.pem", &certificate_of);
        this.client("client.key", &key);
        let root = this.instance.file("root.crt", &known.pem());
        this.serve(certificate(&known, "server", &["db.example.com"]), Some(&root));
        this
    }

    /// Gives the server a certificate.
    fn serve(&self, (certificate, key): (String, String), root: Option<&Path>) {
        let certificate = self.instance.file("server.crt", &certificate);
        let key = self.instance.file("server.key", &key);
        let mut settings = vec![
            "ssl = on".to_owned(),
            format!("ssl_cert_file = '{}'", certificate.display()),
            format!("ssl_key_file = '{}'", key.display()),
        ];
        settings.extend(root.map(|root| format!("ssl_ca_file = '{}'", root.display())));
        let lines: Vec<_> = settings.iter().map(String::as_str).collect();
        self.instance.set(&lines);
    }

    fn client(&self, name: &str, content: &str) {
        std::fs::write(self.path(name), content).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A target for a user, by the name of a host that is this machine.
    fn at(&self, user: &str, host: &str, parameters: &[&str]) -> Target {
        let mut url = format!(
            "postgres://{user}@{host}:{}/postgres?hostaddr=127.0.0.1",
            self.instance.port
        );
        for parameter in parameters {
            url.push('&');
            url.push_str(&parameter.replace('$', &format!("{}/", self.folder.path().display())));
        }
        target(&url, Durability::Trusted)
    }
}

async fn refusal(target: &Target) -> String {
    match connect_check(target).await {
        Err(StoreError::Refused { detail }) => detail,
        other => panic!("not refused: {other:?}"),
    }
}

const KNOWN: &str = "sslrootcert=$ca.pem";
const SCRAM: &str = "scram:geheim";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: `just cluster`"]
async fn a_server_is_verified_by_authority_and_name() {
    let server = Secured::start();
    let name = "db.example.com";
    let link = Link::connect(&server.at(SCRAM, name, &[KNOWN]), "test")
        .await
        .unwrap();
    let rows = link
        .query("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", &[])
        .await;
    assert!(rows.unwrap()[0].get::<_, bool>(0));

    let wrong_name = refusal(&server.at(SCRAM, "other.example.com", &[KNOWN])).await;
    assert!(wrong_name.contains("not valid for name"), "{wrong_name}");
    for unknown in [&["sslrootcert=$other.pem"][..], &[]] {
        let detail = refusal(&server.at(SCRAM, name, unknown)).await;
        assert!(
            detail.contains("UnknownIssuer") || detail.contains("unknown issuer"),
            "{detail}"
        );
    }
    let by_authority = server.at(SCRAM, "other.example.com", &[KNOWN, "sslmode=verify-ca"]);
    connect_check(&by_authority).await.unwrap();
    let unknown = server.at(SCRAM, name, &["sslrootcert=$other.pem", "sslmode=verify-ca"]);
    refusal(&unknown).await;
    // As in libpq, a named root counts also with `require`.
    refusal(&server.at(SCRAM, name, &["sslrootcert=$other.pem", "sslmode=require"])).await;
    let unverified = connect_check(&server.at(SCRAM, "x.example.com", &["sslmode=require"]))
        .await
        .unwrap();
    assert!(
        unverified
            .warnings
            .iter()
            .any(|warning| warning.contains("verify-full"))
    );
    let plain = refusal(&server.at(SCRAM, name, &["sslmode=disable"])).await;
    assert!(plain.contains("pg_hba.conf"), "{plain}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: `just cluster`"]
async fn a_certificate_as_in_the_manual_of_the_server_is_verified() {
    let server = Secured::start();
    // That of the server itself, which calls itself an authority and has only a common name.
    let own = authority("db.example.com");
    server.client("own.pem", &own.pem());
    server.serve((own.pem(), own.key().serialize_pem()), None);
    let own = "sslrootcert=$own.pem";
    connect_check(&server.at(SCRAM, "db.example.com", &[own]))
        .await
        .unwrap();
    let wrong_name = refusal(&server.at(SCRAM, "other.example.com", &[own])).await;
    assert!(wrong_name.contains("not valid for"), "{wrong_name}");
    // The common name is no name beside alternative names.
    let known = authority("known");
    server.client("ca.pem", &known.pem());
    server.serve(
        certificate(&known, "db.example.com", &["other.example.com"]),
        None,
    );
    refusal(&server.at(SCRAM, "db.example.com", &[KNOWN])).await;
    server.serve(certificate(&known, "db.example.com", &[]), None);
    connect_check(&server.at(SCRAM, "db.example.com", &[KNOWN]))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: `just cluster`"]
async fn a_client_is_known_by_its_certificate() {
    let server = Secured::start();
    let own = ["sslcert=$client.pem", "sslkey=$client.key"];
    let name = "db.example.com";
    connect_check(&server.at("certified", name, &[KNOWN, own[0], own[1]]))
        .await
        .unwrap();
    let without = refusal(&server.at("certified", name, &[KNOWN])).await;
    assert!(without.contains("certificate"), "{without}");
    let of_another = refusal(&server.at("scram", name, &[KNOWN, own[0], own[1]])).await;
    assert!(of_another.contains("password"), "{of_another}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: `just cluster`"]
async fn a_password_is_bound_to_the_connection() {
    let server = Secured::start();
    let name = "db.example.com";
    let bound = [KNOWN, "channel_binding=require"];
    connect_check(&server.at(SCRAM, name, &bound)).await.unwrap();
    let plain = refusal(&server.at(SCRAM, name, &["sslmode=disable", "channel_binding=require"])).await;
    assert!(plain.contains("pg_hba.conf"), "{plain}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: `just cluster`"]
async fn who_is_not_let_in_is_told_so_and_who_does_not_reach_the_server_may_try_again() {
    let server = Secured::start();
    let name = "db.example.com";
    let password = refusal(&server.at("scram:falsch", name, &[KNOWN])).await;
    assert!(
        password.contains("password authentication failed") && password.contains("28P01"),
        "{password}"
    );
    let missing = refusal(&server.at("scram", name, &[KNOWN])).await;
    assert!(missing.contains("password missing"), "{missing}");
    let user = refusal(&server.at("nobody:x", name, &[KNOWN])).await;
    assert!(user.contains("28000"), "{user}");
    let database = Target {
        server: super::super::ServerUrl::parse(&format!(
            "postgres://{SCRAM}@{name}:{}/nowhere?hostaddr=127.0.0.1&sslrootcert={}",
            server.instance.port,
            server.path("ca.pem").display()
        ))
        .unwrap(),
        ..server.at(SCRAM, name, &[KNOWN])
    };
    let database = refusal(&database).await;
    assert!(
        database.contains("3D000") && database.contains("nowhere"),
        "{database}"
    );
    for detail in [&password, &missing, &user, &database] {
        assert!(detail.starts_with("db.example.com:"), "{detail}");
        assert!(!detail.contains("geheim") && !detail.contains("falsch"));
    }
    server.instance.kill();
    let error = connect_check(&server.at(SCRAM, name, &[KNOWN]))
        .await
        .unwrap_err();
    assert!(error.may_pass(), "{error}");
}
