//! A serving thread: its runtime, what it accepts and what it is given, its end.

use std::io::{self, Write as _};
use std::net::IpAddr;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::runtime::{self, Runtime};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::connection;
use super::farewell::whole_response;
use super::listen::{BACKLOG, Listener};
use crate::http::base::caller::Caller;
use crate::http::base::connections::{Connections, Tracker};
use crate::http::base::niceness::lower_priority;
use crate::http::base::role::Role;
use crate::http::site::Site;
use crate::http::site::drain::Stage;
use crate::http::site::exchange::count_refusal;
use crate::telemetry::Reason;

/// Threads that write scrapes for one worker; more wait.
const SCRAPE_THREADS: usize = 2;

/// Tasks that run before the thread looks at what came for others. One connection that has always something to be done, a
/// row of requests sent at once, say, is such a task again and again, and keeps others waiting so many times.
const TASKS_BETWEEN_POLLS: u32 = 8;

/// One in so many connections is kept for `--web.telemetry-address`, where there is one.
const KEPT_FOR_TELEMETRY: usize = 20;

/// Connections that a thread serves before the next thread is given any.
///
/// Few connections cost less on one thread than spread over all: it wakes up for several at once, and its caches stay
/// warm (a tenth less CPU for each callback, with 16 connections on 2 cores: `cargo bench --bench whole_server`). OpenIM
/// has two for each of its processes and waits for the answer on each; even if as many as these ask at the same moment,
/// the last is answered after 32 times about 10 us. More of them are spread over all threads.
pub const FILL: usize = 32;

/// A connection on its way to the thread that will serve it.
type Arrival = (std::net::TcpStream, Tracker, Caller);

/// A serving thread's share of the site.
pub struct Worker {
    runtime: Runtime,
    site: Arc<Site>,
    connections: Arc<Connections>,
    arrivals: mpsc::UnboundedReceiver<Arrival>,
    /// The first worker accepts for all.
    acceptors: Vec<(Acceptor, Listener)>,
}

/// How a worker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerEnd {
    /// Connections that were still open when the drain's time was up.
    pub cut_off: usize,
}

impl Worker {
    /// The workers of a site, as many as it was made for.
    ///
    /// # Errors
    /// When a runtime cannot be made.
    pub fn all(site: &Arc<Site>, listeners: Vec<Listener>) -> io::Result<Vec<Self>> {
        let (mut senders, arrivals): (Vec<_>, Vec<_>) =
            site.workers.all().iter().map(|_| mpsc::unbounded_channel()).unzip();
        let others = senders.split_off(1.min(senders.len()));
        let acceptor = |listener| (Acceptor { site: Arc::clone(site), others: others.clone() }, listener);
        let mut acceptors: Vec<_> = listeners.into_iter().map(acceptor).collect();
        let worker = |(connections, arrivals): (&Arc<Connections>, _)| {
            Ok(Self {
                // Now, for a runtime takes open files: once others serve, their connections may have them all.
                // No timers: with them, it would read the clock whenever it goes to sleep and whenever it wakes up.
                runtime: runtime::Builder::new_current_thread()
                    .enable_io()
                    .event_interval(TASKS_BETWEEN_POLLS)
                    .max_blocking_threads(SCRAPE_THREADS)
                    .on_thread_start(lower_priority)
                    .build()?,
                site: Arc::clone(site),
                connections: Arc::clone(connections),
                arrivals,
                acceptors: std::mem::take(&mut acceptors),
            })
        };
        site.workers.all().iter().zip(arrivals).map(worker).collect()
    }

    /// Serves on this thread until told to end, or to drain and drained.
    ///
    /// # Errors
    /// When a listener cannot be watched.
    pub fn run(self) -> io::Result<WorkerEnd> {
        let Self { runtime, site, connections, arrivals, acceptors } = self;
        let outcome = runtime.block_on(serve(&site, &connections, arrivals, acceptors));
        // A scrape that is still being written to nobody must not hold the end up.
        runtime.shutdown_background();
        outcome
    }
}

