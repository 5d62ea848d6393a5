//! Tests of template compilation and rendering.

use std::path::Path;

use super::*;
use crate::base::json::JsonTree;
use crate::base::jsonpath::LargeIntegers;
use crate::base::secret::Keyring;

fn keyring() -> Keyring {
    let environment = [("CI_TOKEN", "s3cr3t-value"), ("EMPTY", "")];
    Keyring::new(
        environment.map(|(name, value)| (name.into(), value.into())),
        Path::new("/"),
    )
}

fn values() -> Value {
    let payload = serde_json::json!({
        "ref": "refs/heads/main", "private": false, "none": null, "id": 9_007_199_254_740_993_i64,
        "big": u64::MAX, "rate": 1.5, "text": "a \"b\" <c>", "empty": "",
        "commits": [{"id": "c1", "n": [1, 2]}, {"id": "c2", "n": []}],
        "owner": {"name": "Zoë", "ok": true}
    });
    Value::from_pairs([
        ("payload", json_value(&Arc::new(payload))),
        ("rule", Value::from("deploy")),
        ("attempt", Value::from(2)),
    ])
}

fn compile(source: &str) -> Result<Template, TemplateError> {
    Templates::new().compile(source, Scope::Action, &keyring())
}

fn render(source: &str) -> Result<String, String> {
    let template = compile(source).map_err(|error| error.message)?;
    template.render(&values()).map_err(|error| error.to_string())
}

#[test]
fn values_render_as_text_or_json() {
    for (source, expected) in [
        ("plain } { text", "plain } { text"),
        ("{{ payload.ref }}", "refs/heads/main"),
        (
            "{{ payload.private }} {{ payload.none }} {{ payload.owner.ok }}",
            "false null true",
        ),
        (
            "{{ true }} {{ none }} {{ [1, 'a', false] }}",
            "true null [1,\"a\",false]",
        ),
        (
            "{{ payload.id }} {{ payload.big }} {{ payload.rate }}",
            "9007199254740993 18446744073709551615 1.5",
        ),
        ("{{ payload.id + 1 }}", "9007199254740994"),
        ("{{ payload.text }}", "a \"b\" <c>"),
        ("{{ payload.text | tojson }}", "\"a \\\"b\\\" <c>\""),
        ("{{ payload.owner }}", "{\"name\":\"Zoë\",\"ok\":true}"),
        (
            "{{ payload.commits }}",
            "[{\"id\":\"c1\",\"n\":[1,2]},{\"id\":\"c2\",\"n\":[]}]",
        ),
        (
            "{{ payload.commits[0].id }} {{ payload.commits[-1].id }}",
            "c1 c2",
        ),
        (
            "{{ payload.commits | length }} {{ payload.commits | map(attribute='id') | join(',') }}",
            "2 c1,c2",
        ),
        (
            "{% for c in payload.commits %}{{ c.id }}={{ c.n }};{% endfor %}",
            "c1=[1,2];c2=[];",
        ),
        (
            "{% for k, v in payload.owner | items %}{{ k }}:{{ v }} {% endfor %}",
            "name:Zoë ok:true ",
        ),
        ("{{ payload.commits[0].n == [1, 2] }}", "true"),
        (
            "{{ payload.commits | first | tojson }}",
            "{\"id\":\"c1\",\"n\":[1,2]}",
        ),
        (
            "{{ 'x' in payload.owner }} {{ 'name' in payload.owner }}",
            "false true",
        ),
        (
            "{{ payload.gone | default('d') }}{% if payload.gone is defined %}x{% endif %}",
            "d",
        ),
        ("{{ payload.empty }}", ""),
        ("{{ 'a' if payload.private }}", ""),
        ("line\n{{ rule }}\n", "line\ndeploy\n"),
        ("{{ attempt }}", "2"),
        ("{{ [true, none, 1] | join(' ') }}", "true null 1"),
        ("{{ jsonpath('$.commits[0].id') }}", "c1"),
        ("{{ jsonpath('$.commits[*].id') }}", "[\"c1\",\"c2\"]"),
        (
            "{{ jsonpath('$.owner') }} {{ jsonpath('$.owner').name }}",
            "{\"name\":\"Zoë\",\"ok\":true} Zoë",
        ),
        ("{{ jsonpath('$.gone') | default('none') }}", "none"),
        (
            "{{ secret('CI_TOKEN') }} {{ secret('env:CI_TOKEN') }}",
            "s3cr3t-value s3cr3t-value",
        ),
        ("{% raw %}{{.Names}}{% endraw %}", "{{.Names}}"),
    ] {
        assert_eq!(render(source).as_deref(), Ok(expected), "{source}");
    }
}

