//! The client of a connection, and what is served at the socket that it connected to.

use std::net::IpAddr;

use super::quota::Share;

/// The client of a connection.
#[derive(Debug)]
pub(crate) struct Caller {
    /// What is served at the socket that it connected to.
    pub(crate) role: Role,
    /// Its address. An IPv4 address mapped to IPv6 is stored as IPv4.
    pub(crate) address: IpAddr,
    /// Its share of the quota of connections; `None` for a trusted proxy.
    share: Option<Share>,
}

impl Caller {
    pub(crate) const fn new(role: Role, share: Option<Share>, address: IpAddr) -> Self {
        Self { role, address: address.to_canonical(), share }
    }

    /// Whether it is a trusted proxy: then its requests can come from other clients.
    pub(crate) const fn is_trusted_proxy(&self) -> bool {
        self.share.is_none()
    }
}

/// What a listening socket serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    All,
    /// Callbacks and the health checks.
    Callbacks,
    /// Everything but callbacks.
    Telemetry,
}

impl Role {
    pub(crate) const fn takes_callbacks(self) -> bool {
        !matches!(self, Self::Telemetry)
    }

    pub(crate) const fn has_pages(self) -> bool {
        !matches!(self, Self::Callbacks)
    }

    /// The flag that sets the address.
    pub(crate) const fn flag(self) -> &'static str {
        match self {
            Self::All | Self::Callbacks => "web.listen-address",
            Self::Telemetry => "web.telemetry-address",
        }
    }
}
