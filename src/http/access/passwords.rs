//! Verifies users and passwords.
//!
//! A verdict costs a bcrypt hash, which takes milliseconds to seconds by design. One low-priority thread computes all
//! of them. Verdicts are cached by the header as it was sent, so a known client costs only a digest and a table lookup.

use std::hint::black_box;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use hyper::header::HeaderValue;
use tokio::sync::oneshot;

use super::basic::{self, Credentials, MAX_HEADER_BYTES};
use super::verdicts::{Fingerprint, Fingerprints, VerdictWriter, Verdicts};
use crate::config::Users;
use crate::http::base::niceness::lower_priority;

/// Requests that may wait for a verdict. Further ones are refused at once.
const MAX_WAITING: usize = 64;

/// The result of verifying credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// User and password are right.
    Right,
    /// User or password is wrong, or the header has no credentials: 401.
    Wrong,
    /// Not verified, because too many are waiting: 503.
    Busy,
}

impl From<bool> for Verdict {
    fn from(is_right: bool) -> Self {
        if is_right { Self::Right } else { Self::Wrong }
    }
}

/// The users of one file. The thread that verifies ends when this is dropped.
pub(crate) struct Passwords {
    users: Arc<Users>,
    fingerprints: Fingerprints,
    verdicts: Verdicts,
    waiting: SyncSender<Verification>,
    #[cfg(test)]
    work: Arc<Work>,
}

/// The work that the thread has done.
#[derive(Default)]
struct Work {
    verifications: AtomicU64,
    /// bcrypt rounds: 2 to the power of the cost for each hash. The time is proportional to it.
    rounds: AtomicU64,
}

struct Verification {
    fingerprint: Fingerprint,
    credentials: Credentials,
    answer: oneshot::Sender<bool>,
}

impl Passwords {
    /// Starts the thread that verifies.
    ///
    /// # Errors
    /// When the system provides no thread or no random numbers.
    pub(crate) fn start(users: Users) -> io::Result<Self> {
        let users = Arc::new(users);
        let fingerprints =
            Fingerprints::new().map_err(|_| io::Error::other("the system provides no random numbers"))?;
        let verdicts = Verdicts::default();
        let work = Arc::new(Work::default());
        let (waiting, requests) = sync_channel(MAX_WAITING);
        let mut verifier = Verifier {
            // 0 without users: then there is no user name to hide.
            highest: users.iter().map(|(_, hash)| hash.cost()).max().unwrap_or(0),
            users: Arc::clone(&users),
            verdicts: VerdictWriter::new(verdicts.clone()),
            work: Arc::clone(&work),
        };
        thread::Builder::new().name("passwords".to_owned()).spawn(move || {
            lower_priority();
            verifier.run(&requests);
        })?;
        Ok(Self {
            users,
            fingerprints,
            verdicts,
            waiting,
            #[cfg(test)]
            work,
        })
    }

    /// The users.
    pub(crate) fn users(&self) -> &Users {
        &self.users
    }

    /// The cached verdict, without an allocation or a lock. `None` if the credentials must be verified.
    pub(crate) fn cached(&self, authorization: &HeaderValue) -> Option<Verdict> {
        self.look_up(authorization.as_bytes())?.1
    }

    /// The fingerprint of a header, and its cached verdict. `None` if the header is too long for credentials.
    fn look_up(&self, header: &[u8]) -> Option<(Fingerprint, Option<Verdict>)> {
        let fingerprint = if header.len() > MAX_HEADER_BYTES { None } else { self.fingerprints.of(header) }?;
        Some((fingerprint, self.verdicts.get(&fingerprint).map(Verdict::from)))
    }

    /// Verifies the credentials of an `Authorization` header. If their verdict is cached, this is ready at once,
    /// without an allocation or a lock.
    pub(crate) async fn check(&self, authorization: &HeaderValue) -> Verdict {
        let header = authorization.as_bytes();
        let Some((fingerprint, known)) = self.look_up(header) else { return Verdict::Wrong };
        if let Some(verdict) = known {
            return verdict;
        }
        let Some(credentials) = basic::credentials(header) else { return Verdict::Wrong };
        let (answer, verdict) = oneshot::channel();
        if self.waiting.try_send(Verification { fingerprint, credentials, answer }).is_err() {
            return Verdict::Busy;
        }
        verdict.await.map_or(Verdict::Busy, Verdict::from)
    }

    /// Passwords verified with bcrypt so far.
    #[cfg(test)]
    fn verifications(&self) -> u64 {
        self.work.verifications.load(Relaxed)
    }
}

/// The state of the thread that verifies.
struct Verifier {
    users: Arc<Users>,
    /// The highest cost of a user's hash.
    highest: u32,
    verdicts: VerdictWriter,
    work: Arc<Work>,
}

impl Verifier {
    fn run(&mut self, requests: &Receiver<Verification>) {
        for Verification { fingerprint, credentials, answer } in requests {
            // The request has been abandoned.
            if answer.is_closed() {
                continue;
            }
            // It may have been verified while it waited.
            let is_right = self.verdicts.get(&fingerprint).unwrap_or_else(|| {
                let is_right = self.verify(&credentials);
                self.verdicts.add(fingerprint, is_right);
                is_right
            });
            // Fails only if the request has been abandoned.
            let _ = answer.send(is_right);
        }
    }

    /// Wrong credentials take the same time whether the user exists or not, so that the time does not reveal user
    /// names.
    fn verify(&self, Credentials { user, password }: &Credentials) -> bool {
        self.work.verifications.fetch_add(1, Relaxed);
        let user = self.users.get(user);
        let is_right = user.is_some_and(|hash| {
            self.count_rounds(hash.cost());
            // The hash was checked when it was read, so an error is not expected.
            bcrypt::verify(password, hash.as_str()).unwrap_or(false)
        });
        if !is_right {
            for cost in missing_costs(user.map(|hash| hash.cost()), self.highest) {
                self.count_rounds(cost);
                let _ = black_box(bcrypt::hash_with_salt(password, cost, [0; 16]));
            }
        }
        is_right
    }

    fn count_rounds(&self, cost: u32) {
        self.work.rounds.fetch_add(1 << cost, Relaxed);
    }
}

/// The costs of the hashes still to compute, so that the total work equals one hash of the highest cost. `done`: the
/// cost of the hash already computed. Each cost is twice the work of the previous one, so `done` plus all costs from
/// `done` up to `highest` add up to that.
fn missing_costs(done: Option<u32>, highest: u32) -> Range<u32> {
    done.map_or(highest..highest + 1, |done| done..highest)
}

#[cfg(test)]
mod tests;
