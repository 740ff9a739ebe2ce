//! States that were cut off, written to, or left in the middle of something.

use super::*;

/// Makes a closed state, lets something happen to its file, and opens it again.
fn after_damage(closed: bool, damage: impl FnOnce(&Path)) -> (tempfile::TempDir, Stats, Start) {
    let directory = tempfile::tempdir().unwrap();
    let (stats, _) = open(directory.path(), BOOT);
    fill(&stats, 1000);
    if closed {
        stats.close().unwrap();
    }
    drop(stats);
    damage(&directory.path().join("state"));
    let (stats, start) = open(directory.path(), BOOT);
    (directory, stats, start)
}

fn overwrite(path: &Path, at: u64, bytes: &[u8]) {
    fs::OpenOptions::new().write(true).open(path).unwrap().write_all_at(bytes, at).unwrap();
}

fn resize(path: &Path, by: i64) {
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(file.metadata().unwrap().len().checked_add_signed(by).unwrap()).unwrap();
}

#[test]
fn a_state_that_cannot_be_used_is_set_aside_whole_and_counting_starts_anew() {
    type Break = fn(&Path);
    let cases: [(&str, Break, Damage); 9] = [
        ("another program's", |path| fs::write(path, "x".repeat(100_000)).unwrap(), Damage::Foreign),
        ("an empty file", |path| fs::write(path, "").unwrap(), Damage::Foreign),
        ("a short text", |path| fs::write(path, "hello").unwrap(), Damage::Foreign),
        ("a newer version", |path| overwrite(path, 8, &9_u64.to_ne_bytes()), Damage::OtherVersion(9)),
        ("an older version", |path| overwrite(path, 8, &0_u64.to_ne_bytes()), Damage::OtherVersion(0)),
        ("cut off", |path| resize(path, -4096), Damage::Length),
        ("cut off in the header", |path| overwrite_len(path, 1000), Damage::Length),
        ("longer", |path| resize(path, 4096), Damage::Length),
        ("other capacities than it has", |path| overwrite(path, 32, &[1]), Damage::Header),
    ];
    for (what, damage, expected) in cases {
        let mut broken = Vec::new();
        let (directory, stats, start) = after_damage(true, |path| {
            damage(path);
            broken = fs::read(path).unwrap();
        });
        let (aside, found) = start.set_aside.unwrap();
        assert_eq!((found, start.outcome), (expected, Outcome::Fresh), "{what}");
        assert_eq!(fs::read(&aside).unwrap(), broken, "{what}");
        assert_eq!(stats.messages(), 0, "{what}");
        assert_eq!(files(directory.path()).len(), 3, "{what}: the lock, the state, and the one set aside");
        fill(&stats, 5);
        drop(stats);
        assert_eq!(open(directory.path(), BOOT).0.messages(), 5, "{what}");
    }
}

fn overwrite_len(path: &Path, len: u64) {
    fs::OpenOptions::new().write(true).open(path).unwrap().set_len(len).unwrap();
}

#[test]
fn flipped_bits_are_found_or_change_nothing_that_was_counted() {
    let mut random = Pcg64Mcg::seed_from_u64(11);
    for round in 0..300 {
        let closed = round % 2 == 0;
        let mut place = (0, 0);
        let (_directory, stats, start) = after_damage(closed, |path| {
            let mut bytes = fs::read(path).unwrap();
            // Half of them where there are numbers for certain.
            let at = if round % 4 < 2 { random.random_range(0..4096) } else { random.random_range(0..bytes.len()) };
            let bit = random.random_range(0..8);
            place = (at, bit);
            bytes[at] ^= 1 << bit;
            fs::write(path, bytes).unwrap();
        });
        match start.outcome {
            Outcome::Continued if closed => assert_eq!(stats.messages(), 1000, "{place:?}"),
            // A low bit of a counter cannot be told from a message that was under way, unless a sum says so.
            Outcome::Continued => assert!(stats.messages().abs_diff(1000) <= 16, "{place:?}: {}", stats.messages()),
            Outcome::Fresh | Outcome::CountersReset => assert_eq!(stats.messages(), 0, "{place:?}"),
        }
    }
}

#[test]
fn numbers_that_contradict_each_other_are_not_gone_on_with() {
    let (_directory, _, start) = after_damage(false, |path| {
        // The count of one group, found by its name: the count stands seven words before it.
        let bytes = fs::read(path).unwrap();
        let at = bytes.windows(7).position(|window| window == b"group-3").unwrap();
        overwrite(path, at as u64 - 7 * 8, &5000_u64.to_ne_bytes());
    });
    assert_eq!(start.set_aside.unwrap().1, Damage::Numbers);
}

/// Where a group's name stands in a state's file. Its count stands seven words before it.
fn place_of(path: &Path, name: &[u8]) -> u64 {
    let bytes = fs::read(path).unwrap();
    bytes.windows(name.len()).position(|window| window == name).unwrap() as u64
}

#[test]
fn what_was_under_way_when_the_process_was_killed_is_in_every_total_afterwards() {
    let (directory, stats, start) = after_damage(false, |path| {
        // As if three messages had been counted by their group, and nowhere else yet.
        let at = place_of(path, b"group-3");
        let count = fs::read(path).unwrap()[usize::try_from(at).unwrap() - 56];
        overwrite(path, at - 56, &[count + 3]);
    });
    assert_eq!((start.outcome, stats.messages()), (Outcome::Continued, 1003));
    assert_eq!(stats.groups().map(|group| group.messages).sum::<u64>(), 1003);
    assert_eq!((stats.by_status().iter().sum::<u64>(), stats.content_bytes().count), (1003, 1003));
    drop(stats);
    assert_eq!(open(directory.path(), BOOT).0.messages(), 1003);
}

#[test]
fn a_power_loss_that_leaves_one_group_in_two_slots_keeps_the_windows() {
    let directory = tempfile::tempdir().unwrap();
    let (stats, _) = open(directory.path(), BOOT);
    fill(&stats, 1000);
    drop(stats);
    let path = directory.path().join("state");
    overwrite(&path, place_of(&path, b"group-3"), b"group-5");
    let (stats, start) = open(directory.path(), NEXT_BOOT);
    assert_eq!((start.outcome, start.set_aside), (Outcome::CountersReset, None));
    assert_eq!((stats.active_senders(NOW), stats.groups_tracked()), ([50; 5], 6));
}
