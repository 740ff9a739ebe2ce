//! Clocks that differ, time zones, and Redis' clock being set.

use openim_exporter::domain::Day;
use openim_exporter::stats::UnitedDay;

use crate::fleet::{
    BEGIN, DAY, FIVE_MINUTES, HOUR, MINUTE, Member, ONE_DAY, ONE_HOUR, SECOND, THIRTY_DAYS, agreed, assert_near, round,
    stats,
};
use crate::redis_server::Redis;

#[test]
#[ignore = "needs redis-server"]
fn stretches_are_numbered_by_redis_clock_however_wrong_the_machines_clocks_are() {
    for ahead in [-20 * SECOND, 25 * SECOND, 3 * MINUTE, -47 * MINUTE, 5 * HOUR, -9 * DAY, 400 * DAY] {
        let redis = Redis::start(&[]);
        let wrong = Member::with(&redis, "wrong", stats(BEGIN + ahead, "UTC", 5), ahead);
        let mut members = [Member::new(&redis, "right"), wrong];
        for (number, member) in members.iter().enumerate() {
            (0..600).for_each(|person| member.group_message(BEGIN, "g", &format!("{number}-{person}")));
        }
        let united = round(&mut members, BEGIN);
        assert_near(united.windows[0][FIVE_MINUTES], 1200, &format!("{ahead}: at once"));
        assert_eq!(members[1].metric("clock_skew_seconds", ""), ahead as f64 / 1000.0);
        for (minutes, in_five, in_hour) in [(4, 1200, 1200), (7, 0, 1200), (59, 0, 1200), (63, 0, 0)] {
            let now = BEGIN + minutes * MINUTE;
            (1..=12).for_each(|back| members.iter().for_each(|member| member.tick(now - (12 - back) * 5 * SECOND)));
            let windows = round(&mut members, now).windows[0];
            assert_near(windows[FIVE_MINUTES], in_five, &format!("{ahead}: 5m after {minutes} minutes"));
            assert_near(windows[ONE_HOUR], in_hour, &format!("{ahead}: 1h after {minutes} minutes"));
            assert_near(windows[ONE_DAY], 1200, &format!("{ahead}: 24h after {minutes} minutes"));
        }
    }
}

#[test]
#[ignore = "needs redis-server"]
fn days_and_hours_pass_at_all_exporters_at_once() {
    let redis = Redis::start(&[]);
    let mut members = ["a", "b"].map(|name| Member::new(&redis, name));
    for day in 0..35_i64 {
        let now = BEGIN + day * DAY;
        for (number, member) in members.iter().enumerate() {
            member.tick(now);
            (0..10).for_each(|person| member.group_message(now, "g", &format!("{day}-{number}-{person}")));
        }
        let united = round(&mut members, now);
        let days = |window: usize| usize::try_from(day + 1).unwrap().min(window);
        assert_near(united.windows[0][ONE_DAY], 20 * days(2), "24h");
        assert_near(united.windows[0][THIRTY_DAYS], 20 * days(31), "30d");
        // The calendar days come with the tick after their messages.
        let united = round(&mut members, now + 10 * SECOND);
        assert_eq!(united.days.len(), days(36));
        assert!(united.days.iter().all(|(_, day)| day.group_senders.abs_diff(20) <= 1), "{:?}", united.days);
    }
}

#[test]
#[ignore = "needs redis-server"]
fn dates_of_another_time_zone_are_left_out() {
    let redis = Redis::start(&[]);
    let shanghai = |name| Member::with(&redis, name, stats(BEGIN, "Asia/Shanghai", 5), 0);
    let mut members = [shanghai("a"), Member::new(&redis, "b"), shanghai("c")];
    // 22:00 in UTC is 06:00 on the next day in Shanghai.
    let evening = BEGIN + 17 * HOUR;
    for (number, member) in members.iter_mut().enumerate() {
        member.tick(evening);
        (0..100).for_each(|person| member.group_message(evening, "g", &format!("{number}-{person}")));
        member.tick(evening + 5 * SECOND);
        member.write(evening + 10 * SECOND);
    }
    members.iter_mut().for_each(|member| member.read(evening + 15 * SECOND));
    let [shanghai, utc, other] = [0, 1, 2].map(|at| members[at].united());
    assert_eq!(shanghai, other);
    assert_eq!(shanghai.windows, utc.windows, "only days depend on the time zone");
    assert_near(shanghai.windows[0][FIVE_MINUTES], 300, "all");
    let days =
        |days: &[(Day, UnitedDay)]| days.iter().map(|(day, of)| (day.to_string(), of.senders)).collect::<Vec<_>>();
    let ([(next, two)], [(today, one)]) = (&days(&shanghai.days)[..], &days(&utc.days)[..]) else {
        panic!("{shanghai:?} {utc:?}")
    };
    assert_eq!((today.as_str(), next.as_str()), ("2026-11-29", "2026-11-30"));
    assert_near(*two, 200, "in Shanghai");
    assert_near(*one, 100, "in UTC");
}

