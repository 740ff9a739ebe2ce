//! The arithmetic of copying counters that rise meanwhile.
//!
//! The counters are read twice. Counts of the same messages, such as those by content type and those by group, do not
//! agree in either reading, because each word was read at a different moment. But a message that has reached some of
//! these counts in the first reading has reached all of them in the second, if it was counted completely in between. So
//! each count can have any total from the highest of the first reading to the lowest of the second. [`settle`] takes
//! the highest total of the first reading, and raises each count to it by a part of the count's own rise. So all totals
//! are equal, and each counter is between its two readings.

use std::iter::zip;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::stats::counters::MAX_COUNT;
use crate::stats::histogram::Histogram;
use crate::stats::messages::Messages;
use crate::stats::recording::Stats;

/// The words of some counters, as often as needed.
type Words<'a> = Box<dyn Fn() -> Box<dyn Iterator<Item = &'a AtomicU64> + 'a> + 'a>;

/// Counts that have the same total, and sums of what the first of them counts.
struct Equal<'a> {
    counts: Vec<Words<'a>>,
    sums: Vec<Words<'a>>,
    /// The last of the counts is that of the groups, which are read separately.
    has_groups: bool,
}

/// Whether each message that some count had in `first` is in all counters of `later`. The groups of `later` need not have
/// been read.
pub(super) fn has_caught_up(first: &Stats, later: &Stats) -> bool {
    let total = |words: &Words<'_>| words().fold(0, |sum: u64, word| sum.saturating_add(word.load(Ordering::Relaxed)));
    zip(all_equal(first), all_equal(later)).all(|(first, later)| {
        let highest = first.counts.iter().map(total).max().unwrap_or_default();
        let counters = later.counts.len() - usize::from(later.has_groups);
        later.counts.iter().take(counters).all(|count| total(count) >= highest)
    })
}

/// Raises the counters of `first` so that all totals that a start compares are equal, and no counter is higher than in
/// `later`, which was read after it. Returns false if there are no such totals: a message was not yet counted completely
/// when `later` was read, or the counters were reset in between.
pub(super) fn settle(first: &Stats, later: &Stats) -> bool {
    zip(all_equal(first), all_equal(later)).all(|(first, later)| first.settle(&later))
}

fn all_equal(stats: &Stats) -> Vec<Equal<'_>> {
    let [group, single] = [&stats.group_messages, &stats.single_messages];
    let mut of_groups = Equal::of_messages(group);
    of_groups.counts.push(Box::new(move || Box::new(stats.status_words())));
    of_groups.counts.push(Box::new(move || Box::new(stats.groups.message_words())));
    of_groups.has_groups = true;
    let mut equal = vec![of_groups, Equal::of_messages(single)];
    for messages in [group, single] {
        let [delivery, submit] = messages.delays.histograms().map(Equal::of_histogram);
        equal.extend([delivery, submit]);
        let by_platform: Words<'_> = Box::new(move || Box::new(messages.delays.delivery_sum_words().iter()));
        let [.., delivery, _] = equal.as_mut_slice() else { continue };
        delivery.sums.push(by_platform);
    }
    equal
}

impl<'a> Equal<'a> {
    fn of_histogram(histogram: &'a Histogram) -> Self {
        Self {
            counts: vec![
                Box::new(move || Box::new(histogram.classic_words())),
                Box::new(move || Box::new(histogram.native().words().iter())),
            ],
            sums: vec![Box::new(move || Box::new(histogram.sum_words()))],
            has_groups: false,
        }
    }

    fn of_messages(messages: &'a Messages) -> Self {
        let mut equal = Self::of_histogram(&messages.content_bytes);
        equal.counts.push(Box::new(move || Box::new(messages.mix.words().iter())));
        equal
    }

    fn settle(&self, later: &Self) -> bool {
        let rises: Option<Vec<_>> =
            zip(&self.counts, &later.counts).map(|(first, later)| Rise::of(first, later)).collect();
        let Some(rises) = rises else { return false };
        let lowest = rises.iter().map(|rise| rise.from).max().unwrap_or_default();
        if rises.iter().any(|rise| rise.from + rise.by < lowest) {
            return false;
        }
        for (rise, (first, later)) in zip(&rises, zip(&self.counts, &later.counts)) {
            rise.give(lowest - rise.from, first, later);
        }
        // A sum rises with the first count.
        let Some(counted) = rises.first() else { return true };
        zip(&self.sums, &later.sums).all(|(first, later)| {
            let rise = Rise::of(first, later);
            rise.is_some_and(|sum| {
                sum.give(share(sum.by, lowest - counted.from, counted.by), first, later);
                true
            })
        })
    }
}

/// How much some counters rose together.
#[derive(Clone, Copy)]
struct Rise {
    from: u64,
    by: u64,
}

impl Rise {
    /// `None` if one of the counters fell.
    fn of(first: &Words<'_>, later: &Words<'_>) -> Option<Self> {
        let mut rise = Self { from: 0, by: 0 };
        for (first, later) in zip(first(), later()) {
            let first = first.load(Ordering::Relaxed);
            rise.from = rise.from.saturating_add(first);
            rise.by = rise.by.saturating_add(later.load(Ordering::Relaxed).checked_sub(first)?);
        }
        // So that nothing below overflows.
        (rise.from.max(rise.by) <= MAX_COUNT).then_some(rise)
    }

    /// Raises the counters by a part of the rise, each in proportion to how much it rose.
    fn give(self, part: u64, first: &Words<'_>, later: &Words<'_>) {
        let (mut seen, mut given) = (0, 0);
        for (first, later) in zip(first(), later()) {
            let value = first.load(Ordering::Relaxed);
            seen += later.load(Ordering::Relaxed).saturating_sub(value);
            // Of the sums so far, so that rounding neither loses nor adds anything in the end.
            let due = share(part, seen, self.by);
            first.store(value + due - given, Ordering::Relaxed);
            given = due;
        }
    }
}

/// `whole * part / of`, and 0 of nothing. `part` is at most `of`.
fn share(whole: u64, part: u64, of: u64) -> u64 {
    let share = (u128::from(whole) * u128::from(part)).checked_div(u128::from(of));
    share.and_then(|share| u64::try_from(share).ok()).unwrap_or_default()
}
