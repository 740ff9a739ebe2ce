//! Listening sockets.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::http::base::role::Role;

/// Connections that may wait to be accepted; the kernel lowers it to `net.core.somaxconn`.
pub(super) const BACKLOG: u16 = 4096;

/// A listening socket.
#[derive(Debug)]
pub struct Listener {
    pub(super) socket: TcpListener,
    pub(super) role: Role,
    /// The process got it from its parent, and the next process goes on with it.
    pub(super) is_inherited: bool,
}

impl Listener {
    /// A socket that listens already and that the parent process keeps.
    ///
    /// # Errors
    /// When it does not listen, or cannot be made not to block.
    pub fn inherited(socket: TcpListener, role: Role) -> io::Result<Self> {
        if !SockRef::from(&socket).is_listener()? {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it does not listen (is it Accept=yes?)"));
        }
        socket.set_nonblocking(true)?;
        Ok(Self { socket, role, is_inherited: true })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the system does not know.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

/// Listens at these addresses; port 0 takes a free one.
///
/// # Errors
/// When one of them cannot be listened at; the error names it.
pub fn listen(addresses: &[SocketAddr], role: Role) -> io::Result<Vec<Listener>> {
    let named = |address, error: io::Error| {
        io::Error::new(error.kind(), format!("--{}: cannot listen at {address}: {error}", role.flag()))
    };
    let socket = |address| bind(address, addresses).map_err(|error| named(address, error));
    addresses.iter().map(|address| Ok(Listener { socket: socket(*address)?, role, is_inherited: false })).collect()
}

fn bind(address: SocketAddr, all: &[SocketAddr]) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restarted process may listen while old connections linger in TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    // `[::]:10006` takes IPv4 too, unless that is asked for by itself: then the port would be taken already.
    if address.is_ipv6() && all.iter().any(|other| other.is_ipv4() && other.port() == address.port()) {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG.into())?;
    Ok(socket.into())
}
