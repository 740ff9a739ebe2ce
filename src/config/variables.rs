//! Environment variables that look like the exporter's but set no flag.

use super::command_line::serve_flags;
use super::flag::VARIABLES;
use super::similar::nearest;

/// The variables with the exporter's prefix that set no flag, each with the most similar one that does.
#[must_use]
pub fn unknown_variables(names: impl Iterator<Item = String>) -> Vec<(String, Option<String>)> {
    let known: Vec<_> = serve_flags().into_iter().map(|[_, variable, _]| variable).collect();
    let suggested = |rest: &str| {
        let best = nearest(rest, known.iter().map(|variable| variable.trim_start_matches(VARIABLES)));
        best.map(|variable| format!("{VARIABLES}{variable}"))
    };
    let names: Vec<_> = names.filter(|name| name.starts_with(VARIABLES)).collect();
    // Kubernetes sets several for each Service, such as one with the name `openim-exporter`.
    // https://kubernetes.io/docs/tutorials/services/connect-applications-service/#environment-variables
    let services: Vec<_> = names.iter().filter_map(|name| name.strip_suffix("SERVICE_HOST")).collect();
    let is_of_service = |name: &&String| {
        let mut rest = services.iter().filter_map(|service| name.strip_prefix(service));
        rest.any(|rest| rest.starts_with("SERVICE_") || rest.starts_with("PORT"))
    };
    let unknown = names.iter().filter(|name| !known.contains(name) && !is_of_service(name));
    unknown.map(|name| (name.clone(), suggested(name.trim_start_matches(VARIABLES)))).collect()
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
            "OPENIM_EXPORTER_KAFKA",
            "OPENIM_EXPORTER_",
            "OPENIM_EXPORTER_LOG_LEVEL",
            "OPENIM_EXPORTER",
            "OPENIM_EXPORTER_SERVICE_HOST",
            "OPENIM_EXPORTER_SERVICE_PORT",
            "OPENIM_EXPORTER_SERVICE_PORT_HTTP",
            "OPENIM_EXPORTER_PORT",
            "OPENIM_EXPORTER_PORT_10006_TCP_ADDR",
            "OPENIM_EXPORTER_CANARY_SERVICE_HOST",
            "OPENIM_EXPORTER_CANARY_PORT",
            "OPENIM_EXPORTER_CANARY_PORT_10006_UDP",
            "OPENIM_EXPORTER_OTHER_PORT",
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
                ("OPENIM_EXPORTER_KAFKA", None),
                ("OPENIM_EXPORTER_", None),
                ("OPENIM_EXPORTER_OTHER_PORT", None),
            ]
        );
    }
}
