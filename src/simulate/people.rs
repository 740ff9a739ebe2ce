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

    pub(super) fn is_full(&self) -> bool {
        self.sessions.len() >= MAX_ONLINE
    }

    pub(super) fn arrive(&mut self, session: Session) {
        self.places.insert(session.person, self.sessions.len());
        self.sessions.push(session);
    }

    /// The session at a position, which may be larger than their number. `None` if nobody is online.
    pub(super) fn at(&self, position: u32) -> Option<Session> {
        let position = usize::try_from(position).ok()?;
        self.sessions.get(position % self.sessions.len().max(1)).copied()
    }

    /// Each session in turn, as OpenIM reports all of them again after some time.
    pub(super) fn next(&mut self) -> Option<Session> {
        self.next = self.next.wrapping_add(1);
        self.at(self.next)
    }

    pub(super) fn leave(&mut self, person: u32) {
        let Some(place) = self.places.remove(&person) else { return };
        self.sessions.swap_remove(place);
        if let Some(moved) = self.sessions.get(place) {
            self.places.insert(moved.person, place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_found_until_they_leave() {
        let mut people = People::default();
        let session = |person| Session { person, platform: 1 };
        assert_eq!((people.at(3), people.next()), (None, None));
        (0..5).for_each(|person| people.arrive(session(person)));
        for gone in [0, 4, 2, 2] {
            people.leave(gone);
        }
        let found: Vec<_> = (0..6).filter_map(|person| people.session(person)).collect();
        assert_eq!(found, [session(1), session(3)]);
        assert_ne!(people.next(), people.next());
    }
}
