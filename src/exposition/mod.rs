//! Writes the statistics and the exporter's own metrics in the formats of Prometheus.

pub mod catalog;
mod format;
#[cfg(feature = "fuzzing")]
pub mod fuzz;
mod process;
mod scraper;
mod writer;

pub use format::Format;
pub(crate) use scraper::CHUNK_BYTES;
pub use scraper::{Scope, Scraper};