#[test]
#[ignore = "needs redis-server"]
fn when_redis_clock_is_set_the_numbers_are_correct_again_a_minute_later() {
    let redis = Redis::start(&[]);
    let mut members: Vec<_> = ["a", "b", "ends"].map(|name| Member::new(&redis, name)).into();
    for (number, member) in members.iter().enumerate() {
        (0..100).for_each(|person| member.group_message(BEGIN, "g", &format!("{number}-{person}")));
    }
    round(&mut members, BEGIN);
    members.pop();
    // A failover to a server whose clock is a day ahead or two hours behind, and back. The machines' clocks stay
    // correct.
    for jump in [DAY, -2 * HOUR] {
        for (now, ahead) in [(BEGIN + 10 * SECOND, -jump), (BEGIN + 70 * SECOND, 0)] {
            members.iter_mut().for_each(|member| member.ahead = ahead);
            round(&mut members, now - ahead);
        }
        let united = round(&mut members, BEGIN + 120 * SECOND);
        assert_near(united.windows[0][ONE_HOUR], 300, &format!("{jump}"));
    }
    agreed(&members);
}

#[test]
#[ignore = "needs redis-server"]
fn people_of_today_do_not_count_tomorrow_after_redis_clock_was_a_day_ahead() {
    let redis = Redis::start(&[]);
    let mut members = Vec::from(["a", "b"].map(|name| Member::new(&redis, name)));
    for (number, member) in members.iter().enumerate() {
        (0..1000).for_each(|person| member.group_message(BEGIN, "g", &format!("{number}-{person}")));
    }
    round(&mut members, BEGIN);
    for (now, ahead) in [(BEGIN + 10 * SECOND, -DAY), (BEGIN + 30 * SECOND, 0)] {
        members.iter_mut().for_each(|member| member.ahead = ahead);
        round(&mut members, now - ahead);
    }
    assert_near(agreed(&members).windows[0][ONE_HOUR], 2000, "today");
    // In the same hour of the next day, whose keys have not expired.
    let tomorrow = BEGIN + DAY + 10 * MINUTE;
    for (number, member) in members.iter().enumerate() {
        member.tick(tomorrow);
        (0..10).for_each(|person| member.group_message(tomorrow, "g", &format!("{number}-{person}-tomorrow")));
    }
    round(&mut members, tomorrow);
    members.push(Member::new(&redis, "late"));
    let united = round(&mut members, tomorrow + 10 * SECOND);
    assert_near(united.windows[0][ONE_HOUR], 20, "1h");
    assert_near(united.windows[0][THIRTY_DAYS], 2020, "30d");
    let days: Vec<_> = united.days.iter().map(|(_, day)| day.group_senders).collect();
    assert!(days[0].abs_diff(2000) <= 40 && days[1].abs_diff(20) <= 1, "{days:?}");
}

#[test]
#[ignore = "needs redis-server"]
fn after_a_restart_in_another_time_zone_the_dates_start_again() {
    let redis = Redis::start(&[]);
    // On the same date in both.
    for (now, zone, people, in_a_day) in [(BEGIN, "Asia/Shanghai", 100, 100), (BEGIN + 17 * HOUR, "UTC", 50, 150)] {
        let mut members = [Member::with(&redis, "a", stats(now, zone, 5), 0)];
        (0..people).for_each(|person| members[0].group_message(now, "g", &format!("{zone}-{person}")));
        members[0].tick(now + 5 * SECOND);
        let united = round(&mut members, now + 10 * SECOND);
        assert_near(united.windows[0][ONE_DAY], in_a_day, "24h");
        let [(day, of_day)] = united.days[..] else { panic!("{:?}", united.days) };
        assert_eq!(day.to_string(), "2026-11-29");
        assert_near(of_day.senders, people, zone);
    }
}
