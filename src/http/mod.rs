//! HTTP: connections, their limits, and the responses.
//!
//! The layers, from top to bottom. Each imports only from those below it:
//! - `transport`: accepts connections; TLS, HTTP/1 and HTTP/2
//! - `service`: answers one request: admission, routes, callbacks, pages, the API
//! - `site`: what all connections share; a request in progress and its response
//! - `access`: TLS settings, passwords, the secret in the path of callbacks, the rate limit
//! - `base`: limits, quotas, and the progress of each exchange
//!
//! Each serving thread has its own runtime (`transport::worker`). The first one accepts for all, and fills one thread
//! after another. hyper serves each connection, over a stream that records the progress of the exchange
//! (`base::progress`). A few times a second, `Site::sweep` reads the progress and ends what takes too long, so no
//! request needs a timer.

mod access;
mod base;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzz;
mod service;
mod site;
mod transport;

pub use access::{Access, AccessError, Stamps};
pub use base::caller::Role;
pub use base::limits::Limits;
pub use site::Site;
pub use transport::listen::{Listener, listen};
pub use transport::worker::{FILL, Worker, WorkerEnd};
