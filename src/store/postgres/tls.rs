//! TLS to the server: files, verification and channel binding.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use sha2::{Digest, Sha256, Sha384, Sha512};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::Socket;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_rustls::TlsConnector;
use x509_parser::parse_x509_certificate;

use super::verifier::{Verification, Verifier};
use crate::base::file;

/// Maximum bytes of a file of certificates.
const MAX_FILE: u64 = 4 << 20;

/// The files that the URL names.
#[derive(Debug, Default)]
pub(super) struct TlsFiles {
    /// Trusted roots, or `system`.
    pub roots: Option<String>,
    pub certificate: Option<String>,
    pub key: Option<String>,
}

impl TlsFiles {
    pub fn are_named(&self) -> bool {
        self.roots.is_some() || self.certificate.is_some() || self.key.is_some()
    }
}

/// Settings of TLS, and the connector of the driver.
#[derive(Clone)]
pub(super) struct Tls(Option<(Arc<ClientConfig>, Verification)>);

impl Tls {
    /// No TLS at all.
    pub fn disabled() -> Self {
        Self(None)
    }

    /// Reads the files.
    pub fn new(verification: Verification, files: &TlsFiles) -> Result<Self, String> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let (roots, named) = match files.roots.as_deref() {
            // Nothing is verified, but a file that is named counts, as in libpq.
            None if verification == Verification::Nothing => (RootCertStore::empty(), Vec::new()),
            None | Some("system") => (system_roots()?, Vec::new()),
            Some(path) => roots_of(path)?,
        };
        let verification = match verification {
            Verification::Nothing if files.roots.is_some() => Verification::Authority,
            other => other,
        };
        let verifier = Verifier::new(
            verification,
            roots,
            named,
            provider.signature_verification_algorithms,
        );
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let config = match (&files.certificate, &files.key) {
            (None, None) => builder.with_no_client_auth(),
            (Some(certificate), Some(key)) => {
                let chain = certificates(certificate)?;
                let found = PrivateKeyDer::from_pem_slice(&contents(key)?)
                    .map_err(|_unreadable| format!("there is no unencrypted private key in `{key}`"))?;
                let with = builder.with_client_auth_cert(chain, found);
                with.map_err(|error| format!("`sslcert` and `sslkey` cannot be used: {error}"))?
            }
            (Some(_), None) => return Err("`sslcert` needs `sslkey`".to_owned()),
            (None, Some(_)) => return Err("`sslkey` needs `sslcert`".to_owned()),
        };
        Ok(Self(Some((Arc::new(config), verification))))
    }

    /// None without TLS.
    pub fn verification(&self) -> Option<Verification> {
        self.0.as_ref().map(|(_, verification)| *verification)
    }
}

fn system_roots() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map(|error| format!(": {error}"));
        let why = why.unwrap_or_default();
        return Err(format!(
            "this system has no trusted certificates{why}: install `ca-certificates`, or name a file with `sslrootcert`"
        ));
    }
    Ok(roots)
}

/// Roots of a file, and all of its certificates.
fn roots_of(path: &str) -> Result<(RootCertStore, Vec<CertificateDer<'static>>), String> {
    let named = certificates(path)?;
    let mut roots = RootCertStore::empty();
    for certificate in &named {
        let added = roots.add(certificate.clone());
        added.map_err(|error| format!("a certificate in `{path}` cannot be used: {error}"))?;
    }
    Ok((roots, named))
}

fn certificates(path: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = contents(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(format!("there is no certificate in `{path}` (PEM)")),
    }
}

/// Reads a file by its absolute path, by `file:` and its path, or by `credential:` and its name.
fn contents(named: &str) -> Result<zeroize::Zeroizing<Vec<u8>>, String> {
    let path = if let Some(name) = named.strip_prefix("credential:") {
        let folder = std::env::var_os("CREDENTIALS_DIRECTORY");
        let folder = folder.ok_or_else(|| format!("`{named}`: `$CREDENTIALS_DIRECTORY` is not set"))?;
        if name.is_empty() || name.contains('/') || name.starts_with('.') {
            return Err(format!("`{name}` is not the name of a credential"));
        }
        Path::new(&folder).join(name)
    } else {
        PathBuf::from(named.strip_prefix("file:").unwrap_or(named))
    };
    if !path.is_absolute() {
        return Err(format!("`{named}` is not an absolute path"));
    }
    let read = file::read(&path, MAX_FILE);
    let read = read.map_err(|error| format!("`{}`: {}", path.display(), io::Error::from(error)))?;
    Ok(read.bytes)
}

impl MakeTlsConnect<Socket> for Tls {
    type Stream = Encrypted;
    type TlsConnect = Connector;
    type Error = io::Error;

    fn make_tls_connect(&mut self, domain: &str) -> Result<Connector, io::Error> {
        Ok(Connector {
            config: self.0.as_ref().map(|(config, _)| Arc::clone(config)),
            domain: domain.to_owned(),
        })
    }
}

/// Makes one connection secure.
pub(super) struct Connector {
    config: Option<Arc<ClientConfig>>,
    domain: String,
}

impl TlsConnect<Socket> for Connector {
    type Stream = Encrypted;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Encrypted>> + Send>>;

    fn connect(self, stream: Socket) -> Self::Future {
        Box::pin(async move {
            let config = self.config.ok_or_else(|| io::Error::other("no TLS"))?;
            let name = ServerName::try_from(self.domain).map_err(io::Error::other)?;
            let stream = TlsConnector::from(config).connect(name, stream).await?;
            Ok(Encrypted(Box::new(stream)))
        })
    }
}

/// An encrypted connection.
pub(super) struct Encrypted(Box<tokio_rustls::client::TlsStream<Socket>>);

impl TlsStream for Encrypted {
    fn channel_binding(&self) -> ChannelBinding {
        let (_, session) = self.0.get_ref();
        let certificate = session.peer_certificates().and_then(<[_]>::first);
        certificate
            .and_then(|certificate| end_point(certificate))
            .map_or_else(ChannelBinding::none, ChannelBinding::tls_server_end_point)
    }
}

/// The digest of a certificate by which a password is bound to the connection (RFC 5929 §4.1). None
/// if its signature uses no hash function, or an unknown one.
fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let (_, parsed) = parse_x509_certificate(certificate).ok()?;
    let algorithm = parsed.signature_algorithm.algorithm.to_id_string();
    Some(match &*algorithm {
        // With RSA or ECDSA: MD5 and SHA-1 are replaced by SHA-256.
        "1.2.840.113549.1.1.4"
        | "1.2.840.113549.1.1.5"
        | "1.2.840.113549.1.1.11"
        | "1.2.840.10045.4.1"
        | "1.2.840.10045.4.3.2" => Sha256::digest(certificate).to_vec(),
        "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => Sha384::digest(certificate).to_vec(),
        "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => Sha512::digest(certificate).to_vec(),
        _ => return None,
    })
}

impl AsyncRead for Encrypted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Encrypted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
