//! What the history stores for each period: some gauges, and the values that the counters had at its end.

use crate::domain::{Activity, Chat};
use crate::named::named;
use crate::stats::delays::BOUNDS_MS;
use crate::stats::histogram::Histogram;
use crate::stats::mix::{self, TYPES};

named! {
    /// A number of a period that is not the difference of two values of a counter. The names are keys in a stored state,
    /// so they must never change.
    pub enum Gauge {
        /// Distinct senders of group messages, estimated like the other distinct numbers.
        GroupSenders = "group senders",
        /// Distinct senders of single messages.
        SingleSenders = "single senders",
        /// Distinct senders of messages.
        Senders = "senders",
        /// Distinct users that sent or read messages or came online.
        ActiveUsers = "active users",
        /// Distinct groups with messages.
        ActiveGroups = "active groups",
        /// The highest number of users online. A user on two platforms counts twice.
        UsersOnlinePeak = "users online, peak",
    }
}

/// Gauges of a cell. They come first.
pub(super) const GAUGES: usize = Gauge::ALL.len();

/// Positions of counters after the gauges. Every ring has those below [`BASE`].
const GROUP_MESSAGES: usize = 0;
const SINGLE_MESSAGES: usize = 1;
const ACTIVITIES: usize = 2;
const REFUSALS: usize = ACTIVITIES + Activity::ALL.len();
const DELAYS: usize = REFUSALS + 1;

/// Counters of each minute.
pub(super) const BASE: usize = DELAYS + Histogram::value_count(BOUNDS_MS);

/// Counters of each hour and day: also the content types.
pub(super) const DETAILED: usize = BASE + 2 * TYPES;

const KINDS: [&str; 2] = ["group", "single"];

/// The stored keys of the first `count` counters.
pub(super) fn counter_keys(count: usize) -> Vec<String> {
    let messages = KINDS.map(|kind| format!("{kind} messages"));
    let activities = Activity::ALL.map(|activity| activity.name().to_owned());
    let delays = Histogram::value_keys(BOUNDS_MS).map(|key| format!("delay {key}"));
    let types = KINDS.into_iter().flat_map(|kind| mix::type_keys().map(move |key| format!("{kind} type {key}")));
    let all = messages.into_iter().chain(activities).chain(["refusals".to_owned()]).chain(delays).chain(types);
    all.take(count).collect()
}

/// The counter for a stored key. `type_row` finds the row of a content type, of group messages and of single messages.
pub(super) fn counter_of_key(key: &str, type_row: [&dyn Fn(&str) -> usize; 2]) -> Option<usize> {
    if let Some(delay) = key.strip_prefix("delay ") {
        return Some(DELAYS + Histogram::value_of_key(BOUNDS_MS, delay)?);
    }
    let of_type = |kind: usize| {
        let key = key.strip_prefix(KINDS.get(kind)?)?.strip_prefix(" type ")?;
        Some(BASE + kind * TYPES + type_row.get(kind)?(key))
    };
    of_type(0).or_else(|| of_type(1)).or_else(|| counter_keys(BASE).iter().position(|known| known == key))
}

/// The values of all counters at one moment.
#[derive(Debug)]
pub(in crate::stats) struct Sample(pub(super) Vec<u64>);

impl Sample {
    /// The total of each kind of messages is the sum of its `by_type`, so that they agree.
    pub(in crate::stats) fn new(
        by_type: [Vec<u64>; 2],
        activities: impl Fn(Activity) -> u64,
        refusals: u64,
        delays: [&mut dyn Iterator<Item = u64>; 2],
    ) -> Self {
        let messages = by_type.each_ref().map(|types| types.iter().copied().fold(0, u64::wrapping_add));
        let [of_groups, of_singles] = delays;
        let delays = of_groups.zip(of_singles).map(|(group, single)| group.wrapping_add(single));
        let counters = messages.into_iter().chain(Activity::ALL.map(activities)).chain([refusals]).chain(delays);
        Self(counters.chain(by_type.into_iter().flatten()).collect())
    }
}

/// The counter of messages of a kind. The kinds have the same order among the content types.
pub(super) const fn messages(chat: Chat) -> usize {
    match chat {
        Chat::Group => GROUP_MESSAGES,
        Chat::Single => SINGLE_MESSAGES,
    }
}

/// The counter of an activity.
pub(super) const fn activity(activity: Activity) -> usize {
    ACTIVITIES + activity as usize
}

/// The counter of refused requests.
pub(super) const fn refusals() -> usize {
    REFUSALS
}

/// The values of the histogram of delivery delays.
pub(super) const fn delays() -> std::ops::Range<usize> {
    DELAYS..BASE
}

/// The content types of messages of a kind.
pub(super) const fn types(chat: Chat) -> std::ops::Range<usize> {
    BASE + messages(chat) * TYPES..BASE + (messages(chat) + 1) * TYPES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_finds_its_own_counter() {
        let keys = counter_keys(DETAILED);
        assert_eq!(keys.len(), DETAILED);
        let rows: Vec<_> = mix::type_keys().collect();
        let row = |key: &str| rows.iter().position(|known| known == key).unwrap();
        for (position, key) in keys.iter().enumerate() {
            assert_eq!(counter_of_key(key, [&row, &row]), Some(position), "{key}");
        }
        assert_eq!(counter_of_key("delay 6", [&row, &row]), counter_of_key("delay 10", [&row, &row]));
        assert_eq!(counter_of_key("sideways messages", [&row, &row]), None);
    }
}
