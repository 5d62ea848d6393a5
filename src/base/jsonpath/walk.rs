//! The walk of a compiled path over a payload.
//!
//! Semantics are those of RFC 9535, except that numbers compare exactly. Cost is bounded at
//! translation, in `translate.rs`.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::Value;

use super::number::{NumericValue, same};
use super::{Comparison, Filter, JsonNode, JsonPath, LargeIntegers, Operand, PathSegment, Pick, Query};

/// The payload of a walk.
#[derive(Clone, Copy)]
struct WalkedPayload<'v> {
    root: &'v Value,
    integers: &'v LargeIntegers,
}

impl JsonPath {
    /// The value of a singular path.
    pub fn select_one<'v, N: JsonNode<'v>>(&self, root: N) -> Option<N> {
        let mut node = root;
        for step in &self.steps {
            node = match step.picks.first()? {
                Pick::Name(name) => member(&node, name)?,
                Pick::Index(index) => item(&node, *index)?,
                Pick::Wildcard | Pick::Slice { .. } | Pick::Filter(_) => return None,
            };
        }
        Some(node)
    }

    /// All values that the path selects, in the order of the RFC.
    pub fn select<'v, N: JsonNode<'v>>(&self, root: N, integers: &'v LargeIntegers) -> Vec<N> {
        let payload = WalkedPayload {
            root: root.value(),
            integers,
        };
        self.select_from(root, payload)
    }

    /// All values that the path selects from `start`, a value below `root`. `$` paths in filters begin
    /// at `root`.
    pub fn select_below<'v>(
        &self,
        start: &'v Value,
        root: &'v Value,
        integers: &'v LargeIntegers,
    ) -> Vec<&'v Value> {
        self.select_from(start, WalkedPayload { root, integers })
    }

    fn select_from<'v, N: JsonNode<'v>>(&self, start: N, payload: WalkedPayload<'v>) -> Vec<N> {
        let mut selected = vec![start];
        for step in &self.steps {
            let mut next = Vec::new();
            for node in selected {
                step.select(&node, payload, &mut next);
            }
            selected = next;
        }
        selected
    }
}

impl PathSegment {
    fn select<'v, N: JsonNode<'v>>(&self, node: &N, payload: WalkedPayload<'v>, selected: &mut Vec<N>) {
        for pick in &self.picks {
            pick.select(node, payload, selected);
        }
        if self.descends {
            for child in children(node) {
                self.select(&child, payload, selected);
            }
        }
    }
}

impl Pick {
    fn select<'v, N: JsonNode<'v>>(&self, node: &N, payload: WalkedPayload<'v>, selected: &mut Vec<N>) {
        match self {
            Self::Name(name) => selected.extend(member(node, name)),
            Self::Index(index) => selected.extend(item(node, *index)),
            Self::Wildcard => selected.extend(children(node)),
            Self::Slice { start, end, step } => slice(node, *start, *end, *step, selected),
            Self::Filter(filter) => {
                selected.extend(children(node).filter(|child| filter.holds(child.value(), payload)));
            }
        }
    }
}

/// The items of a list or the members of an object.
fn children<'v, N: JsonNode<'v>>(node: &N) -> impl Iterator<Item = N> {
    let items = node.value().as_array().into_iter().flatten().enumerate();
    let members = node.value().as_object().into_iter().flatten();
    items
        .map(|(index, value)| node.item(index, value))
        .chain(members.map(|(key, value)| node.member(key, value)))
}

fn member<'v, N: JsonNode<'v>>(node: &N, name: &str) -> Option<N> {
    let (key, value) = node.value().as_object()?.get_key_value(name)?;
    Some(node.member(key, value))
}

/// The item of a list at `index`, counted from the end if negative.
pub(super) fn item<'v, N: JsonNode<'v>>(node: &N, index: i64) -> Option<N> {
    let items = node.value().as_array()?;
    let index = if index < 0 {
        items
            .len()
            .checked_sub(usize::try_from(index.unsigned_abs()).ok()?)?
    } else {
        usize::try_from(index).ok()?
    };
    items.get(index).map(|value| node.item(index, value))
}

