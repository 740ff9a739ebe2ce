//! Reading a state's file without changing anything: no lock, no mode, and no hole that reading would fill.
//!
//! The file is read with `pread`, not mapped. So a file that another program truncates, or a bad disk, is an error and
//! not a fatal signal. For a running exporter, `pread` copies from the very pages that the exporter has mapped, so it
//! sees every number that was stored before the call.
//!
//! What it may see of numbers that change during the call: each word on its own is either old or new, never half of
//! each, because on 64-bit machines the kernel copies aligned words as a whole (`a_word_is_never_read_in_two_halves`).
//! But several words may come from different moments, and not even in their order. Readers of more than one word read
//! it again: see [`StateFile::read`].

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use rustix::fs::{major, minor};

use super::block::{Arena, Block};
use super::contents::Contents;
use super::directory::files::check_length;
use super::header::{self, Sections};
use super::identity::Identity;
use super::layout::HEADER_WORDS;
use super::step::advice_for_command;
use super::trust::{Boot, Damage, Trust};

/// Bytes of one system call: so few that they stay in the cache until they are stored.
const CHUNK_BYTES: usize = 128 * 1024;

const WORD_BYTES: usize = size_of::<AtomicU64>();

/// The locks of all processes. <https://man7.org/linux/man-pages/man5/proc_locks.5.html>
const LOCKS: &str = "/proc/locks";

/// Why a state cannot be read. The text names the file and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A system call failed.
    #[error("{path}: the state cannot be read: {error}; {advice}", path = .path.display(), advice = read_advice(.error))]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },
    /// The file is not a state, or is damaged.
    #[error("{path}: {damage}; {advice}", path = .path.display(), advice = damage_advice(*.damage))]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        damage: Damage,
    },
    /// The memory for a copy cannot be reserved.
    #[error("{path}: there is no memory for a copy of {mib} MiB: {error}; free some, or raise its limit (ulimit -v)", path = .path.display(), mib = .bytes >> 20)]
    Memory {
        /// The file.
        path: PathBuf,
        /// Its length.
        bytes: u64,
        /// The system's error.
        error: io::Error,
    },
}

fn read_advice(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => {
            "name an existing file, or set --storage.path to the exporter's directory, such as /var/lib/openim-exporter"
                .to_owned()
        }
        _ => advice_for_command(error),
    }
}

const fn damage_advice(damage: Damage) -> &'static str {
    match damage {
        Damage::Foreign => "name a state or a backup of one",
        Damage::OtherVersion(_) => "use the version of openim-exporter that wrote it",
        Damage::BeforeFirstVersion => "it cannot be used",
        Damage::Header | Damage::Length | Damage::Body | Damage::Numbers(_) => "use another backup",
    }
}

/// A state's file that is only read.
#[derive(Debug)]
pub(crate) struct StateFile {
    path: PathBuf,
    file: File,
    identity: Identity,
    words: usize,
}

impl StateFile {
    /// Opens a state or a backup. A symbolic link is followed.
    ///
    /// # Errors
    /// When it cannot be read, or is not a state.
    pub(crate) fn open(path: &Path) -> Result<Self, ReadError> {
        let failed = |error| ReadError::Io { path: path.to_owned(), error };
        let damaged = |damage| ReadError::Damaged { path: path.to_owned(), damage };
        // Not opened otherwise, because opening a device can have side effects, and a pipe would block.
        if !fs::metadata(path).map_err(failed)?.is_file() {
            return Err(damaged(Damage::Foreign));
        }
        let file = File::open(path).map_err(failed)?;
        let bytes = file.metadata().map_err(failed)?.len();
        let identity = Identity::of(&file).map_err(failed)?;
        check_length(&file, bytes).map_err(failed)?.map_err(damaged)?;
        let words = usize::try_from(bytes).unwrap_or(usize::MAX) / WORD_BYTES;
        Ok(Self { path: path.to_owned(), file, identity, words })
    }

    /// The file's length in bytes.
    pub(crate) const fn bytes(&self) -> u64 {
        (self.words * WORD_BYTES) as u64
    }

    /// An error about the file's contents.
    pub(crate) fn damaged(&self, damage: Damage) -> ReadError {
        ReadError::Damaged { path: self.path.clone(), damage }
    }

    /// An error about memory for a copy.
    pub(crate) fn no_memory(&self, error: io::Error) -> ReadError {
        ReadError::Memory { path: self.path.clone(), bytes: self.bytes(), error }
    }

    /// Memory for a copy of the file, zeroed.
    ///
    /// # Errors
    /// When the system refuses to map that much memory.
    pub(crate) fn new_arena(&self) -> Result<Arc<Arena>, ReadError> {
        Arena::anonymous(self.words).map(Arc::new).map_err(|error| self.no_memory(error))
    }

