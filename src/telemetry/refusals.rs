//! The last refused requests, so that an operator can find the client.

use std::array;
use std::collections::VecDeque;
use std::net::IpAddr;

use parking_lot::Mutex;

use super::metric::Throttle;
use crate::domain::{Reason, UnixMillis};

/// How many are kept for each reason: so a flood of one kind does not hide the others.
const KEPT_PER_REASON: usize = 3;

/// Longest detail that is kept, in bytes. Some contain what the client sent.
const MAX_DETAIL_BYTES: usize = 300;

/// A refused request.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// Why it was refused.
    pub reason: Reason,
    /// What exactly was wrong.
    pub detail: String,
    /// The client's address.
    pub client: IpAddr,
    /// Whether the request may have been a callback: not if its method was another than `POST`.
    pub may_be_callback: bool,
    /// When it was refused.
    pub at: UnixMillis,
}

/// The last refusals for each reason, and the limits of their log lines.
#[derive(Debug)]
pub(super) struct Refusals([(Throttle, Mutex<VecDeque<Refusal>>); Reason::ALL.len()]);

impl Default for Refusals {
    fn default() -> Self {
        Self(array::from_fn(|_| Default::default()))
    }
}

impl Refusals {
    /// Keeps a refusal. Returns whether it may be logged.
    pub(super) fn keep(&self, refusal: &Refusal) -> bool {
        let Some((throttle, last)) = self.0.get(refusal.reason as usize) else { return false };
        let is_due = throttle.allows(refusal.at.0);
        // A copy of the part that is kept: a shortened string would keep the memory of the whole.
        let end = refusal.detail.floor_char_boundary(MAX_DETAIL_BYTES);
        let detail = refusal.detail.get(..end).unwrap_or_default().to_owned();
        let mut last = last.lock();
        last.truncate(KEPT_PER_REASON - 1);
        last.push_front(Refusal { detail, ..*refusal });
        is_due
    }

    /// Forgets the refusals whose details contain this text as whole words, as it is or with escapes.
    pub(super) fn forget(&self, text: &str) {
        let escaped = text.escape_debug().to_string();
        let names_it = |refusal: &Refusal| [text, &escaped].iter().any(|text| has_words(&refusal.detail, text));
        self.0.iter().for_each(|(_, last)| last.lock().retain(|refusal| !names_it(refusal)));
    }

    /// The kept refusals, newest first.
    pub(super) fn last(&self) -> Vec<Refusal> {
        let mut all: Vec<_> = self.0.iter().flat_map(|(_, last)| last.lock().clone()).collect();
        all.sort_by_key(|refusal| std::cmp::Reverse(refusal.at));
        all
    }
}

/// Whether a text has these words, and not as a part of a longer word.
fn has_words(text: &str, words: &str) -> bool {
    let is_part = |neighbour: Option<char>| neighbour.is_some_and(char::is_alphanumeric);
    text.match_indices(words).any(|(at, _)| {
        let (before, from) = text.split_at_checked(at).unwrap_or_default();
        let behind = from.get(words.len()..).unwrap_or_default();
        !is_part(before.chars().next_back()) && !is_part(behind.chars().next())
    })
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn what_quotes_an_erased_id_is_forgotten() {
        let refusals = Refusals::default();
        let details = || refusals.last().into_iter().map(|refusal| refusal.detail).collect::<Vec<_>>();
        for (reason, detail) in
            [(Reason::BadQuery, "sort: \"team\""), (Reason::BadQuery, "teams"), (Reason::WrongType, "team \\\"a\\\"")]
        {
            let client = Ipv4Addr::LOCALHOST.into();
            let at = UnixMillis(0);
            refusals.keep(&Refusal { reason, detail: detail.to_owned(), client, may_be_callback: true, at });
        }
        assert_eq!(details().len(), 3);
        refusals.forget("team \"a\"");
        assert_eq!(details(), ["teams", "sort: \"team\""]);
        refusals.forget("team");
        assert_eq!(details(), ["teams"]);
    }
}
