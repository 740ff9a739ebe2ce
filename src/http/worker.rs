//! A serving thread: its runtime, its accepting, its end.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::runtime;
use tokio::sync::watch;

use super::connection::{converse, raw_answer};
use super::listen::BACKLOG;
use super::progress::Connections;
use super::site::Site;
use crate::telemetry::Reason;

/// Threads that write scrapes for one worker; more wait.
const SCRAPE_THREADS: usize = 2;

/// What the workers are to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Accept and answer.
    Serve,
    /// Accept no more, answer what comes on open connections, and end with the last of them.
    Drain,
    /// End.
    End,
}

/// A serving thread's share of the site.
pub struct Worker {
    site: Arc<Site>,
    connections: Arc<Connections>,
    listeners: Vec<TcpListener>,
    stage: watch::Receiver<Stage>,
}

/// How a worker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Connections that were still open when the drain's time was up.
    pub cut_off: usize,
}

impl Worker {
    /// The workers of a site, as many as it was made for. All accept from the same sockets.
    ///
    /// # Errors
    /// When a listening socket cannot be duplicated.
    pub fn all(site: &Arc<Site>, listeners: &[TcpListener], stage: &watch::Receiver<Stage>) -> io::Result<Vec<Self>> {
        let worker = |connections: &Arc<Connections>| {
            Ok(Self {
                site: Arc::clone(site),
                connections: Arc::clone(connections),
                listeners: listeners.iter().map(TcpListener::try_clone).collect::<io::Result<_>>()?,
                stage: stage.clone(),
            })
        };
        site.workers().iter().map(worker).collect()
    }

    /// Serves on this thread until told to end, or to drain and drained.
    ///
    /// # Errors
    /// When the runtime cannot be made or a listener not be watched.
    pub fn run(self) -> io::Result<Outcome> {
        // No timers: with them, the runtime would read the clock whenever it goes to sleep and whenever it wakes up.
        let runtime =
            runtime::Builder::new_current_thread().enable_io().max_blocking_threads(SCRAPE_THREADS).build()?;
        let outcome = runtime.block_on(self.serve());
        // A scrape that is still being written to nobody must not hold the end up.
        runtime.shutdown_background();
        outcome
    }

    async fn serve(mut self) -> io::Result<Outcome> {
        let mut accepting = Vec::new();
        for listener in self.listeners {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let (site, connections) = (Arc::clone(&self.site), Arc::clone(&self.connections));
            accepting.push(tokio::spawn(accept(listener, site, connections, self.stage.clone())));
        }
        for task in accepting {
            // It ends when it is told to, and takes its listener with it.
            task.await.map_err(io::Error::other)??;
        }
        tokio::select! {
            () = self.connections.empty() => {}
            _ = self.stage.wait_for(|stage| *stage == Stage::End) => {}
        }
        Ok(Outcome { cut_off: self.connections.count() })
    }
}

/// Accepts until told to stop, and then what is already waiting: the kernel has accepted those on our behalf.
async fn accept(
    listener: tokio::net::TcpListener,
    site: Arc<Site>,
    connections: Arc<Connections>,
    mut stage: watch::Receiver<Stage>,
) -> io::Result<()> {
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stage.wait_for(|stage| *stage > Stage::Serve) => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => welcome(stream, &site, &connections),
            Err(error) => {
                site.telemetry().accept_failed(&error, site.now().0);
                // Usually for want of file descriptors: trying at once again would do nothing else.
                site.swept.notified().await;
            }
        }
    }
    let listener = listener.into_std()?;
    // No more than can have been waiting: new ones may go on to come.
    for (stream, _) in (0..BACKLOG).map_while(|_| listener.accept().ok()) {
        if stream.set_nonblocking(true).is_ok()
            && let Ok(stream) = TcpStream::from_std(stream)
        {
            welcome(stream, &site, &connections);
        }
    }
    Ok(())
}

fn welcome(mut stream: TcpStream, site: &Arc<Site>, connections: &Arc<Connections>) {
    let site = Arc::clone(site);
    if site.open_connections() >= site.limits.connections {
        let detail = format!("{} connections are open, which is the limit", site.limits.connections);
        site.telemetry().request_rejected(Reason::TooManyConnections, &detail, site.now().0);
        tokio::spawn(async move {
            // A new connection's buffer takes this at once; who does not read it loses nothing.
            let _ = stream.write_all(&raw_answer(Reason::TooManyConnections, &detail)).await;
        });
        return;
    }
    let open = connections.open();
    tokio::spawn(async move { converse(stream, open, &site).await });
}
