//! The second half of a round: reads what is new at all exporters, this one included, and unites it.
//!
//! Minutes are read in each round, and are also merged into the longer stretches that contain them. So those are read
//! only in every sixth round. All exporters do so in the same rounds, and come to the same numbers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::commands::{bytes, get, members, newest};
use super::groups::Candidates;
use super::keys::{Name, REPLICAS};
use super::link::{Failure, Link};
use super::manifest::{self, Manifest, round_at};
use super::moment::{MAX_AHEAD_MS, Moment};
use super::place::{Current, Place};
use super::union::United;
use super::write::{BATCH, REPLICA_EXPIRY_MS};
use super::{disconnects, groups, registers};
use crate::domain::UnixMillis;
use crate::domain::codes::{PLATFORMS, platform_names};
use crate::stats::hyperloglog::Union;
use crate::stats::{Stats, Stretch};
use crate::telemetry::{DamagedPart, ReplicasFailure, ReplicasTelemetry};

/// Maximum number of exporters that are united: those that wrote last.
const MAX_REPLICAS: usize = 1000;

/// Rounds between two readings of longer stretches.
const LONGER_ROUNDS: u64 = 6;

/// Manifests in one pipeline: 0.8 MiB. Values that may be as large as a MiB are read one at a time.
const MANIFEST_BATCH: usize = 12;

/// An exporter is active if it wrote within this time, in milliseconds.
const ACTIVE_MS: i64 = 60_000;

/// How long users stay online after their exporter has ended, in milliseconds.
const ONLINE_MS: i64 = 1_800_000;

/// Unites the sketches of all exporters.
pub(super) struct Reader {
    name: Name,
    stats: Arc<Stats>,
    telemetry: Arc<ReplicasTelemetry>,
    is_stopping: Arc<AtomicBool>,
    /// A few hundred bytes for each of at most [`MAX_REPLICAS`].
    replicas: BTreeMap<Name, Replica>,
    united: United,
    online: [u64; PLATFORMS.len() + 1],
    has_read: bool,
}

/// What is known about an exporter.
#[derive(Debug, Default)]
struct Replica {
    /// Redis' time of its last write.
    written: i64,
    /// The same, at the last read of its manifest.
    read: Option<i64>,
    /// The rounds up to which its minutes and its longer stretches have been read.
    minutes: u64,
    longer: u64,
    /// The round of the last users who went offline, and of those that were read.
    disconnects: u64,
    disconnects_read: u64,
    has_groups: bool,
    /// The platforms with users online, by their position.
    online: Vec<usize>,
    /// Its time zone, if it differs from ours.
    other_zone: Option<String>,
}

impl Replica {
    fn wrote_within(&self, ms: i64, now: UnixMillis) -> bool {
        now.since(UnixMillis(self.written)).saturating_abs() <= ms
    }
}

impl Reader {
    pub(super) fn new(
        name: Name,
        stats: &Arc<Stats>,
        telemetry: &Arc<ReplicasTelemetry>,
        is_stopping: &Arc<AtomicBool>,
    ) -> Self {
        Self {
            name,
            stats: Arc::clone(stats),
            telemetry: Arc::clone(telemetry),
            is_stopping: Arc::clone(is_stopping),
            replicas: BTreeMap::new(),
            united: United::default(),
            online: Default::default(),
            has_read: false,
        }
    }

    pub(super) const fn united(&self) -> &United {
        &self.united
    }

    /// Redis' clock was set back: forgets what was for a time that has not come yet, and reads everything again.
    pub(super) fn begin_anew(&mut self, current: &Current) {
        self.united.forget_future(current);
        self.replicas.clear();
        self.has_read = false;
    }

    /// Reads what is new, and publishes the united numbers and the exported groups. Returns the number of active exporters.
    pub(super) fn read(&mut self, link: &mut Link, moment: &Moment) -> Result<usize, Failure> {
        // The numbers are as old as the beginning: a slow Redis may take minutes to answer everything.
        let (began, now) = (Instant::now(), moment.redis);
        let reads_longer = !self.has_read || round_at(now).is_multiple_of(LONGER_ROUNDS);
        self.united.prune(&moment.current);
        self.read_names(link, now)?;
        self.read_stretches(link, moment, reads_longer)?;
        self.read_online(link, now, reads_longer)?;
        self.agree_on_groups(link, moment)?;
        self.read_disconnects(link, moment)?;
        self.has_read = true;
        let mut counts = self.united.counts(&moment.current);
        counts.online = self.online;
        self.stats.set_united(counts, began);
        Ok(self.replicas.values().filter(|replica| replica.wrote_within(ACTIVE_MS, now)).count())
    }

