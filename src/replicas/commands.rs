//! Commands for Redis and their answers. All have existed since Redis 5, and each read is bounded.

use redis::{Cmd, Value};

/// Reads at most one byte more than the longest value, so that a longer one is noticed.
pub(super) fn get(key: &str, max_bytes: usize) -> Cmd {
    command("GETRANGE", key).arg(0).arg(max_bytes).take()
}

/// Sets a value, with its expiry in milliseconds.
pub(super) fn set(key: &str, value: &[u8], expiry_ms: u64) -> Cmd {
    command("SET", key).arg(value).arg("PX").arg(expiry_ms).take()
}

pub(super) fn command(name: &str, key: &str) -> Cmd {
    redis::cmd(name).arg(key).take()
}

/// The members of a sorted set with scores from the oldest to the latest, at most `limit`, the one with the highest score
/// first.
pub(super) fn newest(key: &str, [oldest, latest]: [i64; 2], limit: usize) -> Cmd {
    let mut command = command("ZREVRANGEBYSCORE", key);
    command.arg(latest).arg(oldest).arg("WITHSCORES").arg("LIMIT").arg(0).arg(limit).take()
}

/// The bytes of a value, which are empty if there is none. `None` if the key has something other than a string.
pub(super) fn bytes(answer: Value) -> Option<Vec<u8>> {
    match answer {
        Value::BulkString(bytes) => Some(bytes),
        Value::Nil => Some(Vec::new()),
        _ => None,
    }
}

/// The members of a sorted set, with their scores. Leaves out scores that are not times.
pub(super) fn members(answer: Value) -> Vec<(Vec<u8>, i64)> {
    let (members, _) = match &answer {
        Value::Array(values) => values.as_chunks::<2>(),
        _ => Default::default(),
    };
    let read = members.iter().filter_map(|[member, score]| {
        let (Value::BulkString(member), Value::BulkString(score)) = (member, score) else { return None };
        let score: f64 = std::str::from_utf8(score).ok()?.parse().ok()?;
        #[expect(clippy::cast_possible_truncation, reason = "`as` saturates")]
        (score.is_finite() && score >= 0.0).then(|| (member.clone(), score as i64))
    });
    read.collect()
}
