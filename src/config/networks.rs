//! The networks that callbacks may come from.

use std::net::IpAddr;

use ipnet::IpNet;

/// The most networks: each connection is looked up in all of them.
const MOST_NETWORKS: usize = 1000;

/// The length of the prefix of IPv4 addresses that are written as IPv6 ones: `::ffff:0:0/96`.
const MAPPED_PREFIX: u8 = 96;

/// Networks, at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

/// What is no network, and what would be one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{given:?}: {problem}")]
pub struct NetworkError {
    given: String,
    problem: String,
}

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
    /// Reads a list with commas. An address by itself is a network of one.
    ///
    /// # Errors
    /// When one is no network, has bits set behind its prefix, or the list is empty or too long.
    pub fn parse(list: &str) -> Result<Self, NetworkError> {
        let networks = list.split(',').map(|text| network(text.trim())).collect::<Result<Vec<_>, _>>()?;
        if networks.len() > MOST_NETWORKS {
            let problem = format!("there are {} networks, and at most {MOST_NETWORKS} can be", networks.len());
            return Err(NetworkError { given: list.to_owned(), problem });
        }
        Ok(Self(networks))
    }

    /// Whether an address is in one of them. One of IPv4 is the same when a socket of IPv6 gives it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

fn network(text: &str) -> Result<IpNet, NetworkError> {
    let refused = |problem: String| NetworkError { given: text.to_owned(), problem };
    let parsed = text.parse::<IpAddr>().map(IpNet::from).ok().or_else(|| text.parse::<IpNet>().ok());
    let network = parsed
        .ok_or_else(|| refused("this is no network; give one as 10.0.0.0/8 or fd00::/8, or an address".to_owned()))?;
    if let IpAddr::V4(address) = network.addr().to_canonical()
        && network.addr().is_ipv6()
    {
        let prefix = network.prefix_len().saturating_sub(MAPPED_PREFIX);
        return Err(refused(format!("this is IPv4 written as IPv6; give {address}/{prefix}")));
    }
    if network.trunc() != network {
        return Err(refused(format!("bits are set behind the prefix; give {}", network.trunc())));
    }
    Ok(network)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(list: &str) -> String {
        Networks::parse(list).expect_err(list).to_string()
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
    fn every_address_of_a_version_is_not_every_address_of_the_other() {
        let (four, six) = (Networks::parse("0.0.0.0/0").unwrap(), Networks::parse("::/0").unwrap());
        for (address, is_four) in [("192.0.2.7", true), ("::ffff:192.0.2.7", true), ("2001:db8::1", false)] {
            let address = address.parse().unwrap();
            assert_eq!((four.contains(address), six.contains(address)), (is_four, !is_four), "{address}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused_with_the_right_one() {
        for (list, expected) in [
            ("10.1.2.3/8", "\"10.1.2.3/8\": bits are set behind the prefix; give 10.0.0.0/8"),
            ("fd00::1/8", "\"fd00::1/8\": bits are set behind the prefix; give fd00::/8"),
            ("10.0.0.0/8,192.0.2.7/24", "\"192.0.2.7/24\": bits are set behind the prefix; give 192.0.2.0/24"),
            ("::ffff:10.0.0.0/104", "\"::ffff:10.0.0.0/104\": this is IPv4 written as IPv6; give 10.0.0.0/8"),
            ("::ffff:10.0.0.1", "\"::ffff:10.0.0.1\": this is IPv4 written as IPv6; give 10.0.0.1/32"),
        ] {
            assert_eq!(refused(list), expected);
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
            let words = refused(no_network);
            assert_eq!(
                words,
                format!("{no_network:?}: this is no network; give one as 10.0.0.0/8 or fd00::/8, or an address")
            );
        }
        for list in [",", "10.0.0.0/8,", "10.0.0.0/8,,::1", "10.0.0.0/8 ::1", "10.0.0.0\0", "\u{661}.0.0.1"] {
            assert!(Networks::parse(list).is_err(), "{list:?}");
        }
    }

    #[test]
    fn a_list_has_an_end() {
        assert!(Networks::parse(&["::1"; 1000].join(",")).is_ok());
        assert!(refused(&["::1"; 1001].join(",")).ends_with("\": there are 1001 networks, and at most 1000 can be"));
    }
}
