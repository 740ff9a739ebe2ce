//! `Authorization: Basic`, RFC 7617.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The longest header that is parsed. The longest name and password fit.
pub(super) const MAX_HEADER_BYTES: usize = 512;

/// bcrypt ignores the rest of a password, so a longer one must not count as right.
const MAX_PASSWORD_BYTES: usize = 72;

/// A user name and a password. Not `Debug`, so that it cannot be logged.
pub(super) struct Credentials {
    pub(super) user: String,
    pub(super) password: Vec<u8>,
}

/// The credentials in a header's value. `None` if it has none, or if they cannot be right.
pub(super) fn credentials(header: &[u8]) -> Option<Credentials> {
    let (scheme, rest) = header.split_at_checked(b"Basic".len()).filter(|_| header.len() <= MAX_HEADER_BYTES)?;
    let spaces = rest.iter().take_while(|byte| **byte == b' ').count();
    if !scheme.eq_ignore_ascii_case(b"Basic") || spaces == 0 {
        return None;
    }
    let decoded = STANDARD.decode(rest.get(spaces..)?).ok()?;
    let colon = memchr::memchr(b':', &decoded)?;
    let (user, password) = (decoded.get(..colon)?, decoded.get(colon + 1..)?);
    // bcrypt also ignores what follows a NUL.
    let controls = decoded.iter().any(u8::is_ascii_control);
    if controls || password.len() > MAX_PASSWORD_BYTES {
        return None;
    }
    Some(Credentials { user: String::from_utf8(user.to_vec()).ok()?, password: password.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(header: impl AsRef<[u8]>) -> Option<(String, Vec<u8>)> {
        credentials(header.as_ref()).map(|found| (found.user, found.password))
    }

    fn encoded(text: impl AsRef<[u8]>) -> String {
        format!("Basic {}", STANDARD.encode(text))
    }

    #[test]
    fn a_user_and_a_password_are_read() {
        for (header, user, password) in [
            ("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==".to_owned(), "Aladdin", "open sesame"),
            ("bAsIc   QWxhZGRpbjpvcGVuIHNlc2FtZQ==".to_owned(), "Aladdin", "open sesame"),
            (encoded("a:b:c"), "a", "b:c"),
            (encoded("a:"), "a", ""),
            (encoded(":b"), "", "b"),
            (encoded("日本:é"), "日本", "é"),
            (encoded(format!("a:{}", "p".repeat(72))), "a", &*"p".repeat(72)),
        ] {
            assert_eq!(parse(&header), Some((user.to_owned(), password.as_bytes().to_vec())), "{header}");
        }
        assert_eq!(parse(encoded(b"a:\xff")), Some(("a".to_owned(), vec![0xff])));
    }

    #[test]
    fn other_schemes_and_credentials_that_cannot_be_right_are_none() {
        for header in [
            "",
            "Basic",
            "Basic ",
            "BasicQTpi",
            "Basic\tQTpi",
            "Bearer QTpi",
            "Basic QTpi=",
            "Basic QTp",
            "Basic QTpi QTpi",
            "Basic  QTpi ",
            "Basic A:b",
            "Basic QTp\u{e9}",
            &encoded("no colon"),
            &encoded("a:b\0"),
            &encoded("a:b\nc"),
            &encoded("a\x7f:b"),
            &encoded(b"\xff:b"),
            &encoded(format!("a:{}", "p".repeat(73))),
            &format!("Basic {}{}", " ".repeat(600), "QTpi"),
        ] {
            assert_eq!(parse(header), None, "{header:?}");
        }
    }

    #[test]
    fn the_longest_name_and_password_fit() {
        let header = encoded(format!("{}:{}", "n".repeat(255), "p".repeat(72)));
        assert!(header.len() <= MAX_HEADER_BYTES && parse(header).is_some());
    }

    #[test]
    fn random_bytes_do_not_panic() {
        use rand::{Rng as _, RngCore as _};
        use rand_pcg::rand_core::SeedableRng as _;
        let mut random = rand_pcg::Pcg64::seed_from_u64(6);
        let mut found = 0;
        for _ in 0..100_000 {
            let mut bytes = vec![0; random.random_range(0..100)];
            random.fill_bytes(&mut bytes);
            let _ = parse(&bytes);
            found += usize::from(parse(encoded(&bytes)).is_some());
        }
        assert!(found > 0, "no bytes were credentials, so the loop tests nothing");
    }
}
