//! Algorithms of HTTP Message Signatures with a public key: what `openssl` signs is taken, and what
//! was altered in one place is not.

use std::path::Path;

use data_encoding::BASE64;
use sha2::{Digest, Sha256};

use crate::rsa::openssl;
use crate::scenario::{Daemon, Scenario, now};

const BODY: &str = r#"{"amount":7}"#;
const OTHER_BODY: &str = r#"{"amount":8}"#;

/// An algorithm by its name in RFC 9421.
struct Algorithm {
    name: &'static str,
    /// Name of the key's files.
    key: &'static str,
    /// Options by which `openssl genpkey` makes the key.
    made_by: &'static [&'static str],
    /// Options by which `openssl dgst` signs. Empty: the key signs without a digest of its own.
    signs_by: &'static [&'static str],
    /// Size of each number of an ECDSA signature. `None`: not ECDSA.
    number: Option<usize>,
}

const RSA: &[&str] = &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];
const PSS: &[&str] = &[
    "-sha512",
    "-sigopt",
    "rsa_padding_mode:pss",
    "-sigopt",
    "rsa_pss_saltlen:digest",
];
const ALGORITHMS: [Algorithm; 5] = [
    Algorithm {
        name: "ecdsa-p256-sha256",
        key: "p256",
        made_by: &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
        signs_by: &["-sha256"],
        number: Some(32),
    },
    Algorithm {
        name: "ecdsa-p384-sha384",
        key: "p384",
        made_by: &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
        signs_by: &["-sha384"],
        number: Some(48),
    },
    Algorithm {
        name: "rsa-v1_5-sha256",
        key: "rsa",
        made_by: RSA,
        signs_by: &["-sha256"],
        number: None,
    },
    Algorithm {
        name: "rsa-pss-sha512",
        key: "pss",
        made_by: RSA,
        signs_by: PSS,
        number: None,
    },
    Algorithm {
        name: "ed25519",
        key: "ed25519",
        made_by: &["-algorithm", "ED25519"],
        signs_by: &[],
        number: None,
    },
];

impl Algorithm {
    /// Makes the two files of the key. Returns the entry of the rules file.
    fn make_key(&self, folder: &Path) -> String {
        let (key, name) = (self.key, self.name);
        let (private, public) = (format!("{key}.pem"), format!("{key}.pub"));
        openssl(folder, &[&["genpkey", "-out", &private], self.made_by].concat());
        openssl(folder, &["pkey", "-in", &private, "-pubout", "-out", &public]);
        format!("{{keyid: {name}, algorithm: {name}, public_key: 'file:{{dir}}/{public}'}}")
    }

    /// Signs the content of the file `base`.
    fn sign(&self, folder: &Path) -> Vec<u8> {
        let private = format!("{}.pem", self.key);
        if self.signs_by.is_empty() {
            let arguments = ["pkeyutl", "-sign", "-rawin", "-inkey", &private, "-in", "base"];
            return openssl(folder, &arguments);
        }
        let arguments = [&["dgst", "-sign", &private], self.signs_by, &["base"]].concat();
        let signature = openssl(folder, &arguments);
        self.number
            .map_or(signature.clone(), |size| fixed(&signature, size))
    }
}

/// The two numbers of an ECDSA signature in DER, each with `size` bytes, as RFC 9421 writes them.
fn fixed(der: &[u8], size: usize) -> Vec<u8> {
    let mut numbers = Vec::new();
    let mut rest = &der[2..];
    for _ in 0..2 {
        let (number, after) = rest[2..].split_at(usize::from(rest[1]));
        let number = number.strip_prefix(&[0]).unwrap_or(number);
        numbers.resize(numbers.len() + size - number.len(), 0);
        numbers.extend_from_slice(number);
        rest = after;
    }
    numbers
}

fn digest_of(body: &str) -> String {
    format!("sha-256=:{}:", BASE64.encode(&Sha256::digest(body)))
}

