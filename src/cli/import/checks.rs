//! The `match` of a trigger rule, as a test or as something that is handled outside of `match`.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::go_regex::{self, Found};
use super::go_template::{Named, named};
use super::hooks::{Argument, Check, Trigger};
use super::logic::{Formula, Test};
use super::names::PayloadName;
use super::notes::Notes;
use super::schemes::{Secret, is_secret_name, signature, token};
use super::yaml::{Map, Yaml};
use crate::base::diagnostic::Diagnostic;
use crate::base::yaml::Node;
use crate::reference::hooks_file::{MatchType, Source};

/// A check that hookyard makes outside of `match`.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// A signature: the schemes that verify it, any of which may.
    Signature(Vec<Map>),
    /// A secret that is sent.
    Token(Map),
    /// Networks of clients.
    Address(Vec<String>),
}

/// A condition that can be asked outside of `match`.
pub(super) struct Candidate<'d> {
    pub(super) node: Node<'d>,
    pub(super) kind: Kind,
    /// The same condition in `match`.
    pub(super) inside: Formula,
}

/// Reads trigger rules.
pub(super) struct Reader<'n, 'd> {
    pub(super) notes: &'n mut Notes,
    pub(super) candidates: Vec<Candidate<'d>>,
    /// True if a part was not translated, so that the rule must not run.
    pub(super) broken: bool,
}

/// The selector of a value.
struct Selector {
    written: String,
    may_be_missing: bool,
    /// True if the value is always text.
    is_text: bool,
    /// True if the text has no line breaks.
    one_line: bool,
}

impl<'d> Reader<'_, 'd> {
    pub(super) fn formula(&mut self, trigger: &Trigger<'d>) -> Formula {
        match trigger {
            Trigger::All(parts) => Formula::All(parts.iter().map(|part| self.formula(part)).collect()),
            Trigger::Any(parts) => Formula::Any(parts.iter().map(|part| self.formula(part)).collect()),
            Trigger::Not(part) => Formula::Not(Box::new(self.formula(part))),
            Trigger::Match(check) => self.check(check),
            Trigger::Never => Formula::Constant(false),
            Trigger::Broken => {
                self.broken = true;
                Formula::Constant(false)
            }
        }
    }

    fn check(&mut self, check: &Check<'d>) -> Formula {
        let read = match check.kind {
            MatchType::Value => self.value(check),
            MatchType::Regex => self.regex(check),
            MatchType::IpWhitelist => self.address(check),
            _ => self.signature(check),
        };
        read.unwrap_or_else(|(node, message)| {
            let hint = "the rule is written with `enabled: false`: complete its `match` by hand";
            self.notes
                .changed(node, "match", "not-translated", &message, hint);
            self.broken = true;
            Formula::Constant(false)
        })
    }

    fn outside(&mut self, candidate: Candidate<'d>) -> Formula {
        let known = self
            .candidates
            .iter()
            .position(|known| known.kind == candidate.kind);
        Formula::Outside(known.unwrap_or_else(|| {
            self.candidates.push(candidate);
            self.candidates.len() - 1
        }))
    }

    fn value(&mut self, check: &Check<'d>) -> Result<Formula, (Node<'d>, String)> {
        let Some(parameter) = &check.parameter else {
            return Ok(Formula::Constant(false));
        };
        let operand = &check.operand;
        if parameter.source == Source::Text {
            return Ok(Formula::Constant(parameter.name == operand.text));
        }
        let secret = Secret::of(operand).map_err(|message| (operand.node, message.to_owned()));
        if operand.text.is_empty() && is_secret_name(parameter) {
            return Err((operand.node, "an empty secret proves nothing".to_owned()));
        }
        let scheme = secret.as_ref().ok().and_then(|secret| token(parameter, secret));
        let is_secret = matches!(named(&operand.text), Named::Whole(_));
        if scheme.is_none() && (is_secret || secret.is_err() && !operand.text.is_empty()) {
            let message = "`match` cannot compare with a secret of the environment";
            return Err((operand.node, message.to_owned()));
        }
        let selector = self.selector(parameter)?;
        let inside = match (selector.written.as_str(), is_secret) {
            // A secret of the environment cannot stand in `match`.
            (_, true) => Formula::Constant(true),
            ("client.ip", _) => selector.test(Yaml::text(without_port(&operand.text))),
            _ => selector.test(selector.equals(&operand.text)),
        };
        Ok(match scheme {
            Some(scheme) => self.outside(Candidate {
                node: check.node,
                kind: Kind::Token(scheme),
                inside,
            }),
            None => inside,
        })
    }

    fn regex(&mut self, check: &Check<'d>) -> Result<Formula, (Node<'d>, String)> {
        let Some(parameter) = &check.parameter else {
            return Ok(Formula::Constant(false));
        };
        let node = check.operand.node;
        if named(&check.operand.text) != Named::Nothing {
            return Err((node, "a regular expression cannot hold a secret".to_owned()));
        }
        let selector = self.selector(parameter)?;
        let Found { test, fits_scalars } = go_regex::translate(&check.operand.text, selector.one_line)
            .map_err(|message| {
                (
                    node,
                    format!("this regular expression is not translated: {message}"),
                )
            })?;
        let test = match test {
            Yaml::Text(text) => selector.equals(&text),
            Yaml::Map(map) if map.has("exists") => Yaml::Map(map),
            test => {
                if fits_scalars && !selector.is_text {
                    self.notes.warn(
                        node,
                        "match",
                        "number",
                        "this regular expression may match a number, which is no text",
                        "if the value is a number, compare it as one: `{gt: 1}`",
                    );
                }
                test
            }
        };
        Ok(selector.test(test))
    }

    fn address(&mut self, check: &Check<'d>) -> Result<Formula, (Node<'d>, String)> {
        let node = check.operand.node;
        let mut networks = Vec::new();
        for written in check.operand.text.split_whitespace() {
            let network = network(written).ok_or_else(|| (node, format!("`{written}` is not a network")))?;
            if written.contains(':') && !written.contains('/') {
                let message =
                    format!("`{written}` let in all of its /32, because a length of 32 was assumed");
                let hint = "now it is this address alone; write the network if you mean it";
                self.notes
                    .tell("allow", node.warning("ip-range", message).hint(hint));
            }
            networks.push(network);
        }
        if networks.is_empty() {
            return Ok(Formula::Constant(false));
        }
        let items = networks.iter().map(Yaml::text).collect();
        let inside = Formula::Test(Test {
            selector: "client.ip".to_owned(),
            operators: Map::new().with("in_cidr", Yaml::List(items)).into(),
            may_be_missing: false,
        });
        Ok(self.outside(Candidate {
            node: check.node,
            kind: Kind::Address(networks),
            inside,
        }))
    }

    fn signature(&mut self, check: &Check<'d>) -> Result<Formula, (Node<'d>, String)> {
        let secret =
            Secret::of(&check.operand).map_err(|message| (check.operand.node, message.to_owned()))?;
        let schemes = signature(check, &secret).map_err(|message| (check.node, message.to_owned()))?;
        if check.kind == MatchType::Scalr {
            let message = "the age of the header `Date` is not checked";
            let hint = "the same date and body count once within `replay_window`";
            self.notes
                .warn(check.node, "verify", "scalr-signature", message, hint);
        }
        Ok(self.outside(Candidate {
            node: check.node,
            kind: Kind::Signature(schemes),
            inside: Formula::Constant(true),
        }))
    }

    fn selector(&mut self, parameter: &Argument<'d>) -> Result<Selector, (Node<'d>, String)> {
        let name = parameter.name.as_str();
        let selector = |written: String, one_line| Selector {
            written,
            may_be_missing: true,
            is_text: true,
            one_line,
        };
        let always = |written: &str, one_line| Selector {
            may_be_missing: false,
            ..selector(written.to_owned(), one_line)
        };
        Ok(match parameter.source {
            Source::Payload => {
                let path = PayloadName::of(name);
                if path.is_of_list() {
                    let message = "`root` is read as the payload itself, which is a list";
                    let hint = format!(
                        "if it is a field, write `$.root{}`",
                        path.json_path().trim_start_matches('$')
                    );
                    let note = Diagnostic::note(parameter.node.origin(), "root", message);
                    self.notes.tell("match", note.hint(hint));
                }
                Selector {
                    is_text: false,
                    ..selector(path.json_path(), false)
                }
            }
            Source::Header => selector(format!("header.{name}"), true),
            Source::Url | Source::Query => selector(format!("query.{name}"), false),
            Source::RawBody => always("body", false),
            Source::Request => match name.to_ascii_lowercase().as_str() {
                "method" => always("method", true),
                "remote-addr" => {
                    let message = "the address is compared without its port";
                    let hint = "prefer `{in_cidr: …}`, which compares addresses and networks";
                    self.notes
                        .warn(parameter.node, "match", "remote-addr", message, hint);
                    always("client.ip", true)
                }
                _ => return Err((parameter.node, format!("a request has no `{name}`"))),
            },
            source => {
                let message = format!("a condition cannot look at `{}`", source.name());
                return Err((parameter.node, message));
            }
        })
    }
}

