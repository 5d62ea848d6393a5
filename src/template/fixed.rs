//! Settings that must not contain a template.

use crate::base::diagnostic::Diagnostics;
use crate::base::yaml::Node;
use crate::template::is_template;

/// Text without a template. `None` after an error, which is added to `diagnostics`.
pub fn fixed<'d>(node: Node<'d>, what: &str, diagnostics: &mut Diagnostics) -> Option<&'d str> {
    match node.as_str() {
        None => {
            let diagnostic = node.error("wrong-value", format!("{what} is text"));
            diagnostics.push(diagnostic.hint("put it in quotes"));
            None
        }
        Some(text) if is_template(text) => {
            let message = format!("{what} is fixed: it may not hold a template");
            diagnostics.push(node.error("template", message));
            None
        }
        Some("") => {
            diagnostics.push(node.error("wrong-value", format!("{what} is empty")));
            None
        }
        Some(text) => Some(text),
    }
}
