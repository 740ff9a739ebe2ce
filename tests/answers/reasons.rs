//! Each reason for which a callback is refused.

use openim_exporter::domain::Reason;
use openim_exporter::http::Limits;

use crate::callbacks::{CALLBACKS, Callback, Kind, check_obeyed};
use crate::link::{Post, Protocol};
use crate::site::{MAX_BODY_BYTES, SECRET, Site, basic, with_slash};
use crate::{limits, protocols};

/// The reasons that no `POST` to a callback's path can get: they concern pages and actions only.
const OF_PAGES: [Reason; 5] =
    [Reason::BadQuery, Reason::TooManyScrapes, Reason::TooManyViewers, Reason::BadSettings, Reason::Internal];

/// The reason that needs a target: `tests/pass_through`.
const OF_TARGETS: Reason = Reason::ForwardLoop;

/// The reasons that need a site or a client of their own, and their tests.
const ELSEWHERE: [(Reason, fn()); 12] = [
    (Reason::HeaderTimeout, limits::late_heads),
    (Reason::HeaderTimeout, protocols::late_proxy_headers),
    (Reason::BodyTimeout, limits::late_bodies),
    (Reason::BrokenBody, protocols::broken_bodies),
    (Reason::MalformedRequest, protocols::other_protocols),
    (Reason::TooManyConnections, limits::too_many_connections),
    (Reason::TooManyConnectionsPerAddress, limits::too_many_connections),
    (Reason::Overloaded, limits::full_memory),
    (Reason::Overloaded, limits::waiting_passwords),
    (Reason::NotFound, limits::the_telemetry_address),
    (Reason::MethodNotAllowed, limits::the_telemetry_address),
    (Reason::RateLimited, limits::the_telemetry_address),
];

/// The callbacks that a scene concerns.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    Every,
    /// Those whose body is read.
    ReadBodies,
    /// Those of group messages.
    GroupMessages,
    /// All, on a site that requires credentials.
    Locked,
}

/// What is wrong with a request.
struct Scene {
    reason: Reason,
    what: &'static str,
    of: Of,
    change: fn(&mut Post),
}

const fn scene(reason: Reason, what: &'static str, of: Of, change: fn(&mut Post)) -> Scene {
    Scene { reason, what, of, change }
}

fn without_secret(post: &mut Post) {
    post.path = with_slash(post.path.replacen(&format!("/{SECRET}"), "", 1));
}

fn set_body(post: &mut Post, body: impl Into<Vec<u8>>) {
    post.body = body.into();
}

