//! The first few of very many, in the memory of few.

use std::collections::BinaryHeap;

/// The smallest of the items that it was given.
pub(super) struct Top<T> {
    most: usize,
    /// Its top is the greatest of those kept: the one that goes next.
    kept: BinaryHeap<T>,
}

impl<T: Ord> Top<T> {
    /// Keeps this many; memory is taken for all of them at once.
    pub(super) fn new(most: usize) -> Self {
        Self { most, kept: BinaryHeap::with_capacity(most) }
    }

    pub(super) fn add(&mut self, item: T) {
        if self.kept.len() < self.most {
            self.kept.push(item);
        } else if let Some(mut last) = self.kept.peek_mut()
            && item < *last
        {
            *last = item;
        }
    }

    /// Those kept, the smallest first.
    pub(super) fn sorted(self) -> Vec<T> {
        self.kept.into_sorted_vec()
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_pcg::Pcg64;

    use super::*;

    #[test]
    fn it_has_what_a_full_sort_has_first() {
        let mut random = Pcg64::seed_from_u64(5);
        for most in [0, 1, 2, 50, 999, 1000, 1001, 5000] {
            // Few different numbers, so that many are equal; the position tells them apart.
            let items: Vec<(u32, usize)> = (0..1000).map(|position| (random.random_range(0..30), position)).collect();
            let mut top = Top::new(most);
            items.iter().for_each(|item| top.add(*item));
            assert!(top.kept.capacity() <= most.max(4), "{most}");
            let mut sorted = items;
            sorted.sort_unstable();
            sorted.truncate(most);
            assert_eq!(top.sorted(), sorted, "{most}");
        }
    }
}
