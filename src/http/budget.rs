//! What all share, and of which no address has all: memory, scrapes, connections, requests.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

use super::caller::host;

/// How much may be taken, and how much is.
#[derive(Debug)]
pub(super) struct Budget {
    most: usize,
    most_of_one: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    /// By those who have some; at most as many as there are shares.
    by_host: HashMap<IpAddr, usize>,
}

/// What was taken; given back when dropped.
#[derive(Debug)]
pub(super) struct Share {
    budget: Arc<Budget>,
    host: IpAddr,
    taken: usize,
}

impl Budget {
    /// So much in all, and of one address.
    pub(super) fn new(most: usize, most_of_one: usize) -> Self {
        Self { most, most_of_one, taken: Mutex::default() }
    }

    /// A share of nothing yet.
    pub(super) fn share(self: &Arc<Self>, address: IpAddr) -> Share {
        Share { budget: Arc::clone(self), host: host(address), taken: 0 }
    }

    /// A share of one, if it is to be had.
    pub(super) fn one(self: &Arc<Self>, address: IpAddr) -> Option<Share> {
        let mut share = self.share(address);
        share.grow_to(1).then_some(share)
    }

    /// What one address may have.
    pub(super) const fn most_of_one(&self) -> usize {
        self.most_of_one
    }
}

impl Share {
    /// Makes it this large, if that much is to be had; it never becomes smaller.
    pub(super) fn grow_to(&mut self, size: usize) -> bool {
        let more = size.saturating_sub(self.taken);
        let mut taken = self.budget.taken.lock();
        let of_host = taken.by_host.get(&self.host).copied().unwrap_or_default().saturating_add(more);
        let of_all = taken.all.saturating_add(more);
        let has_grown = of_all <= self.budget.most && of_host <= self.budget.most_of_one;
        if has_grown && more > 0 {
            taken.all = of_all;
            taken.by_host.insert(self.host, of_host);
            self.taken += more;
        }
        has_grown
    }

    /// Gives all of it back.
    pub(super) fn clear(&mut self) {
        let size = std::mem::take(&mut self.taken);
        // Nearly every body comes in one piece, and has taken nothing: no lock for those.
        if size == 0 {
            return;
        }
        let mut taken = self.budget.taken.lock();
        taken.all -= size;
        if let Some(of_host) = taken.by_host.get_mut(&self.host) {
            *of_host -= size;
            if *of_host == 0 {
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

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

    fn is_empty(budget: &Budget) -> bool {
        let taken = budget.taken.lock();
        taken.all == 0 && taken.by_host.is_empty()
    }

    #[test]
    fn no_more_is_taken_than_there_is_and_all_of_it_comes_back() {
        let budget = Arc::new(Budget::new(100, 100));
        let mut first = budget.share(ONE);
        assert!(first.grow_to(60) && first.grow_to(60) && first.grow_to(10));
        let mut second = budget.share(OTHER);
        assert!(!second.grow_to(41) && second.grow_to(40) && !first.grow_to(61));
        assert!(!second.grow_to(usize::MAX));
        drop(first);
        assert!(second.grow_to(100));
        drop(second);
        assert!(is_empty(&budget));
    }

    #[test]
    fn no_address_has_more_than_its_part_in_however_many_shares() {
        let budget = Arc::new(Budget::new(100, 50));
        let mut shares = [budget.share(ONE), budget.share(ONE), budget.share(OTHER)];
        let [first, second, other] = &mut shares;
        assert!(!first.grow_to(51) && first.grow_to(30) && !second.grow_to(21) && second.grow_to(20));
        assert!(!first.grow_to(31) && other.grow_to(50) && !other.grow_to(51));
        first.clear();
        assert!(second.grow_to(50));
        drop(shares);
        assert!(is_empty(&budget));
    }

    #[test]
    fn an_address_has_so_many_places_and_gets_them_back() {
        let places = Arc::new(Budget::new(usize::MAX, 2));
        let enter = |address: &str| places.one(address.parse().unwrap());
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
    fn one_host_s_ipv6_network_is_one_address() {
        let places = Arc::new(Budget::new(usize::MAX, 1));
        let _first = places.one("2001:db8::1".parse().unwrap()).unwrap();
        assert!(places.one("2001:db8::ffff:2".parse().unwrap()).is_none());
        assert!(places.one("2001:db8:0:1::1".parse().unwrap()).is_some());
    }
}
