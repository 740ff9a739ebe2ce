//! Families with rows for each group. There may be a million groups, so their rows are written in several chunks.

use crate::domain::UnixMillis;
use crate::exposition::catalog::{Family, OfGroup};
use crate::exposition::writer::Writer;
use crate::stats::{RetirementPause, SlotSet, Stats};

/// Up to this many groups are written at once in a format that has a family's length before the family. They take half
/// a megabyte at most.
const MAX_AT_ONCE: usize = 2048;

/// A group was retired or dismissed after the length of its row was announced. This happens only to clients that read
/// slowly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a group was removed while it was being written")]
pub struct GroupRemoved;

/// The slots of the scraped groups, which are the same in each family.
pub(super) enum Slots {
    Set(SlotSet),
    Below(usize),
}

impl Slots {
    /// The first slot at or above `from`.
    fn next(&self, from: u32) -> Option<u32> {
        match self {
            Self::Set(slots) => slots.next(from),
            Self::Below(end) => ((from as usize) < *end).then_some(from),
        }
    }

    fn iter(&self) -> impl Iterator<Item = u32> {
        std::iter::successors(self.next(0), |slot| self.next(slot + 1))
    }

    fn len(&self) -> usize {
        match self {
            Self::Set(slots) => slots.len(),
            Self::Below(end) => *end,
        }
    }
}

/// The rows of a family that are not written yet.
pub(super) struct GroupRows {
    family: &'static Family,
    write: OfGroup,
    /// All slots below this one are done.
    from: u32,
    announced: Option<Announced>,
}

/// The rows whose length is written before them.
struct Announced {
    /// The slots that have rows.
    slots: SlotSet,
    bytes_left: usize,
    /// While no group is removed, the rows keep their lengths, whatever is counted.
    _pause: RetirementPause,
}

impl GroupRows {
    /// Begins a family. Returns its rows, unless all of them are written already.
    pub(super) fn begin(
        family: &'static Family,
        write: OfGroup,
        (stats, slots): (&Stats, &Slots),
        now: UnixMillis,
        writer: &mut Writer<'_>,
    ) -> Option<Self> {
        let mut rows = Self { family, write, from: 0, announced: None };
        if !writer.has_lengths() {
            writer.family(family);
            return Some(rows);
        }
        if slots.len() <= MAX_AT_ONCE {
            let mut of_family = writer.family(family);
            for slot in slots.iter() {
                if let Some(group) = &stats.group(slot) {
                    write(group, stats.started(), &mut of_family);
                }
            }
            return None;
        }
        let announced = rows.measure((stats, slots), now, writer);
        // A family without a metric is left out.
        (announced.bytes_left > 0).then(|| {
            writer.family_of_length(family, announced.bytes_left);
            rows.announced = Some(announced);
            rows
        })
    }

    /// Finds out which groups there are, and the length of their rows.
    fn measure(&self, (stats, slots): (&Stats, &Slots), now: UnixMillis, writer: &Writer<'_>) -> Announced {
        let pause = stats.pause_retirement(now);
        let mut announced = Announced { slots: SlotSet::default(), bytes_left: 0, _pause: pause };
        let mut row = Vec::new();
        let mut writer = writer.like(&mut row);
        for slot in slots.iter() {
            if let Some(group) = &stats.group(slot) {
                writer.clear();
                (self.write)(group, stats.started(), &mut writer.rows(self.family));
                announced.bytes_left += writer.len();
                announced.slots.insert(slot);
            }
        }
        announced
    }

    /// Writes the rows of the next group. Returns whether there was one.
    ///
    /// # Errors
    /// When the rows differ from those that were announced. What was written must then be discarded.
    pub(super) fn write_next(
        &mut self,
        (stats, slots): (&Stats, &Slots),
        writer: &mut Writer<'_>,
    ) -> Result<bool, GroupRemoved> {
        let (next, is_whole) = match &self.announced {
            Some(announced) => (announced.slots.next(self.from), announced.bytes_left == 0),
            None => (slots.next(self.from), true),
        };
        let Some(slot) = next else { return if is_whole { Ok(false) } else { Err(GroupRemoved) } };
        self.from = slot + 1;
        let before = writer.len();
        // By reference: moving a group out of the `Option` takes time.
        if let Some(group) = &stats.group(slot) {
            (self.write)(group, stats.started(), &mut writer.rows(self.family));
        }
        if let Some(announced) = &mut self.announced {
            let written = writer.len() - before;
            announced.bytes_left = announced.bytes_left.checked_sub(written).ok_or(GroupRemoved)?;
        }
        Ok(true)
    }
}
