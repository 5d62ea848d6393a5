//! Attempt at a command, from its start to its end.
//!
//! Input is written and both outputs are read at the same time, so that a full pipe cannot block
//! the command. The attempt ends with the command itself. If a child still holds the pipes, they
//! are read for [`PIPES_LIMIT`] and then dropped. If the time is up or the daemon stops, the whole
//! process group is ended.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::pin::pin;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::act::action_context::ActionContext;
use crate::act::live_output::{LiveOutput, StreamName};
use crate::act::outcome::{CapturedStream, Outcome, Output, Verdict};
use crate::act::run::Run;
use crate::act::run::confinement::failure;
use crate::act::run::needs::{Needs, ResolvedNeeds, joined_messages};
use crate::act::run::process_group::ProcessGroup;
use crate::base::units::HumanDuration;
use crate::sys::fd_limit;

/// Maximum time to read the pipes after the command has ended.
const PIPES_LIMIT: Duration = Duration::from_millis(500);
/// Maximum time to look for what the command needs, on a file system that may hang.
const CHECK_LIMIT: Duration = Duration::from_secs(10);
/// Bytes read from a pipe at once.
const CHUNK: usize = 16 << 10;
/// Error number of the kernel's "Argument list too long".
const E2BIG: i32 = 7;

/// End of a command.
enum CommandEnd {
    Exited(io::Result<ExitStatus>),
    TimedOut,
    Stopped,
}

impl Run {
    /// Runs the command once.
    pub async fn perform(&self, action_context: &ActionContext<'_>, stop: &CancellationToken) -> Outcome {
        let started = Instant::now();
        if stop.is_cancelled() {
            return Outcome::new(Verdict::Stopped, "stopped", started.elapsed());
        }
        let resolved = match self.resolved().await {
            Ok(resolved) => resolved,
            Err(why) => {
                let detail = format!("unavailable: {why}");
                return Outcome::new(Verdict::FAILED, detail, started.elapsed());
            }
        };
        let prepared = self
            .command(resolved, action_context)
            .and_then(|command| Ok((command, self.input(action_context)?)));
        let (mut command, input) = match prepared {
            Ok(prepared) => prepared,
            Err(why) => return Outcome::new(Verdict::Dead, why, started.elapsed()),
        };
        let child = match command.spawn() {
            Ok(child) => {
                // A confined command does this itself.
                if resolved.confinement.is_none() {
                    fd_limit::give_back(child.id());
                }
                child
            }
            Err(error) => {
                let (verdict, detail) = self.not_started(resolved, &error).await;
                return Outcome::new(verdict, detail, started.elapsed());
            }
        };
        let (end, output) = self.supervise(child, input, stop, action_context.live).await;
        let (verdict, mut detail) = self.classify(resolved, &end, &output);
        // A confined command is started by a process of its own, whose errors are as brief as the
        // kernel's.
        if resolved.confinement.is_some()
            && detail.starts_with("cannot start ")
            && let Ok(Some(why)) = self.check_needs(Needs::missing).await
        {
            detail = format!("cannot start `{}`: {why}", resolved.program.display());
        }
        Outcome {
            verdict,
            detail,
            target: None,
            output,
            duration: started.elapsed(),
        }
    }

    /// Returns what the command needs on this machine. If something was missing at load, looks
    /// again.
    async fn resolved(&self) -> Result<&ResolvedNeeds, String> {
        if let Some(resolved) = self.needs.resolved.get() {
            return Ok(resolved);
        }
        let missing = self
            .check_needs(|needs| needs.find().err().map(|missing| joined_messages(&missing)))
            .await?;
        match (missing, self.needs.resolved.get()) {
            (None, Some(resolved)) => Ok(resolved),
            (missing, _) => Err(missing.unwrap_or_default()),
        }
    }