    /// Reads words into the same place of a copy. Returns whether one of them differs from what was there: if the same
    /// words are read twice without a difference, then all of them had these values at the same moment, unless one was
    /// changed and changed back.
    ///
    /// # Errors
    /// When the file cannot be read, or was truncated.
    pub(crate) fn read(&self, range: Range<usize>, to: &Arena) -> Result<bool, ReadError> {
        let mut buffer = vec![0; (CHUNK_BYTES / WORD_BYTES).min(range.len())];
        let (mut at, mut differs) = (range.start, false);
        for chunk in to.words().get(range).unwrap_or_default().chunks(buffer.len().max(1)) {
            let buffer = buffer.get_mut(..chunk.len()).unwrap_or_default();
            self.read_words(at, buffer)?;
            at += chunk.len();
            for (word, value) in chunk.iter().zip(buffer) {
                // Not written otherwise, so that the pages of zeros take no memory.
                if word.load(Ordering::Relaxed) != *value {
                    word.store(*value, Ordering::Relaxed);
                    differs = true;
                }
            }
        }
        Ok(differs)
    }

    /// Reads words from a position. What an earlier call has read is older than what this one reads.
    ///
    /// # Errors
    /// When the file cannot be read, or was truncated.
    pub(crate) fn read_words(&self, mut at: usize, words: &mut [u64]) -> Result<(), ReadError> {
        let mut bytes = vec![0; CHUNK_BYTES.min(words.len() * WORD_BYTES)];
        // The kernel reads on this thread, so this also orders its reads.
        fence(Ordering::SeqCst);
        for words in words.chunks_mut(CHUNK_BYTES / WORD_BYTES) {
            let bytes = bytes.get_mut(..words.len() * WORD_BYTES).unwrap_or_default();
            self.file.read_exact_at(bytes, (at * WORD_BYTES) as u64).map_err(|error| match error.kind() {
                ErrorKind::UnexpectedEof => self.damaged(Damage::Length),
                _ => ReadError::Io { path: self.path.clone(), error },
            })?;
            for (word, bytes) in words.iter_mut().zip(bytes.as_chunks().0) {
                *word = u64::from_ne_bytes(*bytes);
            }
            at += words.len();
        }
        fence(Ordering::SeqCst);
        Ok(())
    }

    /// Reads the header into a copy.
    ///
    /// # Errors
    /// When the file cannot be read, or was truncated.
    pub(crate) fn read_header(&self, to: &Arena) -> Result<bool, ReadError> {
        self.read(0..HEADER_WORDS, to)
    }

    /// Reads the header and the table of contents into a copy.
    ///
    /// # Errors
    /// When the file cannot be read, or was truncated.
    pub(crate) fn read_frame(&self, to: &Arena) -> Result<(), ReadError> {
        self.read_header(to)?;
        self.read(header::contents_at(to.words()).min(self.words)..self.words, to).map(|_| ())
    }

    /// Reads everything into a copy.
    ///
    /// # Errors
    /// When the file cannot be read, or was truncated.
    pub(crate) fn read_all(&self, to: &Arena) -> Result<bool, ReadError> {
        self.read(0..self.words, to)
    }

    /// How far the numbers of a copy can be trusted, as a start in the place of this file would. `locked` is the
    /// generation in the lock file.
    ///
    /// # Errors
    /// When they changed after the state was closed.
    pub(crate) fn assess(&self, copy: &Arena, boot: Boot, locked: u64) -> Result<Trust, Damage> {
        header::assess(copy.words(), boot, self.identity, locked)
    }

    /// Whether a process that can be seen from here has locked the file, as a running exporter has. False also if that
    /// cannot be found out: in a container, the locks of other containers are hidden.
    pub(crate) fn is_locked(&self) -> bool {
        let Ok(metadata) = self.file.metadata() else { return false };
        let (device, inode) = (metadata.dev(), metadata.ino());
        let file = format!("{:02x}:{:02x}:{inode}", major(device), minor(device));
        let is_of_file = |line: &str| {
            let mut fields = line.split_ascii_whitespace();
            fields.any(|field| field == "FLOCK") && fields.any(|field| field == file)
        };
        fs::read_to_string(LOCKS).is_ok_and(|locks| locks.lines().any(is_of_file))
    }
}

impl Arena {
    /// What the header says about the sections.
    ///
    /// # Errors
    /// When the block is not a state, or the header is damaged.
    pub(crate) fn sections(&self) -> Result<Sections, Damage> {
        header::read(self.words())
    }

    /// Whether the block is marked as closed.
    pub(crate) fn is_clean(&self) -> bool {
        header::is_clean(self.words())
    }

