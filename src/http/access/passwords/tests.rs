use std::future::Future as _;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::http::base::quota::Quota;

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Users with passwords, and the costs of their hashes.
fn passwords(users: &[(&str, &str, u32)]) -> Passwords {
    let line =
        |(name, password, cost): &(&str, &str, u32)| format!("{name}:{}\n", bcrypt::hash(password, *cost).unwrap());
    let file: String = users.iter().map(line).collect();
    Passwords::start(Users::parse(&file).unwrap()).unwrap()
}

fn basic(user: &str, password: impl AsRef<[u8]>) -> HeaderValue {
    let text = [user.as_bytes(), b":", password.as_ref()].concat();
    HeaderValue::try_from(format!("Basic {}", STANDARD.encode(text))).unwrap()
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// A share of a quota that is not used up.
fn free() -> Option<Share> {
    Arc::new(Quota::new(1, 1)).take_one(CLIENT)
}

/// The verdict, if it is ready at once.
fn at_once(passwords: &Passwords, header: &HeaderValue) -> Poll<Verdict> {
    pin!(passwords.check(header, free)).poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn only_a_user_s_own_password_is_right() {
    let passwords = passwords(&[("alice", "open sesame", 4), ("bob", "other", 5)]);
    for (user, password, expected) in [
        ("alice", "open sesame", Verdict::Right),
        ("bob", "other", Verdict::Right),
        ("alice", "other", Verdict::Wrong),
        ("alice", "open sesam", Verdict::Wrong),
        ("alice", "open sesame ", Verdict::Wrong),
        ("alice", "open sesame\0", Verdict::Wrong),
        ("alice", "", Verdict::Wrong),
        ("Alice", "open sesame", Verdict::Wrong),
        ("", "", Verdict::Wrong),
        ("mallory", "open sesame", Verdict::Wrong),
    ] {
        // Verified, and then cached.
        for _ in 0..2 {
            assert_eq!(block_on(passwords.check(&basic(user, password), free)), expected, "{user}:{password:?}");
        }
    }
}

#[test]
fn a_password_that_bcrypt_would_truncate_is_wrong() {
    let longest = "p".repeat(72);
    let passwords = passwords(&[("alice", &longest, 4)]);
    assert_eq!(block_on(passwords.check(&basic("alice", &longest), free)), Verdict::Right);
    assert_eq!(block_on(passwords.check(&basic("alice", format!("{longest}p")), free)), Verdict::Wrong);
}

#[test]
fn hashes_of_other_programs_are_supported() {
    // Created by libxcrypt, whose code Apache's htpasswd shares, and by jBCrypt.
    for (hash, password, expected) in [
        ("$2y$04$abcdefghijklmnopqrstuu/LVz6MZlItEy42I2juLihZ66HnQx/cy", "open sesame", Verdict::Right),
        ("$2y$04$abcdefghijklmnopqrstuu/LVz6MZlItEy42I2juLihZ66HnQx/cy", "open sesam", Verdict::Wrong),
        ("$2b$05$abcdefghijklmnopqrstuupx2xBUC4954936wVIjyyPHmUBFu0wCW", "open sesame", Verdict::Right),
        ("$2a$06$DCq7YPn5Rq63x1Lad4cll.TV4S6ytwfsfvkgY8jIucDrjc8deX1s.", "", Verdict::Right),
    ] {
        let passwords = Passwords::start(Users::parse(&format!("alice:{hash}")).unwrap()).unwrap();
        assert_eq!(block_on(passwords.check(&basic("alice", password), free)), expected, "{hash}");
    }
}

#[test]
fn a_cached_verdict_costs_no_hash_no_allocation_and_no_waiting() {
    let passwords = passwords(&[("alice", "open sesame", 4)]);
    let (right, wrong) = (basic("alice", "open sesame"), basic("alice", "guess"));
    // Abandoned, unless the thread is faster than this one.
    let _ = at_once(&passwords, &right);
    assert_eq!(block_on(passwords.check(&right, free)), Verdict::Right);
    assert_eq!(block_on(passwords.check(&wrong, free)), Verdict::Wrong);
    assert!(passwords.verifications() <= 2, "an abandoned request costs at most its own hash");
    let verified = passwords.verifications();
    for (header, expected) in [(&right, Verdict::Right), (&wrong, Verdict::Wrong)] {
        let made = allocation_counter::measure(|| assert_eq!(at_once(&passwords, header), Poll::Ready(expected)));
        assert_eq!(made.count_total, 0);
    }
    assert_eq!(passwords.verifications(), verified);
}

#[test]
fn headers_without_credentials_cost_no_hash() {
    let passwords = passwords(&[("alice", "open sesame", 4)]);
    let long = format!("Basic {}", "QTpi".repeat(200));
    for header in ["", "Basic", "Basic QTpi=", "Bearer abc", &long] {
        let header = HeaderValue::try_from(header).unwrap();
        assert_eq!(at_once(&passwords, &header), Poll::Ready(Verdict::Wrong), "{header:?}");
    }
    assert_eq!(passwords.verifications(), 0);
}

#[test]
fn the_same_credentials_at_the_same_time_are_verified_once() {
    let passwords = Arc::new(passwords(&[("alice", "open sesame", 8)]));
    // The quota has a share for one of them.
    let quota = Arc::new(Quota::new(1, 1));
    let checks = async {
        let header = basic("alice", "open sesame");
        let check = |_| {
            let (passwords, header, quota) = (Arc::clone(&passwords), header.clone(), Arc::clone(&quota));
            tokio::spawn(async move { passwords.check(&header, || quota.take_one(CLIENT)).await })
        };
        let checks: Vec<_> = (0..50).map(check).collect();
        for check in checks {
            assert_eq!(check.await.unwrap(), Verdict::Right);
        }
    };
    block_on(checks);
    assert_eq!(passwords.verifications(), 1);
}

#[test]
fn an_abandoned_request_keeps_its_share_while_another_waits_for_its_verdict() {
    let passwords = passwords(&[("alice", "open sesame", 10)]);
    let (quota, wrong) = (Arc::new(Quota::new(1, 1)), basic("alice", "guess"));
    let mut context = Context::from_waker(Waker::noop());
    let share = || quota.take_one(CLIENT);
    let [mut first, mut second] = [0, 1].map(|_| Box::pin(passwords.check(&wrong, share)));
    assert_eq!([first.as_mut(), second.as_mut()].map(|check| check.poll(&mut context)), [Poll::Pending; 2]);
    drop(first);
    assert!(quota.take_one(CLIENT).is_none());
    assert_eq!(block_on(second), Verdict::Wrong);
}

#[test]
fn too_many_waiting_requests_are_refused_and_cached_ones_are_not() {
    let passwords = passwords(&[("alice", "open sesame", 9)]);
    let right = basic("alice", "open sesame");
    assert_eq!(block_on(passwords.check(&right, free)), Verdict::Right);
    // Many more than can wait, each polled once before the first verdict.
    let headers: Vec<_> = (0..3 * MAX_WAITING).map(|guess| basic("alice", guess.to_string())).collect();
    let mut checks: Vec<_> = headers.iter().map(|header| Box::pin(passwords.check(header, free))).collect();
    let mut context = Context::from_waker(Waker::noop());
    let polls: Vec<_> = checks.iter_mut().map(|check| check.as_mut().poll(&mut context)).collect();
    let busy = polls.iter().filter(|poll| **poll == Poll::Ready(Verdict::Busy)).count();
    assert!(busy > 0 && busy <= 2 * MAX_WAITING, "{busy} of {} were refused", polls.len());
    assert_eq!(at_once(&passwords, &right), Poll::Ready(Verdict::Right));
    // The waiting request gets its verdict. Abandoned ones cost no hash, except the one in progress.
    drop(checks.split_off(1));
    assert_eq!(block_on(checks.remove(0)), Verdict::Wrong);
    let last = || block_on(passwords.check(&basic("alice", "last"), free));
    // The thread skips the others one by one. Until then the queue may be full.
    let verdict = std::iter::repeat_with(last).find(|verdict| *verdict != Verdict::Busy);
    assert_eq!(verdict, Some(Verdict::Wrong));
    assert!(passwords.verifications() < MAX_WAITING as u64 / 2, "{} hashes", passwords.verifications());
}

#[test]
fn wrong_credentials_cost_the_same_work_for_every_name() {
    for highest in 4..=15 {
        let work = |costs: Range<u32>| costs.map(|cost| 1_u64 << cost).sum::<u64>();
        let unknown = work(missing_costs(None, highest));
        assert_eq!(unknown, 1 << highest);
        for cost in 4..=highest {
            assert_eq!((1 << cost) + work(missing_costs(Some(cost), highest)), unknown, "{cost} of {highest}");
        }
    }
    let passwords = passwords(&[("alice", "open sesame", 4), ("bob", "other", 7)]);
    for (number, user) in (1..).zip(["nobody", "alice", "bob", "", "Alice"]) {
        assert_eq!(block_on(passwords.check(&basic(user, "guess"), free)), Verdict::Wrong);
        assert_eq!(passwords.work.rounds.load(Relaxed), number << 7, "{user:?}");
    }
}

#[test]
fn the_thread_ends_when_the_passwords_are_dropped() {
    let passwords = passwords(&[("alice", "open sesame", 4)]);
    let work = Arc::downgrade(&passwords.work);
    drop(passwords);
    // The thread holds a reference until it ends.
    while work.strong_count() > 0 {
        thread::yield_now();
    }
}
