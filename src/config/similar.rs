//! Suggestions for misspelled names.

/// How similar a name must be to be suggested, from 0 to 1: the value from which clap suggests flags.
const MIN_SIMILARITY: f64 = 0.7;

/// The known name that is most similar to this one.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let similar = known.map(|known| (strsim::jaro(name, known), known));
    let best = similar.filter(|(similarity, _)| *similarity > MIN_SIMILARITY).max_by(|a, b| a.0.total_cmp(&b.0));
    best.map(|(_, known)| known)
}

/// The most similar name as a question that ends with a space; empty if none is similar.
pub(super) fn did_you_mean<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    nearest(name, known).map_or_else(String::new, |known| format!("did you mean {known}? "))
}
