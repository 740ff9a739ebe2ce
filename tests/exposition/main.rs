//! The formats of a scrape: that they say the same, and that Prometheus understands them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "numbers are small")]

#[allow(dead_code, reason = "another test program uses the rest")]
#[path = "../secure/authority.rs"]
mod authority;
mod formats;
mod mutations;
mod native;
#[path = "../oracle/mod.rs"]
mod oracle;
mod prometheus;
mod scrape;
#[path = "../support/mod.rs"]
mod support;
