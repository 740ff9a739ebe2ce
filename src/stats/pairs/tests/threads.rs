use std::sync::atomic::AtomicI64;
use std::thread;

use super::*;

/// Rounds of traffic in which four threads record the same `senders` pairs at once, in the same order or not, while a
/// fifth scans continuously. Between rounds the pairs expire, so their entries are reused or emptied.
struct Rounds {
    pairs: Pairs,
    senders: u32,
    rounds: i64,
    begun: AtomicI64,
    done: AtomicI64,
}

impl Rounds {
    const THREADS: i64 = 4;
    const GROUPS: u32 = 7;

    const fn time(round: i64) -> i64 {
        round * 1441 + round / 2 * 4
    }

    fn record(&self, thread: u32) {
        for round in 1..=self.rounds {
            wait_until(|| self.begun.load(Ordering::Acquire) >= round);
            let first = if round % 2 == 0 { 0 } else { thread * self.senders / 4 };
            for sender in (first..self.senders).chain(0..first) {
                let slot = sender % Self::GROUPS;
                self.pairs.record(key(slot, sender), slot, minute(Self::time(round)));
            }
            self.done.fetch_add(1, Ordering::AcqRel);
        }
    }

    fn scan(&self) {
        for round in 1..=self.rounds {
            wait_until(|| self.begun.load(Ordering::Acquire) >= round);
            while self.done.load(Ordering::Acquire) < (Self::THREADS + 1) * round - 1 {
                counts(&self.pairs, minute(Self::time(round)), Self::GROUPS as usize);
            }
            self.done.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// The first round after which the counts were wrong.
    fn first_wrong(&self) -> Option<i64> {
        let everyone: HashMap<_, _> = (0..self.senders).map(|sender| ((sender % Self::GROUPS, sender), 0)).collect();
        let expected = expected(&everyone, 0, Self::GROUPS as usize);
        let wrong = (1..=self.rounds).find(|round| {
            self.begun.store(*round, Ordering::Release);
            wait_until(|| self.done.load(Ordering::Acquire) == (Self::THREADS + 1) * round);
            let look = || counts(&self.pairs, minute(Self::time(*round)), Self::GROUPS as usize);
            let is_right = look() == expected && look() == expected;
            !is_right || (self.pairs.tracked(), self.pairs.evicted()) != (u64::from(self.senders), 0)
        });
        self.begun.store(self.rounds, Ordering::Release);
        wrong
    }
}

fn wait_until(happened: impl Fn() -> bool) {
    while !happened() {
        thread::yield_now();
    }
}

#[test]
fn threads_that_record_the_same_pairs_during_a_scan_count_each_once() {
    for (senders, rounds) in [(20_000, 10), (500, 200), (13, 4000)] {
        let (begun, done) = (AtomicI64::new(0), AtomicI64::new(0));
        let test = Rounds { pairs: pairs(senders as usize), senders, rounds, begun, done };
        thread::scope(|scope| {
            let test = &test;
            (0..4).for_each(|thread| drop(scope.spawn(move || test.record(thread))));
            scope.spawn(|| test.scan());
            assert_eq!(test.first_wrong(), None, "{senders} senders");
        });
    }
}
