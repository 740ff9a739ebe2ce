//! Who went offline, for the other exporters.

use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::domain::UnixMillis;

/// The most users that are kept until they are taken.
const LIMIT: usize = 65_536;

/// A user that went offline on a platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disconnect {
    /// The key of the user and the platform in the table of users online.
    pub key: u64,
    /// When.
    pub at: UnixMillis,
}

/// Those who went offline since they were last taken.
#[derive(Debug, Default)]
pub(super) struct Disconnects {
    are_kept: AtomicBool,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    disconnects: Vec<Disconnect>,
    /// How many more there were.
    dropped: u64,
}

impl Kept {
    /// Has memory for all, so that no callback waits for more while it holds the lock.
    fn new() -> Self {
        Self { disconnects: Vec::with_capacity(LIMIT), dropped: 0 }
    }
}

impl Disconnects {
    /// From now on, keeps those who go offline.
    pub(super) fn keep(&self) {
        if !self.are_kept.swap(true, Ordering::Relaxed) {
            self.take();
        }
    }

    pub(super) fn add(&self, disconnect: Disconnect) {
        if !self.are_kept.load(Ordering::Relaxed) {
            return;
        }
        let mut kept = self.kept.lock();
        if kept.disconnects.len() < LIMIT {
            kept.disconnects.push(disconnect);
        } else {
            kept.dropped += 1;
        }
    }

    /// Those who went offline since the last call, and how many more there were.
    pub(super) fn take(&self) -> (Vec<Disconnect>, u64) {
        let empty = Kept::new();
        let Kept { disconnects, dropped } = mem::replace(&mut *self.kept.lock(), empty);
        (disconnects, dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disconnect(number: usize) -> Disconnect {
        Disconnect { key: number as u64, at: UnixMillis(number.try_into().unwrap()) }
    }

    #[test]
    fn they_are_kept_from_the_first_request_on_until_they_are_taken() {
        let disconnects = Disconnects::default();
        disconnects.add(disconnect(1));
        disconnects.keep();
        disconnects.add(disconnect(2));
        disconnects.keep();
        disconnects.add(disconnect(3));
        assert_eq!(disconnects.take(), ([2, 3].map(disconnect).into(), 0));
        assert_eq!(disconnects.take(), (Vec::new(), 0));
    }

    #[test]
    fn those_for_which_there_is_no_room_are_counted() {
        let disconnects = Disconnects::default();
        disconnects.keep();
        (0..LIMIT + 3).map(disconnect).for_each(|disconnect| disconnects.add(disconnect));
        let (kept, dropped) = disconnects.take();
        assert_eq!(
            (kept.len(), kept.capacity(), kept.last(), dropped),
            (LIMIT, LIMIT, Some(&disconnect(LIMIT - 1)), 3)
        );
        disconnects.add(disconnect(0));
        assert_eq!(disconnects.take(), (vec![disconnect(0)], 0));
    }
}
