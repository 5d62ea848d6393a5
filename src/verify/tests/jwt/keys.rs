//! Selection of the key that verifies a token: by `kid` in a set, or one of several during
//! rotation.

use serde_json::{Value, json};

use super::{compiled, outcome, prove, quoted, sender, set};

fn jwks(algorithms: &str, keys: &[Value]) -> String {
    format!(
        "{{jwt: {{algorithms: {algorithms}, jwks: {}, header: X-Token, body_hash: none, audience: a}}}}",
        set(keys)
    )
}

#[test]
fn a_token_says_which_key_of_the_set_it_was_signed_with() {
    let (one, two) = (sender("ES256"), sender("ES256"));
    let settings = jwks("[ES256]", &[one.jwk("one"), two.jwk("two")]);
    let claims = json!({"aud": "a"});
    for (token, expected) in [
        (one.named("one", &claims), "held"),
        (two.named("two", &claims), "held"),
        // A token without `kid` is tried with all keys.
        (one.token(&claims), "held"),
        (two.token(&claims), "held"),
        // The wrong key, and a key that does not exist.
        (one.named("two", &claims), "forged-token"),
        (one.named("three", &claims), "foreign-token"),
        (one.named("ONE", &claims), "foreign-token"),
        (one.named("", &claims), "foreign-token"),
        (sender("ES256").token(&claims), "forged-token"),
    ] {
        assert_eq!(outcome(&settings, &token), expected, "{token}");
    }
    let refusal = prove(&settings, &one.named("hunter2", &claims)).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "the token in the header `x-token` is signed with a key that is none of `one`, `two`"
    );
}

#[test]
fn a_key_without_a_name_may_have_signed_any_token() {
    let (one, two) = (sender("EdDSA"), sender("EdDSA"));
    let mut nameless = two.jwk("");
    nameless.as_object_mut().unwrap().remove("kid");
    let settings = jwks("[EdDSA]", &[one.jwk("one"), nameless.clone()]);
    let claims = json!({"aud": "a"});
    assert_eq!(outcome(&settings, &two.named("whatever", &claims)), "held");
    assert_eq!(outcome(&settings, &two.named("one", &claims)), "held");
    assert_eq!(
        outcome(&settings, &one.named("whatever", &claims)),
        "forged-token"
    );
    // A single JWK is a set of one.
    let settings = jwks("[EdDSA]", &[]).replace(&set(&[]), &quoted(&nameless.to_string()));
    assert_eq!(outcome(&settings, &two.named("whatever", &claims)), "held");
}

#[test]
fn keys_for_something_else_are_passed_over() {
    let claims = json!({"aud": "a"});
    let one = sender("ES256");
    let with = |member: &str, value: Value| {
        let mut key = one.jwk("one");
        key[member] = value;
        key
    };
    for key in [
        with("use", json!("enc")),
        with("alg", json!("ES384")),
        with("alg", json!("ECDH-ES")),
        with("key_ops", json!(["deriveKey"])),
        with("kty", json!("oct")),
        with("crv", json!("P-521")),
        json!({"kty": "oct", "k": "c2VjcmV0", "kid": "one"}),
        json!({"kty": "something new"}),
    ] {
        let (_, diagnostics) = compiled(&jwks("[ES256]", std::slice::from_ref(&key)), None);
        assert_eq!(diagnostics.len(), 1, "{key}");
        assert!(
            diagnostics[0]
                .message
                .contains("holds no key that `ES256` can use"),
            "{key}"
        );
        let other = sender("ES256");
        let settings = jwks("[ES256]", &[key.clone(), other.jwk("two")]);
        assert_eq!(outcome(&settings, &other.named("two", &claims)), "held", "{key}");
        assert_ne!(outcome(&settings, &one.named("one", &claims)), "held", "{key}");
    }
    for key in [
        with("use", json!("sig")),
        with("alg", json!("ES256")),
        with("key_ops", json!(["verify"])),
        with("expired_at", json!(null)),
    ] {
        let settings = jwks("[ES256]", std::slice::from_ref(&key));
        assert_eq!(outcome(&settings, &one.named("one", &claims)), "held", "{key}");
    }
}

#[test]
fn a_key_is_used_by_algorithms_of_its_kind_alone() {
    let claims = json!({"aud": "a"});
    let (rsa, ec, ed) = (sender("RS256"), sender("ES256"), sender("EdDSA"));
    let settings = jwks("[RS256, ES256, EdDSA]", &[rsa.jwk("r"), ec.jwk("e"), ed.jwk("d")]);
    for (sender, kid) in [(&rsa, "r"), (&ec, "e"), (&ed, "d")] {
        assert_eq!(outcome(&settings, &sender.named(kid, &claims)), "held", "{kid}");
        assert_eq!(outcome(&settings, &sender.token(&claims)), "held", "{kid}");
    }
    for token in [ec.named("r", &claims), sender("ES256").named("d", &claims)] {
        let refusal = prove(&settings, &token).unwrap_err();
        assert_eq!(refusal.reason(), "foreign-token");
        assert_eq!(
            refusal.to_string(),
            "the token in the header `x-token` is signed by `ES256`, and with a key of another kind"
        );
    }
    // A key with an `alg` is used for that algorithm only.
    let mut pss = rsa.jwk("r");
    pss["alg"] = json!("PS256");
    let settings = jwks("[RS256, PS256]", &[pss]);
    assert_eq!(outcome(&settings, &rsa.named("r", &claims)), "foreign-token");
    assert_eq!(outcome(&settings, &sender("PS256").named("r", &claims)), "held");
}

#[test]
fn of_several_public_keys_any_may_have_signed() {
    let (old, new) = (sender("ES256"), sender("ES256"));
    let settings = |keys: &str| {
        format!(
            "{{jwt: {{algorithms: ES256, public_key: {keys}, header: X-Token, body_hash: none, audience: a}}}}"
        )
    };
    let claims = json!({"aud": "a"});
    let list = settings(&format!("[{}, {}]", quoted(&new.pem()), quoted(&old.pem())));
    let together = settings(&quoted(&format!("# both\r\n{}\r\n{}", new.pem(), old.pem())));
    let alone = settings(&quoted(&new.pem()));
    for (token, of_both) in [(new.token(&claims), "held"), (old.named("any", &claims), "held")] {
        assert_eq!(outcome(&list, &token), of_both);
        assert_eq!(outcome(&together, &token), of_both);
    }
    assert_eq!(outcome(&alone, &new.named("any", &claims)), "held");
    assert_eq!(outcome(&alone, &old.token(&claims)), "forged-token");
}
