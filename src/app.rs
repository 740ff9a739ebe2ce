//! The composition root: puts the rooms together, runs them, and takes them down in order.

mod settings;
mod state;

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use listenfd::ListenFd;
use tokio::runtime::{self, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::arena;
use crate::config::simulate::Simulate;
use crate::config::{Command, Config, Rejected};
use crate::domain::{Clock, SystemClock};
use crate::exposition::catalog;
use crate::http::{Access, AccessError, Limits, Listener, Role, Site, Worker, WorkerEnd, listen};
use crate::stats::Stats;
use crate::telemetry::{Telemetry, init_log};
use crate::{simulate, wire};
use settings::Reloader;
use state::Keeper;

/// Time between two ticks of the periodic work.
const TICK: Duration = Duration::from_secs(1);

/// Time between two sweeps over the connections.
const SWEEP: Duration = Duration::from_millis(250);

/// The same while draining, when there is less time.
const SWEEP_DRAINING: Duration = Duration::from_millis(20);

/// The exit status of a command line that cannot be used.
const USAGE: u8 = 2;

/// What the process cannot begin or go on without.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    State(#[from] arena::Error),
    #[error(
        "--web.systemd-socket: no socket was passed on; start it by a .socket unit (deploy/), or leave the flag out"
    )]
    NonePassed,
    #[error("--web.systemd-socket: a socket that was passed on is of no use: {0}; it must be a listening TCP socket")]
    Passed(io::Error),
    #[error("{0}")]
    Access(#[from] AccessError),
    #[error("the metrics cannot be registered: {0}")]
    Metrics(#[from] prometheus::Error),
    #[error("a serving thread panicked")]
    Panicked,
    #[error("a serving thread has ended by itself")]
    ServerEnded,
}

/// Does what the command line says.
#[must_use]
pub fn run(command: Result<Command, Rejected>) -> ExitCode {
    match command {
        Ok(Command::Serve(config)) => serve(&config),
        Ok(Command::CheckConfig(config)) => check(&config),
        Ok(Command::Simulate(options)) => simulate(&options),
        Err(Rejected::Value(error)) => complain(&error, USAGE),
        // Prints help and the version too, to where each belongs.
        Err(Rejected::Usage(error)) => {
            let _ = error.print();
            ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(USAGE))
        }
    }
}

/// Says whether the settings can be used, those in files too.
fn check(config: &Config) -> ExitCode {
    match Access::read(&config.http.access).and_then(|access| access.check_validity(SystemClock.now())) {
        Ok(()) => print(&format!("the configuration is valid\n{}", config.describe())),
        Err(error) => complain(&error, USAGE),
    }
}

fn print(text: &str) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn complain(error: &dyn std::fmt::Display, status: u8) -> ExitCode {
    // Where standard error is closed there is nobody to tell.
    let _ = writeln!(io::stderr(), "openim-exporter: {error}");
    ExitCode::from(status)
}

fn simulate(options: &Simulate) -> ExitCode {
    let ran = runtime::Builder::new_current_thread().enable_all().build().map_err(simulate::Error::Print);
    match ran.and_then(|runtime| runtime.block_on(simulate::command(options))) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => complain(&error, 1),
    }
}

fn serve(config: &Config) -> ExitCode {
    if let Err(error) = init_log(config.log.level, config.log.format) {
        return complain(&error, 1);
    }
    let telemetry = match Telemetry::new(catalog::describe, wire::COMMANDS) {
        Ok(telemetry) => Arc::new(telemetry),
        Err(error) => return complain(&Error::from(error), 1),
    };
    match serve_until_told(config, &telemetry) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            telemetry.failed(&error);
            ExitCode::FAILURE
        }
    }
}

/// Listens, opens the state, builds the site, serves and ticks until a signal, drains, closes.
fn serve_until_told(config: &Config, telemetry: &Arc<Telemetry>) -> Result<(), Error> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    // Before anything can be under way: from then on, a signal must not end the process just like that.
    let mut told = Told::to_end()?;
    // Before the state is touched: a port that is taken is no matter of the state. Who connects waits for a moment.
    let access = Access::read(&config.http.access)?;
    let listeners = listeners(config)?;
    raise_open_files(telemetry, config.http.max_connections);
    let stats = Arc::new(state::open(config, clock.as_ref(), telemetry)?);

    let threads = thread::available_parallelism().map_or(1, usize::from);
    let parts = (Arc::clone(&stats), Arc::clone(telemetry), Arc::clone(&clock));
    let site = Arc::new(Site::new(parts, config.http.clone(), access, Limits::default(), threads));
    let reloader = Reloader::watch(&site)?;
    let addresses = listeners.iter().map(Listener::address).collect::<io::Result<Vec<_>>>();
    let made = addresses.and_then(|addresses| {
        let workers = Worker::all(&site, listeners)?;
        Ok((addresses, workers, Keeper::start(&stats, telemetry)?))
    });
    let (addresses, workers, keeper) = made.map_err(|error| unserved(&stats, error))?;
    addresses.into_iter().for_each(|address| telemetry.serving(address, threads));
    let workers = spawn(workers)?;

    let one_ended = || workers.iter().any(JoinHandle::is_finished);
    let signal = told.wait(&site, &reloader, || stats.tick(clock.now()), one_ended)?;

    telemetry.draining(signal);
    site.drain();
    let deadline = Instant::now() + Limits::default().drain;
    let all_ended = || workers.iter().all(JoinHandle::is_finished);
    while !all_ended() && Instant::now() < deadline {
        site.sweep();
        thread::sleep(SWEEP_DRAINING);
    }
    site.end();
    telemetry.drained(join(workers)?);
    // Nobody counts any more.
    keeper.stop();
    stats.close(clock.now(), &|step| state::report(telemetry, &step))?;
    telemetry.stopped(stats.messages());
    Ok(())
}

