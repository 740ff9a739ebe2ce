//! Distinct senders, users and groups of a period.

use std::io;
use std::sync::atomic::AtomicU64;

use super::columns::GAUGES;
use super::step::Step;
use crate::arena::{Block, Contents};
use crate::domain::{Calendar, UnixMillis};
use crate::stats::carry::CarryOver;
use crate::stats::distinct::Distinct as What;
use crate::stats::hyperloglog::{Union, merge_into};
use crate::stats::sketch_ring::SketchRing;
use crate::stats::timeline::Tick;
use crate::stats::windows::{MINUTE_MS, Windows};

/// The distinct numbers of a period: all of [`Gauge`](super::columns::Gauge) but the last, in this order.
pub(super) type Distinct = [u64; GAUGES - 1];

/// Complete days whose registers are kept: as many as the history has hours for.
pub(super) const DAYS: usize = 35;

/// The word for the period in the names of the sections.
const PERIOD: &str = "calendar day";

/// What is distinct: senders of group messages, senders of single messages, other active users, and groups.
#[derive(Clone, Copy, Debug)]
pub(in crate::stats) struct Sources<'a>(pub(in crate::stats) [&'a Windows; 4]);

const NAMES: [&str; 4] = ["senders", "single senders", "users", "active groups"];

/// The sketches of each calendar day for each of [`Sources`].
#[derive(Debug)]
pub(super) struct CalendarDays([SketchRing; NAMES.len()]);

impl CalendarDays {
    pub(super) fn reserve(contents: &mut Contents) {
        // Also the current day and the next.
        NAMES.into_iter().for_each(|name| SketchRing::reserve(contents, name, PERIOD, DAYS + 2));
    }

    pub(super) fn open(block: &Block) -> io::Result<Self> {
        let [group, single, users, groups] = NAMES.map(|name| SketchRing::open(block, name, PERIOD));
        Ok(Self([group?, single?, users?, groups?]))
    }

    pub(super) fn carry_from(&self, old: &CarryOver<'_>) {
        self.0.iter().zip(NAMES).for_each(|(ring, name)| ring.carry_from(old, name, PERIOD));
    }

    pub(super) fn is_plausible(&self) -> bool {
        self.0.iter().all(|ring| ring.is_plausible(Calendar::default().day_of(UnixMillis(i64::MAX)).0 + 1))
    }

    /// Adds what came in the last minutes to the calendar days. Adding something twice changes nothing. After a start,
    /// all minutes that are still known are added, because the previous process may have been killed between two ticks.
    pub(super) fn tick(&self, sources: Sources<'_>, tick: Tick, calendar: &Calendar, is_first: bool) {
        let [expected, now, continued] = [tick.expected, tick.now, tick.continued].map(|time| calendar.day_of(time).0);
        let minute = tick.now.period(MINUTE_MS);
        for (days, windows) in self.0.iter().zip(sources.0) {
            days.prepare([expected, now, continued]);
            let [minutes, ..] = windows.rings();
            let is_recent = |at: u64| at <= minute && (is_first || at + 1 >= minute);
            for (at, sketch) in minutes.sketches().filter(|(at, _)| is_recent(*at)) {
                let day = calendar.day_of(begin_of_minute(at)).0;
                if let Some(position) = days.position_for(day, now.saturating_sub(DAYS as u64)) {
                    merge_into(sketch, days.sketch(position));
                }
            }
        }
    }

    /// The distinct numbers of a period; `None` if its sketches are no longer there.
    pub(super) fn of_period(&self, sources: Sources<'_>, step: Step, period: u64) -> Option<Distinct> {
        let sketches = self.sketches_of(sources, step, period);
        sketches.iter().any(Option::is_some).then(|| distinct(sketches))
    }

    /// The sketches of the days, with their numbers.
    pub(super) fn sketches(&self, of: What) -> impl Iterator<Item = (u64, &[AtomicU64])> {
        self.0.iter().zip(What::ALL).filter(move |(_, name)| *name == of).flat_map(|(ring, _)| ring.sketches())
    }

    /// The senders of messages of either kind on a day; `None` if the day's sketches are not there.
    pub(super) fn senders_of_day(&self, day: u64) -> Option<Union> {
        let Self([group, single, ..]) = self;
        let mut senders = Union::default();
        [group, single].into_iter().try_for_each(|ring| ring.sketch_of(day).map(|sketch| senders.merge(sketch)))?;
        Some(senders)
    }

    fn sketches_of<'a>(
        &'a self,
        Sources(windows): Sources<'a>,
        step: Step,
        period: u64,
    ) -> [Option<&'a [AtomicU64]>; NAMES.len()] {
        let [group, single, users, groups] = &self.0;
        let rings = windows.map(Windows::rings);
        let rings = match step {
            Step::Minute => rings.map(|[minutes, ..]| minutes),
            Step::Hour => rings.map(|[_, hours, _]| hours),
            Step::Day => [group, single, users, groups],
        };
        rings.map(|ring| ring.sketch_of(period))
    }
}

fn begin_of_minute(minute: u64) -> UnixMillis {
    UnixMillis(minute.saturating_mul(MINUTE_MS).try_into().unwrap_or(i64::MAX))
}

fn distinct([group, single, users, groups]: [Option<&[AtomicU64]>; NAMES.len()]) -> Distinct {
    let [group, single, users, groups] = [group, single, users, groups].map(Option::unwrap_or_default);
    let of = |sketches: &[&[AtomicU64]]| {
        let mut union = Union::default();
        sketches.iter().for_each(|sketch| union.merge(sketch));
        union.estimate()
    };
    [of(&[group]), of(&[single]), of(&[group, single]), of(&[group, single, users]), of(&[groups])]
}
