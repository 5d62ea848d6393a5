//! The PROXY protocol, versions 1 and 2: a proxy names the client before the connection's data.
//!
//! The header is required from listed peers and read from no other peer. Whether a peer speaks the
//! protocol must never be guessed (§2 of
//! <https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt>).

use std::io::{Error, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tokio::io::{AsyncRead, AsyncReadExt};

/// First bytes of a version 2 header.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Maximum line of version 1, in bytes (§2.1).
const MAX_LINE: usize = 107;
/// Maximum length of a version 2 header after its first 16 bytes, in bytes.
const MAX_REST: usize = 4096;
/// Type of the extension that holds a checksum of the header (`PP2_TYPE_CRC32C`, §2.2.3).
const CHECKSUM: u8 = 0x03;
/// Polynomial of CRC-32C, with the lowest bit first (RFC 9260, appendix A).
const CASTAGNOLI: u32 = 0x82f6_3b78;

/// Client of a proxied connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxiedPeer {
    /// A client at this address.
    Client(IpAddr),
    /// The proxy itself (`LOCAL`), or an unknown client (`UNKNOWN`, `AF_UNSPEC`). The connection
    /// counts as the proxy's own (§2.1, §2.2).
    Proxy,
    /// A client without an address, which came to the proxy by a unix socket. It did not use a unix
    /// socket of ours.
    Unaddressed,
}

/// Reads the header. Nothing beyond it is read.
pub async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> Result<ProxiedPeer, Error> {
    let mut signature = [0; SIGNATURE.len()];
    stream.read_exact(&mut signature).await?;
    if signature == SIGNATURE {
        parse_v2(stream).await
    } else if signature.starts_with(b"PROXY ") {
        parse_v1(stream, signature.to_vec()).await
    } else {
        Err(invalid("it does not begin with the PROXY protocol"))
    }
}

fn invalid(why: &str) -> Error {
    Error::new(ErrorKind::InvalidData, why)
}

/// Parses version 1: `PROXY TCP4 192.0.2.7 198.51.100.1 4711 443`.
async fn parse_v1<S: AsyncRead + Unpin>(stream: &mut S, mut line: Vec<u8>) -> Result<ProxiedPeer, Error> {
    while !line.ends_with(b"\r\n") {
        if line.len() >= MAX_LINE {
            return Err(invalid("the line of the PROXY protocol is too long"));
        }
        line.push(stream.read_u8().await?);
    }
    let text = std::str::from_utf8(&line).or(Err(invalid("the line of the PROXY protocol is no text")))?;
    let fields: Vec<&str> = text.trim_end_matches("\r\n").split(' ').collect();
    // A number has one spelling (§2.1), but Rust also parses `+1` and `01`.
    let port = |text: &str| text.parse::<u16>().is_ok_and(|number| number.to_string() == text);
    let found = match fields.as_slice() {
        ["PROXY", "UNKNOWN", ..] => return Ok(ProxiedPeer::Proxy),
        ["PROXY", "TCP4", from, to, from_port, to_port] if port(from_port) && port(to_port) => {
            let both = from.parse::<Ipv4Addr>().ok().zip(to.parse::<Ipv4Addr>().ok());
            both.map(|(from, _)| IpAddr::V4(from))
        }
        ["PROXY", "TCP6", from, to, from_port, to_port] if port(from_port) && port(to_port) => {
            let both = from.parse::<Ipv6Addr>().ok().zip(to.parse::<Ipv6Addr>().ok());
            both.map(|(from, _)| IpAddr::V6(from))
        }
        _ => None,
    };
    let found = found.ok_or_else(|| invalid("the line of the PROXY protocol is malformed"))?;
    Ok(ProxiedPeer::Client(found.to_canonical()))
}

/// Parses version 2 after its signature.
async fn parse_v2<S: AsyncRead + Unpin>(stream: &mut S) -> Result<ProxiedPeer, Error> {
    let mut head = [0; 4];
    stream.read_exact(&mut head).await?;
    let [command, family, high, low] = head;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > MAX_REST {
        return Err(invalid("the head of the PROXY protocol is too long"));
    }
    let mut rest = vec![0; length];
    stream.read_exact(&mut rest).await?;
    let length = match (command, family) {
        // LOCAL: a health check by the proxy itself. UNSPEC is the same as UNKNOWN in version 1.
        // The data of both is skipped (§2.2).
        (0x20, _) | (0x21, 0x00) => return Ok(ProxiedPeer::Proxy),
        (0x21, 0x11) => 12,
        (0x21, 0x21) => 36,
        (0x21, 0x31) => 216,
        _ => return Err(invalid("the head of the PROXY protocol is malformed")),
    };
    let (Some(addresses), Some(extensions)) = (rest.get(..length), rest.get(length..)) else {
        return Err(invalid("the head of the PROXY protocol is too short"));
    };
    if let Some(sent) = checksum(extensions)? {
        let before: usize = SIGNATURE.len() + head.len() + length;
        let whole = [&SIGNATURE[..], &head, &rest].concat();
        if crc32c(&whole, before + sent.at) != sent.sum {
            return Err(invalid("the checksum of the PROXY protocol is wrong"));
        }
    }
    Ok(match addresses.first_chunk::<16>().filter(|_| family == 0x21) {
        Some(from) => ProxiedPeer::Client(IpAddr::V6(Ipv6Addr::from(*from)).to_canonical()),
        None => match addresses.first_chunk::<4>().filter(|_| family == 0x11) {
            Some(from) => ProxiedPeer::Client(Ipv4Addr::from(*from).into()),
            None => ProxiedPeer::Unaddressed,
        },
    })
}

