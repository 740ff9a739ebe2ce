//! `spool`'s flags and settings.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand};

use super::flag::{STORAGE_FLAG, variable};
use super::forward::Commands;
use super::parse::{absolute_path, age, number};
use crate::spool::Position;

/// List pending callbacks and dead letters; replay or drop them
///
/// A callback that is answered at once waits in the spool of each target until the target accepts it. One that a target
/// rejects with a 4xx status, except 408, 409, 425 and 429, is not retried: it becomes a dead letter.
///
/// This works on the files in --storage.path, whether the exporter is running or not. A running exporter does what `replay`
/// and `drop` ask for within seconds, a stopped one after its next start. Run it as the exporter's user or as root.
#[derive(Subcommand)]
#[command(after_help = "Examples:\n  \
    openim-exporter spool list\n  \
    openim-exporter spool show --target business --dead-letters --limit 10\n  \
    openim-exporter spool replay --target business --all\n  \
    openim-exporter spool drop --target business --dead-letters --older-than 7d --yes")]
pub(super) enum SpoolFlags {
    /// List the targets with their pending callbacks and dead letters
    List {
        #[command(flatten)]
        place: Place,
    },
    /// Print callbacks as lines of JSON, oldest first
    ///
    /// A line has the fields of a record (--record.path): time, path, query, command, and body or text. It also has the
    /// position, which `replay` and `drop` accept, and for a dead letter the target's status and the reason.
    Show {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        selection: SelectionFlags,
        /// Print the dead letters instead of the pending callbacks
        #[arg(long)]
        dead_letters: bool,
        /// Print at most this many
        #[arg(long, value_name = "N", value_parser = number(1..=u64::MAX))]
        limit: Option<u64>,
    },
    /// Deliver dead letters again, after the pending callbacks
    #[command(group = chosen())]
    Replay {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        selection: SelectionFlags,
        /// No effect, because only dead letters are replayed
        #[arg(long)]
        dead_letters: bool,
        /// All dead letters of the target
        #[arg(long, conflicts_with_all = CHOICES)]
        all: bool,
    },
    /// Drop pending callbacks or dead letters; they are lost, and counted
    ///
    /// Without --yes, it only says how many it would drop.
    #[command(group = chosen())]
    Drop {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        selection: SelectionFlags,
        /// Drop dead letters instead of pending callbacks
        #[arg(long)]
        dead_letters: bool,
        /// All those of the target
        #[arg(long, conflicts_with_all = CHOICES)]
        all: bool,
        /// Drop them
        #[arg(long)]
        yes: bool,
    },
}

/// The fields of [`SelectionFlags`].
const CHOICES: [&str; 3] = ["positions", "commands", "older_than"];

/// Something must be chosen.
fn chosen() -> ArgGroup {
    ArgGroup::new("chosen").arg("all").args(CHOICES).required(true).multiple(true)
}

#[derive(Args)]
pub(super) struct Place {
    /// Directory of the exporter's state and spools
    #[arg(long = STORAGE_FLAG, value_name = "DIR", default_value = "data/", env = variable(STORAGE_FLAG))]
    #[arg(value_parser = absolute_path())]
    storage: PathBuf,

    /// Name of the target; needed if there are several, except for `list`, which lists all of them
    #[arg(long, value_name = "NAME")]
    target: Option<String>,
}

#[derive(Args)]
pub(super) struct SelectionFlags {
    /// Only the one at this position, as `show` prints it; may be given several times
    #[arg(long = "position", value_name = "POSITION")]
    positions: Vec<Position>,

    /// Only those with this command; * stands for any characters; may be given several times
    #[arg(long = "command", value_name = "COMMAND")]
    commands: Vec<String>,

    /// Only those that were received longer ago than this: 90m, 72h or 7d
    #[arg(long, value_name = "AGE", value_parser = age)]
    older_than: Option<Duration>,
}

/// What to do with which spool.
#[derive(Clone, Debug, PartialEq)]
pub struct SpoolCommand {
    /// Directory of the exporter's state and spools.
    pub storage: PathBuf,
    /// Name of the target; `None` means all, or the only one.
    pub target: Option<String>,
    /// What to do.
    pub action: SpoolAction,
}

/// What to do with a spool.
#[derive(Clone, Debug, PartialEq)]
pub enum SpoolAction {
    /// Print what there is.
    List,
    /// Print the dead letters or the pending callbacks, and at most this many.
    Show(Selection, bool, Option<u64>),
    /// Deliver dead letters once more.
    Replay(Selection),
    /// Drop dead letters or pending callbacks; if it is not confirmed, only say how many.
    Drop {
        /// Which callbacks.
        selection: Selection,
        /// Dead letters.
        dead_letters: bool,
        /// Not only say how many.
        is_confirmed: bool,
    },
}

/// A part of the callbacks: those that fit all of this.
#[derive(Clone, Debug, PartialEq)]
pub struct Selection {
    /// Where they are; empty means anywhere.
    pub positions: Vec<Position>,
    /// Their commands.
    pub commands: Commands,
    /// They were received longer ago than this.
    pub older_than: Option<Duration>,
}

impl SelectionFlags {
    fn check(self) -> Selection {
        let Self { positions, commands, older_than } = self;
        let commands = if commands.is_empty() {
            Commands::all()
        } else {
            Commands::new(commands.into_iter().map(String::into_boxed_str).collect())
        };
        Selection { positions, commands, older_than }
    }
}

impl SpoolFlags {
    pub(super) fn check(self) -> SpoolCommand {
        let (place, action) = match self {
            Self::List { place } => (place, SpoolAction::List),
            Self::Show { place, selection, dead_letters, limit } => {
                (place, SpoolAction::Show(selection.check(), dead_letters, limit))
            }
            Self::Replay { place, selection, .. } => (place, SpoolAction::Replay(selection.check())),
            Self::Drop { place, selection, dead_letters, yes, .. } => {
                (place, SpoolAction::Drop { selection: selection.check(), dead_letters, is_confirmed: yes })
            }
        };
        SpoolCommand { storage: place.storage, target: place.target, action }
    }
}
