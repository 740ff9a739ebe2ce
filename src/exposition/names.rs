//! The families that a scrape requests.

use std::collections::HashSet;

/// The names of the families in a scrape, as in the text format.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names(Option<HashSet<String>>);

impl Names {
    /// Only these families. Names that no family has select nothing.
    pub fn only(names: impl IntoIterator<Item = String>) -> Self {
        Self(Some(names.into_iter().collect()))
    }

    /// Whether a family is in the scrape.
    #[must_use]
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.0.as_ref().is_none_or(|names| names.contains(name))
    }
}
