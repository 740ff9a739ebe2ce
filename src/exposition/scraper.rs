//! One scrape, chunk by chunk: whoever wants the next chunk has it written then, and nothing is held meanwhile.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use prometheus::proto::MetricFamily;

use super::catalog::{self, Family};
use super::format::Format;
use super::own;
use super::writer::{FamilyWriter, MILLISECONDS, Observed, Writer};
use crate::domain::UnixMillis;
use crate::domain::codes::{OTHER, STATUSES};
use crate::stats::{ClockError, Group, MixCell, RetirementPause, StateStart, Stats, WINDOWS};
use crate::telemetry::Telemetry;

/// A chunk is full once it has as many bytes; it then ends with the row, or with the small families, that filled it.
pub const CHUNK_BYTES: usize = 64 * 1024;

/// What is scraped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everything, with series of the exported groups only.
    Metrics,
    /// What there is by group, of every tracked group.
    Groups,
}

impl Scope {
    /// The parts in the catalogue's order. Messages are counted by group before they are counted in all, so the total
    /// is read before the groups, and what no group carries any more after them: no message is missed.
    const fn parts(self) -> &'static [Part] {
        match self {
            Self::Metrics => &[
                Part::Messages,
                Part::ByStatus,
                Part::ByGroup,
                Part::Folded,
                Part::Mentions,
                Part::SizesAndDelays,
                Part::Windows,
                Part::GroupSenders,
                Part::GroupCounts,
                Part::PairCounts,
                Part::Repeats,
                Part::StateStart,
                Part::Own,
                Part::End,
            ],
            Self::Groups => &[
                Part::PauseRetirement,
                Part::Messages,
                Part::ByGroup,
                Part::Folded,
                Part::GroupSenders,
                Part::GroupCounts,
                Part::End,
            ],
        }
    }
}

/// What is written, or begun, in one go.
#[derive(Clone, Copy, Debug)]
enum Part {
    PauseRetirement,
    Messages,
    ByStatus,
    ByGroup,
    Folded,
    Mentions,
    SizesAndDelays,
    Windows,
    GroupSenders,
    GroupCounts,
    PairCounts,
    Repeats,
    StateStart,
    Own,
    End,
}

/// What is left of the part that was begun last.
enum Rows {
    None,
    /// Read at once, so that the cells stay the same ones over several chunks. There are about two thousand.
    Mix(std::vec::IntoIter<MixCell>),
    /// The groups from this place among [`Slots`] on.
    Groups(GroupFamily, usize),
    /// The exporter's own families, and when their counters began.
    Own(Option<UnixMillis>, std::vec::IntoIter<MetricFamily>),
}

/// The families that have a row for each group.
#[derive(Clone, Copy)]
enum GroupFamily {
    Messages,
    ActiveSenders,
}

impl GroupFamily {
    const fn family(self) -> &'static Family {
        match self {
            Self::Messages => &catalog::BY_GROUP,
            Self::ActiveSenders => &catalog::GROUP_ACTIVE_SENDERS,
        }
    }

    /// Writes a group's row. Its counter began with its first message, or with all counters, if those began later.
    fn row(self, group: &Group, began: UnixMillis, rows: &mut FamilyWriter<'_, '_>) {
        match self {
            Self::Messages => rows.sample_since([&group.name], group.messages, group.created.max(began)),
            Self::ActiveSenders => {
                let [hour, day] = group.active_senders.map(u64::from);
                rows.sample([&group.name, "1h"], hour).sample([&group.name, "24h"], day)
            }
        };
    }
}

/// The slots of the groups that are shown, the same ones in each family.
enum Slots {
    Listed(Vec<u32>),
    Below(usize),
}

impl Slots {
    fn get(&self, place: usize) -> Option<u32> {
        match self {
            Self::Listed(slots) => slots.get(place).copied(),
            Self::Below(end) => (place < *end).then_some(place).and_then(|slot| u32::try_from(slot).ok()),
        }
    }
}

