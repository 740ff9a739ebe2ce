//! Memory that all requests share, and of which no address has all.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

use super::caller::host;

/// How many bytes may be taken, and how many are.
#[derive(Debug)]
pub(super) struct Budget {
    most: usize,
    most_of_one: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    /// By those who have some; at most as many as there are requests.
    by_host: HashMap<IpAddr, usize>,
}

/// Bytes that were taken; given back when dropped.
#[derive(Debug)]
pub(super) struct Share {
    budget: Arc<Budget>,
    host: IpAddr,
    bytes: usize,
}

impl Budget {
    /// So many bytes in all, and of one address.
    pub(super) fn new(most: usize, most_of_one: usize) -> Self {
        Self { most, most_of_one, taken: Mutex::default() }
    }

    /// A share of nothing yet.
    pub(super) fn share(self: &Arc<Self>, address: IpAddr) -> Share {
        Share { budget: Arc::clone(self), host: host(address), bytes: 0 }
    }

    /// What one address may have.
    pub(super) const fn most_of_one(&self) -> usize {
        self.most_of_one
    }
}

impl Share {
    /// Makes it this large, if that many bytes are to be had; it never becomes smaller.
    pub(super) fn grow_to(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        let mut taken = self.budget.taken.lock();
        let of_host = taken.by_host.get(&self.host).copied().unwrap_or_default().saturating_add(more);
        let of_all = taken.all.saturating_add(more);
        let has_grown = of_all <= self.budget.most && of_host <= self.budget.most_of_one;
        if has_grown && more > 0 {
            taken.all = of_all;
            taken.by_host.insert(self.host, of_host);
            self.bytes += more;
        }
        has_grown
    }

    /// Gives all of it back.
    pub(super) fn clear(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        // Nearly every body comes in one piece, and has taken nothing: no lock for those.
        if bytes == 0 {
            return;
        }
        let mut taken = self.budget.taken.lock();
        taken.all -= bytes;
        if let Some(of_host) = taken.by_host.get_mut(&self.host) {
            *of_host -= bytes;
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
}
