//! Environment variables that look like the exporter's but set no flag.

use super::command_line::serve_flags;
use super::flag::VARIABLES;

/// How similar a variable must be to be suggested, from 0 to 1: the value from which clap suggests flags.
const MIN_SIMILARITY: f64 = 0.7;

/// The variables with the exporter's prefix that set no flag, each with the most similar one that does.
#[must_use]
pub fn unknown_variables(names: impl Iterator<Item = String>) -> Vec<(String, Option<String>)> {
    let known: Vec<_> = serve_flags().into_iter().map(|[_, variable, _]| variable).collect();
    let nearest = |rest: &str| {
        let similarity = |variable: &String| strsim::jaro(rest, variable.trim_start_matches(VARIABLES));
        let similar = known.iter().map(|variable| (similarity(variable), variable));
        let best = similar.filter(|(similarity, _)| *similarity > MIN_SIMILARITY).max_by(|a, b| a.0.total_cmp(&b.0));
        best.map(|(_, variable)| variable.clone())
    };
    let unknown = names.filter(|name| !known.contains(name)).filter_map(|name| {
        let rest = name.strip_prefix(VARIABLES).filter(|rest| !is_set_by_kubernetes(rest))?;
        Some((nearest(rest), name))
    });
    unknown.map(|(nearest, name)| (name, nearest)).collect()
}

/// Whether Kubernetes sets a variable, without its prefix, for a Service with the name `openim-exporter`.
/// <https://kubernetes.io/docs/tutorials/services/connect-applications-service/#environment-variables>
fn is_set_by_kubernetes(rest: &str) -> bool {
    let is_port = |rest: &str| rest.starts_with(|first: char| first.is_ascii_digit());
    matches!(rest, "SERVICE_HOST" | "SERVICE_PORT" | "PORT")
        || rest.starts_with("SERVICE_PORT_")
        || rest.strip_prefix("PORT_").is_some_and(is_port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelled_variable_is_found_and_the_nearest_one_suggested() {
        let names = [
            "OPENIM_EXPORTER_GROUPS_MAX_TRACKD",
            "OPENIM_EXPORTER_LISTEN_ADDRESS",
            "OPENIM_EXPORTER_LOGLEVEL",
            "OPENIM_EXPORTER_FORWARDING",
            "OPENIM_EXPORTER_",
            "OPENIM_EXPORTER_LOG_LEVEL",
            "OPENIM_EXPORTER",
            "OPENIM_EXPORTER_SERVICE_HOST",
            "OPENIM_EXPORTER_SERVICE_PORT",
            "OPENIM_EXPORTER_SERVICE_PORT_HTTP",
            "OPENIM_EXPORTER_PORT",
            "OPENIM_EXPORTER_PORT_10006_TCP_ADDR",
            "PATH",
        ];
        let found = unknown_variables(names.into_iter().map(str::to_owned));
        let found: Vec<_> = found.iter().map(|(name, nearest)| (name.as_str(), nearest.as_deref())).collect();
        assert_eq!(
            found,
            [
                ("OPENIM_EXPORTER_GROUPS_MAX_TRACKD", Some("OPENIM_EXPORTER_GROUPS_MAX_TRACKED")),
                ("OPENIM_EXPORTER_LISTEN_ADDRESS", Some("OPENIM_EXPORTER_WEB_LISTEN_ADDRESS")),
                ("OPENIM_EXPORTER_LOGLEVEL", Some("OPENIM_EXPORTER_LOG_LEVEL")),
                ("OPENIM_EXPORTER_FORWARDING", None),
                ("OPENIM_EXPORTER_", None),
            ]
        );
    }
}
