//! The exported groups: what each exporter proposes, and what all conclude from it.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::moment::MAX_AHEAD_MS;
use crate::domain::UnixMillis;
use crate::stats::Candidate;

/// Maximum length of the value: with `--groups.max-exported` 1000 and names of 64 bytes, it is a quarter of this.
pub(super) const MAX_BYTES: usize = 1 << 20;

/// The longest name of a group in the statistics.
const MAX_NAME_BYTES: usize = 64;

/// Distinct groups that are compared, which limits the memory to 8 MiB. Further ones are left out.
const MAX_GROUPS: usize = 65_536;

/// The highest rate that is accepted, in messages per second.
const MAX_RATE: f64 = 1e9;

/// The shortest time for which a group is exported, as in the statistics.
const MIN_EXPORT_MS: i64 = 600_000;

/// A candidate as JSON.
type Json<Name> = (Name, f64, Option<i64>);

/// The candidates as JSON: as many as fit, the first ones first.
pub(super) fn to_json(candidates: &[Candidate]) -> Vec<u8> {
    let mut json = b"[".to_vec();
    for Candidate { name, rate, exported_since } in candidates {
        let candidate: Json<_> = (name.as_str(), *rate, exported_since.map(|since| since.0));
        let candidate = serde_json::to_vec(&candidate).unwrap_or_default();
        if json.len() + candidate.len() + 2 > MAX_BYTES {
            break;
        }
        if json.len() > 1 {
            json.push(b',');
        }
        json.extend(candidate);
    }
    json.push(b']');
    json
}

/// Reads candidates, at this time by Redis' clock. `None` if they are damaged.
pub(super) fn parse(json: &[u8], now: UnixMillis) -> Option<Vec<Candidate>> {
    if json.len() > MAX_BYTES {
        return None;
    }
    let candidates: Vec<Json<String>> = serde_json::from_slice(json).ok()?;
    let checked = candidates.into_iter().map(|(name, rate, since)| {
        let is_time = |since: i64| (0..=now.0.saturating_add(MAX_AHEAD_MS)).contains(&since);
        let is_possible =
            (1..=MAX_NAME_BYTES).contains(&name.len()) && (0.0..=MAX_RATE).contains(&rate) && since.is_none_or(is_time);
        is_possible.then_some(Candidate { name, rate, exported_since: since.map(UnixMillis) })
    });
    checked.collect()
}

/// The candidates of all exporters. All exporters come to the same result, because they add the same candidates in the
/// same order, on which sums of floating-point numbers depend.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    /// For each group, the sum of its rates, and the earliest time since which it has been exported.
    groups: BTreeMap<String, (f64, Option<UnixMillis>)>,
}

impl Candidates {
    /// Adds those of an exporter.
    pub(super) fn add(&mut self, candidates: Vec<Candidate>) {
        for Candidate { name, rate, exported_since } in candidates {
            if self.groups.len() >= MAX_GROUPS && !self.groups.contains_key(&name) {
                continue;
            }
            let (sum, since) = self.groups.entry(name).or_default();
            *sum += rate;
            *since = [*since, exported_since].into_iter().flatten().min();
        }
    }

    /// The groups that all exporters export, each with the time since which it has been exported. Those that have been
    /// exported for less than ten minutes come first, then those with the highest rates.
    pub(super) fn agree(self, limit: usize, now: UnixMillis) -> Vec<Agreed> {
        let mut ranked: Vec<_> = self.groups.into_iter().collect();
        let is_recent = |since: Option<UnixMillis>| since.is_some_and(|since| is_recent(since, now));
        // Stable: groups that are equal otherwise stay in the order of their names.
        ranked.sort_by(|(_, (left_rate, left)), (_, (right_rate, right))| {
            let by_age = Reverse(is_recent(*left)).cmp(&Reverse(is_recent(*right)));
            by_age.then(right_rate.total_cmp(left_rate)).then(right.is_some().cmp(&left.is_some()))
        });
        ranked.truncate(limit);
        ranked.into_iter().map(|(name, (_, since))| (name, since.unwrap_or(now).min(now))).collect()
    }
}

/// Whether a group that has been exported since this time stays exported.
pub(super) const fn is_recent(since: UnixMillis, now: UnixMillis) -> bool {
    now.since(since) < MIN_EXPORT_MS
}

