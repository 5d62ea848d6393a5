//! HTTP Message Signatures (RFC 9421) through the binary: signed by `openssl`, and by `send`.

use std::process::Command;

use data_encoding::BASE64;
use sha2::{Digest, Sha256};

use crate::scenario::{Scenario, now, said};

const RULES: &str = r"
server: {listen: 127.0.0.1:0, public_url: https://hooks.example.com}
rules:
  - name: ledger
    endpoint: /in
    verify:
      http_message_signatures:
        keys:
          - {keyid: rsa, algorithm: rsa-pss-sha512, public_key: 'file:{dir}/public.pem'}
          - {keyid: shared, algorithm: hmac-sha256, secret: env:SHARED}
    actions: [append: out.jsonl]
";

#[test]
fn a_request_is_taken_once_and_only_as_it_was_signed() {
    let scenario = Scenario::new().env("SHARED", "a-shared-secret-of-at-least-32-bytes-0123");
    let folder = scenario.folder().to_owned();
    let openssl = |arguments: &[&str]| {
        let output = Command::new("openssl")
            .args(arguments)
            .current_dir(&folder)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", said(&output));
        output.stdout
    };
    openssl(&["genrsa", "-out", "private.pem", "2048"]);
    openssl(&["rsa", "-in", "private.pem", "-pubout", "-out", "public.pem"]);
    let daemon = scenario.rules(RULES).start();
    let body = r#"{"amount":7}"#;
    let digest = format!("sha-256=:{}:", BASE64.encode(&Sha256::digest(body)));
    let input = |nonce: &str| {
        format!(
            r#"("@method" "@target-uri" "content-digest");created={};keyid="rsa";alg="rsa-pss-sha512";nonce="{nonce}""#,
            now()
        )
    };
    let sign = |input: &str| {
        let base = format!(
            "\"@method\": POST\n\"@target-uri\": https://hooks.example.com/in?a=1\n\"content-digest\": {digest}\n\
             \"@signature-params\": {input}"
        );
        std::fs::write(folder.join("base"), base).unwrap();
        let pss = "rsa_padding_mode:pss";
        let signature = openssl(&[
            "dgst",
            "-sha512",
            "-sign",
            "private.pem",
            "-sigopt",
            pss,
            "-sigopt",
            "rsa_pss_saltlen:digest",
            "base",
        ]);
        BASE64.encode(&signature)
    };
    let post = |path: &str, body: &str, input: &str, signature: &str| {
        let sending = daemon
            .post(path)
            .json(body)
            .header("Content-Digest", &digest)
            .header("Signature-Input", &format!("sig1={input}"));
        sending
            .header("Signature", &format!("sig1=:{signature}:"))
            .send()
            .outcome()
    };
    let first = input("n1");
    let signature = sign(&first);
    assert_eq!(
        post("/in?a=1", body, &first, &signature),
        (200, "accepted".into())
    );
    assert_eq!(
        post("/in?a=1", body, &first, &signature),
        (200, "duplicate".into())
    );
    // The same nonce in a new signature is still the same event.
    assert_eq!(
        post("/in?a=1", body, &first, &sign(&first)),
        (200, "duplicate".into())
    );
    let other = input("n2");
    for (path, body, input) in [
        ("/in?a=2", body, &other),
        ("/in", body, &other),
        ("/in?a=1", r#"{"amount":8}"#, &other),
        ("/in?a=1", body, &first.replace("n1", "n3")),
    ] {
        let signature = sign(&other);
        assert_eq!(
            post(path, body, input, &signature),
            (403, "refused".into()),
            "{path} {body}"
        );
    }
    let log = daemon.log();
    assert!(
        log.contains("the header `content-digest` is not the digest of the body"),
        "{log}"
    );
}

#[test]
fn what_send_signs_is_taken() {
    let scenario = Scenario::new()
        .env("SHARED", "a-shared-secret-of-at-least-32-bytes-0123")
        .file("event.json", r#"{"amount":7}"#)
        .rules("rules: []");
    let daemon = scenario.start();
    let address = daemon.address;
    daemon.rewrite(&format!(
        "server: {{listen: '{address}', public_url: 'http://{address}'}}\nrules:\n  - name: a\n    endpoint: /in\n    \
         verify: {{http_message_signatures: {{algorithm: hmac-sha256, keyid: k, secret: env:SHARED}}}}\n    \
         actions: [append: out.jsonl]\n"
    ));
    let scheme = "{http_message_signatures: {algorithm: hmac-sha256, keyid: k}}";
    let target = format!("http://{address}/in?a=1");
    let arguments = [
        "send",
        &target,
        "--as",
        scheme,
        "--secret",
        "env:SHARED",
        "--body",
        "event.json",
    ];
    let sent = daemon.scenario.hookyard(&arguments);
    assert!(
        said(&sent).contains("accepted"),
        "{}\n{}",
        said(&sent),
        daemon.log()
    );
    daemon.eventually("it is there", || daemon.lines("out.jsonl") == 1);
}
