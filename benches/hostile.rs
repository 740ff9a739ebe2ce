//! Latency for OpenIM while other clients keep connections open, send very slowly, or send more than the machine can
//! handle.

#![allow(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "a benchmark may panic")]

mod support;

use std::future::pending;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use openim_exporter::config::simulate::Until;
use openim_exporter::simulate;
use socket2::{Domain, Socket, Type};
use support::server::{Load, Server, options, send};
use support::{Failure, median, ratio, resident_bytes, verdict};

const ROUNDS: usize = 7;
const LOAD: Load = Load { connections: 2, callbacks: 20_000, groups: 1000, senders: 10_000, seed: 0 };
const IDLE: usize = 10_000;
const IDLE_OF_AN_ADDRESS: usize = 2000;
const SLOW: usize = 1000;
/// Connections that an address opens in addition to `IDLE_OF_AN_ADDRESS`. The limit allows 500 of them.
const TOO_MANY: usize = 1000;
const TURNED_AWAY: u64 = 500;
const LIMITS: [&str; 4] = ["--web.max-connections", "12000", "--web.max-connections-per-address", "2500"];
const OVERLOAD: Duration = Duration::from_secs(60);
const OVERLOAD_CONNECTIONS: usize = 1000;
const PER_ADDRESS: &str = "too_many_connections_per_address";
/// Maximum resident memory per connection.
const BYTES_PER_CONNECTION: f64 = 32.0 * 1024.0;

fn main() -> Result<(), Failure> {
    rlimit::increase_nofile_limit(u64::MAX)?;
    let mut out = std::io::stdout();
    held(&mut out)?;
    overloaded(&mut out)
}

fn exporter() -> Result<Server, Failure> {
    Server::exporter("openim-exporter", &LIMITS)
}

fn p99(server: &Server, round: usize) -> Result<f64, Failure> {
    Ok(send(&server.target, Load { seed: round as u64, ..LOAD })?.answer_seconds.p99 * 1e6)
}

/// Compares an exporter with slow and idle connections with one without, in turn.
fn held(out: &mut impl Write) -> Result<(), Failure> {
    let (free, besieged) = (exporter()?, exporter()?);
    [&free, &besieged].into_iter().try_for_each(|server| p99(server, 0).map(drop))?;
    let before = resident_bytes(besieged.process.id())?;
    let idle = (0..IDLE)
        .map(|number| connect(besieged.target.port, 1 + number / IDLE_OF_AN_ADDRESS))
        .collect::<Result<Vec<_>, _>>()?;
    let done = AtomicBool::new(false);
    let ended = AtomicU64::new(0);
    let mut taken: [Vec<f64>; 2] = Default::default();
    let resident = thread::scope(|scope| -> Result<u64, Failure> {
        scope.spawn(|| dribble(besieged.target.port, &done, &ended));
        // Each slow connection has sent something, and none has timed out yet.
        thread::sleep(Duration::from_secs(2));
        let resident = resident_bytes(besieged.process.id());
        for round in 1..=ROUNDS {
            let order: [usize; 2] = if round % 2 == 0 { [0, 1] } else { [1, 0] };
            for which in order {
                let measured = p99([&free, &besieged][which], round);
                if measured.is_err() {
                    done.store(true, Ordering::Relaxed);
                }
                taken[which].push(measured?);
            }
        }
        done.store(true, Ordering::Relaxed);
        resident
    })?;
    let refused = (0..TOO_MANY).map(|_| connect(besieged.target.port, 1)).collect::<Result<Vec<_>, _>>()?;
    let turned_away = rejected(&besieged, PER_ADDRESS)?;
    drop((refused, idle));
    let each = resident.saturating_sub(before) as f64 / (IDLE + SLOW) as f64;
    writeln!(out, "\n## {SLOW} slow and {IDLE} idle connections: {ROUNDS} rounds of {} callbacks\n", LOAD.callbacks)?;
    writeln!(out, "| | latency p99, µs |\n|---|---|")?;
    writeln!(out, "| without them | {:.0} |", median(taken[0].iter().copied()))?;
    writeln!(out, "| with them | {:.0} |\n", median(taken[1].iter().copied()))?;
    writeln!(out, "- p99 with them, compared with without: {}", verdict(ratio(&taken[1], &taken[0]), 2.0))?;
    writeln!(
        out,
        "- memory per connection, KiB: {:.1} (maximum {:.0}): {}",
        each / 1024.0,
        BYTES_PER_CONNECTION / 1024.0,
        if each <= BYTES_PER_CONNECTION { "kept" } else { "MISSED" }
    )?;
    writeln!(out, "- 408 responses that the slow clients received: {}", ended.load(Ordering::Relaxed))?;
    shown(out, &besieged, &["header_timeout", PER_ADDRESS])?;
    if turned_away == TURNED_AWAY {
        Ok(())
    } else {
        Err("the limit of connections per address was not enforced".into())
    }
}

