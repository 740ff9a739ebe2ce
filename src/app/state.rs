//! Opens the state, watches its file while the exporter runs, and logs each step.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{fs, io};

use rustix::time::{ClockId, clock_gettime};

use super::error::Error;
use crate::arena::{Boot, Directory, Found, Step, has_state};
use crate::config::{StatsSettings, Storage};
use crate::domain::{Clock, UnixMillis};
use crate::stats::{Capacities, Stats};
use crate::telemetry::Telemetry;

/// Time between two checks of the state's file.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// The kernel's random ID of the current boot.
/// <https://docs.kernel.org/admin-guide/sysctl/kernel.html#random>
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// 2020-01-01: an earlier boot time comes from a clock that was not set yet.
const EARLIEST_BOOT: UnixMillis = UnixMillis(1_577_836_800_000);

/// Opens the state in the directory of the settings, or creates one in memory.
pub(super) fn open(settings: &StatsSettings, clock: &dyn Clock, telemetry: &Telemetry) -> Result<Stats, Error> {
    let stats = open_state(settings, clock, telemetry)?;
    Ok(stats.counting_messages_from(settings.message_source).in_calendar(settings.calendar.clone()))
}

fn open_state(settings: &StatsSettings, clock: &dyn Clock, telemetry: &Telemetry) -> Result<Stats, Error> {
    let (capacities, now) = (capacities(settings), clock.now());
    let Storage::Directory(path) = &settings.storage else {
        telemetry.state_in_memory();
        return Stats::in_memory(capacities, now).map_err(Error::Memory);
    };
    let begin = Instant::now();
    let boot = boot_id().unwrap_or_else(|error| {
        telemetry.boot_id_unknown(BOOT_ID, &error);
        boot_time(now)
    });
    let stats = Stats::open(path, capacities, boot, now, &|step| report(telemetry, &step))?;
    telemetry.state_opened(path, stats.state_start().name(), stats.messages(), begin.elapsed());
    Ok(stats)
}

/// Marks the state in a directory, so that the next start resets its counters.
pub(super) fn request_reset(path: &Path) -> Result<(), Error> {
    if path.as_os_str().is_empty() {
        return Err(Error::NoDirectory);
    }
    // Opening a state would create what is missing.
    if !has_state(path) {
        return Err(Error::NoState(path.to_owned()));
    }
    let directory = Directory::lock(path, &|_| ())?;
    let state = directory.state();
    match directory.find(boot_id().unwrap_or(Boot::Unknown), &|_| ())? {
        Found::State { arena, .. } => {
            arena.mark_in_use(Boot::ResetRequested, || ()).map_err(|error| Error::Mark(state.to_owned(), error))
        }
        Found::Nothing => Err(Error::NoState(path.to_owned())),
        Found::Damaged(damage) => Err(Error::UnusableState(state.to_owned(), damage)),
    }
}

const fn capacities(settings: &StatsSettings) -> Capacities {
    Capacities {
        groups: settings.max_tracked_groups,
        exported_groups: settings.max_exported_groups,
        sender_pairs: settings.max_sender_pairs,
        dedup_window: settings.dedup_window,
        online: settings.max_users_online,
        history_days: settings.history_days,
    }
}

fn boot_id() -> io::Result<Boot> {
    let id = fs::read_to_string(BOOT_ID)?;
    let digits: String = id.chars().filter(char::is_ascii_hexdigit).collect();
    let half = |digits: &str| u64::from_str_radix(digits, 16).ok();
    let halves = digits.split_at_checked(16).and_then(|(high, low)| Some([half(high)?, half(low)?]));
    halves.map(Boot::Id).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the file has no ID"))
}

/// The time of the boot, by the machine's clock.
fn boot_time(now: UnixMillis) -> Boot {
    let uptime = clock_gettime(ClockId::Boottime);
    let booted = now.0 - uptime.tv_sec * 1000 - uptime.tv_nsec / 1_000_000;
    if booted < EARLIEST_BOOT.0 { Boot::Unknown } else { Boot::At(booted) }
}

/// Logs a step.
pub(super) fn report(telemetry: &Telemetry, step: &Step) {
    match step {
        Step::ModeRestricted(path) => telemetry.state_mode_restricted(path),
        Step::ModeUnchanged(path, why) => telemetry.state_mode_unchanged(path, why),
        Step::CopyOnWrite(path) => telemetry.state_copy_on_write(path),
        Step::OtherLayout { state, differences } => telemetry.state_has_other_layout(state, &differences.join("; ")),
        Step::Dropped(what) => telemetry.state_part_dropped(what),
        Step::Reserved { file, bytes } => telemetry.state_reserved(file, *bytes),
        Step::PreviousKept(path) => telemetry.state_previous_kept(path),
        Step::PreviousNotKept(path, why) => telemetry.state_previous_not_kept(path, why),
        Step::PreviousReplaced(path) => telemetry.state_previous_replaced(path),
        Step::Removed(path) => telemetry.state_file_removed(path),
        Step::Renamed { path, reason } => telemetry.state_renamed(path, reason),
        Step::Restored => telemetry.state_restored(),
        Step::CountersReset(doubt) => telemetry.counters_reset(doubt),
        Step::WrittenAgain(path) => telemetry.state_written_again(path),
    }
}

/// Watches the state's file on its own thread, because a disk may hang.
pub(super) struct Watcher {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Watcher {
    pub(super) fn start(stats: &Arc<Stats>, telemetry: &Arc<Telemetry>) -> io::Result<Self> {
        let (stats, telemetry) = (Arc::clone(stats), Arc::clone(telemetry));
        let state = stats.state_path().map(PathBuf::from).unwrap_or_default();
        let (stop, stopped) = channel();
        let mut is_there = true;
        let watch = move || {
            while stopped.recv_timeout(CHECK_INTERVAL) == Err(RecvTimeoutError::Timeout) {
                let was_there = std::mem::replace(&mut is_there, stats.check_state_file());
                match (was_there, is_there) {
                    (true, false) => telemetry.state_file_missing(&state),
                    (false, true) => telemetry.state_file_back(&state),
                    _ => {}
                }
            }
        };
        Ok(Self { stop, thread: thread::Builder::new().name("state".to_owned()).spawn(watch)? })
    }

    /// Waits for the thread to end.
    pub(super) fn stop(self) {
        drop(self.stop);
        // The thread does not panic; if it did, nothing could be done about it here.
        let _ = self.thread.join();
    }
}
