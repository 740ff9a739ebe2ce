//! Certificates and private keys: read from PEM, with errors that say what a file has instead and how to correct it.

mod keys;
mod listed;
mod pem;
mod problem;

pub(crate) use keys::{check_public_key, private_key_problem};
pub(crate) use listed::{Listed, Purpose};
pub(crate) use pem::{certificates, private_keys};
pub(crate) use problem::{authorities, parse, problem};
