//! States that were truncated, overwritten, or left incomplete.

use std::os::unix::fs::PermissionsExt;

use openim_exporter::arena::Contents;
use serde_json::Value;

use super::first_version::files;
use super::*;

/// Creates a state, damages its file, and opens it again.
fn after_damage(closed: bool, damage: impl FnOnce(&Path)) -> (tempfile::TempDir, Stats, Vec<Step>) {
    let directory = filled(1000, closed);
    damage(&directory.path().join("state"));
    let (stats, steps) = open(directory.path(), BOOT);
    (directory, stats, steps)
}

fn overwrite(path: &Path, at: u64, bytes: &[u8]) {
    fs::OpenOptions::new().write(true).open(path).unwrap().write_all_at(bytes, at).unwrap();
}

fn resize(path: &Path, by: i64) {
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(file.metadata().unwrap().len().checked_add_signed(by).unwrap()).unwrap();
}

#[test]
fn a_renamed_file_gets_mode_0600() {
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for damage in ["another program's file", "a damaged state"] {
        let (_directory, _stats, steps) = after_damage(true, |path| {
            if damage == "a damaged state" {
                resize(path, -4096);
            } else {
                fs::write(path, damage).unwrap();
            }
            fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
        });
        let (aside, _) = renamed(&steps).unwrap();
        assert_eq!(mode(aside), 0o600, "{damage}");
        assert!(steps.contains(&Step::ModeRestricted(aside.to_owned())), "{steps:?}");
    }
}

#[test]
fn an_unusable_state_is_renamed_unchanged_and_counting_starts_from_0() {
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
        ("a table of contents of another length", |path| overwrite(path, 32, &[1]), Damage::Header),
    ];
    for (what, damage, expected) in cases {
        let mut broken = Vec::new();
        let (directory, stats, steps) = after_damage(true, |path| {
            damage(path);
            broken = fs::read(path).unwrap();
        });
        let (aside, reason) = renamed(&steps).unwrap();
        assert_eq!((reason, stats.state_start()), (expected.to_string().as_str(), StateStart::Fresh), "{what}");
        assert_eq!(fs::read(aside).unwrap(), broken, "{what}");
        assert_eq!(stats.messages(), 0, "{what}");
        assert_eq!(files(directory.path()).len(), 3, "{what}: the lock, the state, and the renamed one");
        fill(&stats, 5);
        drop(stats);
        assert_eq!(open(directory.path(), BOOT).0.messages(), 5, "{what}");
    }
}

fn overwrite_len(path: &Path, len: u64) {
    fs::OpenOptions::new().write(true).open(path).unwrap().set_len(len).unwrap();
}

#[test]
fn flipped_bits_are_found_or_change_no_count() {
    let mut random = Pcg64Mcg::seed_from_u64(11);
    for round in 0..300 {
        let closed = round % 2 == 0;
        let mut place = (0, 0);
        let (_directory, stats, _) = after_damage(closed, |path| {
            let mut bytes = fs::read(path).unwrap();
            // Half of them in the header.
            let at = if round % 4 < 2 { random.random_range(0..4096) } else { random.random_range(0..bytes.len()) };
            let bit = random.random_range(0..8);
            place = (at, bit);
            bytes[at] ^= 1 << bit;
            fs::write(path, bytes).unwrap();
        });
        match stats.state_start() {
            StateStart::Continued | StateStart::Restored if closed => assert_eq!(stats.messages(), 1000, "{place:?}"),
            // Without a checksum, a low bit of a counter looks like a message that was in progress.
            StateStart::Continued | StateStart::Restored => {
                assert!(stats.messages().abs_diff(1000) <= 16, "{place:?}: {}", stats.messages())
            }
            StateStart::Fresh | StateStart::CountersReset => assert_eq!(stats.messages(), 0, "{place:?}"),
        }
    }
}

/// The offset of a group's name in a state's file. The count is seven words before it.
fn place_of(path: &Path, name: &[u8]) -> u64 {
    let bytes = fs::read(path).unwrap();
    bytes.windows(name.len()).position(|window| window == name).unwrap() as u64
}

/// The offset of a section in a state's file, from its table of contents.
fn section(path: &Path, name: &str) -> u64 {
    let bytes = fs::read(path).unwrap();
    let word = |at: usize| usize::try_from(u64::from_le_bytes(bytes[8 * at..][..8].try_into().unwrap())).unwrap();
    let contents: Value = serde_json::from_slice(&bytes[8 * word(2)..][..word(4)]).unwrap();
    let sections = contents["sections"].as_array().unwrap();
    sections.iter().find(|section| section["name"] == name).unwrap()["offset"].as_u64().unwrap()
}

