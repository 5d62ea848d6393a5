//! Definitions of schemes by name: the families, the presets, and those under `schemes:` of the
//! rules file.
//!
//! A definition names the scheme on which it is based and gives some of its settings. Its use in
//! `verify:` gives the rest. [`Definitions::resolve`] follows the names down to a family.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};

use super::parts::settings::{Layer, Settings};
use super::presets;
use crate::base::diagnostic::{Diagnostic, Diagnostics};
use crate::base::yaml::{Node, unknown};

/// Families of schemes. Each has its own file in `scheme/`.
pub const FAMILIES: [&str; 14] = [
    "hmac",
    "ed25519",
    "ecdsa_p256",
    "rsa_sha256",
    "rsa_sha512",
    "rsa_sha1",
    "token",
    "basic",
    "bearer",
    "jwt",
    "http_message_signatures",
    "client_cert",
    "adyen",
    "none",
];

/// Keys of a definition that describe it.
const ABOUT: [&str; 2] = ["sender", "note"];
/// Maximum number of definitions on which one is based, directly or indirectly.
const MAX_BASES: usize = 8;
/// Maximum length of a name, in bytes.
const MAX_NAME: usize = 64;

/// Definitions of a rules file, beside the presets.
#[derive(Default)]
pub struct Definitions<'d> {
    own: Vec<Definition<'d>>,
    by_name: HashMap<&'d str, usize>,
}

/// A scheme under a name.
struct Definition<'d> {
    name: &'d str,
    /// Whole definition.
    node: Node<'d>,
    base: Base<'d>,
    used: Cell<bool>,
    /// Codes and messages of its faults, which its uses do not repeat.
    found: RefCell<Vec<(&'static str, String)>>,
}

/// Scheme on which a definition is based, and its settings.
type Base<'d> = (&'d str, Node<'d>);

/// Family of a scheme, and all its settings.
pub type Resolved<'d> = (&'static str, Settings<'d>);

/// Names of the families and the presets.
pub fn built_in() -> impl Iterator<Item = &'static str> {
    presets::names().chain(FAMILIES)
}

