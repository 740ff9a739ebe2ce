//! The header of a state's file and its table of contents: a file of any bytes is a state only if its checksums match and its
//! sections are inside the file.

use std::cell::RefCell;
use std::fs;

use arbitrary::Unstructured;
use openim_exporter::arena::{Boot, Contents, Directory, Doubt, Found, Layout, MAGIC, Sections, Trust, VERSION};
use tempfile::TempDir;

use super::state::{CLEAN, Words, facts_sum, sum};

const BOOT: Boot = Boot::Id([1, 2]);

/// The end of the sections in a generated file, in words.
const END: usize = 1024;

thread_local! {
    static DIRECTORY: RefCell<Option<(TempDir, Directory)>> = const { RefCell::new(None) };
}

pub(crate) fn holds(bytes: &[u8]) {
    DIRECTORY.with_borrow_mut(|directory| {
        let (_, directory) = directory.get_or_insert_with(|| {
            let path = super::state::directory();
            let locked = Directory::lock(path.path(), &|_| ()).unwrap();
            (path, locked)
        });
        let file = file_of(&mut Unstructured::new(bytes));
        fs::write(directory.state(), &file).unwrap();
        let found = directory.find(BOOT, &|_| ()).unwrap();
        assert!(fs::read(directory.state()).unwrap() == file, "inspecting changes nothing");
        if let Found::State { arena, sections, trust, .. } = found {
            let words = Words(file);
            assert_eq!([words.get(0), words.get(3)], [MAGIC, words.len()]);
            assert_eq!(words.get(facts_sum::AT), facts_sum::of(&words));
            let of_this_boot = [1, 2] == [words.get(16), words.get(17)];
            match trust {
                Trust::Exact => assert!(words.get(18) == CLEAN || of_this_boot),
                Trust::Restored => assert_eq!(words.get(18), CLEAN),
                // Closed, but older than the lock file says.
                Trust::Torn(Doubt::Older) => {}
                Trust::Torn(_) => assert_ne!(words.get(18), CLEAN),
            }
            assert!(arena.is_at(directory.state()));
            check(&sections, &words);
        }
    });
}

fn check(sections: &Sections, words: &Words) {
    match sections {
        Sections::OfFirstVersion { fingerprint, capacities } => {
            assert_eq!((words.get(1), words.get(2)), (1, *fingerprint));
            assert_eq!(*capacities, std::array::from_fn(|at| words.get(4 + at)));
        }
        Sections::Listed(contents) => {
            assert_eq!(words.get(1), VERSION);
            let mut end = 4096;
            for entry in &contents.sections {
                assert!(entry.offset >= end, "sections overlap");
                end = entry.offset + entry.length;
                let layout = &entry.layout;
                assert!(layout.count * layout.element_bytes * layout.lanes <= entry.length);
            }
            assert!(end as u64 <= 8 * words.get(2));
        }
    }
}

/// A file of the bytes, or one with header words and a table of contents from the bytes, and perhaps matching checksums.
fn file_of(bytes: &mut Unstructured<'_>) -> Vec<u8> {
    let kind: u8 = bytes.arbitrary().unwrap_or_default();
    if kind & 1 == 0 {
        return bytes.bytes(bytes.len()).unwrap_or_default().to_vec();
    }
    let mut file = bytes.bytes(bytes.len().min(25 * 8)).unwrap_or_default().to_vec();
    file.resize(END * 8, 0);
    let contents = if kind & 2 == 0 { bytes.bytes(bytes.len()).unwrap_or_default().to_vec() } else { listed(bytes) };
    file.extend(&contents);
    file.resize(file.len().next_multiple_of(8), 0);
    let mut words = Words(file);
    if kind & 4 != 0 {
        words.set(0, MAGIC);
        words.set(1, if kind & 8 == 0 { VERSION } else { 1 });
        words.set(3, words.len());
    }
    if kind & 16 != 0 {
        words.set(2, END as u64);
        words.set(4, contents.len() as u64);
        words.set(5, sum((END..usize::try_from(words.len()).unwrap()).map(|at| words.get(at))));
    }
    if kind & 32 != 0 {
        words.set(facts_sum::AT, facts_sum::of(&words));
    }
    words.0
}

/// A changed table of contents.
fn listed(bytes: &mut Unstructured<'_>) -> Vec<u8> {
    let mut contents = Contents::default();
    contents.reserve(Layout::new("a", 1, 8, 3));
    contents.reserve(Layout { lanes: 2, keys: vec![vec!["x".into(), "y".into()]], ..Layout::new("b", 1, 8, 2) });
    contents.reserve(Layout::new("c", 2, 128, 1));
    let number = contents.sections.len();
    for _ in 0..bytes.arbitrary::<u8>().unwrap_or_default() % 4 {
        let entry = &mut contents.sections[usize::from(bytes.arbitrary::<u8>().unwrap_or_default()) % number];
        let (what, value): (u8, u16) = bytes.arbitrary().unwrap_or_default();
        let value = if value > 60_000 { usize::MAX - usize::from(value) } else { usize::from(value) };
        match what % 7 {
            0 => entry.offset = value,
            1 => entry.length = value,
            2 => entry.layout.count = value,
            3 => entry.layout.element_bytes = value,
            4 => entry.layout.lanes = value,
            5 => entry.layout.name = "a".into(),
            _ => entry.layout.keys.push(vec!["x".into(); value % 3]),
        }
    }
    serde_json::to_vec(&contents).unwrap()
}
