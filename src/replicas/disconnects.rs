//! Users who went offline. The callback may come to another exporter than the one that saw them online.

use std::collections::VecDeque;

use super::moment::MAX_AHEAD_MS;
use crate::domain::UnixMillis;
use crate::stats::Disconnect;

/// The most users that an exporter tells the others about.
pub(super) const LIMIT: usize = 65_536;

/// Length of the longest value in bytes.
pub(super) const MAX_BYTES: usize = LIMIT * ENTRY_BYTES;

/// A key and a time.
const ENTRY_BYTES: usize = 16;

/// How long they stay in the outbox after they were first written, in milliseconds: each exporter reads them several
/// times.
const TOLD_MS: i64 = 60_000;

/// The users that the others are told about, with times by Redis' clock.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// Each with the time of the first write that succeeded.
    entries: VecDeque<(Disconnect, Option<UnixMillis>)>,
}

impl Outbox {
    /// Adds some. Returns the number of those for which there was no room: the earliest are dropped.
    pub(super) fn add(&mut self, disconnects: impl IntoIterator<Item = Disconnect>) -> u64 {
        self.entries.extend(disconnects.into_iter().map(|disconnect| (disconnect, None)));
        let dropped = self.entries.len().saturating_sub(LIMIT);
        let untold = self.entries.drain(..dropped).filter(|(_, told)| told.is_none());
        untold.count() as u64
    }

    /// Removes those that the others have been told about for long enough.
    pub(super) fn expire(&mut self, now: UnixMillis) {
        let is_told = |told: Option<UnixMillis>| told.is_some_and(|told| !(0..TOLD_MS).contains(&now.since(told)));
        self.entries.retain(|(_, told)| !is_told(*told));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let bytes = |Disconnect { key, at }: Disconnect| [key.to_le_bytes(), at.0.to_le_bytes()];
        self.entries.iter().flat_map(|(disconnect, _)| bytes(*disconnect)).flatten().collect()
    }

    /// All were written.
    pub(super) fn written(&mut self, now: UnixMillis) {
        self.entries.iter_mut().for_each(|(_, told)| *told = told.or(Some(now)));
    }
}

/// Reads those of another exporter, at this time by Redis' clock. `None` if they are damaged.
pub(super) fn parse(bytes: &[u8], now: UnixMillis) -> Option<Vec<Disconnect>> {
    let (entries, rest) = bytes.as_chunks::<ENTRY_BYTES>();
    if bytes.len() > MAX_BYTES || !rest.is_empty() {
        return None;
    }
    let times = 0..=now.0.saturating_add(MAX_AHEAD_MS);
    let read = entries.iter().map(|entry| {
        let [key, at] = entry.as_chunks::<8>().0 else { return None };
        let at = i64::from_le_bytes(*at);
        times.contains(&at).then_some(Disconnect { key: u64::from_le_bytes(*key), at: UnixMillis(at) })
    });
    read.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_795_928_400_000);

    fn disconnect(key: usize) -> Disconnect {
        Disconnect { key: key as u64, at: UnixMillis(NOW.0 - 1000) }
    }

    fn keys(outbox: &Outbox) -> Vec<u64> {
        parse(&outbox.to_bytes(), NOW).unwrap().into_iter().map(|disconnect| disconnect.key).collect()
    }

    fn later(ms: i64) -> UnixMillis {
        UnixMillis(NOW.0 + ms)
    }

    #[test]
    fn they_stay_for_a_minute_after_the_first_write() {
        let mut outbox = Outbox::default();
        outbox.add([disconnect(1)]);
        // Redis is unavailable for longer.
        outbox.expire(later(600_000));
        assert_eq!(keys(&outbox), [1]);
        outbox.written(later(600_000));
        outbox.add([disconnect(2)]);
        outbox.written(later(610_000));
        outbox.expire(later(659_999));
        assert_eq!(keys(&outbox), [1, 2]);
        outbox.expire(later(660_000));
        assert_eq!(keys(&outbox), [2]);
        // The clock was set back.
        outbox.expire(later(0));
        assert!(outbox.is_empty());
    }

    #[test]
    fn the_earliest_are_dropped_and_counted_unless_they_were_written() {
        let mut outbox = Outbox::default();
        assert_eq!(outbox.add((0..10).map(disconnect)), 0);
        outbox.written(NOW);
        assert_eq!(outbox.add((10..LIMIT + 12).map(disconnect)), 2);
        let told = keys(&outbox);
        assert_eq!((told.len(), told[0]), (LIMIT, 12));
        assert_eq!(outbox.to_bytes().len(), MAX_BYTES);
    }

    #[test]
    fn damaged_bytes_are_refused() {
        let at = |ms: i64| [7_u64.to_le_bytes(), ms.to_le_bytes()].concat();
        assert_eq!(parse(b"", NOW), Some(Vec::new()));
        assert_eq!(parse(&at(5), NOW).unwrap(), [Disconnect { key: 7, at: UnixMillis(5) }]);
        for damaged in [b"x".to_vec(), at(5)[..15].to_vec(), at(-1), at(NOW.0 + 60_001), vec![0; MAX_BYTES + 16]] {
            assert_eq!(parse(&damaged, NOW), None, "{} bytes", damaged.len());
        }
    }
}
