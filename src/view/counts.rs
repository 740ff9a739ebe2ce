//! Numbers by the value of a label.

use std::borrow::Cow;

use serde::{Serialize, Serializer};

use crate::domain::codes::platform_names;
use crate::domain::{Chat, Source};
use crate::stats::{Stats, WINDOWS};

/// Numbers by the value of a label: a JSON object, in this order.
#[derive(Clone, Debug, Default)]
pub(super) struct LabelCounts(Vec<(Cow<'static, str>, u64)>);

impl Serialize for LabelCounts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, count)| (name, count)))
    }
}

impl LabelCounts {
    pub(super) fn of(counts: impl IntoIterator<Item = (&'static str, u64)>) -> Self {
        Self(counts.into_iter().map(|(name, count)| (name.into(), count)).collect())
    }

    /// One number for each of [`WINDOWS`].
    pub(super) fn by_window(counts: [u64; WINDOWS.len()]) -> Self {
        Self::of(WINDOWS.iter().map(|window| window.name).zip(counts))
    }

    pub(super) fn users_online(stats: &Stats) -> Self {
        Self::of(stats.users_online().map(|(platform, users)| (platform, users as u64)))
    }

    fn add(&mut self, name: impl Into<Cow<'static, str>>, count: u64) {
        let name = name.into();
        match self.0.iter_mut().find(|(found, _)| *found == name) {
            Some((_, sum)) => *sum += count,
            None => self.0.push((name, count)),
        }
    }

    /// Without the zeros, of which there may be dozens.
    pub(super) fn non_zero(mut self) -> Self {
        self.0.retain(|(_, count)| *count > 0);
        self
    }

    /// Saturates: what another exporter wrote to Redis may be the estimate of a number beyond all limits.
    pub(super) fn sum(&self) -> u64 {
        self.0.iter().fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }
}

/// Messages of one kind: the total and its parts come from one reading of the mix, so that they agree.
#[derive(Debug, Default)]
pub(super) struct MixCounts {
    pub(super) total: u64,
    pub(super) by_content_type: LabelCounts,
    pub(super) by_platform: LabelCounts,
    pub(super) by_source: LabelCounts,
}

impl MixCounts {
    pub(super) fn read(stats: &Stats, chat: Chat) -> Self {
        // Also without messages.
        let by_platform = LabelCounts::of(platform_names().map(|name| (name, 0)));
        let by_source = LabelCounts::of(Source::ALL.map(|source| (source.name(), 0)));
        let mut counts = Self { by_platform, by_source, ..Self::default() };
        for cell in stats.mix(chat) {
            counts.total += cell.messages;
            counts.by_content_type.add(cell.content_type, cell.messages);
            counts.by_platform.add(cell.platform, cell.messages);
            counts.by_source.add(cell.source, cell.messages);
        }
        Self { by_content_type: counts.by_content_type.non_zero(), ..counts }
    }
}
