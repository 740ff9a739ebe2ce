//! A target that answers each request with any bytes, or not at all. It can stop, and start again at the same address.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::support::eventually;

/// A request that a target got.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    /// The first line and the headers, as they came.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    pub(crate) at: Instant,
    /// How many requests were in progress, including this one.
    pub(crate) parallel: usize,
}

impl Got {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// A field of the body.
    pub(crate) fn text(&self, field: &str) -> String {
        let body: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        body[field].as_str().unwrap_or_default().to_owned()
    }
}

/// What a target does with a request, which was preceded by this many. After an error, it closes the connection.
pub(crate) type Deed = Arc<dyn Fn(&Got, usize, &mut TcpStream) -> io::Result<()> + Send + Sync>;

/// A target. It stops when it is dropped.
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    got: Mutex<Vec<Got>>,
    deed: Mutex<Deed>,
    /// By the other end.
    streams: Mutex<HashMap<SocketAddr, TcpStream>>,
    stops: AtomicBool,
    parallel: AtomicUsize,
}

impl Target {
    pub(crate) fn start(deed: Deed) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), deed)
    }

    pub(crate) fn start_at(address: SocketAddr, deed: Deed) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let shared = Arc::new(Shared {
            got: Mutex::default(),
            deed: Mutex::new(deed),
            streams: Mutex::default(),
            stops: AtomicBool::new(false),
            parallel: AtomicUsize::new(0),
        });
        let accepting = Arc::clone(&shared);
        Self { address, shared, thread: Some(thread::spawn(move || accept(&listener, &accepting))) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/callback", self.address)
    }

    /// What it got so far.
    pub(crate) fn got(&self) -> Vec<Got> {
        self.shared.got.lock().unwrap().clone()
    }

    /// Waits until it has got this many requests.
    pub(crate) fn wait_for(&self, count: usize) -> Vec<Got> {
        eventually(&format!("{count} requests"), || self.shared.got.lock().unwrap().len() >= count);
        self.got()
    }

    /// Does something else from now on.
    pub(crate) fn set(&self, deed: Deed) {
        *self.shared.deed.lock().unwrap() = deed;
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.shared.stops.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
        for stream in self.shared.streams.lock().unwrap().values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    while !shared.stops.load(Ordering::Relaxed) {
        let Ok((stream, peer)) = listener.accept() else {
            thread::sleep(Duration::from_millis(2));
            continue;
        };
        stream.set_nonblocking(false).unwrap();
        stream.set_nodelay(true).unwrap();
        shared.streams.lock().unwrap().insert(peer, stream.try_clone().unwrap());
        let shared = Arc::clone(shared);
        thread::spawn(move || serve(stream, peer, &shared));
    }
}

fn serve(mut stream: TcpStream, peer: SocketAddr, shared: &Shared) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    while let Ok((head, body)) = read(&mut reader) {
        let parallel = shared.parallel.fetch_add(1, Ordering::Relaxed) + 1;
        let request = Got { head, body, at: Instant::now(), parallel };
        let before = {
            let mut got = shared.got.lock().unwrap();
            got.push(request.clone());
            got.len() - 1
        };
        let deed = Arc::clone(&shared.deed.lock().unwrap());
        let done = deed(&request, before, &mut stream);
        shared.parallel.fetch_sub(1, Ordering::Relaxed);
        if done.is_err() {
            // The connection ends with its last copy.
            shared.streams.lock().unwrap().remove(&peer);
            return;
        }
    }
}

fn read(reader: &mut impl BufRead) -> io::Result<(String, Vec<u8>)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap().parse().unwrap();
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok((head, body))
}

/// The bytes of an answer.
pub(crate) fn answer(status: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\n{{}}")
}

/// Writes these bytes.
pub(crate) fn writes(bytes: impl Into<Vec<u8>>) -> Deed {
    let bytes = bytes.into();
    Arc::new(move |_, _, stream| stream.write_all(&bytes))
}

pub(crate) fn accepts() -> Deed {
    writes(answer("200 OK"))
}

/// Does something with the first request, and accepts the others.
pub(crate) fn at_first(deed: Deed) -> Deed {
    let then = accepts();
    Arc::new(move |got, before, stream| if before == 0 { deed(got, before, stream) } else { then(got, before, stream) })
}

/// Does something, and then closes the connection.
pub(crate) fn and_closes(deed: Deed) -> Deed {
    Arc::new(move |got, before, stream| {
        deed(got, before, stream)?;
        Err(io::ErrorKind::Other.into())
    })
}

/// Does something after a pause.
pub(crate) fn after(pause: Duration, deed: Deed) -> Deed {
    Arc::new(move |got, before, stream| {
        thread::sleep(pause);
        deed(got, before, stream)
    })
}