/// Slice selector (RFC 9535, 2.3.4.2.2).
fn slice<'v, N: JsonNode<'v>>(
    node: &N,
    start: Option<i64>,
    end: Option<i64>,
    step: i64,
    selected: &mut Vec<N>,
) {
    let Some(items) = node.value().as_array() else {
        return;
    };
    let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
    let from_front = |index: i64| {
        if index < 0 {
            length.saturating_add(index)
        } else {
            index
        }
    };
    let at = |index: i64| {
        let index = usize::try_from(index).ok()?;
        items.get(index).map(|value| node.item(index, value))
    };
    if step > 0 {
        let upper = end.map_or(length, |end| from_front(end).clamp(0, length));
        let mut index = start.map_or(0, |start| from_front(start).clamp(0, length));
        while index < upper {
            selected.extend(at(index));
            index = index.saturating_add(step);
        }
    } else if step < 0 {
        let lower = end.map_or(-1, |end| from_front(end).clamp(-1, length - 1));
        let mut index = start.map_or(length - 1, |start| from_front(start).clamp(-1, length - 1));
        while index > lower {
            selected.extend(at(index));
            index = index.saturating_add(step);
        }
    }
}

impl Filter {
    fn holds(&self, current: &Value, payload: WalkedPayload<'_>) -> bool {
        match self {
            Self::Any(filters) => filters.iter().any(|filter| filter.holds(current, payload)),
            Self::All(filters) => filters.iter().all(|filter| filter.holds(current, payload)),
            Self::Not(filter) => !filter.holds(current, payload),
            Self::Exists(query) => !query.select(current, payload).is_empty(),
            Self::Pattern(operand, pattern) => operand
                .value(current, payload)
                .and_then(|value| value.as_str().map(|text| pattern.regex.is_match(text)))
                .unwrap_or(false),
            Self::Compare(left, comparison, right) => comparison.holds(
                left.value(current, payload).as_deref(),
                right.value(current, payload).as_deref(),
                payload.integers,
            ),
        }
    }
}

impl Comparison {
    /// A missing value equals a missing value. It is not less or greater than anything.
    fn holds(self, left: Option<&Value>, right: Option<&Value>, integers: &LargeIntegers) -> bool {
        let less = |left, right| less(left, right, integers);
        let equal = || match (left, right) {
            (Some(left), Some(right)) => same(left, right, integers),
            (None, None) => true,
            _ => false,
        };
        match self {
            Self::Equal => equal(),
            Self::NotEqual => !equal(),
            Self::Less => less(left, right),
            Self::LessOrEqual => less(left, right) || equal(),
            Self::Greater => less(right, left),
            Self::GreaterOrEqual => less(right, left) || equal(),
        }
    }
}

fn less(left: Option<&Value>, right: Option<&Value>, integers: &LargeIntegers) -> bool {
    match (left, right) {
        (Some(left @ Value::Number(_)), Some(right @ Value::Number(_))) => {
            match (
                NumericValue::exact(left, integers),
                NumericValue::exact(right, integers),
            ) {
                (Some(left), Some(right)) => left.compare(right) == Ordering::Less,
                _ => false,
            }
        }
        (Some(Value::String(left)), Some(Value::String(right))) => left < right,
        _ => false,
    }
}

impl Query {
    fn select<'v>(&self, current: &'v Value, payload: WalkedPayload<'v>) -> Vec<&'v Value> {
        let start = if self.from_root { payload.root } else { current };
        self.path.select_from(start, payload)
    }
}

