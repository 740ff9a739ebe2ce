//! Users that are online: seen online, and not seen offline since.
//!
//! An entry is a user on a platform, and the time when the user was last seen online there. It expires half an hour
//! later, because OpenIM may fail to report that a user went offline. Since 3.8.2, OpenIM reports users that stay online
//! again every 10 to 20 minutes.
//!
//! A hash table with linear probing, in shards with a lock each: messages do not use it, and a lock is held for less
//! than a microsecond, or for the sweep of one shard. The table has at least twice as many entries as the capacity.

#[cfg(test)]
mod tests;

use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering, compiler_fence};

use parking_lot::Mutex;

use super::carry::CarryOver;
use super::counters::CounterSet;
use super::disconnects::Disconnect;
use super::hyperloglog::{Element, Union, hash_pair};
use super::windows::MINUTE_MS;
use crate::arena::{Block, Contents, Layout, Section};
use crate::domain::UnixMillis;
use crate::domain::codes::{PLATFORMS, platform_position};
use crate::named::named;

/// How long a user stays online without a report, in milliseconds.
const EXPIRY_MS: u64 = 30 * MINUTE_MS;

/// Entries of a shard, unless the table has fewer. So many that a shard does not become full by chance while the table is
/// half empty, and so few that the sweep of one takes only microseconds.
const SHARD_ENTRIES: usize = 8192;

/// Names of sections in a state.
const TABLE: &str = "users online";
const COUNTERS: &str = "users online, counters";

/// Version of the layout of [`TABLE`]. Version 1 had the minutes of sightings, and not their milliseconds.
const LAYOUT: u32 = 2;

/// An entry's words in the block: the key, 0 for none, and the sighting.
type Words = [AtomicU64; 2];

named! {
    /// Counters of the table.
    enum OnlineCounter {
        /// Reports of users that got no entry, because the table was full.
        Overflow = "overflow",
    }
}

/// The latest time of a sighting.
const MAX_TIME: u64 = u64::MAX >> 8;

/// The numbers of users online by platform: first those that are not listed, then [`PLATFORMS`].
type ByPlatform = [usize; PLATFORMS.len() + 1];

/// When and where a user was last seen online: milliseconds since the epoch, and below them 8 bits with the position of
/// the platform in [`ByPlatform`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sighting(u64);

impl Sighting {
    fn new(platform_id: i32, now: UnixMillis) -> Self {
        Self((Self::time(now) << 8) | platform_number(platform_id))
    }

    /// The sighting that version 1 of the layout stored with a minute. It expires when it did.
    fn from_minute(Self(stored): Self) -> Self {
        let last_ms = (stored >> 8).saturating_mul(MINUTE_MS).saturating_add(MINUTE_MS - 1);
        Self((last_ms.min(MAX_TIME) << 8) | (stored & 0xff))
    }

    fn time(time: UnixMillis) -> u64 {
        time.period(1).min(MAX_TIME)
    }

    const fn platform(self) -> usize {
        (self.0 & 0xff) as usize
    }

    /// Whether it is too far from `now`: in the past or, if the clock was set back, in the future.
    fn is_expired(self, now: UnixMillis) -> bool {
        (self.0 >> 8).abs_diff(Self::time(now)) > EXPIRY_MS
    }

    fn is_after(self, time: UnixMillis) -> bool {
        self.0 >> 8 > Self::time(time)
    }
}

/// The users online.
#[derive(Debug)]
pub(super) struct Online {
    table: Section,
    shards: Box<[Mutex<ByPlatform>]>,
    /// Entries in use.
    used: AtomicUsize,
    capacity: usize,
    counters: CounterSet<OnlineCounter>,
}

impl Online {
    pub(super) fn reserve(contents: &mut Contents, capacity: usize) {
        let entries = if capacity == 0 { 0 } else { (2 * capacity).next_power_of_two() };
        contents.reserve(Layout::new(TABLE, LAYOUT, size_of::<Words>(), entries));
        CounterSet::<OnlineCounter>::reserve(contents, COUNTERS);
    }

