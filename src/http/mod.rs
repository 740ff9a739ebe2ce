//! HTTP: connections, their limits, and the responses.
//!
//! In layers, each of which imports only from those below it:
//! - `transport`: accepts connections; TLS, HTTP/1 and HTTP/2
//! - `service`: answers one request: who may ask, what is asked, the callback, the pages, the API
//! - `site`: what all connections share; a request under way and its response
//! - `access`: TLS settings, passwords, the secret of the callbacks' path, the rate limit
//! - `base`: limits, quotas, and how far each exchange is
//!
//! Each serving thread has a runtime of its own (`transport::worker`). The first one accepts for all, and fills them one
//! after the other. A connection is hyper's, over a stream that records how far the exchange is (`base::progress`). A few
//! times a second, `Site::sweep` reads these records and ends what takes too long, so that no request needs a timer.

mod access;
mod base;
#[doc(hidden)]
pub mod fuzz;
mod service;
mod site;
mod transport;

pub use access::{Access, AccessError, Stamps};
pub use base::limits::Limits;
pub use base::role::Role;
pub use site::Site;
pub use transport::listen::{Listener, listen};
pub use transport::worker::{FILL, Worker, WorkerEnd};
