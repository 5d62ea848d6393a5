//! Imports between the files of `src/`: none may form a circle.
//!
//! A name is followed through re-exports to the file that defines it. A `mod.rs` may use its own
//! children, which in turn may use what it defines. Test files do not count.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use regex::Regex;

use crate::imports::collect;

/// A module, as the names on the way to it.
type Module = Vec<String>;

/// The files of `src/`: what each imports, and what each calls by another name.
struct Files {
    texts: BTreeMap<Module, String>,
    /// Path of each imported name.
    imports: BTreeMap<Module, BTreeMap<String, Vec<String>>>,
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let files = Files::read();
    assert!(files.texts.len() > 300, "{}", files.texts.len());
    let imported = files.imported();
    let arrows: usize = imported.values().map(BTreeSet::len).sum();
    assert!(arrows > 1000, "{arrows}");
    let circles = circles(&imported);
    assert!(circles.is_empty(), "{}", circles.join("\n"));
}

#[test]
fn a_circle_is_found() {
    let module = |name: &str| vec![name.to_owned()];
    let mut imported: BTreeMap<Module, BTreeSet<Module>> = BTreeMap::new();
    for (from, to) in [("a", "b"), ("b", "c"), ("c", "d")] {
        imported.entry(module(from)).or_default().insert(module(to));
    }
    assert_eq!(circles(&imported), [""; 0]);
    imported.entry(module("c")).or_default().insert(module("a"));
    assert_eq!(
        circles(&imported),
        ["a imports b", "b imports c", "c imports a"].map(|arrow| format!("circle: {arrow}"))
    );
}

/// The arrows that are part of a circle.
fn circles(imported: &BTreeMap<Module, BTreeSet<Module>>) -> Vec<String> {
    let reach = |from: &Module| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
        while let Some(module) = open.pop() {
            for next in imported.get(module).into_iter().flatten() {
                if seen.insert(next) {
                    open.push(next);
                }
            }
        }
        seen
    };
    let mut found = Vec::new();
    for (from, targets) in imported {
        for to in targets.iter().filter(|to| reach(to).contains(from)) {
            found.push(format!("circle: {} imports {}", from.join("/"), to.join("/")));
        }
    }
    found
}