    /// The most users that the table of a stored block can have been made for.
    pub(super) fn stored_capacity(contents: &Contents) -> usize {
        contents.find(TABLE).map_or(0, |table| table.layout.count / 2)
    }

    pub(super) fn open(block: &Block, capacity: usize) -> io::Result<Self> {
        let table = block.section(TABLE)?;
        let shards = (table.as_chunks::<2>().0.len() / SHARD_ENTRIES).max(1);
        Ok(Self {
            table,
            shards: (0..shards).map(|_| Mutex::default()).collect(),
            used: AtomicUsize::new(0),
            capacity,
            counters: CounterSet::open(block, COUNTERS)?,
        })
    }

    /// Takes the users of an old table.
    pub(super) fn carry_from(&self, old: &CarryOver<'_>) {
        self.counters.carry_from(old);
        let Some(stored) = old.section_with_version(TABLE, 1..=LAYOUT, size_of::<Words>()) else { return };
        let has_minutes = old.version(TABLE) == Some(1);
        entries_in_use(stored.as_chunks().0).into_iter().for_each(|(key, seen)| {
            self.insert(key, if has_minutes { Sighting::from_minute(seen) } else { seen });
        });
        // `restore` counts the users.
    }

    /// Counts the users of a stored table. If a killed process was moving an entry, puts all users where a search finds
    /// them.
    pub(super) fn restore(&self) {
        let is_intact = self.shards().all(|(_, entries)| {
            let mut in_use = Entry::from(entries, 0).filter(|entry| !entry.has(0));
            in_use.all(|entry| {
                let key = entry.key.load(Ordering::Relaxed);
                entry.platform().is_some() && find(entries, key).is_some_and(|found| found.position == entry.position)
            })
        });
        let users = entries_in_use(self.entries());
        if !is_intact {
            self.entries().iter().flatten().for_each(|word| word.store(0, Ordering::Relaxed));
        }
        self.used.store(0, Ordering::Relaxed);
        self.shards.iter().for_each(|shard| *shard.lock() = ByPlatform::default());
        for (key, seen) in users {
            if is_intact {
                self.count_stored(key, seen);
            } else {
                self.insert(key, seen);
            }
        }
    }

    /// Counts a user who has an entry.
    fn count_stored(&self, key: u64, seen: Sighting) {
        if let Some((shard, _)) = self.shard(key) {
            self.used.fetch_add(1, Ordering::Relaxed);
            shard.lock().get_mut(seen.platform()).into_iter().for_each(|users| *users += 1);
        }
    }

    /// Resets the counters to 0. The users stay.
    pub(super) fn reset_counts(&self) {
        self.counters.reset();
    }

    /// Records that a user is online. `user` is a hash of the user's ID.
    pub(super) fn add(&self, user: u64, platform_id: i32, now: UnixMillis) {
        if !self.insert(key(user, platform_id), Sighting::new(platform_id, now)) {
            self.counters.add(OnlineCounter::Overflow, 1);
        }
    }

    /// Records that a user went offline. Returns the key of the user and the platform.
    pub(super) fn remove(&self, user: u64, platform_id: i32) -> u64 {
        let key = key(user, platform_id);
        if let Some((shard, entries)) = self.shard(key) {
            self.remove_in(&mut shard.lock(), entries, key);
        }
        key
    }

    /// Removes a user on all platforms. Returns on how many the user was online.
    pub(super) fn erase(&self, user: u64) -> usize {
        let keys = (0..=PLATFORMS.len() as u64).map(|platform| key_of(user, platform));
        let removed = keys.filter_map(|key| {
            let (shard, entries) = self.shard(key)?;
            self.remove_in(&mut shard.lock(), entries, key)
        });
        removed.count()
    }

