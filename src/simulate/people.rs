//! Who is online.

use std::collections::HashMap;

use foldhash::fast::FixedState;

/// The most people online at a time, which limits the memory: fewer than an exporter tracks by default.
const MAX_ONLINE: usize = 50_000;

/// A person on a platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Session {
    /// The person's rank.
    pub(super) person: u32,
    /// The platform ID.
    pub(super) platform: i32,
}

/// The people who are online, each on one platform.
#[derive(Default)]
pub(super) struct People {
    sessions: Vec<Session>,
    /// Position in `sessions` by rank.
    places: HashMap<u32, usize, FixedState>,
    /// Position of the next session to be renewed.
    next: u32,
}

impl People {
    pub(super) fn session(&self, person: u32) -> Option<Session> {
        self.sessions.get(*self.places.get(&person)?).copied()
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    pub(super) const fn is_full(&self) -> bool {
        self.sessions.len() >= MAX_ONLINE
    }

    /// Adds a person who is offline.
    pub(super) fn arrive(&mut self, session: Session) -> Session {
        self.places.insert(session.person, self.sessions.len());
        self.sessions.push(session);
        session
    }

    /// The session at a place, which may be beyond the last. `None` if nobody is online.
    pub(super) fn at(&self, place: u32) -> Option<Session> {
        self.sessions.get(self.position(place)?).copied()
    }

    /// Each session in turn, as OpenIM reports all of them again after some time.
    pub(super) fn next(&mut self) -> Option<Session> {
        self.next = self.next.wrapping_add(1);
        self.at(self.next)
    }

    /// Removes the session at a place.
    pub(super) fn leave(&mut self, place: u32) -> Option<Session> {
        let position = self.position(place)?;
        let gone = self.sessions.swap_remove(position);
        self.places.remove(&gone.person);
        if let Some(moved) = self.sessions.get(position) {
            self.places.insert(moved.person, position);
        }
        Some(gone)
    }

    fn position(&self, place: u32) -> Option<usize> {
        usize::try_from(place).ok()?.checked_rem(self.sessions.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_found_until_they_leave() {
        let mut people = People::default();
        let session = |person| Session { person, platform: 1 };
        assert_eq!((people.at(3), people.next(), people.leave(3)), (None, None, None));
        for person in 0..5 {
            people.arrive(session(person));
        }
        // The last one takes the place of the one who leaves.
        assert_eq!([0, 5, 2].map(|place| people.leave(place).unwrap().person), [0, 1, 2]);
        let found: Vec<_> = (0..6).filter_map(|person| people.session(person)).collect();
        assert_eq!(found, [session(3), session(4)]);
        assert_ne!(people.next(), people.next());
    }
}