impl Files {
    fn read() -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut paths = Vec::new();
        collect(&source, &mut paths);
        let mut files = Self {
            texts: BTreeMap::new(),
            imports: BTreeMap::new(),
        };
        let is_test = Regex::new(r"/tests?(/|\.rs$)|/contract/|/(testing|rfc9535|script)\.rs$").unwrap();
        let tests = Regex::new(r"(?s)\n#\[cfg\(test\)\]\n(#\[[^\n]*\n)*mod \w+ \{.*").unwrap();
        let ignored = Regex::new(r#"(?s)"(\\.|[^"\\])*"|//[^\n]*|pub\(in [^)]*\)"#).unwrap();
        for path in paths {
            let inside = path.strip_prefix(&source).unwrap();
            let name = inside.to_str().unwrap();
            if is_test.is_match(&format!("/{name}")) && !name.ends_with("condition/test.rs") {
                continue;
            }
            let mut module: Module = name
                .trim_end_matches(".rs")
                .split('/')
                .map(str::to_owned)
                .collect();
            if module.last().is_some_and(|last| last == "mod") {
                module.pop();
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let text = tests.replace(&text, "\n");
            files
                .texts
                .insert(module, ignored.replace_all(&text, "").into_owned());
        }
        let import = Regex::new(r"(?m)^\s*(?:pub(?:\([^)]*\))? )?use ([^;]+);").unwrap();
        for (module, text) in &files.texts {
            let mut names = BTreeMap::new();
            for captured in import.captures_iter(text) {
                leaves(&[], &captured[1], &mut names);
            }
            files.imports.insert(module.clone(), names);
        }
        files
    }

    /// The files that each file imports.
    fn imported(&self) -> BTreeMap<Module, BTreeSet<Module>> {
        let import = Regex::new(r"(?m)^\s*(pub(?:\([^)]*\))? )?use [^;]+;").unwrap();
        let path = Regex::new(r"\b\w+(?:::\w+)+").unwrap();
        let mut imported = BTreeMap::new();
        for (module, text) in &self.texts {
            let mut paths: Vec<Vec<String>> = Vec::new();
            for captured in import.captures_iter(text).filter(|found| found.get(1).is_none()) {
                let mut names = BTreeMap::new();
                leaves(&[], captured[0].trim().trim_start_matches("use "), &mut names);
                paths.extend(names.into_values());
            }
            let body = import.replace_all(text, "");
            for found in path.find_iter(&body) {
                paths.push(found.as_str().split("::").map(str::to_owned).collect());
            }
            let targets: BTreeSet<Module> = paths
                .iter()
                .filter_map(|path| self.definition(module, path, 0))
                .filter(|target| target != module && !target.starts_with(module))
                .collect();
            imported.insert(module.clone(), targets);
        }
        imported
    }

    /// The file that defines what `path` names in a module.
    fn definition(&self, module: &Module, path: &[String], depth: usize) -> Option<Module> {
        let (first, mut rest) = path.split_first()?;
        let mut at = module.clone();
        match first.as_str() {
            "crate" => at.clear(),
            "self" => {}
            "super" => {
                at.pop();
                while let Some(("super", after)) = rest.split_first().map(|(name, after)| (&**name, after)) {
                    at.pop();
                    rest = after;
                }
            }
            name if self.is_child(module, name) => rest = path,
            name => {
                let known = self.imports[module].get(name)?;
                let whole: Vec<String> = known.iter().chain(rest).cloned().collect();
                return (depth < 8 && known.len() > 1)
                    .then(|| self.definition(module, &whole, depth + 1))
                    .flatten();
            }
        }
        while let Some((name, after)) = rest.split_first() {
            if self.is_child(&at, name) {
                at.push(name.clone());
                rest = after;
                continue;
            }
            let known = self.imports.get(&at).and_then(|names| names.get(name));
            if let Some(known) = known.filter(|_| depth < 8) {
                let whole: Vec<String> = known.iter().chain(after).cloned().collect();
                if let Some(found) = self.definition(&at, &whole, depth + 1) {
                    return Some(found);
                }
            }
            break;
        }
        self.texts.contains_key(&at).then_some(at)
    }

    fn is_child(&self, module: &Module, name: &str) -> bool {
        let child: Module = module.iter().cloned().chain([name.to_owned()]).collect();
        self.texts.contains_key(&child)
    }
}

/// Collects the names that a `use` brings, each with its path.
fn leaves(prefix: &[String], tree: &str, names: &mut BTreeMap<String, Vec<String>>) {
    let (mut depth, mut start) = (0, 0);
    let ends = tree.char_indices().filter(|(_, letter)| {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        *letter == ',' && depth == 0
    });
    let ends: Vec<usize> = ends.map(|(at, _)| at).chain([tree.len()]).collect();
    for end in ends {
        let item = tree[start..end].trim().trim_end_matches(';');
        start = (end + 1).min(tree.len());
        let (path, inner) = match item.split_once('{') {
            Some((path, inner)) => (path, inner.rsplit_once('}').map(|(inner, _)| inner)),
            None => (item, None),
        };
        let (path, alias) = path
            .split_once(" as ")
            .map_or((path, None), |(path, alias)| (path, Some(alias)));
        let names_of_path = path.split("::").map(str::trim).filter(|name| !name.is_empty());
        let mut whole: Vec<String> = prefix
            .iter()
            .cloned()
            .chain(names_of_path.map(str::to_owned))
            .collect();
        if let Some(inner) = inner {
            leaves(&whole, inner, names);
            continue;
        }
        if whole.len() > 1 && whole.last().is_some_and(|last| last == "self") {
            whole.pop();
        }
        let Some(last) = whole.last().cloned() else {
            continue;
        };
        names.insert(alias.map_or(last, str::to_owned), whole);
    }
}
