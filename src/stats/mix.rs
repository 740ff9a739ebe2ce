//! What the messages are made of: content type by platform by source.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};

use super::carry::{Carry, keys};
use super::counters::Counters;
use crate::arena::{Layout, Place, Plan, Section};
use crate::domain::codes::{self, CONTENT_TYPES, OTHER, PLATFORMS, UNKNOWN_PLATFORM};
use crate::domain::{Message, Source};

/// Unlisted content types that are shown by their number; the ones after them are `other`.
pub const UNLISTED_TYPES: usize = 32;

/// Version of the layout of the list of unlisted codes.
const LAYOUT: u32 = 1;

/// The list of unlisted codes.
const UNLISTED: &str = "unlisted content types";

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
            cells: Counters::reserve(plan, "mix", axes()),
            unlisted: plan.reserve(Layout::of(UNLISTED, LAYOUT, size_of::<u64>(), UNLISTED_TYPES)),
        }
    }

    /// Adds what a stored mix counted. A content type is known by its code, whether or not it was listed then and is
    /// listed now. A platform or a source that has no name any more is counted as unknown.
    /// False if the stored list of unlisted codes cannot have been made by counting.
    pub(super) fn carry(&self, carry: &Carry<'_>) -> bool {
        let stored = carry.section(UNLISTED, LAYOUT, size_of::<u64>());
        let codes = stored.as_ref().map_or(Some(Vec::new()), |stored| taken_codes(stored));
        let Some(codes) = codes else { return false };
        // In their order: so each keeps its place, also if one that is not listed any more needs a place too.
        codes.iter().for_each(|code| {
            self.type_row(*code);
        });
        let type_row = |key: &str| {
            let unlisted = || key.strip_prefix("unlisted ")?.parse::<usize>().ok()?.checked_sub(1);
            let code = key.parse().ok().or_else(|| codes.get(unlisted()?).copied());
            code.map_or(TYPES - 1, |code| self.type_row(code))
        };
        let source = |key: &str| Source::ALL.into_iter().find(|source| source.name() == key).unwrap_or(Source::Other);
        let platform = |key: &str| PLATFORMS.iter().position(|name| *name == key).unwrap_or(PLATFORMS.len());
        self.cells.carry_cells(carry, "mix", |keys| match keys {
            [code, on, from] => Some(cell(type_row(code), platform(on), source(from))),
            _ => None,
        });
        true
    }

    /// Whether the list of unlisted codes can have been made by counting, by this program.
    pub(super) fn is_plausible(&self) -> bool {
        let is_unlisted = |code: &i32| codes::content_type_position(*code).is_none();
        taken_codes(&self.unlisted).is_some_and(|codes| codes.iter().all(is_unlisted))
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
        taken_code(word.load(Ordering::Relaxed)).map(|code| Cow::Owned(code.to_string()))
    }
}

/// The keys of the cells.
fn axes() -> Vec<Vec<String>> {
    let listed = CONTENT_TYPES.iter().map(|(code, _)| code.to_string());
    let unlisted = (1..=UNLISTED_TYPES).map(|number| format!("unlisted {number}"));
    vec![
        keys(listed.chain(unlisted).chain([OTHER.to_owned()])),
        keys(PLATFORMS.into_iter().chain([UNKNOWN_PLATFORM])),
        keys(Source::ALL.map(Source::name)),
    ]
}

/// The code in a word of the list of unlisted ones; `None` in a free word, or one that holds something else.
const fn taken_code(word: u64) -> Option<i32> {
    #[expect(clippy::cast_possible_truncation, reason = "the low half is the code")]
    let code = (word as u32).cast_signed();
    if word >> 32 == 1 { Some(code) } else { None }
}

/// The codes in a list of unlisted ones: each once, one after the other, and nothing else behind them. `None` if it holds
/// something else.
fn taken_codes(list: &[AtomicU64]) -> Option<Vec<i32>> {
    let words: Vec<_> = list.iter().map(|word| word.load(Ordering::Relaxed)).collect();
    let (taken, free) = words.split_at(words.iter().take_while(|word| **word != 0).count());
    let is_new = |(position, word): (usize, &u64)| !taken.iter().take(position).any(|other| other == word);
    let is_right = free.iter().all(|word| *word == 0) && taken.iter().enumerate().all(is_new);
    is_right.then(|| taken.iter().map(|word| taken_code(*word)).collect()).flatten()
}

const fn cell(content_type: usize, platform: usize, source: Source) -> usize {
    (content_type * PLATFORM_ROWS + platform) * Source::ALL.len() + source.index()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::arena::{Arena, Stored};

    fn mix_in(plan: &mut Plan) -> (Arc<Arena>, Mix) {
        let places = Mix::reserve(plan);
        let arena = Arena::anonymous(plan).unwrap();
        let mix = Mix::over(places, |place| arena.section(place)).unwrap();
        (arena, mix)
    }

    fn record(mix: &Mix, code: i32, messages: usize) {
        let message = Message { content_type: code, ..Message::of("g", "u") };
        (0..messages).for_each(|_| mix.record(&message));
    }

    /// Messages by content type, of those that have counted.
    fn by_type(mix: &Mix) -> Vec<(String, u64)> {
        let counted = mix.cells().filter(|cell| cell.messages > 0);
        counted.map(|cell| (cell.content_type.into_owned(), cell.messages)).collect()
    }

    /// What a build that listed 116 where this one lists 113 counted, carried over: so many messages of it.
    fn carried_from_another_list(messages: usize) -> Mix {
        let mut plan = Plan::new();
        let (arena, stored) = mix_in(&mut plan);
        record(&stored, 113, messages);
        record(&stored, 101, 5);
        let mut contents = plan.contents().clone();
        let codes = &mut contents.sections[0].layout.keys[0];
        codes.iter_mut().filter(|code| *code == "113").for_each(|code| "116".clone_into(code));
        let (_, mix) = mix_in(&mut Plan::new());
        mix.carry(&Carry::of(&Stored::new(arena, contents)));
        mix
    }

    #[test]
    fn a_code_at_the_position_of_another_keeps_its_own_messages() {
        let mix = carried_from_another_list(3);
        record(&mix, 113, 2);
        assert_eq!(by_type(&mix), [("text".to_owned(), 5), ("typing".to_owned(), 2), ("116".to_owned(), 3)]);
    }

    #[test]
    fn a_code_that_another_build_listed_takes_no_place_before_it_has_messages() {
        let mix = carried_from_another_list(0);
        (0..UNLISTED_TYPES).for_each(|number| record(&mix, 3000 + i32::try_from(number).unwrap(), 1));
        let types = by_type(&mix);
        assert_eq!(types.len(), 1 + UNLISTED_TYPES);
        assert!(types.iter().all(|(name, _)| name != OTHER), "{types:?}");
    }
}
