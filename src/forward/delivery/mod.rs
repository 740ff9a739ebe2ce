//! Delivery: each target has a thread that sends the callbacks of its spool.

mod attempt;
mod order;
mod thread;

pub(super) use thread::Worker;
