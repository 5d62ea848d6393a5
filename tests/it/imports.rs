//! The import table of the house: who may know whom.

use std::path::{Path, PathBuf};

/// The ground floor knows only itself.
const GROUND: &[&str] = &[
    "account",
    "clock",
    "coding",
    "descriptors",
    "diagnostic",
    "escape",
    "file",
    "id",
    "json",
    "jsonpath",
    "live",
    "pulse",
    "network",
    "pem",
    "secret",
    "socket",
    "template",
    "throttle",
    "units",
    "url_path",
    "weak_secret",
    "yaml",
];

/// What each room and door may import beside the ground floor.
const ROOMS: &[(&str, &[&str])] = &[
    ("verify", &[]),
    ("payload", &["verify"]),
    ("matching", &["verify", "payload"]),
    ("store", &["verify"]),
    ("act", &["verify", "payload"]),
    ("acme", &["verify", "act"]),
    ("report", &["verify", "store", "acme", "rules"]),
    (
        "rules",
        &["verify", "payload", "matching", "store", "act", "acme"],
    ),
    (
        "pipeline",
        &["verify", "payload", "matching", "store", "act", "report", "rules"],
    ),
    (
        "config",
        &["verify", "payload", "matching", "store", "act", "acme", "rules"],
    ),
    ("admin", &["store", "report", "rules"]),
    ("listen", &["verify", "acme", "pipeline", "report", "rules"]),
    (
        "daemon",
        &[
            "verify", "store", "act", "acme", "report", "rules", "pipeline", "config", "admin", "listen",
        ],
    ),
    (
        "cli",
        &[
            "verify", "payload", "matching", "store", "act", "rules", "pipeline", "config", "admin", "daemon",
        ],
    ),
    ("main", &["cli"]),
    ("lib", &[]),
];

#[test]
fn imports_point_at_the_ground_floor_or_at_an_earlier_room() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&source, &mut files);
    assert!(files.len() > 40, "the house has more files than {}", files.len());
    let mut wrong = Vec::new();
    for file in files {
        let inside = file.strip_prefix(&source).unwrap();
        let first = inside.components().next().unwrap().as_os_str().to_str().unwrap();
        let room = first.trim_end_matches(".rs");
        let allowed = allowed(room).unwrap_or_else(|| panic!("{room} has no line in the import table"));
        let text = std::fs::read_to_string(&file).unwrap();
        for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
            for (at, _) in line.match_indices("crate::") {
                let rest = &line[at + "crate::".len()..];
                let named = rest
                    .split(|letter: char| !letter.is_alphanumeric() && letter != '_')
                    .next()
                    .unwrap();
                if !named.is_empty() && named != room && !allowed.contains(&named) {
                    wrong.push(format!("{}: {} knows {named}", inside.display(), room));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What a room may import; `None` if the table does not know it.
fn allowed(room: &str) -> Option<Vec<&'static str>> {
    if GROUND.contains(&room) {
        return Some(GROUND.to_vec());
    }
    let (_, rooms) = ROOMS.iter().find(|(name, _)| *name == room)?;
    Some(GROUND.iter().chain(rooms.iter()).copied().collect())
}

/// All source files below a folder.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}