    /// Removes a user on a platform who went offline elsewhere, unless the user was seen online here later.
    pub(super) fn remove_elsewhere(&self, Disconnect { key, at }: Disconnect) {
        let Some((shard, entries)) = self.shard(key) else { return };
        let mut users = shard.lock();
        if find(entries, key).is_some_and(|found| found.has(key) && !found.seen().is_after(at)) {
            self.remove_in(&mut users, entries, key);
        }
    }

    /// The users online on each of [`PLATFORMS`], and then on other platforms, one shard after the other. The key of a
    /// user on a platform is the hash of the element, and the same in every exporter.
    pub(super) fn sketches(&self) -> Vec<Union> {
        let mut sketches = vec![Union::default(); PLATFORMS.len() + 1];
        for (shard, entries) in self.shards() {
            let _users = shard.lock();
            for entry in Entry::from(entries, 0).filter(|entry| !entry.has(0)) {
                if let Some(sketch) = sketches.get_mut(entry.seen().platform()) {
                    sketch.add(Element::from_hash(entry.key.load(Ordering::Relaxed)));
                }
            }
        }
        sketches.rotate_left(1);
        sketches
    }

    /// Removes the users that were not seen for too long, one shard after the other.
    pub(super) fn sweep(&self, now: UnixMillis) {
        for (shard, entries) in self.shards() {
            let mut users = shard.lock();
            let in_use = Entry::from(entries, 0).filter(|entry| !entry.has(0));
            let expired = in_use.filter(|entry| entry.seen().is_expired(now));
            for key in expired.map(|entry| entry.key.load(Ordering::Relaxed)).collect::<Vec<_>>() {
                self.remove_in(&mut users, entries, key);
            }
        }
    }

    /// Users online on each of [`PLATFORMS`], and then on other platforms.
    pub(super) fn by_platform(&self) -> [usize; PLATFORMS.len() + 1] {
        let mut all = ByPlatform::default();
        for shard in &self.shards {
            all.iter_mut().zip(*shard.lock()).for_each(|(sum, users)| *sum += users);
        }
        all.rotate_left(1);
        all
    }

    pub(super) const fn capacity(&self) -> usize {
        self.capacity
    }

    pub(super) fn overflow(&self) -> u64 {
        self.counters.sum(OnlineCounter::Overflow)
    }

    fn entries(&self) -> &[Words] {
        self.table.as_chunks().0
    }

    /// The shards, with their entries.
    fn shards(&self) -> impl Iterator<Item = (&Mutex<ByPlatform>, &[Words])> {
        let length = self.entries().len() / self.shards.len();
        self.shards.iter().zip(self.entries().chunks_exact(length.max(1)))
    }

    /// A key's shard. `None` if the table has no entries.
    fn shard(&self, key: u64) -> Option<(&Mutex<ByPlatform>, &[Words])> {
        #[expect(clippy::cast_possible_truncation, reason = "a remainder")]
        self.shards().nth((key % self.shards.len() as u64) as usize)
    }

    /// Returns false if the user is new and there is no room.
    fn insert(&self, key: u64, seen: Sighting) -> bool {
        let Some((shard, entries)) = self.shard(key) else { return false };
        let mut users = shard.lock();
        match find(entries, key) {
            Some(found) if found.has(key) => found.seen.store(seen.0, Ordering::Relaxed),
            Some(free) if self.reserve_entry() => {
                free.write(key, seen.0);
                users.get_mut(seen.platform()).into_iter().for_each(|users| *users += 1);
            }
            _ => return false,
        }
        true
    }

    /// Reserves an entry for one more user. Returns false if the capacity is used up.
    fn reserve_entry(&self) -> bool {
        let next = |used| (used < self.capacity).then_some(used + 1);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok()
    }

