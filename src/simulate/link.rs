//! One connection to the server.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::config::simulate::Target;

/// Far more than an answer needs, and little enough to hold for each connection.
pub(super) const LONGEST_ANSWER: usize = 64 * 1024;

type Open = Connection<TokioIo<TcpStream>, Full<Bytes>>;

/// A connection, and the end that requests are put into. Whoever waits for an answer does the connection's I/O
/// meanwhile, in the same task: no second task to wake for each request, and dropping the link closes it at once.
pub(super) struct Link {
    requests: SendRequest<Full<Bytes>>,
    /// `None` once it has ended.
    connection: Option<Pin<Box<Open>>>,
}

/// Why no answer came.
pub(super) enum Broken {
    /// The connection had ended before anything of the request was written.
    Unsent(hyper::Error),
    /// It ended later than that.
    Lost(hyper::Error),
    /// The answer was longer than [`LONGEST_ANSWER`].
    TooLong,
}

impl Link {
    pub(super) async fn open(target: &Target) -> io::Result<Self> {
        let stream = TcpStream::connect((target.host.as_str(), target.port)).await?;
        stream.set_nodelay(true)?;
        // Go writes `User-Agent`, not `user-agent`.
        let handshake = Builder::new().title_case_headers(true).handshake(TokioIo::new(stream)).await;
        let (requests, connection) = handshake.map_err(io::Error::other)?;
        Ok(Self { requests, connection: Some(Box::pin(connection)) })
    }

    /// Sends a request and waits for its answer, whose body replaces what `answer` held.
    pub(super) async fn exchange(
        &mut self,
        request: Request<Full<Bytes>>,
        answer: &mut Vec<u8>,
    ) -> Result<StatusCode, Broken> {
        answer.clear();
        let Self { requests, connection } = self;
        let exchange = async {
            requests.ready().await.map_err(Broken::Unsent)?;
            let response = requests.try_send_request(request).await.map_err(|mut failed| {
                let was_written = failed.take_message().is_none();
                let error = failed.into_error();
                if was_written { Broken::Lost(error) } else { Broken::Unsent(error) }
            })?;
            let status = response.status();
            let mut body = response.into_body();
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(Broken::Lost)?;
                answer.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
                if answer.len() > LONGEST_ANSWER {
                    return Err(Broken::TooLong);
                }
            }
            Ok(status)
        };
        drive(connection, exchange).await
    }

    /// Waits, and meanwhile notices when the server closes the connection, as Go does between two requests.
    pub(super) async fn keep_during<T>(&mut self, wait: impl Future<Output = T>) -> T {
        drive(&mut self.connection, wait).await
    }
}

async fn drive<T>(connection: &mut Option<Pin<Box<Open>>>, wait: impl Future<Output = T>) -> T {
    let mut wait = pin!(wait);
    poll_fn(|context| {
        // How it ended is told to whoever waits for an answer on it.
        if let Some(open) = connection
            && open.as_mut().poll(context).is_ready()
        {
            *connection = None;
        }
        wait.as_mut().poll(context)
    })
    .await
}
