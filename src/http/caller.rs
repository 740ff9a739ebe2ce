//! Who is at the other end of a connection, and how many connections one address has.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;

use super::listen::Role;

/// Who is at the other end of a connection.
#[derive(Debug)]
pub(super) struct Caller {
    /// What the socket that it came to serves.
    pub(super) role: Role,
    /// Its address, an IPv4 one as such.
    pub(super) address: IpAddr,
    /// Given back at its end.
    _place: Place,
}

impl Caller {
    pub(super) const fn new(role: Role, place: Place, address: IpAddr) -> Self {
        Self { role, address: address.to_canonical(), _place: place }
    }
}

/// How many connections each address has.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    /// As many entries as there are connections, at most.
    open: Mutex<HashMap<IpAddr, usize>>,
}

/// One of an address' connections.
#[derive(Debug)]
pub(super) struct Place {
    addresses: Arc<Addresses>,
    host: IpAddr,
}

impl Addresses {
    /// A place for one more, if the address has fewer than so many.
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr, most: usize) -> Option<Place> {
        let host = host(address);
        let mut open = self.open.lock();
        if open.get(&host).copied().unwrap_or_default() >= most {
            return None;
        }
        *open.entry(host).or_default() += 1;
        Some(Place { addresses: Arc::clone(self), host })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.addresses.open.lock();
        if let Some(count) = open.get_mut(&self.host) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.host);
            }
        }
    }
}

/// What counts as one address: of IPv6, the network of 64 bits that one host is commonly given whole.
pub(super) fn host(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_so_many_places_and_gets_them_back() {
        let addresses = Arc::new(Addresses::default());
        let enter = |address: &str| addresses.enter(address.parse().unwrap(), 2);
        let held = [enter("10.0.0.1").unwrap(), enter("::ffff:10.0.0.1").unwrap()];
        assert!(enter("10.0.0.1").is_none());
        let other = enter("10.0.0.2").unwrap();
        drop(held);
        let again = [enter("10.0.0.1"), enter("10.0.0.1")];
        assert!(again.iter().all(Option::is_some) && enter("10.0.0.1").is_none());
        drop((again, other));
        assert!(addresses.open.lock().is_empty());
    }

    #[test]
    fn one_host_s_ipv6_network_is_one_address() {
        let addresses = Arc::new(Addresses::default());
        let _first = addresses.enter("2001:db8::1".parse().unwrap(), 1).unwrap();
        assert!(addresses.enter("2001:db8::ffff:2".parse().unwrap(), 1).is_none());
        assert!(addresses.enter("2001:db8:0:1::1".parse().unwrap(), 1).is_some());
    }
}
