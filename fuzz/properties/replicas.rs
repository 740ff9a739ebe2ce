//! What other exporters wrote to Redis. The first byte chooses the kind of value. Any bytes are accepted or refused.
//! What is accepted is within the limits, and stays the same when it is written and read again.

use arbitrary::Unstructured;
use openim_exporter::domain::UnixMillis;
use openim_exporter::replicas::fuzz;
use openim_exporter::stats::hyperloglog::REGISTERS;
use serde_json::Value;

/// The time by Redis' clock.
const NOW: UnixMillis = UnixMillis(1_795_928_400_000);

/// The latest time that is accepted.
const LATEST: i64 = NOW.0 + 60_000;

const HEADER: usize = 16;
const LENGTH: usize = HEADER + REGISTERS / 4 * 3;

pub(crate) fn holds(bytes: &[u8]) {
    let Some((kind, value)) = bytes.split_first() else { return };
    match kind % 4 {
        0 => registers(value),
        1 => manifest(value),
        2 => groups(value),
        _ => disconnects(value),
    }
}

/// Registers, some of which are changed: most values of the right length are damaged.
fn registers(bytes: &[u8]) {
    let mut input = Unstructured::new(bytes);
    let fill: u8 = input.arbitrary().unwrap_or_default();
    let mut value = vec![fill & 0x1c; LENGTH];
    value[..HEADER].copy_from_slice(b"HYLL\0\0\0\0\0\0\0\0\0\0\0\x80");
    while !input.is_empty() {
        let (at, byte): (u16, u8) = input.arbitrary().unwrap_or_default();
        match usize::from(at) {
            // Often the header.
            at if at >= 0xff00 => value[at % HEADER] = byte,
            0xfe00.. => value.resize(value.len().max(HEADER + 8) - usize::from(byte % 8), byte),
            0xfd00.. => value.extend(vec![byte; usize::from(byte)]),
            at => {
                let length = value.len();
                value[at % length] = byte;
            }
        }
    }
    let read = fuzz::unpack_registers(&value).map(|union| (union.registers().collect(), fuzz::pack_registers(&union)));
    let expected = expected(&value);
    assert_eq!(read.is_some(), expected.is_some());
    if let Some((registers, again)) = read {
        assert_eq!(Some(registers), expected);
        // All but the unused bytes and the cached number.
        assert!(again[..5] == value[..5] && again[HEADER..] == value[HEADER..]);
    }
}

/// The registers of a value, one bit after the other.
fn expected(value: &[u8]) -> Option<Vec<u8>> {
    if value.len() != LENGTH || !value.starts_with(b"HYLL\0") {
        return None;
    }
    let bit = |at: usize| value[HEADER + at / 8] >> (at % 8) & 1;
    let registers = (0..REGISTERS).map(|register| (0..6).map(|place| bit(register * 6 + place) << place).sum::<u8>());
    let registers: Vec<_> = registers.collect();
    registers.iter().all(|rank| *rank <= 51).then_some(registers)
}

fn manifest(json: &[u8]) {
    let Some(read) = fuzz::manifest(json, NOW) else { return };
    assert!(json.len() <= 65_536 && fuzz::manifest(&read, NOW).as_ref() == Some(&read));
    let (theirs, ours): (Value, Value) =
        (serde_json::from_slice(json).unwrap(), serde_json::from_slice(&read).unwrap());
    for field in ["process", "time_zone"] {
        let text = |json: &Value| json[field].as_str().unwrap().to_lowercase();
        assert_eq!(text(&theirs), text(&ours));
    }
    assert_eq!(theirs["round"], ours["round"]);
    let latest = ours["round"].as_u64().unwrap();
    for (of, stretches) in ours["stretches"].as_object().unwrap() {
        for (stretch, numbers) in stretches.as_object().unwrap() {
            let (length, complete) = match stretch.as_str() {
                "minute" => (60_000, 60),
                "hour" => (3_600_000, 24),
                "day" => (86_400_000, 30),
                "date" => (86_400_000, 35),
                other => panic!("{other}"),
            };
            let now = NOW.0.unsigned_abs() / length;
            for place in numbers.as_array().unwrap() {
                let (number, round) = (place[0].as_u64().unwrap(), place[1].as_u64().unwrap());
                assert!((now - complete..=now + 1).contains(&number) && round <= latest, "{of} {stretch} {place}");
            }
        }
    }
}

fn groups(json: &[u8]) {
    let Some(candidates) = fuzz::groups(json, NOW) else { return };
    for candidate in &candidates {
        assert!((1..=64).contains(&candidate.name.len()) && (0.0..=1e9).contains(&candidate.rate), "{candidate:?}");
        assert!(candidate.exported_since.is_none_or(|since| (0..=LATEST).contains(&since.0)), "{candidate:?}");
    }
    assert_eq!(fuzz::groups(&fuzz::groups_to_json(&candidates), NOW).as_ref(), Some(&candidates));
    let (first, second) = candidates.split_at(candidates.len() / 2);
    let all = fuzz::agree(std::slice::from_ref(&candidates), usize::MAX, NOW);
    for limit in 0..all.len().min(20) {
        assert!(fuzz::agree(&[first.to_vec(), second.to_vec()], limit, NOW) == all[..limit]);
    }
    assert!(all.iter().all(|(_, since)| *since <= NOW));
}

fn disconnects(bytes: &[u8]) {
    match fuzz::disconnects(bytes, NOW) {
        Some(read) => {
            let again: Vec<_> =
                read.iter().flat_map(|read| [read.key.to_le_bytes(), read.at.0.to_le_bytes()].concat()).collect();
            assert!(again == bytes && read.iter().all(|read| (0..=LATEST).contains(&read.at.0)));
        }
        None => {
            let times = bytes.as_chunks::<16>().0.iter().map(|entry| i64::from_le_bytes(*entry.last_chunk().unwrap()));
            let is_damaged = !bytes.len().is_multiple_of(16) || times.into_iter().any(|at| !(0..=LATEST).contains(&at));
            assert!(is_damaged, "refused without a reason");
        }
    }
}