/// A scrape that is being written.
pub struct Scraper {
    stats: Arc<Stats>,
    telemetry: Arc<Telemetry>,
    scope: Scope,
    format: Format,
    /// The end of the windows.
    now: UnixMillis,
    parts: std::slice::Iter<'static, Part>,
    rows: Rows,
    slots: Slots,
    pause: Option<RetirementPause>,
    series: usize,
}

impl Scraper {
    /// A scrape of which nothing is written yet, as of `now`. Reads nothing yet and takes no lock.
    #[must_use]
    pub fn new(scope: Scope, format: Format, stats: Arc<Stats>, telemetry: Arc<Telemetry>, now: UnixMillis) -> Self {
        Self {
            stats,
            telemetry,
            scope,
            format,
            now,
            parts: scope.parts().iter(),
            rows: Rows::None,
            slots: Slots::Below(0),
            pause: None,
            series: 0,
        }
    }

    /// What is scraped.
    #[must_use]
    pub const fn scope(&self) -> Scope {
        self.scope
    }

    /// Series that were written so far.
    #[must_use]
    pub const fn series(&self) -> usize {
        self.series
    }

    /// Writes the next chunk behind what `out` holds, until that is [`CHUNK_BYTES`] or a little more. Returns whether there
    /// is more to come; if not, what was written is the end, and may be short.
    pub fn next_chunk(&mut self, out: &mut Vec<u8>) -> bool {
        let mut writer = Writer::new(self.format, Some(self.stats.started()), out);
        let mut has_more = true;
        while has_more && writer.len() < CHUNK_BYTES {
            if !self.write_row(&mut writer) {
                match self.parts.next() {
                    Some(part) => self.begin(*part, &mut writer),
                    None => has_more = false,
                }
            }
        }
        self.series += writer.series();
        has_more
    }

    /// Writes a small part, or the head of one that has many rows.
    fn begin(&mut self, part: Part, writer: &mut Writer<'_>) {
        let stats = &self.stats;
        match part {
            Part::PauseRetirement => self.pause = Some(stats.pause_retirement(self.now)),
            Part::Messages => {
                writer.family(&catalog::MESSAGES);
                self.rows = Rows::Mix(stats.mix().collect::<Vec<_>>().into_iter());
            }
            Part::ByStatus => by_status(stats, writer),
            Part::ByGroup => {
                self.slots = match self.scope {
                    Scope::Metrics => Slots::Listed(stats.exported_groups()),
                    Scope::Groups => Slots::Below(stats.group_slots()),
                };
                self.begin_groups(GroupFamily::Messages, writer);
            }
            Part::Folded => folded(stats, writer),
            Part::Mentions => mentions(stats, writer),
            Part::SizesAndDelays => sizes_and_delays(stats, writer),
            Part::Windows => windows(stats, self.now, writer),
            Part::GroupSenders => self.begin_groups(GroupFamily::ActiveSenders, writer),
            Part::GroupCounts => group_counts(stats, writer),
            Part::PairCounts => pair_counts(stats, writer),
            Part::Repeats => repeats(stats, writer),
            Part::StateStart => state_start(stats, writer),
            Part::Own => {
                let families = self.telemetry.gather();
                self.rows = Rows::Own(own::process_start(&families), families.into_iter());
            }
            Part::End => {
                self.pause = None;
                writer.end();
            }
        }
    }

    fn begin_groups(&mut self, family: GroupFamily, writer: &mut Writer<'_>) {
        writer.family(family.family());
        self.rows = Rows::Groups(family, 0);
    }

    /// Writes one more row of the part that was begun last. Returns whether there was one.
    fn write_row(&mut self, writer: &mut Writer<'_>) -> bool {
        match &mut self.rows {
            Rows::None => return false,
            Rows::Mix(cells) => {
                let Some(cell) = cells.next() else { return false };
                let labels = [&*cell.content_type, cell.platform, cell.source];
                writer.rows(&catalog::MESSAGES).sample(labels, cell.messages);
            }
            Rows::Groups(family, place) => {
                let Some(slot) = self.slots.get(*place) else { return false };
                *place += 1;
                if let Some(group) = self.stats.group(slot) {
                    family.row(&group, self.stats.started(), &mut writer.rows(family.family()));
                }
            }
            Rows::Own(began, families) => {
                let Some(family) = families.next() else { return false };
                own::write(&family, *began, writer);
            }
        }
        true
    }
}

