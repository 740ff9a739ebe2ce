//! The access settings and the targets, from the files that the configuration names. Read at the start, and again when they change.

mod basic;
mod identity;
mod passwords;
mod rate;
mod secret;
mod tls;
mod verdicts;

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyper::header::{HeaderName, HeaderValue};
use tokio_rustls::rustls::ServerConfig;

use crate::config::forward::Forward;
use crate::config::web::{ClientAuth, PemSource, Tls, TlsVersion, Web};
use crate::config::{self, FileError, PathSecret, Senders, Users};
use crate::domain::UnixMillis;
use identity::{CertificateProblem, Validity};
use rate::Rate;

pub(crate) use passwords::{Passwords, Verdict};
pub(crate) use secret::strip;

/// Why the settings cannot be used. Names the flag or the file, and how to correct it.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// A file cannot be used.
    #[error("--{0}: {1}")]
    File(&'static str, FileError),
    /// A certificate, a key or an authority cannot be used.
    #[error("--web.config.file: {0}")]
    Certificate(#[from] CertificateProblem),
    /// The thread that verifies passwords cannot be started.
    #[error("cannot start the thread that verifies passwords: {0}")]
    Thread(#[from] io::Error),
    /// A reload would remove a protection, for example because a file is truncated.
    #[error("--{0}: {1} would be turned off or weakened; this requires a restart")]
    Unprotected(&'static str, &'static str),
}

const WEB: &str = "web.config.file";
const SECRET: &str = "callback.secret-file";
const USERS: &str = "callback.basic-auth-file";
const SENDERS: &str = "stats.exclude-senders-file";

/// The access settings in force.
#[derive(Default)]
pub struct Access {
    pub(crate) tls: Option<Arc<ServerConfig>>,
    /// When the server's certificate is valid.
    validity: Option<Validity>,
    /// What TLS requires of clients.
    requirements: ClientRequirements,
    /// Headers of every response.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// For everything except callbacks and health checks.
    pub(crate) users: Option<Arc<Passwords>>,
    pub(crate) rate: Option<Rate>,
    pub(crate) secret: Option<PathSecret>,
    /// For callbacks.
    pub(crate) callback_users: Option<Arc<Passwords>>,
    /// Senders whose messages are not counted.
    pub(crate) excluded_senders: Option<Senders>,
    /// Where callbacks are forwarded.
    forward: Arc<Forward>,
    /// The files that this was read from, with their stamps.
    files: Vec<(PathBuf, Stamp)>,
}

impl Access {
    /// Reads the files that the configuration names.
    ///
    /// # Errors
    /// When a file cannot be read, or its content cannot be used.
    pub fn read(config: &config::Http) -> Result<Self, AccessError> {
        Self::default().reload(config)
    }

    /// Reads the files again. If the users are the same, verified passwords stay cached.
    pub(crate) fn reload(&self, config: &config::Http) -> Result<Self, AccessError> {
        let mut access = Self::default();
        access.read_forward(&config.forward)?;
        let config = &config.access;
        if let Some(path) = &config.web_config {
            access.record_stamp(path);
            let web = Web::read(path).map_err(|error| AccessError::File(WEB, error))?;
            access.apply_web(web, self)?;
        }
        if let Some(path) = &config.callback_secret {
            access.record_stamp(path);
            access.secret = Some(PathSecret::read(path).map_err(|error| AccessError::File(SECRET, error))?);
        }
        if let Some(path) = &config.callback_users {
            access.record_stamp(path);
            let users = Users::read(path).map_err(|error| AccessError::File(USERS, error))?;
            access.callback_users = Some(passwords(users, self.callback_users.as_ref())?);
        }
        if let Some(path) = &config.excluded_senders {
            access.record_stamp(path);
            access.excluded_senders = Some(Senders::read(path).map_err(|error| AccessError::File(SENDERS, error))?);
        }
        Ok(access)
    }

    /// Where callbacks are forwarded.
    #[must_use]
    pub fn forward(&self) -> &Forward {
        &self.forward
    }

    fn read_forward(&mut self, settings: &config::ForwardSettings) -> Result<(), AccessError> {
        let Some(flag) = settings.flag() else { return Ok(()) };
        let forward = Forward::read(settings, &mut |path| self.record_stamp(path));
        self.forward = Arc::new(forward.map_err(|error| AccessError::File(flag, error))?);
        Ok(())
    }

    fn apply_web(&mut self, web: Web, before: &Self) -> Result<(), AccessError> {
        if let Some(tls) = &web.tls {
            sources(tls).for_each(|source| {
                if let PemSource::File(path) = source {
                    self.record_stamp(path);
                }
            });
            let built = tls::build(tls, web.http2)?;
            (self.tls, self.validity) = (Some(built.server), Some(built.validity));
            self.requirements = ClientRequirements::of(tls);
        }
        self.headers = web.headers;
        self.rate = web.rate_limit.map(Rate::new);
        if !web.users.is_empty() {
            self.users = Some(passwords(web.users, before.users.as_ref())?);
        }
        Ok(())
    }

    /// Stamps a file. Called before the file is read, so that a change meanwhile is noticed.
    fn record_stamp(&mut self, path: &Path) {
        self.files.push((path.to_owned(), Stamp::of(path)));
    }

    /// The stamps of the files now.
    pub(crate) fn stamps(&self) -> Stamps {
        Stamps(self.files.iter().map(|(path, _)| Stamp::of(path)).collect())
    }

    /// The stamps of the files when they were read.
    pub(crate) fn stamps_when_read(&self) -> Stamps {
        Stamps(self.files.iter().map(|(_, stamp)| *stamp).collect())
    }

    /// Checks that the server's certificate is valid at this time.
    ///
    /// # Errors
    /// When it has expired or is not valid yet.
    pub fn check_validity(&self, now: UnixMillis) -> Result<(), AccessError> {
        self.validity.as_ref().map_or(Ok(()), |validity| validity.check(now.0.div_euclid(1000)))?;
        Ok(())
    }

    /// When the server's certificate expires, in seconds since the epoch; `None` without TLS.
    #[must_use]
    pub fn expires(&self) -> Option<i64> {
        self.validity.as_ref().map(|validity| validity.until)
    }

    /// Checks that it may replace another one: it must not remove a protection, and its certificate must be valid.
    pub(crate) fn check_successor_of(&self, before: &Self, now: UnixMillis) -> Result<(), AccessError> {
        let (old, new) = (&before.requirements, &self.requirements);
        let protections = [
            (WEB, "TLS", before.tls.is_some(), self.tls.is_some()),
            (WEB, "TLS 1.3 only", old.tls13, new.tls13),
            (WEB, "the verification of client certificates", old.checked, new.checked),
            (WEB, "the requirement for client certificates", old.required, new.required),
            (WEB, "the requirement for names in client certificates", old.named, new.named),
            (WEB, "rate_limit", before.rate.is_some(), self.rate.is_some()),
            (WEB, "the passwords for metrics", before.users.is_some(), self.users.is_some()),
            (USERS, "the passwords for callbacks", before.callback_users.is_some(), self.callback_users.is_some()),
        ];
        for (flag, what, was, is) in protections {
            if was && !is {
                return Err(AccessError::Unprotected(flag, what));
            }
        }
        self.check_validity(now)
    }
}

/// What TLS requires of clients.
#[derive(Clone, Copy, Debug, Default)]
struct ClientRequirements {
    tls13: bool,
    checked: bool,
    required: bool,
    named: bool,
}

impl ClientRequirements {
    fn of(tls: &Tls) -> Self {
        let (checked, required, named) = match &tls.client_auth {
            ClientAuth::None => (false, false, false),
            ClientAuth::Unverified { required } => (false, *required, false),
            ClientAuth::IfGiven { .. } => (true, false, false),
            ClientAuth::Required { allowed_sans, .. } => (true, true, !allowed_sans.is_empty()),
        };
        Self { tls13: tls.min_version == TlsVersion::Tls13, checked, required, named }
    }
}

fn passwords(users: Users, before: Option<&Arc<Passwords>>) -> io::Result<Arc<Passwords>> {
    match before.filter(|before| *before.users() == users) {
        Some(same) => Ok(Arc::clone(same)),
        None => Passwords::start(users).map(Arc::new),
    }
}

fn sources(tls: &Tls) -> impl Iterator<Item = &PemSource> {
    let ca = match &tls.client_auth {
        ClientAuth::None | ClientAuth::Unverified { .. } => None,
        ClientAuth::IfGiven { ca } | ClientAuth::Required { ca, .. } => Some(ca),
    };
    [&tls.certificate, &tls.key].into_iter().chain(ca)
}

/// Stamps of all files of the settings. They differ if a file has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamps(Vec<Stamp>);

/// Identifies a version of a file. It also changes if a link points to another file, as Kubernetes does with secrets.
/// `None` if there is no file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp(Option<[i64; 5]>);

impl Stamp {
    fn of(path: &Path) -> Self {
        let stamp = |file: fs::Metadata| {
            [
                file.dev().cast_signed(),
                file.ino().cast_signed(),
                file.size().cast_signed(),
                file.mtime(),
                file.mtime_nsec(),
            ]
        };
        Self(fs::metadata(path).ok().map(stamp))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verified_passwords_stay_cached_after_a_reload_if_the_users_are_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("users");
        let write = |name: &str| fs::write(&path, format!("{name}:{}\n", bcrypt::hash("x", 4).unwrap())).unwrap();
        write("openim");
        let mut config = config::Http::defaults().unwrap();
        config.access.callback_users = Some(path.clone());
        let first = Access::read(&config).unwrap();
        let same = first.reload(&config).unwrap();
        let passwords = |access: &Access| Arc::clone(access.callback_users.as_ref().unwrap());
        assert!(Arc::ptr_eq(&passwords(&first), &passwords(&same)));
        write("openim");
        assert!(!Arc::ptr_eq(&passwords(&first), &passwords(&same.reload(&config).unwrap())));
    }

    #[test]
    fn a_truncated_file_does_not_remove_a_protection() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("web.yml");
        fs::write(&path, format!("basic_auth_users:\n  a: {}\n", bcrypt::hash("x", 4).unwrap())).unwrap();
        let mut config = config::Http::defaults().unwrap();
        config.access.web_config = Some(path.clone());
        let first = Access::read(&config).unwrap();
        fs::write(&path, "").unwrap();
        let error = first.reload(&config).unwrap().check_successor_of(&first, UnixMillis(0)).unwrap_err().to_string();
        assert!(error.contains("the passwords for metrics would be turned off"), "{error}");
    }

    #[test]
    fn the_targets_and_their_files_are_reloaded_as_a_whole() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str| directory.path().join(name);
        let targets =
            |url: &str| format!("targets: [{{name: a, url: {url}, answers: true, bearer_token_file: token}}]\n");
        fs::write(file("forward.yml"), targets("http://first")).unwrap();
        fs::write(file("token"), "a").unwrap();
        let mut config = config::Http::defaults().unwrap();
        config.forward.file = Some(file("forward.yml"));
        let first = Access::read(&config).unwrap();
        assert_eq!(first.stamps(), first.stamps_when_read());

        fs::write(file("token"), "longer").unwrap();
        assert_ne!(first.stamps(), first.stamps_when_read());
        let second = first.reload(&config).unwrap();
        assert_ne!(second.forward, first.forward);

        fs::write(file("forward.yml"), targets("ftp://second")).unwrap();
        let error = second.reload(&config).err().unwrap().to_string();
        let expected =
            format!("--forward.config.file: {}:1: targets.url: it must start", file("forward.yml").display());
        assert!(error.starts_with(&expected), "{error}");
    }
}
