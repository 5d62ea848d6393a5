//! Course of one order, from the account to the certificate (RFC 8555 §7.1).
//!
//! The account is saved before it is used, and the order before its certificate is requested. After
//! a crash, the next attempt resumes both from `storage.rs`.

use std::sync::Arc;
use std::time::Duration;

use instant_acme::{
    Account, AccountBuilder, AccountCredentials, AuthorizationStatus, CertificateIdentifier, ChallengeType,
    Error, ExternalAccountKey, Identifier, NewAccount, NewOrder, Order, OrderStatus,
};
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use tokio::time::Instant;
use tracing::{debug, warn};
use zeroize::Zeroizing;

use crate::acme::http::{AcmeHttp, LatestRetryAfter};
use crate::acme::issued::{ActiveCertificate, Answering, Issued};
use crate::acme::order_error::OrderError;
use crate::acme::settings::Settings;
use crate::acme::storage::{AcmeStorage, ReadyOrder};
use crate::base::clock::Clock;

/// Maximum time for the authority to check the answers, and again to issue.
const STATUS_LIMIT: Duration = Duration::from_mins(5);
/// First time between two polls of an order. The time doubles up to `MAX_GAP`.
const FIRST_GAP: Duration = Duration::from_millis(250);
const MAX_GAP: Duration = Duration::from_secs(10);
/// Time that answers stay available after one of them was refused.
const LINGER: Duration = Duration::from_secs(5);
/// Context of an attempt.
pub(super) struct OrderContext {
    pub(super) settings: Arc<Settings>,
    /// Serves the answers to the authority's challenges.
    pub(super) issued: Arc<Issued>,
    pub(super) storage: AcmeStorage,
    pub(super) clock: Clock,
    /// Latest `Retry-After` of the authority.
    pub(super) retry_after: LatestRetryAfter,
}

