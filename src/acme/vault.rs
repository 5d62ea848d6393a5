//! What is kept on the disk: the account and the certificate, each with its key, for the daemon's user alone.
//!
//! One file each, put in place whole: there is never half a pair.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use zeroize::Zeroizing;

use super::issued::Held;
use super::settings::Settings;
use crate::pem::Validity;
use crate::verify::Certificate;

/// The largest file that is read, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// A folder.
#[derive(Clone, Debug)]
pub(super) struct Vault {
    folder: PathBuf,
}

impl Vault {
    /// Keeps in this folder, which need not be there yet.
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The account, as it was kept.
    pub(super) fn account(&self, settings: &Settings) -> io::Result<Option<Zeroizing<String>>> {
        self.read(&format!("{}.json", settings.account_name()))
    }

    /// Keeps the account.
    pub(super) fn keep_account(&self, settings: &Settings, account: &str) -> io::Result<()> {
        self.write(&format!("{}.json", settings.account_name()), account)
    }

    /// Forgets the account: the authority does not know it.
    pub(super) fn forget_account(&self, settings: &Settings) -> io::Result<()> {
        fs::remove_file(self.folder.join(format!("{}.json", settings.account_name())))
    }

    /// The certificate for these settings, if there is one that can be used.
    pub(super) fn certificate(&self, settings: &Settings) -> io::Result<Option<Held>> {
        let Some(pem) = self.read(&format!("{}.pem", settings.certificate_name()))? else {
            return Ok(None);
        };
        held(settings, &pem).map(Some).map_err(io::Error::other)
    }

    /// Keeps the certificate.
    pub(super) fn keep_certificate(&self, settings: &Settings, pem: &str) -> io::Result<()> {
        self.write(&format!("{}.pem", settings.certificate_name()), pem)
    }

    fn read(&self, name: &str) -> io::Result<Option<Zeroizing<String>>> {
        let file = match File::open(self.folder.join(name)) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut text = Zeroizing::new(String::new());
        file.take(MAX_FILE).read_to_string(&mut text)?;
        Ok(Some(text))
    }

    /// On the disk when it returns, in place of what was there.
    fn write(&self, name: &str, text: &str) -> io::Result<()> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)?;
        let beside = self.folder.join(format!(".{name}.{}.new", std::process::id()));
        let written = written(&beside, &self.folder.join(name), text);
        if written.is_err() {
            fs::remove_file(&beside).ok();
        }
        written?;
        File::open(&self.folder)?.sync_all()
    }
}

fn written(beside: &Path, name: &Path, text: &str) -> io::Result<()> {
    // One that was left behind by a daemon of our number.
    fs::remove_file(beside).ok();
    let mut options = OpenOptions::new();
    let mut new = options.write(true).create_new(true).mode(0o600).open(beside)?;
    new.write_all(text.as_bytes())?;
    new.sync_all()?;
    fs::rename(beside, name)
}

/// The certificate in a PEM text: its key, the chain; for no less than the names that are asked for.
pub(super) fn held(settings: &Settings, pem: &str) -> Result<Held, String> {
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
    Ok(Held {
        key: Arc::new(key),
        validity,
        names,
        kept_as: settings.certificate_name(),
    })
}
