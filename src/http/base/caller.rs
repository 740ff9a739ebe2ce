//! The client of a connection.

use std::net::IpAddr;

use super::quota::Share;
use super::role::Role;

/// The client of a connection.
#[derive(Debug)]
pub(crate) struct Caller {
    /// What the socket that it connected to serves.
    pub(crate) role: Role,
    /// Its address. An IPv4 address mapped to IPv6 is stored as IPv4.
    pub(crate) address: IpAddr,
    /// Its share of the quota of connections.
    _share: Share,
}

impl Caller {
    pub(crate) const fn new(role: Role, share: Share, address: IpAddr) -> Self {
        Self { role, address: address.to_canonical(), _share: share }
    }
}
