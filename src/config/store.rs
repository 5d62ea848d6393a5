//! `store:`: the place of the store, and its limits.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::de::IgnoredAny;
use sha2::{Digest, Sha256};

use super::document::KeepShape;
use super::node;
use super::settings::{at, period, reject_zero};
use crate::base::diagnostic::Diagnostics;
use crate::base::secret::{Keyring, source_of};
use crate::base::units::{HumanDuration, Size};
use crate::base::yaml::Node;
use crate::rules::{SharedStore, StoreSettings};
use crate::store::postgres::{Durability, ServerUrl, Target, Wake};
use crate::store::{Keep, PerRing, Settings};

/// Default of `store.keep.done`: 7 days.
const DEFAULT_KEEP_DONE: Duration = Duration::from_hours(168);
/// Default of `store.keep.dead`: 30 days.
const DEFAULT_KEEP_DEAD: Duration = Duration::from_hours(720);
/// Default of `store.keep.ignored` and of `store.keep.refused`, in arrivals.
const DEFAULT_KEEP_RING: u32 = 1000;
/// Default of `store.keep.ring_bytes`, in bytes.
const DEFAULT_RING_BYTES: Size = Size(64 << 20);
/// Default of `store.max_size`, in bytes.
const DEFAULT_MAX_SIZE: Size = Size(1 << 30);
/// Default of `store.min_free`, in bytes.
const DEFAULT_MIN_FREE: Size = Size(64 << 20);
/// Default of `store.schema`.
pub const DEFAULT_SCHEMA: &str = "hookyard";
/// Maximum length of `store.schema`, in bytes. `PostgreSQL` cuts longer names.
const MAX_SCHEMA: usize = 63;
/// Default of `store.lease`.
const DEFAULT_LEASE: Duration = Duration::from_mins(1);
/// Minimum of `store.lease`. A node says at a sixth of it that it lives.
const MIN_LEASE: Duration = Duration::from_secs(10);
/// Maximum of `store.lease`.
const MAX_LEASE: Duration = Duration::from_hours(1);
/// Default of `store.patience`. GitHub waits 10 seconds for an answer.
const DEFAULT_PATIENCE: Duration = Duration::from_secs(8);
/// Minimum of `store.patience`.
const MIN_PATIENCE: Duration = Duration::from_secs(1);
/// Maximum of `store.patience`.
const MAX_PATIENCE: Duration = Duration::from_mins(1);
/// Default of `store.connections`.
const DEFAULT_CONNECTIONS: u16 = 6;
/// Minimum of `store.connections`: one for each kind of work.
const MIN_CONNECTIONS: u16 = 5;
/// Maximum of `store.connections`.
const MAX_CONNECTIONS: u16 = 64;
/// Keys of a store on a server.
const OF_SERVER: [&str; 6] = ["schema", "durability", "lease", "patience", "connections", "wake"];

/// `store:`, written as a mapping.
#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read from the node: its place is needed")]
struct StoreShape {
    path: Option<String>,
    url: Option<IgnoredAny>,
    schema: Option<String>,
    durability: Option<Durability>,
    lease: Option<HumanDuration>,
    patience: Option<HumanDuration>,
    connections: Option<u16>,
    wake: Option<Wake>,
    keep: Option<IgnoredAny>,
    max_size: Option<Size>,
    min_free: Option<Size>,
}

/// True if `store:` names a server, although the name may be wrong.
pub fn is_shared(node: Option<Node<'_>>) -> bool {
    node.is_some_and(|node| node.as_str().is_some() || node.given("url").is_some())
}

/// Compiles `store:`. `node_name` is the name of this node.
pub fn compile(
    node: Option<Node<'_>>,
    node_name: &Arc<str>,
    keyring: &Keyring,
    diagnostics: &mut Diagnostics,
) -> StoreSettings {
    if let Some(url) = node.filter(|node| node.as_str().is_some()) {
        return StoreSettings {
            path: None,
            server: short(url, keyring, diagnostics).map(|url| url.with(&StoreShape::default(), node_name)),
            settings: settings(&StoreShape::default(), &KeepShape::default()),
        };
    }
    let shape: StoreShape = node.and_then(|node| node.read(diagnostics)).unwrap_or_default();
    let keep = node.and_then(|node| node.given("keep"));
    let keep: KeepShape = keep.and_then(|keep| keep.read(diagnostics)).unwrap_or_default();
    at(node, "max_size", |location| {
        reject_zero(shape.max_size, location, diagnostics);
    });
    let server = if let Some(url) = node.and_then(|node| node.given("url")) {
        check_server(node, &shape, diagnostics);
        read_url(url, keyring, diagnostics).map(|url| url.with(&shape, node_name))
    } else {
        check_file(node, diagnostics);
        None
    };
    StoreSettings {
        path: shape.path.as_ref().map(|path| keyring.folder().join(path)),
        server,
        settings: settings(&shape, &keep),
    }
}

