use std::time::{Duration, Instant};

use super::*;
use crate::stats::Candidate;

fn agree(groups: &GroupTable, agreed: &[(&str, i64)], age: Duration) {
    let agreed: Vec<_> = agreed.iter().map(|(name, since)| ((*name).to_owned(), UnixMillis(*since))).collect();
    groups.export_agreed(&agreed, Instant::now().checked_sub(age).unwrap());
}

/// The exported groups, each with the time since which it has been exported.
fn exported_since(groups: &GroupTable) -> BTreeMap<String, i64> {
    let candidates = groups.candidates(usize::MAX).into_iter();
    let since = |group: Candidate| Some((group.name, group.exported_since?.0));
    let exported: BTreeMap<_, _> = candidates.filter_map(since).collect();
    assert_eq!(exported.len(), groups.exported().len());
    exported
}

fn is(names: &[(&str, i64)]) -> BTreeMap<String, i64> {
    names.iter().map(|(name, since)| ((*name).to_owned(), *since)).collect()
}

const JUST_NOW: Duration = Duration::ZERO;

#[test]
fn candidates_are_the_exported_groups_and_then_the_most_active_others() {
    let groups = groups(10, 2);
    for (name, messages) in [("a", 1), ("b", 2), ("c", 9), ("d", 7), ("e", 8), ("f", 1)] {
        record(&groups, name, messages, NOW);
    }
    groups.tick(later(10_000));
    let names = |limit| groups.candidates(limit).into_iter().map(|group| group.name).collect::<Vec<_>>();
    // A group is exported for at least ten minutes.
    assert_eq!(names(4), ["b", "a", "c", "e"]);
    assert_eq!(names(1), ["b"]);
    assert_eq!(names(100).len(), 6);
    let [first, .., last] = &groups.candidates(3)[..] else { panic!() };
    assert_eq!((first.exported_since, last.exported_since), (Some(NOW), None));
    assert!(last.rate > first.rate * 4.4 && last.rate < first.rate * 4.6, "{first:?} {last:?}");
}

#[test]
fn the_agreed_groups_replace_the_exported_ones_for_a_minute() {
    let groups = groups(10, 2);
    for (name, messages) in [("a", 5), ("b", 4), ("c", 3), ("d", 2)] {
        record(&groups, name, messages, NOW);
    }
    // Not new to the others.
    groups.candidates(10);
    agree(&groups, &[("d", 77), ("elsewhere", 5), ("c", 88)], Duration::from_secs(55));
    assert_eq!(exported_since(&groups), is(&[("d", 77), ("c", 88)]));
    groups.tick(later(20 * 60_000));
    assert_eq!(exported_since(&groups), is(&[("d", 77), ("c", 88)]));
    agree(&groups, &[("d", 77), ("a", 99)], Duration::from_secs(60));
    assert_eq!(exported_since(&groups), is(&[("d", 77), ("a", 99)]));
    record(&groups, "b", 900, later(20 * 60_000));
    groups.tick(later(40 * 60_000));
    assert_eq!(exported_since(&groups), is(&[("a", 99), ("b", later(40 * 60_000).0)]));
}

#[test]
fn no_more_than_the_capacity_is_exported() {
    for capacity in [0, 1, 3] {
        let groups = groups(10, capacity);
        let names = ["a", "b", "c", "d", "e"];
        names.iter().take(4).for_each(|name| record(&groups, name, 1, NOW));
        agree(&groups, &names.map(|name| (name, 1)), JUST_NOW);
        assert_eq!(exported(&groups), names[..capacity]);
        record(&groups, "e", 1, NOW);
        record(&groups, "f", 1, NOW);
        assert_eq!(exported(&groups), names[..capacity]);
    }
}

#[test]
fn an_agreed_group_is_exported_with_its_first_message_instead_of_another() {
    let groups = groups(10, 2);
    agree(&groups, &[("a", 7), ("b", 8)], JUST_NOW);
    for (name, expected) in [
        ("x", is(&[("x", NOW.0)])),
        ("y", is(&[("x", NOW.0), ("y", NOW.0)])),
        ("a", is(&[("x", NOW.0), ("a", 7)])),
        ("z", is(&[("x", NOW.0), ("a", 7)])),
        ("b", is(&[("b", 8), ("a", 7)])),
    ] {
        record(&groups, name, 1, NOW);
        assert_eq!(exported_since(&groups), expected, "{name}");
    }
}

#[test]
fn a_new_group_stays_exported_until_the_others_know_it_if_there_is_room() {
    let groups = groups(10, 3);
    ["a", "b"].iter().for_each(|name| record(&groups, name, 1, NOW));
    groups.candidates(6);
    record(&groups, "new", 1, later(1));
    agree(&groups, &[("a", 7), ("elsewhere", 7), ("there", 7)], JUST_NOW);
    assert_eq!(exported(&groups), ["a", "new"]);
    // There is no room.
    ["c", "d"].iter().for_each(|name| record(&groups, name, 1, NOW));
    agree(&groups, &[("a", 7), ("b", 7), ("d", 7)], JUST_NOW);
    assert_eq!(exported(&groups), ["a", "b", "d"]);
}

#[test]
fn while_fewer_groups_are_agreed_than_can_be_exported_none_is_dropped() {
    let groups = groups(10, 4);
    ["a", "b", "c", "d"].iter().for_each(|name| record(&groups, name, 1, NOW));
    groups.candidates(8);
    // The others did not fit into what exporters tell each other.
    agree(&groups, &[("b", 7), ("elsewhere", 7)], JUST_NOW);
    assert_eq!(exported_since(&groups), is(&[("a", NOW.0), ("b", 7), ("c", NOW.0), ("d", NOW.0)]));
}

#[test]
fn a_dismissed_group_is_not_exported_although_it_is_agreed() {
    let groups = groups(10, 3);
    ["a", "b"].iter().for_each(|name| record(&groups, name, 1, NOW));
    agree(&groups, &[("a", 7), ("b", 7)], JUST_NOW);
    is_new(&groups, "a");
    assert_eq!(exported(&groups), ["b"]);
    agree(&groups, &[("a", 7), ("b", 7)], JUST_NOW);
    record(&groups, "a", 1, NOW);
    assert_eq!(exported(&groups), ["b"]);
}

#[test]
fn threads_that_add_and_agree_export_agreed_groups_only() {
    let groups = groups(1000, 20);
    let names: Vec<_> = (0..40).map(|number| number.to_string()).collect();
    let agreed = |round: usize| -> Vec<_> { names[round..round + 20].iter().map(|name| (name.as_str(), 1)).collect() };
    agree(&groups, &agreed(20), JUST_NOW);
    thread::scope(|scope| {
        for thread in 0..2 {
            let (groups, agreed) = (&groups, &agreed);
            scope.spawn(move || (0..900).for_each(|name| record(groups, &(name * (1 + thread)).to_string(), 1, NOW)));
            scope.spawn(move || (0..=20).rev().for_each(|round| agree(groups, &agreed(round), JUST_NOW)));
        }
    });
    groups.candidates(40);
    agree(&groups, &agreed(0), JUST_NOW);
    let mut found = exported(&groups);
    found.sort_by_key(|name| name.parse::<u32>().unwrap());
    assert_eq!(found, names[..20]);
}
