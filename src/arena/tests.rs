use super::*;
use std::sync::atomic::Ordering;
use std::thread;

/// A section of words.
fn words(count: usize) -> Layout {
    Layout::of("numbers", 1, 8, count)
}

#[test]
fn a_new_block_is_zero() {
    let mut plan = Plan::new();
    let place = plan.reserve(words(1000));
    let arena = Arena::anonymous(&plan).unwrap();
    let section = arena.section(place).unwrap();
    assert_eq!(section.len(), 1000);
    assert!(section.iter().all(|word| word.load(Ordering::Relaxed) == 0));
}

#[test]
fn sections_do_not_overlap() {
    let mut plan = Plan::new();
    let places = [3, 17, 1].map(|count| plan.reserve(words(count)));
    let arena = Arena::anonymous(&plan).unwrap();
    let sections = places.map(|place| arena.section(place).unwrap());
    for (mark, section) in (1..).zip(&sections) {
        section.iter().for_each(|word| word.store(mark, Ordering::Relaxed));
    }
    for (mark, section) in (1..).zip(&sections) {
        assert!(section.iter().all(|word| word.load(Ordering::Relaxed) == mark));
    }
}

#[test]
fn a_section_outlives_the_handle_of_its_arena() {
    let mut plan = Plan::new();
    let place = plan.reserve(words(1));
    let section = Arena::anonymous(&plan).unwrap().section(place).unwrap();
    section[0].store(7, Ordering::Relaxed);
    assert_eq!(section[0].load(Ordering::Relaxed), 7);
}

#[test]
fn a_place_of_a_larger_plan_is_refused() {
    let mut larger = Plan::new();
    let place = larger.reserve(words(100_000));
    let arena = Arena::anonymous(&Plan::new()).unwrap();
    assert!(arena.section(place).is_err());
}

#[test]
fn threads_that_add_at_once_lose_nothing() {
    let mut plan = Plan::new();
    let place = plan.reserve(words(8));
    let section = Arena::anonymous(&plan).unwrap().section(place).unwrap();
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
fn asking_for_a_word_changes_nothing() {
    let mut plan = Plan::new();
    let place = plan.reserve(words(1000));
    let section = Arena::anonymous(&plan).unwrap().section(place).unwrap();
    for (value, word) in (1..).zip(section.iter()) {
        word.store(value, Ordering::Relaxed);
        prefetch(word);
    }
    assert!((1..).zip(section.iter()).all(|(value, word)| word.load(Ordering::Relaxed) == value));
}
