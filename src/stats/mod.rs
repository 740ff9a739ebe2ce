//! The statistics: what is counted for each message, and how the counts are read.
//!
//! Only numbers: no JSON, no HTTP, no metric names. Each is an atomic in one [`Arena`](crate::arena::Arena).

mod activities;
mod callbacks;
mod carry;
mod counters;
mod dedup;
mod delays;
mod disconnects;
mod distinct;
mod erasure;
mod exemplars;
mod group_name;
mod groups;
mod histogram;
mod history;
pub mod hyperloglog;
mod messages;
mod mix;
mod native;
mod online;
mod packed;
mod pairs;
mod past;
mod readings;
mod recording;
mod shared;
mod sketch_ring;
mod stages;
mod state;
mod state_start;
mod timeline;
mod top;
mod united;
mod windows;

pub use delays::ClockError;
pub use disconnects::Disconnect;
pub use distinct::{Distinct, Stretch};
pub use erasure::{ErasedGroup, ErasedUser};
pub use exemplars::Exemplar;
pub use groups::{Candidate, Group, GroupName, Paused, Recorded, RetirementPause, SlotSet, Week};
pub use histogram::HistogramReading;
pub use history::{Gauge, Period, Step};
pub use mix::MixCell;
pub use past::RETENTION;
pub use recording::{Capacities, Stats};
pub use state::{CopyError, Source, StateCopy};
pub use state_start::StateStart;
pub(crate) use top::Top;
pub use united::{UnitedCounts, UnitedDay};
pub use windows::{WINDOWS, Window};
