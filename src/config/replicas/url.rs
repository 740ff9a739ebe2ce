//! The URL of Redis.

use std::fmt;
use std::net::IpAddr;

use percent_encoding::percent_decode_str;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::config::address::ipv6;
use crate::config::flag::Shown;

const SHAPE: &str = "write it like redis://10.0.0.5:6379, rediss://USER@redis.example.com/0, \
                     redis://HOST:PORT,HOST:PORT?cluster=true or redis://HOST:PORT,HOST:PORT?sentinel=NAME";

const REDIS_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// Most hosts in a URL.
const MAX_HOSTS: usize = 100;

/// The servers of a Redis, which of them has the data, and the user and password for it. Printed without its password.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl {
    is_tls: bool,
    user: Option<String>,
    password: Option<String>,
    hosts: Vec<RedisHost>,
    topology: Topology,
    database: u32,
}

/// A server of Redis, or a Sentinel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisHost {
    /// Name or address; an IPv6 address without its brackets.
    pub name: String,
    /// Its port.
    pub port: u16,
}

/// Which server has the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Topology {
    /// The only one.
    Single,
    /// The primary that the Sentinels know under this name.
    Sentinel(String),
    /// The one that has the slot of our keys; the hosts are some nodes of the Cluster.
    Cluster,
}

impl RedisUrl {
    /// Parses a URL.
    ///
    /// # Errors
    /// Says what is wrong, but shows no part of the URL: in a wrong URL, it is unknown which part is the password.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").ok_or_else(|| wrong("it must start with redis:// or rediss://"))?;
        let is_tls = match scheme.to_ascii_lowercase().as_str() {
            "redis" => false,
            "rediss" => true,
            _ => return Err(wrong("it must start with redis:// or rediss://")),
        };
        let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if rest.contains(['@', '#']) {
            return Err("it has an @ or # after its host; write / ? # @ of a password as %2F %3F %23 %40".to_owned());
        }
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let topology = topology(query)?;
        let (user, authority) = authority.rsplit_once('@').map_or(("", authority), |(user, hosts)| (user, hosts));
        let (user, password) = user.split_once(':').map_or((user, None), |(user, password)| (user, Some(password)));
        let default_port = if matches!(topology, Topology::Sentinel(_)) { SENTINEL_PORT } else { REDIS_PORT };
        let hosts: Vec<_> =
            authority.split(',').map(|host| RedisHost::parse(host, default_port)).collect::<Result<_, _>>()?;
        if hosts.len() > 1 && topology == Topology::Single {
            return Err(wrong(
                "it has several hosts; add ?cluster=true for a Redis Cluster, or ?sentinel=NAME if they are Sentinels",
            ));
        }
        if hosts.len() > MAX_HOSTS {
            return Err(format!("it has more than {MAX_HOSTS} hosts; a few of them are enough"));
        }
        if is_tls && hosts.iter().any(|host| host.server_name().is_none()) {
            return Err(
                "a certificate cannot have the name of one of the hosts; give a DNS name or an IP address".to_owned()
            );
        }
        let database = database(path)?;
        if topology == Topology::Cluster && database != 0 {
            return Err("a Redis Cluster has only the database 0; remove the number after the hosts".to_owned());
        }
        let decoded = |text| decoded(text).map(|text| Some(text).filter(|text| !text.is_empty()));
        let password = password.map_or(Ok(None), decoded)?;
        Ok(Self { is_tls, user: decoded(user)?, password, hosts, topology, database })
    }

    /// Whether it is reached with TLS.
    #[must_use]
    pub const fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// The ACL user; not empty.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The password; not empty.
    #[must_use]
    pub fn password(&self) -> Option<&str> {
        self.password.as_deref()
    }

    /// The servers, at least one. With Sentinel, they are the Sentinels.
    #[must_use]
    pub fn hosts(&self) -> &[RedisHost] {
        &self.hosts
    }

    /// Which server has the data.
    #[must_use]
    pub const fn topology(&self) -> &Topology {
        &self.topology
    }

    /// The number of the database.
    #[must_use]
    pub const fn database(&self) -> u32 {
        self.database
    }
}

