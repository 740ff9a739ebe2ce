//! The statistics and the exporter's own metrics as Prometheus reads them.

pub mod catalog;
mod scrape;
mod text;

pub use scrape::{CONTENT_TYPE, Scrape, scrape};