#[test]
fn impossible_numbers_are_found_after_a_kill() {
    type Break = fn(&Path);
    let cases: [(&str, Break); 15] = [
        ("totals of messages", |path| overwrite(path, place_of(path, b"group-3") - 56, &5000_u64.to_le_bytes())),
        ("delays", |path| overwrite(path, section(path, "delivery delay"), &(1_u64 << 40).to_le_bytes())),
        ("delays", |path| overwrite(path, section(path, "submit delay") + 17 * 8, &(1_u64 << 50).to_le_bytes())),
        ("delays", |path| overwrite(path, section(path, "clock errors"), &5000_u64.to_le_bytes())),
        ("delays", |path| overwrite(path, section(path, "delivery delay, native"), &5000_u64.to_le_bytes())),
        ("delays", |path| overwrite(path, section(path, "delivery delay, sums") + 8, &(1_u64 << 50).to_le_bytes())),
        ("content bytes", |path| overwrite(path, section(path, "content bytes, native"), &5000_u64.to_le_bytes())),
        ("native histograms", |path| overwrite(path, section(path, "submit delay, native"), &[0; 177 * 8])),
        ("content bytes", |path| {
            overwrite(path, section(path, "content bytes") + 10 * 8, &(1_u64 << 60).to_le_bytes())
        }),
        ("unlisted content types", |path| {
            // A duplicate code would be a duplicate series.
            let twice = [7_u64 | 1 << 32; 2].map(u64::to_le_bytes).concat();
            overwrite(path, section(path, "unlisted content types"), &twice);
        }),
        ("unlisted content types", |path| {
            overwrite(path, section(path, "unlisted content types"), &(101_u64 | 1 << 32).to_le_bytes());
        }),
        ("groups", |path| overwrite(path, place_of(path, b"group-3") - 16, &f64::NAN.to_bits().to_le_bytes())),
        ("groups", |path| overwrite(path, place_of(path, b"group-3") - 16, &(-1.0_f64).to_bits().to_le_bytes())),
        ("active senders", |path| overwrite(path, section(path, "senders by hour") + 9, &[52])),
        ("mentions, or the start of the counters", |path| overwrite(path, section(path, "began"), &[0xff; 8])),
    ];
    for (what, damage) in cases {
        let (_directory, stats, steps) = after_damage(false, damage);
        let expected = Damage::Numbers(what).to_string();
        assert_eq!(renamed(&steps).map(|(_, reason)| reason), Some(expected.as_str()), "{what}");
        assert_eq!((stats.state_start(), stats.messages()), (StateStart::Fresh, 0));
    }
}

/// Changes the table of contents of a state's file, and updates the checksums.
fn relist(path: &Path, change: impl FnOnce(&mut Contents)) {
    let mut file = fs::read(path).unwrap();
    let word = |file: &[u8], at: usize| u64::from_le_bytes(file[8 * at..][..8].try_into().unwrap());
    let (at, bytes) = (usize::try_from(word(&file, 2)).unwrap(), usize::try_from(word(&file, 4)).unwrap());
    let mut contents: Contents = serde_json::from_slice(&file[8 * at..][..bytes]).unwrap();
    change(&mut contents);
    file.truncate(8 * at);
    let text = serde_json::to_vec(&contents).unwrap();
    file.extend(&text);
    file.resize(file.len().next_multiple_of(8), 0);
    let sum =
        |file: &[u8], words: std::ops::Range<usize>| files::sum(&words.map(|at| word(file, at)).collect::<Vec<_>>());
    let length = file.len() / 8;
    for (place, value) in [(3, length as u64), (4, text.len() as u64), (5, sum(&file, at..length))] {
        file[8 * place..][..8].copy_from_slice(&value.to_le_bytes());
    }
    let facts = sum(&file, 0..12);
    file[8 * 12..][..8].copy_from_slice(&facts.to_le_bytes());
    fs::write(path, file).unwrap();
}

#[test]
fn a_section_of_a_newer_version_is_dropped_and_the_rest_is_converted() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(directory.path(), BOOT));
    let path = directory.path().join("state");
    let mut names = Vec::new();
    relist(&path, |contents| names = contents.sections.iter().map(|entry| entry.layout.name.clone()).collect());
    assert_eq!(names.len(), 84);
    for name in names {
        let mut original = Vec::new();
        let (_directory, stats, steps) = after_damage(false, |path| {
            relist(path, |contents| {
                contents
                    .sections
                    .iter_mut()
                    .filter(|entry| entry.layout.name == name)
                    .for_each(|entry| entry.layout.version += 1);
            });
            original = fs::read(path).unwrap();
        });
        assert_eq!((stats.state_start(), stats.messages()), (StateStart::Continued, 1000), "{name}: {steps:?}");
        let dropped = |step: &Step| matches!(step, Step::Dropped(what) if what.starts_with(&format!("{name}:")));
        assert!(steps.iter().any(dropped), "{name}: {steps:?}");
        let (aside, _) = renamed(&steps).unwrap();
        assert!(aside.to_str().unwrap().contains("other-layout") && fs::read(aside).unwrap() == original, "{name}");
        fill(&stats, 5);
        assert_eq!((stats.messages(), stats.content_bytes(Chat::Group).count), (1005, 1005), "{name}");
        assert_eq!(stats.by_status().iter().sum::<u64>(), 1005, "{name}");
        let by_group: u64 = stats.groups().map(|group| group.messages).sum();
        assert_eq!(by_group + stats.folded_retired(), 1005, "{name}");
        assert!(stats.started() == NOW, "{name}");
        assert!(histogram_counts(&stats).iter().all(|[classic, native]| classic == native), "{name}");
        let is_lost = ["delivery delay, native", "delivery delay, sums"].contains(&name.as_str());
        assert_eq!(delays_by_platform(&stats)[0].2, 30 * if is_lost { 5 } else { 1005 }, "{name}");
    }
}

