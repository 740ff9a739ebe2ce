//! The statistics and the exporter's own metrics as Prometheus reads them.

pub mod catalog;
mod format;
#[cfg(feature = "fuzzing")]
pub mod fuzz;
mod own;
mod scraper;
mod writer;

pub use format::Format;
pub use scraper::{CHUNK_BYTES, Scope, Scraper};
