//! Check of a script's first line, which names the interpreter.
//!
//! The kernel reports a missing interpreter as "No such file", also if the only fault is a carriage
//! return after its name. A certain failure is a diagnostic at load. A file that cannot be read, or
//! that has an unknown format, passes. Binaries are left to `elf.rs`, the argument of `env` to
//! `env_argument.rs`.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::act::run::elf;
use crate::act::run::env_argument::{BLANKS, one_argument, program_of_env};
use crate::act::run::executable::{ProgramError, executable, has_registered_formats};

/// Number of bytes of a program that the kernel looks at (`BINPRM_BUF_SIZE`).
const HEAD: usize = 256;
/// Maximum depth of scripts that are interpreters of scripts. The kernel follows no more.
const MAX_SCRIPTS: usize = 5;
/// Interpreters that refuse an option with a blank in it. The kernel passes all words behind the
/// interpreter's name as one.
const ONE_OPTION: [&str; 8] = ["sh", "ash", "bash", "dash", "ksh", "zsh", "python", "sed"];

/// Checks the first line of the program at `path`, which runs in `cwd` with the `PATH` `search`.
pub(super) fn check(path: &Path, cwd: &Path, search: Option<&OsStr>) -> Result<(), ProgramError> {
    ProgramContext { cwd, search }.check(path, 0)
}

/// Surroundings of a program.
#[derive(Clone, Copy)]
struct ProgramContext<'m> {
    cwd: &'m Path,
    search: Option<&'m OsStr>,
}

impl ProgramContext<'_> {
    /// Checks a program that is the interpreter of `depth` scripts.
    fn check(self, path: &Path, depth: usize) -> Result<(), ProgramError> {
        // A program may be executable without being readable.
        let Ok(file) = File::open(path) else {
            return Ok(());
        };
        let mut head = Vec::new();
        if (&file).take(HEAD as u64).read_to_end(&mut head).is_err() {
            return Ok(());
        }
        let shown = path.display().to_string();
        if head.starts_with(elf::MAGIC) {
            return elf::check(&file, &head, self.cwd, &shown);
        }
        let Some(line) = head.strip_prefix(b"#!") else {
            return no_script(&head, &shown);
        };
        let (name, argument) = first_line(line, &shown)?;
        if depth >= MAX_SCRIPTS {
            return Err((
                format!("`{shown}` is a script, and so are more than {MAX_SCRIPTS} interpreters before it"),
                "name a binary as the interpreter".to_owned(),
            ));
        }
        let interpreter = Path::new(OsStr::from_bytes(name));
        let located = self.cwd.join(interpreter);
        if let Err((message, _)) = executable(&located) {
            return Err((
                format!("the interpreter of `{shown}` cannot be started: {message}"),
                "correct the first line, or install the interpreter".to_owned(),
            ));
        }
        self.check(&located, depth + 1)
            .map_err(|error| of_interpreter(&shown, error))?;
        // The kernel may not have seen the end of a longer line.
        if head.len() == HEAD && !head.contains(&b'\n') {
            return Ok(());
        }
        let argument = String::from_utf8_lossy(argument.trim_ascii());
        let name = interpreter.file_name().unwrap_or_default().to_string_lossy();
        if name == "env" {
            return self.check_env(&argument, &shown, depth);
        }
        let bare = name.trim_end_matches(|letter: char| letter.is_ascii_digit() || letter == '.');
        if ONE_OPTION.contains(&bare) && argument.starts_with('-') && argument.contains(BLANKS) {
            return Err(one_argument(&name, &argument, &shown));
        }
        Ok(())
    }

    /// Checks the program that `env` looks up in `#!/usr/bin/env NAME`.
    fn check_env(self, argument: &str, shown: &str, depth: usize) -> Result<(), ProgramError> {
        let Some(name) = program_of_env(argument, shown)? else {
            return Ok(());
        };
        let located = if name.contains('/') {
            let located = self.cwd.join(name);
            let found = executable(&located);
            found
                .map(|()| located)
                .map_err(|error| of_interpreter(shown, error))?
        } else {
            let Some(search) = self.search else {
                return Ok(());
            };
            let mut folders = std::env::split_paths(search).map(|folder| folder.join(name));
            let Some(located) = folders.find(|path| executable(path).is_ok()) else {
                if name.contains(BLANKS) {
                    return Err(one_argument("env", argument, shown));
                }
                return Err((
                    format!(
                        "the interpreter of `{shown}` cannot be started: there is no program `{name}` in `PATH`"
                    ),
                    format!(
                        "looked in {}; install it, or name it by its whole path",
                        search.to_string_lossy()
                    ),
                ));
            };
            located
        };
        self.check(&located, depth + 1)
            .map_err(|error| of_interpreter(shown, error))
    }
}

