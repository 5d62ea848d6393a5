//! Files that ACME keeps on disk, readable for the daemon's user only.
//!
//! Account, order and certificate, each with its key, and the current pause. Every file is replaced
//! whole, so that a key never stands without its other half.

use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::Arc;

use data_encoding::HEXLOWER;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use crate::acme::issued::ActiveCertificate;
use crate::acme::settings::Settings;
use crate::base::file;
use crate::base::file::ReadError;
use crate::base::private_file::write_private;
use crate::tls::pem::{self, Validity};

/// Maximum size of a file that is read, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// File name of the pause.
const PAUSE: &str = "pause.json";

/// Order that is proved, with the key for its certificate.
#[derive(Deserialize, Serialize)]
pub(super) struct ReadyOrder {
    /// URL of the order (RFC 8555 §7.4).
    pub(super) url: String,
    /// Private key of the certificate, as PEM.
    pub(super) key: String,
}

impl Drop for ReadyOrder {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

/// Pause between two attempts.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct RetryAfter {
    /// Digest of the settings that it applies to, in hexadecimal digits.
    pub(super) settings: String,
    /// Start of the pause, in milliseconds since 1970.
    pub(super) since: i64,
    /// Length of the pause, in seconds.
    pub(super) seconds: u64,
    /// Failed attempts in a row before the pause.
    pub(super) failures: u32,
    /// True if an operator cannot shorten the pause.
    pub(super) firm: bool,
}

/// Folder of the ACME files.
#[derive(Clone, Debug)]
pub(super) struct AcmeStorage {
    folder: PathBuf,
}

impl AcmeStorage {
    /// Uses `folder`, which need not exist yet.
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Checks that files can be saved, before the authority creates anything.
    pub(super) fn probe(&self) -> io::Result<()> {
        self.write(".probe", "")?;
        fs::remove_file(self.folder.join(".probe"))
    }

    /// Reads the saved account.
    pub(super) fn account(&self, settings: &Settings) -> io::Result<Option<Zeroizing<String>>> {
        self.read(&format!("{}.json", settings.account_name()))
    }

    pub(super) fn save_account(&self, settings: &Settings, account: &str) -> io::Result<()> {
        self.write(&format!("{}.json", settings.account_name()), account)
    }

    /// Renames the file of an account that cannot be used any more.
    pub(super) fn retire_account(&self, settings: &Settings) -> io::Result<()> {
        let path = |end: &str| self.folder.join(format!("{}.{end}", settings.account_name()));
        fs::rename(path("json"), path("json.old"))
    }

    /// Reads the certificate for these settings. A certificate that cannot be used is an error.
    pub(super) fn certificate(&self, settings: &Settings) -> io::Result<Option<ActiveCertificate>> {
        let Some(pem) = self.read(&format!("{}.pem", settings.certificate_name()))? else {
            return Ok(None);
        };
        parse_certificate(settings, &pem)
            .map(Some)
            .map_err(io::Error::other)
    }

    /// Saves the certificate and deletes its order, which is then done.
    pub(super) fn save_certificate(&self, settings: &Settings, pem: &str) -> io::Result<()> {
        self.write(&format!("{}.pem", settings.certificate_name()), pem)?;
        self.delete_order(settings)
    }

    /// Reads the order that is proved and not yet finished.
    pub(super) fn order(&self, settings: &Settings) -> io::Result<Option<ReadyOrder>> {
        let text = self.read(&format!("{}.json", settings.order_name()))?;
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
    }

    /// Saves an order before the authority issues its certificate, so that a crash does not lose
    /// it.
    pub(super) fn save_order(&self, settings: &Settings, order: &ReadyOrder) -> io::Result<()> {
        let text = Zeroizing::new(serde_json::to_string(order)?);
        self.write(&format!("{}.json", settings.order_name()), &text)
    }

    pub(super) fn delete_order(&self, settings: &Settings) -> io::Result<()> {
        match fs::remove_file(self.folder.join(format!("{}.json", settings.order_name()))) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Reads the pause that an earlier daemon has saved for these settings.
    pub(super) fn pause(&self, settings: &Settings) -> io::Result<Option<RetryAfter>> {
        let text = self.read(PAUSE)?;
        let saved = text.and_then(|text| serde_json::from_str::<RetryAfter>(&text).ok());
        Ok(saved.filter(|saved| saved.settings == HEXLOWER.encode(&settings.digest)))
    }

    pub(super) fn save_pause(&self, pause: &RetryAfter) -> io::Result<()> {
        self.write(PAUSE, &serde_json::to_string(pause)?)
    }

    fn read(&self, name: &str) -> io::Result<Option<Zeroizing<String>>> {
        let mut contents = match file::read(&self.folder.join(name), MAX_FILE) {
            Ok(contents) => contents,
            Err(ReadError::Io(error)) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let text = String::from_utf8(std::mem::take(&mut *contents.bytes));
        let text = text.or(Err(io::Error::other("it is not UTF-8")))?;
        Ok(Some(Zeroizing::new(text)))
    }

    /// Replaces a file durably: its new content is on disk when this returns.
    fn write(&self, name: &str, text: &str) -> io::Result<()> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)?;
        write_private(&self.folder.join(name), &[text.as_bytes()], |beside, file| {
            fs::rename(beside, file)
        })
    }
}

/// Parses key and chain of a PEM text. Fails if the certificate does not cover all configured
/// names.
pub(super) fn parse_certificate(settings: &Settings, pem: &str) -> Result<ActiveCertificate, String> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    // Without the error, which would show the content of the file.
    let chain = chain.ok().ok_or("it is not PEM")?;
    let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).ok();
    let key = key.ok_or("there is no private key in it")?;
    let leaf = chain.first().ok_or("there is no certificate in it")?;
    let unreadable = "the certificate cannot be read";
    let validity = Validity::of(leaf).ok_or(unreadable)?;
    let names = pem::hosts(leaf).ok_or(unreadable)?;
    if !settings.domains.is_subset(&names) {
        return Err("the certificate is not for all names".to_owned());
    }
    let key = CertifiedKey::from_der(chain, key, &default_provider()).map_err(|error| error.to_string())?;
    Ok(ActiveCertificate {
        key: Arc::new(key),
        validity,
        names,
        file_name: settings.certificate_name(),
    })
}
