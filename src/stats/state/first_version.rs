//! The table of contents of a block of 0.1.0, which did not write one.
//!
//! Everything here is literal: the program's own tables may change, but the files of 0.1.0 do not.

use crate::arena::{CAPACITIES, Contents, Damage, Layout, SectionEntry};
use crate::stats::carry::keys;

const HEADER_WORDS: usize = 512;
const ALIGNMENT_WORDS: usize = 16;
const LANES: usize = 16;
const UNLISTED: usize = 32;
const CONTENT_TYPES: [i32; 49] = [
    101, 102, 103, 104, 105, 106, 107, 108, 109, 110, 111, 113, 114, 115, 117, 118, 119, 120, 121, 122, 200, 201, 202,
    203, 1400, 1501, 1502, 1503, 1504, 1505, 1506, 1507, 1508, 1509, 1510, 1511, 1512, 1513, 1514, 1515, 1516, 1517,
    1518, 1519, 1520, 2001, 2101, 2102, 2200,
];
const PLATFORMS: [&str; 12] =
    ["ios", "android", "windows", "osx", "web", "miniweb", "linux", "apad", "ipad", "admin", "harmonyos", "unknown"];
const SOURCES: [&str; 3] = ["user", "admin", "other"];
const TALLIES: [&str; 7] =
    ["status 1", "status 2", "status 3", "status 4", "status other", "mentioned users", "mentioned all"];
const CONTENT_BOUNDS: [u64; 9] = [16, 64, 256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576];
const DELAY_BOUNDS: [u64; 16] =
    [5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 300_000, 900_000, 3_600_000];
const RINGS: [(&str, usize); 3] = [("minute", 62), ("hour", 26), ("day", 32)];
const SET_BYTES: usize = 16_384;

/// The sections of a block of 0.1.0, as they are added.
struct Listing {
    words: usize,
    fingerprint: u64,
    contents: Contents,
}

impl Listing {
    const fn new() -> Self {
        // FNV-1a's offset basis: http://www.isthe.com/chongo/tech/comp/fnv/
        let contents = Contents { program: String::new(), sections: Vec::new() };
        Self { words: HEADER_WORDS, fingerprint: 0xcbf2_9ce4_8422_2325, contents }
    }

    /// Adds a section that 0.1.0 called `old_name`.
    fn add(&mut self, old_name: &str, layout: Layout) {
        let words = layout.count * layout.element_bytes / size_of::<u64>();
        let words = if layout.lanes > 1 { layout.lanes * words.next_multiple_of(ALIGNMENT_WORDS) } else { words };
        let [offset, length] = [self.words, words].map(|words| words * size_of::<u64>());
        self.words = (self.words + words).next_multiple_of(ALIGNMENT_WORDS);
        for byte in old_name.bytes().chain(words.to_le_bytes()) {
            // FNV-1a's 64-bit prime.
            self.fingerprint = (self.fingerprint ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        self.contents.sections.push(SectionEntry { layout, offset, length });
    }

    fn row(&mut self, name: &str, keys: Vec<Vec<String>>) {
        let count = keys.iter().map(Vec::len).product();
        self.add(name, Layout { lanes: LANES, keys, ..Layout::new(name, 1, 8, count) });
    }

    fn histogram(&mut self, name: &str, bounds: &[u64]) {
        let bounds = bounds.iter().map(u64::to_string);
        self.row(name, vec![keys(bounds.chain(["+Inf".to_owned(), "sum".to_owned()]))]);
    }

    fn elements(&mut self, name: &str, bytes: usize, count: usize) {
        self.add(name, Layout::new(name, 1, bytes, count));
    }

    fn windows(&mut self, name: &str) {
        for (period, sets) in RINGS {
            self.add(&format!("{name} stretches"), Layout::new(&format!("{name} by {period}, times"), 1, 8, sets));
            self.add(name, Layout::new(&format!("{name} by {period}"), 1, SET_BYTES, sets));
        }
    }
}

/// The table of contents of a block of 0.1.0 with this header and length.
///
/// # Errors
/// When the fingerprint or the length does not match: a development version wrote the block.
pub(super) fn contents(fingerprint: u64, capacities: [u64; CAPACITIES], words: u64) -> Result<Contents, Damage> {
    let [groups, pairs, messages, ..] =
        capacities.map(|capacity| usize::try_from(capacity).unwrap_or(usize::MAX).min(usize::MAX >> 16));
    let mut sections = Listing::new();
    sections.elements("began", 8, 1);
    let content_types = CONTENT_TYPES.iter().map(i32::to_string);
    let unlisted = (1..=UNLISTED).map(|number| format!("unlisted {number}"));
    let content_types = content_types.chain(unlisted).chain(["other".to_owned()]);
    sections.row("mix", vec![keys(content_types), keys(PLATFORMS), keys(SOURCES)]);
    sections.elements("unlisted content types", 8, UNLISTED);
    sections.row("tallies", vec![keys(TALLIES)]);
    sections.histogram("content bytes", &CONTENT_BOUNDS);
    sections.histogram("delivery delay", &DELAY_BOUNDS);
    sections.histogram("submit delay", &DELAY_BOUNDS);
    sections.row("clock errors", vec![keys(["future", "stale", "negative_submit"])]);
    sections.elements("delivery exemplars", 128, DELAY_BOUNDS.len() + 1);
    sections.windows("senders");
    sections.windows("active groups");
    sections.elements("groups", 128, groups);
    sections.row("folded", vec![keys(["folded capacity", "folded retired", "retired groups"])]);
    sections.elements("retiring", 8, 2);
    sections.elements("ranked at", 8, 1);
    sections.elements("pairs", 16, (2 * pairs).next_power_of_two());
    sections.row("pair tallies", vec![keys(["inserted", "evicted"])]);
    sections.elements("pairs at the last scan", 8, 1);
    sections.elements("dedup", 8, messages);
    sections.row("repeats", vec![keys(["repeats", "evicted"])]);
    sections.elements("dedup cleared", 8, 1);
    let matches = sections.fingerprint == fingerprint && sections.words as u64 == words;
    if matches { Ok(sections.contents) } else { Err(Damage::BeforeFirstVersion) }
}
