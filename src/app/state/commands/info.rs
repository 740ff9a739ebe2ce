//! `openim-exporter state info`.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use serde::{Serialize, Serializer};

use super::error::Error;
use super::next_start::NextStart;
use super::words::{size, time};
use crate::app::outputs::SPOOLS;
use crate::app::state::boot::current_boot;
use crate::arena::{Boot, Doubt, Examined, ReadError, Sections, describe, examine};
use crate::config::InfoFormat;
use crate::domain::{Clock as _, SystemClock, UnixMillis};
use crate::stats::{CopyError, Source, Stats};

/// What is known about the state in a directory. Sizes are in bytes, times in seconds since the epoch.
#[derive(Debug, Serialize)]
struct Info {
    path: String,
    bytes: Option<u64>,
    /// The version of the program that created the file.
    created_by: Option<String>,
    #[serde(rename = "use")]
    used: Option<&'static str>,
    next_start: NextStart,
    contents: Option<Contents>,
    /// Why the contents are unknown.
    problem: Option<String>,
    files: Vec<FileInfo>,
    spools: Vec<FileInfo>,
}

/// What the state has, if it can be read.
#[derive(Debug, Serialize)]
struct Contents {
    /// When the counters began.
    #[serde(serialize_with = "seconds")]
    since: UnixMillis,
    #[serde(serialize_with = "seconds_if_known")]
    last_callback: Option<UnixMillis>,
    group_messages: u64,
    single_messages: u64,
    groups_tracked: usize,
    groups_capacity: usize,
    groups_exported: usize,
    groups_exported_capacity: usize,
    sender_pairs_tracked: u64,
    sender_pairs_capacity: usize,
    users_online: usize,
    users_online_capacity: usize,
}

/// A file beside the state, or a spool.
#[derive(Debug, Serialize)]
struct FileInfo {
    name: String,
    bytes: u64,
    what: &'static str,
}

