//! Script of a `shell`: fixed text for `/bin/sh`.
//!
//! A template in it would be a mistake: values reach a shell through its environment.

use crate::act::run::injection::BY_ENVIRONMENT;
use crate::base::diagnostic::Diagnostics;
use crate::base::yaml::Node;
use crate::template::NAMES;

/// Maximum bytes of a `shell` script. The kernel takes no longer argument.
const MAX_SCRIPT: usize = 128 << 10;

/// Reads the script of a `shell`.
pub(super) fn script<'d>(node: Node<'d>, diagnostics: &mut Diagnostics) -> Option<&'d str> {
    let Some(text) = node.as_str().filter(|text| !text.trim().is_empty()) else {
        diagnostics.push(node.error("wrong-value", "`shell` is the text of a script"));
        return None;
    };
    if text.len() > MAX_SCRIPT {
        let message = format!(
            "the script has {} bytes; at most {MAX_SCRIPT} are taken",
            text.len()
        );
        diagnostics.push(
            node.error("wrong-value", message)
                .hint("put it in a file and `run` that"),
        );
        return None;
    }
    if text.contains('\0') {
        diagnostics.push(node.error("wrong-value", "the script holds a NUL byte"));
        return None;
    }
    if let Some(name) = templated(text) {
        diagnostics.push(
            node.error(
                "template",
                format!("a script is fixed: `{name}` would not be filled in"),
            )
            .hint(BY_ENVIRONMENT),
        );
        return None;
    }
    Some(text)
}

/// Returns text that looks like a hookyard template. Other braces are valid in a script, as in
/// `docker ps --format '{{.Names}}'` and `${#name}`.
fn templated(text: &str) -> Option<String> {
    if text.contains("{%") {
        return Some("{%".to_owned());
    }
    text.split("{{").skip(1).find_map(|inside| {
        let inside = inside.trim_start_matches('-').trim_start();
        let end = inside
            .find(|letter: char| !letter.is_alphanumeric() && letter != '_')
            .unwrap_or(inside.len());
        let word = inside.get(..end)?;
        let is_own = NAMES.contains(&word) || ["secret", "jsonpath", "actions", "failure"].contains(&word);
        is_own.then(|| format!("{{{{ {word}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_distinguished_from_other_braces() {
        for script in [
            "echo {{ payload.ref }}",
            "echo {{ failure.reason }}",
            "echo {{- secret('X') }}",
            "{% if x %}",
            "{{jsonpath('$')}}",
        ] {
            assert!(templated(script).is_some(), "{script}");
        }
        for script in [
            "docker ps --format '{{.Names}}'",
            "echo ${#name} ${x%%.*}",
            "{{ json . }}",
            "{{",
        ] {
            assert!(templated(script).is_none(), "{script}");
        }
    }
}
