//! A serving thread: its runtime, and the connections that it serves. The first one accepts for all.

use std::io::{self, Write as _};
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{self, Runtime};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::connection;
use super::farewell::{send_last, whole_response};
use super::listen::{BACKLOG, Listener, refuse_new_connections};
use crate::domain::Reason;
use crate::http::base::caller::{Caller, Role};
use crate::http::base::connections::{Connections, Tracker};
use crate::http::site::Site;
use crate::http::site::drain::Stage;
use crate::http::site::exchange::count_refusal;
use crate::lanes::claim_lane;
use crate::niceness::lower_priority;

/// Threads of one worker that write scrapes. Further scrapes wait.
const SCRAPE_THREADS: usize = 2;

/// Tasks that run before the runtime polls for I/O events. A connection that always has work, such as pipelined
/// requests, delays other connections by up to this many tasks.
const TASKS_BETWEEN_POLLS: u32 = 8;

/// Sweeps for which a refused connection waits for its request, and then again for its client to read the response.
const REFUSAL_SWEEPS: u32 = 3;

/// Sweeps of a drain in which handshakes that have begun can finish: 80 to 100 ms, a long round trip.
const HANDSHAKE_SWEEPS: u32 = 5;

/// One in this many connections is reserved for `--web.telemetry-address`, if it is set.
const KEPT_FOR_TELEMETRY: usize = 20;

/// Connections that a thread serves before the next thread gets any.
///
/// A few connections cost less on one thread than spread over all threads: one wake-up serves several, and caches stay
/// warm (a tenth less CPU per callback with 16 connections on 2 cores: `cargo bench --bench whole_server`). Each OpenIM
/// process has two connections, and waits for the response on each. Even if all 32 send a callback at once, the last
/// response takes about 32 times 10 us. Further connections are spread over all threads.
pub const FILL: usize = 32;

/// A connection on its way to the thread that will serve it.
type Arrival = (std::net::TcpStream, Tracker, Caller);

/// A serving thread.
pub struct Worker {
    runtime: Runtime,
    site: Arc<Site>,
    connections: Arc<Connections>,
    arrivals: mpsc::UnboundedReceiver<Arrival>,
    /// The first worker accepts for all workers. Empty for the others.
    acceptors: Vec<(Acceptor, Listener)>,
}

/// How a worker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerEnd {
    /// Connections that were still open when the drain's time was up.
    pub cut_off: usize,
}

impl Worker {
    /// The workers of a site: the number that the site was created with.
    ///
    /// # Errors
    /// When a runtime cannot be created.
    pub fn create_all(site: &Arc<Site>, listeners: Vec<Listener>) -> io::Result<Vec<Self>> {
        let (mut senders, arrivals): (Vec<_>, Vec<_>) =
            site.workers.all().iter().map(|_| mpsc::unbounded_channel()).unzip();
        let others = senders.split_off(1.min(senders.len()));
        let acceptor = |listener| (Acceptor { site: Arc::clone(site), others: others.clone() }, listener);
        let mut acceptors: Vec<_> = listeners.into_iter().map(acceptor).collect();
        let worker = |(connections, arrivals): (&Arc<Connections>, _)| {
            Ok(Self {
                runtime: build_runtime()?,
                site: Arc::clone(site),
                connections: Arc::clone(connections),
                arrivals,
                acceptors: std::mem::take(&mut acceptors),
            })
        };
        site.workers.all().iter().zip(arrivals).map(worker).collect()
    }

    /// Serves on this thread until the drain is complete or its time is up.
    ///
    /// # Errors
    /// When a listener cannot be registered with the runtime.
    pub fn run(self) -> io::Result<WorkerEnd> {
        claim_lane();
        let Self { runtime, site, connections, arrivals, acceptors } = self;
        let outcome = runtime.block_on(serve(&site, &connections, arrivals, acceptors));
        // A scrape that is still being written must not delay the end.
        runtime.shutdown_background();
        outcome
    }
}

