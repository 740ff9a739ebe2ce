use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::{Rng as _, SeedableRng as _};
use rand_pcg::Pcg64Mcg;

use super::running::Turn;
use super::settling::settle;
use super::*;
use crate::arena::SectionEntry;
use crate::domain::{Chat, Event, Message};
use crate::stats::groups::{FOLDED, SLOTS};

const CAPACITIES: Capacities = Capacities {
    groups: 20,
    exported_groups: 5,
    sender_pairs: 10,
    dedup_window: Duration::ZERO,
    online: 0,
    history_days: 1,
};

const NOW: UnixMillis = UnixMillis(1_732_345_678_901);

/// The words of a slot.
const SLOT_WORDS: usize = 16;

fn empty() -> (Block, Stats) {
    let block = Block::in_memory(Stats::contents(CAPACITIES)).unwrap();
    let stats = Stats::in_block(&block, CAPACITIES).unwrap();
    (block, stats)
}

/// The sections that are read twice.
fn names(block: &Block) -> impl Iterator<Item = &str> {
    let twice = |section: &&SectionEntry| [Turn::Counters, Turn::Groups].contains(&Turn::of(section));
    block.contents().sections.iter().filter(twice).map(|section| section.layout.name.as_str())
}

fn words(block: &Block) -> Vec<u64> {
    let words = |name| block.section(name).unwrap().iter().map(|word| word.load(Ordering::Relaxed)).collect::<Vec<_>>();
    names(block).flat_map(words).collect()
}

/// Statistics with each word of one of two moments. A slot is of one moment. `folded`: that of some words.
fn torn(moments: [&[u64]; 2], random: &mut Pcg64Mcg, folded: Option<usize>) -> Stats {
    let (block, stats) = empty();
    let mut at = 0;
    for name in names(&block) {
        let mut moment = 0;
        for (number, word) in block.section(name).unwrap().iter().enumerate() {
            if name != SLOTS || number % SLOT_WORDS == 0 {
                moment = folded.filter(|_| name == FOLDED).unwrap_or(usize::from(random.random_bool(0.5)));
            }
            word.store(moments[moment][at], Ordering::Relaxed);
            at += 1;
        }
    }
    stats
}

/// Counts messages in groups that come and go.
fn count(stats: &Stats, random: &mut Pcg64Mcg) {
    for _ in 0..random.random_range(0..200) {
        let group = format!("g{}", random.random_range(0..40));
        let sent = Some(UnixMillis(NOW.0 - random.random_range(0..100_000)));
        let message = Message {
            content_type: [101, 102, 3000][random.random_range(0..3)],
            platform_id: random.random_range(1..4),
            content_bytes: random.random_range(0..100_000),
            send_time: sent,
            create_time: sent,
            ..Message::of(&group, "u")
        };
        stats.record(&Message { group_id: message.group_id.filter(|_| random.random_bool(0.8)), ..message }, NOW);
        if random.random_bool(0.05) {
            stats.record_event(Event::Dismissal(&group), NOW);
        }
    }
}

