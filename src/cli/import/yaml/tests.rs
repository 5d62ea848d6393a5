//! Written YAML, and that it is read back.

use proptest::prelude::*;

use super::*;

fn read(text: &str) -> serde_yaml::Value {
    serde_yaml::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn texts_are_quoted_only_where_it_is_necessary() {
    for (text, expected) in [
        ("main", "main"),
        ("refs/heads/main", "refs/heads/main"),
        ("$.ref", "$.ref"),
        ("env:SECRET", "env:SECRET"),
        ("./deploy.sh", "./deploy.sh"),
        ("two words", "two words"),
        ("", "\"\""),
        ("3", "\"3\""),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("10m", "10m"),
        ("1.5", "\"1.5\""),
        ("true", "\"true\""),
        ("a: b", "\"a: b\""),
        ("$.a[0]", "\"$.a[0]\""),
        ("{{ payload.a }}", "\"{{ payload.a }}\""),
        (
            "{{ payload.a | default(\"\") }}",
            "'{{ payload.a | default(\"\") }}'",
        ),
        ("it's", "\"it's\""),
        ("a\nb\u{7}", "\"a\\nb\\x07\""),
    ] {
        assert_eq!(scalar(text), expected);
    }
}

fn yaml() -> impl Strategy<Value = Yaml> {
    let leaf = prop_oneof![
        any::<String>().prop_map(Yaml::Text),
        "[a-z: ,\\[\\]{}#'\"\\\\.0-9-]{0,60}".prop_map(Yaml::Text),
        "([a-z'\"$: #]{1,20}\n){1,4}".prop_map(Yaml::Script),
        any::<i32>().prop_map(|number| Yaml::word(number.to_string())),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Yaml::List),
            proptest::collection::btree_map("[a-z$.\\[\\]']{1,30}", (inner, any::<Option<String>>()), 0..5)
                .prop_map(|entries| {
                    let entry = |(key, (value, comment)): (String, (Yaml, Option<String>))| Entry {
                        comments: comment.into_iter().collect(),
                        key,
                        value,
                    };
                    Yaml::Map(Map {
                        entries: entries.into_iter().map(entry).collect(),
                    })
                }),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(value in yaml()) {
        let mut out = String::new();
        Map::new().with("key", value.clone()).write(&mut out, 2);
        let found = read(&out);
        prop_assert_eq!(&found["key"], &read(&value.flow()), "{}", out);
    }

    #[test]
    fn a_text_is_read_back_as_it_was(text in any::<String>()) {
        let found = read(&scalar(&text));
        prop_assert_eq!(found.as_str(), Some(text.as_str()));
    }
}
