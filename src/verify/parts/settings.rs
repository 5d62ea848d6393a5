//! Settings of a scheme in layers: those of its use in `verify:`, over those of the definitions on
//! which it is based.
//!
//! A setting of a nearer layer replaces that of a farther one. Presets and the definitions of the
//! rules file are layers of the same kind.

use std::hash::{Hash, Hasher};

use serde::de::DeserializeOwned;

use crate::base::diagnostic::{Diagnostic, Diagnostics};
use crate::base::yaml::Node;

/// Settings of a scheme.
#[derive(Clone)]
pub struct Settings<'d> {
    /// Value of the scheme in `verify:`, for diagnostics.
    place: Node<'d>,
    /// The secret itself, in place of a mapping.
    short: Option<Node<'d>>,
    /// Mappings, the nearest first.
    layers: Vec<Layer<'d>>,
}

/// Settings that one `verify:` or one definition gives.
#[derive(Clone, Copy)]
pub struct Layer<'d> {
    /// Name of the scheme that the settings define or use.
    pub name: &'d str,
    pub node: Node<'d>,
    /// True for the definition of a preset.
    pub is_preset: bool,
}

impl Hash for Settings<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.short.map(|node| node.value()).hash(state);
        for layer in &self.layers {
            layer.node.value().hash(state);
        }
    }
}

impl<'d> Settings<'d> {
    /// Settings written under the scheme `name`: a mapping, or the secret itself.
    pub fn of(name: &'d str, node: Node<'d>) -> Self {
        let is_mapping = node.is_mapping();
        Self {
            place: node,
            short: (!is_mapping).then_some(node),
            layers: is_mapping
                .then_some(Layer {
                    name,
                    node,
                    is_preset: false,
                })
                .into_iter()
                .collect(),
        }
    }

    /// Settings of a scheme that is only named: `verify: NAME`.
    pub fn bare(node: Node<'d>) -> Self {
        Self {
            place: node,
            short: None,
            layers: Vec::new(),
        }
    }

    /// Adds a layer under all others.
    pub fn push_base(&mut self, layer: Layer<'d>) {
        self.layers.push(layer);
    }

    /// Node of the scheme, for diagnostics.
    pub fn place(&self) -> Node<'d> {
        self.place
    }

    /// The secret itself, if it is written in place of a mapping.
    pub fn short(&self) -> Option<Node<'d>> {
        self.short
    }

    /// Layers, the nearest first.
    pub fn layers(&self) -> impl DoubleEndedIterator<Item = Layer<'d>> + '_ {
        self.layers.iter().copied()
    }

    /// Returns true if the scheme is a preset or based on one.
    pub fn has_preset(&self) -> bool {
        self.layers.iter().any(|layer| layer.is_preset)
    }

    /// The nearest value under `key` that is not null.
    pub fn given(&self, key: &str) -> Option<Node<'d>> {
        self.layers.iter().find_map(|layer| layer.node.given(key))
    }

    /// The nearest layer with one of these keys.
    pub fn nearest(&self, keys: &[&str]) -> Option<Layer<'d>> {
        let has = |layer: &Layer<'d>| keys.iter().any(|key| layer.node.given(key).is_some());
        self.layers().find(has)
    }

    /// Node for a diagnostic about `key`: the setting if it is written here, else the scheme.
    pub fn at(&self, key: &str) -> Node<'d> {
        self.place.get(key).unwrap_or(self.place)
    }

    /// A diagnostic if `key` is missing, unless another key looks like a misspelling of it.
    pub fn missing(&self, key: &str) -> Option<Diagnostic> {
        if self.given(key).is_some() {
            return None;
        }
        let mut layers = self.layers.iter();
        let misspelt = layers.any(|layer| layer.node.get(key).is_none() && layer.node.missing(key).is_none());
        (!misspelt).then(|| self.place.error("missing-key", format!("`{key}` is missing")))
    }

    /// Reads every layer as `T`, the nearest first. `None` if one cannot be read.
    pub fn read<T: DeserializeOwned>(&self, diagnostics: &mut Diagnostics) -> Option<Vec<T>> {
        let read = self.layers.iter().map(|layer| layer.node.read(diagnostics));
        read.collect()
    }

    /// One or several texts under `key`, or an empty list.
    pub fn texts(&self, key: &str, diagnostics: &mut Diagnostics) -> Vec<String> {
        let items = self.given(key).map(|node| node.one_or_many());
        let mut texts = Vec::new();
        for item in items.into_iter().flatten() {
            match item.as_str() {
                Some(text) => texts.push(text.to_owned()),
                None => diagnostics
                    .push(item.error("wrong-value", format!("`{key}` is text, or a list of texts"))),
            }
        }
        texts
    }
}

/// Defines the mapping of a family: its own settings, and those that every family has.
macro_rules! shape {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $key:ident: $type:ty,)* }) => {
        $(#[$about])*
        #[derive(Default, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        #[expect(dead_code, reason = "most settings are read from the node, with their position")]
        struct $name {
            $($(#[$doc])* $key: Option<$type>,)*
            /// Location of the event's name.
            event: Option<serde::de::IgnoredAny>,
            /// Other headers with credentials of the sender. They are withheld like its signature.
            withhold: Option<serde::de::IgnoredAny>,
            /// True if the sender sends identical content for several events.
            repeats: Option<bool>,
            /// Documented body limit of the sender.
            max_body: Option<crate::base::units::Size>,
            /// Handshake to answer: that of a scheme, its own requests and answers, or `none`.
            handshake: Option<serde::de::IgnoredAny>,
            /// Token that the sender of a handshake must present.
            verify_token: Option<serde::de::IgnoredAny>,
            /// File that stores the secret received in a handshake.
            learn: Option<serde::de::IgnoredAny>,
        }
    };
}
pub(in crate::verify) use shape;