#[test]
fn an_undefined_value_is_an_error_that_names_it() {
    for (source, name) in [
        ("{{ payload.after }}", "payload.after"),
        ("{{ payload.head.id }}", "payload.head"),
        ("{% if payload.gone %}x{% endif %}", "payload.gone"),
        ("{{ payload.gone | upper }}", "payload.gone"),
        ("{{ payload.gone | tojson }}", "payload.gone"),
        ("{% for c in payload.gone %}{% endfor %}", "payload.gone"),
        ("{{ jsonpath('$.gone') }}", "jsonpath"),
        ("{{ payload.commits[9] }}", "payload.commits[9]"),
        ("{{ query.x }}", "query"),
        ("{{ {'a': [payload.gone]} }}", "payload.gone"),
        ("{{ {'a': payload.gone} | tojson }}", "payload.gone"),
        ("{{ payload.gone | urlencode }}", "payload.gone"),
        ("{{ 'a' ~ payload.gone }}", "payload.gone"),
        ("{{ [payload.gone] | join(',') }}", "payload.gone"),
        (
            "{{ payload.commits | map(attribute='nope') | join }}",
            "undefined",
        ),
    ] {
        let error = render(source).unwrap_err();
        assert!(error.contains(name), "{source}: {error}");
        assert!(error.contains("undefined"), "{source}: {error}");
    }
}

#[test]
fn errors_are_found_at_load_in_every_branch() {
    for (source, message) in [
        ("{{ payload.x", "unexpected end"),
        ("{{.Names}}", "unexpected"),
        ("{{ payload.x | nope }}", "unknown filter `nope`"),
        (
            "{% if payload.x %}{{ payload.y | uper }}{% endif %}",
            "unknown filter `uper`",
        ),
        (
            "{% if payload.x %}{{ payload.y is oddd }}{% endif %}",
            "unknown test `oddd`",
        ),
        ("{{ nope(1) }}", "unknown name `nope`"),
        ("{{ paylod.ref }}", "unknown name `paylod`"),
        ("{{ event.ids }}", "unknown name `event.ids`"),
        ("{{ actions[0] }}", "there are no `actions` here"),
        ("{{ debug() }}", "unknown name `debug`"),
        (
            "{{ payload.ref.startswith('x') }}",
            "values have no method `startswith`",
        ),
        ("{{ secret(payload.x) }}", "`secret` takes one text"),
        (
            "{{ secret('UNSET') }}",
            "the environment variable `UNSET` is not set",
        ),
        (
            "{{ secret('EMPTY') }}",
            "the environment variable `EMPTY` is empty",
        ),
        ("{{ jsonpath('$.[') }}", "invalid JSONPath `$.[`"),
        ("{{ jsonpath('$..a..b') }}", "more than one `..` in a JSONPath"),
        ("{% include 'x' %}", "unknown statement"),
        ("{% macro x() %}{% endmacro %}", "unknown statement"),
    ] {
        let error = compile(source).unwrap_err();
        assert!(error.message.contains(message), "{source}: {error:?}");
    }
    assert_eq!(
        compile("{{ paylod.ref }}").unwrap_err().hint.unwrap(),
        "did you mean `payload`?"
    );
}

#[test]
fn work_and_output_are_bounded() {
    for source in [
        "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}",
        "{{ 'a' * 100000000 }}",
        "{{ 'a' * 2000000 }}",
    ] {
        assert!(render(source).is_err(), "{source}");
    }
    assert!(compile(&"{{ rule }}".repeat(MAX_SOURCE)).is_err());
}