fn wrong(problem: &str) -> String {
    format!("{problem}; {SHAPE}")
}

fn topology(query: &str) -> Result<Topology, String> {
    let mut topology = Topology::Single;
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        let found = match parameter.split_once('=') {
            Some(("cluster", "true")) => Topology::Cluster,
            Some(("cluster", "false")) => continue,
            Some(("sentinel", name)) if !name.is_empty() => Topology::Sentinel(decoded(name)?),
            _ => return Err(wrong("after ? it can only have cluster=true or sentinel=NAME")),
        };
        if std::mem::replace(&mut topology, found) != Topology::Single {
            return Err(wrong("it can only have one of cluster=true and sentinel=NAME, once"));
        }
    }
    Ok(topology)
}

/// The number of the database in a path.
fn database(path: &str) -> Result<u32, String> {
    match path.trim_matches('/') {
        "" => Ok(0),
        number => number.parse().map_err(|_| wrong("after the hosts and / it can only have the number of a database")),
    }
}

/// Decodes `%XX`; `+` is a plus.
fn decoded(text: &str) -> Result<String, String> {
    let is_escape = |after: &str| after.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2;
    let is_valid = text.bytes().all(|byte| byte.is_ascii_graphic()) && text.split('%').skip(1).all(is_escape);
    let decoded = percent_decode_str(text).decode_utf8().ok().filter(|_| is_valid);
    decoded.map(Into::into).ok_or_else(|| {
        "it has a user, password or name that a URL cannot hold; write % and each byte that is not a letter or digit as %XX"
            .to_owned()
    })
}

impl RedisHost {
    fn parse(text: &str, default_port: u16) -> Result<Self, String> {
        let unusable = || wrong("it has no usable host and port");
        let (name, port) =
            match text.strip_prefix('[').map(|text| text.split_once(']').ok_or_else(unusable)).transpose()? {
                Some((address, port)) => {
                    let (address, zone) = ipv6(address)?;
                    let zone = if zone == 0 { String::new() } else { format!("%{zone}") };
                    (format!("{address}{zone}"), port)
                }
                None if text.matches(':').count() > 1 => {
                    return Err(wrong("an IPv6 address needs brackets, as in [::1]:6379"));
                }
                None => {
                    let (name, port) = text.split_at(text.find(':').unwrap_or(text.len()));
                    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
                    if name.is_empty() || !name.bytes().all(is_name) {
                        return Err(unusable());
                    }
                    (name.to_owned(), port)
                }
            };
        let port = match port.strip_prefix(':') {
            Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or_else(unusable)?,
            None if port.is_empty() => default_port,
            None => return Err(unusable()),
        };
        Ok(Self { name, port })
    }

    /// The name that its certificate must have; `None` if a certificate cannot have it. Certificates have addresses
    /// without a zone.
    #[must_use]
    pub fn server_name(&self) -> Option<ServerName<'static>> {
        ServerName::try_from(self.name.split('%').next().unwrap_or_default().to_owned()).ok()
    }
}

impl fmt::Display for RedisHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_ipv6 = self.name.contains(':') || matches!(self.name.parse(), Ok(IpAddr::V6(_)));
        if is_ipv6 { write!(f, "[{}]:{}", self.name, self.port) } else { write!(f, "{}:{}", self.name, self.port) }
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_tls { "rediss://" } else { "redis://" })?;
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        for (position, host) in self.hosts.iter().enumerate() {
            write!(f, "{}{host}", if position == 0 { "" } else { "," })?;
        }
        match &self.topology {
            Topology::Single => write!(f, "/{}", self.database),
            Topology::Sentinel(name) => write!(f, "/{}?sentinel={name}", self.database),
            Topology::Cluster => f.write_str("?cluster=true"),
        }
    }
}

impl Shown for RedisUrl {
    fn show(&self, flag: &str, text: &mut String) {
        self.to_string().show(flag, text);
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
