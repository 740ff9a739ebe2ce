//! Every combination of endpoint, {no, wrong, right} credentials, {one, two} listeners and {plain, TLS}.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio_rustls::rustls::ClientConfig;

use crate::authority::Authority;
use crate::support::{Client, Exporter, GROUP_MESSAGE_PATH, Response, message, post_bytes};
use crate::{basic, get, hash};

const SECRET: &str = "0123456789abcdef-the-secret";

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Health,
    Page,
    Action,
    Erasure,
    Nothing,
    Callback,
}

/// The endpoint whose success ends the process.
const QUIT: &str = "/-/quit";

const ENDPOINTS: [(Kind, &str); 18] = [
    (Kind::Health, "/-/healthy"),
    (Kind::Health, "/-/ready"),
    (Kind::Page, "/metrics"),
    (Kind::Page, "/metrics/groups"),
    (Kind::Page, "/"),
    (Kind::Page, "/page/page.css"),
    (Kind::Page, "/api/v1/live?format=json"),
    (Kind::Page, "/api/v1/summary"),
    (Kind::Page, "/api/v1/groups"),
    (Kind::Action, "/-/reload"),
    (Kind::Action, QUIT),
    (Kind::Erasure, "/api/v1/groups/none"),
    (Kind::Erasure, "/api/v1/users/none"),
    (Kind::Nothing, "/nothing"),
    (Kind::Callback, GROUP_MESSAGE_PATH),
    (Kind::Callback, "/callback"),
    (Kind::Callback, "/any/prefix/callbackAfterSendGroupMsgCommand"),
    (Kind::Callback, "/?command=callbackAfterSendGroupMsgCommand"),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Credentials {
    No,
    /// A wrong password, and for callbacks a secret whose last letter is wrong.
    Wrong,
    /// The right ones of the other kind of endpoint.
    TheOthers,
    Right,
}

const CREDENTIALS: [Credentials; 4] = [Credentials::No, Credentials::Wrong, Credentials::TheOthers, Credentials::Right];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Socket {
    All,
    Callbacks,
    Telemetry,
}

/// The status that the contract requires.
fn expected(kind: Kind, path: &str, credentials: Credentials, socket: Socket) -> u16 {
    let is_right = credentials == Credentials::Right;
    match (kind, socket) {
        (Kind::Health, _) => 200,
        (Kind::Page | Kind::Nothing, Socket::Callbacks) => 404,
        // At the callback listener this is a callback path, and the request has no secret.
        (Kind::Action, Socket::Callbacks) => 401,
        (Kind::Erasure, Socket::Callbacks) => 405,
        // Nothing is stored there.
        (Kind::Nothing | Kind::Erasure, _) => {
            if is_right {
                404
            } else {
                401
            }
        }
        (Kind::Callback, Socket::Telemetry) if credentials != Credentials::TheOthers => 401,
        // This is the path of the page.
        (Kind::Callback, Socket::Telemetry) if path.starts_with("/?") => 405,
        (Kind::Callback, Socket::Telemetry) => 404,
        (Kind::Page | Kind::Action | Kind::Callback, _) => {
            if is_right {
                200
            } else {
                401
            }
        }
    }
}

fn request(kind: Kind, path: &str, credentials: Credentials) -> Vec<u8> {
    let (page, callback) = (basic("prometheus", "scrape me"), basic("openim", "call me"));
    let of_callback = kind == Kind::Callback;
    let authorization = match credentials {
        Credentials::No => String::new(),
        Credentials::Wrong if of_callback => basic("openim", "call me!"),
        Credentials::Wrong => basic("prometheus", "scrape me!"),
        Credentials::Right if of_callback => callback,
        Credentials::TheOthers if !of_callback => callback,
        Credentials::Right | Credentials::TheOthers => page,
    };
    let header = if authorization.is_empty() { authorization } else { format!("authorization: {authorization}\r\n") };
    let headers = format!("{header}connection: close\r\n");
    if !of_callback {
        return match kind {
            Kind::Action => {
                format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n{headers}\r\n").into_bytes()
            }
            Kind::Erasure => get(path, &headers).replacen("GET", "DELETE", 1).into_bytes(),
            _ => get(path, &headers).into_bytes(),
        };
    }
    let path = match credentials {
        Credentials::No | Credentials::TheOthers => path.to_owned(),
        Credentials::Wrong => format!("/{SECRET}x{path}"),
        Credentials::Right => format!("/{SECRET}{path}"),
    };
    let body = message("g", "u").replace('{', r#"{"callbackCommand":"callbackAfterSendGroupMsgCommand","#);
    post_bytes(&path, &headers, body.as_bytes())
}

/// An exporter that requires all credentials, and its addresses.
fn locked(authority: &Authority, tls: bool, two: bool) -> (Exporter, Vec<(Socket, SocketAddr)>) {
    let users = format!("basic_auth_users:\n  prometheus: {}\n", hash("scrape me"));
    let config = if tls { authority.web_config("server", &users) } else { authority.write("web.yml", users) };
    let secret = authority.write("secret", format!("{SECRET}\n"));
    let callers = authority.write("callers", format!("openim:{}\n", hash("call me")));
    let [config, secret, callers] = [&config, &secret, &callers].map(|path| path.to_str().unwrap());
    let mut flags = vec!["--web.config.file", config, "--callback.secret-file", secret];
    flags.extend(["--callback.basic-auth-file", callers, "--web.enable-lifecycle", "--web.enable-admin-api"]);
    if !two {
        let exporter = Exporter::start(&flags);
        let sockets = vec![(Socket::All, exporter.address())];
        return (exporter, sockets);
    }
    flags.extend(["--web.telemetry-address", "127.0.0.1:0"]);
    let exporter = Exporter::start(&flags);
    let [callbacks, telemetry] = exporter.addresses() else { panic!("{:?}", exporter.addresses()) };
    let sockets = vec![(Socket::Callbacks, *callbacks), (Socket::Telemetry, *telemetry)];
    (exporter, sockets)
}

fn ask(address: SocketAddr, tls: Option<&Arc<ClientConfig>>, bytes: &[u8]) -> Response {
    let client = match tls {
        Some(tls) => Client::connect_secure(address, tls),
        None => Client::connect(address),
    };
    let mut client = client.unwrap();
    client.send(bytes).unwrap();
    client.answer()
}

#[test]
fn every_endpoint_admits_only_the_intended_clients() {
    let authority = Authority::new();
    authority.issue("server", &["localhost"]);
    let client = authority.client(None);
    for (tls, two) in [(false, false), (false, true), (true, false), (true, true)] {
        let (exporter, sockets) = locked(&authority, tls, two);
        let client = tls.then_some(&client);
        let mut callbacks = 0;
        for (socket, address) in &sockets {
            for (kind, path) in ENDPOINTS {
                for credentials in CREDENTIALS {
                    let cell = format!("{path}, {credentials:?}, {socket:?}, TLS {tls}");
                    let status = expected(kind, path, credentials, *socket);
                    if path == QUIT && status == 200 {
                        // Requested last, below.
                        continue;
                    }
                    let answer = ask(*address, client, &request(kind, path, credentials));
                    assert_eq!(answer.status, status, "{cell}: {}", answer.text());
                    callbacks += usize::from(kind == Kind::Callback && status == 200);
                    if status >= 400 {
                        let (_, detail) = answer.refusal(status);
                        assert!(!detail.contains(SECRET), "{cell}: {detail}");
                        let asks = answer.header("www-authenticate");
                        assert_eq!(asks.is_some(), status == 401, "{cell}: {asks:?}");
                    }
                }
            }
        }
        let (_, telemetry) = sockets.last().unwrap();
        let metrics = ask(*telemetry, client, &request(Kind::Page, "/metrics", Credentials::Right)).text();
        let samples = crate::support::Samples::parse(&metrics);
        assert_eq!(samples.sum("openim_group_messages_total"), callbacks as f64);
        assert_eq!(callbacks, 4);
        assert_eq!(ask(*telemetry, client, &request(Kind::Action, QUIT, Credentials::Right)).status, 200);
        let (status, log) = exporter.wait();
        assert!(status.success(), "{log:#?}");
        assert!(log.iter().all(|line| !line.contains(SECRET)), "the secret is in the log");
    }
}

#[test]
fn two_authorization_headers_are_refused() {
    let authority = Authority::new();
    let (exporter, _) = locked(&authority, false, false);
    let (right, wrong) = (basic("prometheus", "scrape me"), basic("prometheus", "scrape me!"));
    for (headers, status) in [(vec![&right], 200), (vec![&right, &wrong], 401), (vec![&wrong, &right], 401)] {
        let headers: String = headers.iter().map(|value| format!("authorization: {value}\r\n")).collect();
        assert_eq!(ask(exporter.address(), None, get("/metrics", &headers).as_bytes()).status, status, "{headers}");
    }
}
