//! Sees to it that there is a certificate: takes what is kept, asks the authority in time, and tells how it stands.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use instant_acme::{Account, CertificateIdentifier};
use tokio::sync::Notify;
use tokio::time::timeout;
use tracing::{debug, info, warn};

use super::issued::Held;
use super::order::{self, Failure, respite_of};
use super::schedule::{fraction, pause, suggested, usual};
use super::vault::{Vault, held};
use super::way::Respite;
use super::{Acme, Settings};
use crate::clock::{Clock, Timestamp};

/// How long one attempt may take.
const ATTEMPT_LIMIT: Duration = Duration::from_mins(15);
/// The longest sleep: a machine's clock may leap.
const LOOK_EVERY: Duration = Duration::from_hours(1);
/// How often the authority is asked when it would have the certificate renewed, at most and at least.
const ASK_EVERY: (Duration, Duration) = (Duration::from_hours(1), Duration::from_hours(24));

/// How much is told of what an authority says, in characters.
const MAX_MESSAGE: usize = 1000;

/// Rung when the rules are others.
#[derive(Debug, Default)]
pub struct Bell {
    rung: Notify,
    at_once: AtomicBool,
}

impl Bell {
    /// Rings. `at_once`: somebody asks for it, so that an attempt is not to wait for its time.
    pub fn ring(&self, at_once: bool) {
        self.at_once.fetch_or(at_once, Ordering::Relaxed);
        self.rung.notify_one();
    }
}

/// Keeps the certificate.
#[derive(Debug)]
pub struct Keeper {
    vault: Vault,
    clock: Clock,
    bell: Arc<Bell>,
    /// What the settings were that the rest is about.
    digest: [u8; 32],
    /// How many attempts in a row were in vain.
    failures: u32,
    /// Not before then.
    not_before: Option<Timestamp>,
    /// When the authority would have the certificate renewed.
    suggestion: Option<Suggestion>,
}

/// What the authority has said of a certificate.
#[derive(Debug)]
struct Suggestion {
    /// The certificate.
    of: Vec<u8>,
    /// When to renew it, if the authority knows.
    at: Option<Timestamp>,
    /// When to ask again.
    again: Timestamp,
}

impl Keeper {
    /// Keeps in `folder`.
    pub fn new(folder: PathBuf, clock: Clock, bell: Arc<Bell>) -> Self {
        Self {
            vault: Vault::new(folder),
            clock,
            bell,
            digest: [0; 32],
            failures: 0,
            not_before: None,
            suggestion: None,
        }
    }

    /// Keeps for as long as it is let. `current` says what the rules in force say.
    pub async fn run(mut self, current: impl Fn() -> Option<Acme>) {
        loop {
            let rest = match current() {
                Some(acme) => self.look(&acme).await,
                None => LOOK_EVERY,
            };
            // An error is that the time is over.
            timeout(rest, self.bell.rung.notified()).await.ok();
            if self.bell.at_once.swap(false, Ordering::Relaxed) {
                self.not_before = None;
            }
        }
    }

    /// Does what is to be done now; says how long to rest.
    pub(super) async fn look(&mut self, acme: &Acme) -> Duration {
        let Acme { settings, issued } = acme;
        if self.digest != settings.digest {
            self.digest = settings.digest;
            (self.failures, self.not_before) = (0, None);
        }
        let fitting = |held: &Option<Held>| {
            let fits = |held: &&Held| held.kept_as == settings.certificate_name();
            held.as_ref().filter(fits).cloned()
        };
        let mut held = fitting(&issued.held());
        if held.is_none() {
            held = match self.vault.certificate(settings) {
                Ok(kept) => kept.inspect(|kept| issued.put(kept.clone())),
                Err(error) => {
                    warn!(%error, "the certificate that is kept cannot be used");
                    None
                }
            };
        }
        let due = match &held {
            Some(held) => self.renewal(settings, held).await,
            None => self.clock.now(),
        };
        let due = self.not_before.map_or(due, |not_before| due.max(not_before));
        let now = self.clock.now();
        if due > now {
            issued.note(|standing| standing.next = Some(due));
            return due.since(now).min(LOOK_EVERY);
        }
        issued.note(|standing| standing.next = None);
        match timeout(ATTEMPT_LIMIT, self.attempt(acme, held.as_ref())).await {
            Ok(Ok(held)) => {
                // Also of an authority whose certificates are old when they are issued not one after the other.
                let left = held.validity.until.since(self.clock.now());
                let not_before = self.clock.now().plus((left / 2).min(LOOK_EVERY));
                (self.failures, self.not_before) = (0, Some(not_before));
                let names: Vec<&str> = held.names.iter().map(String::as_str).collect();
                info!(names = names.join(", "), until = %held.validity.until, "a certificate was issued");
                issued.put(held);
                issued.note(|standing| {
                    standing.issued += 1;
                    standing.failure = None;
                });
            }
            Ok(Err(failure)) => self.in_vain(acme, failure),
            Err(_) => {
                let minutes = ATTEMPT_LIMIT.as_secs() / 60;
                self.in_vain(acme, Failure::from(format!("it took longer than {minutes} min")));
            }
        }
        Duration::ZERO
    }

