//! The first half of a round: writes what is new here.
//!
//! Registers are read, raised and written, so what was there stays: from before a restart, or from another process that
//! uses the same name. Only the value that Redis has counts. If the manifest is not the one that was written last, or if
//! another process wrote under the same name since then, all registers are compared and written again where they lack
//! something. So a write that Redis or a race has lost is repeated in the next round.

mod online;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use foldhash::fast::RandomState;
use redis::Cmd;

use super::commands::{bytes, command, get, members, newest, set};
use super::disconnects::Outbox;
use super::groups;
use super::keys::{Name, REPLICAS};
use super::link::{Failure, Link};
use super::manifest::{self, Manifest, next_round};
use super::moment::Moment;
use super::place::{Current, Place, Shifts, expiry_ms};
use super::registers;
use super::union::United;
use crate::domain::UnixMillis;
use crate::stats::hyperloglog::Union;
use crate::stats::{Candidate, Disconnect, Distinct, Stats, Stretch};
use crate::telemetry::{DamagedPart, ReplicasTelemetry};
use online::Online;

/// Keys in one pipeline: 0.8 MiB of registers.
pub(super) const BATCH: usize = 64;

/// How long a name, its manifest and its dates stay, in milliseconds.
pub(super) const REPLICA_EXPIRY_MS: u64 = expiry_ms(Stretch::Date);

/// How long candidates for exported groups and users who went offline stay, in milliseconds.
const SHORT_EXPIRY_MS: u64 = 60_000;

/// How long the processes of a name stay, in milliseconds, and how many are read.
const PROCESSES_EXPIRY_MS: u64 = 3_600_000;
const MAX_PROCESSES: usize = 16;

/// Rounds in which all registers are compared after another process wrote under the same name: until its own next
/// round, it may still write.
const ROUNDS_OF_CONFLICT: u8 = 2;

/// Rounds between two checks of whether Redis has removed keys, as it may when its memory is full.
const CHECK_ROUNDS: u64 = 6;

/// Writes the sketches of this exporter.
pub(super) struct Writer {
    name: Name,
    process: String,
    stats: Arc<Stats>,
    telemetry: Arc<ReplicasTelemetry>,
    /// What Redis has under this name, and the last round.
    manifest: Manifest,
    has_written: bool,
    /// The last write failed.
    has_failed: bool,
    /// A hash of each sketch that is in Redis.
    known: BTreeMap<Place, u64>,
    hasher: RandomState,
    shifts: Shifts,
    online: Online,
    outbox: Outbox,
    /// The other processes that write under this name, and when they did last. `None` before the first round.
    others: Option<BTreeMap<Vec<u8>, i64>>,
    rounds_of_conflict: u8,
}

impl Writer {
    pub(super) fn new(name: Name, stats: &Arc<Stats>, telemetry: &Arc<ReplicasTelemetry>) -> Self {
        let process: u64 = rand::random();
        Self {
            name,
            process: format!("{process:016x}"),
            manifest: Manifest {
                process,
                written: UnixMillis(0),
                round: 0,
                time_zone: stats.calendar().zone_name().to_owned(),
                places: BTreeMap::new(),
                online: BTreeMap::new(),
                groups: 0,
                disconnects: 0,
            },
            stats: Arc::clone(stats),
            telemetry: Arc::clone(telemetry),
            has_written: false,
            has_failed: false,
            known: BTreeMap::new(),
            hasher: RandomState::default(),
            shifts: Shifts::default(),
            online: Online::default(),
            outbox: Outbox::default(),
            others: None,
            rounds_of_conflict: 0,
        }
    }

