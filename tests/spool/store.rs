//! A spool in a temporary directory, and callbacks to put into it.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use openim_exporter::domain::FileSync;
use openim_exporter::spool::{Figures, Limits, Reader, Record, Spool};

/// When the callbacks were received, and when the spool is maintained.
pub(crate) const NOW: i64 = 1_800_000_000_000;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) const LIMITS: Limits =
    Limits { max_bytes: 1 << 20, max_age: Duration::from_secs(1000 * 86_400), sync: FileSync::Second };

/// A callback whose body begins with this number.
pub(crate) fn body(number: u32) -> String {
    format!("{number} {}", "x".repeat(usize::try_from(number % 97).unwrap()))
}

pub(crate) fn record(body: &str) -> Record<'_> {
    Record {
        received_ms: NOW,
        command: "callbackAfterSendGroupMsgCommand",
        tail: "callbackAfterSendGroupMsgCommand",
        query: "key=1",
        operation_id: b"op",
        content_type: b"application/json",
        client: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 7)),
        proxy: Some(IpAddr::V6(Ipv6Addr::LOCALHOST)),
        via: b"1.1 proxy",
        body: body.as_bytes(),
    }
}

pub(crate) fn append(spool: &Spool, numbers: impl IntoIterator<Item = u32>) {
    for number in numbers {
        spool.append(&record(&body(number))).unwrap();
    }
}

/// The number of a callback that was read.
pub(crate) fn number(record: &Record<'_>) -> u32 {
    let text = std::str::from_utf8(record.body).unwrap();
    let number = text.split(' ').next().unwrap().parse().unwrap();
    assert_eq!(*record, self::record(&body(number)), "a callback is read as it was appended");
    number
}

/// Delivers what is there now, and returns its numbers.
pub(crate) fn deliver(reader: &mut Reader) -> Vec<u32> {
    let mut delivered = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    while let Some((position, entry)) = reader.next().unwrap() {
        delivered.push(number(&entry.record()));
        reader.delivered(position).unwrap();
        assert!(Instant::now() < deadline, "a spool that is read forever");
    }
    delivered
}

/// A temporary directory in memory, where thousands of syncs take no time.
pub(crate) fn in_memory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

pub(crate) fn open(directory: &Path) -> (Arc<Spool>, Reader) {
    Spool::open(directory, LIMITS).unwrap()
}

/// The segments in a directory, in their order.
pub(crate) fn segments(directory: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.extension().is_some_and(|extension| extension == "spool"));
    found.sort();
    found
}

/// Maintains until only the empty file of the next appends is left.
pub(crate) fn maintain_until_empty(spool: &Spool, directory: &Path) -> Figures {
    // Closing a segment and removing it may take two calls.
    for _ in 0..3 {
        let _ = spool.maintain(NOW);
    }
    spool.maintain(NOW).unwrap();
    let figures = spool.figures();
    assert_eq!((figures.pending, figures.pending_bytes, figures.oldest_pending_ms), (0, 0, None), "{figures:?}");
    assert!(figures.is_counted);
    let left = segments(directory);
    assert!(left.len() <= 1, "{left:?}");
    figures
}
