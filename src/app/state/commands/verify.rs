//! `openim-exporter state verify`.

use std::io::Write;
use std::path::Path;

use super::copied::copy_of;
use super::error::Error;
use super::words::{size, time};
use crate::app::state::boot::current_boot;
use crate::arena::{Doubt, Trust, examine};
use crate::domain::{Clock as _, SystemClock};
use crate::stats::{Source, StateCopy};

/// Checks the state in this file, and prints what it found. `storage` is the exporter's directory, or `None` if a file
/// was named.
pub(super) fn verify(state: &Path, storage: Option<&Path>, output: &mut dyn Write) -> Result<(), Error> {
    let copy = copy_of(state)?;
    // The lock file may show that the exporter has used a later state there. Without it, the state can still be checked.
    let examined = storage.and_then(|storage| examine(storage, current_boot(SystemClock.now())).ok());
    let doubt = match examined.and_then(|examined| examined.found) {
        Some(Ok((_, Trust::Torn(Doubt::Older)))) => Some(Doubt::Older),
        _ => copy.doubt,
    };
    // Pages of different times, or a mark that was lost.
    if let (Source::Killed, Some(doubt @ (Doubt::Copied | Doubt::OtherBoot))) = (copy.source, copy.doubt) {
        return Err(Error::Untrusted(state.to_owned(), doubt));
    }
    let stats = &copy.stats;
    writeln!(output, "{}: the state is valid", state.display())?;
    writeln!(output, "made by:  openim-exporter {}; {}", copy.program, size(copy.bytes))?;
    writeln!(output, "source:   {}", describe(&copy))?;
    let (group, single) = (stats.messages(), stats.single_messages());
    writeln!(output, "messages: {group} in groups, {single} between two users, since {}", time(stats.started()))?;
    writeln!(output, "groups:   {} of {} tracked", stats.groups_tracked(), stats.groups_capacity())?;
    if let Some(doubt) = doubt {
        writeln!(output, "counters: the next start sets them to 0, because {doubt}")?;
    }
    Ok(())
}

fn describe(copy: &StateCopy) -> String {
    match copy.source {
        Source::Closed => "closed, and its checksum is right".to_owned(),
        Source::InUse => "in use by a running exporter; a consistent copy of it was checked".to_owned(),
        Source::Copied => "a backup of a state that was in use, and its checksum is right".to_owned(),
        Source::Killed => match copy.completed {
            0 => "not in use, but not closed".to_owned(),
            1 => "not in use, but not closed; the next start completes 1 message that was being counted".to_owned(),
            messages => {
                format!(
                    "not in use, but not closed; the next start completes {messages} messages that were being counted"
                )
            }
        },
    }
}
