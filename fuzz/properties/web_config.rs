//! Configuration files: the web configuration, `htpasswd` users, secrets and networks are accepted or refused, and no error
//! shows a hash or a secret.

use std::path::Path;

use openim_exporter::config::web::Web;
use openim_exporter::config::{Networks, PathSecret, Users};

/// Part of each hash and secret in the corpus. It does not look like a name.
pub(crate) const SECRET: &str = "$10$X0h1gDsPszWURQ";

/// Maximum number of users in a file.
const MOST_USERS: usize = 1000;

pub(crate) fn holds(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let web = shows_no_secret(Web::parse(text, Path::new("/etc/exporter")));
    let users = shows_no_secret(Users::parse(text));
    for users in web.iter().map(|web| &web.users).chain(&users) {
        assert!(users.len() <= MOST_USERS);
        for (name, hash) in users.iter() {
            assert!(!name.is_empty() && (4..=15).contains(&hash.cost()) && hash.as_str().starts_with("$2"));
            assert_eq!(format!("{hash:?}"), format!("PasswordHash(cost {})", hash.cost()));
        }
    }
    if let Some(users) = users {
        let lines: String = users.iter().map(|(name, hash)| format!("{name}:{}\n", hash.as_str())).collect();
        // A name with a space at either end, or that begins like a comment, is parsed differently in another position.
        let plain = |name: &str| !name.starts_with('#') && name.trim() == name && name.lines().count() == 1;
        if users.iter().all(|(name, _)| plain(name)) {
            assert_eq!(Users::parse(&lines), Ok(users));
        }
    }
    if let Some(secret) = shows_no_secret(PathSecret::parse(text)) {
        assert_eq!(text.trim_end().as_bytes(), secret.as_bytes());
    }
    if let Ok(networks) = Networks::parse(text) {
        assert_eq!(Networks::parse(&networks.to_string()), Ok(networks));
    }
}

fn shows_no_secret<T, E: std::error::Error>(parsed: Result<T, E>) -> Option<T> {
    if let Err(error) = &parsed {
        let printed = error.to_string();
        assert!(!printed.is_empty() && !printed.contains(SECRET), "{printed}");
    }
    parsed.ok()
}