#[test]
fn a_damaged_list_of_codes_is_also_found_during_a_conversion() {
    let directory = filled(100, false);
    let path = directory.path().join("state");
    overwrite(&path, section(&path, "unlisted content types"), &[7_u64 | 1 << 32; 2].map(u64::to_le_bytes).concat());
    let (stats, steps) = open_with(directory.path(), Capacities { groups: 200, ..CAPACITIES }, BOOT);
    assert_eq!((stats.state_start(), renamed(&steps).is_some()), (StateStart::Fresh, true), "{steps:?}");
}

#[test]
fn an_exemplar_in_the_wrong_bucket_is_dropped() {
    let (_directory, stats, steps) =
        after_damage(false, |path| overwrite(path, section(path, "delivery exemplars") + 16, &[1; 24]));
    assert_eq!((stats.messages(), steps), (1000, vec![]));
    assert!(stats.delivery_exemplars(Chat::Group)[0].is_none());
}

#[test]
fn messages_in_progress_at_a_kill_are_in_every_total_afterwards() {
    let (directory, stats, _) = after_damage(false, |path| {
        // Three messages that were counted by group, but not elsewhere yet.
        let at = place_of(path, b"group-3");
        let count = fs::read(path).unwrap()[usize::try_from(at).unwrap() - 56];
        overwrite(path, at - 56, &[count + 3]);
    });
    assert_eq!((stats.state_start(), stats.messages()), (StateStart::Continued, 1003));
    assert_eq!(stats.groups().map(|group| group.messages).sum::<u64>(), 1003);
    assert_eq!((stats.by_status().iter().sum::<u64>(), stats.content_bytes(Chat::Group).count), (1003, 1003));
    drop(stats);
    assert_eq!(open(directory.path(), BOOT).0.messages(), 1003);
}

#[test]
fn observations_in_progress_at_a_kill_are_in_both_kinds_of_buckets_afterwards() {
    for name in ["delivery delay, native", "delivery delay"] {
        // Three that are in the first bucket of one, but not in the other yet.
        let (directory, stats, _) = after_damage(false, |path| overwrite(path, section(path, name), &[3]));
        let expected = [[1000; 2], [1003; 2], [1000; 2], [0; 2], [0; 2], [0; 2]];
        assert_eq!((stats.state_start(), histogram_counts(&stats)), (StateStart::Continued, expected.to_vec()));
        assert_eq!(stats.delivery_delays(Chat::Group).buckets[0], (5, 3));
        drop(stats);
        assert_eq!(histogram_counts(&open(directory.path(), BOOT).0), expected, "{name}");
    }
}

#[test]
fn a_state_without_native_histograms_gets_them_from_the_classic_buckets() {
    let (_directory, stats, _) = after_damage(false, |path| {
        relist(path, |contents| contents.sections.retain(|entry| !entry.layout.name.contains(" delay, ")));
    });
    assert_eq!((stats.state_start(), stats.messages()), (StateStart::Continued, 1000));
    assert_eq!(histogram_counts(&stats)[..3], [[1000; 2]; 3]);
    // 30 ms were in the bucket up to 50 ms, and -35/8 < log2(0.05) <= -34/8. The bytes were kept: log2(20) <= 35/8.
    for (reading, bucket) in
        [(stats.native_delivery_delays(Chat::Group), -34), (stats.native_content_bytes(Chat::Group), 35)]
    {
        let place = usize::try_from(bucket - reading.first).unwrap();
        assert_eq!((reading.buckets[place], reading.count()), (1000, 1000));
    }
    assert_eq!(delays_by_platform(&stats), [], "their platforms are not known");
    fill(&stats, 5);
    assert_eq!(delays_by_platform(&stats), [("android", 5, 150)]);
    assert_eq!(histogram_counts(&stats)[1], [1005; 2]);
}

#[test]
fn windows_stay_if_a_power_loss_leaves_a_group_in_two_slots() {
    let directory = filled(1000, false);
    let path = directory.path().join("state");
    overwrite(&path, place_of(&path, b"group-3"), b"group-5");
    let (stats, steps) = open(directory.path(), NEXT_BOOT);
    assert_eq!((stats.state_start(), renamed(&steps)), (StateStart::CountersReset, None));
    assert_eq!((stats.active_senders(Chat::Group, NOW), stats.groups_tracked()), ([50; 5], 6));
}