impl OrderContext {
    /// Returns the saved account, or creates one and saves it before any use.
    pub(super) async fn account(&self) -> Result<Account, OrderError> {
        if let Some(saved) = self.saved_account()? {
            match self.builder()?.from_credentials(saved).await {
                Err(Error::KeyRejected | Error::Crypto) => self.retire_account("its key cannot be used")?,
                account => return Ok(account?),
            }
        }
        // Check first that it can be saved: an authority limits the number of new accounts.
        self.storage.probe().map_err(|error| storage_error(&error))?;
        let settings = &self.settings;
        let contact: Vec<&str> = settings.contact.iter().map(String::as_str).collect();
        let new = NewAccount {
            contact: &contact,
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let eab = settings.eab.as_ref();
        let eab = eab.map(|eab| ExternalAccountKey::new(eab.kid.clone(), eab.key.expose()));
        let builder = self.builder()?;
        let (account, credentials) = builder
            .create(&new, settings.directory.clone(), eab.as_ref())
            .await?;
        let text =
            serde_json::to_string(&credentials).map_err(|error| OrderError::from(error.to_string()))?;
        let saved = self.storage.save_account(settings, &Zeroizing::new(text));
        saved.map_err(|error| storage_error(&error))?;
        Ok(account)
    }

    /// Has a certificate issued, and returns key and chain as PEM. `replaces` is the old
    /// certificate.
    pub(super) async fn certificate(
        &self,
        replaces: Option<&ActiveCertificate>,
    ) -> Result<Zeroizing<String>, OrderError> {
        let account = self.account().await?;
        let settings = &self.settings;
        let ready_order = self
            .storage
            .order(settings)
            .map_err(|error| storage_error(&error))?;
        if let Some(ready_order) = ready_order {
            match self.resume(&account, &ready_order).await {
                Err(failure) if failure.refused => {
                    debug!(error = failure.message, "an earlier order can no longer be used");
                    self.storage
                        .delete_order(settings)
                        .map_err(|error| storage_error(&error))?;
                }
                resumed => return resumed,
            }
        }
        let names: Vec<Identifier> = settings.domains.iter().cloned().map(Identifier::Dns).collect();
        let mut new = NewOrder::new(&names);
        if let Some(replaces) = replaces.and_then(identifier) {
            new = new.replaces(replaces);
        }
        let mut order = account.new_order(&new).await?;
        self.authorize(&mut order).await?;
        let key = KeyPair::generate()?;
        let ready_order = ReadyOrder {
            url: order.url().to_owned(),
            key: key.serialize_pem(),
        };
        self.storage
            .save_order(settings, &ready_order)
            .map_err(|error| storage_error(&error))?;
        self.finish(&mut order, &key).await
    }

    /// Finishes an order that an earlier attempt, or an earlier daemon, has proved.
    async fn resume(
        &self,
        account: &Account,
        ready_order: &ReadyOrder,
    ) -> Result<Zeroizing<String>, OrderError> {
        let key =
            KeyPair::from_pem(&ready_order.key).map_err(|error| OrderError::refused(error.to_string()))?;
        let mut order = account.order(ready_order.url.clone()).await?;
        self.finish(&mut order, &key).await
    }

    /// Takes an order from the proof to the certificate.
    async fn finish(&self, order: &mut Order, key: &KeyPair) -> Result<Zeroizing<String>, OrderError> {
        if matches!(order.state().status, OrderStatus::Ready) {
            let names: Vec<String> = self.settings.domains.iter().cloned().collect();
            let mut params = CertificateParams::new(names)?;
            params.distinguished_name = DistinguishedName::new();
            order.finalize_csr(params.serialize_request(key)?.der()).await?;
        }
        let status = wait_while(order, |status| {
            matches!(status, OrderStatus::Ready | OrderStatus::Processing)
        })
        .await?;
        if !matches!(status, OrderStatus::Valid) {
            return Err(OrderError::refused(format!("the order is {status:?}")));
        }
        let chain = order.certificate().await?;
        let chain = chain.ok_or_else(|| OrderError::from("the order holds no certificate".to_owned()))?;
        Ok(Zeroizing::new(format!(
            "{}{chain}",
            *Zeroizing::new(key.serialize_pem())
        )))
    }

    /// Proves to the authority that the names lead to this machine.
    async fn authorize(&self, order: &mut Order) -> Result<(), OrderError> {
        // Register all answers before the authority is told about any of them.
        let answering = self.answers(order).await?;
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            if matches!(authorization.status, AuthorizationStatus::Pending)
                && let Some(mut challenge) = authorization.challenge(ChallengeType::TlsAlpn01)
            {
                challenge.set_ready().await?;
            }
        }
        let ready = wait_while(order, |status| matches!(status, OrderStatus::Pending)).await;
        if matches!(ready, Ok(OrderStatus::Ready | OrderStatus::Valid)) {
            // Not earlier: an authority checks from several networks, and not from all at once.
            drop(answering);
            return Ok(());
        }
        let failure = match ready {
            Err(failure) if !failure.refused => failure,
            ready => why_refused(order, ready).await,
        };
        // The authority may still be checking other names, and a missing answer counts as a
        // failure.
        tokio::time::sleep(LINGER).await;
        drop(answering);
        Err(failure)
    }

