//! Addresses to listen on, and IPv6 addresses with a zone.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6, ToSocketAddrs};

use rustix::net::netdevice::{index_to_name, name_to_index};
use rustix::net::{AddressFamily, SocketType, socket};

/// How to write an address to listen on.
const SHAPE: &str = "give host:port or :port, as in 127.0.0.1:10006, [::1]:10006 or :10006; the host is an \
                     address, or a name that resolves";

/// Where to listen: what one value of a flag means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// Every address of the machine, IPv6 and IPv4, with this port.
    All(u16),
    /// The addresses of one host: one address, or those of a name.
    Host(Vec<SocketAddr>),
}

impl ListenAddress {
    /// Parses `host:port`, or `:port`.
    ///
    /// # Errors
    /// When it is neither, the name does not resolve, or the zone is not an interface of this machine.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        // A list may have spaces.
        let text = text.trim();
        let parts = text.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
        let (host, port) = parts.ok_or_else(|| format!("it has no port from 0 to 65535; {SHAPE}"))?;
        if host.is_empty() {
            return Ok(Self::All(port));
        }
        if let Some(address) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            let (address, zone) = ipv6(address)?;
            // An IPv6-only socket cannot listen on an IPv4-mapped address, so it becomes an IPv4 address.
            let address = match address.to_canonical() {
                IpAddr::V6(address) => SocketAddrV6::new(address, port, 0, zone).into(),
                address => SocketAddr::new(address, port),
            };
            return Ok(Self::Host(vec![address]));
        }
        if host.contains(':') {
            let address = host.split('%').next().unwrap_or_default();
            let problem = match address.parse::<Ipv6Addr>() {
                Ok(_) => "an IPv6 address needs brackets",
                Err(_) => "this is not a host and a port",
            };
            return Err(format!("{problem}; {SHAPE}"));
        }
        let found: Vec<_> = (host, port).to_socket_addrs().map_err(|error| format!("{error}; {SHAPE}"))?.collect();
        if found.is_empty() { Err(format!("the name has no address; {SHAPE}")) } else { Ok(Self::Host(found)) }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All(port) => write!(f, ":{port}"),
            Self::Host(addresses) => addresses.iter().enumerate().try_for_each(|(position, address)| {
                let separator = if position == 0 { "" } else { "," };
                write!(f, "{separator}{address}")
            }),
        }
    }
}

/// An IPv6 address without brackets, and the number of its zone; 0 without a zone.
///
/// # Errors
/// When it is not an address, its zone is not an interface of this machine, or a link-local address has no zone.
pub(super) fn ipv6(text: &str) -> Result<(Ipv6Addr, u32), String> {
    let (address, zone) = text.split_once('%').unwrap_or((text, ""));
    let address: Ipv6Addr = address.parse().map_err(|_| "there is no IPv6 address in the brackets".to_owned())?;
    if !zone.is_empty() {
        return Ok((address, interface(zone)?));
    }
    if address.is_unicast_link_local() {
        return Err(format!("a link-local address needs its network interface, as in [{address}%eth0]:10006"));
    }
    Ok((address, 0))
}

/// The number of a network interface, from its name or its number.
fn interface(zone: &str) -> Result<u32, String> {
    // A socket of any family can look it up, but the systemd unit allows only IPv4 and IPv6.
    let socket = socket(AddressFamily::INET6, SocketType::DGRAM, None)
        .map_err(|error| format!("cannot look up the network interface {zone}: {error}"))?;
    let numbered = || zone.parse().ok().filter(|number| index_to_name(&socket, *number).is_ok());
    let found = name_to_index(&socket, zone).ok().or_else(numbered);
    found.ok_or_else(|| format!("this machine has no network interface {zone}; run: ip link"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_port_an_address_or_a_name() {
        for (text, expected) in [
            (":9", ":9"),
            ("127.0.0.1:9", "127.0.0.1:9"),
            ("0.0.0.0:9", "0.0.0.0:9"),
            ("[::]:9", "[::]:9"),
            ("[fd00::1]:9", "[fd00::1]:9"),
            ("[fe80::1%lo]:9", "[fe80::1%1]:9"),
            ("[fe80::1%1]:9", "[fe80::1%1]:9"),
            ("[::ffff:10.0.0.1]:9", "10.0.0.1:9"),
        ] {
            assert_eq!(ListenAddress::parse(text).unwrap().to_string(), expected, "{text}");
        }
        let Ok(ListenAddress::Host(found)) = ListenAddress::parse("localhost:9") else { panic!("not found") };
        assert!(found.iter().all(|address| address.ip().is_loopback() && address.port() == 9), "{found:?}");
    }

    #[test]
    fn the_error_says_how_to_write_an_address() {
        let no_port = format!("it has no port from 0 to 65535; {SHAPE}");
        let brackets = format!("an IPv6 address needs brackets; {SHAPE}");
        let zone = "a link-local address needs its network interface, as in [fe80::1%eth0]:10006".to_owned();
        for (text, expected) in [
            ("", &no_port),
            ("10006", &no_port),
            ("127.0.0.1", &no_port),
            (":", &no_port),
            (":65536", &no_port),
            (":http", &no_port),
            ("::1:9", &brackets),
            ("fe80::1%lo:9", &brackets),
            ("[::1]", &no_port),
            ("[127.0.0.1]:9", &"there is no IPv6 address in the brackets".to_owned()),
            ("[fe80::1]:9", &zone),
            ("[fe80::1%]:9", &zone),
            ("[fe80::1%none]:9", &"this machine has no network interface none; run: ip link".to_owned()),
            ("[fe80::1%4000000000]:9", &"this machine has no network interface 4000000000; run: ip link".to_owned()),
        ] {
            assert_eq!(&ListenAddress::parse(text).unwrap_err(), expected, "{text}");
        }
    }
}
