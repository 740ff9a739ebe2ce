//! Opens the state for serving, and logs each step.

use std::time::Instant;

use super::boot::{BOOT_ID, boot_id, boot_time};
use crate::app::error::Error;
use crate::arena::Step;
use crate::config::{StatsSettings, Storage};
use crate::domain::Clock;
use crate::stats::{Capacities, Stats};
use crate::telemetry::Telemetry;

/// Opens the state in the directory of the settings, or creates one in memory.
pub(in crate::app) fn open(settings: &StatsSettings, clock: &dyn Clock, telemetry: &Telemetry) -> Result<Stats, Error> {
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

/// Logs a step.
pub(in crate::app) fn report(telemetry: &Telemetry, step: &Step) {
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
