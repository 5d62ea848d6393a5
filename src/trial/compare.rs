//! Comparison of what is expected of a request with what was found.

use super::compare_actions::{actions, rendered_list};
use super::expect::{Expect, ExpectedAnswer, ExpectedRule};
use super::failure::{Failure, Failures};
use super::found::{Found, FoundAction, FoundDelivery, state_name};
use super::yaml;
use crate::rules::RuleSet;

/// Compares all expectations of one request.
pub(super) fn compare(expect: &Expect, found: &Found<'_>, rules: &RuleSet, failures: &mut Failures) {
    if let Some(expected) = &expect.answer {
        answer(expected, found, failures);
    }
    failures.scalar(
        "outcome",
        expect.outcome.as_ref(),
        &found.outcome.name().to_owned(),
    );
    refused(expect, found, failures);
    matching(expect, found, rules, failures);
    for (rule, (expected, place)) in &expect.not {
        let (reason, why) = found.reason(rules, rule);
        if reason != *expected {
            failures.push(Failure {
                place: place.clone(),
                what: format!("reason why `{rule}` does not match"),
                expected: format!("`{expected}`"),
                found: format!("`{reason}`"),
                hint: Some(why),
                replacement: (reason != "matches").then(|| yaml::text(&reason)),
            });
        }
    }
    if let Some(expected) = &expect.on_failure {
        let all = found.deliveries.iter().flat_map(|delivery| &delivery.on_failure);
        let all: Vec<&FoundAction> = all.collect();
        actions("on_failure", expected, &all, failures);
    }
    for (name, expected) in &expect.of_rules {
        let of_rule = found.deliveries.iter().filter(|one| *one.delivery.rule == **name);
        let of_rule: Vec<&FoundDelivery> = of_rule.collect();
        if of_rule.is_empty() {
            let (_, why) = found.reason(rules, name);
            let what = format!("rule `{name}`");
            failures.add(
                &expected.place,
                &what,
                "a delivery".to_owned(),
                format!("none: {why}"),
            );
            continue;
        }
        of_deliveries(name, expected, &of_rule, failures);
    }
}

fn answer(expected: &ExpectedAnswer, found: &Found<'_>, failures: &mut Failures) {
    let Some(answer) = &found.answer else {
        for place in expected.status.iter().map(|(_, place)| place) {
            failures.add(place, "answer", "an answer".to_owned(), "none".to_owned());
        }
        return;
    };
    let status = u64::from(answer.status.as_u16());
    failures.scalar("answer.status", expected.status.as_ref(), &status);
    let outcome = answer.outcome.to_owned();
    failures.scalar("answer.outcome", expected.outcome.as_ref(), &outcome);
    for (name, test) in &expected.headers {
        let value = match name.to_ascii_lowercase().as_str() {
            "x-hookyard-status" => Some(answer.outcome.as_bytes()),
            name => answer.headers.get(name).map(http::HeaderValue::as_bytes),
        };
        failures.text(&format!("answer.headers.{name}"), Some(test), value);
    }
    failures.text("answer.body", expected.body.as_ref(), Some(&answer.body));
    if let Some(fault) = &answer.unrendered
        && let Some(test) = &expected.body
    {
        failures.add(&test.place, "answer.body", "a body".to_owned(), fault.clone());
    }
}

fn refused(expect: &Expect, found: &Found<'_>, failures: &mut Failures) {
    let Some((expected, place)) = &expect.refused else {
        return;
    };
    let refusal = found.answer.as_ref().and_then(|answer| answer.refusal);
    if refusal != Some(expected) {
        let told = refusal.unwrap_or(found.outcome.name());
        failures.push(Failure {
            place: place.clone(),
            what: "refused".to_owned(),
            expected: format!("`{expected}`"),
            found: format!("`{told}`"),
            hint: None,
            replacement: refusal.map(yaml::text),
        });
    }
}

fn matching(expect: &Expect, found: &Found<'_>, rules: &RuleSet, failures: &mut Failures) {
    let Some((expected, place)) = &expect.rules else {
        return;
    };
    let matching = found.rules();
    if expected.iter().map(String::as_str).eq(matching.iter().copied()) {
        return;
    }
    let missing = expected.iter().filter(|name| !matching.contains(&name.as_str()));
    let reasons = missing.map(|name| format!("{name}: {}", found.reason(rules, name).1));
    let mut reasons: Vec<String> = reasons.collect();
    if let Some(refusal) = found.answer.as_ref().and_then(|answer| answer.refusal) {
        reasons.push(format!("the request was refused: {refusal}"));
    }
    failures.push(Failure {
        place: place.clone(),
        what: "rules".to_owned(),
        expected: format!("[{}]", expected.join(", ")),
        found: format!("[{}]", matching.join(", ")),
        hint: (!reasons.is_empty()).then(|| reasons.join("; ")),
        replacement: Some(yaml::list(matching.iter().map(|name| yaml::text(name)))),
    });
}

/// Compares the deliveries of a rule. With `for_each` there are several.
fn of_deliveries(name: &str, expected: &ExpectedRule, found: &[&FoundDelivery], failures: &mut Failures) {
    for one in found {
        of_delivery(name, expected, one, failures);
    }
    let attempts: usize = found.iter().map(|one| one.attempts).sum();
    let attempts = u64::try_from(attempts).unwrap_or(u64::MAX);
    failures.scalar(&format!("{name}.attempts"), expected.attempts.as_ref(), &attempts);
    if let Some(expected) = &expected.actions {
        let all: Vec<&FoundAction> = found.iter().flat_map(|one| &one.actions).collect();
        actions(&format!("{name}.actions"), expected, &all, failures);
    }
    if let Some(expected) = &expected.on_failure {
        let all: Vec<&FoundAction> = found.iter().flat_map(|one| &one.on_failure).collect();
        actions(&format!("{name}.on_failure"), expected, &all, failures);
    }
    if let Some((elements, place)) = &expected.elements {
        if elements.len() != found.len() {
            let what = format!("{name}.elements");
            failures.push(Failure {
                place: place.clone(),
                what,
                expected: format!("{} deliveries", elements.len()),
                found: found.len().to_string(),
                hint: None,
                replacement: Some(yaml::list(found.iter().map(|one| element(one)))),
            });
        }
        for (index, (expected, one)) in elements.iter().zip(found).enumerate() {
            of_deliveries(&format!("{name}.elements[{index}]"), expected, &[one], failures);
        }
    }
}

fn of_delivery(name: &str, expected: &ExpectedRule, found: &FoundDelivery, failures: &mut Failures) {
    let state = &found.delivery.state;
    let before = failures.0.len();
    failures.scalar(
        &format!("{name}.state"),
        expected.state.as_ref(),
        &state_name(state).to_owned(),
    );
    if let (Some(failure), Some(reason)) = (failures.0.get_mut(before), state.reason()) {
        failure.hint = Some(reason.to_owned());
    }
    let reason = state.reason().map(str::as_bytes);
    failures.text(&format!("{name}.reason"), expected.reason.as_ref(), reason);
    let group = found.group.as_ref().map(String::as_bytes);
    failures.text(&format!("{name}.group"), expected.group.as_ref(), group);
}

/// An element's delivery as YAML.
fn element(found: &FoundDelivery) -> String {
    let actions: Vec<&FoundAction> = found.actions.iter().collect();
    yaml::mapping([
        ("state".to_owned(), state_name(&found.delivery.state).to_owned()),
        ("actions".to_owned(), rendered_list(&actions)),
    ])
}