/// The limits of a store.
fn settings(shape: &StoreShape, keep: &KeepShape) -> Settings {
    Settings {
        keep: Keep {
            done: period(keep.done, DEFAULT_KEEP_DONE),
            dead: period(keep.dead, DEFAULT_KEEP_DEAD),
            records: PerRing {
                ignored: keep.ignored.unwrap_or(DEFAULT_KEEP_RING) as usize,
                refused: keep.refused.unwrap_or(DEFAULT_KEEP_RING) as usize,
            },
            ring_bytes: keep.ring_bytes.unwrap_or(DEFAULT_RING_BYTES).0,
        },
        max_size: Some(shape.max_size.unwrap_or(DEFAULT_MAX_SIZE).0),
        min_free: shape.min_free.unwrap_or(DEFAULT_MIN_FREE).0,
    }
}

/// Reads `store: postgres://…`.
fn short(node: Node<'_>, keyring: &Keyring, diagnostics: &mut Diagnostics) -> Option<ReadUrl> {
    let text = node.as_str().unwrap_or_default();
    if !is_server(text) {
        let diagnostic = node.error("store-url", "`store` is a mapping, or the URL of a server");
        diagnostics.push(diagnostic.hint("write `store: {path: hookyard.db}`, or `store: postgres://…`"));
        return None;
    }
    read_url(node, keyring, diagnostics)
}

/// True if a text is the URL of a server, by its beginning.
fn is_url(text: &str) -> bool {
    ["postgres://", "postgresql://"]
        .iter()
        .any(|scheme| text.starts_with(scheme))
}

/// A URL that was read.
struct ReadUrl {
    server: ServerUrl,
    digest: [u8; 32],
}

impl ReadUrl {
    fn with(self, shape: &StoreShape, node_name: &Arc<str>) -> SharedStore {
        SharedStore {
            target: Arc::new(Target {
                server: self.server,
                schema: shape.schema.clone().unwrap_or_else(|| DEFAULT_SCHEMA.to_owned()),
                durability: shape.durability.unwrap_or_default(),
                lease: period(shape.lease, DEFAULT_LEASE),
                patience: period(shape.patience, DEFAULT_PATIENCE),
                connections: usize::from(shape.connections.unwrap_or(DEFAULT_CONNECTIONS)),
                wake: shape.wake.unwrap_or_default(),
                node: Arc::clone(node_name),
            }),
            digest: self.digest,
        }
    }
}

/// Reads a URL, which is named as a secret is. When rules are tested, there is no server.
fn read_url(node: Node<'_>, keyring: &Keyring, diagnostics: &mut Diagnostics) -> Option<ReadUrl> {
    let named = node.as_str().and_then(source_of).is_some();
    if keyring.is_pretended() {
        let text = node.as_str().unwrap_or_default();
        if !named && ServerUrl::parse(text).is_ok_and(|server| server.has_password()) {
            drop(keyring.at(node).resolve(text));
        }
        return None;
    }
    let text = if named || node.as_str().is_none() {
        let secret = keyring.read(node, diagnostics)?;
        String::from_utf8(secret.expose().to_vec()).unwrap_or_default()
    } else {
        node.as_str().unwrap_or_default().to_owned()
    };
    let server = match parse(&text) {
        Ok(server) => server,
        Err(why) => {
            diagnostics.push(node.error("store-url", why));
            return None;
        }
    };
    if !named && server.has_password() {
        // Noted, so that the text is masked where the rules are shown.
        drop(keyring.at(node).resolve(&text));
        let message = "a password written out in the rules file: prefer `env:`, `file:` or `credential:`";
        diagnostics.push(node.warning("secret", message));
    }
    Some(ReadUrl {
        server,
        digest: Sha256::digest(text.as_bytes()).into(),
    })
}

fn parse(url: &str) -> Result<ServerUrl, String> {
    if is_url(url) {
        ServerUrl::parse(url)
    } else {
        Err("not a URL like `postgres://hookyard@db.example.com/hookyard`".to_owned())
    }
}

/// True if a text of the command line names a server: a URL, or a source of one.
pub fn is_server(text: &str) -> bool {
    is_url(text) || source_of(text).is_some()
}