impl Contents {
    fn of(stats: &Stats) -> Self {
        Self {
            since: stats.started(),
            last_callback: stats.last_callback(),
            group_messages: stats.messages(),
            single_messages: stats.single_messages(),
            groups_tracked: stats.groups_tracked(),
            groups_capacity: stats.groups_capacity(),
            groups_exported: stats.exported_len(),
            groups_exported_capacity: stats.exported_groups_capacity(),
            sender_pairs_tracked: stats.sender_pairs_tracked(),
            sender_pairs_capacity: stats.sender_pairs_capacity(),
            users_online: stats.users_online().map(|(_, users)| users).sum(),
            users_online_capacity: stats.users_online_capacity(),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn seconds<S: Serializer>(at: &UnixMillis, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(at.seconds())
}

fn seconds_if_known<S: Serializer>(at: &Option<UnixMillis>, serializer: S) -> Result<S::Ok, S::Error> {
    at.map(UnixMillis::seconds).serialize(serializer)
}

/// Prints what the state in a directory contains.
pub(super) fn print(storage: &Path, format: InfoFormat, output: &mut dyn Write) -> Result<(), Error> {
    let now = SystemClock.now();
    let boot = current_boot(now);
    let info = Info::new(storage, &examine(storage, boot)?, boot, now);
    match format {
        InfoFormat::Text => info.write(output)?,
        InfoFormat::Json => {
            serde_json::to_writer(&mut *output, &info).map_err(io::Error::from)?;
            writeln!(output)?;
        }
    }
    Ok(())
}

impl Info {
    fn new(storage: &Path, examined: &Examined, boot: Boot, now: UnixMillis) -> Self {
        let state = &examined.state;
        let sections = examined.found.as_ref().and_then(|found| found.as_ref().ok()).map(|(sections, _)| sections);
        let copy = sections.map(|_| Stats::copy_of(state, boot, now)).transpose();
        let damage = match &copy {
            Err(CopyError::Read(ReadError::Damaged { damage, .. })) => Some(*damage),
            _ => None,
        };
        let problem = copy.as_ref().err().map(ToString::to_string);
        let copy = copy.ok().flatten();
        let used = copy.as_ref().map(|copy| match copy.source {
            Source::InUse => "in_use",
            Source::Killed if copy.doubt == Some(Doubt::Requested) => "closed",
            Source::Closed => "closed",
            Source::Killed => "killed",
            Source::Copied => "backup",
        });
        let beside = state.parent().unwrap_or(storage);
        let mut files = files(beside);
        if beside != storage {
            files.extend(self::files(storage));
        }
        Self {
            path: state.display().to_string(),
            bytes: fs::metadata(state).ok().map(|metadata| metadata.len()),
            created_by: sections.map(|sections| match sections {
                Sections::Listed(contents) => contents.program.clone(),
                Sections::OfFirstVersion { .. } => "0.1.0".to_owned(),
            }),
            used,
            next_start: NextStart::new(examined, damage),
            contents: copy.map(|copy| Contents::of(&copy.stats)),
            problem,
            files,
            spools: spools(storage),
        }
    }

    fn write(&self, output: &mut dyn Write) -> io::Result<()> {
        let mut line = |key: &str, value: String| writeln!(output, "{key:13}{value}");
        line(
            "state",
            format!("{}{}", self.path, self.bytes.map_or_else(String::new, |bytes| format!(" ({})", size(bytes)))),
        )?;
        self.created_by.iter().try_for_each(|version| line("created by", format!("openim-exporter {version}")))?;
        let used = self.used.map(|used| match used {
            "in_use" => "in use: an exporter is running",
            "closed" => "closed: the exporter was stopped",
            "backup" => "a backup of an exporter that was running",
            _ => "not closed: the exporter was killed, or the machine went down",
        });
        used.iter().try_for_each(|used| line("use", (*used).to_owned()))?;
        if let Some(contents) = &self.contents {
            contents.rows().into_iter().try_for_each(|(key, value)| line(key, value))?;
        }
        self.problem.iter().try_for_each(|problem| line("problem", problem.clone()))?;
        line("next start", self.next_start.to_string())?;
        for (key, files) in [("files", &self.files), ("spools", &self.spools)] {
            for (number, FileInfo { name, bytes, what }) in files.iter().enumerate() {
                line(if number == 0 { key } else { "" }, format!("{name} ({}): {what}", size(*bytes)))?;
            }
        }
        Ok(())
    }
}

impl Contents {
    /// For people.
    fn rows(&self) -> [(&'static str, String); 6] {
        let last =
            self.last_callback.map_or_else(|| "no callback yet".to_owned(), |at| format!("last callback {}", time(at)));
        [
            ("counting", format!("since {}; {last}", time(self.since))),
            ("messages", format!("{} in groups, {} between two users", self.group_messages, self.single_messages)),
            ("groups", format!("{} of {} tracked", self.groups_tracked, self.groups_capacity)),
            ("exported", format!("{} of {} groups", self.groups_exported, self.groups_exported_capacity)),
            (
                "pairs",
                format!("{} of {}, each a group and a sender", self.sender_pairs_tracked, self.sender_pairs_capacity),
            ),
            ("online", format!("{} of {} users", self.users_online, self.users_online_capacity)),
        ]
    }
}

/// The files of the state in a directory.
fn files(directory: &Path) -> Vec<FileInfo> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let file = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        Some(FileInfo { what: describe(&name)?, bytes: entry.metadata().ok()?.len(), name })
    };
    let mut files: Vec<_> = entries.flatten().filter_map(file).collect();
    files.sort_by(|one, other| one.name.cmp(&other.name));
    files
}

/// The spools in a directory.
fn spools(storage: &Path) -> Vec<FileInfo> {
    let Ok(entries) = fs::read_dir(storage.join(SPOOLS)) else { return Vec::new() };
    let spool = |entry: fs::DirEntry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        FileInfo { name, bytes: bytes_in(&entry.path()), what: "callbacks for this target; see spool list" }
    };
    let mut spools: Vec<_> = entries.flatten().filter(|entry| entry.path().is_dir()).map(spool).collect();
    spools.sort_by(|one, other| one.name.cmp(&other.name));
    spools
}

/// The size of all files in a directory.
fn bytes_in(directory: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(directory) else { return 0 };
    let bytes = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_in(&entry.path()),
        metadata => metadata.map_or(0, |metadata| metadata.len()),
    };
    entries.flatten().map(bytes).sum()
}