    /// Removes a user. Entries after it move towards their home, so that every search still ends at a free entry
    /// (Knuth, "The Art of Computer Programming", volume 3, 6.4, algorithm R).
    /// `None` if the user was not there.
    fn remove_in(&self, users: &mut ByPlatform, entries: &[Words], key: u64) -> Option<()> {
        let found = find(entries, key).filter(|found| found.has(key))?;
        users.get_mut(found.seen().platform()).into_iter().for_each(|users| *users = users.saturating_sub(1));
        self.used.fetch_sub(1, Ordering::Relaxed);
        let distance = |from: usize, to: usize| to.wrapping_sub(from) & entries.len().wrapping_sub(1);
        let mut hole = found;
        for entry in Entry::from(entries, found.position).skip(1) {
            let moved = entry.key.load(Ordering::Relaxed);
            if moved == 0 {
                break;
            }
            if distance(home(entries, moved), entry.position) >= distance(hole.position, entry.position) {
                hole.write(moved, entry.seen.load(Ordering::Relaxed));
                hole = entry;
            }
        }
        hole.key.store(0, Ordering::Relaxed);
        Some(())
    }
}

/// An entry of a shard.
#[derive(Clone, Copy)]
struct Entry<'a> {
    position: usize,
    key: &'a AtomicU64,
    seen: &'a AtomicU64,
}

impl<'a> Entry<'a> {
    /// All entries of a shard, from a position on; the first follows the last.
    fn from(entries: &'a [Words], position: usize) -> impl Iterator<Item = Self> {
        let (before, after) = entries.split_at_checked(position).unwrap_or_default();
        let numbered = (position..).zip(after).chain((0..).zip(before));
        numbered.map(|(position, [key, seen])| Self { position, key, seen })
    }

    fn has(self, key: u64) -> bool {
        self.key.load(Ordering::Relaxed) == key
    }

    fn seen(self) -> Sighting {
        Sighting(self.seen.load(Ordering::Relaxed))
    }

    /// The position of its platform; `None` if no program writes this.
    fn platform(self) -> Option<usize> {
        Some(self.seen().platform()).filter(|platform| *platform <= PLATFORMS.len())
    }

    /// First removes the old key, and writes the new one last: a killed process leaves no key with another's sighting.
    fn write(self, key: u64, seen: u64) {
        self.key.store(0, Ordering::Relaxed);
        compiler_fence(Ordering::SeqCst);
        self.seen.store(seen, Ordering::Relaxed);
        compiler_fence(Ordering::SeqCst);
        self.key.store(key, Ordering::Relaxed);
        compiler_fence(Ordering::SeqCst);
    }
}

/// The entry of a key, or the free one where a search for it ends. `None` if the shard is full.
fn find(entries: &[Words], key: u64) -> Option<Entry<'_>> {
    Entry::from(entries, home(entries, key)).find(|entry| entry.has(key) || entry.has(0))
}

/// Where the search for a key begins. The low bits determine the shard.
const fn home(entries: &[Words], key: u64) -> usize {
    (key >> 32) as usize & entries.len().wrapping_sub(1)
}

/// The key of a user on a platform; never 0. Two of a million users have the same one in one of ten million tables.
fn key(user: u64, platform_id: i32) -> u64 {
    key_of(user, platform_number(platform_id))
}

/// The same by the position of the platform in [`ByPlatform`].
fn key_of(user: u64, platform: u64) -> u64 {
    hash_pair(user, platform).max(1)
}

/// The position of a platform in [`ByPlatform`].
fn platform_number(platform_id: i32) -> u64 {
    platform_position(platform_id).map_or(0, |position| position as u64 + 1)
}

/// The keys and sightings of the entries that are in use. Those that no program writes are left out.
fn entries_in_use(entries: &[Words]) -> Vec<(u64, Sighting)> {
    let read = |[key, seen]: &Words| (key.load(Ordering::Relaxed), Sighting(seen.load(Ordering::Relaxed)));
    let in_use = entries.iter().map(read).filter(|(key, seen)| *key != 0 && seen.platform() <= PLATFORMS.len());
    in_use.collect()
}
