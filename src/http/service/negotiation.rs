//! Negotiates the format and the compression of a response, and whether the client needs it.
//!
//! <https://www.rfc-editor.org/rfc/rfc9110#name-content-negotiation>

use hyper::header::{ACCEPT, ACCEPT_ENCODING, HeaderMap, HeaderName, IF_NONE_MATCH};

use super::lists::split_unquoted;
use crate::exposition::Format;

/// A quality value: from 0, not acceptable, to 1.
type Quality = f32;

/// An entry of an `Accept` or `Accept-Encoding` header.
struct Preference<'a> {
    /// A media type, or a content coding.
    name: &'a str,
    /// The parameters, including `q`.
    parameters: &'a str,
    quality: Quality,
}

impl<'a> Preference<'a> {
    fn parse(preference: &'a str) -> Self {
        let name = split_unquoted(preference, b';').next().unwrap_or_default();
        let parameters = preference.get(name.len() + 1..).unwrap_or_default();
        let mut preference = Self { name: name.trim(), parameters, quality: 1.0 };
        if let Some(quality) = preference.parameter("q") {
            let quality = quality.parse().ok().filter(|quality| (0.0..=1.0).contains(quality));
            // An invalid value counts as not acceptable.
            preference.quality = quality.unwrap_or(0.0);
        }
        preference
    }

    fn parameter(&self, name: &str) -> Option<&'a str> {
        let parameters = split_unquoted(self.parameters, b';').filter_map(|parameter| parameter.split_once('='));
        let mut values = parameters.filter(|(found, _)| found.trim().eq_ignore_ascii_case(name));
        values.next().map(|(_, value)| value.trim().trim_matches('"'))
    }

    /// How specifically this entry describes a media type in this version; `None` if it does not.
    fn specificity(&self, media_type: &str, version: &str) -> Option<u8> {
        let is_of_type = self.name.eq_ignore_ascii_case(media_type);
        let kind = media_type.split('/').next().unwrap_or_default();
        match self.parameter("version") {
            Some(found) => (is_of_type && found == version).then_some(3),
            None if is_of_type => Some(2),
            None if self.name.strip_suffix("/*").is_some_and(|found| found.eq_ignore_ascii_case(kind)) => Some(1),
            None => (self.name == "*/*").then_some(0),
        }
    }
}

fn preferences(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = Preference<'_>> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| split_unquoted(value, b',')).map(Preference::parse)
}

/// How specifically a format is requested, and its quality.
fn specificity_and_quality(headers: &HeaderMap, media_type: &str, version: &str) -> (u8, Quality) {
    let fits = preferences(headers, ACCEPT)
        .filter_map(|preference| Some((preference.specificity(media_type, version)?, preference.quality)));
    // The most specific entry decides.
    fits.reduce(|best, next| if next.0 > best.0 { next } else { best }).unwrap_or((0, 0.0))
}

/// The format that a client prefers. OpenMetrics only if it is requested by name: a client that accepts anything, or
/// neither format, gets the text format, which every reader understands.
pub(super) fn format(headers: &HeaderMap) -> Format {
    let (specificity, open_metrics) = specificity_and_quality(headers, "application/openmetrics-text", "1.0.0");
    let (_, text) = specificity_and_quality(headers, "text/plain", "0.0.4");
    if specificity > 0 && open_metrics > 0.0 && open_metrics >= text { Format::OpenMetrics } else { Format::Text }
}

/// Whether a client accepts gzip and does not prefer an uncompressed response.
pub(super) fn accepts_gzip(headers: &HeaderMap) -> bool {
    let quality = |coding: &str| {
        let named =
            preferences(headers, ACCEPT_ENCODING).find(|preference| preference.name.eq_ignore_ascii_case(coding));
        named.map(|preference| preference.quality)
    };
    let gzip = quality("gzip").or_else(|| quality("*")).unwrap_or(0.0);
    gzip > 0.0 && gzip >= quality("identity").unwrap_or(0.0)
}

/// Whether a client has the content with this tag already. RFC 9110, 13.1.2.
pub(super) fn has_etag(headers: &HeaderMap, etag: &str) -> bool {
    let values = headers.get_all(IF_NONE_MATCH).into_iter().filter_map(|value| value.to_str().ok());
    let mut tags = values.flat_map(|value| split_unquoted(value, b',')).map(str::trim);
    // A proxy that compresses marks a tag as weak.
    tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    fn headers(name: &HeaderName, values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
    }

    fn format_for(values: &[&str]) -> Format {
        format(&headers(&ACCEPT, values))
    }

    #[test]
    fn separators_within_quotes_separate_nothing() {
        let openmetrics = "application/openmetrics-text;note=\"a;q=0, b\\\";q=0\";version=1.0.0";
        assert_eq!(format_for(&[openmetrics]), Format::OpenMetrics);
        assert_eq!(format_for(&["text/plain;note=\",application/openmetrics-text\",*/*;q=0.1"]), Format::Text);
    }

    #[test]
    fn prometheus_gets_openmetrics_if_it_supports_version_1() {
        // 2.42, 3.x, and one that prefers protobuf.
        for accept in [
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
             text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
             application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,\
             text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,\
             application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
             application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
        ] {
            assert_eq!(format_for(&[accept]), Format::OpenMetrics, "{accept}");
        }
        // 2.30 supports only an earlier version.
        let old = "application/openmetrics-text; version=0.0.1,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        assert_eq!(format_for(&[old]), Format::Text);
    }

    #[test]
    fn a_client_that_does_not_request_openmetrics_gets_text() {
        for accept in [
            "*/*",
            "*/*;q=0.1",
            "text/plain",
            "text/*",
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "application/json",
            "",
            ",;,=;q",
            "application/openmetrics-text;q=0",
            "application/openmetrics-text;q=0,*/*",
            "application/openmetrics-text;q=0.3,text/plain;q=0.4",
            "application/openmetrics-text;q=0.3,*/*;q=0.4",
            "application/openmetrics-text;version=2.0.0",
            "application/openmetrics-text;q=2",
            "application/openmetrics-text;q=x",
            "application/openmetrics-text;version=1.0.0;q=0,application/openmetrics-text",
        ] {
            assert_eq!(format_for(&[accept]), Format::Text, "{accept}");
        }
        assert_eq!(format_for(&[]), Format::Text);
    }

    #[test]
    fn a_client_that_requests_openmetrics_gets_it() {
        for accept in [
            "application/openmetrics-text",
            "Application/OpenMetrics-Text; Version=\"1.0.0\" ; Q=0.5",
            "application/openmetrics-text;q=0.4,text/plain;q=0.4",
            "application/openmetrics-text,*/*",
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;q=0",
            "text/plain;version=0.0.4;q=0,text/plain,application/openmetrics-text;q=0.1",
            "application/*",
        ] {
            assert_eq!(format_for(&[accept]), Format::OpenMetrics, "{accept}");
        }
        // Two header lines are like one.
        assert_eq!(format_for(&["text/plain;q=0.5", "application/openmetrics-text"]), Format::OpenMetrics);
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
}
