//! The header of a state's file: a file of any bytes is a state or is not, and one that is has the sums that say so.

use std::cell::RefCell;
use std::fs;

use arbitrary::Unstructured;
use openim_exporter::arena::{BootId, Directory, Found, MAGIC, Trust, VERSION};
use tempfile::TempDir;

use super::state::{CAPACITIES_AT, CLEAN, Words, facts_sum};

const BOOT: BootId = Some([1, 2]);

thread_local! {
    static DIRECTORY: RefCell<Option<(TempDir, Directory)>> = const { RefCell::new(None) };
}

pub(crate) fn holds(bytes: &[u8]) {
    DIRECTORY.with_borrow_mut(|directory| {
        let (_, directory) = directory.get_or_insert_with(|| {
            let path = super::state::directory();
            let locked = Directory::lock(path.path()).unwrap();
            (path, locked)
        });
        let file = file_of(&mut Unstructured::new(bytes));
        fs::write(directory.state(), &file).unwrap();
        let found = directory.find(BOOT).unwrap();
        assert_eq!(fs::metadata(directory.state()).unwrap().len(), file.len() as u64);
        if let Found::State { arena, capacities, trust } = found {
            let words = Words(file);
            assert_eq!([words.get(0), words.get(1), words.get(3)], [MAGIC, VERSION, words.len()]);
            assert_eq!(words.get(facts_sum::AT), facts_sum::of(&words));
            assert_eq!(capacities, std::array::from_fn(|at| words.get(CAPACITIES_AT + at)));
            let of_this_boot = BOOT == Some([words.get(16), words.get(17)]);
            assert_eq!(trust == Trust::Exact, words.get(18) == CLEAN || of_this_boot);
            assert!(arena.is_at(directory.state()));
        }
    });
}

/// A file as the bytes have it, or one with their header words and body, and maybe sums that are right.
fn file_of(bytes: &mut Unstructured<'_>) -> Vec<u8> {
    let kind: u8 = bytes.arbitrary().unwrap_or_default();
    if kind & 1 == 0 {
        return bytes.bytes(bytes.len()).unwrap_or_default().to_vec();
    }
    let header = bytes.bytes(bytes.len().min(20 * 8)).unwrap_or_default().to_vec();
    let mut file = header;
    file.resize(4096, 0);
    file.extend(bytes.bytes(bytes.len()).unwrap_or_default());
    let mut words = Words(file);
    if kind & 2 != 0 {
        words.set(0, MAGIC);
        words.set(1, VERSION);
    }
    if kind & 4 != 0 {
        words.set(3, words.len());
    }
    if kind & 8 != 0 {
        words.set(facts_sum::AT, facts_sum::of(&words));
    }
    words.0
}
