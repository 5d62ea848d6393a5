//! `mode:` next to a scheme: the treatment of a request that verification refuses.
//!
//! The verification itself refuses in both modes. The caller of
//! [`Verification::observes`](crate::verify::Verification::observes) applies the mode. `observe`
//! serves to introduce a secret without losing events. It accepts requests from any sender.

use crate::base::diagnostic::{Diagnostic, Diagnostics, did_you_mean};
use crate::base::yaml::{Node, unknown};
use crate::verify::definitions::Definitions;

pub const KEY: &str = "mode";

/// Treatment of a refused request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Refuse the request.
    #[default]
    Enforce,
    /// Accept the request and mark its event as unverified.
    Observe,
}

const MODES: [(&str, Mode); 2] = [("enforce", Mode::Enforce), ("observe", Mode::Observe)];

/// Content of a `verify:` after its `mode` has been read.
pub struct Beside<'d> {
    /// Schemes by name. Only one is valid.
    pub schemes: Vec<(&'d str, Node<'d>)>,
    /// Mode. The default is to enforce.
    pub mode: Mode,
}

impl<'d> Beside<'d> {
    /// Reads the `mode` of a `verify:`. A misspelled `mode` is reported and not taken for a scheme.
    pub fn read(node: Node<'d>, known: &Definitions<'_>, diagnostics: &mut Diagnostics) -> Self {
        let mut schemes = node.entries();
        let several = schemes.len() > 1;
        let mut mode = Mode::default();
        schemes.retain(|(typed, value)| {
            if *typed == KEY {
                mode = read(*value, diagnostics);
                return false;
            }
            let slip =
                several && !known.names().any(|name| name == *typed) && did_you_mean(typed, [KEY]).is_some();
            if slip {
                diagnostics.push(unknown(value.key_origin(), "unknown-key", "key", typed, [KEY]));
            }
            !slip
        });
        if let ([("none", _)], Some(given)) = (schemes.as_slice(), node.get(KEY)) {
            let message = "with `none` nothing is verified, and `mode` has no meaning";
            diagnostics.push(Diagnostic::error(given.key_origin(), "mode", message));
        } else if let (Mode::Observe, [_], Some(given)) = (mode, schemes.as_slice(), node.get(KEY)) {
            diagnostics.push(observed(given));
        }
        Self { schemes, mode }
    }
}

/// Reads `mode` beside alternatives, and warns of a mode that lets every request in.
pub fn given(node: Node<'_>, diagnostics: &mut Diagnostics) -> Mode {
    let Some(given) = node.get(KEY) else {
        return Mode::default();
    };
    let mode = read(given, diagnostics);
    if mode == Mode::Observe {
        diagnostics.push(observed(given));
    }
    mode
}

/// Warning about `mode: observe`.
fn observed(given: Node<'_>) -> Diagnostic {
    let message = "observe mode: every request is let in; one that is not genuine is marked and logged";
    let diagnostic = given.warning("observe", message);
    diagnostic.hint("leave `mode` out once the log has no more `unverified` events")
}

/// Reads the value of `mode:`.
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