#[test]
fn a_chain_that_would_overflow_the_stack_is_an_error() {
    for (before, link, behind) in [
        ("{{ payload", ".a", " }}"),
        ("{{ payload", "[0]", " }}"),
        ("{{ payload", "|int", " }}"),
        ("{{ payload", " is odd", " }}"),
        ("{{ dict", "()", " }}"),
        ("{{ 1", "+1", " }}"),
        ("{{ 1", "**1", " }}"),
        ("{{ 1", "~1", " }}"),
        ("{{ 1", " and 1", " }}"),
        ("{{ 1", "<1", " }}"),
        ("{{ ", "not ", "1 }}"),
        ("{{ ", "-", "1 }}"),
        ("{{ ", "1 if 1 else ", "1 }}"),
        ("{{ ", "(", "1 }}"),
        ("{{ ", "[", " }}"),
        ("{% if payload", ".a", " %}{% endif %}"),
        ("{% if 1 %}", "{% elif 1 %}", "{% endif %}"),
        ("", "{% if 1 %}", ""),
        ("{%- raw %}{% endraw %}{{ 1", "+1", " }}"),
    ] {
        let most = (MAX_SOURCE - before.len() - behind.len()) / link.len();
        let source = format!("{before}{}{behind}", link.repeat(most));
        assert!(compile(&source).is_err(), "{link}");
        // Templates just within the limits compile on the stack of a test's thread.
        for links in [MAX_ELIFS, MAX_TAG / 4, MAX_TAG / 3, MAX_TAG / 2, MAX_TAG - 8] {
            let source = format!("{before}{}{behind}", link.repeat(links));
            drop(compile(&source));
        }
    }
}

#[test]
fn a_selection_takes_memory_and_work_like_its_payload() {
    // A key of 500 KB above 20,000 values, and lists nested 100 deep: no key and no list is
    // copied.
    let long = serde_json::json!({"commits": {"k".repeat(500_000): {"modified": vec![0; 20_000]}}});
    let deep = (0..100).fold(serde_json::json!(vec![0; 20_000]), |below, _| {
        serde_json::json!([below])
    });
    for (payload, path, count) in [(long, "$.commits[*].modified[*]", 20_000), (deep, "$..*", 20_100)] {
        let template = compile(&format!("{{{{ jsonpath('{path}') | length }}}}")).unwrap();
        let values = Value::from_pairs([("payload", json_value(&Arc::new(payload)))]);
        assert_eq!(template.render(&values).unwrap(), count.to_string());
    }
}

#[test]
fn integers_beyond_64_bits_are_written_exactly() {
    let text = r#"{"a":18446744073709551617,"b":[-18446744073709551617,{"c":340282366920938463463374607431768211457}]}"#;
    let payload = Arc::new(serde_json::from_str(text).unwrap());
    let integers = LargeIntegers::read(text, &payload);
    let tree = JsonTree {
        value: payload,
        integers,
    };
    let values = Value::from_pairs([("payload", document_value(&tree.into()))]);
    for (source, expected) in [
        ("{{ payload }}", text),
        ("{{ payload | tojson }}", text),
        ("{{ payload.a }}", "18446744073709551617"),
        ("{{ payload.a | tojson }}", "18446744073709551617"),
        ("{{ payload.a + 1 }}", "18446744073709551618"),
        ("{{ payload.a == payload.a - 1 }}", "false"),
        ("{{ payload.b[0] }}", "-18446744073709551617"),
        ("{{ payload.b[1].c }}", "340282366920938463463374607431768211457"),
        (
            "{{ payload.b[1].c | tojson }}",
            "340282366920938463463374607431768211457",
        ),
        ("{{ payload.b[1].c == payload.b[1].c }}", "true"),
        (
            "{{ payload.b[1] }}",
            r#"{"c":340282366920938463463374607431768211457}"#,
        ),
        (
            "{{ jsonpath('$.b[1]') }}",
            r#"{"c":340282366920938463463374607431768211457}"#,
        ),
        ("{{ jsonpath('$[?@ == 5]') | default('none') }}", "none"),
        ("{{ jsonpath('$.b[?@ < $.a]') }}", "-18446744073709551617"),
        (
            "{{ [payload.a, payload.b] | join(' ') }}",
            "18446744073709551617 [-18446744073709551617,{\"c\":340282366920938463463374607431768211457}]",
        ),
        (
            "{{ payload.b | tojson(indent=true) }}",
            "[\n  -18446744073709551617,\n  {\n    \"c\": 340282366920938463463374607431768211457\n  }\n]",
        ),
    ] {
        assert_eq!(
            compile(source).unwrap().render(&values).as_deref(),
            Ok(expected),
            "{source}"
        );
    }
}

#[test]
fn a_selection_starts_at_the_payload_which_no_template_replaces() {
    let source = "{{ jsonpath('$.id') }}{% for one in payload.commits %}{{ jsonpath('$.id') }}{% endfor %}";
    assert_eq!(
        render(source).unwrap(),
        "900719925474099390071992547409939007199254740993"
    );
    let error = compile("{% set payload = {'id': 5} %}{{ jsonpath('$.id') }}").unwrap_err();
    assert_eq!(error.message, "`payload` has a meaning already and cannot be set");
}

