//! Daily warning about a certificate that expires soon. The check at start and reload is not
//! enough: months may pass between them.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::base::clock::{Clock, Timestamp};
use crate::base::live::Live;
use crate::rules::RuleSet;

/// Interval between warnings.
const EVERY: Duration = Duration::from_hours(24);

/// Checks until `stop`.
pub async fn run(live: Arc<Live<RuleSet>>, clock: Clock, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = stop.cancelled() => return,
        }
        look(&live.current(), clock.now());
    }
}

/// Logs a problem of the certificate at `now`.
fn look(rules: &RuleSet, now: Timestamp) {
    if let Some(problem) = rules.server.tls.as_ref().and_then(|tls| tls.problem(now)) {
        warn!(key = "server.tls", "{problem}");
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use parking_lot::Mutex;

    use super::*;
    use crate::config;
    use crate::rules::CertificateSource;
    use crate::tls::pem::Validity;

    /// A log in memory.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Log {
        fn lines(&self) -> usize {
            let said = self.0.lock();
            String::from_utf8_lossy(&said)
                .matches("the certificate expires at")
                .count()
        }
    }

    fn rules(folder: &std::path::Path) -> RuleSet {
        let pair = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        std::fs::write(folder.join("cert.pem"), pair.cert.pem()).unwrap();
        std::fs::write(folder.join("key.pem"), pair.signing_key.serialize_pem()).unwrap();
        let rules = "server: {tls: {cert: cert.pem, key: key.pem}}\nrules: []\n".to_owned();
        config::load_text(&folder.join("rules.yaml"), rules, Vec::new())
            .unwrap()
            .rules
    }

    #[test]
    fn it_is_spoken_of_from_two_weeks_before_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let mut rules = rules(folder.path());
        let day = Duration::from_hours(24);
        let from = Timestamp::EPOCH;
        let until = from.plus(90 * day);
        rules.server.tls.as_mut().unwrap().origin = CertificateSource::Files(Validity { from, until });
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone());
        let _here = tracing::subscriber::set_default(subscriber.finish());
        let said = [75, 76, 77, 78].map(|days| {
            look(&rules, from.plus(days * day));
            log.lines()
        });
        assert_eq!(said, [0, 0, 1, 2]);
    }
}