    /// The boot on which the block was last used.
    pub(crate) fn boot(&self) -> Boot {
        header::boot_of(self.words())
    }

    /// Marks a copy as closed. `boot`: see [`Boot`]; of a block that was closed, its own.
    pub(crate) fn mark_closed(&self, boot: Boot) {
        header::set_boot(self.words(), boot);
        header::store_body_sum(self.words());
        header::mark_clean(self.words());
    }

    /// Writes all words.
    ///
    /// # Errors
    /// When they cannot be written.
    pub(crate) fn write_to(&self, to: &mut dyn io::Write) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(CHUNK_BYTES);
        for chunk in self.words().chunks(CHUNK_BYTES / WORD_BYTES) {
            bytes.clear();
            bytes.extend(chunk.iter().flat_map(|word| word.load(Ordering::Relaxed).to_ne_bytes()));
            to.write_all(&bytes)?;
        }
        Ok(())
    }
}

impl Block {
    /// A new block in anonymous memory that can be written as a file, with the origin of another block.
    ///
    /// # Errors
    /// When the system refuses to map that much memory.
    pub(crate) fn for_file(contents: Contents, origin: &Arena) -> io::Result<Self> {
        let text = serde_json::to_vec(&contents)?;
        let words = contents.words() + header::contents_words(&text);
        let arena = Arc::new(Arena::anonymous(words)?);
        header::write(arena.words(), contents.words(), &text);
        header::copy_origin(origin.words(), arena.words());
        Ok(Self::new(arena, contents))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::thread;

    use memmap2::{MmapOptions, MmapRaw};

    use super::*;

    /// Words of a state: more than the kernel copies at once.
    const WORDS: usize = 100_000;

    const ONE_IN_EACH_BYTE: u64 = 0x0101_0101_0101_0101;

    fn state(words: usize) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state");
        let arena = Arena::anonymous(words).unwrap();
        header::write(arena.words(), words, b"");
        arena.write_to(&mut File::create(&path).unwrap()).unwrap();
        (directory, path)
    }

    #[test]
    fn a_word_is_never_read_in_two_halves_nor_older_than_what_was_stored_before_the_read() {
        let (_directory, path) = state(WORDS);
        let file = StateFile::open(&path).unwrap();
        let memory: MmapRaw =
            MmapOptions::new().map_raw(&File::options().read(true).write(true).open(&path).unwrap()).unwrap();
        let (arena, done) = (Arena::new(memory, None), AtomicBool::new(false));
        let fill = |number: u64| {
            let [_, newest, words @ ..] = arena.words() else { return };
            // All eight bytes change each time.
            words.iter().for_each(|word| word.store(number % 255 * ONE_IN_EACH_BYTE, Ordering::Relaxed));
            newest.store(number, Ordering::Relaxed);
        };
        fill(1);
        let wrong = thread::scope(|scope| {
            scope.spawn(|| (2..).take_while(|_| !done.load(Ordering::Relaxed)).for_each(fill));
            let mut words = vec![0; WORDS];
            let wrong = (0..100).find_map(|_| {
                let before = arena.words()[1].load(Ordering::Relaxed);
                file.read_words(0, &mut words).unwrap();
                let torn = words.iter().skip(2).find(|word| !word.is_multiple_of(ONE_IN_EACH_BYTE));
                (words[1] < before || torn.is_some()).then(|| (words[1], before, torn.copied()))
            });
            done.store(true, Ordering::Relaxed);
            wrong
        });
        assert_eq!(wrong, None);
    }

    #[test]
    fn a_file_that_is_truncated_while_it_is_read_is_an_error() {
        let (_directory, path) = state(HEADER_WORDS * 2);
        let file = StateFile::open(&path).unwrap();
        let arena = file.new_arena().unwrap();
        assert!(file.read_all(&arena).unwrap(), "it differs from zeros");
        assert!(!file.read_all(&arena).unwrap(), "it is the same again");
        File::options().write(true).open(&path).unwrap().set_len(5000).unwrap();
        let error = file.read_all(&arena).unwrap_err().to_string();
        assert!(error.contains("it was truncated or overwritten; use another backup"), "{error}");
    }

    #[test]
    fn a_lock_of_this_process_is_seen_where_the_system_shows_locks() {
        let (_directory, path) = state(HEADER_WORDS);
        let file = StateFile::open(&path).unwrap();
        assert!(!file.is_locked());
        let locked = File::open(&path).unwrap();
        locked.lock().unwrap();
        assert_eq!(file.is_locked(), fs::read_to_string(LOCKS).is_ok_and(|locks| locks.contains("FLOCK")));
    }
}
