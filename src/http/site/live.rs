//! The live page's events: each snapshot is read and written once, and shared by all viewers.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use tokio::sync::watch;

use crate::http::base::quota::Quota;
use crate::view::Source;
use crate::view::live::Readings;

/// Time between two events.
const PERIOD: Duration = Duration::from_secs(1);

/// Viewers are woken in this many turns, with this time in between: all at once would delay callbacks for milliseconds.
/// Up to the default limit of viewers, each has a turn of its own.
const TURNS: usize = 100;
const TURN: Duration = Duration::from_millis(8);

/// The same in milliseconds: for this long, polls get the same snapshot.
const PERIOD_MS: u64 = 1000;

/// Milliseconds after which a browser connects again.
const RETRY_MS: u64 = 3000;

/// A comment, which browsers ignore. It shows that the stream is alive.
const HEARTBEAT: &[u8] = b":\n\n";

/// What viewers get next.
#[derive(Clone, Debug, Default)]
pub(super) struct Latest {
    /// Empty while there are no viewers.
    pub(super) event: Bytes,
    /// No event follows.
    pub(super) is_over: bool,
    /// How often all streams were ended so that their viewers connect again.
    pub(super) renewals: u64,
    id: i64,
    /// The running time when it was sent, in milliseconds.
    sent_ms: u64,
}

/// The events of all viewers.
pub(crate) struct Live {
    viewers: Arc<Quota>,
    snapshots: Mutex<Snapshots>,
    /// The same in each turn, a little later.
    turns: [watch::Sender<Latest>; TURNS],
    /// Held while the publisher decides whether to wait for [`Live::wanted`].
    deciding: Mutex<()>,
    /// Notified when a viewer has come, and at the end.
    wanted: Condvar,
}

#[derive(Default)]
struct Snapshots {
    readings: Readings,
    /// The last one as JSON, and the time when it was read, in milliseconds since the start.
    last: Option<(u64, Bytes)>,
}

impl Live {
    pub(super) fn new(viewers: Arc<Quota>) -> Self {
        Self {
            viewers,
            snapshots: Mutex::default(),
            turns: std::array::from_fn(|_| watch::Sender::default()),
            deciding: Mutex::default(),
            wanted: Condvar::new(),
        }
    }