/// Reads the server that a text of the command line names. `schema` stands for `store.schema`.
pub fn target_of(
    text: &str,
    schema: Option<&str>,
    environment: Vec<(OsString, OsString)>,
) -> Result<Target, String> {
    let shape = StoreShape {
        schema: schema.map(str::to_owned),
        ..StoreShape::default()
    };
    if let Some(why) = schema.and_then(wrong_schema) {
        return Err(why);
    }
    let (secret, _) = Keyring::new(environment, Path::new("")).resolve(text)?;
    let url = String::from_utf8(secret.expose().to_vec()).unwrap_or_default();
    let read = ReadUrl {
        server: parse(&url)?,
        digest: [0; 32],
    };
    let shared = read.with(&shape, &Arc::from(node::host_name()));
    Ok(Target {
        // Commands answer no sender. The daemon watches over what its server promises.
        durability: Durability::Trusted,
        ..Arc::unwrap_or_clone(shared.target)
    })
}

/// Reports keys of a server without a server.
fn check_file(node: Option<Node<'_>>, diagnostics: &mut Diagnostics) {
    for key in OF_SERVER {
        at(node, key, |location| {
            let diagnostic = location.error("store", format!("`{key}` is of a store on a server"));
            diagnostics.push(diagnostic.hint("name the server: `store: {url: env:DATABASE_URL}`"));
        });
    }
}

/// Checks the settings of a store on a server.
fn check_server(node: Option<Node<'_>>, shape: &StoreShape, diagnostics: &mut Diagnostics) {
    let mut refuse = |key: &str, message: String, hint: &str| {
        at(node, key, |location| {
            diagnostics.push(location.error("store", message).hint(hint));
        });
    };
    refuse(
        "path",
        "`path` and `url` exclude each other: events are kept in one place".to_owned(),
        "remove `path` to use the server, or `url` to use the file",
    );
    refuse(
        "min_free",
        "`min_free` is of a file: the server watches over its own disk".to_owned(),
        "remove it; `max_size` limits what is kept",
    );
    if let Some(why) = shape.schema.as_deref().and_then(wrong_schema) {
        refuse("schema", why, "write a name such as `hookyard`");
    }
    let between = |period: Option<HumanDuration>, least: Duration, most: Duration| {
        period.is_none_or(|period| (least..=most).contains(&period.0))
    };
    for (key, given, least, most) in [
        ("lease", shape.lease, MIN_LEASE, MAX_LEASE),
        ("patience", shape.patience, MIN_PATIENCE, MAX_PATIENCE),
    ] {
        if !between(given, least, most) {
            let (least, most) = (HumanDuration(least), HumanDuration(most));
            refuse(
                key,
                format!("`{key}` may be {least} to {most}"),
                "the default is good for most",
            );
        }
    }
    let lease = period(shape.lease, DEFAULT_LEASE);
    if period(shape.patience, DEFAULT_PATIENCE) >= lease {
        let key = if shape.patience.is_some() {
            "patience"
        } else {
            "lease"
        };
        refuse(
            key,
            "a call may not wait for the server as long as a lease lasts".to_owned(),
            "make `patience` shorter than `lease`",
        );
    }
    let allowed = MIN_CONNECTIONS..=MAX_CONNECTIONS;
    if shape.connections.is_some_and(|count| !allowed.contains(&count)) {
        let message = format!("`connections` may be {MIN_CONNECTIONS} to {MAX_CONNECTIONS}");
        refuse(
            "connections",
            message,
            "each node has so many, and one more that listens",
        );
    }
}

