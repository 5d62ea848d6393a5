//! Subject alternative names of a certificate (RFC 5280 §4.2.1.6).
//!
//! Names of different kinds are never equal: a host name spelled like a URI matches no URI.

use std::net::IpAddr;

use x509_parser::prelude::GeneralName;

/// Alternative name, of a kind that a rule can ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AlternativeName {
    /// Host name in lower case.
    Host(String),
    /// IP address. An IPv4-mapped IPv6 address is stored as IPv4.
    Address(IpAddr),
    /// Mail address, its host in lower case.
    Mail(String),
    Uri(String),
}

impl AlternativeName {
    /// Converts a name of a certificate. Returns `None` if its kind is not supported or it cannot
    /// be parsed.
    pub fn of(name: &GeneralName<'_>) -> Option<Self> {
        match name {
            GeneralName::DNSName(name) => Some(Self::Host(name.to_lowercase())),
            GeneralName::RFC822Name(name) => Some(Self::mail(name)),
            GeneralName::URI(name) => Some(Self::Uri((*name).to_owned())),
            GeneralName::IPAddress(bytes) => {
                let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
                let address = v4.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from));
                Some(Self::Address(address.ok()?.to_canonical()))
            }
            _ => None,
        }
    }

    /// Parses a name in the rules file, whose notation decides its kind. Returns `None` if no
    /// certificate can hold it.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Ok(address) = text.parse::<IpAddr>() {
            return Some(Self::Address(address.to_canonical()));
        }
        if let Some((scheme, rest)) = scheme(text) {
            // A host name with a port is not a URI.
            let port = scheme.contains('.') && rest.bytes().all(|byte| byte.is_ascii_digit());
            return (!port).then(|| Self::Uri(text.to_owned()));
        }
        if text.contains('@') {
            return Some(Self::mail(text));
        }
        let plain = !text.is_empty() && text.is_ascii() && !text.contains([':', '/', '[', ']']);
        plain.then(|| Self::Host(text.to_lowercase()))
    }

    /// Normalises a mail address. Case counts in the local part, but not in the host (RFC 5280
    /// §7.5).
    fn mail(text: &str) -> Self {
        Self::Mail(match text.rsplit_once('@') {
            Some((local, host)) => format!("{local}@{}", host.to_lowercase()),
            None => text.to_owned(),
        })
    }
}

/// Splits a URI into its scheme (RFC 3986 §3.1) and the rest.
fn scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    let plain = scheme
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    (plain && scheme.starts_with(|first: char| first.is_ascii_alphabetic())).then_some((scheme, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_notation_of_a_name_decides_its_kind() {
        let host = |text: &str| Some(AlternativeName::Host(text.to_owned()));
        let address = |text: &str| Some(AlternativeName::Address(text.parse().unwrap()));
        let mail = |text: &str| Some(AlternativeName::Mail(text.to_owned()));
        let uri = |text: &str| Some(AlternativeName::Uri(text.to_owned()));
        for (text, expected) in [
            (" CI.example.com ", host("ci.example.com")),
            ("*.example.com", host("*.example.com")),
            ("localhost", host("localhost")),
            ("192.0.2.7", address("192.0.2.7")),
            ("2001:0DB8:0::7", address("2001:db8::7")),
            ("::ffff:192.0.2.7", address("192.0.2.7")),
            ("Ci@Acme.Example", mail("Ci@acme.example")),
            ("spiffe://Acme/ci", uri("spiffe://Acme/ci")),
            ("https://user@host/", uri("https://user@host/")),
            ("urn:uuid:0", uri("urn:uuid:0")),
            ("tel:110", uri("tel:110")),
            ("", None),
            ("ci.example.com:443", None),
            ("[2001:db8::7]", None),
            ("192.0.2.0/24", None),
            ("büro.example", None),
        ] {
            assert_eq!(AlternativeName::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn an_unreadable_name_has_no_kind() {
        for (name, expected) in [
            (
                GeneralName::IPAddress(&[192, 0, 2, 7]),
                AlternativeName::parse("192.0.2.7"),
            ),
            (GeneralName::IPAddress(&[192, 0, 2]), None),
            (GeneralName::IPAddress(&[]), None),
            (
                GeneralName::RFC822Name("Ci@ACME.example"),
                AlternativeName::parse("Ci@acme.example"),
            ),
        ] {
            assert_eq!(AlternativeName::of(&name), expected, "{name}");
        }
        // A host name stays a host name, even if it looks like another kind.
        for fake in ["192.0.2.7", "spiffe://acme/ci", "ci@acme.example"] {
            assert_ne!(
                AlternativeName::of(&GeneralName::DNSName(fake)),
                AlternativeName::parse(fake),
                "{fake}"
            );
        }
    }
}