    /// Has a certificate issued, and keeps it.
    async fn attempt(&self, acme: &Acme, old: Option<&Held>) -> Result<Held, Failure> {
        let respite = Respite::default();
        let mut attempted = self.order(acme, old, &respite).await;
        if let Err(failure) = &attempted
            && failure.no_account
            && self.vault.forget_account(&acme.settings).is_ok()
        {
            info!("the authority does not know the account any more: another is made");
            attempted = self.order(acme, old, &respite).await;
        }
        attempted.map_err(|failure| Failure {
            respite: respite_of(&respite),
            ..failure
        })
    }

    async fn order(&self, acme: &Acme, old: Option<&Held>, respite: &Respite) -> Result<Held, Failure> {
        let Acme { settings, issued } = acme;
        let account = order::account(settings, &self.vault, respite).await?;
        // Only an authority that has said when it would have a certificate renewed wants to know which one this is.
        let suggested = self
            .suggestion
            .as_ref()
            .is_some_and(|suggestion| suggestion.at.is_some());
        let replaces = old
            .filter(|_| suggested && self.failures == 0)
            .and_then(identifier);
        let pem = order::certificate(&account, settings, issued, replaces).await?;
        let unfit = |error: String| Failure::refused(format!("what was issued: {error}"));
        let held = held(settings, &pem).map_err(unfit)?;
        if held.validity.until <= self.clock.now() {
            return Err(unfit(format!("it expired at {}", held.validity.until)));
        }
        if let Err(error) = self.vault.keep_certificate(settings, &pem) {
            warn!(%error, "the certificate cannot be kept: the next start has to ask for another");
        }
        Ok(held)
    }

    /// Remembers that an attempt was in vain.
    fn in_vain(&mut self, acme: &Acme, mut failure: Failure) {
        if let Some((end, _)) = failure.message.char_indices().nth(MAX_MESSAGE) {
            failure.message.truncate(end);
        }
        self.failures = self.failures.saturating_add(1);
        let pause = pause(self.failures, failure.refused, failure.respite);
        let next = self.clock.now().plus(pause);
        self.not_before = Some(next);
        let directory = &acme.settings.directory;
        warn!(directory, error = failure.message, %next, "no certificate was issued");
        acme.issued.note(|standing| {
            standing.failed += 1;
            standing.failure = Some(failure.message);
        });
    }

    /// When a certificate is to be renewed: when the authority says so, if it does.
    async fn renewal(&mut self, settings: &Settings, held: &Held) -> Timestamp {
        let leaf = held.key.cert.first().map_or(&[][..], |leaf| leaf.as_ref());
        let fraction = fraction(leaf);
        let now = self.clock.now();
        let known = self
            .suggestion
            .as_ref()
            .filter(|suggestion| suggestion.of == leaf && suggestion.again > now);
        if known.is_none() {
            let (at, again) = match self.window(settings, held).await {
                Ok((window, again)) => (
                    Some(suggested(held.validity, window, fraction)),
                    again.clamp(ASK_EVERY.0, ASK_EVERY.1),
                ),
                Err(failure) => {
                    debug!(
                        error = failure.message,
                        "the authority does not say when to renew"
                    );
                    (None, ASK_EVERY.1)
                }
            };
            self.suggestion = Some(Suggestion {
                of: leaf.to_owned(),
                at,
                again: now.plus(again),
            });
        }
        let at = self.suggestion.as_ref().and_then(|suggestion| suggestion.at);
        at.unwrap_or_else(|| usual(held.validity, fraction))
    }

    /// The window that the authority suggests (RFC 9773), and for how long that is to be believed.
    async fn window(
        &self,
        settings: &Settings,
        held: &Held,
    ) -> Result<((Timestamp, Timestamp), Duration), Failure> {
        let account: Account = order::account(settings, &self.vault, &Respite::default()).await?;
        let identifier = identifier(held).ok_or_else(|| Failure::from("it has no identifier".to_owned()))?;
        let (info, again) = account.renewal_info(&identifier).await?;
        let window = info.suggested_window;
        let moment = |at: time::OffsetDateTime| Timestamp::from_seconds(at.unix_timestamp());
        Ok(((moment(window.start), moment(window.end)), again))
    }
}

/// What the authority calls a certificate.
fn identifier(held: &Held) -> Option<CertificateIdentifier<'static>> {
    CertificateIdentifier::try_from(held.key.cert.first()?).ok()
}
