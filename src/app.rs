//! The composition root: builds the parts, runs them, and shuts them down in order.

mod error;
mod outputs;
mod replicas;
mod settings;
mod signals;
mod spool;
mod state;

use std::env;
use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use listenfd::ListenFd;
use tokio::runtime;

use crate::config::forward::{Forward, Target};
use crate::config::healthcheck::Healthcheck;
use crate::config::simulate::Simulate;
use crate::config::{Config, Invocation, unknown_variables};
use crate::domain::{Clock, SystemClock};
use crate::healthcheck;
use crate::http::{Access, Limits, Listener, Role, Site, Worker, WorkerEnd, listen};
use crate::replicas::Link;
use crate::simulate;
use crate::telemetry::{Telemetry, init_log};
use error::Error;
use outputs::Outputs;
use settings::Reloader;
use signals::{Signals, survive_file_size};
use state::Watcher;

/// Time between two sweeps over the connections while draining: shorter than otherwise, because less time is left.
const SWEEP_DRAINING: Duration = Duration::from_millis(20);

/// How long the exit waits, at most, for the last lines of the log to be written.
const MAX_LOG_FLUSH: Duration = Duration::from_secs(1);

/// The same if the drain took all its time: enough for a reader that does not hang.
const MIN_LOG_FLUSH: Duration = Duration::from_millis(100);

/// The exit status after an invalid command line.
const USAGE: u8 = 2;

/// Address space without connections: the program, the state with the default limits, and what the allocator reserves for
/// each thread.
const BASE_BYTES: u64 = 1 << 30;

/// The most that a connection needs: docs/limits.md.
const BYTES_PER_CONNECTION: u64 = 85 * 1024;

/// Runs the command of the command line.
#[must_use]
pub fn run(invocation: Result<Invocation, clap::Error>) -> ExitCode {
    match invocation {
        Ok(Invocation::Serve(config)) => serve(&config),
        Ok(Invocation::CheckConfig(config)) => check(&config),
        Ok(Invocation::Simulate(options)) => simulate(&options),
        Ok(Invocation::Healthcheck(settings)) => healthcheck(&settings),
        Ok(Invocation::State(command)) => {
            survive_file_size();
            match state::run(&command, &mut io::stdout().lock()) {
                Ok(()) => ExitCode::SUCCESS,
                // The reader has seen enough, as `head` does.
                Err(state::Error::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
                Err(error) => fail(&error, 1),
            }
        }
        Ok(Invocation::Spool(command)) => {
            survive_file_size();
            match spool::run(&command, &mut io::stdout().lock()) {
                Ok(()) => ExitCode::SUCCESS,
                // The reader has seen enough, as `head` does.
                Err(spool::Error::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
                Err(error) => fail(&error, 1),
            }
        }
        // Also the help and the version, which go to standard output.
        Err(error) => {
            let _ = error.print();
            ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(USAGE))
        }
    }
}

/// Checks the settings, including those in files, and prints them.
fn check(config: &Config) -> ExitCode {
    for (name, nearest) in unknown_variables(variables()) {
        let advice = nearest.map_or_else(String::new, |nearest| format!("; did you mean {nearest}?"));
        let _ = writeln!(io::stderr(), "openim-exporter: warning: {name} sets no flag{advice}");
    }
    let access = Access::read(&config.http);
    let access = access.and_then(|access| access.check_validity(SystemClock.now()).map(|()| access));
    match access
        .map_err(Error::from)
        .and_then(|access| Link::new(&config.replicas).map(|_| access).map_err(Error::from))
    {
        Ok(access) => print(&format!("the configuration is valid\n{}{}", config.describe(), list(access.forward()))),
        Err(error) => fail(&error, USAGE),
    }
}

/// The targets of callbacks, one on each line.
fn list(forward: &Forward) -> String {
    let line = |target: &Arc<Target>| {
        let (host, answers) = (target.url.authority(), target.answers.is_some());
        format!("target {}: host={host} answers={answers}\n", target.name)
    };
    forward.targets.iter().map(line).collect()
}

/// The names of the environment variables.
fn variables() -> impl Iterator<Item = String> {
    env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned())
}

fn print(text: &str) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn fail(error: &dyn Display, status: u8) -> ExitCode {
    // If standard error is closed, the exit status has to suffice.
    let _ = writeln!(io::stderr(), "openim-exporter: {error}");
    ExitCode::from(status)
}

