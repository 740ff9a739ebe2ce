//! Counters for callbacks of one kind.

use serde::Serialize;

/// Callbacks of one kind, or what they report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SendCount {
    /// All that were due, answered or failed.
    pub sent: u64,
    /// Those answered with status 200 and a success in the JSON.
    pub answered: u64,
}

impl SendCount {
    pub(super) const fn add(&mut self, count: u64, answered: bool) {
        self.sent += count;
        self.answered += if answered { count } else { 0 };
    }
}

/// The count of a key, which is added to the list if necessary.
pub(super) fn entry<K: Copy + PartialEq>(list: &mut Vec<(K, SendCount)>, key: K) -> &mut SendCount {
    let position = list.iter().position(|(listed, _)| *listed == key).unwrap_or_else(|| {
        list.push((key, SendCount::default()));
        list.len() - 1
    });
    #[expect(clippy::indexing_slicing, reason = "found or just pushed")]
    &mut list[position].1
}

/// Distinct people in the callbacks of one kind.
pub(super) struct Distinct {
    sent: RankSet,
    answered: RankSet,
}

impl Distinct {
    pub(super) fn up_to(max: u32) -> Self {
        Self { sent: RankSet::up_to(max), answered: RankSet::up_to(max) }
    }

    pub(super) fn insert(&mut self, rank: u32, answered: bool) {
        self.sent.insert(rank);
        if answered {
            self.answered.insert(rank);
        }
    }

    pub(super) const fn count(&self) -> SendCount {
        SendCount { sent: self.sent.distinct, answered: self.answered.distinct }
    }
}

/// A set of ranks, as a bitmap: a hundred million people take 12 MiB.
struct RankSet {
    words: Vec<u64>,
    distinct: u64,
}

impl RankSet {
    fn up_to(max: u32) -> Self {
        Self { words: vec![0; usize::try_from(max / 64).unwrap_or_default() + 1], distinct: 0 }
    }

    fn insert(&mut self, rank: u32) {
        let word = usize::try_from(rank / 64).ok().and_then(|position| self.words.get_mut(position));
        let bit = 1 << (rank % 64);
        if let Some(word) = word
            && *word & bit == 0
        {
            *word |= bit;
            self.distinct += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rank_is_counted_once_including_the_last() {
        for max in [1, 63, 64, 65] {
            let mut people = Distinct::up_to(max);
            for (rank, answered) in [(0, true), (max, false), (0, true), (max, false)] {
                people.insert(rank, answered);
            }
            assert_eq!(people.count(), SendCount { sent: 2, answered: 1 }, "{max}");
        }
    }
}