/// Closes a state that nobody counts in yet, so that it is as good as it was; the error is what there is to say.
fn unserved(stats: &Stats, error: io::Error) -> Error {
    stats.abandon();
    error.into()
}

/// Where the configuration says to listen.
fn listeners(config: &Config) -> Result<Vec<Listener>, Error> {
    let role = if config.telemetry_listen.is_empty() { Role::All } else { Role::Callbacks };
    let mut listeners = if config.systemd_socket { passed_on(role)? } else { listen(&config.listen, role)? };
    listeners.extend(listen(&config.telemetry_listen, Role::Telemetry)?);
    Ok(listeners)
}

/// The sockets that systemd, or whoever started the process in its way, has passed on.
/// <https://www.freedesktop.org/software/systemd/man/latest/sd_listen_fds.html>
fn passed_on(role: Role) -> Result<Vec<Listener>, Error> {
    let mut passed = ListenFd::from_env();
    let sockets = (0..passed.len()).filter_map(|number| passed.take_tcp_listener(number).transpose());
    let listeners = sockets.map(|socket| Listener::inherited(socket?, role)).collect::<io::Result<Vec<_>>>();
    let listeners = listeners.map_err(Error::Passed)?;
    if listeners.is_empty() { Err(Error::NonePassed) } else { Ok(listeners) }
}

/// Every connection is an open file, and a service often starts with a limit of 1,024.
fn raise_open_files(telemetry: &Telemetry, connections: usize) {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(most) => telemetry.open_files_are(most, connections),
        Err(error) => telemetry.open_files_stay(&error),
    }
}

fn spawn(workers: Vec<Worker>) -> io::Result<Vec<JoinHandle<io::Result<WorkerEnd>>>> {
    let spawn = |(number, worker): (usize, Worker)| {
        thread::Builder::new().name(format!("serve-{number}")).spawn(move || worker.run())
    };
    workers.into_iter().enumerate().map(spawn).collect()
}

fn join(workers: Vec<JoinHandle<io::Result<WorkerEnd>>>) -> Result<usize, Error> {
    let outcomes = workers.into_iter().map(|worker| worker.join().map_err(|_| Error::Panicked));
    outcomes.map(|outcome| Ok(outcome??.cut_off)).sum()
}

/// The signals that ask for the end.
struct Told {
    runtime: Runtime,
    terminate: Signal,
    interrupt: Signal,
    /// Asks for the settings to be read again.
    hang_up: Signal,
    /// A limit of a file's size would end the process without a word; caught, it is an error like that of a full disk.
    _file_size: Signal,
}

impl Told {
    /// From here on, a signal is kept for [`Told::wait`].
    fn to_end() -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let entered = runtime.enter();
        let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let hang_up = signal(SignalKind::hangup())?;
        let file_size = signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?;
        drop(entered);
        Ok(Self { runtime, terminate, interrupt, hang_up, _file_size: file_size })
    }

    /// Sweeps and ticks until a signal or a request asks for the end, and returns its name.
    fn wait(
        &mut self,
        site: &Site,
        reloader: &Reloader,
        tick: impl Fn(),
        one_ended: impl Fn() -> bool,
    ) -> Result<&'static str, Error> {
        let Self { runtime, terminate, interrupt, hang_up, .. } = self;
        runtime.block_on(async {
            let (mut sweeps, mut ticks) = (tokio::time::interval(SWEEP), tokio::time::interval(TICK));
            loop {
                tokio::select! {
                    _ = terminate.recv() => return Ok("SIGTERM"),
                    _ = interrupt.recv() => return Ok("SIGINT"),
                    () = site.asked_to_quit() => return Ok("/-/quit"),
                    _ = hang_up.recv() => reloader.ask(),
                    _ = sweeps.tick() => site.sweep(),
                    _ = ticks.tick() => tick(),
                }
                if one_ended() {
                    return Err(Error::ServerEnded);
                }
            }
        })
    }
}
