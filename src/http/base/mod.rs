//! What all parts of `http` build on: limits, quotas, who is connected, and how far each exchange is.

pub(crate) mod caller;
pub(crate) mod connections;
pub(crate) mod limits;
pub(crate) mod niceness;
pub(crate) mod progress;
pub(crate) mod quota;
pub(crate) mod role;
