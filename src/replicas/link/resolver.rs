//! Names -> addresses, within a time limit.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Instant;

use crate::config::replicas::RedisHost;

type Found = io::Result<Vec<SocketAddr>>;

/// Looks up names. The system's function for it has no time limit, so it runs on a thread of its own. If it takes too
/// long, the thread stays until it ends, and there is no second one meanwhile.
#[derive(Default)]
pub(super) struct Resolver {
    late: Option<Receiver<Found>>,
}

impl Resolver {
    /// The addresses of a host.
    pub(super) fn addresses(&mut self, host: &RedisHost, deadline: Instant) -> Found {
        if let Ok(address) = host.name.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, host.port)]);
        }
        if let Some(late) = self.late.take() {
            // What it found may belong to another host, so it is not used.
            let _ = self.wait(late, deadline)?;
        }
        let (sender, receiver) = channel();
        let name = (host.name.clone(), host.port);
        thread::Builder::new().name("resolve".to_owned()).spawn(move || {
            // The caller may have stopped waiting for it.
            let _ = sender.send(name.to_socket_addrs().map(Iterator::collect));
        })?;
        self.wait(receiver, deadline)?
    }

    fn wait(&mut self, receiver: Receiver<Found>, deadline: Instant) -> io::Result<Found> {
        receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())).map_err(|_| {
            self.late = Some(receiver);
            io::ErrorKind::TimedOut.into()
        })
    }
}
