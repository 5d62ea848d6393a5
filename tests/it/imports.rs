//! The import table: the modules that each module may use.

use std::path::{Path, PathBuf};

/// Each module with the modules that it may import. All of those stand above it in this list, so
/// imports never form a circle.
const TABLE: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("sys", &["base"]),
    ("tls", &["base"]),
    ("template", &["base"]),
    ("client", &["base", "tls", "template"]),
    ("event", &["base"]),
    ("payload", &["base", "event"]),
    ("verify", &["base", "event", "payload"]),
    ("matching", &["base", "template", "event", "payload", "verify"]),
    ("store", &["base", "event"]),
    (
        "act",
        &["base", "sys", "template", "client", "event", "payload", "verify"],
    ),
    ("acme", &["base", "tls", "client"]),
    (
        "rules",
        &[
            "base", "sys", "tls", "template", "payload", "verify", "matching", "store", "act", "acme",
        ],
    ),
    ("report", &["base", "event", "verify", "store", "acme", "rules"]),
    (
        "pipeline",
        &[
            "base", "event", "payload", "verify", "matching", "store", "act", "rules", "report",
        ],
    ),
    ("plan", &["base", "event", "store", "rules", "pipeline"]),
    (
        "config",
        &[
            "base", "sys", "tls", "template", "payload", "verify", "matching", "store", "act", "acme",
            "rules",
        ],
    ),
    (
        "trial",
        &[
            "base", "event", "payload", "verify", "matching", "store", "act", "rules", "report", "pipeline",
            "config",
        ],
    ),
    ("server", &["base", "sys", "event", "rules", "report", "pipeline"]),
    ("status", &["base", "store", "act", "rules", "report", "pipeline"]),
    (
        "history",
        &[
            "base", "event", "payload", "verify", "matching", "store", "act", "rules", "pipeline", "trial",
            "status",
        ],
    ),
    (
        "admin",
        &["base", "sys", "event", "store", "rules", "status", "history"],
    ),
    (
        "daemon",
        &[
            "base", "sys", "tls", "event", "store", "act", "acme", "rules", "report", "pipeline", "plan",
            "config", "server", "status", "history", "admin",
        ],
    ),
    (
        "reference",
        &[
            "base", "payload", "template", "verify", "matching", "act", "rules", "pipeline", "config",
            "admin",
        ],
    ),
    (
        "cli",
        &[
            "base",
            "sys",
            "client",
            "event",
            "payload",
            "verify",
            "matching",
            "store",
            "act",
            "rules",
            "pipeline",
            "plan",
            "config",
            "status",
            "history",
            "admin",
            "daemon",
            "reference",
            "trial",
        ],
    ),
    ("main", &["cli"]),
    ("lib", &[]),
];

#[test]
fn no_arrow_of_the_import_table_runs_back() {
    for (at, (module, imports)) in TABLE.iter().enumerate() {
        for import in *imports {
            let place = TABLE.iter().position(|(name, _)| name == import);
            assert!(place.is_some_and(|place| place < at), "{module} knows {import}");
        }
    }
}

#[test]
fn every_import_stands_in_the_table() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&source, &mut files);
    assert!(
        files.len() > 40,
        "there are more source files than {}",
        files.len()
    );
    let mut wrong = Vec::new();
    for file in files {
        let inside = file.strip_prefix(&source).unwrap();
        let first = inside.components().next().unwrap().as_os_str().to_str().unwrap();
        let module = first.trim_end_matches(".rs");
        let (_, allowed) = TABLE
            .iter()
            .find(|(name, _)| *name == module)
            .unwrap_or_else(|| panic!("{module} has no line in the import table"));
        let text = std::fs::read_to_string(&file).unwrap();
        for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
            for (at, _) in line.match_indices("crate::") {
                let rest = &line[at + "crate::".len()..];
                let named = rest
                    .split(|letter: char| !letter.is_alphanumeric() && letter != '_')
                    .next()
                    .unwrap();
                if !named.is_empty() && named != module && !allowed.contains(&named) {
                    wrong.push(format!("{}: {module} knows {named}", inside.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Collects all source files below a folder.
pub fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}
