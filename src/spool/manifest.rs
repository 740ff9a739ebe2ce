//! The list of segments in a file of its own, so that a missing or shortened segment is noticed at the next start.
//!
//! It has a line for each segment: its number, its bytes (0 while it is being written), its pending records. The last
//! line is a checksum. Without a usable list, the directory's files are used as they are.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::files::{self, Trouble};
use super::segment::{Noted, Segment};

/// Upper bound for the size of a list, in bytes.
const MAX_BYTES: u64 = 16 << 20;

pub(super) fn path(directory: &Path) -> PathBuf {
    directory.join("segments")
}

/// The list of these segments.
fn text(segments: &[Arc<Segment>]) -> String {
    let mut text = String::new();
    for segment in segments {
        let (bytes, is_final) = segment.extent();
        let bytes = if is_final { bytes } else { 0 };
        // A `String` can always be written to.
        let _ = writeln!(text, "{:016x} {bytes} {}", segment.number, segment.pending());
    }
    let sum = crc32fast::hash(text.as_bytes());
    let _ = writeln!(text, "{sum:08x}");
    text
}

/// Writes the list.
pub(super) fn write(directory: &Path, segments: &[Arc<Segment>]) -> io::Result<()> {
    files::replace(&path(directory), &text(segments))
}

/// Reads the list. Empty if there is no usable one.
pub(super) fn read(directory: &Path) -> BTreeMap<u64, Noted> {
    let read = || {
        let file = files::open(&path(directory), false)?;
        let mut text = String::new();
        file.take(MAX_BYTES).read_to_string(&mut text)?;
        Ok::<_, Trouble>(text)
    };
    read().ok().and_then(|text| parse(&text)).unwrap_or_default()
}

fn parse(text: &str) -> Option<BTreeMap<u64, Noted>> {
    let at = text.trim_end().rfind('\n').map_or(0, |end| end + 1);
    let (lines, sum) = text.split_at_checked(at)?;
    if format!("{:08x}\n", crc32fast::hash(lines.as_bytes())) != sum {
        return None;
    }
    let noted = |line: &str| {
        let mut fields = line.split(' ');
        let number = u64::from_str_radix(fields.next()?, 16).ok()?;
        Some((number, Noted { bytes: fields.next()?.parse().ok()?, pending: fields.next()?.parse().ok()? }))
    };
    lines.lines().map(noted).collect()
}
