//! Refusals at limits of time, memory and number, and at the wrong address.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use openim_exporter::domain::Reason;
use openim_exporter::http::Limits;

use crate::authority::Authority;
use crate::callbacks::{CALLBACKS, check_obeyed};
use crate::link::{Answer, Link, Protocol};
use crate::served::{HOUR, in_hours};
use crate::site::{Site, basic};
use crate::support::{Client, Exporter, SUCCESS, eventually};

/// Lets the site verify the password, so that further requests do not wait for it.
fn warm_up(site: &Site) {
    let answer = site.open(site.protocols[0]).ask(&site.post(CALLBACKS[0]));
    assert_eq!(answer.body, SUCCESS.as_bytes());
}

#[test]
pub(crate) fn late_bodies() {
    for drains in [false, true] {
        for site in Site::all(in_hours(), |_| ()) {
            warm_up(&site);
            let opened = site.protocols.iter().flat_map(|&protocol| CALLBACKS.map(|one| (one, site.open(protocol))));
            let mut open: Vec<_> = opened.collect();
            for (callback, link) in &mut open {
                link.begin(&site.post(*callback));
            }
            eventually("the requests to be in progress", || site.served.in_progress().1 == open.len());
            if drains {
                site.served.drain();
            }
            site.served.pass(if drains { 3 * HOUR } else { 5 * HOUR });
            for (callback, link) in &mut open {
                callback.check(&format!("drains: {drains}"), &link.answer(), Reason::BodyTimeout);
            }
            assert_eq!((site.refused(Reason::BodyTimeout), site.all_refused()), (open.len() as f64, open.len() as f64));
        }
    }
}

