use hyper::header::HeaderValue;

use super::*;
use crate::exposition::Escaping::{AllowUtf8, Dots, Underscores, Values};
use crate::exposition::Format::{OpenMetrics, Protobuf, Text, TextV1};

fn headers(name: &HeaderName, values: &[&str]) -> HeaderMap {
    values.iter().map(|value| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
}

const PROTOBUF: &str = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";

/// What clients send, and what they get.
const CASES: &[(&str, &[&str], Format, Escaping)] = &[
    // From their sources. Prometheus 2.30 knows only a version of OpenMetrics that the exporter does not have.
    (
        "Prometheus 2.30",
        &["application/openmetrics-text; version=0.0.1,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"],
        Text,
        Underscores,
    ),
    (
        "Prometheus 2.42",
        &["application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
           text/plain;version=0.0.4;q=0.5,*/*;q=0.1"],
        OpenMetrics,
        Underscores,
    ),
    (
        "Prometheus 2.42 with native histograms",
        &["application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,\
           application/openmetrics-text;version=1.0.0;q=0.8,application/openmetrics-text;version=0.0.1;q=0.75,\
           text/plain;version=0.0.4;q=0.5,*/*;q=0.1"],
        Protobuf,
        Underscores,
    ),
    (
        "Prometheus 2.49 to 2.55",
        &["application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,\
           text/plain;version=0.0.4;q=0.3,*/*;q=0.2"],
        OpenMetrics,
        Underscores,
    ),
    (
        "Prometheus 3.0",
        &["application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
           application/openmetrics-text;version=0.0.1;escaping=allow-utf-8;q=0.5,\
           text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;escaping=allow-utf-8;q=0.3,\
           */*;q=0.2"],
        OpenMetrics,
        AllowUtf8,
    ),
    (
        "Prometheus 3.0 with native histograms",
        &["application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;\
           escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
           application/openmetrics-text;version=0.0.1;escaping=allow-utf-8;q=0.4,\
           text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;escaping=allow-utf-8;q=0.2,\
           */*;q=0.1"],
        Protobuf,
        AllowUtf8,
    ),
    (
        "Prometheus 3.4, also as Grafana Alloy and the OpenTelemetry Collector use it",
        &["application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
           application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
           text/plain;version=0.0.4;q=0.3,*/*;q=0.2"],
        OpenMetrics,
        AllowUtf8,
    ),
    (
        "Prometheus 3.8 with scrape_native_histograms",
        &["application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,\
           application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
           application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,\
           text/plain;version=0.0.4;q=0.2,*/*;q=0.1"],
        Protobuf,
        Underscores,
    ),
    (
        "Prometheus with metric_name_escaping_scheme: dots",
        &["application/openmetrics-text;version=1.0.0;escaping=dots;q=0.6,*/*;q=0.2"],
        OpenMetrics,
        Dots,
    ),
    (
        "Prometheus with scrape_protocols that begin with text",
        &["text/plain;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.5,\
           application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.4,*/*;q=0.3"],
        TextV1,
        AllowUtf8,
    ),
    ("VictoriaMetrics", &["text/plain;version=0.0.4;q=1,*/*;q=0.1"], Text, Underscores),
    (
        "Elastic's Metricbeat",
        &["application/openmetrics-text; version=1.0.0; charset=utf-8,text/plain"],
        OpenMetrics,
        Underscores,
    ),
    ("curl", &["*/*"], Text, Underscores),
    ("Firefox", &["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"], Text, Underscores),
    (
        "Chrome",
        &["text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,\
           application/signed-exchange;v=b3;q=0.7"],
        Text,
        Underscores,
    ),
    ("no header", &[], Text, Underscores),
    // No format of the exporter is acceptable: the old text format is used nevertheless.
    ("an empty header", &[""], Text, Underscores),
    ("only separators", &[",;,=;q"], Text, Underscores),
    ("another type", &["application/json"], Text, Underscores),
    ("another version", &["application/openmetrics-text;version=2.0.0"], Text, Underscores),
    ("another message", &["application/vnd.google.protobuf;proto=x;encoding=delimited"], Text, Underscores),
    (
        "another encoding",
        &["application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=text"],
        Text,
        Underscores,
    ),
    ("another character set", &["text/plain;version=1.0.0;charset=latin1"], Text, Underscores),
    ("no acceptable type", &["*/*;q=0"], Text, Underscores),
    // Media types.
    ("a media type", &["application/openmetrics-text"], OpenMetrics, Underscores),
    ("protobuf", &["application/vnd.google.protobuf"], Protobuf, Underscores),
    ("text", &["text/plain"], Text, Underscores),
    ("text of a version", &["text/plain;version=1.0.0"], TextV1, Underscores),
    (
        "upper case and spaces",
        &["Application/OpenMetrics-Text; Version=\"1.0.0\" ; Q=0.5 ; Escaping=values"],
        OpenMetrics,
        Values,
    ),
    ("two lines", &["text/plain;q=0.5", "application/openmetrics-text"], OpenMetrics, Underscores),
    ("a wildcard selects no other format", &["application/*"], Text, Underscores),
    ("a wildcard for text", &["text/*"], Text, Underscores),
    // Qualities.
    ("a tie", &["text/plain, application/openmetrics-text"], OpenMetrics, Underscores),
    ("a tie of all", &["text/plain;version=1.0.0, text/plain, *", PROTOBUF], Protobuf, Underscores),
    ("a preference", &["application/openmetrics-text;q=0.3,text/plain;q=0.301"], Text, Underscores),
    ("a preference for anything", &["application/openmetrics-text;q=0.3,*/*;q=0.4"], Text, Underscores),
    ("a preference for a wildcard", &["text/*;q=0.2,application/openmetrics-text;q=0.1,*/*"], Text, Underscores),
    (
        "a wildcard that is not acceptable",
        &["text/*;q=0,*/*,application/openmetrics-text;q=0.1"],
        OpenMetrics,
        Underscores,
    ),
    ("not acceptable", &["application/openmetrics-text;q=0"], Text, Underscores),
    ("not acceptable, but anything else", &["application/openmetrics-text;q=0.000,*/*"], Text, Underscores),
    ("more than 1", &["application/openmetrics-text;q=2"], Text, Underscores),
    ("no number", &["application/openmetrics-text;q=x"], Text, Underscores),
    ("an exponent", &["application/openmetrics-text;q=1e-1"], Text, Underscores),
    ("a sign", &["application/openmetrics-text;q=+1"], Text, Underscores),
    // Specificity: the more specific entry decides, wherever it is.
    (
        "no version 1.0.0",
        &["application/openmetrics-text,application/openmetrics-text;version=1.0.0;q=0"],
        Text,
        Underscores,
    ),
    (
        "only version 1.0.0",
        &["application/openmetrics-text;version=1.0.0,application/openmetrics-text;q=0"],
        OpenMetrics,
        Underscores,
    ),
    (
        "no version 0.0.4",
        &["text/plain;version=0.0.4;q=0,text/plain,application/openmetrics-text;q=0.1"],
        OpenMetrics,
        Underscores,
    ),
    (
        "more parameters",
        &["text/plain;version=1.0.0;charset=utf-8;q=0.1,text/plain;version=1.0.0,text/plain;version=0.0.4;q=0.2"],
        Text,
        Underscores,
    ),
    (
        "the escaping of the deciding entry",
        &["text/plain;version=1.0.0;escaping=dots;q=0.2,application/openmetrics-text;escaping=values;q=0.1"],
        TextV1,
        Dots,
    ),
    ("a format without escaping", &["text/plain;version=0.0.4;escaping=dots"], Text, Underscores),
    ("a wildcard with escaping", &["*/*;escaping=dots"], Text, Underscores),
    ("an unknown escaping", &["text/plain;version=1.0.0;escaping=x"], TextV1, Underscores),
    // Quoted strings.
    (
        "separators within quotes",
        &["application/openmetrics-text;note=\"a;q=0, b\\\";q=0\";version=1.0.0"],
        OpenMetrics,
        Underscores,
    ),
    ("a media type within quotes", &["text/plain;note=\",application/openmetrics-text\",*/*;q=0.1"], Text, Underscores),
    (
        "escapes within quotes",
        &["application/openmetrics-text;version=\"1\\.0.0\";escaping=\"do\\ts\""],
        OpenMetrics,
        Dots,
    ),
    ("an escaped backslash", &["text/plain;version=\"1.0.0\\\\\""], Text, Underscores),
    ("a quote that does not end", &["application/openmetrics-text;version=\"1.0.0, */*"], Text, Underscores),
];

#[test]
fn each_client_gets_the_format_that_it_prefers() {
    for (client, accept, expected, escaping) in CASES {
        assert_eq!(format(&headers(&ACCEPT, accept)), (*expected, *escaping), "{client}: {accept:?}");
    }
}

#[test]
fn an_answer_s_media_type_requests_the_same_format() {
    for (offered, ..) in OFFERS {
        for escaping in [Underscores, Dots, Values, AllowUtf8] {
            let requested = format(&headers(&ACCEPT, &[offered.content_type(escaping)]));
            let expected = if offered == Text { Underscores } else { escaping };
            assert_eq!(requested, (offered, expected));
        }
    }
}

#[test]
fn gzip_is_used_if_accepted_and_not_less_preferred_than_identity() {
    let accepts = |values: &[&str]| accepts_gzip(&headers(&ACCEPT_ENCODING, values));
    for gzip in ["gzip", "GZIP;Q=0.001", "deflate, gzip;q=1.0, *;q=0.5", "*", "identity;q=0.5,gzip;q=0.5"] {
        assert!(accepts(&[gzip]), "{gzip}");
    }
    assert!(accepts(&["br", "gzip"]));
    for plain in ["", "identity", "br", "gzip;q=0", "gzip;q=0.000", "gzip;q=0, *", "*;q=0", "gzip;q=0.5,identity"] {
        assert!(!accepts(&[plain]), "{plain}");
    }
    assert!(!accepts(&[]));
}
#[test]
fn a_client_has_what_one_of_its_tags_names() {
    let has = |values: &[&str]| has_etag(&headers(&IF_NONE_MATCH, values), "\"a\"");
    for tags in [&["\"a\""][..], &["W/\"a\""], &["*"], &["\"b\", \"a\""], &["\"b\"", "\"a\""]] {
        assert!(has(tags), "{tags:?}");
    }
    for tags in [&[][..], &["a"], &["\"b\""], &["\"A\""], &["\"b,\"a\"\""], &[""]] {
        assert!(!has(tags), "{tags:?}");
    }
}
