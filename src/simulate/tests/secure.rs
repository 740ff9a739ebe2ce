//! Servers with TLS and with passwords.

use std::pin::pin;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::Version;
use hyper::server::conn::http2;
use hyper::service::Service;
use hyper_util::rt::TokioExecutor;
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair, date_time_ymd};
use tempfile::NamedTempFile;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::server::TlsStream;

use super::*;
use crate::config::simulate::CertificateTrust;
use crate::wire;

/// The response to a request; an error closes the connection or resets the stream.
type TestResponse = Result<Response<Full<Bytes>>, io::Error>;

/// How HTTP/2 connections end.
#[derive(Clone, Copy)]
enum ServerEnd {
    Never,
    /// This long after its first response, without GOAWAY.
    Abrupt(Duration),
    /// After this time, with GOAWAY.
    Graceful(Duration),
}

/// A server with the name `localhost`, and the file with its authority.
struct Secure {
    port: u16,
    authority: NamedTempFile,
    seen: Seen,
}

impl Secure {
    /// Starts a server with this protocol. `answer` gets the number of the request.
    async fn start(alpn: &str, end: ServerEnd, answer: fn(u64) -> TestResponse) -> Self {
        Self::start_with(|_| (), alpn, end, answer).await
    }

    /// The same with another self-signed certificate.
    async fn start_with(
        change: impl FnOnce(&mut CertificateParams),
        alpn: &str,
        end: ServerEnd,
        answer: fn(u64) -> TestResponse,
    ) -> Self {
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        change(&mut params);
        let signing_key = KeyPair::generate().unwrap();
        let cert = params.self_signed(&signing_key).unwrap();
        let authority = NamedTempFile::new().unwrap();
        std::fs::write(authority.path(), cert.pem()).unwrap();
        let acceptor = acceptor(cert.der().clone(), &signing_key, alpn);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Seen::default();
        let all = seen.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                all.connections.fetch_add(1, Ordering::Relaxed);
                let (acceptor, all) = (acceptor.clone(), all.clone());
                tokio::spawn(async move {
                    // Clients that do not trust the server close the connection.
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                    let answered = Arc::new(Notify::new());
                    let has_answered = Arc::clone(&answered);
                    let service = service_fn(move |request| {
                        let (all, has_answered) = (all.clone(), Arc::clone(&has_answered));
                        async move {
                            let response = answer(all.take(request).await);
                            has_answered.notify_one();
                            response
                        }
                    });
                    if is_http2 {
                        serve_http2(TokioIo::new(stream), service, end, &answered).await;
                    } else {
                        let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                    }
                });
            }
        });
        Self { port, authority, seen }
    }

    fn options(&self, until: Until) -> Simulate {
        let mut simulate = options(self.port, until);
        simulate.target.host = "localhost".to_owned();
        simulate.target.authority = format!("localhost:{}", self.port);
        simulate.target.trust = Some(CertificateTrust::Authorities(self.authority.path().to_owned()));
        simulate
    }
}

async fn serve_http2<S>(stream: TokioIo<TlsStream<TcpStream>>, service: S, end: ServerEnd, answered: &Notify)
where
    S: Service<Request<Incoming>, Response = Response<Full<Bytes>>, Error = io::Error>,
    S::Future: Send + 'static,
{
    let mut serve = pin!(http2::Builder::new(TokioExecutor::new()).serve_connection(stream, service));
    let due = async {
        match end {
            ServerEnd::Never => pending().await,
            ServerEnd::Abrupt(after) => {
                answered.notified().await;
                sleep(after).await;
            }
            ServerEnd::Graceful(lifetime) => sleep(lifetime).await,
        }
    };
    let is_due = tokio::select! {
        _ = serve.as_mut() => false,
        () = due => true,
    };
    if is_due && matches!(end, ServerEnd::Graceful(_)) {
        serve.as_mut().graceful_shutdown();
        let _ = serve.await;
    }
}

fn acceptor(certificate: CertificateDer<'static>, key: &KeyPair, alpn: &str) -> TlsAcceptor {
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key.serialize_der().try_into().unwrap())
        .unwrap();
    config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

#[expect(clippy::unnecessary_wraps, reason = "other answers can fail")]
fn success_always(_: u64) -> TestResponse {
    Ok(success())
}

async fn run_error(options: &Simulate) -> String {
    run(options, pending(), |_| {}).await.unwrap_err().to_string()
}