const SCENES: [Scene; 24] = [
    scene(Reason::Unauthorized, "no password", Of::Locked, |post| {
        post.headers.retain(|(name, _)| *name != "authorization");
    }),
    scene(Reason::Unauthorized, "a wrong password", Of::Locked, |post| post.set("authorization", basic("wrong"))),
    scene(Reason::Unauthorized, "another scheme", Of::Locked, |post| post.set("authorization", "Bearer x")),
    scene(Reason::Unauthorized, "no secret", Of::Locked, without_secret),
    scene(Reason::Unauthorized, "a longer secret", Of::Locked, |post| {
        post.path = post.path.replacen(SECRET, &format!("{SECRET}x"), 1);
    }),
    scene(Reason::Forbidden, "a web page", Of::Every, |post| post.set("origin", "https://x.example")),
    scene(Reason::Forbidden, "another network", Of::Every, |post| post.set("x-forwarded-for", "192.0.2.7")),
    scene(Reason::MalformedRequest, "an unknown client", Of::Every, |post| {
        post.set("x-forwarded-for", "127.0.0.7, unknown");
    }),
    scene(Reason::MalformedRequest, "two clients", Of::Every, |post| {
        post.set("x-forwarded-for", "127.0.0.7");
        post.set("forwarded", "for=127.0.0.8");
    }),
    scene(Reason::UnsupportedMediaType, "a form", Of::Every, |post| {
        post.set("content-type", "application/x-www-form-urlencoded");
    }),
    scene(Reason::UnsupportedMediaType, "gzip", Of::Every, |post| post.set("content-encoding", "gzip")),
    scene(Reason::BodyTooLarge, "a length over the limit", Of::Every, |post| {
        set_body(post, [b' '; MAX_BODY_BYTES + 1])
    }),
    scene(Reason::BodyTooLarge, "pieces over the limit", Of::Every, |post| {
        set_body(post, [b' '; MAX_BODY_BYTES + 1]);
        post.in_pieces = true;
    }),
    scene(Reason::BodyTooLarge, "far too much", Of::Every, |post| set_body(post, [b' '; 5 * MAX_BODY_BYTES])),
    scene(Reason::EmptyBody, "an empty body", Of::ReadBodies, |post| set_body(post, "")),
    scene(Reason::MalformedJson, "half a body", Of::ReadBodies, |post| {
        post.body.pop();
    }),
    scene(Reason::MalformedJson, "not UTF-8", Of::ReadBodies, |post| set_body(post, *b"{\"a\":\"\xff\"}")),
    scene(Reason::WrongType, "a list", Of::ReadBodies, |post| set_body(post, "[]")),
    scene(Reason::WrongType, "a command twice", Of::ReadBodies, |post| {
        set_body(post, r#"{"callbackCommand":"callbackX","callbackCommand":"callbackX"}"#);
    }),
    scene(Reason::OutOfRange, "half a character", Of::ReadBodies, |post| {
        set_body(post, r#"{"callbackCommand":"callbackBeforeX","sendID":"u","groupID":"g","new":["\ud800"]}"#);
    }),
    scene(Reason::TooDeep, "many lists", Of::ReadBodies, |post| {
        set_body(post, format!("{{\"a\":{}{}}}", "[".repeat(200), "]".repeat(200)));
    }),
    scene(Reason::ValueTooLong, "a long command", Of::ReadBodies, |post| {
        set_body(post, format!(r#"{{"callbackCommand":"callback{}"}}"#, "x".repeat(9000)));
    }),
    scene(Reason::MissingSender, "no sender", Of::GroupMessages, |post| set_body(post, r#"{"groupID":"g"}"#)),
    scene(Reason::MissingGroup, "no group", Of::GroupMessages, |post| set_body(post, r#"{"sendID":"u"}"#)),
];

impl Scene {
    fn concerns(&self, callback: Callback, site: &Site) -> bool {
        match self.of {
            Of::Every => true,
            Of::ReadBodies => callback.reads_body(),
            Of::GroupMessages => callback.command == "callbackAfterSendGroupMsgCommand",
            Of::Locked => site.is_locked,
        }
    }

    fn request(&self, callback: Callback, site: &Site) -> Post {
        let mut post = site.post(callback);
        (self.change)(&mut post);
        post
    }
}

#[test]
fn every_reason_is_provoked_or_concerns_pages_only() {
    for reason in Reason::ALL {
        let is_provoked = SCENES.iter().any(|scene| scene.reason == reason)
            || ELSEWHERE.iter().any(|(found, _)| *found == reason)
            || [Reason::UnknownCommand, Reason::HeaderTooLarge, OF_TARGETS].contains(&reason);
        let is_of_pages = OF_PAGES.contains(&reason);
        assert!(is_provoked != is_of_pages, "decide whether a callback can be refused as {}", reason.name());
    }
}

#[test]
fn no_refusal_stops_a_user() {
    for site in Site::all(Limits::default(), |_| ()) {
        for &protocol in site.protocols {
            for scene in &SCENES {
                for callback in CALLBACKS.into_iter().filter(|callback| scene.concerns(*callback, &site)) {
                    let answer = site.ask_refused(protocol, &scene.request(callback, &site), scene.reason);
                    callback.check(&format!("{} over {protocol:?}", scene.what), &answer, scene.reason);
                }
            }
        }
    }
}

#[test]
fn no_refusal_while_draining_stops_a_user() {
    for site in Site::all(Limits::default(), |_| ()) {
        let mut open = Vec::new();
        for &protocol in site.protocols {
            for scene in &SCENES {
                // One of each kind of callback.
                let of_scene = CALLBACKS.into_iter().filter(|callback| scene.concerns(*callback, &site)).step_by(4);
                open.extend(of_scene.map(|callback| (scene, callback, site.open(protocol))));
            }
        }
        let before = site.all_refused();
        site.served.drain();
        let number = open.len();
        for (scene, callback, mut link) in open {
            let answer = link.ask(&scene.request(callback, &site));
            callback.check(&format!("{} while draining", scene.what), &answer, scene.reason);
        }
        assert_eq!(site.all_refused() - before, number as f64);
    }
}

#[test]
fn a_large_head_is_refused_before_its_command_is_known() {
    for site in Site::all(Limits::default(), |_| ()) {
        for &protocol in site.protocols {
            for callback in CALLBACKS {
                let mut post = site.post(callback);
                // HTTP/2's library itself refuses a head over 64 KiB, which Go's client does not send.
                let length = if protocol == Protocol::Http2 { 40_000 } else { 70_000 };
                post.set("operationid", "x".repeat(length));
                let answer = site.ask_refused(protocol, &post, Reason::HeaderTooLarge);
                check_obeyed(&format!("{callback:?} over {protocol:?}"), &answer, Reason::HeaderTooLarge);
            }
        }
    }
}

#[test]
fn a_request_that_is_no_callback_is_refused_with_action_code_1() {
    for site in Site::all(Limits::default(), |_| ()) {
        for &protocol in site.protocols {
            for callback in CALLBACKS.into_iter().filter(|callback| callback.kind == Kind::ObeyedByBody) {
                for body in ["{}", r#"{"callbackCommand":"hello"}"#, r#"{"callbackCommand":null}"#, r#"{"sendID":"u"}"#]
                {
                    let mut post = site.post(callback);
                    set_body(&mut post, body);
                    let answer = site.ask_refused(protocol, &post, Reason::UnknownCommand);
                    let found: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
                    assert_eq!((&found["actionCode"], &found["errCode"]), (&1.into(), &404.into()), "{found}");
                }
            }
        }
    }
}

#[test]
fn an_obeyed_callback_at_the_path_of_an_ignored_one_is_not_refused() {
    // OpenIM 2.3 posts all callbacks to one URL, which may be the one that its documentation gives for group messages.
    for site in Site::all(Limits::default(), |_| ()) {
        for &protocol in site.protocols {
            for group_message in CALLBACKS.into_iter().filter(|callback| callback.kind == Kind::Read) {
                for command in ["callbackOfflinePushCommand", "callbackWordFilterCommand", "CallbackBeforeXCommand"] {
                    let mut post = site.post(group_message);
                    set_body(&mut post, format!(r#"{{"callbackCommand":"{command}"}}"#));
                    let answer = site.ask_refused(protocol, &post, Reason::MissingSender);
                    check_obeyed(command, &answer, Reason::MissingSender);
                }
            }
        }
    }
}
