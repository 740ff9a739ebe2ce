//! Files that flags name: reading them up to a size limit, and their errors.

use std::fs::OpenOptions;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::{fmt, io};

use rustix::fs::OFlags;

/// Largest file of certificates or keys, in bytes. A chain has a few thousand.
pub(super) const MAX_PEM_BYTES: u64 = 1 << 20;

/// An error in a file: where it is, and how to correct it. It shows no secret of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileError {
    file: Option<PathBuf>,
    line: Option<usize>,
    key: String,
    problem: String,
}

impl std::error::Error for FileError {}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, self.line) {
            (Some(file), Some(line)) => write!(f, "{}:{line}: ", file.display())?,
            (Some(file), None) => write!(f, "{}: ", file.display())?,
            (None, Some(line)) => write!(f, "line {line}: ")?,
            (None, None) => {}
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.problem)
    }
}

impl FileError {
    /// An error about the whole file.
    pub(super) fn about_file(problem: impl Into<String>) -> Self {
        Self { file: None, line: None, key: String::new(), problem: problem.into() }
    }

    /// An error about a line, counted from 1, and the key on it; the key may be empty.
    pub(super) fn at_line(line: usize, key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { file: None, line: Some(line), key: key.into(), problem: problem.into() }
    }

    /// With what its problem is about before it.
    pub(super) fn about(self, what: &str) -> Self {
        Self { problem: format!("{what}{}", self.problem), ..self }
    }

    pub(super) fn in_file(self, file: &Path) -> Self {
        Self { file: Some(file.to_owned()), ..self }
    }
}

/// The text of a file.
///
/// # Errors
/// When it cannot be read, is larger than `max_bytes`, or is not UTF-8.
pub(super) fn read(path: &Path, max_bytes: u64) -> Result<String, FileError> {
    String::from_utf8(read_bytes(path, max_bytes)?).map_err(|error| {
        let before = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        FileError::at_line(1 + memchr::memchr_iter(b'\n', before).count(), "", "this line is not UTF-8")
    })
}

/// The bytes of a file.
///
/// # Errors
/// When it cannot be read, or is larger than `max_bytes`.
pub(super) fn read_bytes(path: &Path, max_bytes: u64) -> Result<Vec<u8>, FileError> {
    let bytes = read_one_more(path, max_bytes)
        .map_err(|error| FileError::about_file(format!("{error}; give a readable file")))?;
    if bytes.len() as u64 > max_bytes {
        return Err(FileError::about_file(format!(
            "the file is larger than the limit of {max_bytes} bytes; check that it is the right file, or shorten it"
        )));
    }
    Ok(bytes)
}

/// Reads up to one byte more than the limit, so that a larger file can be detected.
fn read_one_more(path: &Path, max_bytes: u64) -> io::Result<Vec<u8>> {
    // Opening a pipe would block until there is a writer.
    let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(nonblocking).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(max_bytes + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A name for an error message. It is hidden unless it looks like a name, because it may be a misplaced secret.
pub(super) fn redact_name(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if (1..=64).contains(&name.len()) && name.bytes().all(plain) { name.to_owned() } else { "(not shown)".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_error(bytes: &[u8], max_bytes: u64) -> String {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("web.yml");
        std::fs::write(&path, bytes).unwrap();
        let error = read(&path, max_bytes).unwrap_err().in_file(Path::new("web.yml"));
        error.to_string()
    }

    #[test]
    fn a_file_larger_than_the_limit_is_an_error() {
        assert_eq!(
            read_error(b"12345", 4),
            "web.yml: the file is larger than the limit of 4 bytes; check that it is the right file, or shorten it"
        );
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("web.yml");
        std::fs::write(&path, b"1234").unwrap();
        assert_eq!(read(&path, 4).unwrap(), "1234");
    }

    #[test]
    fn the_error_names_the_line_that_is_not_utf_8() {
        assert_eq!(read_error(b"a: 1\nb: \xff\n", 100), "web.yml:2: this line is not UTF-8");
    }

    #[test]
    fn a_missing_file_and_a_directory_are_errors() {
        for path in ["/nowhere/web.yml", "/"] {
            let words = read(Path::new(path), 100).unwrap_err().in_file(Path::new(path)).to_string();
            assert!(words.starts_with(path) && words.ends_with("give a readable file"), "{words}");
        }
    }

    #[test]
    fn a_pipe_is_an_error_and_does_not_block() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        assert!(read(&path, 100).unwrap_err().to_string().contains("not a regular file"));
    }

    #[test]
    fn a_misplaced_secret_is_not_shown() {
        assert_eq!(redact_name("cert-file"), "cert-file");
        for secret in ["$2y$10$abc", "a b", "a\nb", "", &"k".repeat(65)] {
            assert_eq!(redact_name(secret), "(not shown)");
        }
    }
}
