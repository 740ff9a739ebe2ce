//! What a chat looks like: how common each kind of message and each platform is, the names, and the texts.

use rand::Rng;

/// Content types of group messages with their approximate shares, in thousandths.
pub(super) const MIX: &[(i32, u32)] = &[
    (101, 610),
    (102, 120),
    (103, 60),
    (104, 25),
    (105, 20),
    (106, 40),
    (114, 50),
    (110, 22),
    (109, 6),
    (108, 5),
    (1400, 6),
    (1510, 8),
    (1509, 6),
    (1504, 5),
    (1501, 3),
    (1502, 3),
    (1508, 2),
    (1520, 2),
    (1519, 1),
    // A type that OpenIM does not know: apps define their own.
    (9001, 2),
];

/// Content types of messages between two users with their shares, in thousandths.
pub(super) const SINGLE_MIX: &[(i32, u32)] = &[
    (101, 620),
    (102, 120),
    (103, 100),
    (104, 25),
    (105, 20),
    (114, 45),
    (110, 25),
    (109, 8),
    (108, 5),
    // OpenIM's own, up to 3.8.3.
    (2200, 30),
    (9001, 2),
];

/// Platform IDs with their shares, in hundredths. People use neither 0 (unknown) nor 10 (administrator).
pub(super) const PLATFORMS: &[(i32, u32)] =
    &[(1, 29), (2, 42), (3, 10), (4, 4), (5, 8), (6, 1), (7, 1), (8, 1), (9, 2), (11, 2)];

/// Draws a code by its weight.
pub(super) fn draw_weighted(random: &mut impl Rng, table: &[(i32, u32)]) -> i32 {
    let total = table.iter().map(|(_, weight)| weight).sum();
    let mut rest: u32 = random.random_range(0..total);
    for (code, weight) in table {
        match rest.checked_sub(*weight) {
            Some(less) => rest = less,
            None => return *code,
        }
    }
    0
}

/// IDs are ten digits, none of them a leading zero.
const FIRST_ID: u64 = 1_000_000_000;
const IDS: u64 = 9_000_000_000;

/// The ID of the group with this rank, 0 for the busiest; the same with every seed.
#[must_use]
pub fn group_id(rank: u32) -> u64 {
    scatter(rank, 3_141_592_653, 1_478_291_056)
}

/// The ID of the person with this rank, 0 for the most active.
#[must_use]
pub fn sender_id(rank: u32) -> u64 {
    scatter(rank, 2_718_281_827, 4_318_432_619)
}

/// Spreads ranks over all IDs without collisions: `factor` is coprime to [`IDS`], whose prime factors are 2, 3 and 5.
const fn scatter(rank: u32, factor: u64, offset: u64) -> u64 {
    FIRST_ID + (rank as u64 * factor + offset) % IDS
}

const NAMES: [&str; 16] = [
    "Mei",
    "李雷 👋",
    "Zoë",
    "O'Brien & Sons",
    "محمد",
    "Аня",
    "韩梅梅",
    "Jürgen",
    "さくら",
    "João",
    "<admin>",
    "김민준",
    "Priya",
    "Nguyễn",
    "\"Ace\"",
    "🦊",
];

/// A person's nickname. Many people share one, as in real life.
pub(super) fn nickname(rank: u32) -> &'static str {
    let position = usize::try_from(rank).unwrap_or_default() % NAMES.len();
    NAMES.get(position).copied().unwrap_or_default()
}

const PHRASES: [&str; 24] = [
    "see you at 8 <3",
    "ok",
    "好的，收到",
    "lol 😂",
    "who is coming tonight?",
    "明天下午三点开会，请大家准时参加。",
    "a < b && b > c, so it never runs",
    "👍👍",
    "I'll be 10 min late, sorry",
    "哈哈哈哈",
    "thanks!",
    "\"quoted\" and a back\\slash",
    "https://example.com/doc?id=7&view=all",
    "да, конечно",
    "الاجتماع غدا",
    "can you check the build?\nit fails on my side",
    "生日快乐 🎂🎉",
    "おつかれさまです",
    "it works now, no idea why",
    "the train is late again",
    "两杯咖啡，谢谢",
    "¿Qué tal?",
    "let's move this to Thursday, 14:30",
    "+1",
];

/// Replaces `text` with at least `length` bytes of random phrases.
pub(super) fn write_phrases(random: &mut impl Rng, length: usize, text: &mut String) {
    text.clear();
    while text.len() < length.max(1) {
        if !text.is_empty() {
            text.push(' ');
        }
        let position = random.random_range(0..24_u8);
        text.push_str(PHRASES.get(usize::from(position)).copied().unwrap_or("ok"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_pcg::Pcg64Mcg;
    use std::collections::{BTreeMap, HashSet};

    #[test]
    fn ids_are_ten_digits_and_distinct() {
        let mut groups = HashSet::new();
        let mut senders = HashSet::new();
        for rank in (0..200_000).chain(99_900_000..100_000_000) {
            assert!(groups.insert(group_id(rank)) && senders.insert(sender_id(rank)), "{rank}");
        }
        assert!(groups.iter().chain(&senders).all(|id| (FIRST_ID..10_000_000_000).contains(id)));
    }

    #[test]
    fn a_weighted_draw_follows_the_weights() {
        let mut random = Pcg64Mcg::seed_from_u64(1);
        let mut counts: BTreeMap<i32, u32> = MIX.iter().map(|(code, _)| (*code, 0)).collect();
        for _ in 0..100_000 {
            *counts.get_mut(&draw_weighted(&mut random, MIX)).unwrap() += 1;
        }
        assert!((59_000..63_000).contains(&counts[&101]), "{counts:?}");
        assert!(counts.values().all(|count| *count > 0), "{counts:?}");
    }

    #[test]
    fn phrases_have_characters_to_escape_and_beyond_ascii() {
        let mut text = String::new();
        write_phrases(&mut Pcg64Mcg::seed_from_u64(1), 4000, &mut text);
        assert!((4000..4200).contains(&text.len()));
        assert!(text.contains('<') && text.contains('"') && text.contains('\n') && !text.is_ascii());
    }
}
