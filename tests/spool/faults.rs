//! Every single fault of a small spool's files: what is not damaged is delivered, the rest is counted, and nothing gets
//! stuck.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use openim_exporter::spool::{Dropped, Figures, Reader, Record, Spool};

use crate::store::{self, LIMITS, NOW, append, deliver, maintain_until_empty, open, record, segments};

/// How long a spool may take to recover from one fault.
const RECOVERY: Duration = Duration::from_secs(5);

/// Callbacks in each of the three segments.
const EACH: u32 = 3;

/// The number of callbacks that are delivered in it.
const DONE: u32 = 1;

/// What remains of a file.
#[derive(Clone, Debug)]
enum Fault {
    Missing,
    Directory,
    FullDirectory,
    Link,
    Pipe,
    /// Only the first bytes.
    Cut(usize),
    Flipped(usize, u8),
    Zeros(usize),
    Appended(Vec<u8>),
}

impl Fault {
    fn apply(&self, path: &Path) {
        let bytes = fs::read(path).unwrap();
        let remove = || fs::remove_file(path).unwrap();
        match self {
            Self::Missing => remove(),
            Self::Directory => {
                remove();
                fs::create_dir(path).unwrap();
            }
            Self::FullDirectory => {
                remove();
                fs::create_dir(path).unwrap();
                fs::write(path.join("file"), "foreign").unwrap();
            }
            Self::Link => {
                remove();
                symlink("/dev/zero", path).unwrap();
            }
            Self::Pipe => {
                remove();
                let made = std::process::Command::new("mkfifo").arg(path).status().unwrap();
                assert!(made.success());
            }
            Self::Cut(length) => fs::write(path, &bytes[..*length]).unwrap(),
            Self::Flipped(at, mask) => {
                let mut bytes = bytes;
                bytes[*at] ^= mask;
                fs::write(path, bytes).unwrap();
            }
            Self::Zeros(from) => {
                let mut bytes = bytes;
                bytes[*from..].fill(0);
                fs::write(path, bytes).unwrap();
            }
            Self::Appended(garbage) => fs::write(path, [bytes, garbage.clone()].concat()).unwrap(),
        }
    }

    fn all(bytes: usize) -> Vec<Self> {
        let whole = [Self::Missing, Self::Directory, Self::FullDirectory, Self::Link, Self::Pipe];
        let cut = (0..bytes).map(Self::Cut);
        // One bit of each byte, and all of every third.
        let flipped = (0..bytes).map(|at| Self::Flipped(at, 1 << (at % 8)));
        let inverted = (0..bytes).step_by(3).map(|at| Self::Flipped(at, 0xff));
        let zeros = (0..bytes).step_by(7).map(Self::Zeros);
        let garbage = [vec![0; 5], vec![0; 5000], b"\xf5OeS".repeat(100), vec![0xff; 100]];
        whole
            .into_iter()
            .chain(cut)
            .chain(flipped)
            .chain(inverted)
            .chain(zeros)
            .chain(garbage.map(Self::Appended))
            .collect()
    }
}

/// A spool with three segments, of which the first callback is delivered. After a kill, its list does not know the last
/// segment's length.
fn build(directory: &Path, is_closed: bool) {
    for number in 0..3 {
        let (spool, mut reader) = open(directory);
        append(&spool, (0..EACH).map(|at| number * EACH + at));
        if number == 0 {
            for _ in 0..DONE {
                let (position, _) = reader.next().unwrap().unwrap();
                reader.delivered(position).unwrap();
            }
        }
        // Writes the list, as when a segment begins.
        spool.maintain(NOW).unwrap();
        if number == 2 && !is_closed {
            std::mem::forget(spool);
        }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let path = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &path);
        } else {
            fs::copy(entry.path(), path).unwrap();
        }
    }
}

/// Where each record of a segment begins, and the end.
fn offsets(segment: u32) -> Vec<usize> {
    let lengths = (0..EACH).map(|at| {
        let body = store::body(segment * EACH + at);
        let Record { command, tail, query, operation_id, content_type, via, .. } = record(&body);
        80 + via.len() + command.len() + tail.len() + query.len() + operation_id.len() + content_type.len() + body.len()
    });
    let mut offsets = vec![0];
    offsets.extend(lengths.scan(0, |at, length| {
        *at += length;
        Some(*at)
    }));
    offsets
}

