//! One order, from the account to the certificate (RFC 8555 §7.1).

use std::sync::PoisonError;
use std::time::Duration;

use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, CertificateIdentifier, ChallengeType, Error,
    ExternalAccountKey, Identifier, NewAccount, NewOrder, Order, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use zeroize::Zeroizing;

use super::issued::{Answering, Issued};
use super::settings::Settings;
use super::vault::Vault;
use super::way::{Respite, Way};

/// How long the authority may take to look at the answers, and again to issue.
const PATIENCE: Duration = Duration::from_mins(5);
/// What the authority says of an account that it does not know (RFC 8555 §6.7).
const NO_ACCOUNT: &str = "urn:ietf:params:acme:error:accountDoesNotExist";

/// Why there is no certificate.
#[derive(Debug)]
pub(super) struct Failure {
    /// In words.
    pub(super) message: String,
    /// Whether the authority has refused, rather than that it was not reached.
    pub(super) refused: bool,
    /// Whether it does not know the account.
    pub(super) no_account: bool,
    /// How long it wants to be left alone.
    pub(super) respite: Option<Duration>,
}

impl Failure {
    /// The authority has refused.
    pub(super) fn refused(message: String) -> Self {
        Self {
            refused: true,
            ..Self::from(message)
        }
    }
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self {
            message,
            refused: false,
            no_account: false,
            respite: None,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let Error::Api(problem) = &error else {
            return Self::from(error.to_string());
        };
        Self {
            no_account: problem.r#type.as_deref() == Some(NO_ACCOUNT),
            ..Self::refused(problem.to_string())
        }
    }
}

impl From<rcgen::Error> for Failure {
    fn from(error: rcgen::Error) -> Self {
        Self::from(error.to_string())
    }
}

/// The account: the one that is kept, or a new one, which is kept before anything is done with it.
pub(super) async fn account(
    settings: &Settings,
    vault: &Vault,
    respite: &Respite,
) -> Result<Account, Failure> {
    let way = Way::new(settings, Respite::clone(respite)).map_err(Failure::from)?;
    let builder = Account::builder_with_http(Box::new(way));
    let kept = vault.account(settings).map_err(|error| unkept(&error))?;
    let kept = kept.and_then(|kept| serde_json::from_str::<AccountCredentials>(&kept).ok());
    if let Some(kept) = kept {
        return Ok(builder.from_credentials(kept).await?);
    }
    let contact: Vec<&str> = settings.contact.iter().map(String::as_str).collect();
    let new = NewAccount {
        contact: &contact,
        terms_of_service_agreed: true,
        only_return_existing: false,
    };
    let eab = settings.eab.as_ref();
    let eab = eab.map(|eab| ExternalAccountKey::new(eab.kid.clone(), eab.key.expose()));
    let (account, credentials) = builder
        .create(&new, settings.directory.clone(), eab.as_ref())
        .await?;
    let text = serde_json::to_string(&credentials).map_err(|error| Failure::from(error.to_string()))?;
    let text = Zeroizing::new(text);
    vault
        .keep_account(settings, &text)
        .map_err(|error| unkept(&error))?;
    Ok(account)
}

fn unkept(error: &std::io::Error) -> Failure {
    Failure::from(format!("the account cannot be kept: {error}"))
}

/// Has a certificate issued: key and chain, as PEM. `replaces` says which one it takes the place of.
pub(super) async fn certificate(
    account: &Account,
    settings: &Settings,
    issued: &Issued,
    replaces: Option<CertificateIdentifier<'_>>,
) -> Result<Zeroizing<String>, Failure> {
    let names: Vec<Identifier> = settings.domains.iter().cloned().map(Identifier::Dns).collect();
    let mut new = NewOrder::new(&names);
    if let Some(replaces) = replaces {
        new = new.replaces(replaces);
    }
    let mut order = account.new_order(&new).await?;
    let answering = answer(&mut order, issued).await?;
    let patience = RetryPolicy::new().timeout(PATIENCE);
    let ready = order.poll_ready(&patience).await;
    // Not before: an authority looks from several places, and not from all of them at once.
    drop(answering);
    match ready {
        Ok(OrderStatus::Ready) => {}
        Ok(_) | Err(Error::Api(_)) => return Err(why_refused(&mut order, ready).await),
        Err(error) => return Err(error.into()),
    }
    let key = Zeroizing::new(order.finalize().await?);
    let chain = order.poll_certificate(&patience).await?;
    Ok(Zeroizing::new(format!("{}{chain}", *key)))
}

/// Answers every question of an order.
async fn answer<'i>(order: &mut Order, issued: &'i Issued) -> Result<Vec<Answering<'i>>, Failure> {
    let mut answering = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        let name = authorization.identifier().to_string();
        match authorization.status {
            AuthorizationStatus::Valid => continue,
            AuthorizationStatus::Pending => {}
            status => {
                return Err(Failure::refused(format!(
                    "the authorization for `{name}` is {status:?}"
                )));
            }
        }
        let Some(mut challenge) = authorization.challenge(ChallengeType::TlsAlpn01) else {
            return Err(Failure::refused(format!(
                "the authority does not offer tls-alpn-01 for `{name}`"
            )));
        };
        let digest = challenge.key_authorization().digest();
        answering.push(issued.answer(&name, identified(&name, digest.as_ref())?));
        challenge.set_ready().await?;
    }
    Ok(answering)
}

/// The certificate that answers a question (RFC 8737 §3). Its extension is critical and known to nobody else, so rustls would
/// not read it: it is put together by hand.
fn identified(name: &str, digest: &[u8]) -> Result<CertifiedKey, Failure> {
    let mut params = CertificateParams::new(vec![name.to_owned()])?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let key = default_provider().key_provider.load_private_key(der);
    let key = key.map_err(|error| Failure::from(error.to_string()))?;
    Ok(CertifiedKey::new(vec![certificate.der().clone()], key))
}

/// What the authority says of the answers that it did not like.
async fn why_refused(order: &mut Order, ready: Result<OrderStatus, Error>) -> Failure {
    let mut said = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(Ok(authorization)) = authorizations.next().await {
        let errors = authorization
            .challenges
            .iter()
            .filter_map(|challenge| challenge.error.as_ref());
        let name = authorization.identifier().to_string();
        said.extend(errors.map(|error| format!("{name}: {error}")));
    }
    if said.is_empty() {
        said.push(match ready {
            Ok(status) => format!("the order is {status:?}"),
            Err(error) => error.to_string(),
        });
    }
    Failure::refused(said.join("; "))
}

/// What the authority has said last of how long it wants to be left alone.
pub(super) fn respite_of(respite: &Respite) -> Option<Duration> {
    respite.lock().unwrap_or_else(PoisonError::into_inner).take()
}
