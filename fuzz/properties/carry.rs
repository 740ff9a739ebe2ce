//! Converting a state: with any consistent table of contents and any numbers, the state is converted or refused. Then
//! its totals agree with each other, and counting continues.

use std::cell::RefCell;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arbitrary::Unstructured;
use openim_exporter::arena::{Block, Boot, Contents, Directory, Doubt, Found, SectionEntry, Sections, Trust};
use openim_exporter::domain::{Chat, Message, UnixMillis};
use openim_exporter::stats::{Capacities, Stats};

use super::state::typical::typical;

const NOW: UnixMillis = UnixMillis(1_732_345_678_901);
const BOOT: Boot = Boot::Id([1, 2]);
const CAPACITIES: Capacities = Capacities {
    groups: 8,
    exported_groups: 4,
    sender_pairs: 16,
    dedup_window: Duration::ZERO,
    online: 100,
    history_days: 40,
};

/// The maximum number of changes to a state.
const MAX_CHANGES: usize = 8;

thread_local! {
    static SOURCE: RefCell<Option<Block>> = const { RefCell::new(None) };
}

pub(crate) fn holds(bytes: &[u8]) {
    SOURCE.with_borrow_mut(|source| try_on(source.get_or_insert_with(source_state), bytes));
}

/// A small state with something in every section.
fn source_state() -> Block {
    let directory = super::state::directory();
    let stats = Stats::open(directory.path(), CAPACITIES, BOOT, NOW, &|_| ()).unwrap();
    for number in 0..40_i32 {
        let (group, sender) = (format!("group-{}", number % 9), format!("sender-{number}"));
        let now = UnixMillis(NOW.0 - 7 * i64::from(number));
        let typical = typical(&group, &sender, now);
        let content_type = if number % 3 == 0 { 900 + number % 4 } else { typical.content_type };
        stats.record(&Message { content_type, ..typical }, now);
    }
    stats.close(NOW, &|_| ()).unwrap();
    drop(stats);
    // The mapping outlives the directory.
    let locked = Directory::lock(directory.path(), &|_| ()).unwrap();
    match locked.find(BOOT, &|_| ()).unwrap() {
        Found::State { arena, sections: Sections::Listed(contents), .. } => Block::new(arena, contents),
        found => panic!("{found:?}"),
    }
}

fn try_on(source: &Block, bytes: &[u8]) {
    let bytes = &mut Unstructured::new(bytes);
    let [kind, changes]: [u8; 2] = bytes.arbitrary().unwrap_or_default();
    let mut contents = source.contents().clone();
    let mut undo = Vec::new();
    for _ in 0..usize::from(changes).min(MAX_CHANGES) {
        let (what, which): (u8, u8) = bytes.arbitrary().unwrap_or_default();
        let number = usize::from(which) % contents.sections.len().max(1);
        let Some(entry) = contents.sections.get_mut(number) else { break };
        if what & 1 == 0 {
            undo.extend(change_word(source, &entry.layout.name, bytes));
        } else {
            change_entry(&mut contents, number, what >> 1, bytes);
        }
    }
    let end = source.contents().sections.iter().map(|entry| entry.offset + entry.length).max().unwrap();
    let is_changed = !undo.is_empty() || contents != *source.contents();
    // Only consistent contents are ever converted.
    if let Some(contents) = Contents::parse(&serde_json::to_vec(&contents).unwrap(), end) {
        carry(&Block::new(source.arena().clone(), contents), kind, is_changed);
    }
    undo.into_iter().rev().for_each(|(name, at, before): (String, usize, u64)| {
        source.keyed_section(&name).unwrap()[at].store(before, Ordering::Relaxed);
    });
}

/// Changes a word of a section, and returns its earlier value.
fn change_word(source: &Block, name: &str, bytes: &mut Unstructured<'_>) -> Option<(String, usize, u64)> {
    let section = source.keyed_section(name)?;
    let at = usize::from(bytes.arbitrary::<u16>().unwrap_or_default()) % section.len().max(1);
    let word = section.get(at)?;
    let before = word.swap(super::state::any_word(bytes), Ordering::Relaxed);
    Some((name.to_owned(), at, before))
}

