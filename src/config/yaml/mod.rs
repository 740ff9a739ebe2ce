//! Settings as YAML, with errors that name the line and the key.

mod mapping;
mod tree;

pub(super) use mapping::{Field, Mapping};
pub(super) use tree::parse;
