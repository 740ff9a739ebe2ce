//! Files that flags name: read within a bound, and what is wrong with them.

use std::fs::OpenOptions;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::{fmt, io};

use rustix::fs::OFlags;

/// A file that cannot be used: where, and what would do instead. Tells nothing that the file is to keep secret.
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
    /// About the whole file.
    pub(super) fn whole(problem: impl Into<String>) -> Self {
        Self { file: None, line: None, key: String::new(), problem: problem.into() }
    }

    /// About a line, from 1, and the key on it; the key may be empty.
    pub(super) fn at(line: usize, key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { file: None, line: Some(line), key: key.into(), problem: problem.into() }
    }

    pub(super) fn in_file(self, file: &Path) -> Self {
        Self { file: Some(file.to_owned()), ..self }
    }
}

/// The text of a file.
///
/// # Errors
/// When it cannot be read, is larger than `most_bytes`, or is not UTF-8.
pub(super) fn read(path: &Path, most_bytes: u64) -> Result<String, FileError> {
    let bytes = bounded(path, most_bytes)
        .map_err(|error| FileError::whole(format!("{error}; give a file that can be read")))?;
    if bytes.len() as u64 > most_bytes {
        return Err(FileError::whole(format!("the file is larger than {most_bytes} bytes, the most that is read")));
    }
    String::from_utf8(bytes).map_err(|error| {
        let before = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        FileError::at(1 + memchr::memchr_iter(b'\n', before).count(), "", "the text is not UTF-8")
    })
}

/// One byte more than the bound, for it to be seen.
fn bounded(path: &Path, most_bytes: u64) -> io::Result<Vec<u8>> {
    // Opening a pipe would wait for whoever writes to it, perhaps for ever.
    let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(nonblocking).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(most_bytes + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What someone wrote, for an error: whole only when it is a word that could be meant for a name. A secret in the wrong
/// place is not shown.
pub(super) fn shown(given: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if (1..=64).contains(&given.len()) && given.bytes().all(plain) {
        given.to_owned()
    } else {
        "(not shown)".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(bytes: &[u8], most_bytes: u64) -> String {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("web.yml");
        std::fs::write(&path, bytes).unwrap();
        let error = read(&path, most_bytes).unwrap_err().in_file(Path::new("web.yml"));
        error.to_string()
    }

    #[test]
    fn a_file_over_the_bound_is_not_read_and_one_at_it_is() {
        assert_eq!(refused(b"12345", 4), "web.yml: the file is larger than 4 bytes, the most that is read");
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("web.yml");
        std::fs::write(&path, b"1234").unwrap();
        assert_eq!(read(&path, 4).unwrap(), "1234");
    }

    #[test]
    fn a_byte_that_is_not_utf_8_is_named_by_its_line() {
        assert_eq!(refused(b"a: 1\nb: \xff\n", 100), "web.yml:2: the text is not UTF-8");
    }

    #[test]
    fn a_file_that_is_missing_or_a_directory_is_refused_with_words() {
        for path in ["/nowhere/web.yml", "/"] {
            let words = read(Path::new(path), 100).unwrap_err().in_file(Path::new(path)).to_string();
            assert!(words.starts_with(path) && words.ends_with("give a file that can be read"), "{words}");
        }
    }

    #[test]
    fn a_pipe_is_refused_and_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        assert!(read(&path, 100).unwrap_err().to_string().contains("not a regular file"));
    }

    #[test]
    fn a_secret_in_the_wrong_place_is_not_shown() {
        assert_eq!(shown("cert-file"), "cert-file");
        for secret in ["$2y$10$abc", "a b", "a\nb", "", &"k".repeat(65)] {
            assert_eq!(shown(secret), "(not shown)");
        }
    }
}