/// The records of a segment that a fault leaves undamaged.
fn undamaged(fault: &Fault, segment: u32) -> Vec<u32> {
    let offsets = offsets(segment);
    let is_whole = |at: u32| {
        let (from, until) = (offsets[at as usize], offsets[at as usize + 1]);
        match fault {
            Fault::Missing | Fault::Directory | Fault::FullDirectory | Fault::Link | Fault::Pipe => false,
            Fault::Cut(length) | Fault::Zeros(length) => until <= *length,
            // A record's state is at 8: an unknown one means that it is not delivered.
            Fault::Flipped(at, _) => !(from..until).contains(at) || *at == from + 8,
            Fault::Appended(_) => true,
        }
    };
    (0..EACH).filter(|at| is_whole(*at)).map(|at| segment * EACH + at).collect()
}

/// Whether the fault must be noticed: a part of a record that is not delivered is damaged, and the files show it.
fn is_noticed(fault: &Fault, segment: u32, is_closed: bool) -> bool {
    let last = segment == 2 && !is_closed;
    let offsets = offsets(segment);
    match fault {
        // Nothing says how long the last file was, and a killed process leaves a part of a record that it did not answer.
        Fault::Cut(_) if last => false,
        // The state.
        Fault::Flipped(at, _) => !offsets.contains(&at.wrapping_sub(8)),
        _ => true,
    }
}

/// Delivers everything, appends more, and delivers that.
fn recover(directory: &Path, before: &dyn Fn(&Spool, &mut Reader)) -> (Vec<u32>, Figures) {
    let (spool, mut reader) = open(directory);
    before(&spool, &mut reader);
    append(&spool, 100..102);
    let mut delivered = deliver(&mut reader);
    let _ = spool.maintain(NOW);
    append(&spool, 102..104);
    delivered.extend(deliver(&mut reader));
    (delivered, maintain_until_empty(&spool, directory))
}

/// Fails if it takes too long.
fn within<T: Send + 'static>(limit: Duration, what: &str, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(work()));
    receiver.recv_timeout(limit).unwrap_or_else(|error| panic!("{what}: {error}"))
}

fn check(built: &Path, path: &Path, segment: u32, fault: &Fault, is_closed: bool, maintain_first: bool) {
    let directory = store::in_memory();
    copy(built, directory.path());
    fault.apply(&directory.path().join(path.file_name().unwrap()));
    let what = format!("segment {segment}, {fault:?}, closed {is_closed}, maintain first {maintain_first}");
    let at = directory.path().to_owned();
    let (delivered, figures) = within(RECOVERY, &what, move || {
        recover(&at, &|spool, _| {
            if maintain_first {
                spool.maintain(NOW).unwrap();
            }
        })
    });
    let others = |segments: std::ops::Range<u32>| (segments.start * EACH)..(segments.end * EACH);
    let expected: Vec<u32> = others(0..segment)
        .chain(undamaged(fault, segment))
        .chain(others(segment + 1..3))
        // Delivered before, unless its mark is damaged.
        .filter(|number| *number >= DONE || matches!(fault, Fault::Flipped(8, _)) && segment == 0)
        .chain(100..104)
        .collect();
    assert_eq!(delivered, expected, "{what}");
    let damaged = figures.dropped(Dropped::Damaged);
    assert_eq!(damaged > 0, is_noticed(fault, segment, is_closed), "{what}: {figures:?}");
    assert!(damaged <= u64::from(EACH), "{what}: {damaged}");
    assert!(figures.damaged_files <= 2, "{what}: {figures:?}");
}

fn walk_through(is_closed: bool, maintain_first: bool) {
    let built = store::in_memory();
    build(built.path(), is_closed);
    // The newest has no record: it belongs to the next process.
    let files: Vec<PathBuf> = segments(built.path());
    assert_eq!(files.len(), 3, "{files:?}");
    for (segment, path) in files.iter().enumerate() {
        let segment = u32::try_from(segment).unwrap();
        let bytes = fs::metadata(path).unwrap().len();
        assert_eq!(offsets(segment)[EACH as usize] as u64, bytes);
        for fault in Fault::all(usize::try_from(bytes).unwrap()) {
            check(built.path(), path, segment, &fault, is_closed, maintain_first);
        }
    }
}

#[test]
fn any_fault_of_a_segment_after_an_orderly_end() {
    walk_through(true, false);
}

#[test]
fn any_fault_of_a_segment_after_a_kill() {
    walk_through(false, true);
}

/// Nothing that happens to the list of segments loses a callback.
#[test]
fn any_fault_of_the_list_of_segments() {
    let built = store::in_memory();
    build(built.path(), true);
    let bytes = usize::try_from(fs::metadata(built.path().join("segments")).unwrap().len()).unwrap();
    for fault in Fault::all(bytes) {
        let directory = store::in_memory();
        copy(built.path(), directory.path());
        fault.apply(&directory.path().join("segments"));
        let (what, at) = (format!("{fault:?}"), directory.path().to_owned());
        let (delivered, figures) = within(RECOVERY, &what, move || recover(&at, &|_, _| ()));
        assert_eq!(delivered, (DONE..3 * EACH).chain(100..104).collect::<Vec<_>>(), "{what}");
        assert_eq!(figures.dropped, [0; 5], "{what}");
        assert!(directory.path().join("segments").is_file(), "{what}");
    }
}