#[tokio::test]
async fn the_protocol_that_the_server_offers_is_used_over_persistent_connections() {
    let each = [("h2", Version::HTTP_2, "HTTP/2"), ("http/1.1", Version::HTTP_11, "HTTP/1.1")];
    for (alpn, version, protocol) in each {
        let server = Secure::start(alpn, ServerEnd::Never, success_always).await;
        let report = report_of(&server.options(Until::Sent(1000))).await;
        assert_eq!((report.sent, report.answered, server.seen.requests()), (1000, 1000, 1000), "{report:?}");
        assert_eq!(server.seen.connections(), 4, "{alpn}");
        assert_eq!(server.seen.last.lock().unwrap().as_ref().unwrap().0.version, version);
        assert_eq!(report.protocol, protocol);
        assert_sums(&report);
    }
}

#[tokio::test]
async fn a_request_over_http_2_looks_like_go() {
    let server = Secure::start("h2", ServerEnd::Never, success_always).await;
    let mut options = server.options(Until::Sent(1));
    options.target.authorization = Some("Basic b3BlbmltOnB3".parse().unwrap());
    report_of(&options).await;
    let (head, body) = server.seen.last.lock().unwrap().take().unwrap();
    let expected = format!("https://localhost:{}/secret/callbackAfterSendGroupMsgCommand", server.port);
    assert_eq!((head.method.as_str(), head.uri.to_string()), ("POST", expected));
    let names: Vec<_> = head.headers.keys().map(|name| name.as_str()).collect();
    let expected = ["authorization", "content-type", "operationid", "content-length", "accept-encoding", "user-agent"];
    assert_eq!(names, expected);
    assert_eq!(head.headers["authorization"], "Basic b3BlbmltOnB3");
    assert_eq!(head.headers["user-agent"], "Go-http-client/2.0");
    assert_eq!(head.headers["content-length"], body.len().to_string());
    wire::decode_group_message(&body, |message| assert_eq!(message.operation_id, head.headers["operationid"])).unwrap();
}

#[tokio::test]
async fn the_authorization_header_is_at_the_same_position_as_in_go() {
    let (port, seen) = server(|_| Some(success())).await;
    let mut options = options(port, Until::Sent(1));
    let value = format!("Basic {}", STANDARD.encode("openim:pw"));
    options.target.authorization = Some(value.parse().unwrap());
    report_of(&options).await;
    let (head, _) = seen.last.lock().unwrap().take().unwrap();
    let names: Vec<_> = head.headers.keys().map(|name| name.as_str()).collect();
    let expected =
        ["host", "user-agent", "content-length", "authorization", "content-type", "operationid", "accept-encoding"];
    assert_eq!(names, expected);
    assert_eq!(head.headers["authorization"], value);
}

#[tokio::test]
async fn failures_over_http_2_are_counted_by_reason_and_keep_the_connection() {
    let server = Secure::start("h2", ServerEnd::Never, |number| {
        if number.is_multiple_of(10) {
            return Err(io::Error::other("failing"));
        }
        Ok(if number.is_multiple_of(5) { status(503, "busy") } else { success() })
    })
    .await;
    let report = report_of(&server.options(Until::Sent(1000))).await;
    assert_eq!(report.failed, Failures { total: 200, closed: 100, status: 100, ..Failures::default() });
    assert_eq!((report.answered, server.seen.requests()), (800, 1000));
}

#[tokio::test]
async fn an_http_2_connection_that_ends_between_two_requests_loses_no_callback() {
    let server = Secure::start("h2", ServerEnd::Abrupt(Duration::from_millis(60)), success_always).await;
    let slow = Simulate { rate: Some(2.0), connections: 1, ..server.options(Until::Sent(4)) };
    let report = report_of(&slow).await;
    assert_eq!((report.answered, report.failed.total), (4, 0), "{report:?}");
    assert_eq!(server.seen.connections(), 4);
}

#[tokio::test]
async fn goaway_loses_no_callback() {
    let server = Secure::start("h2", ServerEnd::Graceful(Duration::from_millis(20)), success_always).await;
    let report = report_of(&server.options(Until::Sent(2000))).await;
    assert_eq!((report.answered, report.failed.total, server.seen.requests()), (2000, 0, 2000), "{report:?}");
    assert!(server.seen.connections() > 4, "no connection has ended");
}

