//! Users as `htpasswd` writes them: `name:hash`, one on a line.

use std::path::Path;

use super::file::{self, FileError, shown};
use super::users::Users;

/// The largest file: a thousand users fit in a third of it.
const MOST_BYTES: u64 = 1 << 20;

impl Users {
    /// Reads a file of `htpasswd`; there is at least one user in it.
    ///
    /// # Errors
    /// When it cannot be read or used; names the file, the line and the user, and what would do.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        file::read(path, MOST_BYTES).and_then(|text| Self::parse(&text)).map_err(|error| error.in_file(path))
    }

    /// Checks such a file's text. Empty lines and those that begin with `#` are comments.
    ///
    /// # Errors
    /// As [`Users::read`].
    pub fn parse(text: &str) -> Result<Self, FileError> {
        let mut users = Self::default();
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        for (line, entry) in (1..).zip(text.lines().map(str::trim)) {
            if entry.is_empty() || entry.starts_with('#') {
                continue;
            }
            let (name, hash) = entry.split_once(':').ok_or_else(|| {
                FileError::at(line, "", "this is not NAME:HASH; make the line with htpasswd -nBC 10 NAME")
            })?;
            users.add(name, hash).map_err(|problem| FileError::at(line, shown(name), problem))?;
        }
        if users.is_empty() {
            // Whoever names a file wants a password asked for: none at all would let everybody in.
            return Err(FileError::whole("there is no user in it; add one with htpasswd -BC 10 FILE NAME"));
        }
        Ok(users)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG";

    fn refused(text: &str) -> String {
        Users::parse(text).expect_err(text).to_string()
    }

    #[test]
    fn users_are_read_and_comments_are_not() {
        let text = format!("\u{feff}# OpenIM\r\n\r\nopenim:{HASH}\r\n  # more\nbob:{HASH}");
        let users = Users::parse(&text).unwrap();
        assert_eq!(
            users.iter().map(|(name, hash)| (name, hash.as_str())).collect::<Vec<_>>(),
            [("bob", HASH), ("openim", HASH)]
        );
    }

    #[test]
    fn a_line_that_cannot_be_used_is_named_and_its_secret_is_not_shown() {
        for (text, expected) in [
            ("hunter2\n".to_owned(), "line 1: this is not NAME:HASH; "),
            (format!("\nalice:{HASH}\nbob:hunter2\n"), "line 3: bob: this is no bcrypt hash, "),
            (format!("alice:{HASH}:hunter2\n"), "line 1: alice: this is no bcrypt hash, "),
            ("alice:$apr1$hunter2\n".to_owned(), "line 1: alice: this is no bcrypt hash, "),
            (format!(":{HASH}\n"), "line 1: (not shown): the user's name is empty"),
            (format!("alice:{HASH}\n#\nalice:{HASH}\n"), "line 3: alice: the user is there twice; strike one"),
            (format!("alice:{}\n", HASH.replace("$10$", "$31$")), "line 1: alice: the hash's cost is 31, and can be"),
        ] {
            let words = refused(&text);
            assert!(words.starts_with(expected), "{words}");
            assert!(!words.contains("hunter2") && !words.contains("X0h1"), "{words}");
        }
    }

    #[test]
    fn a_file_without_users_is_refused_since_it_would_let_everybody_in() {
        for text in ["", "\n\n", "# alice\n", "\u{feff}"] {
            assert_eq!(refused(text), "there is no user in it; add one with htpasswd -BC 10 FILE NAME");
        }
    }

    #[test]
    fn a_file_s_errors_name_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("users");
        std::fs::write(&path, "alice\n").unwrap();
        let words = Users::read(&path).unwrap_err().to_string();
        assert!(words.starts_with(&format!("{}:1: this is not NAME:HASH", path.display())), "{words}");
    }
}
