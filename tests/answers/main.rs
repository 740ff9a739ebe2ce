//! Answers never stop a user by mistake: OpenIM obeys the answers to some callbacks, and its versions differ in
//! which answer refuses the user's action.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod accepted;
#[allow(dead_code, reason = "these tests need no clients with certificates")]
#[path = "../secure/authority.rs"]
mod authority;
mod callbacks;
#[path = "../secure/http2_client.rs"]
mod http2_client;
mod limits;
mod link;
mod protocols;
mod reasons;
#[path = "../http/served.rs"]
mod served;
mod site;
#[path = "../support/mod.rs"]
mod support;
mod versions;
