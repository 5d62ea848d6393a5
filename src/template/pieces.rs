//! The literal texts and values of a template, in order, as far as they are known without
//! rendering.
//!
//! Used at load to find where text of the event could be mistaken for something else. Examples are
//! an option, a part of a script, the end of a JSON string. `expression.rs` analyses the values.

use crate::template::expression::{Form, Value, value};
use crate::template::tags::{Section, sections};

/// A section of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplatePiece {
    /// Text of the rules file.
    Text(String),
    /// `{{ … }}`.
    Value(Value),
    /// `{% … %}`. The content between two blocks may be missing or repeated.
    Block,
}

impl TemplatePiece {
    /// True if the sender of the event can choose the output of this piece.
    pub fn is_of_the_event(&self) -> bool {
        match self {
            Self::Value(value) => !matches!(value.form, Form::Own | Form::Secret),
            // A block only chooses between pieces, which are checked themselves.
            Self::Text(_) | Self::Block => false,
        }
    }
}

/// The pieces of a text. A text without a template is one piece.
pub fn pieces(text: &str) -> Vec<TemplatePiece> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    for section in sections(text) {
        let piece = match section {
            Section::Text(text) => {
                literal.push_str(text);
                continue;
            }
            Section::Tag { block: true, .. } => TemplatePiece::Block,
            Section::Tag { tokens, .. } => TemplatePiece::Value(value(&tokens, 0)),
        };
        if !literal.is_empty() {
            pieces.push(TemplatePiece::Text(std::mem::take(&mut literal)));
        }
        pieces.push(piece);
    }
    if !literal.is_empty() {
        pieces.push(TemplatePiece::Text(literal));
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_values_and_blocks_come_in_order() {
        let text = |text: &str| TemplatePiece::Text(text.to_owned());
        let found =
            pieces("a{b {# {{ c }} #}{% if rule %}x{{ rule }}{% endif %}{% raw %}{{ d }}{% endraw %}");
        let rule = TemplatePiece::Value(Value {
            form: Form::Own,
            place: None,
        });
        assert_eq!(
            found,
            [
                text("a{b "),
                TemplatePiece::Block,
                text("x"),
                rule,
                TemplatePiece::Block,
                text("{{ d }}")
            ]
        );
        assert_eq!(pieces("plain"), [text("plain")]);
        assert_eq!(pieces(""), []);
        pieces(&format!("{{{{ {} }}}}", "(".repeat(50_000)));
        for torn in ["{", "{{", "{%", "{#", "{{ '", "{% raw", "{% raw %}x", "é{{ é"] {
            pieces(torn);
        }
    }
}
