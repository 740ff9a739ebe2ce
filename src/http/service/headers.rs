//! What matters in a request's headers, found in one pass. Looking up each header would hash each name, for every
//! callback.

use hyper::header::{self, HeaderMap};

/// What matters in a request's headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct HeaderFacts {
    /// How many `Host` headers there are.
    pub(super) host_count: usize,
    /// A `Host` has a byte that cannot be part of a host or a port.
    pub(super) has_invalid_host: bool,
    /// `Transfer-Encoding` is something other than a single `chunked`.
    pub(super) has_other_coding: bool,
    /// There is an `Expect`.
    pub(super) expects_continue: bool,
    /// A `Content-Type` or a `Content-Encoding` may declare that the body is not plain JSON.
    pub(super) may_not_be_json: bool,
    /// There is an `Origin`: only browsers send it, for requests from a web page.
    pub(super) has_origin: bool,
    /// There is a `Via`: the request was forwarded.
    pub(super) has_via: bool,
    /// Why the headers of a trusted proxy name no client.
    pub(super) client_problem: Option<&'static str>,
}

impl HeaderFacts {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut facts = Self::default();
        let mut is_coded = false;
        for (name, value) in headers {
            match *name {
                header::HOST => {
                    facts.host_count += 1;
                    facts.has_invalid_host |= !value.as_bytes().iter().all(|byte| is_in_host(*byte));
                }
                header::TRANSFER_ENCODING => {
                    facts.has_other_coding |= is_coded || !value.as_bytes().eq_ignore_ascii_case(b"chunked");
                    is_coded = true;
                }
                header::EXPECT => facts.expects_continue = true,
                header::CONTENT_TYPE => facts.may_not_be_json |= !is_json(value.as_bytes()),
                header::ORIGIN => facts.has_origin = true,
                header::VIA => facts.has_via = true,
                header::CONTENT_ENCODING => facts.may_not_be_json |= !is_identity(value.as_bytes()),
                _ => {}
            }
        }
        facts
    }
}

/// Whether a byte can be part of a host or port. RFC 3986, 3.2.2.
const fn is_in_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'.' | b'_' | b'~' | b':' | b'[' | b']' | b'%' | b'!' | b'$' | b'&'..=b',' | b';' | b'='
        )
}

/// Whether a list of content codings has none but `identity`. RFC 9110, 5.6.1 and 8.4.1.
pub(super) fn is_identity(codings: &[u8]) -> bool {
    let mut codings = codings.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|coding| !coding.is_empty());
    codings.all(|coding| coding.eq_ignore_ascii_case(b"identity"))
}

/// Whether a media type is JSON, with or without parameters.
pub(super) fn is_json(media_type: &[u8]) -> bool {
    const JSON: &[u8] = b"application/json";
    let (essence, rest) = media_type.split_at_checked(JSON.len()).unwrap_or((media_type, &[]));
    // First as OpenIM writes it, then in any case.
    (essence == JSON || essence.eq_ignore_ascii_case(JSON)) && matches!(rest.first(), None | Some(b';' | b' ' | b'\t'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(headers: &[(&'static str, &'static str)]) -> HeaderFacts {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (header::HeaderName::from_static(name), header::HeaderValue::from_static(value))
        };
        let mut map = HeaderMap::new();
        headers.iter().map(pair).for_each(|(name, value)| {
            map.append(name, value);
        });
        HeaderFacts::of(&map)
    }

    #[test]
    fn headers_of_openim_have_no_special_facts() {
        let sent = [("host", "x"), ("content-type", "application/json; charset=utf-8"), ("content-length", "700")];
        assert_eq!(of(&sent), HeaderFacts { host_count: 1, ..HeaderFacts::default() });
    }

    #[test]
    fn each_header_that_matters_is_found_even_if_repeated() {
        let none = HeaderFacts::default();
        let cases: [(&[(&str, &str)], HeaderFacts); 16] = [
            (&[("host", "x"), ("host", "x")], HeaderFacts { host_count: 2, ..none }),
            (&[("transfer-encoding", "Chunked")], none),
            (&[("transfer-encoding", "gzip")], HeaderFacts { has_other_coding: true, ..none }),
            (
                &[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")],
                HeaderFacts { has_other_coding: true, ..none },
            ),
            (&[("expect", "100-continue")], HeaderFacts { expects_continue: true, ..none }),
            (&[("origin", "null")], HeaderFacts { has_origin: true, ..none }),
            (&[("via", "1.1 x")], HeaderFacts { has_via: true, ..none }),
            (&[("content-type", "text/plain")], HeaderFacts { may_not_be_json: true, ..none }),
            (
                &[("content-type", "application/json"), ("content-type", "text/plain")],
                HeaderFacts { may_not_be_json: true, ..none },
            ),
            (&[("content-encoding", "gzip")], HeaderFacts { may_not_be_json: true, ..none }),
            (&[("content-encoding", "identity")], none),
            (&[("content-encoding", "Identity, ,IDENTITY")], none),
            (&[("content-encoding", "")], none),
            (&[("content-encoding", "identity, br")], HeaderFacts { may_not_be_json: true, ..none }),
            (&[("host", "[fe80::1%25eth0]:10006")], HeaderFacts { host_count: 1, ..none }),
            (&[("host", "a b")], HeaderFacts { host_count: 1, has_invalid_host: true, ..none }),
        ];
        for (headers, facts) in cases {
            assert_eq!(of(headers), facts, "{headers:?}");
        }
    }

    #[test]
    fn only_json_media_types_are_json() {
        for json in ["application/json", "application/json; charset=utf-8", "Application/JSON;charset=utf-8"] {
            assert!(is_json(json.as_bytes()), "{json}");
        }
        for other in ["", "application/jsonp", "text/plain", "application/x-www-form-urlencoded", "application"] {
            assert!(!is_json(other.as_bytes()), "{other}");
        }
    }
}
