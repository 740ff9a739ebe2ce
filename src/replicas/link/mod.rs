//! The connection to Redis: a single server, the primary that Sentinel names, or a Cluster.
//!
//! The commands and answers are those of the `redis` crate. Its connections are not used: they limit the time of each
//! read only, so a server that sends one byte at a time could hold the thread for as long as it likes.

mod connection;
mod failure;
mod resolver;
mod stream;

use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::{Cmd, FromRedisValue as _, ServerErrorKind, Value, cmd};
use tokio_rustls::rustls::ClientConfig;

use crate::certificates::{authorities, client_config, system};
use crate::config::ReplicasSettings;
use crate::config::forward::Trust;
use crate::config::replicas::{RedisFileError, RedisFiles, RedisHost, RedisUrl, Topology};
use crate::domain::UnixMillis;
use crate::telemetry::ReplicasFailure;
use connection::{Connection, Credentials};
pub use failure::Failure;
use resolver::Resolver;

/// The longest time of an exchange, including connecting.
const LIMIT: Duration = Duration::from_secs(5);

/// A key of ours, which shows which node of a Cluster has all of them: they have the same hash tag, so the same slot.
const PROBE: &str = "{openim-exporter}:replicas";

/// The longest name in DNS.
const MAX_NAME_BYTES: usize = 253;

/// How often a Cluster may send us to another node: once, and once more during a failover.
const MAX_REDIRECTS: usize = 3;

/// Why the settings of Redis cannot be used. Names the flag, and how to correct it.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// A file cannot be used.
    #[error("{0}")]
    File(#[from] RedisFileError),
    /// TLS cannot be set up.
    #[error("--replicas.redis-url: {0}, or give the CA of Redis' certificate with --replicas.redis-ca-file")]
    Tls(String),
}

/// The connection. It is made when it is needed, and made again after a failure.
pub struct Link {
    settings: ReplicasSettings,
    url: RedisUrl,
    connection: Option<Connection>,
    /// The number of the host that is tried first: the one that worked last, or else one that was not tried yet.
    first: usize,
    resolver: Resolver,
}

/// What is needed to connect, read from files each time, so that a changed password or certificate is used.
struct Login {
    credentials: Credentials,
    tls: Option<Arc<ClientConfig>>,
}

impl Login {
    fn read(settings: &ReplicasSettings, url: &RedisUrl) -> Result<Self, LinkError> {
        let files = RedisFiles::read(settings)?;
        let user = url.user().map(str::to_owned);
        let password = files.password.or_else(|| url.password().map(str::to_owned));
        let trusted = match files.trust {
            _ if !url.is_tls() => None,
            Trust::Authorities(listed) => Some((authorities(&listed).map_err(LinkError::Tls)?, listed)),
            Trust::System | Trust::Any => Some(system().map_err(LinkError::Tls)?),
        };
        let identity = files.identity.map(|identity| (identity.certificates, identity.key));
        let tls = trusted.map(|trusted| client_config(Some(trusted), identity)).transpose().map_err(LinkError::Tls)?;
        Ok(Self { credentials: Credentials { user, password }, tls: tls.map(Arc::new) })
    }
}

impl Link {
    /// Reads the files that the settings name. Does not connect. `None` if no Redis is set.
    ///
    /// # Errors
    /// When a file cannot be used.
    pub fn new(settings: &ReplicasSettings) -> Result<Option<Self>, LinkError> {
        let Some(url) = settings.redis_url.clone() else { return Ok(None) };
        Login::read(settings, &url)?;
        let resolver = Resolver::default();
        Ok(Some(Self { settings: settings.clone(), url, connection: None, first: 0, resolver }))
    }

    /// The URL without its password, for the log.
    #[must_use]
    pub fn describe(&self) -> String {
        self.url.to_string()
    }

    /// The clock of the Redis server that has our keys.
    ///
    /// # Errors
    /// As [`Link::send`].
    pub fn time(&mut self) -> Result<UnixMillis, Failure> {
        let answers = self.send(&[cmd("TIME")])?;
        let time = answers.into_iter().next().and_then(|time| <(i64, i64)>::from_redis_value(time).ok());
        let ms = time.and_then(|(seconds, micros)| seconds.checked_mul(1000)?.checked_add(micros / 1000));
        ms.map(UnixMillis).ok_or_else(|| Failure::garbage(&self.url))
    }