fn by_status(stats: &Stats, writer: &mut Writer<'_>) {
    let mut family = writer.family(&catalog::BY_STATUS);
    for (status, messages) in STATUSES.into_iter().chain([OTHER]).zip(stats.by_status()) {
        family.sample([status], messages);
    }
}

fn folded(stats: &Stats, writer: &mut Writer<'_>) {
    let [capacity, retired] = [stats.folded_for_capacity(), stats.folded_retired()];
    writer.family(&catalog::FOLDED).sample(["capacity"], capacity).sample(["retired"], retired);
}

fn mentions(stats: &Stats, writer: &mut Writer<'_>) {
    let mut family = writer.family(&catalog::MENTIONS);
    family.sample(["user"], stats.mentioned_users()).sample(["all"], stats.mentioned_all());
}

fn sizes_and_delays(stats: &Stats, writer: &mut Writer<'_>) {
    let content_bytes = Observed::from_reading(&stats.content_bytes(), 1.0);
    writer.family(&catalog::CONTENT_BYTES).histogram(&content_bytes, &[]);
    // Before the buckets: a message is observed before it becomes an exemplar, so each of these has been counted.
    let exemplars = stats.delivery_exemplars();
    let delivery = Observed::from_reading(&stats.delivery_delays(), MILLISECONDS);
    writer.family(&catalog::DELIVERY_DELAY).histogram(&delivery, &exemplars);
    let submit = Observed::from_reading(&stats.submit_delays(), MILLISECONDS);
    writer.family(&catalog::SUBMIT_DELAY).histogram(&submit, &[]);
    let mut family = writer.family(&catalog::CLOCK_ERRORS);
    for kind in ClockError::ALL {
        family.sample([kind.name()], stats.clock_errors(kind));
    }
}

fn windows(stats: &Stats, now: UnixMillis, writer: &mut Writer<'_>) {
    let counts =
        [(&catalog::ACTIVE_SENDERS, stats.active_senders(now)), (&catalog::ACTIVE_GROUPS, stats.active_groups(now))];
    for (family, counts) in counts {
        let mut family = writer.family(family);
        for (window, count) in WINDOWS.into_iter().zip(counts) {
            family.sample([window.name], count);
        }
    }
}

fn group_counts(stats: &Stats, writer: &mut Writer<'_>) {
    writer.family(&catalog::GROUPS_TRACKED).sample([], stats.groups_tracked());
    writer.family(&catalog::GROUPS_CAPACITY).sample([], stats.groups_capacity());
    writer.family(&catalog::GROUPS_EXPORTED).sample([], stats.exported_groups().len());
    writer.family(&catalog::GROUPS_EXPORTED_CAPACITY).sample([], stats.exported_groups_capacity());
    writer.family(&catalog::GROUPS_RETIRED).sample([], stats.groups_retired());
}

fn pair_counts(stats: &Stats, writer: &mut Writer<'_>) {
    writer.family(&catalog::PAIRS_TRACKED).sample([], stats.sender_pairs_tracked());
    writer.family(&catalog::PAIRS_CAPACITY).sample([], stats.sender_pairs_capacity());
    writer.family(&catalog::PAIRS_EVICTED).sample([], stats.sender_pairs_evicted());
}

fn repeats(stats: &Stats, writer: &mut Writer<'_>) {
    writer.family(&catalog::REPEATS).sample([], stats.duplicates());
    writer.family(&catalog::MESSAGE_IDS_TRACKED).sample([], stats.message_ids_tracked());
    writer.family(&catalog::MESSAGE_IDS_CAPACITY).sample([], stats.message_ids_capacity());
    writer.family(&catalog::MESSAGE_IDS_EVICTED).sample([], stats.message_ids_evicted());
}

fn state_start(stats: &Stats, writer: &mut Writer<'_>) {
    let mut family = writer.family(&catalog::STATE_START);
    for start in StateStart::ALL {
        family.sample([start.name()], u64::from(start == stats.state_start()));
    }
}
