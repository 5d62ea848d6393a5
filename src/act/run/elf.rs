//! Check of a binary's header (ELF): its machine and its loader.
//!
//! The kernel reports a missing loader as "No such file", and a binary of another machine as "Exec
//! format error". What cannot be read passes.

use std::ffi::OsStr;
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::act::run::executable::{ProgramError, executable, has_registered_formats};

/// First bytes of a binary.
pub(super) const MAGIC: &[u8] = b"\x7fELF";
/// Maximum length of a loader's path, in bytes. The kernel takes no longer one (`PATH_MAX`).
const MAX_LOADER: u64 = 4096;
/// Maximum size of the table of segments, in bytes. The kernel takes no larger one.
const MAX_SEGMENTS: usize = 64 << 10;
/// Type of the segment that names the loader (`PT_INTERP`).
const LOADER: u32 = 3;

/// Machines by number (`e_machine`).
const MACHINES: [(u16, &str); 12] = [
    (2, "sparc"),
    (3, "x86"),
    (8, "mips"),
    (20, "powerpc"),
    (21, "powerpc64"),
    (22, "s390x"),
    (40, "arm"),
    (43, "sparc64"),
    (62, "x86_64"),
    (183, "aarch64"),
    (243, "riscv"),
    (258, "loongarch"),
];

/// Header of a binary, in the byte order that it states.
struct Header<'b> {
    bytes: &'b [u8],
    little: bool,
    /// True if addresses have 64 bits.
    wide: bool,
}

impl Header<'_> {
    fn number(&self, at: usize, length: usize) -> Option<u64> {
        let bytes = self.bytes.get(at..at.checked_add(length)?)?;
        let add = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        Some(if self.little {
            bytes.iter().rev().fold(0, add)
        } else {
            bytes.iter().fold(0, add)
        })
    }

    /// Reads a number of two bytes.
    fn short(&self, at: usize) -> Option<u16> {
        self.number(at, 2).and_then(|number| u16::try_from(number).ok())
    }

    /// Reads a number whose offset and length depend on the class.
    fn by_class(&self, narrow: (usize, usize), wide: (usize, usize)) -> Option<u64> {
        let (at, length) = if self.wide { wide } else { narrow };
        self.number(at, length)
    }
}

/// Reports a binary of which a part is missing or makes no sense.
fn damaged(shown: &str) -> ProgramError {
    (
        format!("`{shown}` is cut off or damaged"),
        "build it or copy it again".to_owned(),
    )
}

/// Checks a binary. `head` holds its first bytes.
pub(super) fn check(file: &File, head: &[u8], cwd: &Path, shown: &str) -> Result<(), ProgramError> {
    let damaged = || damaged(shown);
    let wide = match head.get(4) {
        Some(1) => false,
        Some(2) => true,
        _ => return Err(damaged()),
    };
    let header = Header {
        bytes: head,
        little: head.get(5) == Some(&1),
        wide,
    };
    let size = if wide { 64 } else { 52 };
    if head.len() < size {
        return Err(damaged());
    }
    let not_linked = |what: &str| {
        let hint = "name the program that is linked from it".to_owned();
        Err((format!("`{shown}` is {what}, not a program"), hint))
    };
    match header.short(16).ok_or_else(damaged)? {
        1 => return not_linked("an object file"),
        2 | 3 => {}
        4 => return not_linked("the memory of a crashed program"),
        _ => return Err(damaged()),
    }
    let machine = header.short(18).ok_or_else(damaged)?;
    of_this_machine(machine, header.little, shown)?;
    let Some(loader) = loader(file, &header, shown)? else {
        return Ok(());
    };
    executable(&cwd.join(OsStr::from_bytes(&loader))).map_err(|(message, _)| {
        (
            format!("the loader of `{shown}` cannot be started: {message}"),
            "install the C library for which it was built, or link it statically".to_owned(),
        )
    })
}

/// Returns the path of the loader. `None` if the binary has none, or cannot be read.
fn loader(file: &File, header: &Header<'_>, shown: &str) -> Result<Option<Vec<u8>>, ProgramError> {
    let damaged = || damaged(shown);
    let wide = header.wide;
    let table = header.by_class((28, 4), (32, 8)).ok_or_else(damaged)?;
    let entry = usize::from(header.short(if wide { 54 } else { 42 }).ok_or_else(damaged)?);
    let entries = usize::from(header.short(if wide { 56 } else { 44 }).ok_or_else(damaged)?);
    let expected = if wide { 56 } else { 32 };
    if entry != expected || entries == 0 || entry * entries > MAX_SEGMENTS {
        return Err(damaged());
    }
    let Some(segments) = read(file, table, entry * entries).map_err(|Cut| damaged())? else {
        return Ok(None);
    };
    let mut segments = segments
        .chunks_exact(entry)
        .map(|bytes| Header { bytes, ..*header });
    let Some(segment) = segments.find(|segment| segment.number(0, 4) == Some(LOADER.into())) else {
        return Ok(None);
    };
    let start = segment.by_class((4, 4), (8, 8)).ok_or_else(damaged)?;
    let length = segment.by_class((16, 4), (32, 8)).ok_or_else(damaged)?;
    if !(2..=MAX_LOADER).contains(&length) {
        return Err(damaged());
    }
    let length = usize::try_from(length).ok().ok_or_else(damaged)?;
    let mut loader = read(file, start, length).map_err(|Cut| damaged())?;
    if let Some(path) = &mut loader
        && let Some(end) = path.iter().position(|byte| *byte == 0)
    {
        path.truncate(end);
    }
    Ok(loader)
}

