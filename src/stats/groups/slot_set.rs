//! A set of slots that takes little memory, even with a million of them.

/// A set of slots: a bit for each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlotSet(Vec<u64>);

/// Slots in a word.
const BITS: usize = u64::BITS as usize;

impl SlotSet {
    /// Adds a slot.
    pub fn insert(&mut self, slot: u32) {
        let (word, bit) = (slot as usize / BITS, slot as usize % BITS);
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        if let Some(word) = self.0.get_mut(word) {
            *word |= 1 << bit;
        }
    }

    /// The first slot at or above `from`.
    #[must_use]
    pub fn next(&self, from: u32) -> Option<u32> {
        let (first, bit) = (from as usize / BITS, from as usize % BITS);
        let rest_of_word = self.0.get(first)? & (u64::MAX << bit);
        let words = [rest_of_word].into_iter().chain(self.0.iter().skip(first + 1).copied());
        let (word, bits) = (first..).zip(words).find(|(_, bits)| *bits != 0)?;
        u32::try_from(word * BITS + bits.trailing_zeros() as usize).ok()
    }

    /// The number of slots.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether it has no slots.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }
}

impl FromIterator<u32> for SlotSet {
    fn from_iter<I: IntoIterator<Item = u32>>(slots: I) -> Self {
        let mut set = Self::default();
        slots.into_iter().for_each(|slot| set.insert(slot));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_the_slots_that_were_inserted_in_order() {
        let slots = [0, 1, 63, 64, 130, 1000];
        let set: SlotSet = slots.into_iter().rev().collect();
        let next = |from: &u32| set.next(*from + 1);
        assert_eq!(std::iter::successors(set.next(0), next).collect::<Vec<_>>(), slots);
        assert_eq!(
            (set.next(65), set.next(1000), set.next(1001), set.next(u32::MAX)),
            (Some(130), Some(1000), None, None)
        );
        assert_eq!((set.len(), set.is_empty()), (6, false));
        let empty = SlotSet::default();
        assert_eq!((empty.next(0), empty.len(), empty.is_empty()), (None, 0, true));
    }
}
