//! Who is at the other end of a connection.

use std::net::{IpAddr, Ipv6Addr};

use super::budget::Share;
use super::listen::Role;

/// Who is at the other end of a connection.
#[derive(Debug)]
pub(super) struct Caller {
    /// What the socket that it came to serves.
    pub(super) role: Role,
    /// Its address, an IPv4 one as such.
    pub(super) address: IpAddr,
    /// One of its address' connections.
    _place: Share,
}

impl Caller {
    pub(super) const fn new(role: Role, place: Share, address: IpAddr) -> Self {
        Self { role, address: address.to_canonical(), _place: place }
    }
}

/// What counts as one address: of IPv6, the network of 64 bits that one host is commonly given whole.
pub(super) fn host(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        address => address,
    }
}
