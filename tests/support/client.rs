//! A plain HTTP/1.1 client, because the tests send requests that no HTTP library would.

use std::io::{self, Read, Write};
use std::iter;
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;

use socket2::{Domain, Socket, Type};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::PATIENCE;

/// An answer.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// In the order of the answer, with names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Checks that this is a refusal in OpenIM's format with this status. Its codes are those of a refusal, or all 0
    /// (tests/answers tests which). Returns `errMsg` and `errDlt`.
    pub(crate) fn refusal(&self, status: u16) -> (String, String) {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("content-type"), Some("application/json"), "{self:?}");
        let answer = self.json();
        let text = |field: &str| answer[field].as_str().unwrap_or_else(|| panic!("no {field}: {answer}")).to_owned();
        let (message, detail) = (text("errMsg"), text("errDlt"));
        assert!(!message.is_empty() && !detail.is_empty(), "{answer}");
        let (action_code, err_code) = if answer["actionCode"] == 0 { (0, 0) } else { (1, status) };
        let all = serde_json::json!({
            "actionCode": action_code, "errCode": err_code, "errMsg": message, "errDlt": detail, "nextCode": 0
        });
        assert_eq!(answer, all);
        (message, detail)
    }

    /// Whether the server announces that it closes the connection.
    pub(crate) fn closes(&self) -> bool {
        self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

/// A byte stream, with or without TLS.
trait Wire: Read + Write + Send {}

impl<W: Read + Write + Send> Wire for W {}

/// A connection.
pub(crate) struct Client {
    stream: Box<dyn Wire>,
    /// The socket below it.
    socket: TcpStream,
    /// Bytes that were read after the last answer.
    read: Vec<u8>,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> io::Result<Self> {
        Self::from_socket(Self::socket(address)?)
    }

    /// Connects from a local address.
    pub(crate) fn connect_from(server: SocketAddr, source: IpAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(server), Type::STREAM, None)?;
        socket.bind(&SocketAddr::new(source, 0).into())?;
        socket.connect(&server.into())?;
        Self::from_socket(socket.into())
    }

    /// Uses an existing connection.
    pub(crate) fn from_socket(socket: TcpStream) -> io::Result<Self> {
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream: Box::new(socket.try_clone()?), socket, read: Vec::new() })
    }

    /// Connects with TLS to a server called `localhost`.
    pub(crate) fn connect_secure(address: SocketAddr, config: &Arc<ClientConfig>) -> io::Result<Self> {
        let socket = Self::socket(address)?;
        let name = "localhost".try_into().unwrap();
        let mut tls = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
        let mut stream = socket.try_clone()?;
        while tls.is_handshaking() {
            tls.complete_io(&mut stream)?;
        }
        Ok(Self { stream: Box::new(StreamOwned::new(tls, stream)), socket, read: Vec::new() })
    }

    fn socket(address: SocketAddr) -> io::Result<TcpStream> {
        let socket = TcpStream::connect_timeout(&address, PATIENCE)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        socket.set_nodelay(true)?;
        Ok(socket)
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())?;
        self.stream.flush()
    }

    /// Sends bytes that bypass TLS.
    pub(crate) fn send_below(&self, bytes: &[u8]) {
        (&self.socket).write_all(bytes).unwrap();
    }

    /// Posts a body like OpenIM, leaves the connection open, and reads the answer.
    pub(crate) fn post(&mut self, path: &str, body: impl AsRef<[u8]>) -> Response {
        self.send(post_bytes(path, "", body.as_ref())).unwrap();
        self.answer()
    }

    /// Shuts down the sending side; answers can still be read.
    pub(crate) fn end_of_sending(&self) {
        self.socket.shutdown(Shutdown::Write).unwrap();
    }

    /// Reads one answer, and panics without one.
    pub(crate) fn answer(&mut self) -> Response {
        self.try_answer().unwrap_or_else(|error| panic!("no answer: {error}"))
    }

    /// Reads one answer.
    pub(crate) fn try_answer(&mut self) -> io::Result<Response> {
        self.answer_to("")
    }

    /// Reads the answer to a `HEAD`, which has no body even if it declares a length.
    pub(crate) fn answer_to_head(&mut self) -> Response {
        self.answer_to("HEAD").unwrap()
    }

    fn answer_to(&mut self, method: &str) -> io::Result<Response> {
        let (status, headers) = parse_head(&self.head()?);
        let length = headers.iter().find(|(name, _)| name == "content-length").map(|(_, value)| value.parse().unwrap());
        let mut response = Response { status, headers, body: Vec::new() };
        if method == "HEAD" || status < 200 || status == 204 || status == 304 {
            return Ok(response);
        }
        response.body = match length {
            Some(length) => self.exactly(length)?,
            None if response.header("transfer-encoding") == Some("chunked") => self.chunks()?,
            None => panic!("an answer without a length: {response:?}"),
        };
        Ok(response)
    }

    fn head(&mut self) -> io::Result<String> {
        self.up_to("\r\n\r\n")
    }

    /// A reassembled chunked body.
    fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let chunk = self.chunk()?;
            if chunk.is_empty() {
                return Ok(body);
            }
            body.extend(chunk);
        }
    }

    /// The next chunk of a body; empty at its end.
    pub(crate) fn chunk(&mut self) -> io::Result<Vec<u8>> {
        let length = self.up_to("\r\n")?;
        let length = usize::from_str_radix(length.trim_end(), 16).unwrap_or_else(|_| panic!("{length:?}"));
        let chunk = self.exactly(length)?;
        assert_eq!(self.exactly(2)?, b"\r\n");
        Ok(chunk)
    }

    /// The next event of a stream. Skips heartbeats, which the exporter sends if a busy machine delays an event.
    pub(crate) fn event(&mut self) -> io::Result<String> {
        for _ in 0..10 {
            let chunk = String::from_utf8(self.chunk()?).unwrap();
            if chunk != ":\n\n" {
                return Ok(chunk);
            }
        }
        panic!("only heartbeats");
    }

    fn exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.read.len() < length {
            self.read_more()?;
        }
        Ok(self.read.drain(..length).collect())
    }

    fn up_to(&mut self, end: &str) -> io::Result<String> {
        loop {
            if let Some(at) = self.read.windows(end.len()).position(|bytes| bytes == end.as_bytes()) {
                let found = self.exactly(at + end.len())?;
                return Ok(String::from_utf8(found).unwrap());
            }
            self.read_more()?;
        }
    }

    /// The next bytes, up to this many; none at the end.
    pub(crate) fn some(&mut self, bytes: usize) -> io::Result<Vec<u8>> {
        let mut buffer = vec![0; bytes];
        let len = self.stream.read(&mut buffer)?;
        buffer.truncate(len);
        Ok(buffer)
    }

    /// The bytes that come, until they meet the condition.
    pub(crate) fn read_until(&mut self, are_so: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        let mut came = Vec::new();
        while !are_so(&came) {
            let more = self.some(1000).unwrap();
            assert!(!more.is_empty(), "closed after {came:?}");
            came.extend(more);
        }
        came
    }

    /// Reads and discards a chunked body, this many bytes at a time with a pause after each. The body must be complete.
    pub(crate) fn drink(&mut self, bytes: usize, mut pause: impl FnMut()) {
        const END: &[u8] = b"\r\n0\r\n\r\n";
        let mut last = Vec::new();
        while !last.ends_with(END) {
            last.drain(..last.len().saturating_sub(END.len()));
            while last.len() < bytes && !last.ends_with(END) {
                let more = self.some(bytes).unwrap();
                assert!(!more.is_empty(), "cut off");
                last.extend(more);
            }
            pause();
        }
    }

    fn read_more(&mut self) -> io::Result<()> {
        let mut buffer = [0; 65_536];
        match self.stream.read(&mut buffer)? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("closed after {:?}", self.text()))),
            len => {
                self.read.extend_from_slice(&buffer[..len]);
                Ok(())
            }
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.read).into_owned()
    }

    /// Everything until the server closes or resets the connection.
    pub(crate) fn rest(&mut self) -> String {
        let end = iter::repeat_with(|| self.read_more()).find_map(Result::err).unwrap();
        assert_ne!(end.kind(), io::ErrorKind::WouldBlock, "the connection stays open: {}", self.text());
        self.text()
    }

    /// Whether the server has closed the connection, without waiting. Received bytes are kept.
    pub(crate) fn is_closed(&mut self) -> bool {
        self.socket.set_nonblocking(true).unwrap();
        let read = self.read_more();
        self.socket.set_nonblocking(false).unwrap();
        read.is_err_and(|error| error.kind() != io::ErrorKind::WouldBlock)
    }
}

fn parse_head(head: &str) -> (u16, Vec<(String, String)>) {
    let mut lines = head.trim_end().split("\r\n");
    let first = lines.next().unwrap();
    let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.unwrap_or_else(|| panic!("not a status line: {first:?}"));
    let header = |line: &str| {
        let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("not a header: {line:?}"));
        (name.to_ascii_lowercase(), value.trim().to_owned())
    };
    (status, lines.map(header).collect())
}

/// A request that posts a body with OpenIM's headers and these (each ends with CR and LF).
pub(crate) fn post_bytes(path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: 127.0.0.1:10006\r\nUser-Agent: Go-http-client/1.1\r\nContent-Length: {}\r\n\
         Content-Type: application/json; charset=utf-8\r\nOperationid: op-1\r\nAccept-Encoding: gzip\r\n{headers}\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}
