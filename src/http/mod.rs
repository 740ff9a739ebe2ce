//! HTTP: connections, their limits, and what is answered to whom.
//!
//! Each serving thread has a runtime of its own (`worker`); the first accepts for all, and fills them one after the other. A
//! connection (`connection`) is hyper's, over a stream that keeps note of how far the exchange is (`progress`,
//! `stream`, `framing`); a sweep of the site's looks at those notes a few times a second and ends what takes too long, so
//! that no request needs a timer.

mod access;
mod actions;
mod api;
mod auth;
mod body;
mod budget;
mod callback;
mod caller;
mod connection;
mod framing;
#[doc(hidden)]
pub mod fuzz;
mod guard;
mod listen;
mod multiplex;
mod negotiation;
mod noted;
mod pages;
mod progress;
mod rate;
mod reply;
mod router;
mod scrape;
mod secured;
mod service;
mod site;
mod stream;
mod tls;
mod worker;

pub use access::{Access, AccessError, Stamps};
pub use listen::{Listener, Role, listen};
pub use site::{Limits, Site};
pub use worker::{FILL, Outcome, Stage, Worker};
