//! The secret in the path of callbacks.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::Path;

use super::file::{self, FileError};

/// Lengths in bytes. A shorter secret could be guessed.
const LENGTHS: RangeInclusive<usize> = 16..=PathSecret::LONGEST;

/// Largest file that is read. Longer than a secret, so that the error for one that is too long says what is valid.
const MAX_FILE_BYTES: u64 = 4096;

/// A secret segment of the path in OpenIM's webhook URL. Its `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct PathSecret(String);

impl PathSecret {
    /// Maximum length, in bytes.
    pub const LONGEST: usize = 256;

    /// Reads a file with the secret, which may end with a newline.
    ///
    /// # Errors
    /// When it cannot be read or is not a secret; names the file and the required format, but shows nothing of the
    /// secret.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        let text = file::read(path, MAX_FILE_BYTES);
        text.and_then(|text| Self::parse(&text)).map_err(|error| error.in_file(path))
    }

    /// Parses the text of such a file.
    ///
    /// # Errors
    /// As [`PathSecret::read`].
    pub fn parse(text: &str) -> Result<Self, FileError> {
        let secret = text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line));
        // RFC 3986's unreserved characters, which no client percent-encodes.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        if LENGTHS.contains(&secret.len()) && secret.bytes().all(plain) {
            return Ok(Self(secret.to_owned()));
        }
        Err(FileError::about_file(format!(
            "the secret must be one line of {} to {} letters, digits and - . _ ~; make one with openssl rand -hex 32",
            LENGTHS.start(),
            LENGTHS.end()
        )))
    }

    /// The secret itself.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for PathSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PathSecret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORD: &str = "0123456789abc-._~";

    fn read(bytes: &[u8]) -> Result<PathSecret, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        std::fs::write(&path, bytes).unwrap();
        PathSecret::read(&path).map_err(|error| error.to_string().replace(path.to_str().unwrap(), "FILE"))
    }

    #[test]
    fn a_secret_is_read_with_and_without_a_newline() {
        for end in ["", "\n", "\r\n"] {
            assert_eq!(read(format!("{WORD}{end}").as_bytes()).unwrap().as_bytes(), WORD.as_bytes());
            assert!(read(format!("{}{end}", "s".repeat(256)).as_bytes()).is_ok());
        }
        assert!(read(&[b's'; 16]).is_ok());
    }

    #[test]
    fn an_unsafe_secret_is_an_error_and_not_shown() {
        for secret in [
            "",
            "\n",
            "short",
            "fifteen-letters",
            "slashes/are/no/secrets",
            "percent%20percent%20",
            "spaces are no secrets",
            "two-lines-of-text\n\n",
            "a-return-and-no-line\r",
            "two-lines-of-text\nmore",
            "é-is-no-letter-of-it",
            "nul-is-no-letter\0",
        ] {
            let words = read(secret.as_bytes()).expect_err(secret);
            assert!(words.starts_with("FILE: the secret must be one line of 16 to 256 letters"), "{words}");
            assert!(secret.trim().is_empty() || !words.contains(secret.trim()), "{words}");
        }
        for (bytes, advice) in [
            (&[b's'; 257][..], "make one with openssl rand -hex 32"),
            (&[b's'; 4096], "make one with openssl rand -hex 32"),
            (&[b's'; 5000], "check that it is the right file, or shorten it"),
            (&[0xff; 20], "this line is not UTF-8"),
        ] {
            let words = read(bytes).unwrap_err();
            assert!(words.starts_with("FILE:") && words.ends_with(advice) && !words.contains("sss"), "{words}");
        }
    }

    #[test]
    fn the_secret_is_not_in_the_debug_output() {
        assert_eq!(format!("{:?}", read(WORD.as_bytes()).unwrap()), "PathSecret(..)");
    }
}