async fn serve(
    site: &Arc<Site>,
    connections: &Connections,
    mut arrivals: mpsc::UnboundedReceiver<Arrival>,
    acceptors: Vec<(Acceptor, Listener)>,
) -> io::Result<WorkerEnd> {
    let mut accepting = JoinSet::new();
    for (acceptor, listener) in acceptors {
        accepting.spawn(acceptor.accept(listener));
    }
    // Ends when the last of the acceptors has ended; at once for the first worker, which has no need of it.
    while let Some((stream, tracker, caller)) = arrivals.recv().await {
        if let Ok(stream) = TcpStream::from_std(stream) {
            spawn_connection(site, stream, tracker, caller);
        }
    }
    while let Some(ended) = accepting.join_next().await {
        ended.map_err(io::Error::other)??;
    }
    tokio::select! {
        () = connections.empty() => {}
        () = site.drain.wait_for(|stage| stage == Stage::End) => {}
    }
    Ok(WorkerEnd { cut_off: connections.count() })
}

/// Accepts on the first worker's thread, and says which thread serves.
struct Acceptor {
    site: Arc<Site>,
    /// To the workers after the first, in their order. Bounded by the limit of connections.
    others: Vec<mpsc::UnboundedSender<Arrival>>,
}

impl Acceptor {
    /// Accepts until told to stop, and then, at a socket of its own, what is already waiting: the kernel has accepted
    /// those on our behalf. At a socket that was passed on, the next process will.
    async fn accept(self, listener: Listener) -> io::Result<()> {
        let Listener { socket, role, is_inherited } = listener;
        let listener = tokio::net::TcpListener::from_std(socket)?;
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.site.drain.wait_for(|stage| stage != Stage::Serve) => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => self.assign(stream, peer.ip(), role),
                Err(error) => {
                    self.site.telemetry.accept_failed(&error, self.site.now().0);
                    // Usually for want of file descriptors: trying at once again would do nothing else.
                    self.site.workers.swept.notified().await;
                }
            }
        }
        if is_inherited {
            return Ok(());
        }
        let listener = listener.into_std()?;
        // No more than can have been waiting: new ones may go on to come.
        for (stream, peer) in (0..BACKLOG).map_while(|_| listener.accept().ok()) {
            if stream.set_nonblocking(true).is_ok()
                && let Ok(stream) = TcpStream::from_std(stream)
            {
                self.assign(stream, peer.ip(), role);
            }
        }
        Ok(())
    }

    fn assign(&self, stream: TcpStream, address: IpAddr, role: Role) {
        let config = &self.site.config;
        // Whoever fills the callbacks' address must not keep Prometheus, and who looks whether all is well, out of theirs.
        let most = match role {
            Role::All | Role::Telemetry => config.max_connections,
            Role::Callbacks => config.max_connections - config.max_connections / KEPT_FOR_TELEMETRY,
        };
        if self.site.workers.open_connections() >= most {
            let detail = format!("{most} connections are open; --web.max-connections sets the limit");
            return refuse_connection(&self.site, stream, Reason::TooManyConnections, &detail);
        }
        let Some(share) = self.site.quotas.connections.take_one(address) else {
            let most = config.max_connections_per_address;
            let detail = format!(
                "{most} connections of this address are open; --web.max-connections-per-address sets the limit"
            );
            return refuse_connection(&self.site, stream, Reason::TooManyConnectionsPerAddress, &detail);
        };
        let caller = Caller::new(role, share, address);
        let Some((position, connections)) = self.choose_worker() else { return };
        // Counted from here on, so that the next one is placed rightly.
        let tracker = connections.track();
        match self.others.get(position.wrapping_sub(1)) {
            None => spawn_connection(&self.site, stream, tracker, caller),
            Some(other) => {
                if let Ok(stream) = stream.into_std() {
                    let _ = other.send((stream, tracker, caller));
                }
            }
        }
    }

    /// The first worker that is not filled yet, or else the one that has the fewest connections; by position.
    fn choose_worker(&self) -> Option<(usize, &Arc<Connections>)> {
        let mut workers = self.site.workers.all().iter().enumerate();
        let count = |(_, connections): &(usize, &Arc<Connections>)| connections.count();
        workers.clone().find(|worker| count(worker) < FILL).or_else(|| workers.by_ref().min_by_key(count))
    }
}

fn spawn_connection(site: &Arc<Site>, stream: TcpStream, tracker: Tracker, caller: Caller) {
    let site = Arc::clone(site);
    tokio::spawn(async move { connection::serve(stream, tracker, caller, &site).await });
}

fn refuse_connection(site: &Site, stream: TcpStream, reason: Reason, detail: &str) {
    count_refusal(site, reason, detail);
    if site.settings.access().tls.is_none() {
        // A new connection's buffer takes this at once; who does not read it loses nothing.
        if let Ok(mut stream) = stream.into_std() {
            let _ = stream.write(&whole_response(reason, detail));
        }
    }
}
