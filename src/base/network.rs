//! Networks and peers as the rules file lists them: `10.0.0.0/8`, `2001:db8::/32`, `192.0.2.7`,
//! `unix`.
//!
//! Lists compile at load into sorted ranges for binary search, so that a list of thousands costs
//! hardly more than one of two. An IPv4-mapped IPv6 address (`::ffff:192.0.2.7`, RFC 4291 §2.5.5.2)
//! counts as its IPv4 address, in lists and on the wire. So a different notation of an address does
//! not bypass a list.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::base::diagnostic::{Diagnostic, Diagnostics};
use crate::base::yaml::Node;

/// A set of addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks {
    /// First and last address of each range, ascending, without overlaps.
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

impl Networks {
    /// The union of `nets`.
    pub fn new(nets: impl IntoIterator<Item = IpNet>) -> Self {
        let nets: Vec<IpNet> = nets.into_iter().map(plain).collect();
        let mut set = Self::default();
        // `aggregate` sorts each family and merges adjacent networks.
        for net in IpNet::aggregate(&nets) {
            match net {
                IpNet::V4(net) => set.v4.push((net.network().to_bits(), net.broadcast().to_bits())),
                IpNet::V6(net) => set.v6.push((net.network().to_bits(), net.broadcast().to_bits())),
            }
        }
        set
    }

    /// Compiles a list of networks, or a single one.
    pub fn compile(node: Node<'_>, name: &str, diagnostics: &mut Diagnostics) -> Option<Self> {
        let items = node.one_or_many();
        if items.is_empty() {
            let message = format!("an empty `{name}` lets no client in");
            diagnostics.push(node.error("never-holds", message));
            return None;
        }
        let nets: Vec<Option<IpNet>> = items.into_iter().map(|item| read(item, diagnostics)).collect();
        nets.into_iter().collect::<Option<Vec<_>>>().map(Self::new)
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => within(&self.v4, address.to_bits()),
            IpAddr::V6(address) => within(&self.v6, address.to_bits()),
        }
    }

    /// True if an address is in both sets.
    pub fn meets(&self, other: &Self) -> bool {
        meet(&self.v4, &other.v4) || meet(&self.v6, &other.v6)
    }

    /// True if the set contains every address of a family.
    fn is_everywhere(&self) -> bool {
        self.v4.first() == Some(&(0, u32::MAX)) || self.v6.first() == Some(&(0, u128::MAX))
    }
}

/// Peers whose claims are trusted, such as proxies that pass on a client address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedPeers {
    pub networks: Networks,
    /// Trusts peers of unix sockets, which have no address.
    pub unix: bool,
}

impl TrustedPeers {
    /// Compiles a list of networks and, for peers of unix sockets, the word `unix`.
    pub fn compile(node: Node<'_>, diagnostics: &mut Diagnostics) -> Self {
        let mut peers = Self::default();
        let mut nets = Vec::new();
        for item in node.one_or_many() {
            if item.as_str() == Some("unix") {
                peers.unix = true;
            } else {
                nets.extend(read(item, diagnostics));
            }
        }
        peers.networks = Networks::new(nets);
        if peers.networks.is_everywhere() {
            let diagnostic = node.warning(
                "believed",
                "every peer is believed, whatever client address it states",
            );
            diagnostics
                .push(diagnostic.hint("name the proxies in front of this daemon, and no other address"));
        }
        peers
    }

    /// True if the peer at this address is trusted. `None` stands for a peer of a unix socket.
    pub fn holds(&self, peer: Option<IpAddr>) -> bool {
        peer.map_or(self.unix, |peer| self.networks.contains(peer))
    }

    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Parses a network, or a single address.
pub fn parse(text: &str) -> Option<IpNet> {
    let single = || text.parse::<IpAddr>().ok().map(IpNet::from);
    text.parse().ok().or_else(single).map(plain)
}

/// Parses the network that a node names. Adds a diagnostic if it names none.
pub fn read(node: Node<'_>, diagnostics: &mut Diagnostics) -> Option<IpNet> {
    let net = node.as_str().and_then(parse);
    if net.is_none() {
        diagnostics.push(invalid(node));
    }
    net
}

/// The diagnostic for a node that is not a network.
pub fn invalid(node: Node<'_>) -> Diagnostic {
    let message = match node.as_str() {
        Some(text) => format!("invalid network `{text}`"),
        None => "a network is text".to_owned(),
    };
    let diagnostic = node.error("invalid-cidr", message);
    diagnostic.hint("write `10.0.0.0/8`, `2001:db8::/32`, or one address")
}

/// Maps IPv4-mapped networks to IPv4: `::ffff:10.0.0.0/104` becomes `10.0.0.0/8`.
fn plain(net: IpNet) -> IpNet {
    let mapped = match net {
        IpNet::V6(net) if net.prefix_len() >= 96 => {
            let address = net.addr().to_ipv4_mapped();
            address.map(|address| (address, net.prefix_len() - 96))
        }
        _ => None,
    };
    mapped
        .and_then(|(address, prefix)| IpNet::new(address.into(), prefix).ok())
        .unwrap_or(net)
}

/// True if one of the sorted ranges contains `at`.
fn within<T: Ord + Copy>(ranges: &[(T, T)], at: T) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= at);
    let before = after.checked_sub(1).and_then(|index| ranges.get(index));
    before.is_some_and(|(_, last)| at <= *last)
}

