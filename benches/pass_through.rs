//! How much latency passing a callback through adds to its answer: the same server, asked directly and through the
//! exporter.
//!
//! The senders are plain sockets, one thread each, so that they add as little as possible.

#![allow(clippy::indexing_slicing, clippy::cast_possible_truncation, dead_code, reason = "a benchmark may panic")]

#[path = "support/empty.rs"]
mod empty;
mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use empty::Layout;
use openim_exporter::wire::SUCCESS;
use support::server::Server;
use support::{Failure, median, verdict};

const ROUNDS: usize = 9;
/// Callbacks in a round, and the connections that share them: one user at a time, and several.
const CALLBACKS: usize = 2000;
const CONNECTIONS: [usize; 2] = [1, 8];
/// Between two callbacks, on average: about 1,500 a second.
const PAUSE: Duration = Duration::from_micros(500);

/// The most that may be added at the median and at the 99th percentile, in milliseconds.
const BUDGETS: [f64; 2] = [0.15, 0.5];

/// The argument with which this program is the target.
const SERVE: &str = "serve";

fn main() -> Result<(), Failure> {
    if std::env::args().nth(1).as_deref() == Some(SERVE) {
        return Ok(empty::serve(Layout::Ours.name(), "127.0.0.1:0")?);
    }
    let (_target, direct) = target()?;
    let storage = tempfile::tempdir()?;
    let url = format!("http://127.0.0.1:{direct}");
    let flags = ["--forward.url", &url, "--storage.path", storage.path().to_str().ok_or("no path")?];
    let exporter = Server::exporter("passed through", &flags)?;
    let passed = exporter.target.to_string();
    let passed: u16 = passed.trim_end_matches('/').rsplit(':').next().ok_or("no port")?.parse()?;
    let mut out = std::io::stdout();
    writeln!(out, "\n## Pass-through: {ROUNDS} rounds of {CALLBACKS} callbacks, medians\n")?;
    writeln!(out, "| connections | direct, p50, p99, ms | passed through, p50, p99, ms |\n|---|---|---|")?;
    let mut added = Vec::new();
    for connections in CONNECTIONS {
        let mut taken: [[Vec<f64>; 2]; 2] = Default::default();
        for round in 0..=ROUNDS {
            for turn in 0..2 {
                let position = (round + turn) % 2;
                let times = send([direct, passed][position], connections)?;
                // The first one warms up.
                if round > 0 {
                    (0..2).for_each(|place| taken[position][place].push(times[place]));
                }
            }
        }
        let of = |position: usize, place: usize| median(taken[position][place].iter().copied());
        writeln!(out, "| {connections} | {:.3}, {:.3} | {:.3}, {:.3} |", of(0, 0), of(0, 1), of(1, 0), of(1, 1))?;
        let more = |place: usize| {
            let [direct, passed] = &taken;
            median(passed[place].iter().zip(&direct[place]).map(|(passed, direct)| passed - direct))
        };
        added.push((connections, [more(0), more(1)]));
    }
    writeln!(out)?;
    for (connections, [p50, p99]) in added {
        writeln!(out, "- added with {connections}, p50, ms: {}", verdict(p50, BUDGETS[0]))?;
        writeln!(out, "- added with {connections}, p99, ms: {}", verdict(p99, BUDGETS[1]))?;
    }
    Ok(())
}

/// Killed when dropped.
struct Target(Child);

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The business server, and its port.
fn target() -> Result<(Target, u16), Failure> {
    let mut process = Command::new(std::env::current_exe()?).arg(SERVE).stdout(Stdio::piped()).spawn()?;
    let mut port = String::new();
    BufReader::new(process.stdout.take().ok_or("no output")?).read_line(&mut port)?;
    Ok((Target(process), port.trim().parse()?))
}

/// Sends callbacks over some connections, each with its share of them. Returns the median and the 99th percentile in milliseconds.
fn send(port: u16, connections: usize) -> Result<[f64; 2], Failure> {
    let senders: Vec<_> = (0..connections).map(|_| thread::spawn(move || send_in_turn(port, connections))).collect();
    let mut times = Vec::new();
    for sender in senders {
        times.extend(sender.join().map_err(|_| "a sender panicked")?.map_err(|error| error.to_string())?);
    }
    times.sort_by(f64::total_cmp);
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    Ok([at(50), at(99)])
}

fn send_in_turn(port: u16, connections: usize) -> std::io::Result<Vec<f64>> {
    const COMMAND: &str = "callbackBeforeSendSingleMsgCommand";
    let body = format!(
        "{{\"sendID\":\"5300000729\",\"callbackCommand\":\"{COMMAND}\",\"serverMsgID\":\"1f0e2d3c4b5a69788796a5b4c3d2e1f0\",\
         \"operationID\":\"op\",\"contentType\":101,\"content\":\"{}\",\"recvID\":\"5300000002\"}}\n",
        "x".repeat(500)
    );
    let request = format!(
        "POST /{COMMAND} HTTP/1.1\r\nHost: 127.0.0.1\r\nOperationid: op\r\nContent-Type: application/json; \
         charset=utf-8\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_nodelay(true)?;
    let (mut times, mut buffer) = (Vec::with_capacity(CALLBACKS), [0; 4096]);
    for _ in 0..CALLBACKS / connections {
        let began = Instant::now();
        stream.write_all(request.as_bytes())?;
        let mut read = 0;
        while !buffer[..read].ends_with(SUCCESS.as_bytes()) {
            match stream.read(&mut buffer[read..])? {
                0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                more => read += more,
            }
        }
        times.push(began.elapsed().as_secs_f64() * 1000.0);
        thread::sleep(PAUSE.saturating_mul(u32::try_from(connections).unwrap_or(u32::MAX)));
    }
    Ok(times)
}
