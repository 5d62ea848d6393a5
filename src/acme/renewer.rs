//! Certificate renewal: requests a certificate in time and reports the status.
//!
//! Attempts run one at a time. `schedule.rs` decides when, `order.rs` performs the attempt, and
//! `storage.rs` saves the result.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use data_encoding::HEXLOWER;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{debug, info, warn};

use crate::acme::Acme;
use crate::acme::http::LatestRetryAfter;
use crate::acme::issued::ActiveCertificate;
use crate::acme::order::{OrderContext, identifier};
use crate::acme::order_error::OrderError;
use crate::acme::renewer_handle::RenewerHandle;
use crate::acme::schedule::{fraction, pause, pause_after, suggested, usual};
use crate::acme::storage::{RetryAfter, parse_certificate};
use crate::base::clock::Timestamp;

/// Maximum time for one attempt.
const ATTEMPT_LIMIT: Duration = Duration::from_mins(15);
/// Maximum sleep. The machine's clock may jump, so the schedule is checked again.
const MAX_SLEEP: Duration = Duration::from_hours(1);
/// Minimum and maximum time between queries for the suggested renewal time.
const QUERY_INTERVAL: (Duration, Duration) = (Duration::from_hours(1), Duration::from_hours(24));
/// Time until the next query after one has failed.
const QUERY_RETRY: Duration = Duration::from_hours(6);
/// Maximum early attempts that an operator can start per hour. Let's Encrypt allows five refusals.
const MAX_EARLY_RETRIES: usize = 4;
/// Maximum length of an authority's error message, in characters. Longer ones are cut.
const MAX_MESSAGE: usize = 1000;

/// Keeps the certificate renewed.
#[derive(Debug)]
pub struct Renewer {
    handle: Arc<RenewerHandle>,
    /// Digest of the settings that the other fields belong to.
    digest: [u8; 32],
    /// Failed attempts in a row.
    failures: u32,
    /// Current pause. No attempt starts before its end.
    pause: Option<RetryAfter>,
    /// Early attempts that an operator has started within the last hour.
    early_retries: Vec<Timestamp>,
    /// Renewal time that the authority suggests.
    suggestion: Option<Suggestion>,
}

/// Renewal suggestion for one certificate (RFC 9773).
#[derive(Debug)]
struct Suggestion {
    /// DER of the certificate.
    of: Vec<u8>,
    /// Suggested renewal time. `None` if the authority gave none.
    at: Option<Timestamp>,
    /// Time of the next query.
    next_query: Timestamp,
}

impl Renewer {
    pub fn new(handle: Arc<RenewerHandle>) -> Self {
        Self {
            handle,
            digest: [0; 32],
            failures: 0,
            pause: None,
            early_retries: Vec::new(),
            suggestion: None,
        }
    }

    /// Runs until it is dropped. `current` returns the ACME settings of the rules in force.
    pub async fn run(mut self, current: impl Fn() -> Option<Acme>) {
        let handle = Arc::clone(&self.handle);
        loop {
            let sleep_time = match current() {
                None => MAX_SLEEP,
                Some(acme) => {
                    let mut running = std::pin::pin!(self.run_due(&acme));
                    loop {
                        tokio::select! {
                            sleep_time = &mut running => break sleep_time,
                            () = handle.wake.notified() => {}
                        }
                        // If the rules have changed, abandon what was started under the old ones.
                        if !current().is_some_and(|now| now.is(&acme)) {
                            break Duration::ZERO;
                        }
                    }
                }
            };
            if !handle.retry_requested.load(Ordering::Relaxed) {
                // A timeout only means that the time to rest is over.
                timeout(sleep_time, handle.wake.notified()).await.ok();
            }
            if handle.retry_requested.swap(false, Ordering::Relaxed) {
                self.retry_now();
            }
        }
    }

    /// Ends the current pause at an operator's request, unless it is firm. At most
    /// `MAX_EARLY_RETRIES` times per hour.
    pub(super) fn retry_now(&mut self) {
        let now = self.handle.clock.now();
        self.early_retries
            .retain(|at| now.since(*at) < Duration::from_hours(1));
        if self.early_retries.len() < MAX_EARLY_RETRIES && self.pause.take_if(|pause| !pause.firm).is_some() {
            self.early_retries.push(now);
        }
    }

