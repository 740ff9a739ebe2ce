//! What all layers of `http` use: limits, quotas, clients, and the progress of each exchange.

pub(crate) mod caller;
pub(crate) mod connections;
pub(crate) mod limits;
pub(crate) mod progress;
pub(crate) mod quota;
