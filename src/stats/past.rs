//! The statistics' part of the history: what it stores, and reading it.

use std::borrow::Cow;

use super::groups::{Group, Week};
use super::history::{Period, Sample, Sources, Step};
use super::recording::Stats;
use super::timeline::Tick;
use crate::domain::{Activity, Calendar, Chat, UnixMillis};

/// The days after which the retention of senders is exposed: the label value, and the number of days.
pub const RETENTION: [(&str, u64); 3] = [("1d", 1), ("7d", 7), ("28d", 28)];

impl Stats {
    /// Sets the calendar of the history's days.
    #[must_use]
    pub fn in_calendar(mut self, calendar: Calendar) -> Self {
        self.history.set_calendar(calendar);
        self
    }

    /// The calendar of the history's days.
    #[must_use]
    pub const fn calendar(&self) -> &Calendar {
        self.history.calendar()
    }

    /// The current values of the counters that the history has.
    pub(super) fn sample(&self) -> Sample {
        let [group, single] = [&self.group_messages, &self.single_messages];
        Sample::new(
            [group, single].map(|messages| messages.mix.by_type().collect()),
            |activity: Activity| self.activity(activity),
            self.refusals().fold(0, |sum, (_, count)| sum.wrapping_add(count)),
            [&mut group.delays.delivery_values(), &mut single.delays.delivery_values()],
        )
    }

    pub(super) fn tick_history(&self, tick: Tick) {
        let online = self.users_online().map(|(_, users)| users as u64).sum();
        self.history.tick(tick, &self.sample(), self.distinct_sources(), online);
        if self.weeks.is_due(tick.now) {
            let exported = || self.exported_groups().into_iter().filter_map(|slot| self.group(slot)).collect();
            self.weeks.update(exported, self.calendar(), self.started(), self.calendar().day_of(tick.now));
        }
    }

    /// The messages of an exported group in the last days; `None` if the group is not exported.
    #[must_use]
    pub fn group_week(&self, group: &Group, now: UnixMillis) -> Option<Week> {
        let today = || self.calendar().day_of(self.timeline.at(now));
        group.is_exported.then(|| self.weeks.read(group, self.calendar(), today())).flatten()
    }

    /// The time that the statistics use at this time of the clock, which may be wrong.
    pub(crate) fn time(&self, clock: UnixMillis) -> UnixMillis {
        self.timeline.at(clock)
    }

    const fn distinct_sources(&self) -> Sources<'_> {
        Sources([&self.group_messages.senders, &self.single_messages.senders, &self.users, &self.active_groups])
    }

    /// The periods of the history that begin at `from` or later, and before `to`, the earliest first. A period during
    /// which the exporter did not run is missing.
    #[must_use]
    pub fn history(&self, step: Step, from: UnixMillis, to: UnixMillis, now: UnixMillis) -> Vec<Period> {
        self.history.read(step, (from, to), self.timeline.at(now), self.distinct_sources())
    }

    /// Messages of a kind in a period by content type, without zeros. Empty for minutes.
    pub fn content_types_of<'a>(
        &'a self,
        period: &'a Period,
        chat: Chat,
    ) -> impl Iterator<Item = (Cow<'static, str>, u64)> + 'a {
        let counted = period.by_type(chat).iter().copied().enumerate().filter(|(_, messages)| *messages > 0);
        counted.filter_map(move |(row, messages)| Some((self.messages_of(chat).mix.type_label(row)?, messages)))
    }

    /// Of the people who sent messages on the calendar day `after` days before yesterday, the share that also sent
    /// messages yesterday. `None` if one of the days is not known, or nobody sent messages on the first.
    ///
    /// The error is within 0.03 while the two days have similar numbers of people.
    #[must_use]
    pub fn sender_retention(&self, after: u64, now: UnixMillis) -> Option<f64> {
        self.history.sender_retention(after, self.timeline.at(now))
    }
}