fn change_entry(contents: &mut Contents, number: usize, what: u8, bytes: &mut Unstructured<'_>) {
    let value = usize::from(bytes.arbitrary::<u8>().unwrap_or_default());
    let entry: &mut SectionEntry = &mut contents.sections[number];
    let layout = &mut entry.layout;
    let key = |layout: &mut openim_exporter::arena::Layout, to: String| {
        let axes = layout.keys.len().max(1);
        if let Some(axis) = layout.keys.get_mut(value % axes) {
            let keys = axis.len().max(1);
            axis.get_mut(value % keys).into_iter().for_each(|key| *key = to.clone());
        }
    };
    match what % 10 {
        0 => drop(contents.sections.remove(number)),
        1 => layout.name = format!("section {value}"),
        2 => layout.version = u32::try_from(value).unwrap(),
        3 if layout.keys.is_empty() => layout.count = value,
        // Fewer keys, and the matching number of elements.
        3 => {
            layout.keys.last_mut().into_iter().for_each(|axis| axis.truncate(value));
            layout.count = layout.keys.iter().map(Vec::len).product();
        }
        4 => key(layout, value.to_string()),
        5 => key(layout, format!("unlisted {value}")),
        6 => key(layout, "other".to_owned()),
        7 => layout.lanes = 1,
        8 => entry.length = entry.length.saturating_sub(8 * value),
        _ => layout.element_bytes = 8 * value,
    }
}

fn carry(stored: &Block, kind: u8, is_changed: bool) {
    let capacities = Capacities {
        groups: [8, 3, 20, 1][usize::from(kind & 3)],
        sender_pairs: [16, 40][usize::from(kind >> 2 & 1)],
        ..CAPACITIES
    };
    let trust = if kind & 0x80 == 0 { Trust::Exact } else { Trust::Torn(Doubt::OtherBoot) };
    let carried = Stats::in_memory_from(stored, capacities, trust, NOW);
    let (stats, dropped) = match carried {
        Ok(carried) => carried,
        Err(error) => {
            assert!(is_changed, "{error}");
            return;
        }
    };
    assert!(is_changed || dropped.is_empty());
    let before = stats.content_bytes(Chat::Group).count;
    // Adding up the thousands of cells of the mix takes longer than everything else.
    let with_mix = kind & 0x70 == 0;
    assert!(is_changed || before == if trust == Trust::Exact { 40 } else { 0 });
    stats.record(&typical("group-of-mine", "sender-of-mine", NOW), NOW);
    assert_eq!(stats.content_bytes(Chat::Group).count, before + 1);
    agree(&stats, with_mix);
}

/// All totals of messages are equal.
fn agree(stats: &Stats, with_mix: bool) {
    let groups: Vec<_> = stats.groups().collect();
    assert_eq!(groups.len(), stats.groups_tracked());
    let by_group = groups.iter().fold(0, |sum: u64, group| sum.wrapping_add(group.messages));
    let folded = stats
        .folded_for_capacity()
        .wrapping_add(stats.folded_retired())
        .wrapping_add(stats.folded_dismissed())
        .wrapping_add(stats.folded_erased());
    let statuses = stats.by_status().iter().fold(0, |sum: u64, count| sum.wrapping_add(*count));
    let messages = stats.content_bytes(Chat::Group).count;
    assert_eq!([by_group.wrapping_add(folded), statuses], [messages; 2]);
    assert!(!with_mix || stats.messages() == messages);
    for chat in [Chat::Group, Chat::Single] {
        let classic = [stats.content_bytes(chat), stats.delivery_delays(chat), stats.submit_delays(chat)];
        let native =
            [stats.native_content_bytes(chat), stats.native_delivery_delays(chat), stats.native_submit_delays(chat)];
        assert_eq!(native.map(|reading| reading.count()), classic.map(|reading| reading.count));
    }
}