#[test]
pub(crate) fn late_heads() {
    for site in Site::all(in_hours(), |_| ()) {
        // An incomplete head over HTTP/2 cannot be answered: the request has not begun.
        let Some(&protocol) = site.protocols.iter().find(|protocol| **protocol != Protocol::Http2) else { continue };
        let mut open = CALLBACKS.map(|callback| {
            let mut client = client(&site, protocol);
            let path = site.post(callback).path;
            client.send(format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n")).unwrap();
            (callback, client)
        });
        // When this is answered, the others have arrived.
        site.open(protocol).ask(&site.post(CALLBACKS[0]));
        site.served.pass(5 * HOUR);
        for (callback, client) in &mut open {
            let answer = Answer::from(client.answer());
            check_obeyed(&format!("{callback:?} over {protocol:?}"), &answer, Reason::HeaderTimeout);
        }
        assert_eq!(site.refused(Reason::HeaderTimeout), open.len() as f64);
    }
}

pub(crate) fn client(site: &Site, protocol: Protocol) -> Client {
    match site.open(protocol) {
        Link::Http1(client) => client,
        Link::Http2(_) => panic!("HTTP/1 only"),
    }
}

#[test]
pub(crate) fn full_memory() {
    for site in Site::all(Limits::default(), |config| config.max_buffered_bytes = 1) {
        for &protocol in site.protocols {
            for callback in CALLBACKS {
                let mut post = site.post(callback);
                post.in_pieces = true;
                let answer = site.ask_refused(protocol, &post, Reason::Overloaded);
                callback.check(&format!("{protocol:?}"), &answer, Reason::Overloaded);
            }
        }
    }
}

#[test]
pub(crate) fn waiting_passwords() {
    for tls in [false, true] {
        let slow = format!("openim:{}\n", bcrypt::hash("right", 9).unwrap());
        let site = Site::new(tls, true, Limits::default(), |config| {
            std::fs::write(config.access.callback_users.as_ref().unwrap(), &slow).unwrap();
        });
        for &protocol in site.protocols {
            let before = site.refused(Reason::Overloaded);
            let mut open = CALLBACKS.map(|callback| (callback, site.open(protocol)));
            for (number, (callback, link)) in open.iter_mut().enumerate() {
                let mut post = site.post(*callback);
                post.set("authorization", basic(&format!("guess {number} {protocol:?}")));
                link.send(&post);
            }
            for (callback, link) in &mut open {
                let answer = link.answer();
                let reason = if answer.status == 401 { Reason::Unauthorized } else { Reason::Overloaded };
                callback.check(&format!("{protocol:?}"), &answer, reason);
            }
            assert!(site.refused(Reason::Overloaded) - before > CALLBACKS.len() as f64 / 2.0, "{protocol:?}");
        }
    }
}

#[test]
fn too_many_requests_of_one_connection() {
    for is_locked in [false, true] {
        let site = Site::new(true, is_locked, Limits::default(), |config| config.max_connections = 2);
        let mut link = site.open(Protocol::Http2);
        link.begin(&site.post(CALLBACKS[0]));
        let before = site.refused(Reason::Overloaded);
        for callback in CALLBACKS {
            let answer = link.ask(&site.post(callback));
            check_obeyed(&format!("{callback:?}"), &answer, Reason::Overloaded);
        }
        assert_eq!(site.refused(Reason::Overloaded) - before, CALLBACKS.len() as f64);
    }
}

#[test]
pub(crate) fn too_many_connections() {
    for (reason, limit) in [(Reason::TooManyConnections, 1), (Reason::TooManyConnectionsPerAddress, 10)] {
        let site = Site::new(false, false, Limits::default(), |config| {
            config.max_connections = limit;
            config.max_connections_per_address = 1;
        });
        // Not from the trusted proxy's address, which has no limit of its own.
        let connect = || Client::connect_from(site.served.address(), "127.0.0.2".parse().unwrap()).unwrap();
        let mut held = connect();
        assert_eq!(held.post("/callbackBeforeSendGroupMsgCommand", "{}").text(), SUCCESS);
        for (before, callback) in CALLBACKS.into_iter().enumerate() {
            let mut client = connect();
            client.send(site.post(callback).http1()).unwrap();
            check_obeyed(&format!("{callback:?}"), &Answer::from(client.answer()), reason);
            assert_eq!(site.refused(reason), before as f64 + 1.0);
        }
    }
}

#[test]
fn a_connection_over_the_limit_gets_its_answer_after_its_request() {
    for proxy_protocol in [false, true] {
        let site = Site::new(false, false, Limits::default(), |config| {
            config.max_connections_per_address = 1;
            config.proxy_protocol = proxy_protocol;
        });
        let (source, header) =
            if proxy_protocol { ("127.0.0.1", "PROXY TCP4 127.0.0.2 127.0.0.1 1 2\r\n") } else { ("127.0.0.2", "") };
        let connect = || {
            let mut client = Client::connect_from(site.served.address(), source.parse().unwrap()).unwrap();
            client.send(header).unwrap();
            client
        };
        let mut held = connect();
        assert_eq!(held.post("/callbackBeforeSendGroupMsgCommand", "{}").text(), SUCCESS);
        let mut post = site.post(CALLBACKS[0]);
        post.body = vec![b' '; 100_000];
        // Without sweeps, there is no limit on the wait for its request.
        let still = site.served.without_sweeps();
        for _ in 0..10 {
            let mut client = connect();
            thread::sleep(Duration::from_millis(30));
            // The first one would find the response, and the second one the end.
            assert!(!client.is_closed() && !client.is_closed(), "answered before the request");
            for part in post.http1().chunks(50_000) {
                client.send(part).unwrap();
                thread::sleep(Duration::from_millis(10));
            }
            let answer = Answer::from(client.answer());
            check_obeyed("over the limit", &answer, Reason::TooManyConnectionsPerAddress);
        }
        drop(still);
        // A client that sends nothing gets its answer too.
        check_obeyed("silent", &connect().answer().into(), Reason::TooManyConnectionsPerAddress);
    }
}

/// Posts every callback to the telemetry address of an exporter with this web configuration.
fn ask_telemetry(tls: bool, settings: &str, check: impl Fn(&str, u16) -> Reason) {
    let authority = Authority::new();
    authority.issue("server", &["localhost"]);
    let config = if tls { authority.web_config("server", settings) } else { authority.write("web.yml", settings) };
    let flags = ["--web.telemetry-address", "127.0.0.1:0", "--web.config.file", config.to_str().unwrap()];
    let exporter = Exporter::start(&flags);
    let telemetry: SocketAddr = exporter.addresses()[1];
    let site = Site::new(false, false, Limits::default(), |_| ());
    let protocols = if tls { &[Protocol::Tls, Protocol::Http2][..] } else { &[Protocol::Plain] };
    for &protocol in protocols {
        for callback in CALLBACKS {
            let post = site.post(callback);
            let answer = Link::open(&authority, telemetry, protocol).ask(&post);
            let reason = check(&post.path, answer.status);
            callback.check(&format!("{protocol:?}, {settings}"), &answer, reason);
        }
    }
}

#[test]
pub(crate) fn the_telemetry_address() {
    for tls in [false, true] {
        // The page at this path supports other methods.
        let is_page = |path: &str| path.split('?').next() == Some("/");
        ask_telemetry(tls, "", |path, _| if is_page(path) { Reason::MethodNotAllowed } else { Reason::NotFound });
        let users = format!("basic_auth_users:\n  prometheus: {}\n", bcrypt::hash("x", 4).unwrap());
        ask_telemetry(tls, &users, |_, _| Reason::Unauthorized);
        // The first request is admitted.
        ask_telemetry(tls, "rate_limit:\n  interval: 1h\n  burst: 1\n", |_, status| match status {
            404 => Reason::NotFound,
            _ => Reason::RateLimited,
        });
    }
}

#[test]
fn a_page_in_place_of_a_callback_s_path() {
    let site = Site::new(false, false, Limits::default(), |_| ());
    let mut link = site.open(Protocol::Plain);
    for path in ["/metrics", "/metrics/groups", "/-/healthy", "/-/ready", "/api/v1/live", "/favicon.ico"] {
        let mut post = site.post(CALLBACKS[0]);
        path.clone_into(&mut post.path);
        check_obeyed(path, &link.ask(&post), Reason::MethodNotAllowed);
        post.path = format!("{path}?command=callbackBeforeSendGroupMsgCommand");
        assert_eq!(link.ask(&post).body, SUCCESS.as_bytes(), "{path}");
    }
}