/// Splits the first line of a script, after its `#!`, into the interpreter and its argument.
fn first_line<'l>(head: &'l [u8], shown: &str) -> Result<(&'l [u8], &'l [u8]), ProgramError> {
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    if line.ends_with(b"\r") {
        return Err((
            format!(
                "the first line of `{shown}` ends with a carriage return, which becomes part of the interpreter's name"
            ),
            format!("the file has the line ends of Windows: sed -i 's/\\r$//' {shown}"),
        ));
    }
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let blanks = line.iter().take_while(|byte| is_blank(byte)).count();
    let line = line.get(blanks..).unwrap_or_default();
    let end = line.iter().position(is_blank).unwrap_or(line.len());
    let (name, argument) = line.split_at(end);
    if name.is_empty() {
        return Err((
            format!("the first line of `{shown}` names no interpreter"),
            "begin it with `#!/bin/sh`".to_owned(),
        ));
    }
    Ok((name, argument))
}

/// Reports that the interpreter cannot be started.
fn of_interpreter(shown: &str, (message, hint): ProgramError) -> ProgramError {
    (
        format!("the interpreter of `{shown}` cannot be started: {message}"),
        hint,
    )
}

/// Checks a program that does not begin like a script.
fn no_script(head: &[u8], shown: &str) -> Result<(), ProgramError> {
    if head.is_empty() {
        return Err((
            format!("`{shown}` is empty"),
            "a script begins with `#!/bin/sh`".to_owned(),
        ));
    }
    if head.starts_with(b"\xef\xbb\xbf#!") {
        return Err((
            format!(
                "`{shown}` has a byte order mark before `#!`, so that the kernel does not take it for a script"
            ),
            format!("take it away: sed -i '1s/^\\xEF\\xBB\\xBF//' {shown}"),
        ));
    }
    if head.contains(&0) || has_registered_formats() {
        return Ok(());
    }
    Err((
        format!("`{shown}` is not a program: it does not begin with `#!` and an interpreter"),
        "a script begins with `#!/bin/sh`".to_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_script_that_cannot_start_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("script");
        let search = Some(OsStr::new("/usr/bin:/bin"));
        let check_content = |content: &[u8], search: Option<&OsStr>| {
            std::fs::write(&path, content).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
            check(&path, folder.path(), search)
                .err()
                .map(|(message, _)| message)
        };
        for content in [
            &b"#!/bin/sh\necho\n"[..],
            b"#! /bin/sh -e\n",
            b"#!/bin/sh",
            b"#!\t/bin/sh\n\r\n",
            b"#!/usr/bin/env sh\n",
            b"#!/usr/bin/env -S sh -e\n",
            b"#!/usr/bin/env -S -i A=b sh\n",
            b"#!/usr/bin/env -iS sh\n",
            b"#!/usr/bin/env -vSsh -e\n",
            b"#!/usr/bin/env --split-string=sh -e\n",
            b"#!/usr/bin/env -S -u HOME no-such-shell\n",
            b"#!/usr/bin/env -S ${SHELL} -e\n",
            b"#!/usr/bin/env /bin/sh\n",
            b"#!/usr/bin/env sh \n",
            b"#!/usr/bin/perl -w -T\n",
            b"#!/usr/bin/awk -f\n",
            // Another format, which the kernel may know.
            b"MZ\0\0",
        ] {
            assert_eq!(check_content(content, search), None, "{}", content.escape_ascii());
        }
        assert_eq!(check_content(b"#!/usr/bin/env no-such-shell\n", None), None);
        for (content, words) in [
            (&b"#!/bin/sh\r\necho\r\n"[..], "carriage return"),
            (b"#!/usr/bin/env bash\r\n", "carriage return"),
            (b"#!/no/such/shell\n", "no program `/no/such/shell`"),
            (b"#!/usr\n", "`/usr` is not a file"),
            (b"#!/etc/passwd\n", "may not be executed"),
            (
                b"#!/usr/bin/env no-such-shell\n",
                "no program `no-such-shell` in `PATH`",
            ),
            (
                b"#!/usr/bin/env -S no-such-shell -e\n",
                "no program `no-such-shell` in `PATH`",
            ),
            (b"#!/usr/bin/env sh -u\n", "`env` gets `sh -u` as one argument"),
            (b"#!/usr/bin/env -i sh\n", "`env` gets `-i sh` as one argument"),
            (b"#!/usr/bin/env A=b sh\n", "`env` gets `A=b sh` as one argument"),
            (b"#!/usr/bin/env -u HOME sh\n", "as one argument"),
            (b"#!/usr/bin/env\n", "names no program"),
            (b"#!/usr/bin/env -i\n", "names no program"),
            (b"#!/usr/bin/env -S A=b\n", "names no program"),
            (b"#!/usr/bin/env /no/such/shell\n", "no program `/no/such/shell`"),
            (b"#!/bin/sh -e -u\n", "`sh` gets `-e -u` as one argument"),
            (
                b"#!/bin/bash -o pipefail\n",
                "`bash` gets `-o pipefail` as one argument",
            ),
            (b"\x7fELF\x02\x01", "cut off or damaged"),
            (b"#!\n", "names no interpreter"),
            (b"#!  \n", "names no interpreter"),
            (b"", "is empty"),
            (b"\xef\xbb\xbf#!/bin/sh\n", "byte order mark"),
        ] {
            let found =
                check_content(content, search).unwrap_or_else(|| panic!("{}", content.escape_ascii()));
            assert!(found.contains(words), "{words}: {found}");
        }
        if !has_registered_formats() {
            let found = check_content(b"echo hello\n", search).unwrap();
            assert!(found.contains("does not begin with `#!`"), "{found}");
        }
    }

    #[test]
    fn an_interpreter_that_is_a_script_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, content: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
            path
        };
        let search = std::env::join_paths([folder.path(), Path::new("/usr/bin"), Path::new("/bin")]).unwrap();
        let check_content = |path: &Path| {
            let found = check(path, folder.path(), Some(&search));
            found.err().map(|(message, _)| message)
        };
        let sound = put("sound", "#!/bin/sh\n");
        assert_eq!(
            check_content(&put("a", &format!("#!{}\n", sound.display()))),
            None
        );
        assert_eq!(check_content(&put("b", "#!/usr/bin/env sound\n")), None);
        let broken = put("broken", "#!/no/such/shell\n");
        for line in [
            format!("#!{}\n", broken.display()),
            "#!/usr/bin/env broken\n".to_owned(),
        ] {
            let found = check_content(&put("c", &line)).unwrap();
            assert!(
                found.contains("the interpreter of") && found.contains("no program `/no/such/shell`"),
                "{found}"
            );
        }
        let looped = folder.path().join("looped");
        put("looped", &format!("#!{}\n", looped.display()));
        assert!(
            check_content(&looped)
                .unwrap()
                .contains("more than 5 interpreters")
        );
    }
}
