//! Quotas of memory, scrapes, connections and requests: a total limit, and a lower one for each address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;

/// A limited resource, and how much of it is taken.
#[derive(Debug)]
pub(crate) struct Quota {
    limit: usize,
    limit_per_address: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    /// By address. It has at most as many entries as there are shares.
    by_host: HashMap<IpAddr, usize>,
}

/// A part of a quota. It returns to the quota when dropped.
#[derive(Debug)]
pub(crate) struct Share {
    quota: Arc<Quota>,
    host: IpAddr,
    taken: usize,
}

impl Quota {
    /// A quota of `limit` in total and `limit_per_address` for each address.
    pub(crate) fn new(limit: usize, limit_per_address: usize) -> Self {
        Self { limit, limit_per_address, taken: Mutex::default() }
    }

    /// An empty share.
    pub(crate) fn share(self: &Arc<Self>, address: IpAddr) -> Share {
        Share { quota: Arc::clone(self), host: host(address), taken: 0 }
    }

    /// A share of one unit; `None` if the quota is used up.
    pub(crate) fn take_one(self: &Arc<Self>, address: IpAddr) -> Option<Share> {
        let mut share = self.share(address);
        share.grow_to(1).then_some(share)
    }

    /// How much is taken.
    pub(crate) fn taken(&self) -> usize {
        self.taken.lock().all
    }

    /// The total limit.
    pub(crate) const fn limit(&self) -> usize {
        self.limit
    }

    /// The limit of one address.
    pub(crate) const fn limit_per_address(&self) -> usize {
        self.limit_per_address
    }
}

impl Share {
    /// Grows the share to this size if the quota allows; a larger share stays as it is. Returns whether it fits.
    pub(crate) fn grow_to(&mut self, size: usize) -> bool {
        let more = size.saturating_sub(self.taken);
        let mut taken = self.quota.taken.lock();
        let of_address = taken.by_host.get(&self.host).copied().unwrap_or_default().saturating_add(more);
        let of_all = taken.all.saturating_add(more);
        let has_grown = of_all <= self.quota.limit && of_address <= self.quota.limit_per_address;
        if has_grown && more > 0 {
            taken.all = of_all;
            taken.by_host.insert(self.host, of_address);
            self.taken += more;
        }
        has_grown
    }

    /// Returns everything to the quota.
    pub(crate) fn clear(&mut self) {
        let size = std::mem::take(&mut self.taken);
        // Nearly every body comes in one piece and has taken nothing: avoid the lock.
        if size == 0 {
            return;
        }
        let mut taken = self.quota.taken.lock();
        taken.all -= size;
        if let Some(of_address) = taken.by_host.get_mut(&self.host) {
            *of_address -= size;
            if *of_address == 0 {
                taken.by_host.remove(&self.host);
            }
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Bytes that keep their share of a quota until they are dropped.
pub(crate) struct QuotaBytes {
    bytes: Vec<u8>,
    _share: Arc<Share>,
}

impl QuotaBytes {
    pub(crate) const fn new(bytes: Vec<u8>, share: Arc<Share>) -> Self {
        Self { bytes, _share: share }
    }
}

impl AsRef<[u8]> for QuotaBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The address that a quota counts by. For IPv6 it is the /64 network, because one host usually has all of it.
fn host(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

    fn is_empty(quota: &Quota) -> bool {
        let taken = quota.taken.lock();
        taken.all == 0 && taken.by_host.is_empty()
    }

    #[test]
    fn shares_stay_within_the_limit_and_return_to_the_quota() {
        let quota = Arc::new(Quota::new(100, 100));
        let mut first = quota.share(ONE);
        assert!(first.grow_to(60) && first.grow_to(60) && first.grow_to(10));
        let mut second = quota.share(OTHER);
        assert!(!second.grow_to(41) && second.grow_to(40) && !first.grow_to(61));
        assert!(!second.grow_to(usize::MAX));
        drop(first);
        assert!(second.grow_to(100));
        drop(second);
        assert!(is_empty(&quota));
    }

    #[test]
    fn all_shares_of_an_address_stay_within_its_limit() {
        let quota = Arc::new(Quota::new(100, 50));
        let mut shares = [quota.share(ONE), quota.share(ONE), quota.share(OTHER)];
        let [first, second, other] = &mut shares;
        assert!(!first.grow_to(51) && first.grow_to(30) && !second.grow_to(21) && second.grow_to(20));
        assert!(!first.grow_to(31) && other.grow_to(50) && !other.grow_to(51));
        first.clear();
        assert!(second.grow_to(50));
        drop(shares);
        assert!(is_empty(&quota));
    }

    #[test]
    fn an_address_takes_units_up_to_its_limit_and_returns_them() {
        let places = Arc::new(Quota::new(usize::MAX, 2));
        let enter = |address: &str| places.take_one(address.parse().unwrap());
        let held = [enter("10.0.0.1").unwrap(), enter("::ffff:10.0.0.1").unwrap()];
        assert!(enter("10.0.0.1").is_none());
        let other = enter("10.0.0.2").unwrap();
        drop(held);
        let again = [enter("10.0.0.1"), enter("10.0.0.1")];
        assert!(again.iter().all(Option::is_some) && enter("10.0.0.1").is_none());
        drop((again, other));
        assert!(is_empty(&places));
    }

    #[test]
    fn addresses_of_one_ipv6_network_share_a_limit() {
        let places = Arc::new(Quota::new(usize::MAX, 1));
        let _first = places.take_one("2001:db8::1".parse().unwrap()).unwrap();
        assert!(places.take_one("2001:db8::ffff:2".parse().unwrap()).is_none());
        assert!(places.take_one("2001:db8:0:1::1".parse().unwrap()).is_some());
    }
}
