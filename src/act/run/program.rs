//! Lookup of programs, as a shell does it.
//!
//! The first line of a script is checked in `interpreter.rs`.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use crate::act::run::executable::{ProgramError, executable};
use crate::act::run::interpreter;

/// Returns the absolute path of `program`. A program with a slash is taken from `cwd`. Any other is
/// the first one in the folders of `search`. The error is a message and a hint.
pub fn find(program: &str, cwd: &Path, search: Option<&OsStr>) -> Result<PathBuf, ProgramError> {
    if program.contains('/') {
        let path = cwd.join(program);
        executable(&path)?;
        interpreter::check(&path, cwd, search)?;
        return Ok(path);
    }
    // If `PATH` depends on the event, `compile.rs` accepts only a program with a slash.
    let search = search.unwrap_or_default();
    let found = std::env::split_paths(search)
        // A relative folder in `PATH` would mean another program for every `cwd`.
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(program))
        .find(|path| executable(path).is_ok());
    let Some(path) = found else {
        return Err((
            format!("there is no program `{program}` in `PATH`"),
            format!(
                "looked in {}; write the program's whole path",
                search.to_string_lossy()
            ),
        ));
    };
    interpreter::check(&path, cwd, Some(search))?;
    Ok(path)
}

/// Checks a script that an interpreter reads. It need not be executable. With `package`, a folder
/// that holds `__main__.py` is a script, too.
pub(super) fn readable(
    script: &str,
    package: bool,
    cwd: &Path,
    search: Option<&OsStr>,
) -> Result<(), ProgramError> {
    let path = cwd.join(script);
    let shown = path.display();
    match path.metadata() {
        Err(_) if in_search_path(script, search) => Ok(()),
        Err(error) => Err((
            format!("there is no script `{shown}`: {error}"),
            "a path is taken from `cwd`, or else from the folder of the rules file".to_owned(),
        )),
        Ok(metadata) if metadata.is_dir() && !(package && path.join("__main__.py").exists()) => Err((
            format!("`{shown}` is a folder, not a script"),
            "name the script itself".to_owned(),
        )),
        Ok(_) if access(&path, Access::READ_OK).is_err() => Err((
            format!("the script `{shown}` may not be read"),
            format!("chmod +r {shown}"),
        )),
        Ok(_) => Ok(()),
    }
}

/// True if a shell would find a script in `PATH`.
fn in_search_path(script: &str, search: Option<&OsStr>) -> bool {
    let mut folders = search.map(std::env::split_paths).into_iter().flatten();
    !script.contains('/') && folders.any(|folder| folder.join(script).exists())
}

/// Explains why an existing program did not start, if that can be seen. The kernel says "No such
/// file" also for a script's interpreter or a binary's loader.
pub fn why_not(path: &Path, cwd: &Path, search: Option<&OsStr>) -> Option<String> {
    executable(path)
        .and_then(|()| interpreter::check(path, cwd, search))
        .err()
        .map(|(message, hint)| format!("{message} ({hint})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_where_a_shell_would_find_it() {
        let folder = tempfile::tempdir().unwrap();
        let cwd = folder.path();
        std::fs::write(cwd.join("plain"), "#!/bin/sh\n").unwrap();
        let path = Some(OsStr::new("relative:/nowhere:/usr/bin:/bin"));
        assert!(find("true", cwd, path).unwrap().is_absolute());
        assert_eq!(find("/bin/sh", cwd, None).unwrap(), Path::new("/bin/sh"));
        std::os::unix::fs::symlink("/bin/sh", cwd.join("link")).unwrap();
        assert_eq!(find("./link", cwd, path).unwrap(), cwd.join("./link"));
        for (program, search, message) in [
            ("/no/such", path, "there is no program `/no/such`"),
            (
                "no-such-program",
                path,
                "there is no program `no-such-program` in `PATH`",
            ),
            ("./plain", path, "may not be executed"),
            ("/tmp", path, "is not a file"),
            ("true", None, "there is no program"),
            ("link", Some(OsStr::new(".")), "there is no program"),
        ] {
            let (found, _) = find(program, cwd, search).unwrap_err();
            assert!(found.contains(message), "{program}: {found}");
        }
    }

    #[test]
    fn a_missing_or_unreadable_script_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        let cwd = folder.path();
        std::fs::write(cwd.join("here.sh"), "true\n").unwrap();
        for package in ["package", "folder"] {
            std::fs::create_dir(cwd.join(package)).unwrap();
        }
        std::fs::write(cwd.join("package/__main__.py"), "").unwrap();
        let search = Some(OsStr::new("/usr/bin:/bin"));
        for (script, package) in [
            ("here.sh", false),
            ("./here.sh", true),
            ("package", true),
            ("true", false),
        ] {
            assert_eq!(readable(script, package, cwd, search), Ok(()), "{script}");
        }
        for (script, package, words) in [
            ("gone.sh", true, "there is no script"),
            ("./true", false, "there is no script"),
            ("here.sh/gone.sh", false, "there is no script"),
            ("package", false, "is a folder"),
            ("folder", true, "is a folder"),
        ] {
            let (message, _) = readable(script, package, cwd, search).unwrap_err();
            assert!(message.contains(words), "{script}: {message}");
        }
    }
}
