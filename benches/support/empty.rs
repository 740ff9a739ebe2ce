//! The reference: servers that read the request's body and answer a constant, and do nothing else.

use std::convert::Infallible;
use std::io::Write;
use std::net::TcpListener;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use openim_exporter::wire::SUCCESS;

/// How an empty server uses the machine's cores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// tokio's default: one runtime of many threads, between which tasks move.
    Default,
    /// The exporter's: a runtime of one thread for each core, all accepting from one socket.
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

/// Serves until the process is killed. The first line on standard output is the port.
pub(crate) fn serve(layout: &str) -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    writeln!(std::io::stdout(), "{}", listener.local_addr()?.port())?;
    if layout == Layout::Default.name() {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        return runtime.block_on(accept(listener));
    }
    let cores = std::thread::available_parallelism()?.get();
    std::thread::scope(|scope| {
        for _ in 0..cores {
            let listener = listener.try_clone()?;
            scope.spawn(move || {
                tokio::runtime::Builder::new_current_thread().enable_io().build()?.block_on(accept(listener))
            });
        }
        Ok(())
    })
}

async fn accept(listener: TcpListener) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)));
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    // A body that breaks off is answered all the same: nobody reads it.
    let _ = request.into_body().collect().await;
    Ok(Response::new(Full::new(Bytes::from_static(SUCCESS.as_bytes()))))
}