    /// Publishes an event each second while there are viewers, until [`Live::end`]. The first viewer gets one at once.
    pub(super) fn publish<'a>(&self, source: impl Fn() -> Source<'a>, running_ms: impl Fn() -> u64) {
        let mut due = Instant::now();
        while !self.is_over() {
            let begin = Instant::now();
            let source = source();
            // Always, so that the first snapshot has the rate of the last seconds.
            self.snapshots.lock().readings.sample(source);
            if self.viewers.taken() == 0 {
                for turn in &self.turns {
                    turn.send_if_modified(|latest| {
                        latest.event = Bytes::new();
                        false
                    });
                }
            } else if let Ok(json) = self.read(source) {
                self.send(&json, source.now.0.div_euclid(1000), running_ms());
            }
            due = self.wait_until(due.max(begin) + PERIOD);
        }
    }

    /// Waits until the next event is due, or needed at once. Returns when it was due.
    fn wait_until(&self, due: Instant) -> Instant {
        let mut deciding = self.deciding.lock();
        loop {
            if self.is_over() || self.first().borrow().event.is_empty() && self.viewers.taken() > 0 {
                return Instant::now();
            }
            if self.wanted.wait_until(&mut deciding, due).timed_out() {
                return due;
            }
        }
    }

    /// Sends an event in turns, which takes up to 0.8 seconds.
    fn send(&self, json: &[u8], seconds: i64, running_ms: u64) {
        // IDs rise even if the clock is set back.
        let id = seconds.max(self.first().borrow().id.saturating_add(1));
        let event = Bytes::from([format!("id: {id}\nretry: {RETRY_MS}\ndata: ").as_bytes(), json, b"\n\n"].concat());
        for turn in &self.turns {
            turn.send_modify(|latest| {
                (latest.id, latest.sent_ms, latest.event) = (id, running_ms, event.clone());
            });
            if turn.receiver_count() > 0 && !self.is_over() {
                thread::sleep(TURN);
            }
        }
    }

    fn first(&self) -> &watch::Sender<Latest> {
        let [first, ..] = &self.turns;
        first
    }

    fn is_over(&self) -> bool {
        self.first().borrow().is_over
    }

    /// Sends a comment if there was no event for this long.
    pub(super) fn beat(&self, now_ms: u64, heartbeat: Duration) {
        if self.viewers.taken() == 0 {
            return;
        }
        for turn in &self.turns {
            turn.send_if_modified(|latest| {
                let is_due = Duration::from_millis(now_ms.saturating_sub(latest.sent_ms)) >= heartbeat;
                if is_due {
                    (latest.event, latest.sent_ms) = (Bytes::from_static(HEARTBEAT), now_ms);
                }
                is_due
            });
        }
    }

    /// Ends all streams, and the publisher.
    pub(super) fn end(&self) {
        self.turns.iter().for_each(|turn| turn.send_modify(|latest| latest.is_over = true));
        self.wake_publisher();
    }

    /// Ends all streams. Their viewers may connect again, if they are still allowed to.
    pub(super) fn renew(&self) {
        self.turns.iter().for_each(|turn| turn.send_modify(|latest| latest.renewals += 1));
    }

    fn wake_publisher(&self) {
        // If the publisher has decided to wait, it is waiting by now.
        drop(self.deciding.lock());
        self.wanted.notify_one();
    }

    /// The events from now on, for a viewer that the quota has counted.
    pub(super) fn subscribe(&self) -> watch::Receiver<Latest> {
        let turn = self.turns.iter().min_by_key(|turn| turn.receiver_count()).unwrap_or(self.first());
        let mut events = turn.subscribe();
        if turn.borrow().event.is_empty() {
            self.wake_publisher();
        } else {
            events.mark_changed();
        }
        events
    }

    /// A snapshot as JSON that is at most a second old.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub(crate) fn current(&self, source: Source<'_>) -> serde_json::Result<Bytes> {
        let last = self.snapshots.lock().last.clone();
        match last.filter(|(at, _)| source.uptime_ms.saturating_sub(*at) < PERIOD_MS) {
            Some((_, json)) => Ok(json),
            None => self.read(source),
        }
    }

    /// Reads a new snapshot.
    fn read(&self, source: Source<'_>) -> serde_json::Result<Bytes> {
        let mut snapshots = self.snapshots.lock();
        let json = Bytes::from(serde_json::to_vec(
            &snapshots.readings.snapshot(source, [self.viewers.taken(), self.viewers.limit()]),
        )?);
        snapshots.last = Some((source.uptime_ms, json.clone()));
        Ok(json)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::site::testing::site;

    const HEARTBEAT_AFTER: Duration = Duration::from_secs(15);

    fn viewed() -> (Live, Option<crate::http::base::quota::Share>) {
        let viewers = Arc::new(Quota::new(1, 1));
        let share = viewers.take_one(std::net::Ipv4Addr::LOCALHOST.into());
        (Live::new(viewers), share)
    }

    #[test]
    fn a_comment_follows_if_there_is_no_event_for_long() {
        let (live, share) = viewed();
        live.send(b"{}", 7, 1000);
        let mut events = live.first().subscribe();
        let mut next = |live: &Live, now_ms| {
            live.beat(now_ms, HEARTBEAT_AFTER);
            let has_changed = events.has_changed().unwrap();
            has_changed.then(|| events.borrow_and_update().event.clone())
        };
        assert_eq!(next(&live, 15_999), None);
        assert_eq!(next(&live, 16_000).unwrap(), HEARTBEAT);
        assert_eq!(next(&live, 30_999), None);
        assert_eq!(next(&live, 31_000).unwrap(), HEARTBEAT);
        live.send(b"{}", 8, 32_000);
        assert_eq!(next(&live, 46_000).unwrap(), "id: 8\nretry: 3000\ndata: {}\n\n");
        drop(share);
        assert_eq!(next(&live, 60_000), None);
    }

    #[test]
    fn ids_rise_even_if_the_clock_is_set_back() {
        let (live, _share) = viewed();
        let ids = [100, 100, 50, 103].map(|seconds| {
            live.send(b"{}", seconds, 0);
            live.first().borrow().id
        });
        assert_eq!(ids, [100, 101, 102, 103]);
    }

    #[test]
    fn polls_within_a_second_share_a_snapshot() {
        let site = site();
        let at = |uptime_ms| site.live.current(Source { uptime_ms, ..site.source() }).unwrap();
        let first = at(5000);
        assert_eq!(at(5999), first);
        assert_ne!(at(6000), first);
    }
}
