//! Answers that are used again for a moment, because they are costly to make.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Answers that are kept.
const MOST: usize = 8;

/// An answer is used again for this many times as long as it took to make. So equal requests cost at most 2 % of a core.
const TIMES: u32 = 50;

/// The last answers, by what was asked.
#[derive(Debug)]
pub(crate) struct Recent<K>(Mutex<Vec<Answer<K>>>);

#[derive(Debug)]
struct Answer<K> {
    asked: K,
    bytes: Vec<u8>,
    used_until: Instant,
}

impl<K: Clone + PartialEq> Recent<K> {
    /// The answer: a recent one, or one from `make`. Others wait meanwhile, so call it on a thread for blocking work.
    ///
    /// # Errors
    /// Those of `make`.
    pub(crate) fn get<E>(&self, asked: &K, make: impl FnOnce() -> Result<Vec<u8>, E>) -> Result<Vec<u8>, E> {
        let mut answers = self.0.lock();
        let begin = Instant::now();
        answers.retain(|answer| answer.used_until > begin);
        if let Some(answer) = answers.iter().find(|answer| answer.asked == *asked) {
            return Ok(answer.bytes.clone());
        }
        let bytes = make()?;
        if answers.len() < MOST {
            let used_until = Instant::now() + begin.elapsed().saturating_mul(TIMES).min(Duration::from_secs(10));
            answers.push(Answer { asked: asked.clone(), bytes: bytes.clone(), used_until });
        }
        Ok(bytes)
    }

    /// Forgets all answers. Waits for one that is being made.
    pub(crate) fn clear(&self) {
        self.0.lock().clear();
    }
}

impl<K> Default for Recent<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

#[cfg(test)]
mod tests {
    use std::thread::sleep;

    use super::*;

    fn get(recent: &Recent<u8>, asked: u8, cost: Duration, bytes: &[u8]) -> Vec<u8> {
        let make = || {
            sleep(cost);
            Ok::<_, ()>(bytes.to_vec())
        };
        recent.get(&asked, make).unwrap()
    }

    #[test]
    fn a_costly_answer_is_used_again_for_a_while_and_a_cheap_one_hardly() {
        let recent = Recent::default();
        let begin = Instant::now();
        assert_eq!(get(&recent, 1, Duration::from_millis(20), b"old"), b"old");
        // On a busy machine, it took longer.
        let took = begin.elapsed();
        assert_eq!(get(&recent, 1, Duration::ZERO, b"new"), b"old");
        assert_eq!(get(&recent, 2, Duration::ZERO, b"other"), b"other");
        sleep(took * TIMES);
        assert_eq!(get(&recent, 1, Duration::ZERO, b"new"), b"new");
    }

    #[test]
    fn few_answers_are_kept() {
        let recent = Recent::default();
        for asked in 0..20 {
            get(&recent, asked, Duration::from_millis(1), b"x");
        }
        assert!(recent.0.lock().len() <= MOST);
    }
}
