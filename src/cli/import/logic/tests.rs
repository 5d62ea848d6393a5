//! Conditions, compared with the answers of adnanh/webhook for all kinds of rules.

use proptest::prelude::*;

use super::*;

const NAMES: [&str; 3] = ["$.a", "$.b", "$.c"];

fn test(name: usize) -> Formula {
    Formula::Test(Test {
        selector: NAMES[name].to_owned(),
        operators: Yaml::Map(Map::new().with("prefix", Yaml::text("v"))),
        may_be_missing: true,
    })
}

fn not(formula: Formula) -> Formula {
    Formula::Not(Box::new(formula))
}

fn shown(formula: &Formula) -> String {
    match formula.fires().entries() {
        Some(map) => {
            let mut out = String::new();
            Map::new().with("x", map.into()).write(&mut out, 0);
            out.trim_end()
                .trim_start_matches("x: ")
                .replace("{prefix: v}", "v")
        }
        None => format!("{:?}", formula.fires()),
    }
}

#[test]
fn a_missing_value_counts_where_it_counted() {
    let (a, b) = (test(0), test(1));
    for (formula, expected) in [
        (a.clone(), "{$.a: v}"),
        (not(a.clone()), "{any: [{not: {$.a: v}}, {$.a: {exists: false}}]}"),
        (
            Formula::All(vec![not(a.clone()), b.clone()]),
            "{not: {$.a: v}, $.b: v}",
        ),
        (
            Formula::Any(vec![not(a.clone()), b.clone()]),
            "{any: [{not: {$.a: v}}, {$.a: {exists: false}}, {$.b: v}]}",
        ),
        (Formula::All(vec![a.clone(), Formula::Constant(true)]), "{$.a: v}"),
        (Formula::Any(vec![a.clone(), Formula::Constant(true)]), "Always"),
        (not(Formula::Constant(true)), "Never"),
        (Formula::Any(vec![a.clone(), a]), "{$.a: v}"),
        (Formula::All(Vec::new()), "Always"),
        (Formula::Any(Vec::new()), "Never"),
    ] {
        assert_eq!(shown(&formula), expected, "{formula:?}");
    }
}

#[test]
fn alternatives_of_one_value_are_a_list() {
    let equals = |text: &str| {
        Formula::Test(Test {
            selector: "$.ref".to_owned(),
            operators: Yaml::text(text),
            may_be_missing: true,
        })
    };
    let formula = Formula::Any(vec![equals("main"), equals("next")]);
    assert_eq!(shown(&formula), "{$.ref: [main, next]}");
}

/// The answer of adnanh/webhook: whether a rule holds, and whether it ends with an error.
fn theirs(formula: &Formula, values: [Option<bool>; 3]) -> (bool, bool) {
    match formula {
        Formula::Constant(value) => (*value, false),
        Formula::Outside(_) => (true, false),
        Formula::Test(test) => {
            let at = NAMES.iter().position(|name| *name == test.selector).unwrap();
            values[at].map_or((false, true), |value| (value, false))
        }
        Formula::All(parts) => {
            for part in parts {
                match theirs(part, values) {
                    (_, true) => return (false, true),
                    (false, false) => return (false, false),
                    (true, false) => {}
                }
            }
            (true, false)
        }
        Formula::Any(parts) => (parts.iter().any(|part| theirs(part, values).0), false),
        Formula::Not(part) => {
            let (holds, error) = theirs(part, values);
            (!holds, error)
        }
    }
}

/// The answer of `match`: `None` is unknown.
fn ours(condition: &Condition, values: [Option<bool>; 3]) -> Option<bool> {
    let value = |selector: &str| values[NAMES.iter().position(|name| *name == selector).unwrap()];
    match condition {
        Condition::Always => Some(true),
        Condition::Never => Some(false),
        Condition::Holds(test) => value(&test.selector),
        Condition::Fails(test) => value(&test.selector).map(|value| !value),
        Condition::Missing(selector) => Some(value(selector).is_none()),
        Condition::All(parts) => {
            let answers: Vec<_> = parts.iter().map(|part| ours(part, values)).collect();
            if answers.contains(&Some(false)) {
                Some(false)
            } else if answers.contains(&None) {
                None
            } else {
                Some(true)
            }
        }
        Condition::Any(parts) => {
            let answers: Vec<_> = parts.iter().map(|part| ours(part, values)).collect();
            if answers.contains(&Some(true)) {
                Some(true)
            } else if answers.contains(&None) {
                None
            } else {
                Some(false)
            }
        }
    }
}

fn formula() -> impl Strategy<Value = Formula> {
    let leaf = prop_oneof![
        4 => (0..NAMES.len()).prop_map(test),
        1 => any::<bool>().prop_map(Formula::Constant),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Formula::All),
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Formula::Any),
            inner.prop_map(not),
        ]
    })
}

proptest! {
    #[test]
    fn a_condition_holds_when_the_hook_would_fire(
        formula in formula(),
        values in any::<[Option<bool>; 3]>(),
    ) {
        let (fires, _) = theirs(&formula, values);
        prop_assert_eq!(ours(&formula.fires(), values) == Some(true), fires);
    }
}