fn simulate(options: &Simulate) -> ExitCode {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(simulate::Error::Runtime);
    match runtime.and_then(|runtime| runtime.block_on(simulate::command(options))) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => fail(&error, 1),
    }
}

fn healthcheck(settings: &Healthcheck) -> ExitCode {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(healthcheck::Error::Runtime);
    match runtime.and_then(|runtime| runtime.block_on(healthcheck::check(settings))) {
        Ok(answer) => print(&format!("{answer}\n")),
        Err(error) => fail(&error, 1),
    }
}

fn serve(config: &Config) -> ExitCode {
    let telemetry = Arc::new(Telemetry::default());
    let log = match init_log(config.log.level, config.log.format, &telemetry) {
        Ok(log) => log,
        Err(error) => return fail(&Error::Thread("log", error), 1),
    };
    match serve_until_signal(config, &telemetry) {
        Ok(deadline) => {
            log.flush(deadline.saturating_duration_since(Instant::now()).clamp(MIN_LOG_FLUSH, MAX_LOG_FLUSH));
            ExitCode::SUCCESS
        }
        Err(error) => {
            telemetry.failed(&error);
            log.flush(MAX_LOG_FLUSH);
            ExitCode::FAILURE
        }
    }
}

/// Listens, opens the state, builds the site, serves and ticks until a signal, drains, closes. Returns the deadline of
/// the drain.
fn serve_until_signal(config: &Config, telemetry: &Arc<Telemetry>) -> Result<Instant, Error> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    for (name, nearest) in unknown_variables(variables()) {
        telemetry.unknown_variable(&name, nearest.as_deref());
    }
    // Before the rest, because from the next step on a signal must not just kill the process.
    let mut signals = Signals::catch().map_err(Error::Signals)?;
    // Before the state, so that a port in use leaves it unchanged. Clients that connect meanwhile wait.
    let access = Access::read(&config.http)?;
    let link = Link::new(&config.replicas)?;
    let listeners = listeners(config, telemetry)?;
    raise_open_file_limit(telemetry, config.http.max_connections);
    check_address_space(telemetry, config);
    let stats = Arc::new(state::open(&config.stats, clock.as_ref(), telemetry)?);
    let outputs = Outputs::start(config, &access, (telemetry, &clock)).inspect_err(|_| stats.abandon())?;

    let threads = thread::available_parallelism().map_or(1, usize::from);
    let (limits, parts) = (Limits::default(), (Arc::clone(&stats), Arc::clone(telemetry), Arc::clone(&clock)));
    let mut site = Site::new(parts, config.http.clone(), access, limits, threads);
    if !config.telemetry_listen.is_empty() {
        site.set_callback_port(listeners.first().and_then(|first| first.address().ok()).map(|first| first.port()));
    }
    outputs.give_to(&mut site);
    let site = Arc::new(site);
    let prepare = || {
        let addresses =
            listeners.iter().map(Listener::address).collect::<io::Result<Vec<_>>>().map_err(Error::Address)?;
        let reloader = Reloader::start(&site).map_err(|error| Error::Thread("settings", error))?;
        let live = publish_live(&site).map_err(|error| Error::Thread("live", error))?;
        let workers = Worker::create_all(&site, listeners).map_err(Error::Runtimes)?;
        let watcher = Watcher::start(&stats, telemetry).map_err(|error| Error::Thread("state", error))?;
        let replicas = replicas::start(link, &config.replicas, &stats, (telemetry, &clock))?;
        Ok((addresses, reloader, live, workers, watcher, replicas))
    };
    // Nothing has been counted yet: the state stays as it was.
    let (addresses, reloader, live, workers, watcher, replicas) = prepare().inspect_err(|_: &Error| stats.abandon())?;
    addresses.into_iter().for_each(|address| telemetry.serving(address, threads));
    let workers = spawn(workers).map_err(|error| Error::Thread("serve", error))?;

    let has_ended = || workers.iter().any(JoinHandle::is_finished);
    let delay = config.drain_delay;
    let Some(signal) = signals.wait(&site, &reloader, delay, (|| stats.tick(clock.now()), has_ended)) else {
        join(workers.into_iter().filter(JoinHandle::is_finished).collect())?;
        return Err(Error::ServerEnded);
    };

    telemetry.draining(signal);
    site.drain();
    let deadline = Instant::now() + limits.drain;
    let have_ended = || workers.iter().all(JoinHandle::is_finished);
    while !have_ended() && Instant::now() < deadline {
        site.sweep();
        thread::sleep(SWEEP_DRAINING);
    }
    site.end();
    telemetry.drained(join(workers)?);
    // Nothing is counted, forwarded or recorded any more.
    outputs.stop(deadline);
    if let Some(replicas) = replicas {
        replicas.stop(deadline);
    }
    watcher.stop();
    // The drain has ended this thread, which does not panic.
    let _ = live.join();
    // The history of the last second.
    stats.tick(clock.now());
    stats.close(clock.now(), &|step| state::report(telemetry, &step))?;
    telemetry.stopped(stats.messages(), stats.callbacks().map(|(_, count)| count).sum());
    Ok(deadline)
}

