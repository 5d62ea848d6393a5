//! What is kept on the disk, for the daemon's user alone: account, order and certificate, each with its key, and for how long the
//! authority is to be left alone.
//!
//! One file each, put in place whole: there is never half a pair.

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
use crate::base::secret::write_private;
use crate::tls::certificate::Certificate;
use crate::tls::pem::Validity;

/// The largest file that is read, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// The name of a pause.
const PAUSE: &str = "pause.json";

/// An order that the authority may issue a certificate for.
#[derive(Deserialize, Serialize)]
pub(super) struct ReadyOrder {
    /// Where it is found (RFC 8555 §7.4).
    pub(super) url: String,
    /// The key of the certificate, as PEM.
    pub(super) key: String,
}

impl Drop for ReadyOrder {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

/// For how long nothing is asked.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct RetryAfter {
    /// With which settings, by their digest.
    pub(super) settings: String,
    /// Since when, in milliseconds since 1970.
    pub(super) since: i64,
    /// For how many seconds.
    pub(super) seconds: u64,
    /// After how many attempts in vain.
    pub(super) failures: u32,
    /// Whether nobody may cut it short.
    pub(super) firm: bool,
}

/// A folder.
#[derive(Clone, Debug)]
pub(super) struct AcmeStorage {
    folder: PathBuf,
}

impl AcmeStorage {
    /// Keeps in this folder, which need not be there yet.
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Whether anything can be kept at all, before the authority does something about it.
    pub(super) fn probe(&self) -> io::Result<()> {
        self.write(".probe", "")?;
        fs::remove_file(self.folder.join(".probe"))
    }

    /// The account, as it was kept.
    pub(super) fn account(&self, settings: &Settings) -> io::Result<Option<Zeroizing<String>>> {
        self.read(&format!("{}.json", settings.account_name()))
    }

    /// Keeps the account.
    pub(super) fn keep_account(&self, settings: &Settings, account: &str) -> io::Result<()> {
        self.write(&format!("{}.json", settings.account_name()), account)
    }

    /// Puts the account aside: it is of no use any more.
    pub(super) fn retire_account(&self, settings: &Settings) -> io::Result<()> {
        let path = |end: &str| self.folder.join(format!("{}.{end}", settings.account_name()));
        fs::rename(path("json"), path("json.old"))
    }

    /// The certificate for these settings, if there is one that can be used.
    pub(super) fn certificate(&self, settings: &Settings) -> io::Result<Option<ActiveCertificate>> {
        let Some(pem) = self.read(&format!("{}.pem", settings.certificate_name()))? else {
            return Ok(None);
        };
        held(settings, &pem).map(Some).map_err(io::Error::other)
    }

    /// Keeps the certificate, of which the order is then done.
    pub(super) fn keep_certificate(&self, settings: &Settings, pem: &str) -> io::Result<()> {
        self.write(&format!("{}.pem", settings.certificate_name()), pem)?;
        self.forget_order(settings)
    }

    /// The order that was proved, and not yet ended.
    pub(super) fn order(&self, settings: &Settings) -> io::Result<Option<ReadyOrder>> {
        let text = self.read(&format!("{}.json", settings.order_name()))?;
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
    }

    /// Keeps an order, before the authority issues anything for it: what it has issued is not lost.
    pub(super) fn keep_order(&self, settings: &Settings, order: &ReadyOrder) -> io::Result<()> {
        let text = Zeroizing::new(serde_json::to_string(order)?);
        self.write(&format!("{}.json", settings.order_name()), &text)
    }

    /// Forgets the order.
    pub(super) fn forget_order(&self, settings: &Settings) -> io::Result<()> {
        match fs::remove_file(self.folder.join(format!("{}.json", settings.order_name()))) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Until when nothing is to be asked with these settings, as an earlier daemon has found.
    pub(super) fn pause(&self, settings: &Settings) -> io::Result<Option<RetryAfter>> {
        let text = self.read(PAUSE)?;
        let kept = text.and_then(|text| serde_json::from_str::<RetryAfter>(&text).ok());
        Ok(kept.filter(|kept| kept.settings == HEXLOWER.encode(&settings.digest)))
    }

    /// Keeps that.
    pub(super) fn keep_pause(&self, pause: &RetryAfter) -> io::Result<()> {
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

    /// On the disk when it returns, in place of what was there.
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

/// The certificate in a PEM text: its key, the chain; for no less than the names that are asked for.
pub(super) fn held(settings: &Settings, pem: &str) -> Result<ActiveCertificate, String> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    // Without the errors, which would show what stands there.
    let chain = chain.ok().ok_or("it is not PEM")?;
    let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).ok();
    let key = key.ok_or("there is no private key in it")?;
    let leaf = chain.first().ok_or("there is no certificate in it")?;
    let unreadable = "the certificate cannot be read";
    let validity = Validity::of(leaf).ok_or(unreadable)?;
    let names = Certificate::of(leaf).ok_or(unreadable)?.hosts().collect();
    if !settings.domains.is_subset(&names) {
        return Err("the certificate is not for all names".to_owned());
    }
    let key = CertifiedKey::from_der(chain, key, &default_provider()).map_err(|error| error.to_string())?;
    Ok(ActiveCertificate {
        key: Arc::new(key),
        validity,
        names,
        kept_as: settings.certificate_name(),
    })
}
