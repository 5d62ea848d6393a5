//! Refusal of altered requests: for every scheme, each signed part is altered.

use http::{HeaderName, HeaderValue, Method};

use super::{SUITABLE, doubtful, sent, signing_schemes, working, working_with_another};
use crate::event::Received;
use crate::verify::Verification;

/// Schemes that send the secret itself and sign nothing.
const TOKENS: [&str; 10] = [
    "gitlab",
    "harbor",
    "telegram",
    "microsoft_graph",
    "token",
    "basic",
    "bearer",
    "azure_devops",
    "alertmanager",
    "cloudevents",
];

struct Trial {
    scheme: &'static str,
    verification: Verification,
    request: Received,
    parts: usize,
}

impl Trial {
    /// Checks that the request is refused after altering a part.
    fn altered(&mut self, part: &str, alter: impl FnOnce(&mut Received)) {
        self.parts += 1;
        let mut request = self.request.clone();
        alter(&mut request);
        let proof = self.verification.prove(&request);
        assert!(proof.is_err(), "{}: {part} was altered and it held", self.scheme);
    }

    /// Alters the signature, token or password.
    fn credentials(&mut self) {
        for header in self.verification.credential_headers() {
            if !self.request.headers.contains_key(&header) {
                continue;
            }
            self.altered("the signature", |request| {
                let mut bytes = request.headers[&header].as_bytes().to_vec();
                // In the middle, because the last characters of base64 may hold unused bits.
                let at = bytes.len() - 9;
                bytes[at] = other(bytes[at]);
                let value = HeaderValue::from_bytes(&bytes).unwrap();
                request.headers.insert(&header, value);
            });
            self.altered("the signature left out", |request| {
                request.headers.remove(&header);
            });
        }
        let query = self.verification.credential_query().map(str::to_owned);
        if let Some(name) = query {
            self.altered("the query", |request| {
                request.query = request.query.replace(&format!("{name}="), &format!("{name}=x"));
            });
        }
    }

    fn body(&mut self) {
        self.altered("the body", |request| {
            let mut body = request.body.to_vec();
            let at = body.len() - 4;
            body[at] ^= 1;
            request.body = body.into();
        });
        self.altered("a byte more", |request| {
            request.body = [&request.body, b"\n".as_slice()].concat().into();
        });
    }

    /// Alters headers with timestamps and ids.
    fn headers(&mut self) {
        for end in ["timestamp", "id"] {
            let names = self.request.headers.keys();
            let names: Vec<HeaderName> = names
                .filter(|name| name.as_str().ends_with(end))
                .cloned()
                .collect();
            for name in names {
                self.altered(end, |request| {
                    let text = request.headers[&name].to_str().unwrap();
                    let changed = text.replacen(['1', '2'], "3", 1);
                    request.headers.insert(&name, changed.parse().unwrap());
                });
            }
        }
    }

    fn url(&mut self) {
        self.altered("the path", |request| request.path.push('x'));
        self.altered("the query", |request| request.query.push_str("&x=1"));
    }

    /// Alters a member of the body, for schemes that do not sign the rest.
    fn member(&mut self, name: &str) {
        self.altered(name, |request| {
            let text = std::str::from_utf8(&request.body).unwrap();
            // Inside the value: after the colon and the first character, which may be a quote.
            let at = text.rfind(&format!("\"{name}\":")).unwrap() + name.len() + 4;
            let mut body = request.body.to_vec();
            body[at] = other(body[at]);
            request.body = body.into();
        });
    }
}

/// Returns another digit.
fn other(byte: u8) -> u8 {
    if byte == b'0' { b'1' } else { b'0' }
}

#[test]
fn of_every_scheme_each_signed_part_is_protected() {
    let mut parts = 0;
    for scheme in signing_schemes().filter(|scheme| *scheme != "none") {
        let verification = doubtful(&working(scheme));
        let request = sent(&verification, SUITABLE);
        let another = doubtful(&working_with_another(scheme));
        assert!(another.prove(&request).is_err(), "{scheme}: another secret");
        let mut trial = Trial {
            scheme,
            verification,
            request,
            parts: 0,
        };
        trial.credentials();
        match scheme {
            _ if TOKENS.contains(&scheme) => {}
            "mailgun" => {
                for name in ["timestamp", "token", "signature"] {
                    trial.member(name);
                }
            }
            "adyen" | "adyen_payments" => {
                for name in ["pspReference", "value", "currency", "success", "hmacSignature"] {
                    trial.member(name);
                }
            }
            _ => {
                trial.body();
                trial.headers();
            }
        }
        if ["twilio", "twilio_sha256", "square", "hubspot", "trello"].contains(&scheme) {
            trial.url();
        }
        if scheme == "hubspot" {
            trial.altered("the method", |request| request.method = Method::PUT);
        }
        assert!(trial.parts > 0 || scheme == "microsoft_graph", "{scheme}");
        parts += trial.parts;
    }
    assert!(parts > 180, "{parts}");
}
