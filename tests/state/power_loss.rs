//! Files of which some pages are older than others.

use super::*;

/// Replaces random pages of the file by earlier versions, as a power loss does.
pub(super) fn roll_back(path: &Path, earlier: &[Vec<u8>], random: &mut Pcg64Mcg) {
    let now = fs::read(path).unwrap();
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    for (page, bytes) in now.chunks(PAGE).enumerate() {
        let older = &earlier[random.random_range(0..earlier.len())][page * PAGE..page * PAGE + bytes.len()];
        if random.random_bool(0.3) && older != bytes {
            file.write_all_at(older, (page * PAGE) as u64).unwrap();
        }
    }
}

#[test]
fn no_counter_continues_from_a_lower_value_after_any_power_loss() {
    let mut random = Pcg64Mcg::seed_from_u64(7);
    let small = Capacities { groups: 20, exported_groups: 5, sender_pairs: 16, ..CAPACITIES };
    let mut outcomes = BTreeMap::new();
    for round in 0..400_u64 {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        let (stats, _) = open_with(directory.path(), small, BOOT);
        let mut earlier = Vec::new();
        for _ in 0..3 {
            earlier.push(fs::read(&state).unwrap());
            fill(&stats, random.random_range(1..40));
        }
        let mut shown = numbers(&stats).0;
        // It starts from 0 too, but the first scan may already have dropped some: pages of different ages may have more
        // pairs than the capacity.
        shown.remove("pairs evicted");
        // In every fifth round the state was closed, but not all of it was written to disk.
        if round % 5 == 0 {
            close(&stats);
        }
        drop(stats);
        roll_back(&state, &earlier, &mut random);
        let (stats, steps) = open_with(directory.path(), small, NEXT_BOOT);
        *outcomes.entry(stats.state_start().name()).or_insert(0) += 1;
        let after = numbers(&stats).0;
        for (counter, before) in &shown {
            let now = after.get(counter).copied().unwrap_or_default();
            assert!(now == 0 || now >= *before, "round {round}, {steps:?}: {counter} was {before} and is {now}");
        }
    }
    // A closed state continues. A closed state with earlier pages is renamed. Others start from 0.
    assert!(outcomes["counters_reset"] > 200 && outcomes["fresh"] > 20, "{outcomes:?}");
}
