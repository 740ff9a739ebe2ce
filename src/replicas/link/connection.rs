//! A connection to one server.

use std::io::{self, Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::{Cmd, Parser, Value, cmd};
use tokio_rustls::rustls::ClientConfig;

use super::failure::Failure;
use super::resolver::Resolver;
use super::stream::Stream;
use crate::config::replicas::RedisHost;

/// The longest time to connect, including TLS, and for each answer.
const STEP: Duration = Duration::from_secs(2);

/// The user and the password.
pub(super) struct Credentials {
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
}

/// A connection.
pub(super) struct Connection {
    stream: Stream,
    parser: Parser,
    host: RedisHost,
}

impl Connection {
    /// Connects, with TLS if it is set up.
    pub(super) fn open(
        host: &RedisHost,
        tls: Option<&Arc<ClientConfig>>,
        resolver: &mut Resolver,
        deadline: Instant,
    ) -> Result<Self, Failure> {
        let deadline = deadline.min(Instant::now() + STEP);
        let mut open = || {
            let socket = connect(&resolver.addresses(host, deadline)?, deadline)?;
            socket.set_nodelay(true)?;
            let Some(config) = tls else { return Ok(Stream::plain(socket, deadline)) };
            let name = host.server_name().ok_or_else(|| io::Error::other("a certificate cannot have this name"))?;
            Stream::tls(socket, deadline, Arc::clone(config), name)
        };
        match open() {
            Ok(stream) => Ok(Self { stream, parser: Parser::new(), host: host.clone() }),
            Err(error) => Err(Failure::connecting(host, &error)),
        }
    }

    pub(super) const fn host(&self) -> &RedisHost {
        &self.host
    }

    /// Authenticates, and chooses the database.
    pub(super) fn log_in(&mut self, who: &Credentials, database: u32, deadline: Instant) -> Result<(), Failure> {
        let mut commands = Vec::new();
        if let Some(password) = &who.password {
            // Before version 6, Redis had no users.
            let mut auth = cmd("AUTH");
            if let Some(user) = &who.user {
                auth.arg(user);
            }
            commands.push(auth.arg(password).clone());
        }
        if database != 0 {
            commands.push(cmd("SELECT").arg(database).clone());
        }
        let answers = self.exchange(&commands, deadline)?;
        self.check(&commands, &answers).map_err(|failure| match &who.password {
            // A proxy may repeat what it does not understand.
            Some(password) if failure.message.contains(password) => {
                Failure::new(failure.reason, format!("{} does not accept the password", self.host))
            }
            _ => failure,
        })
    }

    /// Sends all commands at once and returns their answers, errors included.
    pub(super) fn exchange(&mut self, commands: &[Cmd], deadline: Instant) -> Result<Vec<Value>, Failure> {
        let mut bytes = Vec::new();
        commands.iter().for_each(|command| command.write_packed_command(&mut bytes));
        self.stream.begin_exchange();
        self.stream.set_deadline(deadline);
        let sent = self.stream.write_all(&bytes).and_then(|()| self.stream.flush());
        sent.map_err(|error| Failure::exchanging(&self.host, &error))?;
        commands.iter().map(|_| self.answer(deadline)).collect()
    }

    fn answer(&mut self, deadline: Instant) -> Result<Value, Failure> {
        self.stream.set_deadline(deadline.min(Instant::now() + STEP));
        let mut reader = Remembering { stream: &mut self.stream, error: None };
        let answer = self.parser.parse_value(&mut reader);
        match (answer, reader.error) {
            (Ok(answer), _) => Ok(answer),
            (Err(_), Some(error)) => Err(Failure::exchanging(&self.host, &error)),
            (Err(error), None) if error.is_io_error() => {
                Err(Failure::exchanging(&self.host, &io::ErrorKind::UnexpectedEof.into()))
            }
            (Err(_), None) => Err(Failure::garbage(&self.host)),
        }
    }

    /// Fails if an answer is an error. A key that is not a string is not a failure: only its value is damaged.
    pub(super) fn check(&self, commands: &[Cmd], answers: &[Value]) -> Result<(), Failure> {
        let mut pairs = commands.iter().zip(answers);
        let error = pairs.find_map(|(command, answer)| match answer {
            Value::ServerError(error) => {
                let command = name(command);
                let is_answer = command == "GETRANGE" && error.code() == "WRONGTYPE";
                (!is_answer).then(|| Failure::refused(&self.host, &command, error))
            }
            _ => None,
        });
        error.map_or(Ok(()), Err)
    }
}

/// Keeps the error of a read, which the parser does not pass on as it is.
struct Remembering<'a> {
    stream: &'a mut Stream,
    error: Option<io::Error>,
}

impl Read for Remembering<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buffer).map_err(|error| {
            let kind = error.kind();
            self.error = Some(error);
            kind.into()
        })
    }
}

/// The name of a command.
fn name(command: &Cmd) -> String {
    let name = command.args_iter().next();
    name.map_or_else(String::new, |name| match name {
        redis::Arg::Simple(name) => String::from_utf8_lossy(name).into_owned(),
        _ => String::new(),
    })
}

/// Connects to the first address that answers. Each gets its share of the time.
fn connect(addresses: &[SocketAddr], deadline: Instant) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for (tried, address) in addresses.iter().enumerate() {
        let left = deadline.saturating_duration_since(Instant::now());
        let share = left / u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        if share.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        match TcpStream::connect_timeout(address, share) {
            Ok(socket) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(last)
}
