//! What ends the process, and the periodic work until then.

use std::future::pending;
use std::io;
use std::pin::pin;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::runtime::{self, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::MissedTickBehavior;

use super::settings::Reloader;
use crate::http::Site;

/// Time between two ticks of the periodic work.
const TICK: Duration = Duration::from_secs(1);

/// Time between two sweeps over the connections.
const SWEEP: Duration = Duration::from_millis(250);

/// When the clock's next second begins. The history ends a period at the first tick after it, so ticks should come at
/// the beginning of a second.
fn next_second() -> Instant {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Instant::now() + TICK.saturating_sub(Duration::from_nanos(since_epoch.subsec_nanos().into()))
}

/// The signals that the process handles.
pub(super) struct Signals {
    runtime: Runtime,
    terminate: Signal,
    interrupt: Signal,
    /// Reloads the settings.
    hang_up: Signal,
    /// See [`catch_file_size`].
    _file_size: Signal,
}

/// Catches SIGXFSZ, which a write beyond the file size limit causes and which would kill the process. The write then
/// fails, as on a full disk.
fn catch_file_size() -> io::Result<Signal> {
    signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))
}

/// The same for a command, which has no runtime. The handler stays until the process ends.
pub(super) fn survive_file_size() {
    let runtime = runtime::Builder::new_current_thread().enable_io().build();
    // If this fails, the only effect is that the file size limit kills the process.
    let _ = runtime.map(|runtime| {
        let _entered = runtime.enter();
        catch_file_size().map(drop)
    });
}

impl Signals {
    /// From here on, signals are kept for [`Signals::wait`].
    pub(super) fn catch() -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let entered = runtime.enter();
        let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let hang_up = signal(SignalKind::hangup())?;
        let file_size = catch_file_size()?;
        drop(entered);
        Ok(Self { runtime, terminate, interrupt, hang_up, _file_size: file_size })
    }

    /// Sweeps and ticks until a signal or a request ends the process, and then until the delay is over or there is
    /// another signal. Returns the name of the last signal or the path of the request; `None` if a serving thread has
    /// ended.
    pub(super) fn wait(
        &mut self,
        site: &Site,
        reloader: &Reloader,
        delay: Duration,
        work: (impl Fn(), impl Fn() -> bool),
    ) -> Option<&'static str> {
        let signal = self.next(site, reloader, &work, None)?;
        if delay.is_zero() {
            return Some(signal);
        }
        site.leave(signal, delay);
        self.next(site, reloader, &work, Some((delay, signal)))
    }

    /// Sweeps and ticks until there is a signal, or until the delay after an earlier one is over.
    fn next(
        &mut self,
        site: &Site,
        reloader: &Reloader,
        (tick, has_ended): &(impl Fn(), impl Fn() -> bool),
        delayed: Option<(Duration, &'static str)>,
    ) -> Option<&'static str> {
        let Self { runtime, terminate, interrupt, hang_up, .. } = self;
        runtime.block_on(async {
            let mut delayed = pin!(async {
                let Some((delay, signal)) = delayed else { return pending().await };
                tokio::time::sleep(delay).await;
                signal
            });
            tick();
            let mut sweeps = tokio::time::interval(SWEEP);
            let mut ticks = tokio::time::interval_at(next_second().into(), TICK);
            // If calls were missed because the process was stopped, one is enough.
            sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
            loop {
                tokio::select! {
                    signal = &mut delayed => return Some(signal),
                    _ = terminate.recv() => return Some("SIGTERM"),
                    _ = interrupt.recv() => return Some("SIGINT"),
                    () = site.asked_to_quit() => return Some("/-/quit"),
                    _ = hang_up.recv() => reloader.reload(),
                    _ = sweeps.tick() => site.sweep(),
                    _ = ticks.tick() => tick(),
                }
                if has_ended() {
                    return None;
                }
            }
        })
    }
}