/// Built before any worker serves, because it needs file descriptors and a thread, and connections may use them up.
fn build_runtime() -> io::Result<Runtime> {
    // Without timers, because with them the runtime reads the clock at each sleep and each wake-up.
    let runtime = runtime::Builder::new_current_thread()
        .enable_io()
        .event_interval(TASKS_BETWEEN_POLLS)
        .max_blocking_threads(SCRAPE_THREADS)
        .thread_keep_alive(Duration::MAX)
        .on_thread_start(lower_priority)
        .build()?;
    // If the system provides no thread for a scrape, the runtime panics, unless it has one already: this one, which it
    // keeps. Two are tried first, because the kernel may be late in releasing one of them.
    let tries = [(); 2].map(|()| thread::Builder::new().spawn(|| ()));
    for thread in tries {
        thread?.join().map_err(|_| io::ErrorKind::Other)?;
    }
    runtime.spawn_blocking(|| ());
    Ok(runtime)
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
    // Ends when the last acceptor has ended. The first worker receives nothing here, so its loop ends at once.
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

/// Accepts connections on the first worker's thread, and assigns each to a worker.
struct Acceptor {
    site: Arc<Site>,
    /// Channels to the other workers, in their order. The limit of connections bounds their length.
    others: Vec<mpsc::UnboundedSender<Arrival>>,
}

impl Acceptor {
    /// Accepts until the drain begins, and then the connections that the kernel has already accepted or is about to
    /// accept. On an inherited socket the next process accepts those.
    async fn accept(self, listener: Listener) -> io::Result<()> {
        let Listener { socket, role, is_inherited } = listener;
        let (listener, drain) = (TcpListener::from_std(socket)?, &self.site.drain);
        self.accept_until(&listener, role, drain.wait_for(Stage::is_draining)).await;
        if is_inherited {
            return Ok(());
        }
        refuse_new_connections(&listener);
        let handshakes = async {
            tokio::select! {
                () = self.site.workers.sweeps(HANDSHAKE_SWEEPS) => {}
                () = drain.wait_for(|stage| stage == Stage::End) => {}
            }
        };
        self.accept_until(&listener, role, handshakes).await;
        let listener = listener.into_std()?;
        // At most as many as can have been waiting, because new ones may keep arriving.
        for (stream, peer) in (0..BACKLOG).map_while(|_| listener.accept().ok()) {
            if stream.set_nonblocking(true).is_ok()
                && let Ok(stream) = TcpStream::from_std(stream)
            {
                self.assign(stream, peer.ip(), role);
            }
        }
        Ok(())
    }

    /// Accepts until the future ends.
    async fn accept_until(&self, listener: &TcpListener, role: Role, end: impl Future<Output = ()>) {
        let mut end = pin!(end);
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut end => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => self.assign(stream, peer.ip(), role),
                Err(error) => {
                    self.site.telemetry.accept_failed(&error, self.site.now().0);
                    // Usually no file descriptor is free. Retrying at once would only use CPU.
                    self.site.workers.sweeps(1).await;
                }
            }
        }
    }

    fn assign(&self, stream: TcpStream, address: IpAddr, role: Role) {
        let config = &self.site.config;
        // Even if the callbacks' address is full, Prometheus and health checks must be able to connect to the other
        // one.
        let most = match role {
            Role::All | Role::Telemetry => config.max_connections,
            Role::Callbacks => config.max_connections - config.max_connections / KEPT_FOR_TELEMETRY,
        };
        if self.site.workers.open_connections() >= most {
            let detail = format!("{most} connections are open; --web.max-connections sets the limit");
            return refuse_connection(&self.site, (stream, address), Reason::TooManyConnections, &detail);
        }
        let share = match self.site.share_of_connections(address) {
            Ok(share) => share,
            Err((reason, detail)) => return refuse_connection(&self.site, (stream, address), reason, &detail),
        };
        let caller = Caller::new(role, share, address);
        let Some((position, connections)) = self.choose_worker() else { return };
        // Counted from here on, so that the next connection is assigned correctly.
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

    /// The first worker with fewer than [`FILL`] connections, or else the worker with the fewest. Returns its position
    /// too.
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

/// Refuses a connection over the limit. Without TLS, the client gets a response.
fn refuse_connection(site: &Arc<Site>, (mut stream, client): (TcpStream, IpAddr), reason: Reason, detail: &str) {
    count_refusal(site, client.to_canonical(), reason, detail);
    if site.settings.access().tls.is_some() {
        return;
    }
    let response = whole_response(reason, detail);
    let Some(share) = site.quotas.refused_connections.take_one(client.to_canonical()) else {
        // The buffer of a new connection has space for this, so the write does not block.
        if let Ok(mut stream) = stream.into_std() {
            let _ = stream.write(&response);
        }
        return;
    };
    let site = Arc::clone(site);
    tokio::spawn(async move {
        let _share = share;
        // Go's client treats a response that comes before its request as an error.
        in_sweeps(&site, stream.peek(&mut [0])).await;
        in_sweeps(&site, send_last(&mut stream, &response)).await;
    });
}

/// Waits for the future, but not for long.
async fn in_sweeps(site: &Site, future: impl Future) {
    tokio::select! {
        _ = future => {}
        () = site.workers.sweeps(REFUSAL_SWEEPS) => {}
    }
}