    /// Sends all commands at once and returns their answers. Fails if one of them fails. All keys must have our hash tag.
    /// Takes 5 s at most.
    ///
    /// Commands may be executed twice: if a connection that was open for longer fails, a new one is tried.
    ///
    /// # Errors
    /// When Redis does not answer, or a command fails. The next call makes a new connection.
    pub fn send(&mut self, commands: &[Cmd]) -> Result<Vec<Value>, Failure> {
        let deadline = Instant::now() + LIMIT;
        if let Some(mut connection) = self.connection.take() {
            let answers = connection.exchange(commands, deadline);
            // The server was restarted, or is not the primary any more.
            let is_outdated = match &answers {
                Err(failure) => failure.reason == ReplicasFailure::Unreachable,
                Ok(answers) => answers
                    .iter()
                    .any(|answer| matches!(kind(answer), Some(ServerErrorKind::Moved | ServerErrorKind::ReadOnly))),
            };
            if !is_outdated {
                return self.finish(connection, commands, answers, deadline);
            }
        }
        let mut connection = self.connect(deadline)?;
        let answers = connection.exchange(commands, deadline);
        self.finish(connection, commands, answers, deadline)
    }

    /// Keeps the connection if everything succeeded.
    fn finish(
        &mut self,
        connection: Connection,
        commands: &[Cmd],
        answers: Result<Vec<Value>, Failure>,
        deadline: Instant,
    ) -> Result<Vec<Value>, Failure> {
        let mut answers = answers?;
        self.ask_elsewhere(connection.host(), commands, &mut answers, deadline)?;
        connection.check(commands, &answers)?;
        self.connection = Some(connection);
        Ok(answers)
    }

    /// Tries the hosts, one after the other, until one leads to a connection or the time is up.
    fn connect(&mut self, deadline: Instant) -> Result<Connection, Failure> {
        let login = Login::read(&self.settings, &self.url).map_err(unreadable)?;
        let hosts = self.url.hosts().to_vec();
        let mut failure = None;
        for _ in 0..hosts.len() {
            let Some(host) = hosts.get(self.first % hosts.len()) else { break };
            match self.connect_through(host, &login, deadline) {
                Ok(connection) => return Ok(connection),
                // Do not report a host for which no time was left.
                Err(error) if failure.is_none() || Instant::now() < deadline => failure = Some(error),
                Err(_) => {}
            }
            self.first = (self.first + 1) % hosts.len();
            if Instant::now() >= deadline {
                break;
            }
        }
        Err(failure.unwrap_or_else(|| Failure::new(ReplicasFailure::Unreachable, "--replicas.redis-url has no host")))
    }

    /// A connection to the server that has our keys, which this host is or knows.
    fn connect_through(&mut self, host: &RedisHost, login: &Login, deadline: Instant) -> Result<Connection, Failure> {
        match self.url.topology().clone() {
            Topology::Single => self.log_in(host, login, deadline),
            Topology::Sentinel(name) => {
                let primary = self.ask_sentinel(host, &name, login, deadline)?;
                self.log_in(&primary, login, deadline)
            }
            Topology::Cluster => self.log_in_to_cluster(host, login, deadline),
        }
    }

    fn log_in(&mut self, host: &RedisHost, login: &Login, deadline: Instant) -> Result<Connection, Failure> {
        let mut connection = Connection::open(host, login.tls.as_ref(), &mut self.resolver, deadline)?;
        connection.log_in(&login.credentials, self.url.database(), deadline)?;
        Ok(connection)
    }

    /// Follows the Cluster's redirections to the node that has our keys.
    fn log_in_to_cluster(&mut self, node: &RedisHost, login: &Login, deadline: Instant) -> Result<Connection, Failure> {
        let mut node = node.clone();
        for _ in 0..=MAX_REDIRECTS {
            let mut connection = self.log_in(&node, login, deadline)?;
            let probe = [cmd("ZCARD").arg(PROBE).clone()];
            let answers = connection.exchange(&probe, deadline)?;
            match answers.first().and_then(kind) {
                Some(ServerErrorKind::Moved) => {}
                // It has our slot, which is being moved.
                Some(ServerErrorKind::Ask) => return Ok(connection),
                _ => return connection.check(&probe, &answers).map(|()| connection),
            }
            let Some(other) = answers.first().and_then(|answer| redirected(answer, &node)) else { break };
            node = other;
        }
        let message =
            format!("{node}: the nodes of the Cluster disagree about the owner of our slot; this ends with a failover");
        Err(Failure::new(ReplicasFailure::Other, message))
    }