#[test]
fn a_secret_is_masked_where_it_is_shown_and_in_errors() {
    let template = compile("Bearer {{ secret('CI_TOKEN') }}").unwrap();
    assert_eq!(template.render_masked(&values()).unwrap(), "Bearer ***");
    assert!(!format!("{template:?}").contains("s3cr3t"));
    for source in [
        "{{ secret('CI_TOKEN') | int }}",
        "{{ secret('CI_TOKEN') + 1 }}",
        "{{ payload[secret('CI_TOKEN')] }}",
        "{{ range(secret('CI_TOKEN')) }}",
    ] {
        let error = render(source).unwrap_err();
        assert!(!error.contains("s3cr3t"), "{source}: {error}");
    }
}

#[test]
fn in_a_url_values_are_percent_encoded_once() {
    let render = |source: &str| {
        Templates::new()
            .compile(source, Scope::Url, &keyring())
            .unwrap()
            .render(&values())
            .unwrap()
    };
    assert_eq!(
        render("/b/{{ payload.ref }}?t=a b"),
        "/b/refs%2Fheads%2Fmain?t=a b"
    );
    assert_eq!(render("?n={{ payload.owner.name | urlencode }}"), "?n=Zo%C3%AB");
    assert_eq!(
        render("?o={{ payload.owner | tojson }}"),
        "?o=%7B%22name%22%3A%22Zo%C3%AB%22%2C%22ok%22%3Atrue%7D"
    );
    assert_eq!(render("/{{ payload.ref | safe }}"), "/refs/heads/main");
}

#[test]
fn an_answer_knows_the_actions_and_rule_sets_share_one_environment() {
    let templates = Templates::new();
    let answer = templates
        .with_actions(KnownActions::Any)
        .compile("{{ actions[0].stdout }}", Scope::Answer, &keyring())
        .unwrap();
    let actions = serde_json::json!([{"stdout": "ok"}]);
    let values = Value::from_pairs([("actions", json_value(&Arc::new(actions)))]);
    assert_eq!(answer.render(&values).unwrap(), "ok");
    for _ in 0..1000 {
        templates
            .compile("{{ payload.x }}", Scope::Action, &keyring())
            .unwrap();
    }
    let strict = templates.shared.strict.read();
    assert_eq!(strict.templates().count(), 2);
}

#[test]
fn a_separator_from_the_event_does_not_multiply_the_text() {
    let payload = serde_json::json!({"s": "x".repeat(20_000)});
    let values = Value::from_pairs([("payload", json_value(&Arc::new(payload)))]);
    let template = compile("{{ payload.s | split('') | join(payload.s) | length }}").unwrap();
    let error = template.render(&values).unwrap_err().to_string();
    assert!(error.contains("join"), "{error}");
    assert!(compile("{% set ns = namespace(x=[1]) %}{{ ns.x }}").is_err());
}

#[test]
fn a_filter_that_map_names_is_checked_and_compiled_like_one_that_is_written() {
    for (source, expected) in [
        (
            "{{ payload.commits | map(attribute='id') | map('regex_replace', '[0-9]', '-') | join(' ') }}",
            "c- c-",
        ),
        ("{{ [0] | map('datetimeformat', '%Y') | join }}", "1970"),
        ("{{ ['a'] | map('upper') | join }}", "A"),
        ("{{ [1, 2] | select('odd') | join }}", "1"),
        (
            "{{ payload.commits | selectattr('id', '==', 'c2') | map(attribute='id') | join }}",
            "c2",
        ),
    ] {
        assert_eq!(render(source).as_deref(), Ok(expected), "{source}");
    }
    for (source, reason) in [
        (
            "{{ [] | map('regex_replace', '(', '') }}",
            "the pattern `(` of `regex_replace`",
        ),
        (
            "{{ [] | map('regex_replace', payload.ref, '') }}",
            "`regex_replace` takes one text, written out",
        ),
        (
            "{{ [] | map('regex_replace') }}",
            "`regex_replace` takes one text, written out",
        ),
        ("{{ [] | map(payload.ref) }}", "`map` takes one text, written out"),
        ("{{ [] | map('datetimeformat', '%Q') }}", "is no format such as"),
        ("{{ [] | map('uper') }}", "unknown filter `uper`"),
        ("{{ [] | select('od') }}", "unknown test `od`"),
        ("{{ [] | rejectattr('a', 'od') }}", "unknown test `od`"),
    ] {
        let message = compile(source)
            .err()
            .map(|error| error.message)
            .unwrap_or_default();
        assert!(message.contains(reason), "{source}: {message}");
    }
}
