//! Finds the route of a request.

use std::borrow::Cow;

use hyper::Method;
use hyper::http::request::Parts;

use super::form;
use crate::config::{self, ExternalUrl};
use crate::domain::AnswerUse;
use crate::exposition::Scope;
use crate::http::base::caller::Role;
use crate::http::site::GROUPS;
use crate::page;
use crate::telemetry::Erasure;
use crate::wire::Command;

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// A callback, and the command in the URL if there is one.
    Callback(Option<Command>),
    /// A scrape.
    Metrics(Scope),
    /// Whether the process is alive.
    Healthy,
    /// Whether the process accepts callbacks.
    Ready,
    /// The icon that browsers request: an empty one.
    Icon,
    /// The file of the live page at this position.
    Page(usize),
    /// The prefix of the external URL without its last slash, from which relative links would lead elsewhere.
    PageWithoutSlash,
    /// All statistics, from the API.
    Summary,
    /// Groups, from the API.
    Groups,
    /// The numbers of minutes, hours or days, from the API.
    History,
    /// The daily report, from the API.
    Days,
    /// The events of the live page, from the API.
    Live,
    /// Erase the group or the person that the path's last segment names.
    Erase(Erasure),
    /// Reload the settings' files.
    Reload,
    /// End the process.
    Quit,
    /// The path supports only these methods.
    WrongMethod(&'static str),
    /// Nothing is served at the path.
    NotFound,
}

impl Route {
    /// Whether the route exists, is enabled and supports the method.
    pub(super) const fn is_served(self, config: &config::Http) -> bool {
        match self {
            Self::WrongMethod(_) | Self::NotFound => false,
            Self::Reload | Self::Quit => config.lifecycle,
            Self::Erase(_) => config.admin_api,
            Self::Callback(_) | Self::Metrics(_) | Self::Healthy | Self::Ready | Self::Icon => true,
            Self::Page(_) | Self::PageWithoutSlash | Self::Summary | Self::Groups | Self::Live => true,
            Self::History | Self::Days => true,
        }
    }

    /// What OpenIM does with the answer. A `POST` to a path that accepts no `POST` may be a callback that is sent to
    /// the wrong address or path.
    pub(super) fn answer_use(self, head: &Parts) -> AnswerUse {
        match self {
            Self::Callback(command) => answer_use(command, head.uri.query()),
            Self::NotFound | Self::WrongMethod(_) if head.method == Method::POST => {
                answer_use(command_in_url(head.uri.path(), head.uri.query()), head.uri.query())
            }
            _ => AnswerUse::Ignored,
        }
    }
}

/// What OpenIM does with the answer to a callback with this command in its URL, if any. OpenIM 3.0 to 3.4.0 append a
/// query with the command to the configured URL, which may itself end with the name of another command.
fn answer_use(command: Option<Command>, query: Option<&str>) -> AnswerUse {
    let answer_use = |command: Option<Command>| command.map_or(AnswerUse::Obeyed, Command::answer_use);
    match answer_use(command) {
        AnswerUse::Ignored if query.and_then(command_in_query).is_some_and(Command::may_be_obeyed) => AnswerUse::Obeyed,
        found => found,
    }
}

/// What is served at a listening socket, or behind the secret.
#[derive(Clone, Copy, Debug)]
pub(super) struct Served<'a> {
    /// The path of the metrics.
    pub(super) telemetry_path: &'a str,
    /// Everything is also served below the path of this URL.
    pub(super) external_url: Option<&'a ExternalUrl>,
    pub(super) pages: bool,
    pub(super) health: bool,
    pub(super) callbacks: bool,
}

impl<'a> Served<'a> {
    /// What a listening socket serves.
    pub(super) const fn new(role: Role, telemetry_path: &'a str, external_url: Option<&'a ExternalUrl>) -> Self {
        Self { telemetry_path, external_url, pages: role.has_pages(), health: true, callbacks: role.takes_callbacks() }
    }

    /// What is served behind the secret: only callbacks.
    pub(super) const fn behind_secret(self) -> Self {
        Self { pages: false, health: false, ..self }
    }
}

const PAGE_METHODS: &str = "GET, HEAD";
const ACTION_METHODS: &str = "POST";
const ERASURE_METHODS: &str = "DELETE";

