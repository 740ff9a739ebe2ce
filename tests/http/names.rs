//! Scrapes of the families that a request names.

use std::collections::BTreeSet;

use openim_exporter::http::Limits;

use crate::served::Served;
use crate::support::{Client, GROUP_MESSAGE_PATH, Response, SUCCESS, Samples, message};

const MESSAGES: &str = "openim_group_messages_by_status_total";
const TRACKED: &str = "openim_tracked_group_messages_total";
/// One of the exporter's own, and one of the process.
const OWN: [&str; 2] = ["openim_exporter_build_info", "process_threads"];

fn served() -> Served {
    Served::with_groups(20, Limits::default(), 2)
}

fn ask(client: &mut Client, method: &str, url: &str, headers: &str) -> Response {
    client.send(format!("{method} {url} HTTP/1.1\r\nhost: x\r\n{headers}\r\n")).unwrap();
    if method == "HEAD" { client.answer_to_head() } else { client.answer() }
}

fn get(client: &mut Client, url: &str) -> Response {
    ask(client, "GET", url, "")
}

/// The names of the families in an answer in the text format.
fn families(text: &str) -> BTreeSet<&str> {
    text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect()
}

#[test]
fn a_scrape_has_only_the_families_that_it_names() {
    let served = served();
    let mut client = served.connect();
    for (url, expected) in [
        (format!("/metrics?name[]={MESSAGES}"), &[MESSAGES][..]),
        (format!("/metrics?name%5B%5D={}", MESSAGES.replace('_', "%5F")), &[MESSAGES]),
        (format!("/metrics?x=1&name[]={MESSAGES}&&name[]={}&name[]={}&y", OWN[0], OWN[1]), &[MESSAGES, OWN[0], OWN[1]]),
        (format!("/metrics?name[]={MESSAGES}&name[]={MESSAGES}"), &[MESSAGES]),
        (format!("/metrics?name[]={MESSAGES}&name[]=nothing&name[]="), &[MESSAGES]),
        (format!("/metrics/groups?name[]={TRACKED}"), &[TRACKED]),
        // A family is on one page only.
        (format!("/metrics?name[]={TRACKED}"), &[]),
        (format!("/metrics/groups?name[]={MESSAGES}"), &[]),
        // Names have no prefix, and those of other samples and formats are not families.
        ("/metrics?name[]=openim_group".to_owned(), &[]),
        ("/metrics?name[]=openim_group_message_content_bytes_sum".to_owned(), &[]),
        ("/metrics?name[]=openim_group_messages_by_status".to_owned(), &[]),
        ("/metrics?name[]=".to_owned(), &[]),
        ("/metrics?name[]".to_owned(), &[]),
        ("/metrics?name[]=%ff".to_owned(), &[]),
    ] {
        let answer = get(&mut client, &url);
        assert_eq!(answer.status, 200, "{url}: {}", answer.text());
        assert_eq!(families(&answer.text()), expected.iter().copied().collect(), "{url}");
    }
    let all = get(&mut client, "/metrics").text();
    for url in ["/metrics?", "/metrics?name=x", "/metrics?names[]=x", "/metrics?name[0]=x"] {
        assert_eq!(families(&get(&mut client, url).text()), families(&all), "{url}");
    }
}

#[test]
fn the_samples_of_a_family_are_the_same_whether_it_is_named_or_not() {
    let served = served();
    let mut client = served.connect();
    assert_eq!(client.post(GROUP_MESSAGE_PATH, message("g", "u")).text(), SUCCESS);
    let all = Samples::parse(&get(&mut client, "/metrics").text());
    for family in ["openim_group_messages_by_group_total", MESSAGES, OWN[0], "openim_exporter_live_viewers"] {
        let named = Samples::parse(&get(&mut client, &format!("/metrics?name[]={family}")).text());
        let expected: Vec<_> = all.of(family).collect();
        assert!(!expected.is_empty() && named.of(family).eq(expected) && named.0.len() == all.of(family).count());
    }
}

#[test]
fn a_scrape_of_named_families_does_not_change_the_number_of_series() {
    let served = served();
    let mut client = served.connect();
    let series = |text: &str| Samples::parse(text).value("openim_exporter_scrape_series");
    let all = get(&mut client, "/metrics").text();
    let written = Samples::parse(&all).0.len() as f64;
    get(&mut client, &format!("/metrics?name[]={MESSAGES}"));
    let named = get(
        &mut client,
        "/metrics?name[]=openim_exporter_scrape_series&name[]=openim_exporter_scrape_duration_seconds",
    );
    assert_eq!(series(&named.text()), written);
    assert_eq!(Samples::parse(&named.text()).value("openim_exporter_scrape_duration_seconds_count"), 2.0);
}

#[test]
fn the_head_of_a_scrape_is_the_same_with_names_and_without_a_body() {
    let served = served();
    let mut client = served.connect();
    for headers in ["", "Accept: application/openmetrics-text;escaping=dots\r\nAccept-Encoding: gzip\r\n"] {
        let get = ask(&mut client, "GET", &format!("/metrics?name[]={MESSAGES}"), headers);
        let head = ask(&mut client, "HEAD", &format!("/metrics?name[]={MESSAGES}"), headers);
        for name in ["content-type", "content-encoding", "vary"] {
            assert_eq!(get.header(name), head.header(name));
        }
        assert!(head.body.is_empty() && head.header("content-type").is_some());
    }
    let empty = ask(&mut client, "GET", "/metrics?name[]=x", "Accept: application/openmetrics-text\r\n");
    assert_eq!(empty.text(), "# EOF\n");
}

#[test]
fn each_format_has_its_media_type() {
    let served = served();
    let mut client = served.connect();
    for (accept, media_type, first) in [
        ("text/plain;version=1.0.0", "text/plain; version=1.0.0; charset=utf-8; escaping=underscores", "# HELP "),
        (
            "application/openmetrics-text;escaping=dots",
            "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=dots",
            "# HELP openim__exporter__build__info ",
        ),
        (
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
            "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited; \
             escaping=underscores",
            "openim_exporter_build_info",
        ),
    ] {
        let url = "/metrics?name[]=openim_exporter_build_info";
        let answer = ask(&mut client, "GET", url, &format!("Accept: {accept}\r\n"));
        assert_eq!(answer.header("content-type"), Some(media_type));
        let body = String::from_utf8_lossy(&answer.body);
        assert!(body.contains(first), "{accept}: {body:?}");
    }
}

#[test]
fn too_many_names_are_refused() {
    let served = served();
    let mut client = served.connect();
    let url = |names: usize| format!("/metrics?{}", format!("name[]={MESSAGES}&").repeat(names));
    assert_eq!(families(&get(&mut client, &url(200)).text()), [MESSAGES].into());
    let (error, detail) = get(&mut client, &url(201)).refusal(400);
    assert_eq!((error.as_str(), detail.as_str()), ("bad query", "name[]: given 201 times; the maximum is 200"));
    assert_eq!(served.refused("bad_query"), 1.0);
}