/// A connection from one of this machine's loopback addresses.
fn connect(port: u16, host: usize) -> Result<TcpStream, Failure> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    let from = Ipv4Addr::new(127, 0, 1, u8::try_from(host)?);
    socket.bind(&SocketAddr::new(IpAddr::V4(from), 0).into())?;
    socket.connect(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
    Ok(socket.into())
}

/// Sends one byte of a head per second over many connections, and opens a new one when one is closed.
fn dribble(port: u16, done: &AtomicBool, ended: &AtomicU64) {
    let open = || {
        let mut stream = connect(port, 9).ok()?;
        stream.set_nonblocking(true).ok()?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nx-slow: ").ok()?;
        Some(stream)
    };
    let mut slow: Vec<Option<TcpStream>> = (0..SLOW).map(|_| open()).collect();
    while !done.load(Ordering::Relaxed) {
        let begin = Instant::now();
        for connection in &mut slow {
            let goes_on = connection.as_mut().is_some_and(|stream| {
                let answer = stream.read(&mut [0; 512]);
                let is_ended = matches!(answer, Ok(1..));
                ended.fetch_add(u64::from(is_ended), Ordering::Relaxed);
                answer.is_err() && stream.write_all(b"x").is_ok()
            });
            if !goes_on {
                *connection = open();
            }
        }
        thread::sleep(Duration::from_secs(1).saturating_sub(begin.elapsed()));
    }
}

/// Sends five times the maximum rate for a minute.
fn overloaded(out: &mut impl Write) -> Result<(), Failure> {
    let server = exporter()?;
    let normal: Vec<f64> = (0..=ROUNDS).map(|round| p99(&server, round)).collect::<Result<_, _>>()?;
    let most = send(&server.target, Load { connections: 16, callbacks: 100_000, ..LOAD })?;
    let before = (resident_bytes(server.process.id())?, total(&server)?);
    let mut flood = options(&server.target, Load { connections: OVERLOAD_CONNECTIONS, ..LOAD });
    flood.rate = Some(5.0 * most.answered_per_second);
    flood.until = Until::Elapsed(OVERLOAD);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut peak = before.0;
    let report = runtime.block_on(simulate::run(&flood, pending(), |_| {
        peak = peak.max(resident_bytes(server.process.id()).unwrap_or_default());
    }))?;
    let after: Vec<f64> = (0..=ROUNDS).map(|round| p99(&server, round)).collect::<Result<_, _>>()?;
    let counted = total(&server)? - before.1 - (ROUNDS as u64 + 1) * LOAD.callbacks;
    writeln!(
        out,
        "\n## {OVERLOAD_CONNECTIONS} connections that send five times the maximum rate, for {} s\n",
        OVERLOAD.as_secs()
    )?;
    writeln!(out, "| | |\n|---|---|")?;
    writeln!(out, "| maximum over 16 connections, callbacks per second | {:.0} |", most.answered_per_second)?;
    writeln!(out, "| sent, callbacks per second | {:.0} |", 5.0 * most.answered_per_second)?;
    writeln!(out, "| answered | {} |", report.answered)?;
    writeln!(out, "| failed | {} |", report.sent - report.answered)?;
    writeln!(out, "| counted | {counted} |")?;
    writeln!(out, "| latency p99 meanwhile, ms | {:.1} |", report.answer_seconds.p99 * 1e3)?;
    writeln!(out, "| memory before and maximum, MiB | {:.1}, {:.1} |", mebibytes(before.0), mebibytes(peak))?;
    writeln!(out, "\n- p99 afterwards, compared with before: {}", verdict(ratio(&after[1..], &normal[1..]), 1.5))?;
    let agrees = counted == report.answered;
    writeln!(out, "- every callback answered with 200 was counted: {}", if agrees { "yes" } else { "NO" })?;
    shown(out, &server, &["overloaded", "too_many_connections"])?;
    if agrees { Ok(()) } else { Err("the counted callbacks differ from the answered ones".into()) }
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn shown(out: &mut impl Write, server: &Server, reasons: &[&str]) -> Result<(), Failure> {
    for reason in reasons {
        writeln!(out, "- rejected, `{reason}`: {}", rejected(server, reason)?)?;
    }
    Ok(())
}

/// The number of refusals for a reason.
fn rejected(server: &Server, reason: &str) -> Result<u64, Failure> {
    let metrics = scrape(server)?;
    let name = format!("openim_exporter_callbacks_rejected_total{{reason=\"{reason}\"}} ");
    let value = metrics.lines().find_map(|line| line.strip_prefix(&name)).ok_or("no such counter")?;
    Ok(value.parse()?)
}

/// Messages counted.
fn total(server: &Server) -> Result<u64, Failure> {
    let metrics = scrape(server)?;
    let series = metrics.lines().filter(|line| line.starts_with("openim_group_messages_total{"));
    let values = series.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
    Ok(values.sum())
}

fn scrape(server: &Server) -> Result<String, Failure> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, server.target.port))?;
    stream.write_all(b"GET /metrics HTTP/1.0\r\nhost: x\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}
