//! The smallest items of a sequence, in memory for only that many.

use std::collections::BinaryHeap;

/// Keeps the smallest items of those that are added.
#[derive(Debug)]
pub(crate) struct Top<T> {
    limit: usize,
    /// Its top is the largest of the items that are kept: the next to be dropped.
    kept: BinaryHeap<T>,
}

impl<T: Ord> Top<T> {
    /// Keeps at most `limit` items, and allocates memory for all of them.
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, kept: BinaryHeap::with_capacity(limit) }
    }

    pub(crate) fn add(&mut self, item: T) {
        if self.kept.len() < self.limit {
            self.kept.push(item);
        } else if let Some(mut largest) = self.kept.peek_mut()
            && item < *largest
        {
            *largest = item;
        }
    }

    /// The kept items, the smallest first.
    pub(crate) fn into_sorted_vec(self) -> Vec<T> {
        self.kept.into_sorted_vec()
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_pcg::Pcg64;

    use super::*;

    #[test]
    fn it_keeps_what_a_full_sort_puts_first() {
        let mut random = Pcg64::seed_from_u64(5);
        for limit in [0, 1, 2, 50, 999, 1000, 1001, 5000] {
            // Few different numbers, so that many are equal; the position tells them apart.
            let items: Vec<(u32, usize)> = (0..1000).map(|position| (random.random_range(0..30), position)).collect();
            let mut top = Top::new(limit);
            items.iter().for_each(|item| top.add(*item));
            assert!(top.kept.capacity() <= limit.max(4), "{limit}");
            let mut sorted = items;
            sorted.sort_unstable();
            sorted.truncate(limit);
            assert_eq!(top.into_sorted_vec(), sorted, "{limit}");
        }
    }
}