#[tokio::test]
async fn an_untrusted_server_is_an_immediate_error_with_advice() {
    let server = Secure::start("h2", ServerEnd::Never, success_always).await;
    let good = server.options(Until::Sent(5));
    let with = |host: &str, trust| {
        let mut options = good.clone();
        options.target.host = host.to_owned();
        options.target.trust = Some(trust);
        options
    };
    let authority = CertificateTrust::Authorities(server.authority.path().to_owned());
    let error = run_error(&with("localhost", CertificateTrust::System)).await;
    assert!(error.starts_with("the TLS handshake with localhost:") && error.contains("--ca-file"), "{error}");
    let error = run_error(&with("127.0.0.1", authority)).await;
    assert!(error.contains("localhost") && error.contains("use a name of its certificate in --target"), "{error}");
    assert_eq!(server.seen.requests(), 0);
    for host in ["127.0.0.1", "localhost"] {
        assert_eq!(report_of(&with(host, CertificateTrust::Any)).await.answered, 5);
    }
}

#[tokio::test]
async fn a_server_without_tls_is_an_immediate_error_with_advice() {
    let (port, _) = server(|_| Some(success())).await;
    let mut options = options(port, Until::Sent(5));
    options.target.trust = Some(CertificateTrust::Any);
    let error = run_error(&options).await;
    assert!(error.contains("if the server has no TLS, use http:// in --target"), "{error}");
}

/// A change of a certificate before it is signed.
type Change = fn(&mut CertificateParams);

/// As `openssl req -x509` creates it.
fn marked_as_authority(params: &mut CertificateParams) {
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
}

async fn self_signed(change: impl FnOnce(&mut CertificateParams)) -> Secure {
    Secure::start_with(change, "h2", ServerEnd::Never, success_always).await
}

#[tokio::test]
async fn a_self_signed_certificate_in_the_file_is_accepted_even_if_marked_as_an_authority() {
    let server = self_signed(marked_as_authority).await;
    let other = self_signed(marked_as_authority).await;
    let good = server.options(Until::Sent(5));
    assert_eq!(report_of(&good).await.answered, 5);
    let mut unlisted = good.clone();
    unlisted.target.trust = Some(CertificateTrust::Authorities(other.authority.path().to_owned()));
    let error = run_error(&unlisted).await;
    assert!(error.ends_with("; give this certificate itself with --ca-file"), "{error}");
    // One file may have several.
    let both = NamedTempFile::new().unwrap();
    let read = |server: &Secure| std::fs::read(server.authority.path()).unwrap();
    std::fs::write(both.path(), [read(&other), read(&server)].concat()).unwrap();
    unlisted.target.trust = Some(CertificateTrust::Authorities(both.path().to_owned()));
    assert_eq!(report_of(&unlisted).await.answered, 5);
}

#[tokio::test]
async fn the_name_the_period_and_the_purpose_of_a_listed_certificate_are_verified() {
    let server = self_signed(marked_as_authority).await;
    let mut options = server.options(Until::Sent(5));
    options.target.host = "127.0.0.1".to_owned();
    let error = run_error(&options).await;
    assert!(error.contains("localhost") && error.ends_with("; use a name of its certificate in --target"), "{error}");
    let wrong: [(Change, &str); 4] = [
        (|params| params.not_after = date_time_ymd(2021, 1, 1), "certificate expired"),
        (|params| params.not_before = date_time_ymd(2100, 1, 1), "certificate not valid yet"),
        (|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth], "InvalidPurpose"),
        (|params| params.subject_alt_names.clear(), "; it has no subjectAltName: make one as in docs/web-config.md"),
    ];
    for (change, expected) in wrong {
        let server = self_signed(|params| {
            marked_as_authority(params);
            change(params);
        })
        .await;
        let error = run_error(&server.options(Until::Sent(5))).await;
        assert!(error.contains(expected), "{expected}: {error}");
        assert_eq!(server.seen.requests(), 0);
    }
}

#[tokio::test]
async fn the_error_names_the_invalid_file_of_authorities() {
    let file = NamedTempFile::new().unwrap();
    let mut options = options(1, Until::Sent(5));
    let path = file.path().display().to_string();
    for (text, problem) in [
        ("", "it is empty; give a certificate as PEM"),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "certificate 1: it is not an X.509 certificate, or it is damaged; copy it again",
        ),
        (
            "-----BEGIN CERTIFICATE-----\n",
            "a section has no matching -----END line: the PEM is cut off or damaged; copy it again",
        ),
    ] {
        std::fs::write(file.path(), text).unwrap();
        options.target.trust = Some(CertificateTrust::Authorities(file.path().to_owned()));
        let error = run_error(&options).await;
        assert_eq!(error, format!("--ca-file {path}: {problem}"));
    }
    options.target.trust = Some(CertificateTrust::Authorities("/no/such/file".into()));
    let error = run_error(&options).await;
    assert!(error.starts_with("--ca-file /no/such/file: "), "{error}");
}
