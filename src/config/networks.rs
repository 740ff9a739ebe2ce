//! Lists of networks.

use std::net::IpAddr;

use ipnet::IpNet;

/// Maximum number of networks in a list: each connection is compared with all of them.
const MAX_NETWORKS: usize = 1000;

/// Length of the prefix of IPv4-mapped IPv6 addresses, `::ffff:0:0/96` (RFC 4291, section 2.5.5.2).
const MAPPED_PREFIX: u8 = 96;

/// A list of at least one network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

impl std::fmt::Display for Networks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut separator = "";
        for network in &self.0 {
            write!(f, "{separator}{network}")?;
            separator = ",";
        }
        Ok(())
    }
}

impl Networks {
    /// Parses a comma-separated list. An address alone is a network of one address.
    ///
    /// # Errors
    /// When an item is not a network or has bits set after its prefix, or the list is empty or too long.
    pub fn parse(list: &str) -> Result<Self, String> {
        let networks = list.split(',').map(|text| network(text.trim())).collect::<Result<Vec<_>, _>>()?;
        if networks.len() > MAX_NETWORKS {
            return Err(format!("{} networks are too many; give at most {MAX_NETWORKS}", networks.len()));
        }
        Ok(Self(networks))
    }

    /// Whether an address is in one of them. An IPv4-mapped IPv6 address counts as the IPv4 address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

fn network(text: &str) -> Result<IpNet, String> {
    let parsed = text.parse::<IpAddr>().map(IpNet::from).ok().or_else(|| text.parse::<IpNet>().ok());
    let problem = || format!("{text:?}: not a network; give one such as 10.0.0.0/8 or fd00::/8, or an address");
    let network = parsed.ok_or_else(problem)?;
    if let IpAddr::V4(address) = network.addr().to_canonical()
        && network.addr().is_ipv6()
    {
        let prefix = network.prefix_len().saturating_sub(MAPPED_PREFIX);
        return Err(format!("{text:?}: an IPv4 network written as IPv6; give {address}/{prefix}"));
    }
    if network.trunc() != network {
        return Err(format!("{text:?}: bits are set after the prefix; give {}", network.trunc()));
    }
    Ok(network)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_error(list: &str) -> String {
        Networks::parse(list).expect_err(list)
    }

    #[test]
    fn an_address_is_found_in_its_network() {
        let networks = Networks::parse("10.0.0.0/8, ::1,192.0.2.7 ,fd00::/8,198.51.100.128/25").unwrap();
        for (address, expected) in [
            ("10.0.0.0", true),
            ("10.255.255.255", true),
            ("11.0.0.0", false),
            ("192.0.2.7", true),
            ("192.0.2.6", false),
            ("198.51.100.128", true),
            ("198.51.100.127", false),
            ("::1", true),
            ("::2", false),
            ("fdff::1", true),
            ("fe00::1", false),
            ("::ffff:10.1.2.3", true),
            ("::ffff:11.1.2.3", false),
            ("::10.1.2.3", false),
        ] {
            assert_eq!(networks.contains(address.parse().unwrap()), expected, "{address}");
        }
    }

    #[test]
    fn all_ipv4_addresses_are_not_all_ipv6_addresses() {
        let (four, six) = (Networks::parse("0.0.0.0/0").unwrap(), Networks::parse("::/0").unwrap());
        for (address, is_four) in [("192.0.2.7", true), ("::ffff:192.0.2.7", true), ("2001:db8::1", false)] {
            let address = address.parse().unwrap();
            assert_eq!((four.contains(address), six.contains(address)), (is_four, !is_four), "{address}");
        }
    }

    #[test]
    fn the_error_says_what_the_network_should_be() {
        for (list, expected) in [
            ("10.1.2.3/8", "\"10.1.2.3/8\": bits are set after the prefix; give 10.0.0.0/8"),
            ("fd00::1/8", "\"fd00::1/8\": bits are set after the prefix; give fd00::/8"),
            ("10.0.0.0/8,192.0.2.7/24", "\"192.0.2.7/24\": bits are set after the prefix; give 192.0.2.0/24"),
            ("::ffff:10.0.0.0/104", "\"::ffff:10.0.0.0/104\": an IPv4 network written as IPv6; give 10.0.0.0/8"),
            ("::ffff:10.0.0.1", "\"::ffff:10.0.0.1\": an IPv4 network written as IPv6; give 10.0.0.1/32"),
        ] {
            assert_eq!(parse_error(list), expected);
        }
        for no_network in [
            "",
            "10.0.0.0/33",
            "::/129",
            "10.0.0",
            "10.0.0.0/",
            "/8",
            "10.0.0.0/-1",
            "localhost",
            "010.0.0.1",
            "1.2.3.4:80",
        ] {
            let words = parse_error(no_network);
            assert_eq!(
                words,
                format!("{no_network:?}: not a network; give one such as 10.0.0.0/8 or fd00::/8, or an address")
            );
        }
        for list in [",", "10.0.0.0/8,", "10.0.0.0/8,,::1", "10.0.0.0/8 ::1", "10.0.0.0\0", "\u{661}.0.0.1"] {
            assert!(Networks::parse(list).is_err(), "{list:?}");
        }
    }

    #[test]
    fn a_list_may_have_1000_networks() {
        assert!(Networks::parse(&["::1"; 1000].join(",")).is_ok());
        assert_eq!(parse_error(&["::1"; 1001].join(",")), "1001 networks are too many; give at most 1000");
    }
}