/// The key of a definition that names its base. `None` unless there is exactly one.
fn base(definition: Node<'_>) -> Option<Base<'_>> {
    let mut entries = definition.entries().into_iter();
    let mut bases = entries.by_ref().filter(|(key, _)| !ABOUT.contains(key));
    let base = bases.next()?;
    bases.next().is_none().then_some(base)
}

impl<'d> Definitions<'d> {
    /// Reads `schemes:` of each rules file.
    pub fn read(nodes: impl IntoIterator<Item = Node<'d>>, diagnostics: &mut Diagnostics) -> Self {
        let mut definitions = Self::default();
        let mut entries = Vec::new();
        for node in nodes {
            if node.is_mapping() {
                entries.extend(node.entries());
            } else {
                let message = "`schemes` maps names to schemes: `acme: {hmac: {header: X-Acme-Signature}}`";
                diagnostics.push(node.error("wrong-value", message));
            }
        }
        let names: HashSet<&str> = entries.iter().map(|(name, _)| *name).collect();
        for (name, node) in entries {
            if let Some(first) = definitions.own(name) {
                let (origin, first) = (node.key_origin(), first.node.key_origin());
                let place = first.seen_from(&origin);
                let message = format!("a second scheme named `{name}`; the first is in {place}");
                diagnostics.push(Diagnostic::error(origin, "duplicate-scheme", message));
                continue;
            }
            if let Some(base) = definition(name, node, &names, diagnostics) {
                definitions.by_name.insert(name, definitions.own.len());
                definitions.own.push(Definition {
                    name,
                    node,
                    base,
                    used: Cell::new(false),
                    found: RefCell::default(),
                });
            }
        }
        for own in &definitions.own {
            definitions.check_bases(own, diagnostics);
        }
        definitions
    }

    /// Reports a definition that is based on itself, or on too many others.
    fn check_bases(&self, definition: &Definition<'d>, diagnostics: &mut Diagnostics) {
        let mut names = vec![definition.name];
        let mut next = self.own(definition.base.0);
        while let Some(base) = next {
            let recursive = base.name == definition.name;
            names.push(base.name);
            if recursive || names.len() > MAX_BASES {
                let chain = names.join(" → ");
                let message = if recursive {
                    format!("`{}` is based on itself: {chain}", definition.name)
                } else {
                    format!(
                        "`{}` is based on more than {MAX_BASES} others: {chain} …",
                        definition.name
                    )
                };
                let origin = definition.node.key_origin();
                diagnostics.push(Diagnostic::error(origin, "recursive-scheme", message));
                return;
            }
            next = self.own(base.base.0);
        }
    }

    /// Forgets which definitions are used: their check is no use.
    pub fn forget_uses(&self) {
        self.own.iter().for_each(|own| own.used.set(false));
    }

    /// Names of all schemes: presets, families, and those of the rules file.
    pub fn names<'s>(&'s self) -> impl Iterator<Item = &'s str> + use<'s, 'd> {
        let built_in = built_in().map(|name| -> &'s str { name });
        built_in.chain(self.own.iter().map(|own| own.name))
    }

    /// Returns true if the rules file defines this scheme.
    pub fn is_own(&self, name: &str) -> bool {
        self.own(name).is_some()
    }

    fn own(&self, name: &str) -> Option<&Definition<'d>> {
        self.own.get(*self.by_name.get(name)?)
    }

    /// Follows the scheme `name` to its family, and adds the settings of its definitions to
    /// `settings`. `None` if a definition is unusable, which is already reported.
    pub fn resolve<'s>(&'s self, name: &'s str, mut settings: Settings<'s>) -> Option<Resolved<'s>> {
        let mut name = name;
        for _ in 0..=MAX_BASES + 2 {
            if let Some(family) = FAMILIES.into_iter().find(|family| *family == name) {
                return Some((family, settings));
            }
            let (own, is_preset, (base, node)) = if let Some(own) = self.own(name) {
                own.used.set(true);
                (own.name, false, own.base)
            } else {
                let (preset, definition) = presets::named(name)?;
                (preset, true, base(definition)?)
            };
            settings.push_base(Layer {
                name: own,
                node,
                is_preset,
            });
            name = base;
        }
        None
    }

    /// Handshake that the scheme `name` defines, with the name of the definition that holds it.
    pub fn handshake<'s>(&'s self, name: &'s str) -> Option<(&'s str, Node<'s>)> {
        let mut name = name;
        for _ in 0..=MAX_BASES {
            let (base, node) = match self.own(name) {
                Some(own) => {
                    own.used.set(true);
                    own.base
                }
                None => base(presets::named(name)?.1)?,
            };
            match node.given("handshake") {
                Some(handshake) if handshake.is_mapping() => {
                    return Some((name, handshake));
                }
                Some(other) => name = other.as_str()?,
                None => name = base,
            }
        }
        None
    }

    /// Names of the schemes that define a handshake.
    pub fn with_handshake(&self) -> impl Iterator<Item = &str> {
        self.names().filter(|name| {
            let base = match self.own(name) {
                Some(own) => Some(own.base),
                None => presets::named(name).and_then(|(_, definition)| base(definition)),
            };
            let handshake = base.and_then(|(_, node)| node.given("handshake"));
            handshake.is_some_and(|handshake| handshake.is_mapping())
        })
    }

    /// Warnings about definitions that nothing names.
    pub fn unused(&self) -> impl Iterator<Item = Diagnostic> {
        self.own.iter().filter(|own| !own.used.get()).map(|own| {
            let message = format!("no `verify` and no `sign` names the scheme `{}`", own.name);
            let diagnostic = Diagnostic::warning(own.node.key_origin(), "unused-scheme", message);
            diagnostic.hint(format!(
                "write `verify: {{{}: env:NAME}}`, or remove it",
                own.name
            ))
        })
    }

    /// Definitions of the rules file, each with a use that gives no settings.
    pub fn checks(&self) -> impl Iterator<Item = (&str, Settings<'_>)> {
        let own = self.own.iter();
        own.map(|own| (own.name, Settings::bare(own.base.1)))
    }

    /// Remembers the faults of a definition, and returns those to report. What is missing is no
    /// fault: a use may give it, or sign the URL of a target.
    pub fn know(&self, name: &str, found: &Diagnostics) -> Vec<Diagnostic> {
        let missing = ["missing-key", "missing-public-url"];
        let faults = found.iter().filter(|fault| !missing.contains(&fault.code));
        let faults: Vec<Diagnostic> = faults.cloned().collect();
        if let Some(own) = self.own(name) {
            let known = faults.iter().map(|fault| (fault.code, fault.message.clone()));
            own.found.replace(known.collect());
        }
        faults
    }

    /// Returns the diagnostics of a use of the scheme `name`, without the faults of its definition,
    /// which are reported once.
    pub fn not_known(&self, name: &str, found: &Diagnostics) -> Vec<Diagnostic> {
        let known = self.own(name).map(|own| own.found.borrow());
        let is_known = |fault: &Diagnostic| {
            let mut known = known.iter().flat_map(|known| known.iter());
            known.any(|(code, message)| *code == fault.code && *message == fault.message)
        };
        found.iter().filter(|fault| !is_known(fault)).cloned().collect()
    }
}

