//! Mistakes about the encoding and the number of signatures.

use data_encoding::BASE64;
use http::HeaderValue;

use super::{judged, senders};
use crate::verify::parts::mac::Encoding;

#[test]
fn mistake_02_and_03_of_several_signatures_one_is_looked_at_alone() {
    let mut lists = 0;
    for sender in senders().filter(|sender| !sender.separator.is_empty()) {
        lists += 1;
        let (before, signature) = sender.signature();
        let (prefix, separator) = (&sender.prefix, &sender.separator);
        let wrong = match sender.encoding {
            Encoding::Hex => "0".repeat(signature.len()),
            Encoding::Base64 | Encoding::Base64Url => {
                BASE64.encode(&vec![0; BASE64.decode(signature.as_bytes()).unwrap().len()])
            }
        };
        for (items, expected) in [
            (vec![&signature, &wrong], "held"),
            (vec![&wrong, &signature], "held"),
            (vec![&wrong, &wrong], "bad-signature"),
            (vec![&signature; 14], "held"),
            (vec![&wrong; 17], "malformed-signature"),
        ] {
            let joined: Vec<String> = items.iter().map(|item| format!("{prefix}{item}")).collect();
            // Text before the first signature. Some lists start with a timestamp.
            let head = before.strip_suffix(prefix).unwrap();
            let value = format!("{head}{}", joined.join(separator));
            assert_eq!(sender.outcome_with(value.as_bytes()), expected, "{}", sender.name);
        }
    }
    assert!(lists >= 8, "{lists}");
}

#[test]
fn mistake_13_a_signature_that_begins_well_is_half_right() {
    // Constant time is guaranteed by `subtle`. This test checks that the whole signature is
    // compared.
    for sender in senders() {
        let (before, signature) = sender.signature();
        for at in [signature.len() / 2, signature.len() - 6] {
            let mut altered = signature.clone().into_bytes();
            altered[at] = if altered[at] == b'0' { b'1' } else { b'0' };
            let outcome = sender.outcome_with(&[before.as_bytes(), &altered].concat());
            assert_eq!(outcome, "bad-signature", "{} {at}", sender.name);
        }
    }
}

#[test]
fn mistake_14_and_15_a_malformed_or_empty_value_is_a_crash_or_a_match() {
    let long = "0".repeat(65_536);
    for sender in senders() {
        let prefix = &sender.prefix;
        for value in [
            "",
            " ",
            prefix,
            "=",
            ",",
            ";",
            "v1,",
            "v1",
            "sha256=",
            "t=,v1=",
            "0",
            "é",
            "\u{fffd}",
            "0x",
            "sha256=é",
            "v1=abc",
            "====",
            "AAAA",
            &long,
        ] {
            for value in [value.to_owned(), format!("{prefix}{value}")] {
                let outcome = sender.outcome_with(value.as_bytes());
                assert!(
                    ["malformed-signature", "missing-timestamp"].contains(&outcome)
                        // A DER signature has no fixed length.
                        || (sender.name == "sendgrid" && outcome == "bad-signature"),
                    "{} {value:.40} {outcome}",
                    sender.name
                );
            }
        }
        assert_eq!(
            sender.outcome_with(b"\xff\xfe"),
            "malformed-signature",
            "{}",
            sender.name
        );
        let mut request = sender.request();
        request.headers.remove(&sender.header);
        assert_eq!(
            judged(&sender.verification, &request),
            "missing-header",
            "{}",
            sender.name
        );
    }
}

#[test]
fn mistake_19_to_21_prefix_and_encoding_are_read_leniently() {
    for sender in senders() {
        let (before, signature) = sender.signature();
        let prefix = &sender.prefix;
        let head = before.strip_suffix(prefix).unwrap();
        let list = !sender.separator.is_empty();
        let mut wrong = vec![
            format!("{before}{signature}!!!!"),
            format!("{before}{signature}0"),
            format!("{before}{}", signature.split_at(1).1),
        ];
        if !prefix.is_empty() {
            wrong.push(format!("{head}{signature}"));
            wrong.push(format!("{head}{}{signature}", prefix.to_uppercase()));
            wrong.push(format!("{head}{prefix}{prefix}{signature}"));
            if !list {
                wrong.push(format!(" {head}{prefix}{signature}"));
                wrong.push(format!("{head}{prefix}{signature} "));
            }
        }
        match sender.encoding {
            Encoding::Hex => {
                let upper = format!("{before}{}", signature.to_uppercase());
                assert_eq!(sender.outcome_with(upper.as_bytes()), "held", "{}", sender.name);
                wrong.push(format!("{before}0x{signature}"));
            }
            Encoding::Base64 | Encoding::Base64Url => {
                wrong.push(format!("{before}{}", signature.replace('=', "")));
                wrong.push(format!("{before}{signature}\u{2028}"));
                if signature.contains(['+', '/']) {
                    wrong.push(format!(
                        "{before}{}",
                        signature.replace('+', "-").replace('/', "_")
                    ));
                }
            }
        }
        for value in wrong
            .iter()
            .filter(|value| **value != format!("{before}{signature}"))
        {
            let outcome = sender.outcome_with(value.as_bytes());
            assert_ne!(outcome, "held", "{} {value}", sender.name);
        }
    }
}

#[test]
fn mistake_22_a_header_that_comes_twice_is_believed_once() {
    for sender in senders().filter(|sender| sender.separator.is_empty()) {
        let request = sender.request();
        let right = request.headers[&sender.header].clone();
        let wrong = HeaderValue::from_static("x");
        for lines in [[&right, &wrong], [&wrong, &right], [&right, &right]] {
            let mut request = request.clone();
            request.headers.remove(&sender.header);
            for line in lines {
                request.headers.append(&sender.header, line.clone());
            }
            assert_eq!(
                judged(&sender.verification, &request),
                "repeated-header",
                "{}",
                sender.name
            );
        }
        if let Some(name) = &sender.timestamp_header {
            let mut request = request.clone();
            let stamp = request.headers[name].clone();
            request.headers.append(name, stamp);
            assert_eq!(
                judged(&sender.verification, &request),
                "repeated-header",
                "{}",
                sender.name
            );
        }
    }
}