    fn read_names(&mut self, link: &mut Link, now: UnixMillis) -> Result<(), Failure> {
        // Not names of the future, which would leave no room for those that are written now.
        let times = [now.0.saturating_sub_unsigned(REPLICA_EXPIRY_MS), now.0.saturating_add(MAX_AHEAD_MS)];
        let answer = link.send(&[newest(REPLICAS, times, MAX_REPLICAS)])?.pop().unwrap_or_default();
        let mut before = std::mem::take(&mut self.replicas);
        for (text, written) in members(answer) {
            let Some(name) = Name::parse(&text) else {
                self.telemetry.damaged(DamagedPart::Manifest, "(not a name)", now.0);
                continue;
            };
            let replica = Replica { written, ..before.remove(&name).unwrap_or_default() };
            self.replicas.insert(name, replica);
        }
        Ok(())
    }

    /// Reads the registers that changed since they were last read.
    fn read_stretches(&mut self, link: &mut Link, moment: &Moment, reads_longer: bool) -> Result<(), Failure> {
        let is_new = |replica: &Replica| replica.read != Some(replica.written);
        let is_due = |replica: &Replica| is_new(replica) || (reads_longer && replica.longer < replica.minutes);
        let due = self.replicas.iter().filter(|(_, replica)| is_due(replica));
        let due: Vec<_> = due.map(|(name, replica)| (name.clone(), replica.written)).collect();
        for names in due.chunks(MANIFEST_BATCH) {
            let commands: Vec<_> = names.iter().map(|(name, _)| get(&name.manifest(), manifest::MAX_BYTES)).collect();
            for ((name, written), answer) in names.iter().zip(link.send(&commands)?) {
                let json = bytes(answer);
                let is_missing = json.as_ref().is_some_and(Vec::is_empty);
                let manifest = json.and_then(|json| Manifest::parse(&json, moment.redis, &moment.current));
                match manifest {
                    Some(manifest) => {
                        self.unite(link, moment, name, &manifest, reads_longer)?;
                        if let Some(replica) = self.replicas.get_mut(name) {
                            replica.read = Some(*written);
                        }
                    }
                    None if is_missing => {}
                    None => self.telemetry.damaged(DamagedPart::Manifest, name.as_str(), moment.redis.0),
                }
            }
        }
        Ok(())
    }

    fn unite(
        &mut self,
        link: &mut Link,
        moment: &Moment,
        name: &Name,
        manifest: &Manifest,
        reads_longer: bool,
    ) -> Result<(), Failure> {
        let Some(replica) = self.replicas.get_mut(name) else { return Ok(()) };
        // Redis was restored from an older copy, or the exporter started again from an earlier round.
        if manifest.round < replica.minutes {
            (replica.minutes, replica.longer, replica.disconnects_read) = (0, 0, 0);
        }
        let has_our_dates = replica.check_zone(name, manifest, &self.stats, &self.telemetry);
        (replica.disconnects, replica.has_groups) = (manifest.disconnects, manifest.groups > 0);
        replica.online = manifest.online.keys().copied().collect();
        let (minutes, longer) = (replica.minutes, replica.longer);
        let is_wanted = |(place, round): &(&Place, &u64)| match place.stretch {
            Stretch::Minute => **round > minutes,
            Stretch::Hour | Stretch::Day => reads_longer && **round > longer,
            Stretch::Date => has_our_dates && reads_longer && **round > longer,
        };
        let wanted: Vec<_> = manifest.places.iter().filter(is_wanted).map(|(place, _)| *place).collect();
        for places in wanted.chunks(BATCH) {
            self.merge(link, moment, name, places, has_our_dates)?;
        }
        if let Some(replica) = self.replicas.get_mut(name) {
            replica.minutes = manifest.round;
            if reads_longer {
                replica.longer = manifest.round;
            }
        }
        Ok(())
    }

    fn merge(
        &mut self,
        link: &mut Link,
        moment: &Moment,
        name: &Name,
        places: &[Place],
        has_our_dates: bool,
    ) -> Result<(), Failure> {
        let commands: Vec<_> = places.iter().map(|place| get(&name.registers(*place), registers::BYTES)).collect();
        for (place, answer) in places.iter().zip(self.send(link, &commands)?) {
            let Some(registers) = self.registers(answer, name, moment.redis) else { continue };
            self.united.merge(*place, &registers);
            if place.stretch == Stretch::Minute {
                let longer = [Stretch::Hour, Stretch::Day, Stretch::Date];
                for stretch in longer.into_iter().filter(|stretch| has_our_dates || *stretch != Stretch::Date) {
                    self.united.merge(place.in_longer(stretch, self.stats.calendar()), &registers);
                }
            }
        }
        Ok(())
    }

    /// The registers in an answer. `None` if the key has expired, or if they are damaged.
    fn registers(&self, answer: redis::Value, name: &Name, now: UnixMillis) -> Option<Union> {
        let value = bytes(answer);
        let registers = value.as_deref().and_then(registers::unpack);
        if registers.is_none() && value.is_none_or(|value| !value.is_empty()) {
            self.telemetry.damaged(DamagedPart::Registers, name.as_str(), now.0);
        }
        registers
    }

