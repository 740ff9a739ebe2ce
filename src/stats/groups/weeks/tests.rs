use super::*;
use crate::stats::group_name::MAX_NAME_BYTES;
use crate::stats::groups::GroupName;

const TODAY: u64 = 20_000;

fn weeks(exported: usize) -> Weeks {
    let mut contents = Contents::default();
    Weeks::reserve(&mut contents, exported);
    Weeks::open(&Block::in_memory(contents).unwrap()).unwrap()
}

fn group(name: u8, created: u64, messages: u64) -> Group {
    let mut bytes = [0; MAX_NAME_BYTES];
    bytes[0] = name;
    Group {
        name: GroupName::new(bytes, 1),
        messages,
        created: UnixMillis(i64::try_from(created * 86_400_000).unwrap()),
        last_seen: UnixMillis(0),
        rate: 0.0,
        active_senders: [0; 2],
        is_exported: true,
    }
}

fn update(weeks: &Weeks, day: u64, groups: &[Group]) {
    weeks.update(|| groups.to_vec(), &Calendar::default(), UnixMillis(0), Day(day));
}

#[test]
fn a_new_group_has_no_messages_before_its_first_day() {
    let weeks = weeks(2);
    let read = |created| weeks.read(&group(b'a', created, 3), &Calendar::default(), Day(TODAY));
    assert_eq!(read(TODAY).map(|week| week.days[12..].to_vec()), Some(vec![Some(0), Some(3)]));
    assert_eq!(read(TODAY - 1), None);
    for (day, messages) in [(0, 5), (0, 7), (1, 7), (3, 17)] {
        update(&weeks, TODAY + day, &[group(b'a', TODAY, messages)]);
    }
    let week = weeks.read(&group(b'a', TODAY, 17), &Calendar::default(), Day(TODAY + 3)).unwrap();
    assert_eq!(week.days[8..], [Some(0), Some(0), Some(7), Some(0), Some(0), Some(10)]);
    assert_eq!((week.this, week.last), (Some(7), Some(0)));
}

#[test]
fn the_days_before_the_row_are_unknown() {
    let weeks = weeks(2);
    let mut messages = 1000;
    for day in 0..20 {
        update(&weeks, TODAY + day, &[group(b'a', TODAY - 50, messages)]);
        messages += day;
        update(&weeks, TODAY + day, &[group(b'a', TODAY - 50, messages)]);
        let week = weeks.read(&group(b'a', 0, 0), &Calendar::default(), Day(TODAY + day)).unwrap();
        assert_eq!(week.days[13], Some(day));
        assert_eq!(week.days[0], (day >= 13).then(|| day - 13), "{day}");
        let sum = |first: u64| (first..first + 7).sum::<u64>();
        assert_eq!(week.this, (day >= 7).then(|| sum(day - 7)), "{day}");
        assert_eq!(week.last, (day >= 14).then(|| sum(day - 14)), "{day}");
    }
}

#[test]
fn a_group_that_began_anew_with_the_counters_is_not_new() {
    let weeks = weeks(2);
    let reset = group(b'a', TODAY, 5);
    weeks.update(|| vec![reset], &Calendar::default(), reset.created, Day(TODAY));
    assert_eq!(weeks.read(&reset, &Calendar::default(), Day(TODAY)).unwrap().days[12..], [None, Some(0)]);
}

#[test]
fn what_came_while_a_group_was_not_exported_is_not_of_today() {
    let weeks = weeks(2);
    let [mut a, b, c] = [b'a', b'b', b'c'].map(|name| group(name, TODAY, 10));
    update(&weeks, TODAY, &[a, b]);
    update(&weeks, TODAY + 1, &[c, b]);
    a.messages = 110;
    update(&weeks, TODAY + 2, &[a, b]);
    a.messages = 115;
    update(&weeks, TODAY + 2, &[a, b]);
    assert_eq!(weeks.read(&a, &Calendar::default(), Day(TODAY + 2)).unwrap().days[11..], [None, None, Some(5)]);
    assert_eq!(weeks.read(&b, &Calendar::default(), Day(TODAY + 2)).unwrap().days[11..], [Some(10), Some(0), Some(0)]);
}

#[test]
fn a_counter_that_starts_from_0_loses_nothing_that_was_counted_before() {
    let weeks = weeks(2);
    for (day, messages) in [(0, 40), (1, 50), (1, 0), (1, 3), (2, 5), (1, 6)] {
        update(&weeks, TODAY + day, &[group(b'a', TODAY, messages)]);
    }
    let week = weeks.read(&group(b'a', 0, 0), &Calendar::default(), Day(TODAY + 2)).unwrap();
    assert_eq!(week.days[11..], [Some(40), Some(13), Some(3)]);
}

#[test]
fn a_clock_that_was_ahead_for_days_loses_only_the_days_before() {
    let weeks = weeks(2);
    for (day, messages) in [(0, 40), (40, 50), (0, 60), (1, 61)] {
        update(&weeks, TODAY + day, &[group(b'a', TODAY, messages)]);
    }
    let week = weeks.read(&group(b'a', 0, 0), &Calendar::default(), Day(TODAY + 1)).unwrap();
    assert_eq!(week.days[11..], [None, Some(10), Some(1)]);
}

#[test]
fn a_forgotten_group_begins_anew() {
    let weeks = weeks(2);
    let [mut a, b] = [b'a', b'b'].map(|name| group(name, TODAY, 10));
    update(&weeks, TODAY, &[a, b]);
    weeks.by_name.lock().clear();
    assert_eq!(["a", "a", "c"].map(|name| weeks.forget(name)), [true, false, false]);
    assert_eq!(weeks.rows().map(|row| row.get(NAME)).sum::<u64>(), hash_of("b"));
    a.messages = 1;
    update(&weeks, TODAY, &[a, b]);
    let today = |group| weeks.read(group, &Calendar::default(), Day(TODAY)).unwrap().days[13];
    assert_eq!([today(&a), today(&b)], [Some(1), Some(10)]);
}

#[test]
fn the_row_that_was_used_longest_ago_is_reused() {
    let weeks = weeks(2);
    for (day, names) in [(0, *b"ab"), (1, *b"cd"), (2, *b"ae")] {
        update(&weeks, TODAY + day, &names.map(|name| group(name, TODAY, 10 * (day + 1))));
    }
    let today = |name| weeks.read(&group(name, 0, 0), &Calendar::default(), Day(TODAY + 2)).map(|week| week.days[13]);
    assert_eq!(b"abcde".map(|name| today(name).is_some()), [true, false, true, true, true]);
    assert_eq!(today(b'a'), Some(Some(0)));
    assert_eq!(today(b'c'), Some(None));
    // After a restart, the rows are found again.
    weeks.by_name.lock().clear();
    update(&weeks, TODAY + 2, &[group(b'a', TODAY, 35)]);
    assert_eq!(today(b'a'), Some(Some(5)));
}
