//! Writes the statistics and the exporter's own metrics in the formats of Prometheus.

pub mod catalog;
mod format;
#[cfg(feature = "fuzzing")]
pub mod fuzz;
mod names;
mod process;
mod samples;
mod scraper;
mod writer;

pub use format::{Escaping, Format};
pub use names::Names;
pub(crate) use samples::{Sample, for_each_sample};
pub use scraper::{GroupRemoved, Scope, Scraper};