/// Reads one definition. `names` are those of all definitions.
fn definition<'d>(
    name: &'d str,
    node: Node<'d>,
    names: &HashSet<&'d str>,
    diagnostics: &mut Diagnostics,
) -> Option<Base<'d>> {
    const EXAMPLE: &str = "write `acme: {hmac: {header: X-Acme-Signature}}`";
    let mut wrong = |code, message: String| {
        let diagnostic = Diagnostic::error(node.key_origin(), code, message);
        diagnostics.push(diagnostic.hint(EXAMPLE));
    };
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    if built_in().any(|known| known == name) || ["mode", "any"].contains(&name) {
        let message = format!("`{name}` is built in, and is not defined again");
        let diagnostic = Diagnostic::error(node.key_origin(), "built-in-scheme", message);
        diagnostics.push(diagnostic.hint(format!("choose another name: `my_{name}: {{{name}: {{…}}}}`")));
        return None;
    }
    if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(allowed) {
        wrong(
            "scheme-name",
            format!("the name of a scheme is 1 to {MAX_NAME} of `A-Z a-z 0-9 _ - .`"),
        );
        return None;
    }
    let Some((base, settings)) = base(node) else {
        wrong(
            "one-scheme",
            format!("`{name}` is based on one scheme, written as in `verify`"),
        );
        return None;
    };
    for key in ABOUT {
        if let Some(about) = node.get(key).filter(|about| about.as_str().is_none()) {
            diagnostics.push(about.error("wrong-value", format!("`{key}` is text")));
        }
    }
    if let Some(diagnostic) = base_error(base, settings, names) {
        diagnostics.push(diagnostic);
        return None;
    }
    Some((base, settings))
}

/// Checks the scheme on which a definition is based, and the form of its settings.
fn base_error(base: &str, settings: Node<'_>, names: &HashSet<&str>) -> Option<Diagnostic> {
    if base == "none" {
        // Otherwise a rule could let anyone in without saying so.
        let message = "`none` verifies nothing: each rule says `verify: none` itself";
        return Some(Diagnostic::error(settings.key_origin(), "one-scheme", message));
    }
    if !names.contains(base) && !built_in().any(|known| known == base) {
        let built_in = built_in().map(|name| -> &str { name });
        let known = built_in.chain(names.iter().copied()).chain(ABOUT);
        return Some(unknown(
            settings.key_origin(),
            "unknown-scheme",
            "scheme",
            base,
            known,
        ));
    }
    if !settings.is_mapping() {
        let message = format!("the settings of `{base}` are a mapping here, perhaps an empty one");
        let diagnostic = Diagnostic::error(settings.key_origin(), "wrong-value", message);
        return Some(diagnostic.hint(format!("`{base}: {{secret: env:NAME}}`, or `{base}: {{}}`")));
    }
    None
}
