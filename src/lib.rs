//! openim-exporter: counts OpenIM's group messages from its callbacks and exposes them to Prometheus.
//!
//! # Modules
//! In the order of the data flow:
//!
//! - [`config`]: raw flags -> a checked `Config`, with one part for each module that has settings
//! - [`http`]: connections, limits, routes. Callbacks come in here, scrapes go out.
//! - [`wire`]: OpenIM's JSON and its oddities, and the answers that it expects
//! - [`domain`]: what a group message is; the names of callbacks; codes and their names; reasons for
//!   refusals; time, and the interface to the clock
//! - [`stats`]: `Stats::record(&Message, now)`: mix, groups, senders, delays
//! - `certificates`: certificates and keys from PEM, and what is wrong with them
//! - `lanes`: counters that threads add to without waiting for each other
//! - `native`: the buckets of native histograms
//! - `named`: enums whose values have names, as label values or stored keys
//! - `niceness`: the priority of threads that do not answer callbacks
//! - `threads`: waiting for threads to end
//! - [`arena`]: the one block of memory that holds every number
//! - `view`: the current numbers as plain values, for the API and the live page
//! - `page`: the files of the live page
//! - [`exposition`]: the declarations of the statistics' metrics, the formats, the scrape
//! - [`telemetry`]: the exporter's own metrics, each declared once, and log events: one function per event
//! - `forward`: the targets of callbacks: requests, delivery from the spools, pass-through
//! - [`spool`]: the callbacks of a target that are answered but not delivered yet, on disk
//! - [`replicas`]: the union with other exporters, through Redis
//! - [`record`]: a line of JSON in a file for each callback received
//! - `client`: a connection to an exporter, for the next two
//! - [`simulate`]: a sender like OpenIM, for testing and sizing
//! - `healthcheck`: whether an exporter is alive or ready
//! - [`app`]: composition root: open, build, serve, tick, drain, close, in that order
//!
//! In: `http -> wire -> domain::Message -> stats::record -> answer`.
//! Out: `http -> exposition::Scraper -> stats -> text`, and `http -> view -> stats -> JSON`.
//!
//! Imports go one way. `tests/modules.rs` has the table of which module, and which layer of [`http`], may import from
//! which.
//!
//! `CONTRIBUTING.md` shows how to add a metric, a callback or a flag. To add a reason for refusing a request, add a row in
//! `domain/reason.rs`; a file of the live page, a row in `page/mod.rs`. The comments at the top of these files say what
//! else to update.
//!
//! # Invariants
//! - No lock or map guard is held across `.await` or I/O.
//! - The hot path, a callback for a tracked group, takes no exclusive lock. Decoding its documented fields and counting
//!   it allocates nothing (`tests/hot_path.rs`).
//! - Every map, queue, body, header and connection has a limit, and a counter for hitting it.
//! - A metric's name appears only in its declaration, a sender's field name only in `wire`.
//! - Nothing below `app` exits or panics on input, and only `app` and `config` read the environment.
//! - Answers never wait for the log or a disk flush.
//! - `unsafe` is only in `arena`. Each block states why it is sound.

pub mod app;
pub mod arena;
mod certificates;
mod client;
pub mod config;
pub mod domain;
pub mod exposition;
mod forward;
mod healthcheck;
pub mod http;
mod lanes;
mod named;
mod native;
mod niceness;
mod page;
pub mod record;
pub mod replicas;
pub mod simulate;
pub mod spool;
pub mod stats;
pub mod telemetry;
mod threads;
mod view;
pub mod wire;
