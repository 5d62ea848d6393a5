//! Secrets that senders tell in handshakes: stored once, and in force before the answer.
//!
//! The first secret wins and no later one is accepted. The file is created in one step that fails
//! if it exists, so of two concurrent handshakes exactly one succeeds. Its sender is answered after
//! the rules have been reloaded, so that the first event already finds the secret.

use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc, oneshot};
use tokio_util::task::TaskTracker;

use crate::base::private_file::write_private;
use crate::base::secret::{Secret, kept};
use crate::verify::NewSecret;

/// Maximum wait of an answer for the reload with the new secret.
const IN_FORCE_LIMIT: Duration = Duration::from_secs(3);

/// Request to reload the rules. The sender is dropped when that is done.
pub type ReloadRequest = oneshot::Sender<()>;

/// Stores secrets, one at a time.
#[derive(Debug)]
pub struct SecretEnrollment {
    one_at_a_time: Arc<Mutex<()>>,
    reload: mpsc::Sender<ReloadRequest>,
    /// True if nothing is written, because rules are tested.
    is_pretended: bool,
}

/// Result of storing a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnrollOutcome {
    /// The secret was stored.
    Now,
    /// The same secret was already stored.
    Before,
    /// Another secret was already stored.
    Another,
    /// The secret cannot be stored, with the reason.
    Failed(String),
}

impl SecretEnrollment {
    /// Requests a reload through `reload` for every stored secret.
    pub fn new(reload: mpsc::Sender<ReloadRequest>) -> Self {
        Self {
            one_at_a_time: Arc::default(),
            reload,
            is_pretended: false,
        }
    }

    /// Writes nothing, and answers that every secret was stored.
    pub fn pretended(reload: mpsc::Sender<ReloadRequest>) -> Self {
        Self {
            is_pretended: true,
            ..Self::new(reload)
        }
    }

    /// Stores the secret unless there is one already, and waits until it is in force. `writing`
    /// tracks the write, so that a sender that disconnects leaves no partial file.
    pub(super) async fn enroll(&self, new_secret: &NewSecret, writing: &TaskTracker) -> EnrollOutcome {
        if self.is_pretended {
            return EnrollOutcome::Now;
        }
        let alone = Arc::clone(&self.one_at_a_time).lock_owned().await;
        let (secret, file) = (new_secret.secret.clone(), new_secret.file.clone());
        let written = writing.spawn_blocking(move || {
            let outcome = write_once(&secret, &file);
            drop(alone);
            outcome
        });
        let outcome = match written.await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(why)) => EnrollOutcome::Failed(why),
            Err(error) => EnrollOutcome::Failed(error.to_string()),
        };
        if outcome == EnrollOutcome::Now {
            let (asking, over) = oneshot::channel();
            let in_force = async {
                if self.reload.send(asking).await.is_ok() {
                    over.await.ok();
                }
            };
            // If the reload takes longer, the watched file still triggers it.
            tokio::time::timeout(IN_FORCE_LIMIT, in_force).await.ok();
        }
        outcome
    }
}

/// Writes the secret to the file unless the file holds one.
fn write_once(secret: &Secret, file: &Path) -> Result<EnrollOutcome, String> {
    if let Some(outcome) = compare(secret, file)? {
        return Ok(outcome);
    }
    match make(secret, file) {
        Ok(()) => Ok(EnrollOutcome::Now),
        // Another process has created the file first.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            compare(secret, file)?.ok_or_else(|| format!("`{}` cannot be written: {error}", file.display()))
        }
        Err(error) => Err(format!("`{}` cannot be written: {error}", file.display())),
    }
}

/// Compares the secret with the one in the file. `None` if there is none.
fn compare(secret: &Secret, file: &Path) -> Result<Option<EnrollOutcome>, String> {
    let known = kept(file)?;
    Ok(known.map(|(known, _)| {
        if known.matches(secret.expose()) {
            EnrollOutcome::Before
        } else {
            EnrollOutcome::Another
        }
    }))
}

/// Creates the file. Fails if a file exists that is not empty.
fn make(secret: &Secret, file: &Path) -> io::Result<()> {
    write_private(file, &[secret.expose(), b"\n"], |beside, file| {
        if file.exists() {
            // The file was empty a moment ago, and no other writer uses it here.
            std::fs::rename(beside, file)
        } else {
            std::fs::hard_link(beside, file)
        }
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::base::private_file::beside;

    fn write(secret: &str, file: &Path) -> Result<EnrollOutcome, String> {
        write_once(&Secret::new(secret.as_bytes().to_vec()), file)
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let name = |entry: io::Result<std::fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
        entries.map(name).collect()
    }

    #[test]
    fn the_first_secret_is_kept_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("asana");
        assert_eq!(write("first", &file), Ok(EnrollOutcome::Now));
        assert_eq!(write("first", &file), Ok(EnrollOutcome::Before));
        assert_eq!(write("second", &file), Ok(EnrollOutcome::Another));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "first\n");
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(names(folder.path()), ["asana"]);
    }

    #[test]
    fn an_empty_file_is_no_secret_and_a_leftover_is_no_obstacle() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("notion");
        std::fs::write(&file, " \n").unwrap();
        std::fs::write(beside(&file), "half a sec").unwrap();
        assert_eq!(write("secret_1", &file), Ok(EnrollOutcome::Now));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "secret_1\n");
        assert_eq!(names(folder.path()), ["notion"]);
    }

    #[test]
    fn where_nothing_can_be_written_nothing_is_outcome() {
        let folder = tempfile::tempdir().unwrap();
        let error = write("s", &folder.path().join("none/asana")).unwrap_err();
        assert!(
            error.contains("none/asana` cannot be written: No such file"),
            "{error}"
        );
        std::os::unix::fs::symlink("nowhere", folder.path().join("link")).unwrap();
        assert!(write("s", &folder.path().join("link")).is_err());
        assert!(write("s", folder.path()).is_err());
        assert_eq!(names(folder.path()), ["link"]);
    }

    #[test]
    fn of_many_who_race_one_wins() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("asana");
        let (reload, mut asked) = mpsc::channel(1);
        let learning = SecretEnrollment::new(reload);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_time()
            .build()
            .unwrap();
        let outcome: Vec<EnrollOutcome> = runtime.block_on(async {
            let tracker = TaskTracker::new();
            let new_secret = |number: usize| NewSecret {
                handshake: "asana".into(),
                secret: Secret::new(format!("secret-{number}").into_bytes()),
                file: file.clone(),
            };
            let new_secrets: Vec<NewSecret> = (0..20).map(new_secret).collect();
            let reloading = async { drop(asked.recv().await) };
            let racing = async {
                let mut racing = tokio::task::JoinSet::new();
                let learning = Arc::new(learning);
                for new_secret in new_secrets {
                    let (learning, tracker) = (Arc::clone(&learning), tracker.clone());
                    racing.spawn(async move { learning.enroll(&new_secret, &tracker).await });
                }
                racing.join_all().await
            };
            tokio::join!(racing, reloading).0
        });
        let count = |what: &EnrollOutcome| outcome.iter().filter(|outcome| *outcome == what).count();
        assert_eq!(
            (count(&EnrollOutcome::Now), count(&EnrollOutcome::Another)),
            (1, 19),
            "{outcome:?}"
        );
    }
}
