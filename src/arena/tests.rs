mod contents;

use std::sync::atomic::Ordering;
use std::thread;

use super::{Block, Contents, Layout, Section, prefetch};

/// The contents of a block with one section of words.
fn contents_of(count: usize) -> Contents {
    let mut contents = Contents::default();
    contents.reserve(Layout::new("numbers", 1, 8, count));
    contents
}

fn section_of(count: usize) -> Section {
    Block::in_memory(contents_of(count)).unwrap().section("numbers").unwrap()
}

#[test]
fn a_new_block_is_zero() {
    let section = section_of(1000);
    assert_eq!(section.len(), 1000);
    assert!(section.iter().all(|word| word.load(Ordering::Relaxed) == 0));
}

#[test]
fn sections_do_not_overlap() {
    let mut contents = Contents::default();
    let counts = [("a", 3), ("b", 17), ("c", 1)];
    counts.iter().for_each(|(name, count)| contents.reserve(Layout::new(name, 1, 8, *count)));
    let block = Block::in_memory(contents).unwrap();
    let sections = counts.map(|(name, _)| block.section(name).unwrap());
    for (mark, section) in (1..).zip(&sections) {
        section.iter().for_each(|word| word.store(mark, Ordering::Relaxed));
    }
    for (mark, section) in (1..).zip(&sections) {
        assert!(section.iter().all(|word| word.load(Ordering::Relaxed) == mark));
    }
}

#[test]
fn a_section_outlives_the_handle_of_its_block() {
    let section = section_of(1);
    section[0].store(7, Ordering::Relaxed);
    assert_eq!(section[0].load(Ordering::Relaxed), 7);
}

#[test]
fn a_section_that_is_missing_or_outside_the_block_is_an_error() {
    let small = Block::in_memory(contents_of(1)).unwrap();
    let block = Block::new(small.arena().clone(), contents_of(100_000));
    assert!(block.section("numbers").is_err() && block.section("others").is_err());
}

#[test]
fn threads_that_add_at_once_lose_nothing() {
    let section = section_of(8);
    let rounds = if cfg!(miri) { 50 } else { 50_000 };
    thread::scope(|scope| {
        for _ in 0..4 {
            let section = section.clone();
            scope.spawn(move || {
                for round in 0..rounds {
                    section[round % 8].fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    let total: u64 = section.iter().map(|word| word.load(Ordering::Relaxed)).sum();
    assert_eq!(total, 4 * rounds as u64);
}

#[test]
fn a_prefetch_changes_nothing() {
    let section = section_of(1000);
    for (value, word) in (1..).zip(section.iter()) {
        word.store(value, Ordering::Relaxed);
        prefetch(word);
    }
    assert!((1..).zip(section.iter()).all(|(value, word)| word.load(Ordering::Relaxed) == value));
}
