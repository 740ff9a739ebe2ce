//! The ID of a state, which stays the same as long as the state exists.

use super::*;

#[test]
fn an_id_survives_every_kind_of_end_and_conversions() {
    let directory = tempfile::tempdir().unwrap();
    let id = open(directory.path(), BOOT).0.id();
    // After a kill, a power loss, and with other capacities.
    for (capacities, boot) in
        [(CAPACITIES, BOOT), (CAPACITIES, NEXT_BOOT), (Capacities { groups: 77, online: 5, ..CAPACITIES }, NEXT_BOOT)]
    {
        let (stats, _) = open_with(directory.path(), capacities, boot);
        assert_eq!(stats.id(), id);
        fill(&stats, 10);
    }
    let (stats, _) = open(directory.path(), BOOT);
    close(&stats);
    drop(stats);
    assert_eq!(open(directory.path(), BOOT).0.id(), id);
    let another = tempfile::tempdir().unwrap();
    assert_ne!(open(another.path(), BOOT).0.id(), id);
}

#[test]
fn a_state_from_before_ids_gets_one_that_it_keeps() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("state"), first_version::files::kept()).unwrap();
    let id = open(directory.path(), BOOT).0.id();
    assert!(u64::from_str_radix(&id, 16).unwrap() > 0, "{id}");
    assert_eq!(open(directory.path(), BOOT).0.id(), id);
}
