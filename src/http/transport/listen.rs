//! Listening sockets.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::http::base::caller::Role;

/// Connections that may wait to be accepted. The kernel limits this to `net.core.somaxconn`.
pub(super) const BACKLOG: u16 = 4096;

/// A listening socket.
#[derive(Debug)]
pub struct Listener {
    pub(super) socket: TcpListener,
    pub(super) role: Role,
    /// The socket was inherited from the parent process, and the next process continues with it.
    pub(super) is_inherited: bool,
}

impl Listener {
    /// A listening socket that the parent process passed and keeps open.
    ///
    /// # Errors
    /// When it is not a listening socket, or cannot be made non-blocking.
    pub fn inherited(socket: TcpListener, role: Role) -> io::Result<Self> {
        if !SockRef::from(&socket).is_listener()? {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "it is not a listening socket (is Accept=yes set?)",
            ));
        }
        socket.set_nonblocking(true)?;
        Ok(Self { socket, role, is_inherited: true })
    }

    /// The address that it listens on.
    ///
    /// # Errors
    /// When the system does not return it.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

/// Listens on these addresses. Port 0 means any free port.
///
/// # Errors
/// When it cannot listen on one of them. The error names the address.
pub fn listen(addresses: &[SocketAddr], role: Role) -> io::Result<Vec<Listener>> {
    let named = |address, error: io::Error| {
        io::Error::new(error.kind(), format!("--{}: cannot listen on {address}: {error}", role.flag()))
    };
    let socket = |address| bind(address, addresses).map_err(|error| named(address, error));
    addresses.iter().map(|address| Ok(Listener { socket: socket(*address)?, role, is_inherited: false })).collect()
}

fn bind(address: SocketAddr, all: &[SocketAddr]) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restarted process can listen while old connections are in TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    // `[::]:10006` also accepts IPv4. If an IPv4 address is given too, the port would already be in use.
    if address.is_ipv6() && all.iter().any(|other| other.is_ipv4() && other.port() == address.port()) {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG.into())?;
    Ok(socket.into())
}
