//! All rules files of the repository: those of the manual, of the tests and of the example.

use std::fs;
use std::path::{Path, PathBuf};

use serde_yaml::Value;

/// Returns the rules files with the places in which they stand.
pub fn rules_files() -> Vec<(String, Value)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["docs", "tests/it", "src/config", "src/cli"] {
        below(&root.join(folder), &mut files);
    }
    files.extend(["README.md", "rules.example.yaml"].map(|file| root.join(file)));
    files.sort();
    let mut found = Vec::new();
    for file in files {
        // Pictures of the manual are no text.
        let Ok(text) = fs::read_to_string(&file) else {
            continue;
        };
        let texts = match file.extension().and_then(|end| end.to_str()) {
            Some("md") => blocks(&text),
            Some("rs") => literals(&text),
            Some("yaml") => vec![text],
            _ => continue,
        };
        let place = file.strip_prefix(root).unwrap().display().to_string();
        found.extend(
            texts
                .iter()
                .filter_map(|text| Some((place.clone(), rules_file(text)?))),
        );
    }
    found
}

/// Collects the files of a folder.
fn below(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            below(&path, files);
        } else {
            files.push(path);
        }
    }
}

/// The blocks of YAML in a page.
fn blocks(page: &str) -> Vec<String> {
    let blocks = page.split("```yaml\n").skip(1);
    let texts = blocks.filter_map(|block| block.split_once("```").map(|(text, _)| text));
    texts.map(str::to_owned).collect()
}

/// The text literals in a file of Rust, as text and as format.
fn literals(code: &str) -> Vec<String> {
    let mut all = Vec::new();
    for begin in ["r#\"", "r\""] {
        let end = if begin == "r\"" { "\"" } else { "\"#" };
        let texts = code.split(begin).skip(1);
        all.extend(texts.filter_map(|text| text.split_once(end).map(|(text, _)| text.to_owned())));
    }
    let mut rest = code;
    while let Some((_, after)) = rest.split_once('"') {
        let (text, after) = escaped(after);
        all.push(text);
        rest = after;
    }
    let formats: Vec<String> = all
        .iter()
        .map(|text| text.replace("{{", "{").replace("}}", "}"))
        .collect();
    all.extend(formats);
    all
}

/// Reads a literal up to its end, and returns the rest.
fn escaped(code: &str) -> (String, &str) {
    let mut text = String::new();
    let mut letters = code.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return (text, code.get(at + 1..).unwrap_or_default()),
            '\\' => match letters.next() {
                Some((_, 'n')) => text.push('\n'),
                Some((_, '\n')) => {
                    let rest = letters.as_str();
                    for _ in 0..rest.len() - rest.trim_start().len() {
                        letters.next();
                    }
                }
                Some((_, letter)) => text.push(letter),
                None => {}
            },
            letter => text.push(letter),
        }
    }
    (text, "")
}

/// The text as a rules file, if it is one.
fn rules_file(text: &str) -> Option<Value> {
    let mut document: Value = serde_yaml::from_str(text).ok()?;
    document.apply_merge().ok()?;
    document.get("rules")?.is_sequence().then_some(document)
}
