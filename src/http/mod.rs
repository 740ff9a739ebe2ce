//! HTTP: connections, their limits, and what is answered to whom.
//!
//! Each serving thread has a runtime of its own (`worker`); the first accepts for all, and fills them one after the other. A
//! connection (`connection`) is hyper's, over a stream that keeps note of how far the exchange is (`progress`,
//! `stream`); a sweep of the site's looks at those notes a few times a second and ends what takes too long, so that no
//! request needs a timer.

mod api;
pub mod auth;
mod body;
mod callback;
mod connection;
mod listen;
mod negotiation;
mod pages;
mod progress;
mod reply;
mod router;
mod scrape;
mod service;
mod site;
mod stream;
mod worker;

pub use listen::{Listener, listen};
pub use site::{Limits, Site};
pub use worker::{FILL, Outcome, Stage, Worker};
