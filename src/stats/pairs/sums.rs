//! What a scan adds up.

/// A pair counts for the last hour if it was seen in this minute, or in one of this many before it.
const HOUR: u32 = 60;

/// The same for the last day. A pair that was not seen for longer does not count, and its entry can be reused.
pub(super) const DAY: u32 = 24 * HOUR;

/// The sums of a scan.
#[derive(Debug, Default)]
pub(super) struct Sums {
    /// The pairs of the last hour and of the last day for each slot.
    pub(super) by_slot: Vec<(u32, u32)>,
    /// The pairs by the minutes since they were last seen, up to [`DAY`].
    by_idle: Vec<u64>,
}

impl Sums {
    /// Sets all sums to 0.
    pub(super) fn clear(&mut self, groups: usize) {
        self.by_slot.clear();
        self.by_slot.resize(groups, (0, 0));
        self.by_idle.clear();
        self.by_idle.resize(DAY as usize + 1, 0);
    }

    pub(super) fn add(&mut self, slot: u32, idle: u32) {
        if let Some((hour, day)) = self.by_slot.get_mut(slot as usize) {
            *hour += u32::from(idle <= HOUR);
            *day += 1;
        }
        if let Some(pairs) = self.by_idle.get_mut(idle as usize) {
            *pairs += 1;
        }
    }

    /// The number of pairs.
    pub(super) fn pairs(&self) -> u64 {
        self.by_idle.iter().sum()
    }

    /// The `excess` oldest pairs.
    pub(super) fn oldest(&self, mut excess: u64) -> Oldest {
        for (idle, pairs) in (0..=DAY).rev().zip(self.by_idle.iter().rev()) {
            if excess <= *pairs {
                return Oldest { idle, of_these: excess };
            }
            excess -= pairs;
        }
        Oldest { idle: 0, of_these: 0 }
    }
}

/// All pairs that are idle for longer than `idle` minutes, and this many of those that are idle for exactly as long.
#[derive(Debug)]
pub(super) struct Oldest {
    idle: u32,
    of_these: u64,
}

impl Oldest {
    pub(super) const fn contains(&self, idle: u32) -> bool {
        idle > self.idle || (idle == self.idle && self.of_these > 0)
    }

    /// Subtracts a pair that was evicted.
    pub(super) const fn remove(&mut self, idle: u32) {
        if idle == self.idle {
            self.of_these = self.of_these.saturating_sub(1);
        }
    }
}