    /// While our slot is being moved, the node that has it answers with the address of the new node for keys that are
    /// no longer there, or that are new.
    fn ask_elsewhere(
        &mut self,
        this: &RedisHost,
        commands: &[Cmd],
        answers: &mut [Value],
        deadline: Instant,
    ) -> Result<(), Failure> {
        let is_elsewhere = |answer: &Value| kind(answer) == Some(ServerErrorKind::Ask);
        let found = answers.iter().find(|answer| is_elsewhere(answer));
        let Some(node) = found.and_then(|answer| redirected(answer, this)) else { return Ok(()) };
        let login = Login::read(&self.settings, &self.url).map_err(unreadable)?;
        let mut connection = self.log_in(&node, &login, deadline)?;
        let pairs = commands.iter().zip(answers.iter_mut()).filter(|(_, answer)| is_elsewhere(answer));
        let (asked, places): (Vec<_>, Vec<_>) =
            pairs.map(|(command, answer)| ([cmd("ASKING"), command.clone()], answer)).unzip();
        let found = connection.exchange(&asked.concat(), deadline)?;
        places.into_iter().zip(found.into_iter().skip(1).step_by(2)).for_each(|(place, answer)| *place = answer);
        Ok(())
    }

    /// Asks a Sentinel for the primary. Many Sentinels have no password, so it is sent only if it is needed.
    fn ask_sentinel(
        &mut self,
        sentinel: &RedisHost,
        name: &str,
        login: &Login,
        deadline: Instant,
    ) -> Result<RedisHost, Failure> {
        let mut connection = Connection::open(sentinel, login.tls.as_ref(), &mut self.resolver, deadline)?;
        let question = [cmd("SENTINEL").arg("get-master-addr-by-name").arg(name).clone()];
        let mut answers = connection.exchange(&question, deadline)?;
        let is_refused =
            |answer: &Value| matches!(answer, Value::ServerError(error) if matches!(error.code(), "NOAUTH" | "NOPERM"));
        if answers.iter().any(is_refused) && login.credentials.password.is_some() {
            connection.log_in(&login.credentials, 0, deadline)?;
            answers = connection.exchange(&question, deadline)?;
        }
        connection.check(&question, &answers)?;
        match answers.into_iter().next().map(<Option<(String, u16)>>::from_redis_value) {
            Some(Ok(Some((name, port)))) => server(&name, port).ok_or_else(|| Failure::garbage(sentinel)),
            Some(Ok(None)) => Err(Failure::new(
                ReplicasFailure::Other,
                format!(
                    "the Sentinel {sentinel} knows no primary called {name}; correct ?sentinel= in --replicas.redis-url"
                ),
            )),
            _ => Err(Failure::garbage(sentinel)),
        }
    }
}

fn kind(answer: &Value) -> Option<ServerErrorKind> {
    match answer {
        Value::ServerError(error) => error.kind(),
        _ => None,
    }
}

/// The node that an answer from `this` node names, as in `MOVED 866 10.0.0.5:6379`. An empty name means the same host.
fn redirected(answer: &Value, this: &RedisHost) -> Option<RedisHost> {
    let Value::ServerError(error) = answer else { return None };
    let (name, port) = error.details()?.split(' ').nth(1)?.rsplit_once(':')?;
    server(if name.is_empty() { &this.name } else { name }, port.parse().ok()?)
}

/// The server that another one names. `None` if this cannot be a name or an address: it would be logged.
fn server(name: &str, port: u16) -> Option<RedisHost> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:%".contains(&byte);
    let is_name = (1..=MAX_NAME_BYTES).contains(&name.len()) && name.bytes().all(is_allowed);
    is_name.then(|| RedisHost { name: name.to_owned(), port })
}

fn unreadable(error: LinkError) -> Failure {
    Failure::new(ReplicasFailure::Other, error.to_string())
}
