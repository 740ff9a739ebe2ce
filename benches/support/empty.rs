//! Servers for comparison, which only read the request's body and return a constant answer.

use std::convert::Infallible;
use std::io::Write;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use openim_exporter::http::FILL;
use openim_exporter::wire::SUCCESS;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

/// How an empty server uses the machine's cores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// tokio's default: one multi-threaded runtime, in which tasks move between threads.
    Default,
    /// The exporter's layout: one single-threaded runtime per core, filled one after the other.
    Ours,
}

impl Layout {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Ours => "ours",
        }
    }
}

/// Serves at this address until the process is killed. Prints the port first.
pub(crate) fn serve(layout: &str, address: &str) -> std::io::Result<()> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    writeln!(std::io::stdout(), "{}", listener.local_addr()?.port())?;
    if layout == Layout::Default.name() {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        return runtime.block_on(accept(listener));
    }
    let cores = std::thread::available_parallelism()?.get();
    let threads: Vec<_> = (0..cores).map(|_| Thread::start()).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(spread(listener, &threads))
}

/// A thread that serves the connections passed to it.
struct Thread {
    arrivals: mpsc::UnboundedSender<std::net::TcpStream>,
    connections: Arc<AtomicUsize>,
}

impl Thread {
    fn start() -> Self {
        let (arrivals, mut arriving) = mpsc::unbounded_channel();
        let connections = Arc::new(AtomicUsize::new(0));
        let open = Arc::clone(&connections);
        std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread().enable_io().build()?.block_on(async {
                while let Some(stream) = arriving.recv().await {
                    let stream = TcpStream::from_std(stream)?;
                    let open = Arc::clone(&open);
                    tokio::spawn(async move {
                        let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)).await;
                        open.fetch_sub(1, Ordering::Relaxed);
                    });
                }
                std::io::Result::Ok(())
            })
        });
        Self { arrivals, connections }
    }
}

/// Accepts connections and distributes them over the threads like the exporter.
async fn spread(listener: TcpListener, threads: &[Thread]) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let stream = listener.accept().await?.0.into_std()?;
        let open = |thread: &&Thread| thread.connections.load(Ordering::Relaxed);
        let free = threads.iter().find(|thread| open(thread) < FILL);
        if let Some(thread) = free.or_else(|| threads.iter().min_by_key(open)) {
            thread.connections.fetch_add(1, Ordering::Relaxed);
            let _ = thread.arrivals.send(stream);
        }
    }
}

async fn accept(listener: TcpListener) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)));
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    // An incomplete body gets an answer too, which no client reads.
    let _ = request.into_body().collect().await;
    Ok(Response::new(Full::new(Bytes::from_static(SUCCESS.as_bytes()))))
}
