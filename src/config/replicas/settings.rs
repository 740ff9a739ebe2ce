//! The flags of the union with other exporters.

use std::path::PathBuf;

use super::url::RedisUrl;
use crate::config::flag::settings;
use crate::config::parse::absolute_path;

/// Longest name of an exporter, in bytes.
const MAX_NAME: usize = 64;

settings! {
    /// How this exporter unites its numbers of people with those of others.
    #[derive(Default)]
    pub struct ReplicasSettings {
        /// URL of the Redis through which several exporters unite their numbers of people: redis://USER@HOST:PORT/DB
        ///
        /// rediss:// uses TLS. For a Redis Cluster, give several of its nodes and ?cluster=true:
        /// redis://HOST:PORT,HOST:PORT?cluster=true. For Sentinel, give the Sentinels and the name of the primary:
        /// redis://HOST:26379,HOST:26379/DB?sentinel=NAME. A password can be in the URL, but everybody on the machine
        /// can see the flags of a process: use --replicas.redis-password-file, or this flag's environment variable.
        #[arg(value_name = "URL", value_parser = RedisUrl::parse, hide_env_values = true)]
        "replicas.redis-url" redis_url: Option<RedisUrl>,

        /// File with the password for Redis, on one line
        ///
        /// It is read again for each new connection. Sentinels that ask for a password get the same user and password.
        #[arg(value_name = "FILE", value_parser = absolute_path())]
        "replicas.redis-password-file" password_file: Option<PathBuf>,

        /// File with the CA certificates that Redis' certificate is verified with, as PEM
        ///
        /// By default, the authorities that the system trusts. The files of TLS are read again for each new connection.
        #[arg(value_name = "FILE", value_parser = absolute_path())]
        "replicas.redis-ca-file" ca_file: Option<PathBuf>,

        /// File with the client certificate for Redis, as PEM; with --replicas.redis-key-file
        #[arg(value_name = "FILE", value_parser = absolute_path())]
        "replicas.redis-cert-file" cert_file: Option<PathBuf>,

        /// File with the private key of the client certificate, as PEM
        #[arg(value_name = "FILE", value_parser = absolute_path())]
        "replicas.redis-key-file" key_file: Option<PathBuf>,

        /// Name of this exporter among those that share a Redis: 1 to 64 letters, digits and . _ -
        ///
        /// Each exporter needs a name of its own, and should keep it. By default, it is an ID that the state keeps.
        #[arg(value_name = "NAME", value_parser = name)]
        "replicas.name" name: Option<String>,
    }
}

/// An exporter's name.
pub(super) fn name(text: &str) -> Result<String, &'static str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let is_name = (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(is_plain);
    if is_name {
        Ok(text.to_owned())
    } else {
        Err("give 1 to 64 letters (A-Z, a-z), digits and . _ -, as in exporter-0")
    }
}

impl ReplicasSettings {
    /// # Errors
    /// When flags contradict each other, or need another one.
    pub(in crate::config) fn check(&self) -> Result<(), String> {
        let tls = [
            ("redis-ca-file", self.ca_file.is_some()),
            ("redis-cert-file", self.cert_file.is_some()),
            ("redis-key-file", self.key_file.is_some()),
        ];
        // A name alone is allowed: deploy/kubernetes.yml gives each pod one, even if there is no Redis.
        let password = [("redis-password-file", self.password_file.is_some())];
        let given =
            |flags: &[(&'static str, bool)]| flags.iter().find(|(_, is_given)| *is_given).map(|(flag, _)| *flag);
        let Some(url) = &self.redis_url else {
            return given(&[&tls[..], &password].concat()).map_or(Ok(()), |flag| {
                Err(format!("--replicas.{flag}: it has no effect without --replicas.redis-url; set that, or remove it"))
            });
        };
        match given(&tls) {
            Some(flag) if !url.is_tls() => Err(format!(
                "--replicas.{flag}: --replicas.redis-url starts with redis://, which does not use TLS; use rediss://, \
                 or remove this flag"
            )),
            _ if self.cert_file.is_some() && self.key_file.is_none() => {
                Err("--replicas.redis-cert-file: its key is missing; give --replicas.redis-key-file".to_owned())
            }
            _ if self.cert_file.is_none() && self.key_file.is_some() => {
                Err("--replicas.redis-key-file: its certificate is missing; give --replicas.redis-cert-file".to_owned())
            }
            _ if self.password_file.is_some() && url.password().is_some() => {
                Err("--replicas.redis-password-file: --replicas.redis-url has a password too; remove it from the URL"
                    .to_owned())
            }
            _ if self.password_file.is_none() && url.user().is_some() && url.password().is_none() => {
                Err("--replicas.redis-url: it has a user, but no password; give it with \
                 --replicas.redis-password-file, or write redis://:PASSWORD@HOST if there is no user"
                    .to_owned())
            }
            _ => Ok(()),
        }
    }
}
