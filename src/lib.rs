//! openim-exporter: counts OpenIM's group messages from its callbacks and exposes them to Prometheus.
//!
//! # The map
//! The rooms, in the order in which data flows:
//!
//! - [`config`]: raw flags -> a checked `Config`, with a part for each room that has settings
//! - [`http`]: connections, limits, routes; a callback comes in here, a scrape goes out
//! - [`wire`]: the sender's JSON and every oddity of it, only here; the answers it expects
//! - [`domain`]: what a group message is; codes and their names; time and the clock's seam
//! - [`stats`]: `Stats::record(&Message, now)`: mix, groups, senders, delays
//! - `lanes`: counters that threads add to without waiting for each other
//! - [`arena`]: the one block of memory that holds every number; the only room with `unsafe`
//! - [`exposition`]: the declarations of the statistics' metrics; the formats; the scrape
//! - [`telemetry`]: the declarations of the exporter's own metrics; log events: one function per event
//! - [`simulate`]: the sender's side, for trying and sizing
//! - [`app`]: puts them together, visibly in order: open, build, serve, tick, drain, close
//!
//! In: `http -> wire -> domain::Message -> stats::record -> answer`. Out: `http -> exposition::scrape -> stats -> text`.
//! No way back. `tests/modules.rs` holds the table of who may import whom, and scans for it.
//!
//! # Invariants
//! - No lock or map guard lives across `.await` or I/O.
//! - The hot path, a callback for a group that is tracked, takes no exclusive lock; decoding its documented fields and
//!   counting it allocates nothing (`tests/hot_path.rs`).
//! - Every map, queue, body, header and connection count has a limit, and a counter for hitting it.
//! - A metric's name is only in its declaration, a sender's field name only in `wire`.
//! - Nothing below `app` exits, panics on input, or reads the environment.
//! - `unsafe` is only in `arena`, each block with its argument.

pub mod app;
pub mod arena;
pub mod config;
pub mod domain;
pub mod exposition;
pub mod http;
mod lanes;
pub mod simulate;
pub mod stats;
pub mod telemetry;
pub mod wire;