#[test]
fn totals_agree_and_each_counter_is_between_its_readings_whatever_the_moment_of_each_word() {
    let mut random = Pcg64Mcg::seed_from_u64(5);
    let mut dismissed = 0;
    for round in 0..30 {
        let (block, live) = empty();
        let moments: [_; 4] = std::array::from_fn(|_| {
            count(&live, &mut random);
            (words(&block), live.messages())
        });
        let [zero, one, two, three] = moments.each_ref().map(|(words, _)| words.as_slice());
        let first = torn([zero, one], &mut random, None);
        // Read last, after the groups.
        let later = torn([two, three], &mut random, Some(1));
        first.groups.take_groups(&later.groups);
        let lowest: Vec<_> = first.groups.message_words().map(|word| word.load(Ordering::Relaxed)).collect();
        let sum =
            |words: &mut dyn Iterator<Item = &AtomicU64>| words.map(|word| word.load(Ordering::Relaxed)).sum::<u64>();
        let bytes = |stats: &Stats| sum(&mut stats.group_messages.content_bytes.sum_words());
        let least_bytes = bytes(&first);
        assert!(settle(&first, &later), "{round}");
        let [total, single] =
            [&first.group_messages, &first.single_messages].map(|kind| sum(&mut kind.mix.words().iter()));
        assert_eq!([sum(&mut first.groups.message_words()), sum(&mut first.status_words())], [total; 2], "{round}");
        for kind in [&first.group_messages, &first.single_messages] {
            let [delivery, submit] = kind.delays.histograms();
            for histogram in [&kind.content_bytes, delivery, submit] {
                assert_eq!(sum(&mut histogram.classic_words()), histogram.native().count(), "{round}");
            }
        }
        let contents = [Chat::Group, Chat::Single].map(|chat| first.content_bytes(chat).count);
        assert_eq!(contents, [total, single], "{round}");
        assert!((least_bytes..=bytes(&later)).contains(&bytes(&first)), "{round}");
        assert!((moments[0].1..=moments[1].1).contains(&total), "{round}: no higher than needed");
        let counts = first.groups.message_words().zip(&lowest).zip(later.groups.message_words());
        assert!(counts.into_iter().all(|((count, lowest), highest)| {
            (*lowest..=highest.load(Ordering::Relaxed)).contains(&count.load(Ordering::Relaxed))
        }));
        dismissed += live.folded_dismissed();
    }
    assert!(dismissed > 100);
}

#[test]
fn counters_that_fell_or_a_message_that_is_still_being_counted_are_noticed() {
    let (block, live) = empty();
    let mut random = Pcg64Mcg::seed_from_u64(6);
    (0..10).for_each(|_| count(&live, &mut random));
    let now = words(&block);
    let read = |random: &mut Pcg64Mcg| torn([&now, &now], random, None);
    let (first, later) = (read(&mut random), read(&mut random));
    first.groups.take_groups(&later.groups);
    assert!(settle(&first, &later));
    // It is in the mix of both readings and in no other count.
    for stats in [&first, &later] {
        stats.group_messages.mix.record(&Message::of("g", "u"));
    }
    assert!(!settle(&first, &later));
    let (_, reset) = empty();
    assert!(!settle(&read(&mut random), &reset));
}

#[test]
fn each_section_has_the_turn_in_which_it_must_be_read() {
    let contents = Stats::contents(CAPACITIES);
    let with = |turn| {
        let sections = contents.sections.iter().filter(|section| Turn::of(section) == turn);
        sections.map(|section| section.layout.name.as_str()).collect::<Vec<_>>()
    };
    assert_eq!([Turn::Groups, Turn::Journal, Turn::Pairs].map(with), [["groups"], ["retiring"], ["pairs"]]);
    assert_eq!(with(Turn::Late), ["unlisted content types", "single unlisted content types", "dismissed groups"]);
    let history = with(Turn::History);
    assert!(history.len() == 7 && history.contains(&"history offsets"), "{history:?}");
    let quiet = with(Turn::Quiet);
    let times = quiet.iter().filter(|name| name.ends_with(", times")).count();
    assert_eq!(times, 4 * 4, "minutes, hours, days and calendar days of four windows: {quiet:?}");
    assert_eq!(quiet.len(), times + 3, "{quiet:?}");
    // A section of counters that is read only once would not agree with the others.
    let early: Vec<_> = with(Turn::Early).into_iter().filter(|name| !name.contains(" by ")).collect();
    let expected = [
        "id",
        "began",
        "last callback",
        "users online",
        "ranked at",
        "pairs at the last scan",
        "dedup",
        "dedup cleared",
    ];
    assert_eq!(early, expected);
    let counters = with(Turn::Counters);
    assert_eq!(counters.len() + history.len() + quiet.len() + with(Turn::Early).len() + 6, contents.sections.len());
    assert!(
        ["mix", "single mix", "tallies", "folded", "content bytes, native"].iter().all(|name| counters.contains(name))
    );
}
