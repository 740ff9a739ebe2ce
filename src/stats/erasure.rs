//! Erasing a group or a person: what is stored under the name, or under a hash of the ID. `docs/privacy.md` says what
//! cannot be erased, and why.

use super::group_name::with_name;
use super::groups::{GroupCounter, Paused};
use super::hyperloglog::{hash, hash_pair};
use super::recording::Stats;
use crate::domain::UnixMillis;

/// What was stored of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErasedGroup {
    /// The name under which the group was tracked.
    pub name: String,
    /// Its messages, which are now folded.
    pub messages: u64,
    /// Its pairs with senders of the last day.
    pub sender_pairs: usize,
}

/// What was stored of a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErasedUser {
    /// Pairs with groups in which the person sent messages in the last day.
    pub sender_pairs: usize,
    /// Platforms on which the person was online.
    pub online: usize,
}

impl Stats {
    /// Erases a group, by its ID or by the name under which it is tracked. `None` if nothing is stored of it. Later
    /// messages track it anew. Reads the table of pairs, so not for a serving thread.
    ///
    /// # Errors
    /// When a reader of all groups paused their retirement, for at most ten seconds. Then nothing was erased.
    pub fn erase_group(&self, id: &str, clock: UnixMillis) -> Result<Option<ErasedGroup>, Paused> {
        match with_name(id, |name| self.erase_named(name, clock))? {
            None => self.erase_named(id, clock),
            erased => Ok(erased),
        }
    }

    fn erase_named(&self, name: &str, clock: UnixMillis) -> Result<Option<ErasedGroup>, Paused> {
        let removed = self.groups.remove(name, self.timeline.at(clock), GroupCounter::FoldedErased)?;
        // Even if the group is not tracked: it may have been retired, or a process was killed here.
        let had_days = self.weeks.forget(name);
        // The next tick does so again, and then lets other groups use the slot.
        let sender_pairs = removed.as_ref().map_or(0, |(slot, _)| self.pairs.forget(&[*slot]));
        let messages = removed.as_ref().map_or(0, |(_, group)| group.messages);
        Ok((removed.is_some() || had_days).then(|| ErasedGroup { name: name.to_owned(), messages, sender_pairs }))
    }

    /// Erases a person, except in groups whose IDs were too long for a name: a pair has a hash of the ID, which cannot be
    /// found from the name. Takes a tenth of a second with 100,000 groups, so not for a serving thread.
    pub fn erase_user(&self, id: &str) -> ErasedUser {
        let user = hash(id.as_bytes());
        let pairs = self.groups().map(|group| hash_pair(hash(group.name.as_bytes()), user));
        ErasedUser { sender_pairs: self.pairs.forget_hashes(pairs), online: self.online.erase(user) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::{Event, Message, Presence};
    use crate::stats::Capacities;

    const NOW: UnixMillis = UnixMillis(1_732_345_678_901);

    fn stats(groups: usize) -> Stats {
        let capacities = Capacities {
            groups,
            exported_groups: groups,
            sender_pairs: 10 * groups,
            dedup_window: Duration::ZERO,
            online: 100,
            history_days: 3,
        };
        Stats::in_memory(capacities, NOW).unwrap()
    }

    fn record(stats: &Stats, group: &str, senders: &[&str]) {
        for sender in senders {
            stats.record(&Message::of(group, sender), NOW);
        }
    }

    /// Senders of a group in the last day.
    fn senders(stats: &Stats, name: &str) -> Option<u32> {
        stats.pairs.scan(NOW, stats.group_slots(), |slot, hour, day| stats.groups.set_active_senders(slot, hour, day));
        stats.groups().find(|group| group.name.as_str() == name).map(|group| group.active_senders[1])
    }

    #[test]
    fn a_group_is_found_by_its_id_and_a_long_one_also_by_its_name() {
        let stats = stats(10);
        let long = "\u{7fa4}".repeat(2000);
        for by_name in [false, true] {
            record(&stats, "a/b", &["u", "v", "v"]);
            record(&stats, &long, &["u"]);
            let name = with_name(&long, str::to_owned);
            let erase = |id: &str| stats.erase_group(id, NOW).unwrap();
            let erased =
                |name: &str, messages, sender_pairs| ErasedGroup { name: name.to_owned(), messages, sender_pairs };
            assert_eq!(erase("a/b"), Some(erased("a/b", 3, 2)));
            assert_eq!(erase(if by_name { &name } else { &long }), Some(erased(&name, 1, 1)));
            assert_eq!([erase("a/b"), erase(&long), erase("a")], [const { None }; 3]);
        }
        assert_eq!((stats.messages(), stats.folded_erased(), stats.groups_tracked()), (8, 8, 0));
    }

    #[test]
    fn the_days_of_a_group_that_was_retired_are_erased_too() {
        let stats = stats(1);
        record(&stats, "a", &["u"]);
        stats.tick(NOW);
        let later = UnixMillis(NOW.0 + 25 * 3_600_000);
        stats.tick(later);
        stats.record(&Message::of("b", "u"), later);
        assert_eq!((stats.groups_retired(), stats.groups_tracked()), (1, 1));
        let found = [(); 2].map(|()| stats.erase_group("a", later).unwrap().map(|erased| erased.messages));
        assert_eq!(found, [Some(0), None]);
    }

    #[test]
    fn an_erased_person_leaves_all_groups_and_platforms_and_no_one_else_does() {
        let stats = stats(10);
        record(&stats, "a", &["u", "v"]);
        record(&stats, "b", &["u"]);
        for (user_id, platform_id) in [("u", 1), ("u", 2), ("v", 1)] {
            stats.record_event(Event::Online(Presence { user_id, platform_id }), NOW);
        }
        assert_eq!([senders(&stats, "a"), senders(&stats, "b")], [Some(2), Some(1)]);
        assert_eq!(stats.erase_user("u"), ErasedUser { sender_pairs: 2, online: 2 });
        assert_eq!(stats.erase_user("u"), ErasedUser { sender_pairs: 0, online: 0 });
        assert_eq!([senders(&stats, "a"), senders(&stats, "b")], [Some(1), Some(0)]);
        assert_eq!(stats.users_online().map(|(_, users)| users).sum::<usize>(), 1);
        assert_eq!((stats.messages(), stats.groups_tracked()), (3, 2));
        // Later messages count again.
        record(&stats, "a", &["u"]);
        assert_eq!(senders(&stats, "a"), Some(2));
    }
}
