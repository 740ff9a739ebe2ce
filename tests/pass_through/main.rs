//! Callbacks whose answer matters are passed through to a target, and its answer is passed back. The peers are real:
//! nginx, and OpenIM's client and response types in Go.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "../secure/authority.rs"]
#[allow(dead_code, reason = "each test program uses a part of this")]
mod authority;
#[path = "../secure/http2_client.rs"]
mod http2_client;
#[path = "../support/mod.rs"]
mod support;

mod answers;
mod failures;
mod http2;
mod judged;
mod lifecycle;
mod openim;
mod scene;
mod target;
