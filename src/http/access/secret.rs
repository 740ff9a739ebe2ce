//! The secret in the path of a callback.

use subtle::ConstantTimeEq as _;

use crate::config::PathSecret;

/// The rest of a path that begins with the secret; itself a path. The time of the comparison reveals neither how much
/// of the secret was right, nor its length.
pub(crate) fn strip<'a>(secret: &PathSecret, path: &'a str) -> Option<&'a str> {
    let path = path.strip_prefix('/')?;
    let (word, rest) = path.split_at(path.find('/').unwrap_or(path.len()));
    is_equal(secret.as_bytes(), word.as_bytes()).then_some(if rest.is_empty() { "/" } else { rest })
}

/// Compares in a time that depends only on the length of the word.
fn is_equal(secret: &[u8], word: &[u8]) -> bool {
    let mut padded = [0; PathSecret::LONGEST];
    let fits = padded.get_mut(..secret.len()).map(|begin| begin.copy_from_slice(secret));
    let Some((padded, ())) = padded.get(..word.len()).zip(fits) else { return false };
    (padded.ct_eq(word) & secret.len().ct_eq(&word.len())).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> PathSecret {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        std::fs::write(&path, text).unwrap();
        PathSecret::read(&path).unwrap()
    }

    #[test]
    fn the_rest_after_the_secret_is_a_path() {
        let secret = secret("0123456789abcdef");
        for (path, expected) in [
            ("/0123456789abcdef", Some("/")),
            ("/0123456789abcdef/", Some("/")),
            ("/0123456789abcdef/callback", Some("/callback")),
            ("/0123456789abcdef//callback", Some("//callback")),
            ("/0123456789abcdef/0123456789abcdef", Some("/0123456789abcdef")),
            ("/0123456789abcdeF/callback", None),
            ("/0123456789abcde/callback", None),
            ("/0123456789abcdef0/callback", None),
            ("/0123456789abcdef\0/callback", None),
            ("/0123456789abcdef?x", None),
            ("/%30123456789abcdef/callback", None),
            ("//0123456789abcdef/callback", None),
            ("0123456789abcdef/callback", None),
            ("/callback", None),
            ("/callback/0123456789abcdef", None),
            ("/", None),
            ("", None),
            ("*", None),
            ("/\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", None),
            ("/é/日本", None),
        ] {
            assert_eq!(strip(&secret, path), expected, "{path}");
        }
    }

    #[test]
    fn words_of_any_length_are_compared() {
        let longest = "s".repeat(PathSecret::LONGEST);
        let secret = secret(&longest);
        assert_eq!(strip(&secret, &format!("/{longest}/callback")), Some("/callback"));
        for length in [0, 1, 255, 257, 10_000] {
            assert_eq!(strip(&secret, &format!("/{}/callback", "s".repeat(length))), None, "{length}");
        }
    }
}
