//! `endpoints:`, and the endpoints that rules name without an entry there.

use std::collections::HashMap;

use super::defaults::Defaults;
use super::document::EndpointShape;
use super::endpoint::{BodyLimits, EndpointBuilder};
use super::unpack;
use crate::act::CompileContext;
use crate::base::diagnostic::{Diagnostic, Diagnostics};
use crate::base::patterns::Patterns;
use crate::base::units::Size;
use crate::base::yaml::Node;
use crate::rules::Server;
use crate::store::Wanted;

/// Maximum length of an endpoint's path, in bytes.
const MAX_PATH: usize = 1024;
/// Maximum bytes of a path that is too long which its diagnostic shows.
const MAX_PATH_SHOWN: usize = 64;
/// Maximum parameters of an endpoint's path. The router panics from 26 on.
const MAX_PARAMETERS: usize = 20;

/// All endpoints of the file while it is being read.
pub struct EndpointBuilders<'d, 'w> {
    /// External URL of this server, as senders know it.
    pub public_url: Option<&'w str>,
    /// Limits on deliveries that run at once.
    pub wanted: &'w Wanted,
    /// Values of rules that do not state their own.
    pub defaults: &'w Defaults<'d, 'w>,
    /// Context in which actions and templates are compiled.
    pub context: &'w CompileContext<'w>,
    /// The patterns of all conditions.
    pub patterns: &'w Patterns,
    body_limits: BodyLimits,
    list: Vec<EndpointBuilder<'d>>,
    by_path: HashMap<String, usize>,
}

impl<'d, 'w> EndpointBuilders<'d, 'w> {
    /// `max_body`: `server.max_body`, if the file sets it.
    pub fn new(
        server: &'w Server,
        max_body: Option<Size>,
        wanted: &'w Wanted,
        defaults: &'w Defaults<'d, 'w>,
        context: &'w CompileContext<'w>,
        patterns: &'w Patterns,
    ) -> Self {
        Self {
            public_url: server.public_url.as_deref(),
            wanted,
            defaults,
            context,
            patterns,
            body_limits: BodyLimits {
                max_body,
                max_inflight: server.max_inflight,
            },
            list: Vec::new(),
            by_path: HashMap::new(),
        }
    }

    /// Reads `endpoints:` of one file.
    pub fn read(&mut self, node: Option<Node<'d>>, diagnostics: &mut Diagnostics) {
        let Some(node) = node else { return };
        if !node.is_mapping() {
            diagnostics.push(node.error(
                "wrong-value",
                "`endpoints` maps paths to settings: `/github: {…}`",
            ));
            return;
        }
        for (path, node) in node.entries() {
            let shape = if node.value().is_null() {
                EndpointShape::default()
            } else {
                // The errors are in `diagnostics`; the endpoint's rules are still checked.
                node.read(diagnostics).unwrap_or_default()
            };
            let mut builder =
                EndpointBuilder::new(path, node, shape, self.body_limits, self.context, diagnostics);
            builder.unpack = node
                .given("unpack")
                .and_then(|node| unpack::compile(node, self.patterns, diagnostics));
            if let Some(verify) = builder.verify {
                builder.verification(verify, self.public_url, self.context, diagnostics);
            }
            let first = self.by_path.get(path).and_then(|index| self.list.get(*index));
            if let Some(first) = first {
                let place = first.origin.seen_from(&builder.origin);
                let message = format!("a second endpoint `{path}`; the first is in {place}");
                diagnostics.push(Diagnostic::error(builder.origin, "duplicate-endpoint", message));
                continue;
            }
            match check_path(path) {
                Ok(()) => self.add(builder),
                Err(message) => diagnostics.push(Diagnostic::error(node.key_origin(), "endpoint", message)),
            }
        }
    }

    /// Returns the index of the endpoint that a rule names. An endpoint without an entry gets the
    /// defaults.
    pub fn named(&mut self, path: &str, node: Node<'d>, diagnostics: &mut Diagnostics) -> Option<usize> {
        if let Some(index) = self.by_path.get(path) {
            return Some(*index);
        }
        if let Err(message) = check_path(path) {
            diagnostics.push(node.error("endpoint", message));
            return None;
        }
        let shape = EndpointShape::default();
        let builder = EndpointBuilder::new(path, node, shape, self.body_limits, self.context, diagnostics);
        self.add(builder);
        self.by_path.get(path).copied()
    }

    /// Returns a detached endpoint, for a rule without a valid endpoint. The rest of the rule is
    /// checked against it; then it is discarded.
    pub fn detached(&self, node: Node<'d>) -> EndpointBuilder<'d> {
        EndpointBuilder::detached(node, self.body_limits)
    }

    fn add(&mut self, builder: EndpointBuilder<'d>) {
        self.by_path.insert(builder.path.to_string(), self.list.len());
        self.list.push(builder);
    }

    pub fn at(&mut self, index: usize) -> Option<&mut EndpointBuilder<'d>> {
        self.list.get_mut(index)
    }

    pub fn finish(self) -> Vec<EndpointBuilder<'d>> {
        self.list
    }
}

/// Checks an endpoint's path. The error names the problem.
fn check_path(path: &str) -> Result<(), String> {
    if !path.starts_with('/') {
        return Err(format!("the endpoint `{path}` does not begin with `/`"));
    }
    if path.len() > MAX_PATH {
        let shown = path.get(..MAX_PATH_SHOWN).unwrap_or_default();
        return Err(format!("the endpoint `{shown}…` has more than {MAX_PATH} bytes"));
    }
    if path.matches('{').count() > MAX_PARAMETERS {
        return Err(format!(
            "the endpoint `{path}` has more than {MAX_PARAMETERS} parameters"
        ));
    }
    if path
        .bytes()
        .any(|byte| byte <= b' ' || byte == b'?' || byte == b'#' || byte >= 127)
    {
        return Err(format!(
            "the endpoint `{path}` is not a path of printable ASCII without `?` and `#`"
        ));
    }
    matchit::Router::new()
        .insert(path, ())
        .map_err(|error| format!("the endpoint `{path}`: {error}; a parameter is written `/deploy/{{app}}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_printable_and_begins_with_a_slash() {
        for good in ["/", "/github", "/deploy/{app}", "/files/{*rest}", "/a-b_c.d~e"] {
            assert_eq!(check_path(good), Ok(()), "{good}");
        }
        for wrong in [
            "", "github", "/a b", "/a?b", "/a#b", "/é", "/{", "/{a}{b}", "/{*a}/b",
        ] {
            assert!(check_path(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_path_has_a_bounded_number_of_parameters() {
        let path = |count: usize| {
            let parameters: Vec<String> = (0..count).map(|n| format!("/{{p{n}}}")).collect();
            parameters.concat()
        };
        assert_eq!(check_path(&path(MAX_PARAMETERS)), Ok(()));
        for count in [MAX_PARAMETERS + 1, 26, 100] {
            let message = check_path(&path(count)).unwrap_err();
            assert!(message.contains("more than 20 parameters"), "{message}");
        }
        let long = check_path(&format!("/{}", "a".repeat(5000))).unwrap_err();
        assert!(
            long.contains("more than 1024 bytes") && long.len() < 200,
            "{long}"
        );
    }
}
