//! RSA signatures as `openssl dgst` makes them, and the senders that sign so.

use std::path::Path;
use std::process::Command;

use data_encoding::BASE64;

use crate::scenario::{Scenario, said};

pub fn openssl(folder: &Path, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("openssl")
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", said(&output));
    output.stdout
}

const RULES: &str = r"
rules:
  - {name: wise, endpoint: /wise, verify: {wise: 'file:{dir}/public.pem'}, actions: [append: out.jsonl]}
  - {name: travis, endpoint: /travis, verify: {travis: 'file:{dir}/pkcs1.pem'}, actions: [append: out.jsonl]}
  - name: pss
    endpoint: /pss
    verify: {rsa_sha512: {public_key: 'file:{dir}/public.pem', padding: pss, encoding: base64url}}
    actions: [append: out.jsonl]
";

#[test]
fn what_openssl_signs_is_taken_and_what_was_altered_is_not() {
    let scenario = Scenario::new();
    let folder = scenario.folder().to_owned();
    openssl(&folder, &["genrsa", "-out", "private.pem", "2048"]);
    openssl(
        &folder,
        &["rsa", "-in", "private.pem", "-pubout", "-out", "public.pem"],
    );
    openssl(
        &folder,
        &[
            "rsa",
            "-in",
            "private.pem",
            "-RSAPublicKey_out",
            "-out",
            "pkcs1.pem",
        ],
    );
    let daemon = scenario.rules(RULES).start();
    let sign = |digest: &str, content: &str, options: &[&str]| {
        std::fs::write(folder.join("content"), content).unwrap();
        let mut arguments = vec!["dgst", digest, "-sign", "private.pem"];
        arguments.extend(options);
        arguments.push("content");
        openssl(&folder, &arguments)
    };
    let pss = [
        "-sigopt",
        "rsa_padding_mode:pss",
        "-sigopt",
        "rsa_pss_saltlen:digest",
    ];
    let payload = r#"{"id":1,"state":"passed"}"#;
    let form = "payload=%7B%22id%22%3A1%2C%22state%22%3A%22passed%22%7D";
    let base64 = |bytes: Vec<u8>| BASE64.encode(&bytes);
    let (json, url_encoded) = ("application/json", "application/x-www-form-urlencoded");
    for (path, header, kind, body, signature) in [
        (
            "/wise",
            "X-Signature-SHA256",
            json,
            payload,
            base64(sign("-sha256", payload, &[])),
        ),
        (
            "/travis",
            "Signature",
            url_encoded,
            form,
            base64(sign("-sha1", payload, &[])),
        ),
        (
            "/pss",
            "X-Signature",
            json,
            payload,
            data_encoding::BASE64URL.encode(&sign("-sha512", payload, &pss)),
        ),
    ] {
        let post = |body: &str, signature: &str| {
            let sending = daemon.post(path).header("Content-Type", kind).body(body);
            sending.header(header, signature).send().outcome()
        };
        assert_eq!(post(body, &signature), (200, "accepted".into()), "{path}");
        assert_eq!(post(body, &signature), (200, "duplicate".into()), "{path}");
        assert_eq!(
            post(&body.replace("passed", "failed"), &signature).0,
            403,
            "{path}"
        );
        let wrong = base64(sign("-sha384", payload, &[]));
        assert_eq!(post(body, &wrong).0, 403, "{path}");
        assert_eq!(post(body, "").0, 403, "{path}");
    }
    daemon.eventually("all three are there", || daemon.lines("out.jsonl") == 3);

    // The other way round: a request that we sign is one that the target takes.
    std::fs::set_permissions(
        folder.join("private.pem"),
        std::os::unix::fs::PermissionsExt::from_mode(0o600),
    )
    .unwrap();
    std::fs::write(folder.join("other.json"), r#"{"id":2}"#).unwrap();
    let target = format!("http://{}/wise", daemon.address);
    let sent = daemon.scenario.hookyard(&[
        "send",
        &target,
        "--as",
        "wise",
        "--secret",
        "file:private.pem",
        "--body",
        "other.json",
    ]);
    assert!(said(&sent).contains("accepted"), "{}", said(&sent));
}

#[test]
fn a_key_that_is_too_small_is_found_by_check() {
    let scenario = Scenario::new();
    openssl(scenario.folder(), &["genrsa", "-out", "private.pem", "1024"]);
    openssl(
        scenario.folder(),
        &["rsa", "-in", "private.pem", "-pubout", "-out", "public.pem"],
    );
    let rules = "rules:\n  - {name: a, endpoint: /a, verify: {wise: 'file:{dir}/public.pem'}, actions: [append: a]}\n";
    let text = said(&scenario.rules(rules).hookyard(&["check"]));
    assert!(
        text.contains("the RSA key does not have 2048 to 8192 bits"),
        "{text}"
    );
}