    /// Writes what is new. `united` replaces what Redis has lost.
    pub(super) fn write(&mut self, link: &mut Link, moment: &Moment, united: &United) -> Result<(), Failure> {
        let had_failed = std::mem::replace(&mut self.has_failed, true);
        self.shifts.follow(moment.offset_ms);
        self.manifest.places.retain(|place, _| moment.current.includes(*place));
        self.known.retain(|place, _| moment.current.includes(*place));
        let found = self.look(link, moment)?;
        let is_ours = found.as_ref().is_some_and(|found| {
            self.has_written && found.process == self.manifest.process && found.round == self.manifest.round
        });
        let round = next_round(moment.redis, [self.manifest.round, found.as_ref().map_or(0, |found| found.round)]);
        if !is_ours || self.rounds_of_conflict > 0 {
            self.known.clear();
            self.online.write_again();
            // Another manifest may have had the same number as our last one, so exporters may not have read ours.
            let last = self.manifest.round;
            self.manifest.places.values_mut().filter(|of_place| **of_place == last).for_each(|last| *last = round);
        }
        let mut lost = BTreeSet::new();
        if self.has_written && found.is_none() {
            lost.extend(united.places());
        }
        // Dates of another time zone are other days. They are replaced, not raised.
        let has_other_dates = found.as_ref().is_some_and(|found| found.time_zone != self.manifest.time_zone);
        if let Some(found) = found.filter(|_| !is_ours) {
            self.adopt(found, has_other_dates);
        }
        if !is_ours || round.is_multiple_of(CHECK_ROUNDS) {
            lost.extend(self.missing(link)?);
        }
        self.known.retain(|place, _| !lost.contains(place));
        let (mut changed, hashes) = self.changed(moment);
        for (place, registers) in lost.into_iter().filter_map(|place| Some((place, united.get(place)?))) {
            changed.entry(place).or_default().merge_union(registers);
        }
        let changed: Vec<_> = changed.into_iter().collect();
        for batch in changed.chunks(BATCH) {
            self.store(link, moment, batch, round, has_other_dates)?;
        }
        self.finish(link, moment, round)?;
        // If Redis did not answer in time, it may execute the failed commands only now, and so lower registers.
        if !had_failed {
            self.known.extend(hashes);
        }
        self.has_failed = false;
        self.rounds_of_conflict = self.rounds_of_conflict.saturating_sub(1);
        self.has_written = true;
        Ok(())
    }

    /// Redis' clock was set back: removes the registers of a time that has not come yet. They have people of today, who
    /// would count on the day that the wrong clock showed. Whoever is really ahead is written again.
    pub(super) fn erase_future(&mut self, link: &mut Link, current: &Current) -> Result<(), Failure> {
        let future: Vec<_> = self.manifest.places.keys().copied().filter(|place| current.is_future(*place)).collect();
        for places in future.chunks(BATCH) {
            let erase = |place: &Place| set(&self.name.registers(*place), b"", 1);
            link.send(&places.iter().map(erase).collect::<Vec<_>>())?;
        }
        self.manifest.places.retain(|place, _| !current.is_future(*place));
        self.known.retain(|place, _| !current.is_future(*place));
        Ok(())
    }

    /// Announces this process, and looks for others with the same name. Returns the manifest in Redis.
    fn look(&mut self, link: &mut Link, moment: &Moment) -> Result<Option<Manifest>, Failure> {
        let (now, key) = (moment.redis, self.name.processes());
        let oldest = now.0.saturating_sub_unsigned(PROCESSES_EXPIRY_MS);
        let commands = [
            get(&self.name.manifest(), manifest::MAX_BYTES),
            newest(&key, [oldest, i64::MAX], MAX_PROCESSES),
            command("ZADD", &key).arg(now.0).arg(&self.process).take(),
            command("ZREMRANGEBYSCORE", &key).arg("-inf").arg(oldest).take(),
            command("PEXPIRE", &key).arg(PROCESSES_EXPIRY_MS).take(),
        ];
        let mut answers = link.send(&commands)?.into_iter();
        let manifest = answers.next().unwrap_or_default();
        let processes = members(answers.next().unwrap_or_default());
        self.find_conflict(processes, now);
        let Some(json) = bytes(manifest) else { return Ok(self.damaged(DamagedPart::Manifest, now)) };
        if json.is_empty() {
            return Ok(None);
        }
        let found = Manifest::parse(&json, now, &moment.current);
        Ok(found.or_else(|| self.damaged(DamagedPart::Manifest, now)))
    }

