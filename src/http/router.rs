//! Which request wants what.

use hyper::Method;

use crate::exposition::Scope;
use crate::wire::Command;

/// What a request wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// A callback is delivered; the URL may say of which command.
    Callback(Option<Command>),
    /// Prometheus scrapes.
    Metrics(Scope),
    /// Does the process live?
    Healthy,
    /// Does it take callbacks?
    Ready,
    /// A person looks.
    Landing,
    /// A script asks for all statistics.
    Summary,
    /// A script asks for groups.
    Groups,
    /// The path takes other methods: these.
    WrongMethod(&'static str),
    /// Nothing is here.
    NotFound,
}

const PAGE_METHODS: &str = "GET, HEAD";
const CALLBACK_METHODS: &str = "POST";

/// Behind the metrics' path: those of every tracked group.
const GROUPS: &str = "/groups";

/// Tells what a request wants. A command in the URL comes before everything else; a `POST` to a path that serves
/// nothing else is a callback whose body must say its command.
pub(super) fn route(method: &Method, path: &str, query: Option<&str>, telemetry_path: &str) -> Route {
    let command = || command_in_url(path, query);
    let page = page_at(path, telemetry_path);
    match (method, page) {
        (&Method::POST, None) => Route::Callback(command()),
        (&Method::POST, Some(_)) => match command() {
            Some(command) => Route::Callback(Some(command)),
            None => Route::WrongMethod(PAGE_METHODS),
        },
        (&Method::GET | &Method::HEAD, Some(page)) => page,
        (&Method::GET | &Method::HEAD, None) if command().is_none() => Route::NotFound,
        (_, Some(_)) => Route::WrongMethod(PAGE_METHODS),
        (_, None) => Route::WrongMethod(CALLBACK_METHODS),
    }
}

fn page_at(path: &str, telemetry_path: &str) -> Option<Route> {
    match path {
        _ if path == telemetry_path => Some(Route::Metrics(Scope::Metrics)),
        _ if path.strip_suffix(GROUPS) == Some(telemetry_path.trim_end_matches('/')) => {
            Some(Route::Metrics(Scope::Groups))
        }
        "/" => Some(Route::Landing),
        "/-/healthy" => Some(Route::Healthy),
        "/-/ready" => Some(Route::Ready),
        "/api/v1/summary" => Some(Route::Summary),
        "/api/v1/groups" => Some(Route::Groups),
        _ => None,
    }
}

/// Where the metrics of every tracked group are.
pub(super) fn groups_path(telemetry_path: &str) -> String {
    format!("{}{GROUPS}", telemetry_path.trim_end_matches('/'))
}

/// The command at the end of the path (OpenIM from 3.4.2), or else in the query (before).
fn command_in_url(path: &str, query: Option<&str>) -> Option<Command> {
    Command::from_path(path)
        .or_else(|| query?.split('&').find_map(|pair| Command::from_name(pair.strip_prefix("command=")?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routed(method: Method, url: &str) -> Route {
        let (path, query) = url.split_once('?').map_or((url, None), |(path, query)| (path, Some(query)));
        route(&method, path, query, "/metrics")
    }

    #[test]
    fn every_shape_of_the_sender_s_url_is_a_group_message() {
        for url in [
            "/callbackAfterSendGroupMsgCommand",
            "/callbackAfterSendGroupMsgCommand?contenttype=json",
            "/callbackAfterSendGroupMsgCommand?key=eyJzZW5kSUQiOiJ1MSJ9",
            "/callbackExample/callbackAfterSendGroupMsgCommand",
            "/any/prefix//callbackAfterSendGroupMsgCommand",
            "/callback?command=callbackAfterSendGroupMsgCommand",
            "/?command=callbackAfterSendGroupMsgCommand",
            "/x?a=b&command=callbackAfterSendGroupMsgCommand&c=d",
        ] {
            assert_eq!(routed(Method::POST, url), Route::Callback(Some(Command::GroupMessage)), "{url}");
        }
    }

    #[test]
    fn a_path_that_serves_nothing_else_leaves_it_to_the_body() {
        for url in ["/callback", "/callbackExample", "/callbackExample?command=", "/callbackAfterSendGroupMsgCommand/x"]
        {
            assert_eq!(routed(Method::POST, url), Route::Callback(None), "{url}");
        }
    }

    #[test]
    fn other_commands_are_callbacks_too() {
        assert!(matches!(
            routed(Method::POST, "/callbackBeforeSendSingleMsgCommand"),
            Route::Callback(Some(Command::Other(Some(_))))
        ));
        assert_eq!(
            routed(Method::POST, "/x/callbackAfterTheFutureCommand"),
            Route::Callback(Some(Command::Other(None)))
        );
    }

    #[test]
    fn pages_are_read_and_not_written() {
        for (url, page) in [
            ("/", Route::Landing),
            ("/metrics", Route::Metrics(Scope::Metrics)),
            ("/metrics/groups", Route::Metrics(Scope::Groups)),
            ("/-/healthy", Route::Healthy),
            ("/-/ready", Route::Ready),
            ("/api/v1/summary", Route::Summary),
            ("/api/v1/groups?limit=5", Route::Groups),
        ] {
            assert_eq!(routed(Method::GET, url), page);
            assert_eq!(routed(Method::HEAD, url), page);
            for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
                assert_eq!(routed(method, url), Route::WrongMethod(PAGE_METHODS), "{url}");
            }
        }
    }

    #[test]
    fn what_is_not_there_is_not_found_and_a_callback_s_url_wants_a_post() {
        assert_eq!(routed(Method::GET, "/nothing"), Route::NotFound);
        assert_eq!(routed(Method::GET, "/callbackAfterSendGroupMsgCommand"), Route::WrongMethod(CALLBACK_METHODS));
        assert_eq!(routed(Method::PUT, "/callback"), Route::WrongMethod(CALLBACK_METHODS));
    }
}