/// Finds the route of a request. For a `POST`, a command in the URL comes first. A `POST` to a path that serves
/// nothing, or only a file of the page, is a callback. If the URL has no command, the body must contain it.
pub(super) fn route(method: &Method, path: &str, query: Option<&str>, served: Served<'_>) -> Route {
    let command = || if served.callbacks { command_in_url(path, query) } else { None };
    let below_prefix = || match served.external_url?.strip(path)? {
        "" if served.pages => Some(Route::PageWithoutSlash),
        rest => page_at(rest, served),
    };
    let page = page_at(path, served).or_else(below_prefix);
    match (method, page) {
        (&Method::POST, Some(action @ (Route::Reload | Route::Quit))) => action,
        (_, Some(Route::Reload | Route::Quit)) => Route::WrongMethod(ACTION_METHODS),
        (&Method::DELETE, Some(erasure @ Route::Erase(_))) => erasure,
        // OpenIM 2.3 adds no path to its URL.
        (&Method::POST, None | Some(Route::Page(_) | Route::PageWithoutSlash | Route::Erase(_)))
            if served.callbacks =>
        {
            Route::Callback(command())
        }
        (_, Some(Route::Erase(_))) => Route::WrongMethod(ERASURE_METHODS),
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
        // At every address and without a password, because a refusal would be logged.
        "/favicon.ico" if served.health => return Some(Route::Icon),
        _ if !served.pages => return None,
        _ => {}
    }
    match path {
        _ if path == served.telemetry_path => Some(Route::Metrics(Scope::Metrics)),
        _ if path.strip_suffix(GROUPS) == Some(served.telemetry_path.trim_end_matches('/')) => {
            Some(Route::Metrics(Scope::Groups))
        }
        "/-/reload" => Some(Route::Reload),
        "/-/quit" => Some(Route::Quit),
        "/api/v1/summary" => Some(Route::Summary),
        "/api/v1/groups" => Some(Route::Groups),
        "/api/v1/live" => Some(Route::Live),
        "/api/v1/history" => Some(Route::History),
        "/api/v1/days" => Some(Route::Days),
        _ => erasure_at(path).or_else(|| page::find(path).map(Route::Page)),
    }
}

/// The ID is a whole segment: a slash in it is encoded.
fn erasure_at(path: &str) -> Option<Route> {
    let (kind, id) = match path.strip_prefix("/api/v1/groups/") {
        Some(id) => (Erasure::Group, id),
        None => (Erasure::User, path.strip_prefix("/api/v1/users/")?),
    };
    (!id.is_empty() && !id.contains('/')).then_some(Route::Erase(kind))
}

/// The command at the end of the path (since OpenIM 3.4.2), or else in the query (earlier versions).
fn command_in_url(path: &str, query: Option<&str>) -> Option<Command> {
    Command::from_path(path).or_else(|| command_in_query(query?))
}

fn command_in_query(query: &str) -> Option<Command> {
    Command::from_name(&name_in_query(query)?)
}

