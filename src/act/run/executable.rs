//! Files that the kernel executes, and the formats that it may know.
//!
//! The content of a file is checked in `interpreter.rs` and `elf.rs`.

use std::path::Path;

use rustix::fs::{Access, access};

/// Folder in which the kernel lists formats that an administrator has registered.
const REGISTERED: &str = "/proc/sys/fs/binfmt_misc";

/// Reason why a program cannot be started: a message and a hint.
pub type ProgramError = (String, String);

/// Checks that a file exists and is executable.
pub fn executable(path: &Path) -> Result<(), ProgramError> {
    let shown = path.display();
    match path.metadata() {
        Err(error) => Err((
            format!("there is no program `{shown}`: {error}"),
            "a path is taken from `cwd`, or else from the folder of the rules file".to_owned(),
        )),
        Ok(metadata) if !metadata.is_file() => Err((
            format!("`{shown}` is not a file"),
            "name the program itself".to_owned(),
        )),
        Ok(_) if access(path, Access::EXEC_OK).is_err() => Err((
            format!("`{shown}` may not be executed"),
            format!("chmod +x {shown}"),
        )),
        Ok(_) => Ok(()),
    }
}

/// True if the kernel may know formats that an administrator has registered.
pub fn has_registered_formats() -> bool {
    let Ok(entries) = std::fs::read_dir(REGISTERED) else {
        return false;
    };
    let mut names = entries.flatten().map(|entry| entry.file_name());
    names.any(|name| name != "register" && name != "status")
}