impl Operand {
    fn value<'v>(&'v self, current: &'v Value, payload: WalkedPayload<'v>) -> Option<Cow<'v, Value>> {
        match self {
            Self::Literal(value) => Some(Cow::Borrowed(value)),
            Self::Single(query) => match query.select(current, payload).as_slice() {
                [one] => Some(Cow::Borrowed(*one)),
                _ => None,
            },
            Self::Length(operand) => {
                let length = match operand.value(current, payload)?.as_ref() {
                    Value::String(text) => text.chars().count(),
                    Value::Array(items) => items.len(),
                    Value::Object(members) => members.len(),
                    Value::Null | Value::Bool(_) | Value::Number(_) => return None,
                };
                Some(Cow::Owned(Value::from(length)))
            }
            Self::Count(query) => Some(Cow::Owned(Value::from(query.select(current, payload).len()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use jsonpath_rust::JsonPath as _;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn select(path: &str, value: &Value) -> Value {
        let path = JsonPath::parse(path).unwrap_or_else(|refused| panic!("{path}: {}", refused.message));
        let selected: Vec<Value> = path
            .select(value, LargeIntegers::NONE)
            .into_iter()
            .cloned()
            .collect();
        if path.is_singular() {
            let one: Vec<Value> = path.select_one(value).into_iter().cloned().collect();
            assert_eq!(one, selected);
        }
        Value::Array(selected)
    }

    #[test]
    fn paths_select_what_the_rfc_says() {
        let value = json!({
            "o": {"j": 1, "k": 2, "a b": 3, "a-b": 4},
            "a": [5, 3, [{"j": 4}, {"k": 6}]],
            "f": [3, 5, 1, 2, 4, 6, {"b": "j"}, {"b": "k"}, {"b": {}}, {"b": "kilo"}],
            "big": [{"id": 1_234_567_890_123_456_789_u64}, {"id": 1_234_567_890_123_456_788_u64}],
            "same": {"id": 1_234_567_890_123_456_788_u64},
            "e": 3,
            "n": null
        });
        let cases = [
            ("$.o.j", json!([1])),
            ("$['o']['a b']", json!([3])),
            ("$.o[\"a-b\"]", json!([4])),
            ("$.n", json!([null])),
            ("$.x", json!([])),
            ("$.a[1]", json!([3])),
            ("$.a[-1][0].j", json!([4])),
            ("$.a[-4]", json!([])),
            ("$.a[9007199254740991]", json!([])),
            ("$.o[*]", json!([3, 4, 1, 2])),
            ("$.a[0,0,1]", json!([5, 5, 3])),
            ("$.f[1:3]", json!([5, 1])),
            (
                "$.f[5:]",
                json!([6, {"b": "j"}, {"b": "k"}, {"b": {}}, {"b": "kilo"}]),
            ),
            ("$.f[0:6:2]", json!([3, 1, 4])),
            ("$.f[5:1:-2]", json!([6, 2])),
            ("$.f[2::-1]", json!([1, 5, 3])),
            ("$.f[:2:0]", json!([])),
            ("$.a[-9007199254740991:1]", json!([5])),
            ("$..j", json!([4, 1])),
            ("$.a..[0]", json!([5, {"j": 4}])),
            // jsonpath-rust returns these in another order.
            ("$..['j','k']", json!([4, 6, 1, 2])),
            ("$.f[?@.b == 'kilo']", json!([{"b": "kilo"}])),
            ("$.f[?@ > 3.5]", json!([5, 4, 6])),
            (
                "$.f[?@.b]",
                json!([{"b": "j"}, {"b": "k"}, {"b": {}}, {"b": "kilo"}]),
            ),
            ("$.f[?!@.b && @ < $.e]", json!([1, 2])),
            ("$.f[?@ < 2 || @.b == \"k\"]", json!([1, {"b": "k"}])),
            ("$.f[?!(@.b) && (@ == 1 || @ >= 6)]", json!([1, 6])),
            ("$.f[?match(@.b, '[jk]')]", json!([{"b": "j"}, {"b": "k"}])),
            (
                "$.f[?search(@.b, '[jk]')]",
                json!([{"b": "j"}, {"b": "k"}, {"b": "kilo"}]),
            ),
            ("$.f[?length(@.b) == 4]", json!([{"b": "kilo"}])),
            ("$.a[?count(@.*) == 2]", json!([[{"j": 4}, {"k": 6}]])),
            ("$.a[?value(@..j) == 4]", json!([[{"j": 4}, {"k": 6}]])),
            ("$.f[?@.x == $.y && @ == 3]", json!([3])),
            // For an empty argument jsonpath-rust returns nothing, where the RFC says 0.
            (
                "$.big[?count(@.x) == 0].id",
                json!([1_234_567_890_123_456_789_u64, 1_234_567_890_123_456_788_u64]),
            ),
            // jsonpath-rust selects nothing here (#91).
            (
                "$[?@[?@ == 6]]",
                json!([[3, 5, 1, 2, 4, 6, {"b": "j"}, {"b": "k"}, {"b": {}}, {"b": "kilo"}]]),
            ),
            // jsonpath-rust selects everything here, because it compares as floating point.
            (
                "$.big[?@.id == $.same.id]",
                json!([{"id": 1_234_567_890_123_456_788_u64}]),
            ),
        ];
        for (path, expected) in cases {
            assert_eq!(select(path, &value), expected, "{path}");
        }
    }

    #[test]
    fn a_dot_in_a_pattern_is_no_line_end() {
        let value = json!(["a\rb", "a\nb", "axb", "a.b"]);
        assert_eq!(select("$[?match(@, 'a.b')]", &value), json!(["axb", "a.b"]));
        assert_eq!(select("$[?match(@, 'a[.]b')]", &value), json!(["a.b"]));
        assert_eq!(select("$[?match(@, 'a\\\\.b')]", &value), json!(["a.b"]));
        assert_eq!(select("$[?match(@, 'x|axb')]", &value), json!(["axb"]));
    }

    #[test]
    fn a_long_key_over_many_items_costs_no_more_than_its_payload() {
        let value = json!({"commits": {"k".repeat(500_000): {"modified": vec![0; 250_000]}}});
        assert_eq!(
            JsonPath::parse("$.commits[*].modified[*]")
                .unwrap()
                .select(&value, LargeIntegers::NONE)
                .len(),
            250_000
        );
        assert_eq!(
            JsonPath::parse("$..*")
                .unwrap()
                .select(&value, LargeIntegers::NONE)
                .len(),
            250_003
        );
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (-3..4_i64).prop_map(Value::from),
            "[ab]{0,2}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map("[abc]", inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    fn any_path() -> impl Strategy<Value = String> {
        let segment = prop_oneof![
            4 => "\\.[abc]",
            2 => Just("[*]".to_owned()),
            2 => "\\[-?[1-3]\\]",
            1 => "\\[(-?[1-3])?:(-?[1-3])?(:-?[1-2])?\\]",
            1 => "\\['[ab]',-?[1-2]\\]",
            1 => "\\[\\?@\\.[ab] (==|!=|<|<=|>|>=) (1|-1|'a'|null|true|@\\.c|\\$\\.a)\\]",
            1 => "\\[\\?!?@\\.[ab] && !?\\$\\.[bc]\\]",
            1 => "\\[\\?length\\(@\\.[ab]\\) (==|<) [12]\\]",
            1 => "\\[\\?(search|match)\\(@\\.[ab], '[ab]'\\)\\]",
        ];
        (proptest::collection::vec(segment, 0..5), any::<bool>()).prop_map(|(segments, descends)| {
            let descent = if descends { "..a" } else { "" };
            format!("${}{descent}", segments.concat())
        })
    }

    proptest! {
        #[test]
        fn we_select_what_jsonpath_rust_selects(path in any_path(), value in any_value()) {
            let theirs: Vec<Value> = value.query(&path).unwrap().into_iter().cloned().collect();
            prop_assert_eq!(select(&path, &value), Value::Array(theirs), "{}", path);
        }
    }
}
