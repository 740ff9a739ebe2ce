//! Which request wants what.

use hyper::Method;

use crate::exposition::Scope;
use crate::http::base::role::Role;
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
    /// The files of the settings are to be read again.
    Reload,
    /// The process is to end.
    Quit,
    /// The path takes other methods: these.
    WrongMethod(&'static str),
    /// Nothing is here.
    NotFound,
}

impl Route {
    /// Whether what is wanted is there, and takes this method; `lifecycle` says whether actions are.
    pub(super) const fn is_served(self, lifecycle: bool) -> bool {
        match self {
            Self::WrongMethod(_) | Self::NotFound => false,
            Self::Reload | Self::Quit => lifecycle,
            Self::Callback(_) | Self::Metrics(_) | Self::Healthy | Self::Ready => true,
            Self::Landing | Self::Summary | Self::Groups => true,
        }
    }
}

/// What is served where a request has come to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Served<'a> {
    /// The metrics' path.
    pub(super) telemetry_path: &'a str,
    pub(super) pages: bool,
    pub(super) health: bool,
    pub(super) callbacks: bool,
}

impl<'a> Served<'a> {
    /// At a listening socket.
    pub(super) const fn at(role: Role, telemetry_path: &'a str) -> Self {
        Self { telemetry_path, pages: role.has_pages(), health: true, callbacks: role.takes_callbacks() }
    }

    /// Behind the secret: callbacks and nothing else.
    pub(super) const fn behind_secret(self) -> Self {
        Self { pages: false, health: false, ..self }
    }
}

const PAGE_METHODS: &str = "GET, HEAD";
const ACTION_METHODS: &str = "POST";

/// Behind the metrics' path: those of every tracked group.
const GROUPS: &str = "/groups";

/// Tells what a request wants. A command in the URL comes before everything else; a `POST` to a path that serves
/// nothing else is a callback whose body must say its command.
pub(super) fn route(method: &Method, path: &str, query: Option<&str>, served: Served<'_>) -> Route {
    let command = || if served.callbacks { command_in_url(path, query) } else { None };
    let page = page_at(path, served);
    match (method, page) {
        (&Method::POST, Some(action @ (Route::Reload | Route::Quit))) => action,
        (_, Some(Route::Reload | Route::Quit)) => Route::WrongMethod(ACTION_METHODS),
        (&Method::POST, None) if served.callbacks => Route::Callback(command()),
        (&Method::POST, Some(_)) => match command() {
            Some(command) => Route::Callback(Some(command)),
            None => Route::WrongMethod(PAGE_METHODS),
        },
        (&Method::GET | &Method::HEAD, Some(page)) => page,
        (&Method::GET | &Method::HEAD, None) if command().is_none() => Route::NotFound,
        (_, Some(_)) => Route::WrongMethod(PAGE_METHODS),
        (_, None) if served.callbacks => Route::WrongMethod(ACTION_METHODS),
        (_, None) => Route::NotFound,
    }
}

fn page_at(path: &str, served: Served<'_>) -> Option<Route> {
    match path {
        "/-/healthy" if served.health => return Some(Route::Healthy),
        "/-/ready" if served.health => return Some(Route::Ready),
        _ if !served.pages => return None,
        _ => {}
    }
    match path {
        _ if path == served.telemetry_path => Some(Route::Metrics(Scope::Metrics)),
        _ if path.strip_suffix(GROUPS) == Some(served.telemetry_path.trim_end_matches('/')) => {
            Some(Route::Metrics(Scope::Groups))
        }
        "/" => Some(Route::Landing),
        "/-/reload" => Some(Route::Reload),
        "/-/quit" => Some(Route::Quit),
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
        at(Role::All, method, url)
    }

    fn at(role: Role, method: Method, url: &str) -> Route {
        of(Served::at(role, "/metrics"), method, url)
    }

    fn of(served: Served<'_>, method: Method, url: &str) -> Route {
        let (path, query) = url.split_once('?').map_or((url, None), |(path, query)| (path, Some(query)));
        route(&method, path, query, served)
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
        assert_eq!(routed(Method::GET, "/callbackAfterSendGroupMsgCommand"), Route::WrongMethod(ACTION_METHODS));
        assert_eq!(routed(Method::PUT, "/callback"), Route::WrongMethod(ACTION_METHODS));
    }

    #[test]
    fn a_socket_of_callbacks_has_no_pages_but_health_and_one_of_telemetry_takes_no_callbacks() {
        let callback = "/callbackAfterSendGroupMsgCommand";
        for role in [Role::Callbacks, Role::Telemetry, Role::All] {
            assert_eq!(at(role, Method::GET, "/-/healthy"), Route::Healthy);
            assert_eq!(at(role, Method::GET, "/-/ready"), Route::Ready);
        }
        for page in ["/", "/metrics", "/metrics/groups", "/api/v1/summary", "/api/v1/groups"] {
            assert_eq!(at(Role::Callbacks, Method::GET, page), Route::NotFound, "{page}");
            assert_eq!(at(Role::Telemetry, Method::GET, page), routed(Method::GET, page));
        }
        for action in ["/-/reload", "/-/quit"] {
            assert_eq!(at(Role::Callbacks, Method::POST, action), Route::Callback(None), "{action}");
            assert!(matches!(at(Role::Telemetry, Method::POST, action), Route::Reload | Route::Quit));
            assert_eq!(at(Role::Telemetry, Method::GET, action), Route::WrongMethod(ACTION_METHODS));
        }
        assert_eq!(at(Role::Callbacks, Method::POST, callback), routed(Method::POST, callback));
        assert_eq!(at(Role::Callbacks, Method::POST, "/metrics"), Route::Callback(None));
        for url in [callback, "/callback", "/?command=callbackAfterSendGroupMsgCommand"] {
            let route = at(Role::Telemetry, Method::POST, url);
            assert!(matches!(route, Route::NotFound | Route::WrongMethod(PAGE_METHODS)), "{url}: {route:?}");
        }
    }

    #[test]
    fn behind_the_secret_there_are_only_callbacks() {
        let served = Served::at(Role::All, "/metrics").behind_secret();
        for path in ["/", "/metrics", "/-/healthy", "/-/reload", "/api/v1/summary"] {
            assert_eq!(of(served, Method::GET, path), Route::NotFound, "{path}");
            assert_eq!(of(served, Method::POST, path), Route::Callback(None), "{path}");
        }
    }
}
