//! What an exporter wrote, and in which round each part last changed. Others read only what is new to them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::place::{Current, Place};
use crate::domain::UnixMillis;
use crate::domain::codes::platform_names;
use crate::named::Named;
use crate::stats::Distinct;

/// Maximum length of the value. With sketches of all stretches, it is a fifth of this.
pub(super) const MAX_BYTES: usize = 64 * 1024;

/// Time between two rounds, in milliseconds. Rounds begin when Redis' time is a multiple of it.
pub(super) const ROUND_MS: u64 = 10_000;

/// How far the number of a round may be ahead of Redis' time: eleven days. It is that far ahead only if Redis' clock
/// was set back.
const MAX_ROUNDS_AHEAD: u64 = 100_000;

/// The longest name of a time zone.
const MAX_ZONE_BYTES: usize = 64;

/// What an exporter wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Manifest {
    /// A random number of the process that wrote it.
    pub(super) process: u64,
    /// Redis' time when it was written.
    pub(super) written: UnixMillis,
    /// The round in which it was written. An exporter's rounds increase, even across restarts.
    pub(super) round: u64,
    /// The time zone of its dates.
    pub(super) time_zone: String,
    /// Each sketch, and the round in which its registers last changed.
    pub(super) places: BTreeMap<Place, u64>,
    /// The same for users online, by the position of the platform.
    pub(super) online: BTreeMap<usize, u64>,
    /// The same for the candidates for exported groups.
    pub(super) groups: u64,
    /// The same for users who went offline.
    pub(super) disconnects: u64,
}

/// A manifest as JSON. What another version adds is ignored.
#[derive(Deserialize, Serialize)]
struct Json {
    process: String,
    written: i64,
    round: u64,
    time_zone: String,
    version: String,
    #[serde(default)]
    groups: u64,
    #[serde(default)]
    disconnects: u64,
    #[serde(default)]
    online: BTreeMap<String, u64>,
    #[serde(default)]
    stretches: BTreeMap<String, BTreeMap<String, Vec<(u64, u64)>>>,
}

impl Manifest {
    /// Reads a manifest, at this time by Redis' clock. `None` if it is damaged. Leaves out what is no longer in a
    /// window.
    pub(super) fn parse(json: &[u8], now: UnixMillis, current: &Current) -> Option<Self> {
        if json.len() > MAX_BYTES {
            return None;
        }
        let json: Json = serde_json::from_slice(json).ok()?;
        let is_round = |round: u64| (1..=latest_round(now)).contains(&round);
        let is_hex = json.process.len() == 16 && json.process.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_hex || !is_round(json.round) || !is_zone(&json.time_zone) {
            return None;
        }
        // Nothing is newer than the manifest. Otherwise exporters would read it again in every round.
        let limit = |round: u64| round.min(json.round);
        let mut places = BTreeMap::new();
        for (of, stretches) in json.stretches {
            for (stretch, numbers) in stretches {
                let (Some(of), Some(stretch)) = (named::<Distinct>(&of), named(&stretch)) else { continue };
                for (number, round) in numbers {
                    let place = Place { of, stretch, number };
                    if current.is_before(place) {
                        return None;
                    }
                    if current.includes(place) {
                        places.insert(place, limit(round));
                    }
                }
            }
        }
        let position = |platform: &str| platform_names().position(|name| name == platform);
        let online = json.online.iter().filter_map(|(platform, round)| Some((position(platform)?, limit(*round))));
        Some(Self {
            process: u64::from_str_radix(&json.process, 16).ok()?,
            written: UnixMillis(json.written),
            round: json.round,
            online: online.collect(),
            time_zone: json.time_zone,
            places,
            groups: limit(json.groups),
            disconnects: limit(json.disconnects),
        })
    }

    /// The manifest as JSON.
    pub(super) fn to_json(&self) -> Vec<u8> {
        let mut stretches = BTreeMap::<_, BTreeMap<_, Vec<_>>>::new();
        for (Place { of, stretch, number }, round) in &self.places {
            let of = stretches.entry(of.name().to_owned()).or_default();
            of.entry(stretch.name().to_owned()).or_default().push((*number, *round));
        }
        let name = |position: usize| platform_names().nth(position).map(str::to_owned);
        let json = Json {
            process: format!("{:016x}", self.process),
            written: self.written.0,
            round: self.round,
            time_zone: self.time_zone.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            groups: self.groups,
            disconnects: self.disconnects,
            online: self.online.iter().filter_map(|(platform, round)| Some((name(*platform)?, *round))).collect(),
            stretches,
        };
        // Fails only for maps with keys other than text.
        serde_json::to_vec(&json).unwrap_or_default()
    }
}

/// Whether this can be the name of a time zone. It is logged.
fn is_zone(name: &str) -> bool {
    name.len() <= MAX_ZONE_BYTES && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/_+-".contains(&byte))
}