    /// Does what is due now. Returns the time to rest.
    pub(super) async fn run_due(&mut self, acme: &Acme) -> Duration {
        let Acme { settings, issued } = acme;
        if self.digest != settings.digest {
            self.digest = settings.digest;
            // A pause that an earlier daemon has saved still applies.
            self.pause = self.handle.storage.pause(settings).unwrap_or_default();
            self.failures = self.pause.as_ref().map_or(0, |pause| pause.failures);
        }
        let current = self.handle.load(acme);
        let due_at = match &current {
            Some(certificate) => self.renewal(acme, certificate).await,
            None => self.handle.clock.now(),
        };
        let now = self.handle.clock.now();
        let due_at = self.paused(now).map_or(due_at, |paused| due_at.max(paused));
        if due_at > now {
            issued.update_status(|acme_status| acme_status.next = Some(due_at));
            return due_at.since(now).min(MAX_SLEEP);
        }
        issued.update_status(|acme_status| acme_status.next = None);
        match self.attempt(acme, current.as_ref()).await {
            Ok((certificate, save_error)) => {
                let names: Vec<&str> = certificate.names.iter().map(String::as_str).collect();
                info!(names = names.join(", "), until = %certificate.validity.until, "a certificate was issued");
                self.failures = 0;
                self.start_pause(pause_after(certificate.validity), true, true);
                issued.install(certificate);
                issued.update_status(|acme_status| {
                    acme_status.issued += 1;
                    acme_status.failure = None;
                    acme_status.missing.clear();
                    acme_status.save_error = save_error;
                });
            }
            Err((failure, retry_after)) => self.record_failure(acme, failure, retry_after),
        }
        Duration::ZERO
    }

    /// Returns the end of the current pause, if any.
    fn paused(&mut self, now: Timestamp) -> Option<Timestamp> {
        let pause = self.pause.as_mut()?;
        if now.as_millis() < pause.since {
            // The clock was ahead when the pause began. Do not wait for the difference.
            pause.since = now.as_millis();
        }
        Some(Timestamp::from_millis(pause.since).plus(Duration::from_secs(pause.seconds)))
    }

    /// Starts a pause. If `firm`, an operator cannot shorten it. If `persistent`, it survives a
    /// restart.
    fn start_pause(&mut self, pause: Duration, firm: bool, persistent: bool) {
        let pause = RetryAfter {
            settings: HEXLOWER.encode(&self.digest),
            since: self.handle.clock.now().as_millis(),
            seconds: pause.as_secs(),
            failures: self.failures,
            firm,
        };
        if persistent && let Err(error) = self.handle.storage.save_pause(&pause) {
            debug!(%error, "the pause cannot be kept");
        }
        self.pause = Some(pause);
    }

    /// Has a certificate issued and saves it. Returns the reason if saving failed. An error comes
    /// with the authority's `Retry-After`, if any.
    async fn attempt(
        &self,
        acme: &Acme,
        old: Option<&ActiveCertificate>,
    ) -> Result<(ActiveCertificate, Option<String>), (OrderError, Option<Duration>)> {
        let context = self.context(acme);
        let retry_after = Arc::clone(&context.retry_after);
        // Send `replaces` only to an authority that has suggested a renewal time (RFC 9773 §5).
        let suggestion = self.suggestion.as_ref();
        let suggested = suggestion.is_some_and(|suggestion| suggestion.at.is_some());
        let replaces = old.filter(|_| suggested && self.failures == 0).cloned();
        let attempted = guarded(async move {
            let mut pem = context.certificate(replaces.as_ref()).await;
            if pem.as_ref().is_err_and(|failure| failure.no_account) {
                context.retire_account("the authority does not know it")?;
                pem = context.certificate(replaces.as_ref()).await;
            }
            let (pem, settings) = (pem?, &context.settings);
            let expired = |certificate: &ActiveCertificate| {
                let until = certificate.validity.until;
                (until <= context.clock.now()).then(|| format!("it expired at {until}"))
            };
            let parsed = parse_certificate(settings, &pem)
                .and_then(|certificate| expired(&certificate).map_or(Ok(certificate), Err));
            let certificate = parsed.map_err(|error| {
                context.storage.delete_order(settings).ok();
                OrderError::refused(format!("what was issued: {error}"))
            })?;
            let saved = context.storage.save_certificate(settings, &pem);
            let save_error = saved.err().map(|error| error.to_string());
            if let Some(error) = &save_error {
                warn!(error, "the certificate cannot be kept");
            }
            Ok((certificate, save_error))
        });
        attempted.await.map_err(|failure| {
            let retry_after = retry_after.lock().take();
            (failure, retry_after)
        })
    }

