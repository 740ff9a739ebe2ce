//! The files of the live page.

use std::io::Read;

use flate2::read::GzDecoder;

use crate::support::{Exporter, GROUP_MESSAGE_PATH, Response, SUCCESS, eventually, message};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
                      frame-ancestors 'none'; base-uri 'none'";

fn get(exporter: &Exporter, path: &str, headers: &str) -> Response {
    exporter.ask(format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n").as_bytes())
}

/// The URLs in a page.
fn links(html: &str) -> Vec<&str> {
    let attributes = ["href=\"", "src=\""].into_iter().flat_map(|name| html.split(name).skip(1));
    attributes.map(|rest| rest.split('"').next().unwrap()).filter(|url| !url.starts_with(['#', 'h'])).collect()
}

/// The absolute path of a relative URL on the page at `/`.
fn resolve(url: &str) -> String {
    assert!(!url.starts_with('/') && !url.contains("{"), "{url} is not relative");
    format!("/{}", url.strip_prefix("./").unwrap_or(url))
}

#[test]
fn the_page_and_all_that_it_links_to_are_served() {
    let exporter = Exporter::start(&["--web.telemetry-path", "/own/metrics"]);
    let html = get(&exporter, "/", "");
    assert_eq!((html.status, html.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let html = html.text();
    let links = links(&html);
    for expected in ["./own/metrics", "./own/metrics/groups", "page/page.css"] {
        assert!(links.contains(&expected), "{expected}: {links:?}");
    }
    for link in links {
        assert_eq!(get(&exporter, &resolve(link), "").status, 200, "{link}");
    }
    for (path, media_type) in
        [("/page/page.css", "text/css; charset=utf-8"), ("/page/main.js", "text/javascript; charset=utf-8")]
    {
        assert_eq!(get(&exporter, path, "").header("content-type"), Some(media_type));
    }
    for path in ["/page", "/page/", "/page/mod.rs", "/page/index.html", "/page/../page/main.js", "/index.html"] {
        get(&exporter, path, "").refusal(404);
    }
}

#[test]
fn each_file_has_the_headers_that_protect_it() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("web.yml");
    let own = "default-src 'self'";
    std::fs::write(&config, format!("http_server_config:\n  headers:\n    Content-Security-Policy: {own}\n")).unwrap();
    let of_admin = Exporter::start(&["--web.config.file", config.to_str().unwrap()]);
    let exporter = Exporter::start(&[]);
    for path in ["/", "/page/page.css", "/page/main.js"] {
        let file = get(&exporter, path, "");
        for (name, value) in [
            ("content-security-policy", POLICY),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-cache"),
            ("vary", "Accept-Encoding"),
        ] {
            assert_eq!(file.header(name), Some(value), "{path}");
        }
        let file = get(&of_admin, path, "");
        let policies: Vec<_> = file.headers.iter().filter(|(name, _)| name == "content-security-policy").collect();
        assert_eq!(policies, [&("content-security-policy".to_owned(), own.to_owned())], "{path}");
        assert_eq!(file.header("x-content-type-options"), Some("nosniff"));
    }
}

#[test]
fn a_file_is_compressed_if_accepted_and_not_sent_again_if_unchanged() {
    let exporter = Exporter::start(&[]);
    for path in ["/", "/page/page.css", "/page/main.js"] {
        let plain = get(&exporter, path, "");
        let gzip = get(&exporter, path, "accept-encoding: gzip\r\n");
        assert_eq!((plain.header("content-encoding"), gzip.header("content-encoding")), (None, Some("gzip")));
        let mut unpacked = Vec::new();
        GzDecoder::new(gzip.body.as_slice()).read_to_end(&mut unpacked).unwrap();
        assert_eq!(unpacked, plain.body, "{path}");
        let [of_plain, of_gzip] = [&plain, &gzip].map(|file| file.header("etag").unwrap().to_owned());
        assert_ne!(of_plain, of_gzip);
        for (headers, etag) in [("", &of_plain), ("accept-encoding: gzip\r\n", &of_gzip)] {
            let same = get(&exporter, path, &format!("{headers}if-none-match: \"x\", {etag}\r\n"));
            assert_eq!((same.status, same.text().as_str()), (304, ""), "{path}");
            assert_eq!(same.header("etag"), Some(etag.as_str()));
            assert_eq!(same.header("content-security-policy"), Some(POLICY));
            assert_eq!(get(&exporter, path, &format!("{headers}if-none-match: \"x\"\r\n")).status, 200);
        }
    }
    // A connection continues after a 304, although that has no length.
    let etag = get(&exporter, "/", "").header("etag").unwrap().to_owned();
    let mut client = exporter.connect();
    for _ in 0..2 {
        client.send(format!("GET / HTTP/1.1\r\nhost: x\r\nif-none-match: {etag}\r\n\r\n")).unwrap();
        assert_eq!(client.answer_to_head().status, 304);
    }
    assert_eq!(client.post(GROUP_MESSAGE_PATH, message("g", "u")).text(), SUCCESS);
}

#[test]
fn everything_is_also_served_below_the_external_url() {
    let exporter = Exporter::start(&["--web.external-url", "https://chat.example.com/monitoring/openim/"]);
    for path in ["/", "/page/main.js", "/metrics", "/api/v1/summary", "/api/v1/live?format=json", "/-/healthy"] {
        let below = get(&exporter, &format!("/monitoring/openim{path}"), "");
        assert_eq!((below.status, get(&exporter, path, "").status), (200, 200), "{path}");
    }
    let redirect = get(&exporter, "/monitoring/openim", "");
    assert_eq!((redirect.status, redirect.header("location")), (308, Some("/monitoring/openim/")));
    for path in ["/monitoring/openim/callbackAfterSendGroupMsgCommand", GROUP_MESSAGE_PATH] {
        assert_eq!(exporter.post(path, message("g", "u")).text(), SUCCESS, "{path}");
    }
    assert_eq!(exporter.scrape().sum("openim_group_messages_total"), 2.0);
    get(&exporter, "/monitoring/metrics", "").refusal(404);
}

#[test]
fn a_secret_is_also_accepted_below_the_external_url() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("secret");
    std::fs::write(&file, "0123456789abcdef").unwrap();
    let exporter =
        Exporter::start(&["--callback.secret-file", file.to_str().unwrap(), "--web.external-url", "http://h/x"]);
    for (prefix, status) in [("/x", 401), ("", 401), ("/0123456789abcdef", 200), ("/x/0123456789abcdef", 200)] {
        assert_eq!(exporter.post(&format!("{prefix}{GROUP_MESSAGE_PATH}"), message("g", "u")).status, status);
    }
    get(&exporter, "/x/0123456789abcdef/metrics", "").refusal(404);
}

#[test]
fn a_post_to_a_file_s_path_is_a_callback() {
    let exporter = Exporter::start(&[]);
    let body = r#"{"sendID":"u","callbackCommand":"callbackAfterSendGroupMsgCommand","groupID":"g"}"#;
    for path in ["/page/main.js", "/page/nothing", "/"] {
        assert_eq!(exporter.post(path, body).text(), SUCCESS, "{path}");
    }
    eventually("three messages", || exporter.scrape().sum("openim_group_messages_total") == 3.0);
    let refused = exporter.ask(b"PUT /page/main.js HTTP/1.1\r\nhost: x\r\n\r\n");
    assert_eq!((refused.status, refused.header("allow")), (405, Some("GET, HEAD")));
}