/// The listening sockets of the settings.
fn listeners(config: &Config, telemetry: &Telemetry) -> Result<Vec<Listener>, Error> {
    let role = if config.telemetry_listen.is_empty() { Role::All } else { Role::Callbacks };
    let listen = |addresses: &[_], role| listen(addresses, role).map_err(Error::Listen);
    let mut listeners = if config.systemd_socket { passed_on(role)? } else { listen(&config.listen, role)? };
    if config.systemd_socket && !config.listen.is_empty() {
        let used: Vec<_> = listeners.iter().filter_map(|listener| listener.address().ok()).collect();
        telemetry.listen_address_ignored(&used);
    }
    listeners.extend(listen(&config.telemetry_listen, Role::Telemetry)?);
    Ok(listeners)
}

/// The sockets that systemd, or another service manager with its protocol, passed on.
/// <https://www.freedesktop.org/software/systemd/man/latest/sd_listen_fds.html>
fn passed_on(role: Role) -> Result<Vec<Listener>, Error> {
    let mut passed = ListenFd::from_env();
    let sockets = (0..passed.len()).filter_map(|number| passed.take_tcp_listener(number).transpose());
    let listeners = sockets.map(|socket| Listener::inherited(socket?, role)).collect::<io::Result<Vec<_>>>();
    let listeners = listeners.map_err(Error::Socket)?;
    if listeners.is_empty() { Err(Error::NoSocket) } else { Ok(listeners) }
}

/// Every connection is an open file, and services often start with a limit of 1,024.
fn raise_open_file_limit(telemetry: &Telemetry, connections: usize) {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(most) => telemetry.open_file_limit(most, connections),
        Err(error) => telemetry.open_file_limit_not_raised(&error),
    }
}

/// Warns if the address space may be too small: when an allocation in a library fails, the process ends.
fn check_address_space(telemetry: &Telemetry, config: &Config) {
    let (connections, bodies) = (config.http.max_connections as u64, config.http.max_buffered_bytes as u64);
    let needed = BASE_BYTES + connections * BYTES_PER_CONNECTION + bodies;
    match rlimit::getrlimit(rlimit::Resource::AS) {
        Ok((limit, _)) if limit < needed => telemetry.address_space_limited(limit, needed),
        // Unlimited, or unknown.
        _ => {}
    }
}

/// Publishes the live page's events on a thread of its own.
fn publish_live(site: &Arc<Site>) -> io::Result<JoinHandle<()>> {
    let site = Arc::clone(site);
    thread::Builder::new().name("live".to_owned()).spawn(move || site.publish_live())
}

fn spawn(workers: Vec<Worker>) -> io::Result<Vec<JoinHandle<io::Result<WorkerEnd>>>> {
    let spawn = |(number, worker): (usize, Worker)| {
        thread::Builder::new().name(format!("serve-{number}")).spawn(move || worker.run())
    };
    workers.into_iter().enumerate().map(spawn).collect()
}

fn join(workers: Vec<JoinHandle<io::Result<WorkerEnd>>>) -> Result<usize, Error> {
    let outcomes = workers.into_iter().map(|worker| worker.join().map_err(|_| Error::Panicked));
    outcomes.map(|outcome| Ok(outcome?.map_err(Error::Accept)?.cut_off)).sum()
}