impl Selector {
    fn test(&self, operators: Yaml) -> Formula {
        Formula::Test(Test {
            selector: self.written.clone(),
            operators,
            may_be_missing: self.may_be_missing,
        })
    }

    /// The value that is compared. adnanh/webhook compares numbers and booleans as text.
    fn equals(&self, text: &str) -> Yaml {
        let is_scalar = matches!(text, "true" | "false")
            || text.parse::<i64>().is_ok_and(|number| number.to_string() == text);
        if self.is_text || !is_scalar {
            Yaml::text(text)
        } else {
            Yaml::List(vec![Yaml::text(text), Yaml::word(text)])
        }
    }
}

/// A network or an address, as adnanh/webhook reads it.
fn network(written: &str) -> Option<String> {
    if written.contains('/') {
        let network: IpNet = written.parse().ok()?;
        return Some(network.trunc().to_string());
    }
    let address: IpAddr = written.parse().ok()?;
    Some(address.to_string())
}

/// An address without the port behind it.
fn without_port(text: &str) -> String {
    match text.parse::<SocketAddr>() {
        Ok(address) => address.ip().to_string(),
        Err(_) => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_read_as_they_were() {
        for (written, expected) in [
            ("192.168.0.1/24", Some("192.168.0.0/24")),
            ("10.0.0.7", Some("10.0.0.7")),
            ("::1", Some("::1")),
            ("fd00::1/8", Some("fd00::/8")),
            ("10.0.0.0/33", None),
            ("host", None),
        ] {
            assert_eq!(network(written).as_deref(), expected, "{written}");
        }
        assert_eq!(without_port("127.0.0.1:9000"), "127.0.0.1");
        assert_eq!(without_port("[::1]:9000"), "::1");
    }
}