/// The same faults while the exporter runs: in the file that is being read, and in the one that is being written.
#[test]
fn any_fault_of_a_segment_in_use() {
    let built = store::in_memory();
    build(built.path(), true);
    let bytes = offsets(2)[EACH as usize];
    for fault in Fault::all(bytes) {
        let directory = store::in_memory();
        let (what, at, fault_) = (format!("{fault:?}"), directory.path().to_owned(), fault.clone());
        let (delivered, figures) = within(RECOVERY, &what, move || {
            recover(&at, &|spool, reader| {
                append(spool, 2 * EACH..3 * EACH);
                let (position, _) = reader.next().unwrap().unwrap();
                reader.rewind(position);
                let path = segments(&at)[0].clone();
                // In place: another file would be noticed as such only by the next call of `maintain`.
                fault_.apply(&path);
                let _ = spool.maintain(NOW);
            })
        });
        let newer: Vec<u32> = delivered.iter().copied().filter(|number| *number >= 100).collect();
        assert_eq!(newer, Vec::from_iter(100..104), "{what}");
        let older: Vec<u32> = delivered.iter().copied().filter(|number| *number < 100).collect();
        let expected = undamaged(&fault, 2);
        // What was read before the fault may be delivered.
        assert!(older == expected || older.len() == EACH as usize, "{what}: {older:?}");
        let lost = u64::from(EACH) - older.len() as u64;
        assert!(figures.dropped(Dropped::Damaged) >= u64::from(lost > 0), "{what}: {figures:?}");
    }
}

#[test]
fn other_files_in_the_directory_are_left_alone() {
    let directory = store::in_memory();
    build(directory.path(), true);
    for name in ["notes.txt", "zz.spool", "000000000000000G.spool", "requests.txt"] {
        fs::write(directory.path().join(name), "foreign").unwrap();
    }
    // A name that would be the last one possible.
    fs::write(directory.path().join("ffffffffffffffff.spool"), "foreign").unwrap();
    // In place of what the spool writes or creates.
    for name in ["segments.new", "requests"] {
        fs::create_dir(directory.path().join(name)).unwrap();
    }
    fs::remove_dir_all(directory.path().join("dead")).unwrap();
    fs::write(directory.path().join("dead"), "foreign").unwrap();
    let (spool, mut reader) = open(directory.path());
    assert_eq!(deliver(&mut reader), Vec::from_iter(DONE..3 * EACH));
    for name in ["notes.txt", "zz.spool", "000000000000000G.spool", "requests.txt", "ffffffffffffffff.spool.damaged"] {
        assert_eq!(fs::read(directory.path().join(name)).unwrap(), b"foreign");
    }
    for _ in 0..4 {
        spool.maintain(NOW).unwrap();
    }
    append(&spool, 100..101);
    let (position, _) = reader.next().unwrap().unwrap();
    reader.bury(position, 400, "").unwrap();
    assert_eq!(spool.figures().dead_letters, 1);
}

#[test]
fn the_directory_is_created_again() -> io::Result<()> {
    let directory = store::in_memory();
    let path = directory.path().join("spool");
    let (spool, mut reader) = open(&path);
    append(&spool, 0..3);
    fs::remove_dir_all(&path)?;
    let _ = spool.maintain(NOW);
    append(&spool, 3..6);
    let delivered = deliver(&mut reader);
    assert_eq!(delivered, [3, 4, 5]);
    assert_eq!(spool.figures().dropped(Dropped::Damaged), 3);
    maintain_until_empty(&spool, &path);
    Ok(())
}

/// Files that are set aside are kept for a while.
#[test]
fn damaged_files_are_bounded() {
    let directory = store::in_memory();
    for number in 0..70 {
        fs::write(directory.path().join(format!("{number:016x}.spool")), "damaged").unwrap();
    }
    let (spool, mut reader) = open(directory.path());
    assert_eq!(deliver(&mut reader), [0; 0]);
    let now = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    for _ in 0..4 {
        spool.maintain(now).unwrap();
    }
    assert_eq!((spool.figures().dropped(Dropped::Damaged), spool.figures().damaged_files), (70, 64));
    spool.maintain(now + 2 * i64::try_from(LIMITS.max_age.as_millis()).unwrap()).unwrap();
    assert_eq!(spool.figures().damaged_files, 0);
    let left: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 3, "{left:?}");
}
