//! Answers that are given before a rule is chosen, where the rules of an endpoint differ.

use serde_yaml::Value;

use crate::base::diagnostic::Diagnostics;
use crate::base::yaml::Node;
use crate::rules::AnswerKind;

/// The first rule of an endpoint that states each answer.
#[derive(Default)]
pub struct EarlyAnswers<'d> {
    stated: Vec<(AnswerKind, String, &'d Value)>,
}

impl<'d> EarlyAnswers<'d> {
    /// Warns if the rule `name`, whose `respond` is `node`, states another answer than an earlier
    /// rule of the endpoint.
    pub fn check(&mut self, name: &str, node: Node<'d>, diagnostics: &mut Diagnostics) {
        for kind in AnswerKind::KEYED
            .into_iter()
            .filter(|kind| kind.is_before_a_rule())
        {
            let Some(stated) = node.given(kind.key()) else {
                continue;
            };
            let known = self.stated.iter().find(|(known, ..)| *known == kind);
            match known {
                None => self.stated.push((kind, name.to_owned(), stated.value())),
                Some((_, _, value)) if *value == stated.value() => {}
                Some((_, first, _)) => {
                    let message = format!(
                        "the rule `{first}` of this endpoint has another `{}`, and comes first",
                        kind.key()
                    );
                    let hint =
                        "the first rule that accepts the sender answers: write it once, in the endpoint";
                    diagnostics.push(stated.warning("respond-early", message).hint(hint));
                }
            }
        }
    }
}