/// True if a range of `left` overlaps a range of `right`.
fn meet<T: Ord + Copy>(left: &[(T, T)], right: &[(T, T)]) -> bool {
    left.iter().any(|(first, last)| {
        within(right, *first) || right.iter().any(|(begin, _)| first <= begin && begin <= last)
    })
}

/// Identifies a client by IP version and network. All unknown clients count as one.
pub fn client_network(client: Option<IpAddr>) -> (u8, u64) {
    match client.map(|client| client.to_canonical()) {
        None => (0, 0),
        Some(IpAddr::V4(address)) => (4, address.to_bits().into()),
        Some(IpAddr::V6(address)) => {
            let network = address.to_bits() >> 64;
            (6, u64::try_from(network).unwrap_or_default())
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn networks(list: &[&str]) -> Networks {
        Networks::new(list.iter().map(|text| parse(text).unwrap()))
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_is_in_a_network_however_it_is_written() {
        let set = networks(&[
            "10.0.0.0/8",
            "10.1.0.0/16",
            "192.0.2.7",
            "::ffff:198.51.100.0/120",
            "2001:db8::/32",
            "::1",
        ]);
        for inside in [
            "10.0.0.0",
            "10.255.255.255",
            "10.1.2.3",
            "192.0.2.7",
            "::ffff:192.0.2.7",
            "198.51.100.9",
            "::ffff:198.51.100.9",
            "2001:db8:ffff::",
            "::1",
        ] {
            assert!(set.contains(address(inside)), "{inside}");
        }
        for outside in [
            "9.255.255.255",
            "11.0.0.0",
            "192.0.2.8",
            "198.51.101.0",
            "2001:db9::",
            "::2",
            "127.0.0.1",
        ] {
            assert!(!set.contains(address(outside)), "{outside}");
        }
        // A network of all IPv6 addresses contains no IPv4 address.
        assert!(!networks(&["::/0"]).contains(address("192.0.2.7")));
        assert!(!networks(&["::/0"]).contains(address("::ffff:192.0.2.7")));
        assert!(!networks(&["0.0.0.0/0"]).contains(address("::1")));
        assert!(!Networks::default().contains(address("::1")));
    }

    #[test]
    fn an_invalid_network_is_refused() {
        for wrong in [
            "",
            "10.0.0.0/33",
            "10.0.0",
            "010.0.0.1",
            "10.0.0.0/8/8",
            "fe80::1%eth0",
            "localhost",
            "unix",
            " 10.0.0.1",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn everywhere_is_everywhere_however_it_is_written() {
        for everywhere in [
            &["0.0.0.0/0"][..],
            &["128.0.0.0/1", "10.0.0.0/8", "0.0.0.0/1"],
            &["8000::/1", "::/2", "4000::/2"],
        ] {
            assert!(networks(everywhere).is_everywhere(), "{everywhere:?}");
        }
        for less in [
            &["0.0.0.0/1", "128.0.0.0/2"][..],
            &["::/1"],
            &["::ffff:0.0.0.0/97"],
            &[],
        ] {
            assert!(!networks(less).is_everywhere(), "{less:?}");
        }
    }

    #[test]
    fn two_network_lists_overlap_if_an_address_is_in_both() {
        let ten = networks(&["10.0.0.0/8"]);
        assert!(ten.meets(&networks(&["192.0.2.0/24", "10.2.0.0/16"])));
        assert!(networks(&["10.2.0.0/16"]).meets(&ten));
        assert!(!ten.meets(&networks(&["11.0.0.0/8", "::/0"])));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_set_holds_what_one_of_its_networks_holds(
            nets in prop::collection::vec((any::<u32>(), 0_u8..=32), 0..20),
            at in any::<u32>(),
        ) {
            let nets: Vec<IpNet> = nets
                .into_iter()
                .map(|(bits, prefix)| IpNet::new(IpAddr::V4(bits.into()), prefix).unwrap())
                .collect();
            let at = IpAddr::V4(at.into());
            let expected = nets.iter().any(|net| net.contains(&at));
            prop_assert_eq!(Networks::new(nets).contains(at), expected);
        }
    }
}
