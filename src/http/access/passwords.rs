//! Verifies users and passwords.
//!
//! A verdict costs a bcrypt hash, which takes milliseconds to seconds by design. One low-priority thread computes all
//! of them. Verdicts are cached by the header as it was sent, so a known client costs only a digest and a table lookup.
//! Requests with the same header wait for the same verdict: after a start, OpenIM sends its password many times at
//! once.

use std::collections::HashMap;
use std::hint::black_box;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Weak};
use std::thread;

use hyper::header::HeaderValue;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::basic::{self, Credentials, MAX_HEADER_BYTES};
use super::verdicts::{Fingerprint, Fingerprints, VerdictWriter, Verdicts};
use crate::config::Users;
use crate::http::base::quota::Share;
use crate::niceness::lower_priority;

/// Credentials that may wait for a verdict. Further ones are refused at once.
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
    pending: Arc<Pending>,
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

/// Where the verdict appears. Without receivers, all requests have been abandoned.
type VerdictSender = watch::Sender<Option<bool>>;

/// The credentials whose verdict is awaited.
type Pending = Mutex<HashMap<Fingerprint, Weak<VerdictSender>>>;

struct Verification {
    fingerprint: Fingerprint,
    credentials: Credentials,
    verdict: Arc<VerdictSender>,
    /// Kept here, not with the request: others may wait for the same verdict after that request is abandoned.
    _share: Share,
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
        let pending = Arc::new(Pending::default());
        let mut verifier = Verifier {
            // 0 without users: then there is no user name to hide.
            highest: users.iter().map(|(_, hash)| hash.cost()).max().unwrap_or(0),
            users: Arc::clone(&users),
            verdicts: VerdictWriter::new(verdicts.clone()),
            pending: Arc::clone(&pending),
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
            pending,
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
    /// without an allocation or a lock. Credentials that are not being verified already need a share from `quota`.
    pub(crate) async fn check(&self, authorization: &HeaderValue, quota: impl FnOnce() -> Option<Share>) -> Verdict {
        let header = authorization.as_bytes();
        let Some((fingerprint, known)) = self.look_up(header) else { return Verdict::Wrong };
        if let Some(verdict) = known {
            return verdict;
        }
        let Some(credentials) = basic::credentials(header) else { return Verdict::Wrong };
        let awaited = self.pending.lock().get(&fingerprint).and_then(Weak::upgrade).map(|verdict| verdict.subscribe());
        if let Some(verdict) = awaited {
            return wait(verdict).await;
        }
        let Some(share) = quota() else { return Verdict::Busy };
        let (sender, verdict) = watch::channel(None);
        let sender = Arc::new(sender);
        self.pending.lock().insert(fingerprint, Arc::downgrade(&sender));
        if self.waiting.try_send(Verification { fingerprint, credentials, verdict: sender, _share: share }).is_err() {
            self.pending.lock().remove(&fingerprint);
            return Verdict::Busy;
        }
        wait(verdict).await
    }

    /// Passwords verified with bcrypt so far.
    #[cfg(test)]
    fn verifications(&self) -> u64 {
        self.work.verifications.load(Relaxed)
    }
}

/// Waits for a verdict.
async fn wait(mut verdict: watch::Receiver<Option<bool>>) -> Verdict {
    let is_right = verdict.wait_for(Option::is_some).await.map(|verdict| *verdict);
    is_right.ok().flatten().map_or(Verdict::Busy, Verdict::from)
}

/// The state of the thread that verifies.
struct Verifier {
    users: Arc<Users>,
    /// The highest cost of a user's hash.
    highest: u32,
    verdicts: VerdictWriter,
    pending: Arc<Pending>,
    work: Arc<Work>,
}

impl Verifier {
    fn run(&mut self, requests: &Receiver<Verification>) {
        for Verification { fingerprint, credentials, verdict, _share } in requests {
            // All requests have been abandoned.
            if verdict.receiver_count() == 0 {
                self.pending.lock().remove(&fingerprint);
                continue;
            }
            // It may have been verified while it waited.
            let is_right = self.verdicts.get(&fingerprint).unwrap_or_else(|| {
                let is_right = self.verify(&credentials);
                self.verdicts.add(fingerprint, is_right);
                is_right
            });
            // First, because from now on the verdict is cached.
            self.pending.lock().remove(&fingerprint);
            verdict.send_replace(Some(is_right));
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