    /// Checks this machine, on a thread that may block.
    async fn check_needs<T: Send + 'static>(
        &self,
        check: impl FnOnce(&Needs) -> T + Send + 'static,
    ) -> Result<T, String> {
        let needs = Arc::clone(&self.needs);
        let checking = tokio::task::spawn_blocking(move || check(&needs));
        match timeout(CHECK_LIMIT, checking).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!(
                "the search for `{}` took longer than {} s",
                self.needs.display_name(),
                CHECK_LIMIT.as_secs()
            )),
        }
    }

    /// Explains why the command could not be started. The verdict says if a retry may help.
    async fn not_started(&self, resolved: &ResolvedNeeds, error: &io::Error) -> (Verdict, String) {
        if error.raw_os_error() == Some(E2BIG) {
            let detail = "arguments and environment are too long for the kernel: hand values over on stdin";
            return (Verdict::Dead, detail.to_owned());
        }
        let display_name = resolved.program.display();
        // The kernel says "No such file" also for a missing interpreter and a missing folder.
        let detail = match self.check_needs(Needs::missing).await {
            Ok(Some(why)) => format!("cannot start `{display_name}`: {why}"),
            Ok(None) if error.kind() == io::ErrorKind::NotFound => {
                format!("cannot start `{display_name}`: {error}; the file exists, and its loader does not")
            }
            Ok(None) | Err(_) => format!("cannot start `{display_name}`: {error}"),
        };
        (Verdict::FAILED, detail)
    }

    /// Writes the input, reads the output, and waits for the end of the command.
    async fn supervise(
        &self,
        mut child: Child,
        input: Bytes,
        stop: &CancellationToken,
        live: Option<&LiveOutput>,
    ) -> (CommandEnd, Output) {
        let mut group = ProcessGroup::of(&child);
        let mut output = Output::default();
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let end = {
            let Output {
                stdout: out,
                stderr: err,
            } = &mut output;
            let mut pipes = pin!(async {
                tokio::join!(
                    write_input(stdin, input),
                    capture(stdout, out, live, StreamName::Stdout),
                    capture(stderr, err, live, StreamName::Stderr)
                );
            });
            let mut deadline = pin!(sleep(self.timeout));
            let mut pipes_closed = false;
            let end = loop {
                tokio::select! {
                    biased;
                    status = child.wait() => break CommandEnd::Exited(status),
                    () = stop.cancelled() => break CommandEnd::Stopped,
                    () = &mut deadline => break CommandEnd::TimedOut,
                    () = &mut pipes, if !pipes_closed => pipes_closed = true,
                }
            };
            if matches!(end, CommandEnd::Exited(_)) {
                group.release();
            } else {
                // Keep reading, so that last output cannot block the command.
                let mut terminate = pin!(group.terminate(&mut child, self.grace));
                loop {
                    tokio::select! {
                        _ = &mut terminate => break,
                        () = &mut pipes, if !pipes_closed => pipes_closed = true,
                    }
                }
            }
            if !pipes_closed {
                drop(timeout(PIPES_LIMIT, pipes).await);
            }
            end
        };
        (end, output)
    }

    /// Returns the verdict on the end of a command, and its detail.
    fn classify(&self, resolved: &ResolvedNeeds, end: &CommandEnd, output: &Output) -> (Verdict, String) {
        match end {
            CommandEnd::Stopped => (Verdict::Stopped, "stopped".to_owned()),
            CommandEnd::TimedOut => (
                Verdict::FAILED,
                format!("timed out after {}", HumanDuration(self.timeout)),
            ),
            CommandEnd::Exited(Err(error)) => (Verdict::FAILED, format!("cannot be waited for: {error}")),
            CommandEnd::Exited(Ok(status)) => match (status.code(), status.signal()) {
                (Some(code), _) => {
                    let wrapped = resolved.confinement.is_some();
                    if let (true, Some(failure)) = (wrapped, failure(code, &output.stderr.bytes())) {
                        return failure;
                    }
                    let verdict = u8::try_from(code).map_or(Verdict::FAILED, |code| self.exit.verdict(code));
                    (verdict, format!("exit {code}"))
                }
                (None, signal) => (Verdict::FAILED, format!("killed by {}", signal_name(signal))),
            },
        }
    }
}

/// Writes the command's input. A command may ignore it, or read only a part.
async fn write_input(stdin: Option<ChildStdin>, input: Bytes) {
    if let Some(mut stdin) = stdin
        && stdin.write_all(&input).await.is_ok()
    {
        drop(stdin.shutdown().await);
    }
}

/// Reads to the end, and keeps what fits.
async fn capture(
    pipe: Option<impl AsyncRead + Unpin>,
    captured: &mut CapturedStream,
    live: Option<&LiveOutput>,
    stream: StreamName,
) {
    let Some(mut pipe) = pipe else { return };
    let mut chunk = vec![0; CHUNK];
    while let Ok(length @ 1..) = pipe.read(&mut chunk).await {
        let bytes = chunk.get(..length).unwrap_or_default();
        captured.push(bytes);
        if let Some(live) = live {
            live.push(stream, bytes);
        }
    }
}

fn signal_name(signal: Option<i32>) -> String {
    let Some(signal) = signal else {
        return "a signal".to_owned();
    };
    let name = match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        25 => "SIGXFSZ",
        31 => "SIGSYS",
        _ => return format!("signal {signal}"),
    };
    name.to_owned()
}