/// Checksum that a proxy has sent.
struct Checksum {
    /// Position of its four bytes among the extensions.
    at: usize,
    sum: u32,
}

/// Reads the extensions (§2.2.2) and returns the checksum, if one is among them. Each extension has
/// a type, a length of two bytes, and a value.
fn checksum(extensions: &[u8]) -> Result<Option<Checksum>, Error> {
    let mut found = None;
    let mut rest = extensions;
    while !rest.is_empty() {
        let incomplete = || invalid("an extension of the PROXY protocol is longer than its head");
        let ([kind, high, low], data) = rest.split_first_chunk().ok_or_else(incomplete)?;
        let at = extensions.len() - data.len();
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (value, data) = data.split_at_checked(length).ok_or_else(incomplete)?;
        if *kind == CHECKSUM {
            let malformed = || invalid("the checksum of the PROXY protocol is malformed");
            let sum = <[u8; 4]>::try_from(value).ok().filter(|_| found.is_none());
            let sum = u32::from_be_bytes(sum.ok_or_else(malformed)?);
            found = Some(Checksum { at, sum });
        }
        rest = data;
    }
    Ok(found)
}

/// Computes the CRC-32C of a header, in which the four bytes of the checksum at `hole` count as
/// zero (§2.2.3).
fn crc32c(header: &[u8], hole: usize) -> u32 {
    let sum = header.iter().enumerate().fold(u32::MAX, |sum, (at, byte)| {
        let inside_checksum = (hole..hole + 4).contains(&at);
        let mixed = sum ^ u32::from(if inside_checksum { 0 } else { *byte });
        (0..8).fold(mixed, |sum, _| {
            (sum >> 1) ^ if sum & 1 == 1 { CASTAGNOLI } else { 0 }
        })
    });
    !sum
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the result and the bytes left for TLS or HTTP.
    async fn parse(bytes: &[u8]) -> (Result<ProxiedPeer, ErrorKind>, Vec<u8>) {
        let mut stream = bytes;
        let read = read(&mut stream).await;
        (read.map_err(|error| error.kind()), stream.to_vec())
    }

    fn client(address: &str) -> ProxiedPeer {
        ProxiedPeer::Client(address.parse().unwrap())
    }

    fn second(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, rest].concat()
    }

    #[tokio::test]
    async fn version_1_names_the_client() {
        for (line, expected) in [
            (
                "PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n",
                client("192.0.2.7"),
            ),
            (
                "PROXY TCP6 2001:db8::7 2001:db8::1 4711 443\r\n",
                client("2001:db8::7"),
            ),
            (
                "PROXY TCP6 ::ffff:192.0.2.7 ::1 4711 443\r\n",
                client("192.0.2.7"),
            ),
            ("PROXY UNKNOWN\r\n", ProxiedPeer::Proxy),
            ("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", ProxiedPeer::Proxy),
        ] {
            let (read, left) = parse(format!("{line}GET /").as_bytes()).await;
            assert_eq!((read, &left[..]), (Ok(expected), &b"GET /"[..]), "{line}");
        }
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(100));
        for invalid in [
            "PROXY TCP4 192.0.2.7 198.51.100.1 4711\r\n",
            "PROXY TCP4 2001:db8::7 2001:db8::1 4711 443\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 4711 99999\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 +1 443\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 1 +443\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 080 443\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 4711 0443\r\n",
            "PROXY TCP6 2001:db8::7 2001:db8::1 00 443\r\n",
            "PROXY TCP4 192.0.02.7 198.51.100.1 4711 443\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 4711 443 \r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\r\n",
            "PROXY TCP4 192.0.2.7  198.51.100.1 4711 443\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 4711 \r\n",
            "PROXY TCP6 2001:db8:::7 2001:db8::1 4711 443\r\n",
            "PROXY TCP6 2001:db8::00007 2001:db8::1 4711 443\r\n",
            "PROXY TCP6 fe80::1%eth0 2001:db8::1 4711 443\r\n",
            "PROXY TCP5 192.0.2.7 198.51.100.1 4711 443\r\n",
            "PROXY  TCP4 192.0.2.7 198.51.100.1 4711 443\r\n",
            "POST /open HTTP/1.1\r\n",
            long.as_str(),
        ] {
            assert_eq!(
                parse(invalid.as_bytes()).await.0,
                Err(ErrorKind::InvalidData),
                "{invalid}"
            );
        }
        assert_eq!(
            parse(b"PROXY TCP4 192.0.2.7").await.0,
            Err(ErrorKind::UnexpectedEof)
        );
    }

    #[tokio::test]
    async fn version_2_names_the_client() {
        let four = [192, 0, 2, 7, 198, 51, 100, 1, 18, 103, 1, 187];
        let mut six = [0; 36];
        six[..2].copy_from_slice(&[0x20, 0x01]);
        let with_more = [&four[..], &[4, 0, 1, 9]].concat();
        for (bytes, expected) in [
            (second(0x21, 0x11, &four), Ok(client("192.0.2.7"))),
            (second(0x21, 0x11, &with_more), Ok(client("192.0.2.7"))),
            (second(0x21, 0x21, &six), Ok(client("2001::"))),
            (second(0x20, 0x00, &[]), Ok(ProxiedPeer::Proxy)),
            (second(0x20, 0x11, &four), Ok(ProxiedPeer::Proxy)),
            (second(0x21, 0x00, &[]), Ok(ProxiedPeer::Proxy)),
            (second(0x21, 0x31, &[0; 216]), Ok(ProxiedPeer::Unaddressed)),
            (second(0x21, 0x11, &four[..11]), Err(ErrorKind::InvalidData)),
            (second(0x21, 0x21, &four), Err(ErrorKind::InvalidData)),
            (second(0x21, 0x12, &four), Err(ErrorKind::InvalidData)),
            (second(0x11, 0x11, &four), Err(ErrorKind::InvalidData)),
            (second(0x22, 0x11, &four), Err(ErrorKind::InvalidData)),
            (second(0x21, 0x11, &[0; 5000]), Err(ErrorKind::InvalidData)),
            (SIGNATURE.to_vec(), Err(ErrorKind::UnexpectedEof)),
        ] {
            assert_eq!(parse(&bytes).await.0, expected, "{bytes:?}");
        }
        assert_eq!(
            parse(&second(0x21, 0x31, &[0; 215])).await.0,
            Err(ErrorKind::InvalidData)
        );
        let (_, left) = parse(&[&second(0x21, 0x11, &four)[..], b"GET /"].concat()).await;
        assert_eq!(left, b"GET /");
    }

    #[test]
    fn the_checksum_is_crc32c() {
        // RFC 3720, appendix B.4, and the check value of the catalogue of CRCs.
        assert_eq!(crc32c(b"123456789", 9), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32], 32), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32], 32), 0x62a8_ab43);
        assert_eq!(crc32c(b"12345678\0\0\0\0", 12), crc32c(b"12345678abcd", 8));
    }

    #[tokio::test]
    async fn extensions_of_a_head_are_whole_and_its_checksum_is_right() {
        let addresses = [192, 0, 2, 7, 198, 51, 100, 1, 18, 103, 1, 187];
        let with = |extensions: &[u8]| second(0x21, 0x11, &[&addresses[..], extensions].concat());
        // An authority, a checksum, and padding.
        let mut valid = with(&[2, 0, 1, b'a', 3, 0, 4, 0, 0, 0, 0, 4, 0, 2, 0, 0]);
        let at = SIGNATURE.len() + 4 + addresses.len() + 7;
        let sum = crc32c(&valid, at).to_be_bytes();
        valid[at..at + 4].copy_from_slice(&sum);
        assert_eq!(parse(&valid).await.0, Ok(client("192.0.2.7")));
        for changed in [SIGNATURE.len() + 4, at, at + 3, valid.len() - 1] {
            let mut invalid = valid.clone();
            invalid[changed] ^= 1;
            assert_eq!(parse(&invalid).await.0, Err(ErrorKind::InvalidData), "{changed}");
        }
        for whole in [&[][..], &[4, 0, 0], &[0xee, 0, 1, 9], &[2, 0, 1, b'a', 4, 0, 0]] {
            assert_eq!(parse(&with(whole)).await.0, Ok(client("192.0.2.7")), "{whole:?}");
        }
        for incomplete in [
            &[4][..],
            &[4, 0],
            &[4, 0, 1],
            &[4, 255, 255, 0],
            &[4, 0, 0, 2, 0, 9, 1],
            // A checksum of another length, and two of them.
            &[3, 0, 3, 0, 0, 0],
            &[3, 0, 0],
            &[3, 0, 5, 0, 0, 0, 0, 0],
        ] {
            assert_eq!(
                parse(&with(incomplete)).await.0,
                Err(ErrorKind::InvalidData),
                "{incomplete:?}"
            );
        }
        let mut twice = with(&[3, 0, 4, 0, 0, 0, 0, 3, 0, 4, 0, 0, 0, 0]);
        let at = SIGNATURE.len() + 4 + addresses.len() + 3;
        let sum = crc32c(&twice, at).to_be_bytes();
        twice[at..at + 4].copy_from_slice(&sum);
        assert_eq!(parse(&twice).await.0, Err(ErrorKind::InvalidData));
        // The data of a health check is skipped.
        assert_eq!(
            parse(&second(0x20, 0x11, &[1, 2, 3])).await.0,
            Ok(ProxiedPeer::Proxy)
        );
    }
}
