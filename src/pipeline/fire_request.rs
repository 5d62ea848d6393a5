//! The request that an operator describes for a rule, as its sender would have sent it.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::base::clock::Timestamp;
use crate::base::url_path;
use crate::event::{EventId, Received};
use crate::rules::{Endpoint, Rule, RuleSet};
use crate::verify::{EventName, Verification};

/// Characters that are escaped in a parameter of a path: all but the unreserved ones.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A rule that an operator runs, and the request that it gets.
#[derive(Debug)]
pub struct Firing {
    pub rule: String,
    /// Name of the operator.
    pub by: Arc<str>,
    /// Name of the event, put where the sender puts it.
    pub event_name: Option<String>,
    /// Method of the request. `None`: the first one of the endpoint.
    pub method: Option<Method>,
    pub headers: HeaderMap,
    pub query: Vec<(String, String)>,
    /// Values of the parameters of the endpoint's path.
    pub parameters: Vec<(String, String)>,
    pub body: Bytes,
    /// True if the rule runs although its conditions do not hold.
    pub force: bool,
    /// True if only the decision and the actions are asked for.
    pub dry_run: bool,
}

impl Firing {
    /// Builds the request on the endpoint of the rule. The error is the reason why there is none.
    pub(super) fn received(
        &self,
        rules: &RuleSet,
        endpoint: &Endpoint,
        rule: &Rule,
        at: Timestamp,
    ) -> Result<Received, String> {
        let size = self.body.len() as u64;
        if size > endpoint.max_body {
            let limit = endpoint.max_body;
            return Err(format!("the body has {size} bytes, and `max_body` is {limit}"));
        }
        let first = endpoint.methods.first();
        let method = self.method.as_ref().or(first).unwrap_or(&Method::POST);
        if !endpoint.methods.contains(method) {
            let methods: Vec<&str> = endpoint.methods.iter().map(Method::as_str).collect();
            let methods = methods.join(", ");
            return Err(format!(
                "the endpoint `{}` takes {methods}, not {method}",
                endpoint.path
            ));
        }
        let mut headers = self.headers.clone();
        if let Some(event) = &self.event_name {
            let indices = rule.alternatives.iter().map(|known| known.verification);
            let verifications = indices.filter_map(|index| endpoint.verifications.get(index));
            let scheme = verifications
                .clone()
                .next()
                .map_or("none", |known| &**known.scheme());
            let location = EventName::combined(verifications.filter_map(Verification::event_name));
            let (name, value) = EventName::header(location.as_ref(), event, scheme)?;
            headers.insert(name, value);
        }
        let (path, parameters) = filled_path(&endpoint.path, &self.parameters)?;
        // A value may lead to another endpoint, which has a fixed path.
        match rules.endpoint(&url_path::normalized(&path)) {
            Some((found, _)) if found.path == endpoint.path => {}
            Some((found, _)) => {
                return Err(format!("`{path}` belongs to the endpoint `{}`", found.path));
            }
            None => return Err(format!("`{path}` is no path of `{}`", endpoint.path)),
        }
        Ok(Received {
            id: EventId::new(at),
            at,
            endpoint: Arc::clone(&endpoint.path),
            method: method.clone(),
            path,
            query: form_urlencoded::Serializer::new(String::new())
                .extend_pairs(&self.query)
                .finish(),
            parameters,
            client: None,
            certificate: None,
            headers,
            body: self.body.clone(),
        })
    }
}

/// Puts the values into the path of an endpoint. Returns the path and the parameters in its order.
pub fn filled_path(
    template: &str,
    given: &[(String, String)],
) -> Result<(String, Vec<(String, String)>), String> {
    let (mut path, mut parameters) = (String::new(), Vec::new());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (parameter, after) = after.split_once('}').unwrap_or((after, ""));
        let name = parameter.trim_start_matches('*');
        let mut values = given.iter().filter(|(known, _)| known == name);
        let (Some((_, value)), None) = (values.next(), values.next()) else {
            return Err(format!(
                "the path `{template}` needs one value for `{name}`: `--path {name}=VALUE`"
            ));
        };
        path.push_str(before);
        // A parameter at the end may have several segments.
        let is_rest = parameter.starts_with('*');
        let segments: Vec<&str> = if is_rest {
            value.split('/').collect()
        } else {
            vec![value]
        };
        let segments: Vec<String> = segments
            .into_iter()
            .map(|segment| utf8_percent_encode(segment, ESCAPED).to_string())
            .collect();
        path.push_str(&segments.join("/"));
        parameters.push((name.to_owned(), value.clone()));
        rest = after;
    }
    path.push_str(rest);
    let is_known = |name: &String| parameters.iter().any(|(known, _)| known == name);
    if let Some((name, _)) = given.iter().find(|(name, _)| !is_known(name)) {
        return Err(format!("the path `{template}` has no parameter `{name}`"));
    }
    Ok((path, parameters))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(template: &str, given: &[(&str, &str)]) -> Result<String, String> {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let given: Vec<_> = given.iter().map(own).collect();
        filled_path(template, &given).map(|(path, _)| path)
    }

    #[test]
    fn a_path_gets_the_values_of_its_parameters() {
        for (template, given, expected) in [
            ("/a", &[][..], Ok("/a")),
            ("/a/{x}/b/{y}", &[("y", "2"), ("x", "1")], Ok("/a/1/b/2")),
            ("/a/{x}", &[("x", "é /?#")], Ok("/a/%C3%A9%20%2F%3F%23")),
            ("/a/{*rest}", &[("rest", "b/c d")], Ok("/a/b/c%20d")),
            (
                "/a/{x}",
                &[],
                Err("the path `/a/{x}` needs one value for `x`: `--path x=VALUE`"),
            ),
            (
                "/a/{x}",
                &[("x", "1"), ("x", "2")],
                Err("the path `/a/{x}` needs one value for `x`: `--path x=VALUE`"),
            ),
            ("/a", &[("x", "1")], Err("the path `/a` has no parameter `x`")),
        ] {
            let found = path(template, given);
            assert_eq!(found.as_deref().map_err(String::as_str), expected, "{template}");
        }
    }
}
