//! Comparison of the table with the constants in the source.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use super::{LIMITS, grouped};
use crate::base::units::{HumanDuration, Size};

/// A constant of the source.
struct Constant {
    /// Path below `src/`, without `.rs`.
    file: String,
    name: String,
    expression: String,
}

/// All numeric constants outside of tests.
fn constants() -> Vec<Constant> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    let mut constants = Vec::new();
    for path in files {
        let file = path.strip_prefix(&root).unwrap().with_extension("");
        let file = file.to_str().unwrap().to_owned();
        if file.contains("tests") || file.starts_with("reference") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        for rest in text.split("const ").skip(1) {
            let Some((name, rest)) = rest.split_once(": ") else {
                continue;
            };
            let Some((kind, rest)) = rest.split_once('=') else {
                continue;
            };
            let Some((expression, _)) = rest.split_once(';') else {
                continue;
            };
            let numeric = [
                "u8", "u16", "u32", "u64", "usize", "i32", "i64", "Duration", "Size",
            ];
            let plain =
                |letter: char| letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == '_';
            if name.chars().all(plain) && numeric.contains(&kind.trim()) {
                constants.push(Constant {
                    file: file.clone(),
                    name: name.to_owned(),
                    expression: expression.split_whitespace().collect::<Vec<_>>().join(" "),
                });
            }
        }
    }
    constants
}

fn collect(folder: &Path, files: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The one constant that `config/ MAX_NAME` names.
fn find<'c>(constants: &'c [Constant], named: &str) -> Result<&'c Constant, String> {
    let (file, name) = named.split_once(' ').unwrap();
    let fits = |constant: &&Constant| constant.name == name && constant.file.starts_with(file);
    let found: Vec<&Constant> = constants.iter().filter(fits).collect();
    match found.as_slice() {
        [one] => Ok(one),
        [] => Err(format!("`{named}`: there is no such constant")),
        several => {
            let files: Vec<&str> = several.iter().map(|constant| constant.file.as_str()).collect();
            Err(format!("`{named}` stands in {files:?}: write more of the file"))
        }
    }
}

/// The value of an expression: a number, or milliseconds.
fn value(expression: &str, constants: &[Constant], file: &str) -> Option<u128> {
    let expression = expression.trim();
    let of = |part: &str| value(part, constants, file);
    for operator in [" << ", " + ", " - ", " * "] {
        let mut depth = 0_i32;
        for (at, letter) in expression.char_indices() {
            match letter {
                '(' => depth += 1,
                ')' => depth -= 1,
                _ => {}
            }
            let (left, right) = expression.split_at(at);
            if depth == 0
                && let Some(right) = right.strip_prefix(operator)
            {
                let (left, right) = (of(left)?, of(right)?);
                return match operator {
                    " << " => left.checked_shl(u32::try_from(right).ok()?),
                    " + " => left.checked_add(right),
                    " - " => left.checked_sub(right),
                    _ => left.checked_mul(right),
                };
            }
        }
    }
    if let Some(inner) = expression.strip_suffix(')') {
        let (function, argument) = inner.split_once('(')?;
        let scale = match function {
            "" | "Size" | "Duration::from_millis" => 1,
            "Duration::from_secs" => 1000,
            "Duration::from_mins" => 60_000,
            "Duration::from_hours" => 3_600_000,
            _ => return None,
        };
        return Some(of(argument)? * scale);
    }
    if let Ok(number) = expression.replace('_', "").parse() {
        return Some(number);
    }
    // A constant of the same file, or the only one of its name nearby.
    let folder = file.rsplit_once('/').map_or(file, |(folder, _)| folder);
    let near = |place: &str| {
        constants
            .iter()
            .find(|constant| constant.name == expression && constant.file.starts_with(place))
    };
    let constant = near(file).or_else(|| near(folder))?;
    value(&constant.expression, constants, &constant.file)
}

/// The value of a bound: `64 KiB`, `10s`, `100 fields`.
fn bound(text: &str) -> Option<u128> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    match unit.trim() {
        "KiB" | "MiB" | "GiB" => Size::parse(text).ok().map(|size| size.0.into()),
        _ if unit.starts_with(' ') => number.parse().ok(),
        _ => HumanDuration::parse(text)
            .ok()
            .map(|HumanDuration(duration)| Duration::as_millis(&duration)),
    }
}

#[test]
fn every_limit_of_the_table_is_the_constant_of_the_source() {
    let constants = constants();
    assert!(constants.len() > 200, "{}", constants.len());
    let mut wrong = Vec::new();
    for limit in LIMITS.parts.values().flatten() {
        let constant = match find(&constants, &limit.constant) {
            Ok(constant) => constant,
            Err(message) => {
                wrong.push(message);
                continue;
            }
        };
        let scale = if constant.name.ends_with("_KIB") { 1024 } else { 1 };
        let is = value(&constant.expression, &constants, &constant.file).map(|value| value * scale);
        let said = bound(&limit.bound);
        if said.is_none() || said != is {
            wrong.push(format!(
                "{}: the table says {} ({said:?}), the source {} ({is:?})",
                limit.constant, limit.bound, constant.expression
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Modules that read rules files and requests.
const READERS: [&str; 7] = [
    "config", "matching", "payload", "pipeline", "server", "template", "verify",
];

#[test]
fn every_maximum_of_what_is_read_stands_in_the_table() {
    let constants = constants();
    let named = LIMITS.parts.values().flatten().map(|limit| &limit.constant);
    let mut known = BTreeSet::new();
    let mut wrong = Vec::new();
    for name in named.chain(&LIMITS.internal) {
        match find(&constants, name) {
            Ok(constant) => {
                known.insert((constant.file.as_str(), constant.name.as_str()));
            }
            Err(message) => wrong.push(message),
        }
    }
    let of_a_reader = |constant: &&Constant| READERS.contains(&constant.file.split('/').next().unwrap());
    let maxima = constants
        .iter()
        .filter(|constant| constant.name.starts_with("MAX_"));
    for constant in maxima.filter(of_a_reader) {
        if !known.contains(&(constant.file.as_str(), constant.name.as_str())) {
            wrong.push(format!(
                "`{} {}` stands neither in a part of limits.yaml nor under `internal`",
                constant.file, constant.name
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn numbers_are_written_with_their_thousands_apart() {
    for (bound, expected) in [
        ("1048576 values", "1,048,576 values"),
        ("10000 fields", "10,000 fields"),
        ("4096 sets", "4096 sets"),
        ("10s", "10s"),
    ] {
        assert_eq!(grouped(bound), expected);
    }
}