/// The reason why a text is not the name of a schema.
fn wrong_schema(name: &str) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let is_name = !name.is_empty()
        && name.len() <= MAX_SCHEMA
        && name.bytes().all(plain)
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && !name.starts_with("pg_");
    (!is_name).then(|| {
        format!(
            "`{name}` is not the name of a schema: 1 to {MAX_SCHEMA} of a to z, digits and `_`, not `pg_…`"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::diagnostic::Severity;
    use crate::config::{declared_paths, load_text};
    use crate::store::WantedRules;

    /// The diagnostics of a file with these lines, as `code: message`.
    fn found(lines: &str) -> Vec<String> {
        let text = format!("{lines}\nrules: []\n");
        let environment = [
            ("DATABASE_URL", "postgres://me:geheim@localhost/queue"),
            ("WRONG_URL", "mysql://geheim@localhost/queue"),
        ];
        let environment = environment.map(|(name, value)| (name.into(), value.into()));
        let loaded = load_text(Path::new("/rules.yaml"), text, environment.into());
        let diagnostics = loaded.map_or_else(|errors| errors, |loaded| loaded.warnings);
        let line = |severity: Severity| {
            if severity == Severity::Error {
                ""
            } else {
                "warning "
            }
        };
        let lines = diagnostics.iter();
        let lines = lines.map(|one| format!("{}{}: {}", line(one.severity), one.code, one.message));
        lines.collect()
    }

    #[test]
    fn a_wrong_store_is_told_with_its_place() {
        for (lines, expected) in [
            ("store: env:DATABASE_URL", ""),
            (
                "store: {url: env:DATABASE_URL, schema: hooks_2}\nnode: web-1.example",
                "",
            ),
            ("store: postgres://localhost/queue", ""),
            (
                "store: {url: 'postgres://me:geheim@localhost/queue'}",
                "warning secret: a password written out",
            ),
            (
                "store: {url: env:NOT_SET}",
                "secret: the environment variable `NOT_SET` is not set",
            ),
            ("store: {url: env:WRONG_URL}", "store-url: not a URL like"),
            (
                "store: hookyard.db",
                "store-url: `store` is a mapping, or the URL",
            ),
            (
                "store: {url: env:DATABASE_URL, path: x.db}",
                "store: `path` and `url` exclude each other",
            ),
            (
                "store: {url: env:DATABASE_URL, min_free: 1GiB}",
                "store: `min_free` is of a file",
            ),
            (
                "store: {url: env:DATABASE_URL, lease: 9s}",
                "store: `lease` may be 10s to 1h",
            ),
            (
                "store: {url: env:DATABASE_URL, lease: 2h}",
                "store: `lease` may be 10s to 1h",
            ),
            (
                "store: {url: env:DATABASE_URL, lease: 10s, patience: 10s}",
                "store: a call may not wait",
            ),
            (
                "store: {url: env:DATABASE_URL, patience: 0s}",
                "store: `patience` may be 1s to 1m",
            ),
            (
                "store: {url: env:DATABASE_URL, connections: 4}",
                "store: `connections` may be 5 to 64",
            ),
            (
                "store: {url: env:DATABASE_URL, schema: Hooks}",
                "store: `Hooks` is not the name of a schema",
            ),
            (
                "store: {url: env:DATABASE_URL, schema: pg_x}",
                "store: `pg_x` is not the name of a schema",
            ),
            ("store: {lease: 60s}", "store: `lease` is of a store on a server"),
            ("node: 'a b'", "node: `a b` is not the name of a node"),
        ] {
            let found = found(lines);
            assert!(found.iter().all(|line| !line.contains("geheim")), "{found:?}");
            match found.as_slice() {
                [] => assert_eq!(expected, "", "{lines}"),
                [one] => assert!(
                    !expected.is_empty() && one.starts_with(expected),
                    "{lines}: {one}"
                ),
                more => panic!("{lines}: {more:?}"),
            }
        }
    }

    #[test]
    fn a_server_of_the_command_line_is_named_as_in_the_rules() {
        let environment = || vec![("URL".into(), "postgres://h/d".into())];
        let named = |text: &str, schema| {
            let target = target_of(text, schema, environment());
            target.map(|target| target.to_string())
        };
        assert_eq!(
            named("env:URL", None).unwrap(),
            "postgres://h:5432/d (schema `hookyard`)"
        );
        assert_eq!(
            named("postgresql://h/d", Some("other")).unwrap(),
            "postgres://h:5432/d (schema `other`)"
        );
        for (text, schema) in [("env:NONE", None), ("postgres://h/d", Some("A b"))] {
            assert!(named(text, schema).is_err(), "{text}");
        }
        assert!(!is_server("hookyard.db") && !is_server("/srv/postgres/hookyard.db"));
    }

    #[test]
    fn a_store_on_a_server_is_known_without_its_secret() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rules.yaml");
        for lines in [
            "store: env:NONE",
            "store: {url: file:none}",
            "store: postgres://h/d",
        ] {
            std::fs::write(&path, lines).unwrap();
            let declared = declared_paths(&path).unwrap();
            assert_eq!(declared.store, crate::config::DeclaredStore::Server, "{lines}");
        }
    }

    #[test]
    fn a_node_performs_the_rules_that_name_it_or_no_node() {
        let rule = |name: &str, nodes: &str| {
            format!(
                "  - {{name: {name}, endpoint: /{name}, verify: none, actions: [{{run: [/bin/true]}}]{nodes}}}\n"
            )
        };
        let rules = [
            rule("a", ""),
            rule("b", ", nodes: web1"),
            rule("c", ", nodes: [web2, web3]"),
        ];
        let load = |store: &str| {
            let text = format!("{store}\nnode: web1\nrules:\n{}", rules.concat());
            load_text(Path::new("/rules.yaml"), text, Vec::new()).unwrap()
        };
        let shared = load("store: postgres://h/d");
        let performed = ["a", "b"].map(Arc::from);
        assert_eq!(
            shared.rules.wanted.rules,
            WantedRules::Only(Arc::new(performed.into()))
        );
        assert!(shared.warnings.is_empty(), "{}", shared.warnings.render(false));
        let alone = load("x-store: none");
        assert_eq!(alone.rules.wanted.rules, WantedRules::All);
        let codes: Vec<_> = alone.warnings.iter().map(|one| one.code).collect();
        assert_eq!(codes, ["nodes", "nodes"]);
    }
}
