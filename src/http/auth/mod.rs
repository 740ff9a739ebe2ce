//! Who may ask: passwords, and the secret of the callbacks' path.

mod basic;
mod passwords;
mod secret;
mod verdicts;

pub(super) use passwords::{Passwords, Verdict};
pub(super) use secret::strip;
