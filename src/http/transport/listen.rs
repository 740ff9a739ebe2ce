//! Listening sockets.

use std::io;
use std::net::{SocketAddr, TcpListener};

use rustix::io::Errno;
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
/// When it cannot listen on one of them. The error names the flag and the address, and says what to do.
pub fn listen(addresses: &[SocketAddr], role: Role) -> io::Result<Vec<Listener>> {
    let named = |address, error: io::Error| {
        let (flag, advice) = (role.flag(), advice(&error, address, role.flag()));
        io::Error::new(error.kind(), format!("--{flag}: cannot listen on {address}: {error}; {advice}"))
    };
    let socket = |address| bind(address, addresses).map_err(|error| named(address, error));
    addresses.iter().map(|address| Ok(Listener { socket: socket(*address)?, role, is_inherited: false })).collect()
}

/// How to correct an error of [`bind`].
fn advice(error: &io::Error, address: SocketAddr, flag: &str) -> String {
    let port = address.port();
    match Errno::from_io_error(error) {
        Some(Errno::ADDRINUSE) => format!(
            "run: ss -ltnp sport = :{port}; stop the program that it shows, or choose another port \
             with --{flag}"
        ),
        Some(Errno::ACCESS) if port < 1024 => format!(
            "ports below 1024 are privileged: choose a port from 1024 with --{flag}, or give the exporter the capability \
             CAP_NET_BIND_SERVICE (in a systemd unit: AmbientCapabilities=CAP_NET_BIND_SERVICE)"
        ),
        Some(Errno::ACCESS) => {
            format!("a security policy (such as SELinux) forbids it: allow it, or choose another port with --{flag}")
        }
        Some(Errno::ADDRNOTAVAIL) => format!(
            "this machine does not have this address: choose with --{flag} one that it has (run: ip address), or :{port} for \
             every IPv4 address"
        ),
        Some(Errno::AFNOSUPPORT) => {
            let (family, other) = if address.is_ipv6() { ("IPv6", "IPv4") } else { ("IPv4", "IPv6") };
            format!("{family} is turned off on this machine: choose an {other} address with --{flag}")
        }
        Some(Errno::MFILE | Errno::NFILE) => "raise the limit of open files (LimitNOFILE)".to_owned(),
        _ => format!("check the address, or choose another one with --{flag}"),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_has_its_own_advice() {
        for (errno, address, expected) in [
            (
                Errno::ADDRINUSE,
                "0.0.0.0:10006",
                "run: ss -ltnp sport = :10006; stop the program that it shows, or choose another \
                 port with --web.listen-address",
            ),
            (
                Errno::ACCESS,
                "0.0.0.0:80",
                "ports below 1024 are privileged: choose a port from 1024 with --web.listen-address, or give the \
                 exporter the capability CAP_NET_BIND_SERVICE",
            ),
            (Errno::ACCESS, "0.0.0.0:8080", "a security policy (such as SELinux) forbids it"),
            (Errno::ADDRNOTAVAIL, "192.0.2.1:9", "this machine does not have this address: choose with"),
            (Errno::AFNOSUPPORT, "[::1]:9", "IPv6 is turned off on this machine: choose an IPv4 address"),
            (Errno::AFNOSUPPORT, "127.0.0.1:9", "IPv4 is turned off on this machine: choose an IPv6 address"),
            (Errno::MFILE, "127.0.0.1:9", "raise the limit of open files"),
            (Errno::INVAL, "[fe80::1]:9", "check the address, or choose another one with --web.listen-address"),
        ] {
            let found = advice(&errno.into(), address.parse().unwrap(), "web.listen-address");
            assert!(found.starts_with(expected), "{found}");
        }
    }
}
