//! Attribute types of a subject: OIDs in certificates, names in text.
//!
//! The names are those of RFC 4514 §3, X.520, OpenSSL, Java's keytool and Windows, where they do
//! not contradict each other. `SN` is the surname, as in OpenSSL, and `T` is the title. Case does
//! not count (RFC 4514 §3).

/// OIDs with their names. The first name is the one that is shown.
const TYPES: &[(&str, &[&str])] = &[
    ("2.5.4.3", &["CN", "commonName"]),
    ("2.5.4.4", &["SN", "surname"]),
    ("2.5.4.5", &["serialNumber"]),
    ("2.5.4.6", &["C", "countryName"]),
    ("2.5.4.7", &["L", "localityName"]),
    ("2.5.4.8", &["ST", "S", "stateOrProvinceName"]),
    ("2.5.4.9", &["street", "streetAddress"]),
    ("2.5.4.10", &["O", "organizationName"]),
    ("2.5.4.11", &["OU", "organizationalUnitName"]),
    ("2.5.4.12", &["title", "T"]),
    ("2.5.4.13", &["description"]),
    ("2.5.4.15", &["businessCategory"]),
    ("2.5.4.16", &["postalAddress"]),
    ("2.5.4.17", &["postalCode"]),
    ("2.5.4.18", &["postOfficeBox"]),
    ("2.5.4.20", &["telephoneNumber"]),
    ("2.5.4.41", &["name"]),
    ("2.5.4.42", &["GN", "G", "givenName"]),
    ("2.5.4.43", &["initials"]),
    ("2.5.4.44", &["generationQualifier"]),
    ("2.5.4.45", &["x500UniqueIdentifier"]),
    ("2.5.4.46", &["dnQualifier", "DNQ"]),
    ("2.5.4.65", &["pseudonym"]),
    ("2.5.4.97", &["organizationIdentifier"]),
    ("0.9.2342.19200300.100.1.1", &["UID", "userId"]),
    ("0.9.2342.19200300.100.1.25", &["DC", "domainComponent"]),
    ("1.2.840.113549.1.9.1", &["emailAddress", "E", "Email"]),
    ("1.2.840.113549.1.9.2", &["unstructuredName"]),
    ("1.2.840.113549.1.9.8", &["unstructuredAddress"]),
    (
        "1.3.6.1.4.1.311.60.2.1.1",
        &["jurisdictionL", "jurisdictionLocalityName"],
    ),
    (
        "1.3.6.1.4.1.311.60.2.1.2",
        &["jurisdictionST", "jurisdictionStateOrProvinceName"],
    ),
    (
        "1.3.6.1.4.1.311.60.2.1.3",
        &["jurisdictionC", "jurisdictionCountryName"],
    ),
];

/// Resolves a type to its OID. The type is a name or an OID, with or without the prefix `OID.`.
pub fn oid(written: &str) -> Option<String> {
    let known = TYPES
        .iter()
        .find(|(_, words)| words.iter().any(|word| word.eq_ignore_ascii_case(written)));
    if let Some((oid, _)) = known {
        return Some((*oid).to_owned());
    }
    let dotted = match written.split_at_checked(4) {
        Some((before, rest)) if before.eq_ignore_ascii_case("oid.") => rest,
        _ => written,
    };
    let is_number = |part: &str| {
        let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        digits && (part == "0" || !part.starts_with('0'))
    };
    (dotted.contains('.') && dotted.split('.').all(is_number)).then(|| dotted.to_owned())
}

/// Returns the displayed name of an OID, if it has one.
pub fn name(oid: &str) -> Option<&'static str> {
    let (_, words) = TYPES.iter().find(|(known, _)| *known == oid)?;
    words.first().copied()
}

/// Iterates over all displayed names.
pub fn names() -> impl Iterator<Item = &'static str> {
    TYPES.iter().filter_map(|(_, words)| words.first().copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_known_by_its_names_and_its_oid() {
        for (written, expected) in [
            ("CN", Some("2.5.4.3")),
            ("cn", Some("2.5.4.3")),
            ("commonname", Some("2.5.4.3")),
            ("STREET", Some("2.5.4.9")),
            ("E", Some("1.2.840.113549.1.9.1")),
            ("2.5.4.3", Some("2.5.4.3")),
            ("OID.1.2.3.4.5", Some("1.2.3.4.5")),
            ("oid.2.5.4.3", Some("2.5.4.3")),
            ("CNN", None),
            ("", None),
            ("1", None),
            ("1..2", None),
            ("1.02", None),
            ("OID.", None),
            ("ü", None),
            ("oüd.1.2", None),
        ] {
            assert_eq!(oid(written).as_deref(), expected, "{written}");
        }
    }

    #[test]
    fn no_name_means_two_types() {
        let mut words: Vec<String> = TYPES
            .iter()
            .flat_map(|(_, words)| words.iter().map(|word| word.to_lowercase()))
            .collect();
        let all = words.len();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), all);
    }
}
