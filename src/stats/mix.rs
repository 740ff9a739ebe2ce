//! What the messages are made of: content type by platform by source.

use std::borrow::Cow;
use std::sync::atomic::Ordering;

use super::counters::Counters;
use crate::arena::{Place, Plan, Section};
use crate::domain::codes::{self, CONTENT_TYPES, OTHER, PLATFORMS, UNKNOWN_PLATFORM};
use crate::domain::{Message, Source};

/// Unlisted content types that are shown by their number; the ones after them are `other`.
pub const UNLISTED_TYPES: usize = 32;

const TYPES: usize = CONTENT_TYPES.len() + UNLISTED_TYPES + 1;
const PLATFORM_ROWS: usize = PLATFORMS.len() + 1;
const CELLS: usize = TYPES * PLATFORM_ROWS * Source::ALL.len();

/// Marks a word of the list of unlisted codes as taken; the code itself is in the low half.
const TAKEN: u64 = 1 << 32;

/// Messages by content type, platform and source.
#[derive(Debug)]
pub(super) struct Mix {
    cells: Counters,
    unlisted: Section,
}

/// Where [`Mix`] lies in the block.
#[derive(Clone, Copy)]
pub(super) struct Places {
    cells: Place,
    unlisted: Place,
}

/// One cell of the mix, with its labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MixCell {
    /// The content type's name, or its number, or `other`.
    pub content_type: Cow<'static, str>,
    /// The platform's name, or `unknown`.
    pub platform: &'static str,
    /// The source's name.
    pub source: &'static str,
    /// Messages counted.
    pub messages: u64,
}

impl Mix {
    pub(super) fn reserve(plan: &mut Plan) -> Places {
        Places {
            cells: Counters::reserve(plan, "mix", CELLS),
            unlisted: plan.reserve("unlisted content types", UNLISTED_TYPES),
        }
    }

    pub(super) fn over(places: Places, section: impl Fn(Place) -> std::io::Result<Section>) -> std::io::Result<Self> {
        Ok(Self { cells: Counters::over(section(places.cells)?, CELLS), unlisted: section(places.unlisted)? })
    }

    pub(super) fn record(&self, message: &Message<'_>) {
        let content_type = self.type_row(message.content_type);
        let platform = codes::platform_position(message.platform_id).unwrap_or(PLATFORMS.len());
        self.cells.add(cell(content_type, platform, message.source), 1);
    }

    /// Counts messages of which nothing is known any more: `other` by `unknown` by `other`.
    pub(super) fn add_unknown(&self, messages: u64) {
        self.cells.add(cell(TYPES - 1, PLATFORMS.len(), Source::Other), messages);
    }

    pub(super) const fn counters(&self) -> &Section {
        self.cells.section()
    }

    /// The codes that have places of their own, which mean something only together with the counters.
    pub(super) const fn unlisted(&self) -> &Section {
        &self.unlisted
    }

    /// The row of a content type: listed ones first, then the unlisted in the order in which they came, then `other`.
    fn type_row(&self, code: i32) -> usize {
        codes::content_type_position(code).unwrap_or_else(|| CONTENT_TYPES.len() + self.unlisted_position(code))
    }

    /// Finds an unlisted code's place, or takes the next free one. Lock-free: who loses the race for a word looks at
    /// what the winner put there.
    fn unlisted_position(&self, code: i32) -> usize {
        let mine = TAKEN | u64::from(code.cast_unsigned());
        self.unlisted
            .iter()
            .position(|word| {
                let seen = word.load(Ordering::Relaxed);
                seen == mine
                    || (seen == 0
                        && match word.compare_exchange(0, mine, Ordering::Relaxed, Ordering::Relaxed) {
                            Ok(_) => true,
                            Err(winner) => winner == mine,
                        })
            })
            .unwrap_or(UNLISTED_TYPES)
    }

    /// Every cell whose labels are known in advance, and every other one that has counted.
    pub(super) fn cells(&self) -> impl Iterator<Item = MixCell> + '_ {
        (0..TYPES).filter_map(|row| Some((row, self.type_label(row)?))).flat_map(move |(row, label)| {
            let known_in_advance = row < CONTENT_TYPES.len() || row + 1 == TYPES;
            (0..PLATFORM_ROWS).flat_map(move |platform| Source::ALL.map(|source| (platform, source))).filter_map(
                move |(platform, source)| {
                    let messages = self.cells.sum(cell(row, platform, source));
                    let platform = PLATFORMS.get(platform).copied().unwrap_or(UNKNOWN_PLATFORM);
                    (known_in_advance || messages > 0).then(|| MixCell {
                        content_type: label.clone(),
                        platform,
                        source: source.name(),
                        messages,
                    })
                },
            )
        })
    }

    fn type_label(&self, row: usize) -> Option<Cow<'static, str>> {
        if let Some((_, name)) = CONTENT_TYPES.get(row) {
            return Some(Cow::Borrowed(name));
        }
        let Some(word) = self.unlisted.get(row - CONTENT_TYPES.len()) else {
            return Some(Cow::Borrowed(OTHER));
        };
        let taken = word.load(Ordering::Relaxed);
        #[expect(clippy::cast_possible_truncation, reason = "the low half is the code")]
        let code = (taken as u32).cast_signed();
        (taken != 0).then(|| Cow::Owned(code.to_string()))
    }
}

const fn cell(content_type: usize, platform: usize, source: Source) -> usize {
    (content_type * PLATFORM_ROWS + platform) * Source::ALL.len() + source.index()
}
