//! The formats of a scrape: that they say the same, and that Prometheus understands them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "numbers are small")]

#[allow(dead_code, reason = "another test program uses the rest")]
#[path = "../secure/authority.rs"]
mod authority;
mod everything;
mod formats;
mod mutations;
mod native;
#[path = "../oracle/mod.rs"]
mod oracle;
mod process;
mod prometheus;
#[path = "../support/redis.rs"]
mod redis_server;
mod scrape;
#[path = "../support/mod.rs"]
mod support;
#[allow(dead_code, reason = "another test program uses the rest")]
#[path = "../pass_through/target.rs"]
mod target;
#[path = "../support/three_days.rs"]
mod three_days;
#[path = "../support/typical.rs"]
mod typical;
