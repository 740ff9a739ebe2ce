//! Messages by content type, platform and source.

use std::borrow::Cow;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use super::carry::{CarryOver, keys};
use super::counters::Counters;
use crate::arena::{Block, Contents, Layout, Section};
use crate::domain::codes::{self, CONTENT_TYPES, OTHER, PLATFORMS, UNKNOWN_PLATFORM};
use crate::domain::{Chat, Message, Source};

/// Unlisted content types that have a label value of their own, which is their number; any others are `other`.
pub(super) const UNLISTED_TYPES: usize = 32;

/// Names of sections in a state.
#[derive(Clone, Copy, Debug)]
pub(super) struct Names {
    pub(super) cells: &'static str,
    pub(super) unlisted: &'static str,
}

/// Version of the layout of the list of unlisted codes.
const LAYOUT: u32 = 1;

/// Rows of content types.
pub(super) const TYPES: usize = CONTENT_TYPES.len() + UNLISTED_TYPES + 1;
const PLATFORM_ROWS: usize = PLATFORMS.len() + 1;

/// Marks a word in the list of unlisted codes as used. The code is in the low half.
const USED: u64 = 1 << 32;

/// Messages by content type, platform and source.
#[derive(Debug)]
pub(super) struct Mix {
    names: Names,
    cells: Counters,
    /// The codes of unlisted content types, in the order in which they were first seen.
    unlisted: Section,
}

/// A combination of labels, and its messages.
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
    pub(super) fn reserve(contents: &mut Contents, names: Names) {
        Counters::reserve(contents, names.cells, axes());
        contents.reserve(Layout::new(names.unlisted, LAYOUT, size_of::<u64>(), UNLISTED_TYPES));
    }

    pub(super) fn open(block: &Block, names: Names) -> io::Result<Self> {
        Ok(Self { names, cells: Counters::open(block, names.cells)?, unlisted: block.section(names.unlisted)? })
    }

    /// Adds the messages of an old mix. A content type is identified by its code, whether or not the old and the new
    /// program list it. Unknown platforms and sources are counted as `unknown` and `other`.
    /// Returns false if counting cannot have produced the old list of unlisted codes.
    pub(super) fn carry_from(&self, old: &CarryOver<'_>) -> bool {
        let Some(type_row) = self.type_rows(old) else { return false };
        let source = |key: &str| Source::ALL.into_iter().find(|source| source.name() == key).unwrap_or(Source::Other);
        self.cells.carry_combinations(old, self.names.cells, |keys| match keys {
            [code, on, from] => Some(cell(type_row(code), codes::platform_row_of(on), source(from))),
            _ => None,
        });
        true
    }

    /// Finds the row for a key of an old row of content types. `None` if counting cannot have produced the old list of
    /// unlisted codes.
    pub(super) fn type_rows(&self, old: &CarryOver<'_>) -> Option<impl Fn(&str) -> usize> {
        let stored = old.section(self.names.unlisted, LAYOUT, size_of::<u64>());
        let codes = stored.as_ref().map_or(Some(Vec::new()), |stored| used_codes(stored))?;
        // First and in order, so that each keeps its position even if a code that is no longer listed is added.
        codes.iter().for_each(|code| {
            self.type_row(*code);
        });
        Some(move |key: &str| {
            let unlisted = || key.strip_prefix("unlisted ")?.parse::<usize>().ok()?.checked_sub(1);
            let code = key.parse().ok().or_else(|| codes.get(unlisted()?).copied());
            code.map_or(TYPES - 1, |code| self.type_row(code))
        })
    }

    /// The words that count messages.
    pub(super) fn words(&self) -> &[AtomicU64] {
        self.cells.words()
    }

    /// The messages of each content type.
    pub(super) fn by_type(&self) -> impl Iterator<Item = u64> {
        let cells = PLATFORM_ROWS * Source::ALL.len();
        let messages_of = move |row| (row * cells..(row + 1) * cells).map(|cell| self.cells.sum(cell));
        (0..TYPES).map(move |row| messages_of(row).fold(0, u64::wrapping_add))
    }

    /// Whether this program's counting can have produced the list of unlisted codes.
    pub(super) fn is_plausible(&self) -> bool {
        let is_unlisted = |code: &i32| codes::content_type_position(*code).is_none();
        used_codes(&self.unlisted).is_some_and(|codes| codes.iter().all(is_unlisted))
    }

    pub(super) fn record(&self, message: &Message<'_>) {
        let content_type = self.type_row(message.content_type);
        let platform = codes::platform_row(message.platform_id);
        self.cells.add(cell(content_type, platform, message.source), 1);
    }

    /// Counts messages whose labels are lost: `other`, `unknown` and `other`.
    pub(super) fn add_unknown(&self, messages: u64) {
        self.cells.add(cell(TYPES - 1, PLATFORMS.len(), Source::Other), messages);
    }

    /// Sets all counts to 0. No other thread may record meanwhile.
    pub(super) fn reset_counts(&self) {
        self.cells.reset();
    }

    /// The row of a content type: first the listed ones, then the unlisted ones in the order of [`Mix::unlisted`], then
    /// `other`.
    fn type_row(&self, code: i32) -> usize {
        codes::content_type_position(code).unwrap_or_else(|| CONTENT_TYPES.len() + self.unlisted_position(code))
    }

    /// Finds an unlisted code's position, or appends the code. Lock-free: a thread that loses the race for a word
    /// checks the winner's code.
    fn unlisted_position(&self, code: i32) -> usize {
        let mine = USED | u64::from(code.cast_unsigned());
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

    /// Every cell with messages, and every other one that is usual for messages of this kind.
    pub(super) fn cells(&self, chat: Chat) -> impl Iterator<Item = MixCell> + '_ {
        (0..TYPES).filter_map(|row| Some((row, self.type_label(row)?))).flat_map(move |(row, label)| {
            let listed = CONTENT_TYPES.get(row).map(|(code, _)| *code);
            (0..PLATFORM_ROWS).flat_map(move |platform| Source::ALL.map(|source| (platform, source))).filter_map(
                move |(platform, source)| {
                    let messages = self.cells.sum(cell(row, platform, source));
                    let is_usual = |code| codes::is_usual(chat, code, platform, source);
                    (messages > 0 || listed.is_some_and(is_usual)).then(|| MixCell {
                        content_type: label.clone(),
                        platform: PLATFORMS.get(platform).copied().unwrap_or(UNKNOWN_PLATFORM),
                        source: source.name(),
                        messages,
                    })
                },
            )
        })
    }

    /// A content type's name, or its number, or `other`; `None` if the row has no content type yet.
    pub(super) fn type_label(&self, row: usize) -> Option<Cow<'static, str>> {
        if let Some((_, name)) = CONTENT_TYPES.get(row) {
            return Some(Cow::Borrowed(name));
        }
        let Some(word) = self.unlisted.get(row - CONTENT_TYPES.len()) else {
            return Some(Cow::Borrowed(OTHER));
        };
        used_code(word.load(Ordering::Relaxed)).map(|code| Cow::Owned(code.to_string()))
    }
}

