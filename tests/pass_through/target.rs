//! A target that answers with any bytes, or not at all.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use socket2::SockRef;

/// A request that a target got.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    pub(crate) uri: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// The number of its connection.
    pub(crate) connection: usize,
}

impl Got {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

/// What a target does with a request. After an error, it closes the connection.
pub(crate) type Deed = Box<dyn Fn(&mut TcpStream) -> io::Result<()> + Send + Sync>;

/// A target. Its thread ends with the test.
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    got: Arc<Mutex<Vec<Got>>>,
    closed: Arc<AtomicUsize>,
    deed: Arc<Mutex<Arc<Deed>>>,
}

impl Target {
    pub(crate) fn start(deed: Deed) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let got = Arc::new(Mutex::new(Vec::new()));
        let deed = Arc::new(Mutex::new(Arc::new(deed)));
        let closed = Arc::new(AtomicUsize::new(0));
        let (seen, deeds, ended) = (Arc::clone(&got), Arc::clone(&deed), Arc::clone(&closed));
        thread::spawn(move || {
            for (connection, stream) in listener.incoming().enumerate() {
                let (seen, deeds, ended) = (Arc::clone(&seen), Arc::clone(&deeds), Arc::clone(&ended));
                thread::spawn(move || {
                    serve(stream.unwrap(), connection, &seen, &deeds);
                    ended.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, got, closed, deed }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/callback", self.address)
    }

    /// What it got so far.
    pub(crate) fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }

    /// How many connections have ended.
    pub(crate) fn closed(&self) -> usize {
        self.closed.load(Ordering::SeqCst)
    }

    /// Does something else from now on.
    pub(crate) fn set(&self, deed: Deed) {
        *self.deed.lock().unwrap() = Arc::new(deed);
    }
}

fn serve(stream: TcpStream, connection: usize, got: &Mutex<Vec<Got>>, deed: &Mutex<Arc<Deed>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    while let Ok(request) = read(&mut reader, connection) {
        got.lock().unwrap().push(request);
        let deed = Arc::clone(&deed.lock().unwrap());
        if deed(&mut stream).is_err() {
            return;
        }
    }
}

fn read(reader: &mut impl BufRead, connection: usize) -> io::Result<Got> {
    let mut line = || {
        let mut line = String::new();
        match reader.read_line(&mut line)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(line.trim_end().to_owned()),
        }
    };
    let uri = line()?.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut headers = Vec::new();
    loop {
        let line: io::Result<String> = line();
        match line?.split_once(": ") {
            Some((name, value)) => headers.push((name.to_ascii_lowercase(), value.to_owned())),
            None => break,
        }
    }
    let length = headers.iter().find(|(name, _)| name == "content-length").map_or(0, |(_, len)| len.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Got { uri, headers, body, connection })
}

/// Answers with this status, content type and body.
pub(crate) fn answers(status: &str, content_type: &str, body: &[u8]) -> Deed {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nX-Other: 1\r\nLocation: /x\r\nContent-Length: {length}\r\n\r\n"
    );
    writes([head.as_bytes(), body].concat())
}

/// The answer that lets the action go on, recognizable by a field that OpenIM ignores.
pub(crate) const ALLOWED: &[u8] = br#"{"actionCode":0,"errCode":0,"errMsg":"","errDlt":"","nextCode":0,"of":"target"}"#;

pub(crate) fn allows() -> Deed {
    answers("200 OK", "application/json", ALLOWED)
}

/// Writes these bytes.
pub(crate) fn writes(bytes: impl Into<Vec<u8>>) -> Deed {
    let bytes = bytes.into();
    Box::new(move |stream| stream.write_all(&bytes))
}

/// Does something once the sender is dropped.
pub(crate) fn held(deed: Deed) -> (Sender<()>, Deed) {
    let (gate, held) = channel();
    let held = Mutex::new(held);
    let deed: Deed = Box::new(move |stream| {
        let _ = held.lock().unwrap().recv();
        deed(stream)
    });
    (gate, deed)
}

/// Does something, and then closes the connection.
pub(crate) fn and_closes(deed: Deed) -> Deed {
    Box::new(move |stream| {
        deed(stream)?;
        Err(io::ErrorKind::Other.into())
    })
}

pub(crate) fn resets() -> Deed {
    Box::new(|stream| {
        SockRef::from(&*stream).set_linger(Some(Duration::ZERO))?;
        Err(io::ErrorKind::Other.into())
    })
}

/// Answers nothing until the client gives up.
pub(crate) fn is_silent() -> Deed {
    is_late(and_closes(writes("")))
}

/// Does something when the client has given up, or sends the next request.
pub(crate) fn is_late(deed: Deed) -> Deed {
    Box::new(move |stream| {
        let _ = stream.read(&mut [0]);
        deed(stream)
    })
}

/// A body of 100 MiB, with or without its length in the head, in such pieces.
pub(crate) fn answers_at_length(head: &'static str, piece: Vec<u8>) -> Deed {
    Box::new(move |stream| {
        stream.write_all(head.as_bytes())?;
        for _ in 0..(100 << 20) / piece.len() {
            stream.write_all(&piece)?;
        }
        Ok(())
    })
}
