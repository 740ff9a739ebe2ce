//! Certificates and private keys: read from PEM, with errors that say what a file has instead and how to correct it.

mod client;
mod identity;
mod keys;
mod listed;
mod pem;
mod problem;
mod server_verifier;
mod system;

pub(crate) use client::client_config;
pub(crate) use identity::{IdentityPart, identity};
pub(crate) use listed::{Listed, Purpose};
pub(crate) use pem::{certificates, private_keys};
pub(crate) use problem::{authorities, parse};
pub(crate) use server_verifier::Authorities;
pub(crate) use system::system;
