//! `mode:` beside a scheme: what becomes of a request that its verification refuses.
//!
//! The room says no either way; whoever asks it looks at the mode. `observe` is for putting a secret in service without
//! losing events, and lets in whoever sends anything.

use crate::base::diagnostic::{Diagnostic, Diagnostics, did_you_mean};
use crate::base::yaml::{Node, unknown};
use crate::verify::schemes;

/// The key.
const KEY: &str = "mode";

/// What becomes of a request that is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// It is kept out.
    #[default]
    Enforce,
    /// It is let in all the same, and marked.
    Observe,
}

/// The modes by name.
const MODES: [(&str, Mode); 2] = [("enforce", Mode::Enforce), ("observe", Mode::Observe)];

/// What stands in a `verify:`, without its `mode`, which is read.
pub struct Beside<'d> {
    /// The schemes by name: there should be one.
    pub schemes: Vec<(&'d str, Node<'d>)>,
    /// The mode, enforcing if none is given.
    pub mode: Mode,
}

impl<'d> Beside<'d> {
    /// Reads the `mode` of a `verify:`. A slip of the key is found, and names no scheme.
    pub fn read(node: Node<'d>, diagnostics: &mut Diagnostics) -> Self {
        let mut schemes = node.entries();
        let several = schemes.len() > 1;
        let mut mode = Mode::default();
        schemes.retain(|(typed, value)| {
            if *typed == KEY {
                mode = read(*value, diagnostics);
                return false;
            }
            let slip = several && !is_scheme(typed) && did_you_mean(typed, [KEY]).is_some();
            if slip {
                diagnostics.push(unknown(value.key_origin(), "unknown-key", "key", typed, [KEY]));
            }
            !slip
        });
        if let ([("none", _)], Some(given)) = (schemes.as_slice(), node.get(KEY)) {
            let message = "with `none` nothing is verified, and `mode` has no meaning";
            diagnostics.push(Diagnostic::error(given.key_origin(), "mode", message));
        } else if let (Mode::Observe, [_], Some(given)) = (mode, schemes.as_slice(), node.get(KEY)) {
            let message =
                "observe mode: whoever sends anything is let in; what is not genuine is marked and logged";
            let diagnostic = given.warning("observe", message);
            diagnostics
                .push(diagnostic.hint("leave `mode` out once the log has no more `unverified` events"));
        }
        Self { schemes, mode }
    }
}

/// The value of `mode:`.
fn read(node: Node<'_>, diagnostics: &mut Diagnostics) -> Mode {
    let names = MODES.map(|(name, _)| name);
    let Some(typed) = node.as_str() else {
        let message = format!("`{KEY}` is one of {}", names.join(", "));
        diagnostics.push(node.error("wrong-value", message));
        return Mode::default();
    };
    let Some((_, mode)) = MODES.into_iter().find(|(name, _)| *name == typed) else {
        diagnostics.push(unknown(node.origin(), "unknown-value", KEY, typed, names));
        return Mode::default();
    };
    mode
}

fn is_scheme(typed: &str) -> bool {
    schemes().any(|name| name == typed)
}