/// The number of the round at a time by Redis' clock.
pub(super) fn round_at(now: UnixMillis) -> u64 {
    now.period(ROUND_MS)
}

/// The highest number that a round can have at a time by Redis' clock.
fn latest_round(now: UnixMillis) -> u64 {
    round_at(now) + MAX_ROUNDS_AHEAD
}

/// The number of the next round, which is higher than the previous ones. If Redis' clock was set back by more than
/// eleven days, the numbers start again from its time, and all exporters read everything again.
pub(super) fn next_round(now: UnixMillis, previous: [u64; 2]) -> u64 {
    let next = previous.into_iter().max().unwrap_or_default().saturating_add(1).max(round_at(now));
    if next > latest_round(now) { round_at(now) } else { next }
}

fn named<T: Named>(name: &str) -> Option<T> {
    T::VALUES.iter().copied().find(|value| value.name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Calendar;
    use crate::stats::Stretch;

    const NOW: UnixMillis = UnixMillis(1_795_928_400_000);

    fn current() -> Current {
        Current::at(NOW, &Calendar::default())
    }

    fn parse(json: &[u8]) -> Option<Manifest> {
        Manifest::parse(json, NOW, &current())
    }

    /// The manifest of an exporter with sketches of all stretches.
    fn manifest() -> Manifest {
        let round = round_at(NOW);
        let mut places = BTreeMap::new();
        for of in Distinct::ALL {
            for stretch in Stretch::ALL {
                places.extend(current().window(stretch, 60).map(|number| (Place { of, stretch, number }, round - 7)));
            }
        }
        places.retain(|place, _| current().includes(*place));
        let online = (0..platform_names().count()).map(|platform| (platform, round)).collect();
        let time_zone = "America/Argentina/ComodRivadavia".to_owned();
        let (groups, disconnects) = (round, round - 1);
        Manifest { process: 7, written: NOW, round, time_zone, places, online, groups, disconnects }
    }

    #[test]
    fn a_written_manifest_is_read_unchanged_and_is_far_below_the_limit() {
        let json = manifest().to_json();
        assert_eq!(parse(&json), Some(manifest()));
        assert!(json.len() < MAX_BYTES / 4, "{}", json.len());
    }

    #[test]
    fn what_another_version_adds_is_ignored() {
        let json = String::from_utf8(manifest().to_json()).unwrap();
        let newer = json.replace("\"stretches\":{", "\"new\":[1],\"stretches\":{\"calls\":{\"week\":[[1,2]]},");
        assert_eq!(parse(newer.as_bytes()), Some(manifest()));
    }

    #[test]
    fn damaged_manifests_are_refused() {
        let json = String::from_utf8(manifest().to_json()).unwrap();
        let changed = |from: &str, to: &str| {
            assert!(json.contains(from), "{from}");
            parse(json.replacen(from, to, 1).as_bytes())
        };
        let round = format!("\"round\":{}", round_at(NOW));
        assert_eq!(parse(b""), None);
        assert_eq!(parse(&json.as_bytes()[..1000]), None);
        assert_eq!(parse(&[json.as_bytes(), &[b' '; MAX_BYTES]].concat()), None);
        assert_eq!(changed("0000000000000007", "7"), None);
        assert_eq!(changed("0000000000000007", "000000000000000x"), None);
        assert_eq!(changed("0000000000000007", "+000000000000007"), None);
        assert_eq!(changed(&round, "\"round\":0"), None);
        assert_eq!(changed("America", "America\\n"), None);
        assert_eq!(changed(&round, "\"round\":18446744073709551615"), None);
        assert_eq!(changed("America", &"America".repeat(10)), None);
        assert_eq!(changed("\"minute\":[[", "\"minute\":[[18446744073709551615,1],["), None);
        assert_eq!(changed("\"minute\":[[", "\"minute\":[[-1,1],["), None);
        assert_eq!(changed("\"minute\":[[", "\"minute\":[[0,1],["), Some(manifest()), "the past is left out");
        let newer = changed("\"minute\":[[", "\"minute\":[[29932139,18446744073709551615],[").unwrap();
        assert!(newer.places.values().all(|round| *round <= newer.round));
    }

    #[test]
    fn rounds_increase_unless_they_are_far_ahead_of_redis_clock() {
        let now = round_at(NOW);
        assert_eq!(next_round(NOW, [0, 0]), now);
        assert_eq!(next_round(NOW, [now, 0]), now + 1);
        assert_eq!(next_round(NOW, [3, now + 50_000]), now + 50_001);
        assert_eq!(next_round(NOW, [now + 100_000, 0]), now);
        assert_eq!(next_round(NOW, [u64::MAX, 0]), now);
    }
}
