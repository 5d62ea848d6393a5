//! Check of a script's first line, which names the interpreter.
//!
//! The kernel reports a missing interpreter as "No such file", also if the only fault is a carriage
//! return after its name. A certain failure is a diagnostic at load. A file that cannot be read, or
//! that has an unknown format, passes.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::act::run::program::executable;

/// Number of bytes of a program that the kernel looks at (`BINPRM_BUF_SIZE`).
const HEAD: u64 = 256;
/// Folder in which the kernel lists formats that an administrator has registered.
const REGISTERED: &str = "/proc/sys/fs/binfmt_misc";

/// Message and hint.
type Wrong = (String, String);

/// Checks the first line of the program at `path`, which runs in `cwd` with the `PATH` `search`.
pub(super) fn check(path: &Path, cwd: &Path, search: Option<&OsStr>) -> Result<(), Wrong> {
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(HEAD).read_to_end(&mut head));
    // A program may be executable without being readable.
    if read.is_err() {
        return Ok(());
    }
    let shown = path.display().to_string();
    let Some(line) = head.strip_prefix(b"#!") else {
        return no_script(&head, &shown);
    };
    let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
    if line.ends_with(b"\r") {
        return Err((
            format!(
                "the first line of `{shown}` ends with a carriage return, which becomes part of the interpreter's name"
            ),
            format!("the file has the line ends of Windows: sed -i 's/\\r$//' {shown}"),
        ));
    }
    let mut words = line
        .split(|byte| matches!(byte, b' ' | b'\t'))
        .filter(|word| !word.is_empty())
        .map(OsStr::from_bytes);
    let Some(interpreter) = words.next().map(Path::new) else {
        return Err((
            format!("the first line of `{shown}` names no interpreter"),
            "begin it with `#!/bin/sh`".to_owned(),
        ));
    };
    let located = cwd.join(interpreter);
    if let Err((message, _)) = executable(&located) {
        return Err((
            format!("the interpreter of `{shown}` cannot be started: {message}"),
            "correct the first line, or install the interpreter".to_owned(),
        ));
    }
    match (interpreter.file_name() == Some(OsStr::new("env")), search) {
        (true, Some(search)) => by_env(words, &shown, search),
        _ => Ok(()),
    }
}

/// Checks a program that does not begin like a script.
fn no_script(head: &[u8], shown: &str) -> Result<(), Wrong> {
    if head.starts_with(b"\x7fELF") {
        return Ok(());
    }
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

/// True if the kernel may know formats that an administrator has registered.
fn has_registered_formats() -> bool {
    let Ok(entries) = std::fs::read_dir(REGISTERED) else {
        return false;
    };
    let mut names = entries.flatten().map(|entry| entry.file_name());
    names.any(|name| name != "register" && name != "status")
}

/// Checks the program that `env` looks up in `#!/usr/bin/env NAME`. Other arguments of `env` are
/// not checked.
fn by_env<'w>(mut words: impl Iterator<Item = &'w OsStr>, shown: &str, search: &OsStr) -> Result<(), Wrong> {
    let first = words.next();
    let name = if first == Some(OsStr::new("-S")) {
        words.next()
    } else {
        first
    };
    let plain = |name: &&OsStr| {
        let bytes = name.as_bytes();
        !bytes.starts_with(b"-") && !bytes.contains(&b'=') && !bytes.contains(&b'/')
    };
    let Some(name) = name.filter(plain) else {
        return Ok(());
    };
    if std::env::split_paths(search).any(|folder| executable(&folder.join(name)).is_ok()) {
        return Ok(());
    }
    let name = name.to_string_lossy();
    Err((
        format!("the interpreter of `{shown}` cannot be started: there is no program `{name}` in `PATH`"),
        format!(
            "looked in {}; install it, or name it by its whole path",
            search.to_string_lossy()
        ),
    ))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_script_that_cannot_start_is_told_and_one_that_can_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("script");
        let search = Some(OsStr::new("/usr/bin:/bin"));
        let look = |content: &[u8], search: Option<&OsStr>| {
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
            b"#!/usr/bin/env -i A=b sh\n",
            b"#!/usr/bin/env /bin/sh\n",
            b"\x7fELF\x02\x01",
            // Another format, which the kernel may know.
            b"MZ\0\0",
        ] {
            assert_eq!(look(content, search), None, "{}", content.escape_ascii());
        }
        assert_eq!(look(b"#!/usr/bin/env no-such-shell\n", None), None);
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
            (b"#!\n", "names no interpreter"),
            (b"#!  \n", "names no interpreter"),
            (b"", "is empty"),
            (b"\xef\xbb\xbf#!/bin/sh\n", "byte order mark"),
        ] {
            let found = look(content, search).unwrap_or_else(|| panic!("{}", content.escape_ascii()));
            assert!(found.contains(words), "{words}: {found}");
        }
        if !has_registered_formats() {
            let found = look(b"echo hello\n", search).unwrap();
            assert!(found.contains("does not begin with `#!`"), "{found}");
        }
    }
}
