//! Compressing a file, in steps.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::SystemTime;

use flate2::Compression as Level;
use flate2::write::GzEncoder;

use super::files::{RecordFile, compressed, part};

/// Bytes in a step: a few milliseconds.
const STEP: usize = 256 * 1024;

/// A file that is being compressed. If this is dropped before the end, the partial compressed file is removed.
pub(super) struct Compression {
    from: File,
    into: Option<GzEncoder<File>>,
    paths: Paths,
    modified: SystemTime,
    last: Option<u8>,
    buffer: Vec<u8>,
}

struct Paths {
    from: PathBuf,
    part: PathBuf,
    to: PathBuf,
}

impl Compression {
    pub(super) fn begin(file: &RecordFile) -> io::Result<Self> {
        let to = compressed(&file.path);
        let paths = Paths { from: file.path.clone(), part: part(&to), to };
        let from = File::open(&paths.from)?;
        let into = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&paths.part)?;
        // The fastest level: the records must not need more time than the callbacks.
        let into = Some(GzEncoder::new(into, Level::fast()));
        Ok(Self { from, into, paths, modified: file.modified, last: None, buffer: vec![0; STEP] })
    }

    /// Compresses some more. Returns whether that was all, and the compressed file has replaced the file.
    pub(super) fn step(&mut self) -> io::Result<bool> {
        let read = self.from.read(&mut self.buffer)?;
        let bytes = self.buffer.get(..read).unwrap_or_default();
        let Some(into) = &mut self.into else { return Ok(true) };
        if !bytes.is_empty() {
            self.last = bytes.last().copied();
            into.write_all(bytes)?;
            return Ok(false);
        }
        if self.last.is_some_and(|last| last != b'\n') {
            // A killed process, or a full disk, left a torn line.
            into.write_all(b"\n")?;
        }
        into.try_finish()?;
        let file = into.get_ref();
        // It is as old as its last record.
        file.set_modified(self.modified)?;
        file.sync_all()?;
        fs::rename(&self.paths.part, &self.paths.to)?;
        self.into = None;
        fs::remove_file(&self.paths.from)?;
        Ok(true)
    }
}

impl Drop for Compression {
    fn drop(&mut self) {
        if self.into.is_some() {
            // The next start removes it otherwise.
            let _ = fs::remove_file(&self.paths.part);
        }
    }
}
