//! `hookyard admin password`: the hash of a password.

use std::io::{IsTerminal, Read, Stdin, Write};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::base::password::{MAX_PASSWORD, PasswordHash};
use crate::cli::{YES, complain, fail, say};

pub fn run() -> u8 {
    let stdin = std::io::stdin();
    let password = if stdin.is_terminal() {
        from_terminal(&stdin)
    } else {
        line(&stdin)
    };
    let hash = password.and_then(|password| {
        PasswordHash::new(&password).map_err(|why| format!("the password is not accepted: {why}"))
    });
    match hash {
        Ok(hash) => {
            let code = say(&hash.to_phc(), YES);
            complain(
                "put the hash into a file that only the daemon can read, and write in rules.yaml:\n  admin: {listen: \
                 127.0.0.1:9001, password: file:admin.hash}",
            );
            code
        }
        Err(message) => fail(&message),
    }
}

/// Asks twice, without echo.
fn from_terminal(stdin: &Stdin) -> Result<Zeroizing<String>, String> {
    let _silence = Silence::new(stdin)?;
    let ask = |question: &str| {
        let mut stderr = std::io::stderr().lock();
        write!(stderr, "{question}: ")
            .and_then(|()| stderr.flush())
            .map_err(|error| format!("cannot ask: {error}"))?;
        let answer = line(stdin);
        complain("");
        answer
    };
    let (first, again) = (ask("Password")?, ask("Password again")?);
    if *first == *again {
        Ok(first)
    } else {
        Err("the two passwords differ".to_owned())
    }
}

/// Reads one line, of at most the maximum and its end.
fn line(stdin: &Stdin) -> Result<Zeroizing<String>, String> {
    let failed = |error: &dyn std::fmt::Display| format!("cannot read the password: {error}");
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_PASSWORD + 3));
    // One byte at a time: what comes after the line stays for the next one.
    for byte in stdin.lock().bytes() {
        match byte.map_err(|error| failed(&error))? {
            b'\n' => break,
            byte if bytes.len() <= MAX_PASSWORD => bytes.push(byte),
            // One more than the maximum is refused anyway.
            _ => {}
        }
    }
    let text = std::str::from_utf8(&bytes).map_err(|_invalid| failed(&"it is not UTF-8"))?;
    Ok(Zeroizing::new(text.strip_suffix('\r').unwrap_or(text).to_owned()))
}

/// A terminal without echo, until dropped.
struct Silence<'s> {
    stdin: &'s Stdin,
    before: Termios,
}

impl<'s> Silence<'s> {
    fn new(stdin: &'s Stdin) -> Result<Self, String> {
        let failed = |error| format!("the terminal cannot be silenced: {error}");
        let before = tcgetattr(stdin).map_err(failed)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        // What was typed before the question is no answer.
        tcsetattr(stdin, OptionalActions::Flush, &silent).map_err(failed)?;
        Ok(Self { stdin, before })
    }
}

impl Drop for Silence<'_> {
    fn drop(&mut self) {
        tcsetattr(self.stdin, OptionalActions::Now, &self.before).ok();
    }
}
