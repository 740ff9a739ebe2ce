//! Who is online according to the callbacks that were sent.

use std::collections::{BTreeMap, HashMap};

use foldhash::fast::FixedState;
use serde::Serialize;

use super::people::Session;

/// How many users are online at the end. The numbers are equal if all callbacks were answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OnlineCount {
    /// Certainly.
    pub at_least: u64,
    /// Also those for whom a callback was not answered: the server may have counted it.
    pub at_most: u64,
}

/// The sessions that may be online. True if it is certain.
#[derive(Default)]
pub(super) struct Presences(HashMap<Session, bool, FixedState>);

impl Presences {
    /// Records a report that a user is online.
    pub(super) fn online(&mut self, session: Session, answered: bool) {
        *self.0.entry(session).or_default() |= answered;
    }

    /// Records a report that a user went offline.
    pub(super) fn offline(&mut self, session: Session, answered: bool) {
        if answered {
            self.0.remove(&session);
        } else if let Some(is_certain) = self.0.get_mut(&session) {
            *is_certain = false;
        }
    }

    /// The numbers by platform ID.
    pub(super) fn by_platform(&self) -> BTreeMap<i32, OnlineCount> {
        let mut counts = BTreeMap::<i32, OnlineCount>::new();
        for (session, is_certain) in &self.0 {
            let count = counts.entry(session.platform).or_default();
            count.at_least += u64::from(*is_certain);
            count.at_most += 1;
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_presence_is_certain_only_if_its_last_report_was_answered() {
        let after = |reports: &[(bool, bool)]| {
            let mut presences = Presences::default();
            let session = Session { person: 7, platform: 2 };
            for (online, answered) in reports {
                if *online { presences.online(session, *answered) } else { presences.offline(session, *answered) }
            }
            presences.by_platform().get(&2).map(|count| (count.at_least, count.at_most))
        };
        assert_eq!(after(&[(true, true)]), Some((1, 1)));
        assert_eq!(after(&[(true, false)]), Some((0, 1)));
        // A renewal that failed changes nothing.
        assert_eq!(after(&[(true, true), (true, false)]), Some((1, 1)));
        assert_eq!(after(&[(true, true), (false, true)]), None);
        assert_eq!(after(&[(true, true), (false, false)]), Some((0, 1)));
        assert_eq!(after(&[(true, true), (false, false), (true, true)]), Some((1, 1)));
    }
}
