//! A cache of verdicts about credentials.

use std::collections::{HashMap, VecDeque};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arc_swap::ArcSwap;
use foldhash::fast::RandomState;
use ring::error::Unspecified;
use ring::hmac;
use ring::rand::SystemRandom;
use subtle::ConstantTimeEq as _;

/// The most right credentials that are cached: at least one spelling for each user.
const MAX_RIGHT: usize = 1024;

/// The most wrong credentials that are cached. Their limit is separate, so that a flood of them does not evict right
/// ones.
const MAX_WRONG: usize = 1024;

/// A keyed digest of a header's value. It does not reveal the password, and creating a collision requires the key.
#[derive(Clone, Copy, Eq)]
pub(super) struct Fingerprint([u8; 32]);

impl PartialEq for Fingerprint {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Hash for Fingerprint {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // The bits of a digest are random, so eight bytes suffice as a hash.
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        state.write_u64(u64::from_ne_bytes([a, b, c, d, e, f, g, h]));
    }
}

/// Creates fingerprints, with a random key of this process.
pub(super) struct Fingerprints(hmac::Key);

impl Fingerprints {
    /// # Errors
    /// When the system provides no random numbers.
    pub(super) fn new() -> Result<Self, Unspecified> {
        hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).map(Self)
    }

    pub(super) fn of(&self, header: &[u8]) -> Option<Fingerprint> {
        hmac::sign(&self.0, header).as_ref().try_into().ok().map(Fingerprint)
    }
}

type VerdictMap = HashMap<Fingerprint, bool, RandomState>;

/// The cached verdicts: whether credentials are right. Readers share no lock and no counter.
#[derive(Clone, Default)]
pub(super) struct Verdicts(Arc<ArcSwap<VerdictMap>>);

impl Verdicts {
    pub(super) fn get(&self, fingerprint: &Fingerprint) -> Option<bool> {
        self.0.load().get(fingerprint).copied()
    }
}

/// Adds verdicts. There is only one writer.
pub(super) struct VerdictWriter {
    verdicts: Verdicts,
    right: VecDeque<Fingerprint>,
    wrong: VecDeque<Fingerprint>,
}

impl VerdictWriter {
    pub(super) fn new(verdicts: Verdicts) -> Self {
        Self { verdicts, right: VecDeque::new(), wrong: VecDeque::new() }
    }

    pub(super) fn get(&self, fingerprint: &Fingerprint) -> Option<bool> {
        self.verdicts.get(fingerprint)
    }

    /// Adds a verdict that is not cached, and evicts the oldest of its kind if there are too many. Copies the table,
    /// which takes far less time than the verdict did.
    pub(super) fn add(&mut self, fingerprint: Fingerprint, is_right: bool) {
        let (order, most) = if is_right { (&mut self.right, MAX_RIGHT) } else { (&mut self.wrong, MAX_WRONG) };
        let mut known = VerdictMap::clone(&self.verdicts.0.load());
        if order.len() >= most
            && let Some(oldest) = order.pop_front()
        {
            known.remove(&oldest);
        }
        order.push_back(fingerprint);
        known.insert(fingerprint, is_right);
        self.verdicts.0.store(Arc::new(known));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_differ_by_header_and_by_process() {
        let (first, second) = (Fingerprints::new().unwrap(), Fingerprints::new().unwrap());
        assert!(first.of(b"Basic QTpi") == first.of(b"Basic QTpi"));
        assert!(first.of(b"Basic QTpi") != first.of(b"Basic QTpj"));
        assert!(first.of(b"Basic QTpi") != second.of(b"Basic QTpi"));
    }

    #[test]
    fn a_flood_of_wrong_credentials_does_not_evict_right_ones() {
        let fingerprints = Fingerprints::new().unwrap();
        let of = |number: usize| fingerprints.of(&number.to_ne_bytes()).unwrap();
        let verdicts = Verdicts::default();
        let mut writer = VerdictWriter::new(verdicts.clone());
        writer.add(of(0), true);
        (1..=5 * MAX_WRONG).for_each(|number| writer.add(of(number), false));
        assert_eq!(verdicts.get(&of(0)), Some(true));
        assert_eq!(verdicts.get(&of(5 * MAX_WRONG)), Some(false));
        assert_eq!(verdicts.get(&of(4 * MAX_WRONG + 1)), Some(false), "the oldest that is still cached");
        assert_eq!(verdicts.get(&of(4 * MAX_WRONG)), None);
        assert_eq!(verdicts.0.load().len(), MAX_WRONG + 1);
    }

    #[test]
    fn right_credentials_are_limited_too() {
        let fingerprints = Fingerprints::new().unwrap();
        let mut writer = VerdictWriter::new(Verdicts::default());
        (0..=MAX_RIGHT).for_each(|number| writer.add(fingerprints.of(&number.to_ne_bytes()).unwrap(), true));
        assert_eq!(writer.verdicts.0.load().len(), MAX_RIGHT);
        assert_eq!(writer.get(&fingerprints.of(&0_usize.to_ne_bytes()).unwrap()), None);
    }
}