    /// Notices another process that has the same name and has written since the last round.
    fn find_conflict(&mut self, mut processes: Vec<(Vec<u8>, i64)>, now: UnixMillis) {
        processes.retain(|(process, _)| process != self.process.as_bytes());
        let others: BTreeMap<_, _> = processes.into_iter().collect();
        let before = self.others.replace(others);
        let is_new = |(process, written): (&Vec<u8>, &i64)| {
            before.as_ref().is_some_and(|before| before.get(process) != Some(written))
        };
        if self.others.iter().flatten().any(is_new) {
            self.telemetry.name_conflict(self.name.as_str(), now.0);
            self.rounds_of_conflict = ROUNDS_OF_CONFLICT;
        }
    }

    fn damaged<T>(&self, part: DamagedPart, now: UnixMillis) -> Option<T> {
        self.telemetry.damaged(part, self.name.as_str(), now.0);
        None
    }

    /// Lists what Redis has from before a restart, or from another process, so that the others go on reading it.
    fn adopt(&mut self, found: Manifest, has_other_dates: bool) {
        let is_same_day = |place: &Place| !has_other_dates || place.stretch != Stretch::Date;
        for (place, round) in found.places.into_iter().filter(|(place, _)| is_same_day(place)) {
            let known = self.manifest.places.entry(place).or_default();
            *known = round.max(*known);
        }
        for (platform, round) in found.online {
            self.manifest.online.entry(platform).or_insert(round);
        }
    }

    /// The places of each batch of which Redis has lost at least one.
    fn missing(&self, link: &mut Link) -> Result<Vec<Place>, Failure> {
        let places: Vec<_> = self.manifest.places.keys().copied().collect();
        let exist = |places: &[Place]| {
            let mut command = redis::cmd("EXISTS");
            for place in places {
                command.arg(self.name.registers(*place));
            }
            command
        };
        let commands: Vec<_> = places.chunks(BATCH).map(exist).collect();
        let answers = if commands.is_empty() { Vec::new() } else { link.send(&commands)? };
        let is_incomplete = |(places, answer): &(&[Place], redis::Value)| !matches!(answer, redis::Value::Int(found) if found.cast_unsigned() == places.len() as u64);
        let lost = places.chunks(BATCH).zip(answers).filter(is_incomplete);
        Ok(lost.flat_map(|(places, _)| places.iter().copied()).collect())
    }

    /// The registers of each sketch that has changed, and its hash. In the first round, that is all of them: 10 MiB.
    ///
    /// What is new in a minute is also in the longer stretches that contain it by Redis' time, so that it does not matter
    /// which of them an exporter has read.
    fn changed(&self, moment: &Moment) -> (BTreeMap<Place, Union>, BTreeMap<Place, u64>) {
        let (mut changed, mut hashes) = (BTreeMap::<_, Union>::new(), BTreeMap::new());
        for of in Distinct::ALL {
            for stretch in Stretch::ALL {
                self.stats.visit_sketches(of, stretch, |number, sketch| {
                    let Some(number) = self.shifts.apply(stretch, number) else { return };
                    let place = Place { of, stretch, number };
                    // The hash comes first: what is added afterwards is then written in the next round.
                    let mut hasher = self.hasher.build_hasher();
                    sketch.iter().for_each(|word| hasher.write_u64(word.load(Ordering::Relaxed)));
                    let hash = hasher.finish();
                    if moment.current.includes(place) && self.known.get(&place) != Some(&hash) {
                        let mut registers = Union::default();
                        registers.merge(sketch);
                        let longer = [Stretch::Hour, Stretch::Day, Stretch::Date];
                        let longer = longer.into_iter().filter(|_| stretch == Stretch::Minute);
                        let longer = longer.map(|longer| place.in_longer(longer, self.stats.calendar()));
                        longer
                            .chain([place])
                            .for_each(|place| changed.entry(place).or_default().merge_union(&registers));
                        hashes.insert(place, hash);
                    }
                });
            }
        }
        (changed, hashes)
    }