    /// Registers the answers to all challenges of an order.
    async fn answers(&self, order: &mut Order) -> Result<Vec<Answering<'_>>, OrderError> {
        let mut answering = Vec::new();
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            let name = authorization.identifier().to_string().to_ascii_lowercase();
            match authorization.status {
                AuthorizationStatus::Valid => continue,
                AuthorizationStatus::Pending => {}
                status => {
                    let message = format!("the authorization for `{name}` is {status:?}");
                    return Err(OrderError::refused(message));
                }
            }
            let Some(challenge) = authorization.challenge(ChallengeType::TlsAlpn01) else {
                let message = format!("the authority does not offer tls-alpn-01 for `{name}`");
                return Err(OrderError::refused(message));
            };
            let digest = challenge.key_authorization().digest();
            answering.push(
                self.issued
                    .answer(&name, challenge_certificate(&name, digest.as_ref())?),
            );
        }
        Ok(answering)
    }

    /// Reads the saved account. If it is broken or of another authority, it is retired.
    fn saved_account(&self) -> Result<Option<AccountCredentials>, OrderError> {
        let saved = self
            .storage
            .account(&self.settings)
            .map_err(|error| storage_error(&error))?;
        let Some(saved) = saved else { return Ok(None) };
        let directory = serde_json::from_str::<serde_json::Value>(&saved).ok();
        let directory = directory
            .as_ref()
            .and_then(|account| account.get("directory")?.as_str());
        match serde_json::from_str(&saved) {
            Ok(account) if directory == Some(&self.settings.directory) => Ok(Some(account)),
            _ => {
                self.retire_account("it cannot be used")?;
                Ok(None)
            }
        }
    }

    /// Sets the account aside, so that a new one is created.
    pub(super) fn retire_account(&self, why: &str) -> Result<(), OrderError> {
        warn!(why, "the account is put aside, and another is made");
        self.storage
            .retire_account(&self.settings)
            .map_err(|error| storage_error(&error))
    }

    fn builder(&self) -> Result<AccountBuilder, OrderError> {
        let http = AcmeHttp::new(&self.settings, self.clock.clone(), Arc::clone(&self.retry_after))?;
        Ok(Account::builder_with_http(Box::new(http)))
    }
}

fn storage_error(error: &std::io::Error) -> OrderError {
    OrderError::from(format!("the folder of `acme` cannot be used: {error}"))
}

/// Returns the authority's identifier of a certificate (RFC 9773).
pub(super) fn identifier(active: &ActiveCertificate) -> Option<CertificateIdentifier<'static>> {
    CertificateIdentifier::try_from(active.key.cert.first()?).ok()
}

/// Polls an order while its status is `is_pending`, and returns the first other status.
async fn wait_while(
    order: &mut Order,
    is_pending: impl Fn(OrderStatus) -> bool,
) -> Result<OrderStatus, OrderError> {
    let until = Instant::now() + STATUS_LIMIT;
    let mut gap = FIRST_GAP;
    loop {
        let state = order.refresh().await?;
        if let Some(problem) = &state.error {
            return Err(Error::Api(problem.clone()).into());
        }
        if !is_pending(state.status) {
            return Ok(state.status);
        }
        if Instant::now() >= until {
            let minutes = STATUS_LIMIT.as_secs() / 60;
            return Err(OrderError::from(format!(
                "the order is not done after {minutes} min"
            )));
        }
        tokio::time::sleep(gap).await;
        gap = (gap * 2).min(MAX_GAP);
    }
}

/// Creates the certificate that answers a challenge (RFC 8737 §3). rustls would refuse its unknown
/// critical extension, so key and certificate are combined without a check.
fn challenge_certificate(name: &str, digest: &[u8]) -> Result<CertifiedKey, OrderError> {
    let mut params = CertificateParams::new(vec![name.to_owned()])?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let key = default_provider().key_provider.load_private_key(der);
    let key = key.map_err(|error| OrderError::from(error.to_string()))?;
    Ok(CertifiedKey::new(vec![certificate.der().clone()], key))
}

/// Collects the authority's reasons for refusing the answers.
async fn why_refused(order: &mut Order, ready: Result<OrderStatus, OrderError>) -> OrderError {
    let mut reasons = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(Ok(authorization)) = authorizations.next().await {
        let errors = authorization
            .challenges
            .iter()
            .filter_map(|challenge| challenge.error.as_ref());
        let name = authorization.identifier().to_string();
        reasons.extend(errors.map(|error| format!("{name}: {error}")));
    }
    if reasons.is_empty() {
        reasons.push(match ready {
            Ok(status) => format!("the order is {status:?}"),
            Err(failure) => failure.message,
        });
    }
    OrderError::refused(reasons.join("; "))
}