/// The keys of the cells.
fn axes() -> Vec<Vec<String>> {
    vec![type_keys().collect(), keys(codes::platform_names()), keys(Source::ALL.map(Source::name))]
}

/// The keys of the rows of content types.
pub(super) fn type_keys() -> impl Iterator<Item = String> {
    let listed = CONTENT_TYPES.iter().map(|(code, _)| code.to_string());
    let unlisted = (1..=UNLISTED_TYPES).map(|number| format!("unlisted {number}"));
    listed.chain(unlisted).chain([OTHER.to_owned()])
}

/// The code in a word of the list of unlisted ones; `None` if the word is free or invalid.
const fn used_code(word: u64) -> Option<i32> {
    #[expect(clippy::cast_possible_truncation, reason = "the low half is the code")]
    let code = (word as u32).cast_signed();
    if word >> 32 == 1 { Some(code) } else { None }
}

/// The codes in a list of unlisted ones. `None` if the list is invalid: free words may only follow the codes, and each
/// code may occur only once.
fn used_codes(list: &[AtomicU64]) -> Option<Vec<i32>> {
    let words: Vec<_> = list.iter().map(|word| word.load(Ordering::Relaxed)).collect();
    let (used, free) = words.split_at(words.iter().take_while(|word| **word != 0).count());
    let is_new = |(position, word): (usize, &u64)| !used.iter().take(position).any(|other| other == word);
    let is_valid = free.iter().all(|word| *word == 0) && used.iter().enumerate().all(is_new);
    is_valid.then(|| used.iter().map(|word| used_code(*word)).collect()).flatten()
}

const fn cell(content_type: usize, platform: usize, source: Source) -> usize {
    (content_type * PLATFORM_ROWS + platform) * Source::ALL.len() + source as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: Names = Names { cells: "mix", unlisted: "unlisted content types" };

    fn new_mix() -> (Block, Mix) {
        let mut contents = Contents::default();
        Mix::reserve(&mut contents, NAMES);
        let block = Block::in_memory(contents).unwrap();
        let mix = Mix::open(&block, NAMES).unwrap();
        (block, mix)
    }

    fn record(mix: &Mix, code: i32, messages: usize) {
        let message = Message { content_type: code, ..Message::of("g", "u") };
        (0..messages).for_each(|_| mix.record(&message));
    }

    /// The content types with messages, and their numbers.
    fn by_type(mix: &Mix) -> Vec<(String, u64)> {
        let counted = mix.cells(Chat::Group).filter(|cell| cell.messages > 0);
        counted.map(|cell| (cell.content_type.into_owned(), cell.messages)).collect()
    }

    /// A mix that was converted from a build that lists 116 instead of 113, with this many messages of it.
    fn carried_from_another_list(messages: usize) -> Mix {
        let (block, old) = new_mix();
        record(&old, 113, messages);
        record(&old, 101, 5);
        let mut contents = block.contents().clone();
        let codes = &mut contents.sections[0].layout.keys[0];
        codes.iter_mut().filter(|code| *code == "113").for_each(|code| "116".clone_into(code));
        let (_, mix) = new_mix();
        mix.carry_from(&CarryOver::new(&Block::new(block.arena().clone(), contents)));
        mix
    }

    #[test]
    fn a_code_at_the_position_of_another_keeps_its_own_messages() {
        let mix = carried_from_another_list(3);
        record(&mix, 113, 2);
        assert_eq!(by_type(&mix), [("text".to_owned(), 5), ("typing".to_owned(), 2), ("116".to_owned(), 3)]);
    }

    #[test]
    fn a_code_that_another_build_listed_uses_no_position_until_it_has_messages() {
        let mix = carried_from_another_list(0);
        (0..UNLISTED_TYPES).for_each(|number| record(&mix, 3000 + i32::try_from(number).unwrap(), 1));
        let types = by_type(&mix);
        assert_eq!(types.len(), 1 + UNLISTED_TYPES);
        assert!(types.iter().all(|(name, _)| name != OTHER), "{types:?}");
    }
}