/// The name of the command in a query, as it was sent.
pub(super) fn name_in_query(query: &str) -> Option<Cow<'_, str>> {
    query.split('&').find_map(|pair| {
        let name = form::decode(pair.strip_prefix("command=")?).ok()?;
        Command::from_name(&name).is_some().then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routed(method: Method, url: &str) -> Route {
        at(Role::All, method, url)
    }

    fn at(role: Role, method: Method, url: &str) -> Route {
        of(Served::new(role, "/metrics", None), method, url)
    }

    fn of(served: Served<'_>, method: Method, url: &str) -> Route {
        let (path, query) = url.split_once('?').map_or((url, None), |(path, query)| (path, Some(query)));
        route(&method, path, query, served)
    }

    #[test]
    fn every_form_of_openim_s_url_is_a_group_message() {
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
    fn a_post_to_a_path_that_serves_nothing_else_is_a_callback() {
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
    fn pages_support_only_get_and_head() {
        for (url, page) in [
            ("/", Route::Page(page::find("/").unwrap())),
            ("/page/main.js", Route::Page(page::find("/page/main.js").unwrap())),
            ("/metrics", Route::Metrics(Scope::Metrics)),
            ("/metrics/groups", Route::Metrics(Scope::Groups)),
            ("/-/healthy", Route::Healthy),
            ("/-/ready", Route::Ready),
            ("/favicon.ico", Route::Icon),
            ("/api/v1/summary", Route::Summary),
            ("/api/v1/groups?limit=5", Route::Groups),
            ("/api/v1/live?format=json", Route::Live),
            ("/api/v1/history?step=hour", Route::History),
            ("/api/v1/days", Route::Days),
        ] {
            assert_eq!(routed(Method::GET, url), page);
            assert_eq!(routed(Method::HEAD, url), page);
            for method in [Method::PUT, Method::DELETE, Method::OPTIONS] {
                assert_eq!(routed(method, url), Route::WrongMethod(PAGE_METHODS), "{url}");
            }
            let is_file = matches!(page, Route::Page(_));
            let posted = if is_file { Route::Callback(None) } else { Route::WrongMethod(PAGE_METHODS) };
            assert_eq!(routed(Method::POST, url), posted, "{url}");
        }
    }

    #[test]
    fn only_delete_erases_and_a_post_to_the_same_path_is_a_callback() {
        let command = Some(Command::GroupMessage);
        for (path, kind) in [
            ("/api/v1/groups/g1", Erasure::Group),
            ("/api/v1/groups/a%2Fb%3F", Erasure::Group),
            ("/api/v1/users/%E7%BE%A4", Erasure::User),
            ("/api/v1/users/callbackAfterSendGroupMsgCommand", Erasure::User),
        ] {
            assert_eq!(routed(Method::DELETE, path), Route::Erase(kind), "{path}");
            assert_eq!(at(Role::Telemetry, Method::DELETE, path), Route::Erase(kind), "{path}");
            for method in [Method::GET, Method::HEAD, Method::PUT, Method::OPTIONS] {
                assert_eq!(routed(method, path), Route::WrongMethod(ERASURE_METHODS), "{path}");
            }
            let of_path = command.filter(|_| path.ends_with("Command"));
            assert_eq!(routed(Method::POST, path), Route::Callback(of_path), "{path}");
            let query = format!("{path}?command=callbackAfterSendGroupMsgCommand");
            assert_eq!(routed(Method::POST, &query), Route::Callback(command), "{path}");
            assert_eq!(at(Role::Telemetry, Method::POST, path), Route::WrongMethod(ERASURE_METHODS), "{path}");
            assert_eq!(at(Role::Callbacks, Method::POST, path), Route::Callback(of_path), "{path}");
            assert_eq!(at(Role::Callbacks, Method::DELETE, path), Route::WrongMethod(ACTION_METHODS), "{path}");
        }
        for path in ["/api/v1/groups/", "/api/v1/groups/a/b", "/api/v1/users", "/api/v1/user/u", "/x/api/v1/users/u"] {
            assert!(!matches!(routed(Method::DELETE, path), Route::Erase(_)), "{path}");
        }
    }

    #[test]
    fn unknown_paths_are_not_found_and_callbacks_require_post() {
        assert_eq!(routed(Method::GET, "/nothing"), Route::NotFound);
        assert_eq!(routed(Method::GET, "/callbackAfterSendGroupMsgCommand"), Route::WrongMethod(ACTION_METHODS));
        assert_eq!(routed(Method::PUT, "/callback"), Route::WrongMethod(ACTION_METHODS));
    }

    #[test]
    fn a_callback_socket_has_only_health_pages_and_a_telemetry_socket_no_callbacks() {
        let callback = "/callbackAfterSendGroupMsgCommand";
        for role in [Role::Callbacks, Role::Telemetry, Role::All] {
            assert_eq!(at(role, Method::GET, "/-/healthy"), Route::Healthy);
            assert_eq!(at(role, Method::GET, "/-/ready"), Route::Ready);
        }
        for page in ["/", "/page/page.css", "/metrics", "/metrics/groups", "/api/v1/summary", "/api/v1/live"] {
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
    fn pages_are_also_below_the_prefix_and_callbacks_anywhere() {
        let external_url = ExternalUrl::parse("https://example.com/x/exporter/").unwrap();
        let served = |role| Served::new(role, "/metrics", Some(&external_url));
        let pages = ["/", "/page/page.css", "/metrics", "/metrics/groups", "/-/ready", "/favicon.ico", "/api/v1/live"];
        for path in pages.into_iter().chain(["/api/v1/groups/g", "/api/v1/users/u"]) {
            let below = format!("/x/exporter{path}");
            for method in [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE] {
                assert_eq!(of(served(Role::All), method.clone(), &below), routed(method, path), "{path}");
            }
        }
        assert_eq!(of(served(Role::All), Method::GET, "/x/exporter"), Route::PageWithoutSlash);
        assert_eq!(of(served(Role::Callbacks), Method::GET, "/x/exporter"), Route::NotFound);
        assert_eq!(of(served(Role::Callbacks), Method::GET, "/x/exporter/metrics"), Route::NotFound);
        for path in ["/x", "/x/exportermetrics", "/x/exporter/x/exporter/metrics", "/x/exporter/nothing"] {
            assert_eq!(of(served(Role::All), Method::GET, path), Route::NotFound, "{path}");
        }
        for path in ["/x/exporter", "/x/exporter/", "/x/exporter/callback", "/x/exporter/page/main.js"] {
            assert_eq!(of(served(Role::All), Method::POST, path), Route::Callback(None), "{path}");
        }
        let callback = of(served(Role::All), Method::POST, "/x/exporter/callbackAfterSendGroupMsgCommand");
        assert_eq!(callback, Route::Callback(Some(Command::GroupMessage)));
    }

    #[test]
    fn only_callbacks_are_served_behind_the_secret() {
        let served = Served::new(Role::All, "/metrics", None).behind_secret();
        for path in ["/", "/metrics", "/-/healthy", "/-/reload", "/api/v1/summary"] {
            assert_eq!(of(served, Method::GET, path), Route::NotFound, "{path}");
            assert_eq!(of(served, Method::POST, path), Route::Callback(None), "{path}");
        }
        assert_eq!(of(served, Method::DELETE, "/api/v1/users/u"), Route::WrongMethod(ACTION_METHODS));
    }
}