/// The file ends too early.
struct Cut;

/// Reads a part of a file. `None` if the file cannot be read.
fn read(file: &File, at: u64, length: usize) -> Result<Option<Vec<u8>>, Cut> {
    let mut bytes = vec![0; length];
    match file.read_exact_at(&mut bytes, at) {
        Ok(()) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Err(Cut),
        Err(_) => Ok(None),
    }
}

/// Checks that this machine runs such a binary. An administrator may have registered an emulator.
fn of_this_machine(machine: u16, little: bool, shown: &str) -> Result<(), ProgramError> {
    let here = std::env::consts::ARCH;
    // Most 64-bit kernels also run binaries of the 32-bit machine, and a daemon of 32 bits may run
    // on them.
    let known: &[u16] = match here {
        "x86_64" | "x86" => &[62, 3],
        "aarch64" | "arm" => &[183, 40],
        "powerpc64" | "powerpc" => &[21, 20],
        "riscv64" | "riscv32" => &[243],
        "s390x" => &[22],
        "loongarch64" => &[258],
        _ => return Ok(()),
    };
    let is_ours = known.contains(&machine) && little == cfg!(target_endian = "little");
    if is_ours || has_registered_formats() {
        return Ok(());
    }
    let name = MACHINES.iter().find(|(number, _)| *number == machine);
    let name = name.map_or_else(
        || format!("machine no. {machine}"),
        |(_, name)| (*name).to_owned(),
    );
    let order = if little { "little" } else { "big" };
    Err((
        format!("`{shown}` is a program for {name} ({order}-endian), and this machine is {here}"),
        format!("build it for {here}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header of this machine with one segment, which names `loader`.
    fn binary(loader: Option<&str>) -> Vec<u8> {
        let own = std::fs::read("/proc/self/exe").unwrap();
        let wide = own[4] == 2;
        let little = own[5] == 1;
        let number = |number: usize, length: usize| {
            let bytes = (number as u64).to_be_bytes();
            let mut bytes = bytes[8 - length..].to_vec();
            if little {
                bytes.reverse();
            }
            bytes
        };
        let (size, entry) = if wide { (64, 56) } else { (52, 32) };
        let mut bytes = own[..20].to_vec();
        bytes.resize(size + entry, 0);
        let mut put = |at: usize, value: usize, length: usize| {
            bytes[at..at + length].copy_from_slice(&number(value, length));
        };
        put(16, 2, 2);
        let word = if wide { 8 } else { 4 };
        put(if wide { 32 } else { 28 }, size, word);
        put(if wide { 54 } else { 42 }, entry, 2);
        put(if wide { 56 } else { 44 }, 1, 2);
        let loader_length = loader.map_or(0, |loader| loader.len() + 1);
        put(size, if loader.is_some() { 3 } else { 1 }, 4);
        put(size + if wide { 8 } else { 4 }, size + entry, word);
        put(size + if wide { 32 } else { 16 }, loader_length, word);
        bytes.extend(loader.unwrap_or_default().bytes());
        bytes.push(0);
        bytes
    }

    fn check_content(bytes: &[u8]) -> Option<String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("binary");
        std::fs::write(&path, bytes).unwrap();
        let file = File::open(&path).unwrap();
        let head = &bytes[..bytes.len().min(256)];
        let found = check(&file, head, folder.path(), "binary");
        found.err().map(|(message, _)| message)
    }

    #[test]
    fn a_binary_that_cannot_start_is_reported() {
        assert_eq!(check_content(&binary(None)), None);
        assert_eq!(check_content(&binary(Some("/bin/sh"))), None);
        let own = std::fs::read("/proc/self/exe").unwrap();
        assert_eq!(check_content(&own), None);
        let found = check_content(&binary(Some("/lib/ld-no-such.so.1"))).unwrap();
        assert!(
            found.contains(
                "the loader of `binary` cannot be started: there is no program `/lib/ld-no-such.so.1`"
            ),
            "{found}"
        );
        let changed = |at: usize, bytes: &[u8]| {
            let mut all = binary(Some("/bin/sh"));
            all[at..at + bytes.len()].copy_from_slice(bytes);
            check_content(&all).unwrap_or_default()
        };
        let kind = |kind: u8| {
            if cfg!(target_endian = "little") {
                [kind, 0]
            } else {
                [0, kind]
            }
        };
        assert!(changed(16, &kind(1)).contains("an object file"));
        assert!(changed(16, &kind(4)).contains("crashed"));
        for (at, bytes) in [(4, &[9][..]), (16, &kind(9)[..])] {
            assert!(changed(at, bytes).contains("cut off or damaged"), "{at}");
        }
        let whole = binary(Some("/bin/sh"));
        for length in [4, 5, 20, 51, whole.len() - 10] {
            let found = check_content(&whole[..length]).unwrap_or_else(|| panic!("{length}"));
            assert!(found.contains("cut off or damaged"), "{length}: {found}");
        }
        if !has_registered_formats() {
            // sparc, which no machine here runs.
            let found = changed(18, &kind(2));
            assert!(found.contains("a program for sparc ("), "{found}");
            // The same machine with the other byte order.
            let mut other = binary(Some("/bin/sh"));
            other[5] = 3 - other[5];
            other.swap(16, 17);
            other.swap(18, 19);
            assert!(check_content(&other).unwrap().contains("-endian"));
        }
    }
}
