//! Listening sockets.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::fd::AsFd;

use rustix::io::Errno;
use socket2::{Domain, Protocol, SockFilter, SockRef, Socket, Type};

use crate::config::ListenAddress;
use crate::http::base::caller::Role;

/// Connections that may wait to be accepted. The kernel limits this to `net.core.somaxconn`.
pub(super) const BACKLOG: u16 = 4096;

/// Position of the flags in a TCP header. RFC 9293, 3.1.
const TCP_FLAGS: u32 = 13;
const SYN: u32 = 0x02;
const SYN_AND_ACK: u32 = 0x12;

/// A program in classic BPF that drops a TCP packet if it asks for a new connection, and keeps all others.
/// <https://docs.kernel.org/networking/filter.html>
const NO_NEW_CONNECTIONS: [SockFilter; 5] = [
    // Load a byte, mask it, compare it.
    SockFilter::new(0x30, 0, 0, TCP_FLAGS),
    SockFilter::new(0x54, 0, 0, SYN_AND_ACK),
    SockFilter::new(0x15, 0, 1, SYN),
    // Keep 0 bytes, or all.
    SockFilter::new(0x06, 0, 0, 0),
    SockFilter::new(0x06, 0, 0, u32::MAX),
];

/// Lets a listening socket ignore requests for new connections, while the kernel completes those that it has answered.
/// A client repeats an ignored request after a second. Without this, closing the socket would reset connections that
/// the client considers established, and what it has sent on them would be lost.
pub(super) fn refuse_new_connections(listener: &impl AsFd) {
    // If the kernel has no such filters, a few connections may be reset.
    let _ = SockRef::from(listener).attach_filter(&NO_NEW_CONNECTIONS);
}

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
pub fn listen(addresses: &[ListenAddress], role: Role) -> io::Result<Vec<Listener>> {
    let mut listeners = Vec::new();
    for address in addresses {
        let sockets = match address {
            ListenAddress::All(port) => vec![bind_all(*port, role)?],
            ListenAddress::Host(host) => bind_host(host, addresses, role)?,
        };
        listeners.extend(sockets.into_iter().map(|socket| Listener { socket, role, is_inherited: false }));
    }
    Ok(listeners)
}

/// Listens on all addresses of both families; on those of IPv4 if the machine does not have IPv6.
fn bind_all(port: u16, role: Role) -> io::Result<TcpListener> {
    let all = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
    let bound = match bind(all, false) {
        Err(error) if Errno::from_io_error(&error) == Some(Errno::AFNOSUPPORT) => {
            bind((Ipv4Addr::UNSPECIFIED, port).into(), false)
        }
        bound => bound,
    };
    bound.map_err(|error| named(&ListenAddress::All(port), all, role, &error))
}

/// Listens on the addresses of one host. A name may have addresses that the machine does not have, such as `localhost`
/// on a machine without IPv6: one that it has is enough.
fn bind_host(host: &[SocketAddr], all: &[ListenAddress], role: Role) -> io::Result<Vec<TcpListener>> {
    // `[::]:10006` also accepts IPv4. If an IPv4 address is given too, the port would already be in use.
    let has_ipv4 = |port: u16| {
        let mut hosts = all.iter().filter_map(|address| match address {
            ListenAddress::All(_) => None,
            ListenAddress::Host(host) => Some(host),
        });
        hosts.any(|host| host.iter().any(|address| address.is_ipv4() && address.port() == port))
    };
    let (mut sockets, mut missing) = (Vec::new(), None);
    for address in host {
        let is_only_v6 = address.is_ipv6() && has_ipv4(address.port());
        match bind(*address, is_only_v6) {
            Ok(socket) => sockets.push(socket),
            Err(error) => {
                let is_missing = matches!(Errno::from_io_error(&error), Some(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL));
                let error = named(&ListenAddress::Host(vec![*address]), *address, role, &error);
                if !is_missing {
                    return Err(error);
                }
                missing = Some(error);
            }
        }
    }
    match missing {
        Some(error) if sockets.is_empty() => Err(error),
        _ => Ok(sockets),
    }
}

fn named(listen: &ListenAddress, address: SocketAddr, role: Role, error: &io::Error) -> io::Error {
    let (flag, advice) = (role.flag(), advice(error, address, role.flag()));
    io::Error::new(error.kind(), format!("--{flag}: cannot listen on {listen}: {error}; {advice}"))
}

/// How to correct an error of [`bind`].
fn advice(error: &io::Error, address: SocketAddr, flag: &str) -> String {
    let port = address.port();
    match Errno::from_io_error(error) {
        Some(Errno::ADDRINUSE) => format!(
            "run: ss -ltnp sport = :{port}; stop the program that it shows (if it shows none, two flags have \
             the same port), or choose another port with --{flag}"
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
             all addresses"
        ),
        Some(Errno::AFNOSUPPORT) => {
            let (family, other) = if address.is_ipv6() { ("IPv6", "IPv4") } else { ("IPv4", "IPv6") };
            format!("{family} is turned off on this machine: choose an {other} address with --{flag}")
        }
        Some(Errno::MFILE | Errno::NFILE) => "raise the limit of open files (LimitNOFILE)".to_owned(),
        _ => format!("check the address, or choose another one with --{flag}"),
    }
}

fn bind(address: SocketAddr, is_only_v6: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restarted process can listen while old connections are in TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    if address.is_ipv6() {
        // Whatever the system's default is (net.ipv6.bindv6only).
        socket.set_only_v6(is_only_v6)?;
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
                "run: ss -ltnp sport = :10006; stop the program that it shows (if it shows none, two flags \
                 have the same port), or choose another port with --web.listen-address",
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