/// A signed request.
#[derive(Clone)]
struct Signed {
    path: &'static str,
    body: &'static str,
    digest: String,
    input: String,
    signature: Vec<u8>,
}

impl Signed {
    fn by(algorithm: &Algorithm, folder: &Path) -> Self {
        let digest = digest_of(BODY);
        let input = format!(
            r#"("@method" "@authority" "@path" "@query" "content-digest");created={};keyid="{}";nonce="one""#,
            now(),
            algorithm.name
        );
        let base = format!(
            "\"@method\": POST\n\"@authority\": hooks.example.com\n\"@path\": /in\n\"@query\": ?a=1\n\
             \"content-digest\": {digest}\n\"@signature-params\": {input}"
        );
        std::fs::write(folder.join("base"), base).unwrap();
        Self {
            path: "/in?a=1",
            body: BODY,
            digest,
            input,
            signature: algorithm.sign(folder),
        }
    }

    fn send(&self, daemon: &Daemon) -> (u16, String) {
        let signature = format!("sig1=:{}:", BASE64.encode(&self.signature));
        let sending = daemon.post(self.path).json(self.body);
        sending
            .header("Content-Digest", &self.digest)
            .header("Signature-Input", &format!("sig1={}", self.input))
            .header("Signature", &signature)
            .send()
            .outcome()
    }

    /// The request with one place altered, and the name of the place.
    fn altered(&self) -> Vec<(String, Self)> {
        let with = |name: &str, change: &dyn Fn(&mut Self)| {
            let mut other = self.clone();
            change(&mut other);
            (name.to_owned(), other)
        };
        let ends = [0, self.signature.len() / 2, self.signature.len() - 1];
        let bytes = ends.map(|at| with(&format!("byte {at}"), &|other| other.signature[at] ^= 1));
        let mut all = Vec::from(bytes);
        all.push(with("query", &|other| other.path = "/in?a=2"));
        all.push(with("body", &|other| other.body = OTHER_BODY));
        all.push(with("body and digest", &|other| {
            other.body = OTHER_BODY;
            other.digest = digest_of(OTHER_BODY);
        }));
        all.push(with("nonce", &|other| {
            other.input = self.input.replace("\"one\"", "\"onf\"");
        }));
        for key in ALGORITHMS.iter().map(|algorithm| algorithm.name) {
            all.push(with(&format!("key {key}"), &|other| {
                let (start, _) = self.input.split_once("keyid=").unwrap();
                other.input = format!("{start}keyid=\"{key}\";nonce=\"two\"");
            }));
        }
        all
    }
}

#[test]
fn each_algorithm_of_a_public_key_is_taken_and_an_altered_byte_is_not() {
    let scenario = Scenario::new();
    let folder = scenario.folder().to_owned();
    let keys = ALGORITHMS.each_ref().map(|algorithm| algorithm.make_key(&folder));
    let rules = format!(
        "server: {{listen: 127.0.0.1:0, public_url: https://hooks.example.com}}\nrules:\n  - name: a\n    endpoint: /in\n    \
         verify: {{http_message_signatures: {{keys: [{}]}}}}\n    actions: [append: out.jsonl]\n",
        keys.join(", ")
    );
    let daemon = scenario.rules(&rules).start();
    for algorithm in &ALGORITHMS {
        let signed = Signed::by(algorithm, &folder);
        for (place, altered) in signed.altered() {
            let outcome = altered.send(&daemon);
            assert_eq!(outcome, (403, "refused".into()), "{}: {place}", algorithm.name);
        }
        // The same nonce under another key is another event.
        assert_eq!(
            signed.send(&daemon),
            (200, "accepted".into()),
            "{}",
            algorithm.name
        );
        assert_eq!(
            signed.send(&daemon),
            (200, "duplicate".into()),
            "{}",
            algorithm.name
        );
    }
    daemon.eventually("all are there", || daemon.lines("out.jsonl") == ALGORITHMS.len());
}