/// The name of a group, and since when it has been exported.
pub(super) type Agreed = (String, UnixMillis);

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_795_928_400_000);
    const LONG_AGO: Option<i64> = Some(0);

    fn candidate(name: &str, rate: f64, since: Option<i64>) -> Candidate {
        Candidate { name: name.to_owned(), rate, exported_since: since.map(UnixMillis) }
    }

    fn agree(candidates: impl IntoIterator<Item = Candidate>, limit: usize, now: UnixMillis) -> Vec<Agreed> {
        let mut all = Candidates::default();
        all.add(candidates.into_iter().collect());
        all.agree(limit, now)
    }

    fn agreed(candidates: &[(&str, f64, Option<i64>)], limit: usize) -> Vec<String> {
        let candidates = candidates.iter().map(|(name, rate, since)| candidate(name, *rate, *since));
        agree(candidates, limit, NOW).into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn the_highest_sums_of_rates_win() {
        let candidates =
            [("a", 3.0, None), ("b", 1.0, LONG_AGO), ("c", 2.0, None), ("b", 2.5, None), ("d", 0.0, LONG_AGO)];
        assert_eq!(agreed(&candidates, 2), ["b", "a"]);
        assert_eq!(agreed(&candidates, 9), ["b", "a", "c", "d"]);
        assert_eq!(agreed(&candidates, 0), [""; 0]);
    }

    #[test]
    fn of_equal_rates_an_exported_group_wins_and_then_the_first_name() {
        let candidates = [("d", 1.0, None), ("c", 1.0, LONG_AGO), ("b", 1.0, None), ("a", 1.0, None)];
        assert_eq!(agreed(&candidates, 3), ["c", "a", "b"]);
    }

    #[test]
    fn a_group_that_has_been_exported_for_less_than_ten_minutes_stays() {
        let since = |ago: i64| Some(NOW.0 - ago);
        let candidates = [("busy", 9.0, since(600_000)), ("new", 0.0, since(599_999)), ("later", 5.0, None)];
        assert_eq!(agreed(&candidates, 1), ["new"]);
        assert_eq!(agreed(&candidates, 2), ["new", "busy"]);
        let elsewhere = [&candidates[..], &[("new", 0.0, since(700_000))]].concat();
        assert_eq!(agreed(&elsewhere, 2), ["busy", "later"], "the earliest time counts");
    }

    #[test]
    fn the_result_depends_on_nothing_but_the_candidates() {
        let candidates: Vec<_> = (0..300_u32)
            .map(|number| candidate(&format!("g{}", number % 97), f64::from(number % 13) * 0.1, None))
            .collect();
        let first = agree(candidates.clone(), 20, NOW);
        assert!(agree(candidates.clone(), 20, NOW) == first && first.iter().all(|(_, since)| *since == NOW));
        // A group at the edge: one more place changes nothing for those before it.
        assert_eq!(agree(candidates, 21, NOW)[..20], first);
    }

    #[test]
    fn the_number_of_groups_is_limited() {
        let mut all = Candidates::default();
        all.add((0..MAX_GROUPS).map(|number| candidate(&number.to_string(), 1.0, None)).collect());
        all.add(vec![candidate("one more", 9.0, None), candidate("7", 1.0, None)]);
        assert_eq!(all.groups.len(), MAX_GROUPS);
        assert_eq!(all.agree(1, NOW), [("7".to_owned(), NOW)]);
    }

    #[test]
    fn a_time_in_the_future_is_now() {
        let candidates = [candidate("a", 1.0, Some(NOW.0 + 50_000))];
        assert_eq!(agree(candidates, 1, NOW), [("a".to_owned(), NOW)]);
    }

    #[test]
    fn written_candidates_are_read_unchanged() {
        let candidates = [
            candidate("g\"\\\u{7fa4}\u{0}", 0.1 + 0.2, Some(5)),
            candidate(&"x".repeat(64), 1e9, None),
            candidate("0", 0.0, Some(NOW.0)),
        ];
        assert_eq!(parse(&to_json(&candidates), NOW).unwrap(), candidates);
        assert_eq!(parse(&to_json(&[]), NOW).unwrap(), []);
    }

    #[test]
    fn as_many_are_written_as_fit() {
        let many: Vec<_> = (0..20_000).map(|number| candidate(&format!("{number:064}"), 1.5, Some(NOW.0))).collect();
        let json = to_json(&many);
        let read = parse(&json, NOW).unwrap();
        assert!((MAX_BYTES - 100..=MAX_BYTES).contains(&json.len()) && read.len() > 10_000);
        assert_eq!(read, many[..read.len()]);
    }

    #[test]
    fn damaged_candidates_are_refused() {
        for json in [
            "",
            "[",
            "{}",
            "[[\"a\",1.0]]",
            "[[\"\",1.0,null]]",
            "[[\"a\",-1.0,null]]",
            "[[\"a\",1e300,null]]",
            "[[\"a\",1e999,null]]",
            "[[\"a\",null,null]]",
            "[[\"a\",1.0,-1]]",
            "[[\"a\",1.0,9223372036854775807]]",
            "[[\"a\",1.0,null],[\"b\",2.0,0.5]]",
        ] {
            assert_eq!(parse(json.as_bytes(), NOW), None, "{json}");
        }
        assert_eq!(parse(format!("[[\"{}\",1.0,null]]", "x".repeat(65)).as_bytes(), NOW), None);
        assert_eq!(parse(&[&b"[]"[..], &[b' '; MAX_BYTES]].concat(), NOW), None);
    }
}