    /// Raises the registers in Redis to these.
    fn store(
        &mut self,
        link: &mut Link,
        moment: &Moment,
        batch: &[(Place, Union)],
        round: u64,
        has_other_dates: bool,
    ) -> Result<(), Failure> {
        let keys: Vec<_> = batch.iter().map(|(place, _)| self.name.registers(*place)).collect();
        let reads: Vec<_> = keys.iter().map(|key| get(key, registers::BYTES)).collect();
        let mut writes = Vec::new();
        for (((place, ours), key), answer) in batch.iter().zip(&keys).zip(link.send(&reads)?) {
            let is_other_day = has_other_dates && place.stretch == Stretch::Date;
            let found = bytes(answer).filter(|_| !is_other_day);
            let value = match found.as_deref().map(registers::unpack) {
                Some(Some(mut merged)) => {
                    let before = registers::pack(&merged);
                    merged.merge_union(ours);
                    let value = registers::pack(&merged);
                    (value != before).then_some(value)
                }
                _ => {
                    let is_damaged = found.as_ref().map_or(!is_other_day, |found| !found.is_empty());
                    if is_damaged {
                        self.telemetry.damaged(DamagedPart::Registers, self.name.as_str(), moment.redis.0);
                    }
                    Some(registers::pack(ours))
                }
            };
            match value {
                Some(value) => {
                    writes.push(set(key, &value, expiry_ms(place.stretch)));
                    self.manifest.places.insert(*place, round);
                }
                None => drop(self.manifest.places.entry(*place).or_insert(round)),
            }
        }
        if !writes.is_empty() {
            link.send(&writes)?;
        }
        Ok(())
    }

    /// Writes everything else, and the manifest last.
    fn finish(&mut self, link: &mut Link, moment: &Moment, round: u64) -> Result<(), Failure> {
        let now = moment.redis;
        let mut commands = self.online.commands(&self.name, &self.stats, &mut self.manifest, round, &self.hasher);
        commands.extend(self.groups(moment, round));
        commands.extend(self.disconnects(moment, round));
        (self.manifest.round, self.manifest.written) = (round, now);
        commands.push(set(&self.name.manifest(), &self.manifest.to_json(), REPLICA_EXPIRY_MS));
        let oldest = now.0.saturating_sub_unsigned(REPLICA_EXPIRY_MS);
        commands.push(command("ZREMRANGEBYSCORE", REPLICAS).arg("-inf").arg(oldest).take());
        commands.push(command("ZADD", REPLICAS).arg(now.0).arg(self.name.as_str()).take());
        commands.push(command("PEXPIRE", REPLICAS).arg(REPLICA_EXPIRY_MS).take());
        link.send(&commands)?;
        self.online.written();
        self.outbox.written(now);
        Ok(())
    }

    /// The candidates for the exported groups, which are written in each round.
    fn groups(&mut self, moment: &Moment, round: u64) -> Option<Cmd> {
        let limit = self.stats.exported_groups_capacity();
        if limit == 0 {
            return None;
        }
        let mut candidates = self.stats.group_candidates(2 * limit);
        for Candidate { name, exported_since, .. } in &mut candidates {
            // A group that only this exporter has begun to export need not stay: a new exporter exports the first groups that
            // it sees, and these would replace busy ones at all exporters.
            let since = exported_since.map(|since| moment.by_redis(since));
            *exported_since =
                since.filter(|since| !groups::is_recent(*since, moment.redis) || self.stats.is_agreed(name));
        }
        self.manifest.groups = round;
        Some(set(&self.name.groups(), &groups::to_json(&candidates), SHORT_EXPIRY_MS))
    }

    /// The users who went offline, if any did in the last minute.
    fn disconnects(&mut self, moment: &Moment, round: u64) -> Option<Cmd> {
        let (new, untold) = self.stats.take_disconnects();
        let by_redis = |Disconnect { key, at }| Disconnect { key, at: moment.by_redis(at) };
        let dropped = untold + self.outbox.add(new.into_iter().map(by_redis));
        if dropped > 0 {
            self.telemetry.disconnects_dropped(dropped);
        }
        self.outbox.expire(moment.redis);
        if self.outbox.is_empty() {
            return None;
        }
        self.manifest.disconnects = round;
        Some(set(&self.name.disconnects(), &self.outbox.to_bytes(), SHORT_EXPIRY_MS))
    }
}