    /// Counts the users online. Their registers can also decrease, so all are read: in every round if there are few,
    /// otherwise in every sixth.
    fn read_online(&mut self, link: &mut Link, now: UnixMillis, is_sixth: bool) -> Result<(), Failure> {
        let names: Vec<_> = platform_names().collect();
        let recent = self.replicas.iter().filter(|(_, replica)| replica.wrote_within(ONLINE_MS, now));
        let keys = recent.flat_map(|(name, replica)| replica.online.iter().map(move |position| (name, *position)));
        let keys: Vec<_> = keys.filter_map(|(name, at)| Some((name, at, name.online(names.get(at)?)))).collect();
        if keys.len() > BATCH && !is_sixth {
            return Ok(());
        }
        let mut unions = vec![Union::default(); names.len()];
        for keys in keys.chunks(BATCH) {
            let commands: Vec<_> = keys.iter().map(|(_, _, key)| get(key, registers::BYTES)).collect();
            for ((name, position, _), answer) in keys.iter().zip(self.send(link, &commands)?) {
                if let (Some(registers), Some(union)) = (self.registers(answer, name, now), unions.get_mut(*position)) {
                    union.merge_union(&registers);
                }
            }
        }
        self.online.iter_mut().zip(&unions).for_each(|(users, union)| *users = union.estimate());
        Ok(())
    }

    /// Exports the groups on which all active exporters agree, because they have the same candidates.
    fn agree_on_groups(&self, link: &mut Link, moment: &Moment) -> Result<(), Failure> {
        let limit = self.stats.exported_groups_capacity();
        if limit == 0 {
            return Ok(());
        }
        let mut candidates = Candidates::default();
        for (name, _) in self.active(moment.redis).filter(|(_, replica)| replica.has_groups) {
            let answers = self.send(link, &[get(&name.groups(), groups::MAX_BYTES)])?;
            let json = bytes(answers.into_iter().next().unwrap_or_default());
            let is_expired = json.as_ref().is_some_and(Vec::is_empty);
            match json.and_then(|json| groups::parse(&json, moment.redis)) {
                Some(read) => candidates.add(read),
                None if is_expired => {}
                None => self.telemetry.damaged(DamagedPart::Groups, name.as_str(), moment.redis.0),
            }
        }
        // The beginning of the round is the same for all exporters.
        let round_ms = manifest::ROUND_MS.cast_signed();
        let begin = UnixMillis(moment.redis.0.div_euclid(round_ms) * round_ms);
        let mut agreed = candidates.agree(limit, begin);
        agreed.iter_mut().for_each(|(_, since)| *since = moment.by_stats(*since));
        self.stats.export_agreed(&agreed);
        Ok(())
    }

    /// Removes the users who went offline at another exporter.
    fn read_disconnects(&mut self, link: &mut Link, moment: &Moment) -> Result<(), Failure> {
        let is_due =
            |(name, replica): &(&Name, &Replica)| **name != self.name && replica.disconnects > replica.disconnects_read;
        let due: Vec<_> = self.active(moment.redis).filter(is_due).map(|(name, _)| name.clone()).collect();
        for name in due {
            let answers = self.send(link, &[get(&name.disconnects(), disconnects::MAX_BYTES)])?;
            let value = bytes(answers.into_iter().next().unwrap_or_default());
            match value.and_then(|value| disconnects::parse(&value, moment.redis)) {
                Some(mut read) => {
                    read.iter_mut().for_each(|disconnect| disconnect.at = moment.by_stats(disconnect.at));
                    self.stats.apply_disconnects(&read);
                }
                None => self.telemetry.damaged(DamagedPart::Disconnects, name.as_str(), moment.redis.0),
            }
            if let Some(replica) = self.replicas.get_mut(&name) {
                replica.disconnects_read = replica.disconnects;
            }
        }
        Ok(())
    }

    /// The exporters that wrote in the last minute, in the order of their names.
    fn active(&self, now: UnixMillis) -> impl Iterator<Item = (&Name, &Replica)> {
        self.replicas.iter().filter(move |(_, replica)| replica.wrote_within(ACTIVE_MS, now))
    }

    /// Sends commands, unless the exporter is about to stop: reading everything for the first time may take a while.
    fn send(&self, link: &mut Link, commands: &[redis::Cmd]) -> Result<Vec<redis::Value>, Failure> {
        if self.is_stopping.load(Ordering::Relaxed) {
            return Err(Failure { reason: ReplicasFailure::Other, message: "the exporter is stopping".to_owned() });
        }
        link.send(commands)
    }
}

impl Replica {
    /// Whether the exporter's dates are in our time zone. A different one is logged when it is first seen.
    fn check_zone(&mut self, name: &Name, manifest: &Manifest, stats: &Stats, telemetry: &ReplicasTelemetry) -> bool {
        if manifest.time_zone == stats.calendar().zone_name() {
            self.other_zone = None;
        } else if self.other_zone.as_ref() != Some(&manifest.time_zone) {
            telemetry.other_time_zone(name.as_str(), &manifest.time_zone);
            self.other_zone = Some(manifest.time_zone.clone());
        }
        self.other_zone.is_none()
    }
}