    fn context(&self, acme: &Acme) -> OrderContext {
        OrderContext {
            settings: Arc::clone(&acme.settings),
            issued: Arc::clone(&acme.issued),
            storage: self.handle.storage.clone(),
            clock: self.handle.clock.clone(),
            retry_after: LatestRetryAfter::default(),
        }
    }

    /// Records a failed attempt and starts a pause.
    fn record_failure(&mut self, acme: &Acme, mut failure: OrderError, retry_after: Option<Duration>) {
        // The message may contain anything and is shown in single lines.
        failure.message = failure.message.replace(char::is_control, " ");
        if let Some((end, _)) = failure.message.char_indices().nth(MAX_MESSAGE) {
            failure.message.truncate(end);
        }
        self.failures = self.failures.saturating_add(1);
        let pause = pause(self.failures, failure.refused, retry_after);
        self.start_pause(
            pause,
            retry_after.is_some(),
            failure.refused || retry_after.is_some(),
        );
        let next = self.handle.clock.now().plus(pause);
        let directory = &acme.settings.directory;
        warn!(directory, error = failure.message, %next, "no certificate was issued");
        acme.issued.update_status(|acme_status| {
            acme_status.failed += 1;
            acme_status.failure = Some(failure.message);
        });
    }

    /// Returns the renewal time: the authority's suggestion, or else the usual time.
    async fn renewal(&mut self, acme: &Acme, certificate: &ActiveCertificate) -> Timestamp {
        let leaf = certificate.key.cert.first().map_or(&[][..], |leaf| leaf.as_ref());
        let fraction = fraction(leaf);
        let now = self.handle.clock.now();
        let before = self.suggestion.take().filter(|suggestion| suggestion.of == leaf);
        let suggestion = match before {
            Some(known) if known.next_query > now => known,
            before => match self.window(acme, certificate).await {
                Ok((window, next_query)) => Suggestion {
                    of: leaf.to_owned(),
                    at: Some(suggested(certificate.validity, window, fraction)),
                    next_query: now.plus(next_query.clamp(QUERY_INTERVAL.0, QUERY_INTERVAL.1)),
                },
                Err(failure) => {
                    debug!(
                        error = failure.message,
                        "the authority does not say when to renew"
                    );
                    Suggestion {
                        of: leaf.to_owned(),
                        // An earlier suggestion may still hold.
                        at: before.and_then(|before| before.at),
                        next_query: now.plus(QUERY_RETRY),
                    }
                }
            },
        };
        let at = suggestion.at;
        self.suggestion = Some(suggestion);
        at.unwrap_or_else(|| usual(certificate.validity, fraction))
    }

    /// Queries the renewal window that the authority suggests (RFC 9773), and the time until the
    /// next query.
    async fn window(
        &self,
        acme: &Acme,
        certificate: &ActiveCertificate,
    ) -> Result<((Timestamp, Timestamp), Duration), OrderError> {
        let identifier =
            identifier(certificate).ok_or_else(|| OrderError::from("it has no identifier".to_owned()))?;
        let context = self.context(acme);
        guarded(async move {
            let account = context.account().await?;
            let (info, next_query) = account.renewal_info(&identifier).await?;
            let window = info.suggested_window;
            let moment = |at: time::OffsetDateTime| Timestamp::from_seconds(at.unix_timestamp());
            Ok(((moment(window.start), moment(window.end)), next_query))
        })
        .await
    }
}

/// Runs an attempt in a tokio task of its own, within a time limit. If the caller is dropped, the
/// attempt ends. A panic in a library counts as a failed attempt.
async fn guarded<T: Send + 'static>(
    attempt: impl Future<Output = Result<T, OrderError>> + Send + 'static,
) -> Result<T, OrderError> {
    // Dropping the set aborts what runs in it.
    let mut task = JoinSet::new();
    task.spawn(attempt);
    match timeout(ATTEMPT_LIMIT, task.join_next()).await {
        Ok(Some(Ok(done))) => done,
        Ok(ended) => {
            let error = ended.and_then(Result::err);
            let error = error.map_or_else(String::new, |error| error.to_string());
            Err(OrderError::refused(format!(
                "what the authority says is not understood: {error}"
            )))
        }
        Err(_) => {
            let minutes = ATTEMPT_LIMIT.as_secs() / 60;
            Err(OrderError::from(format!("it took longer than {minutes} min")))
        }
    }
}
