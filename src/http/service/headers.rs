//! What of a request's headers is to be heeded, found in one pass: a search for each of them would hash each name, at
//! every callback.

use hyper::header::{self, HeaderMap};

/// What was noted of a request's headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Noted {
    /// How often `Host` stands.
    pub(super) hosts: usize,
    /// `Transfer-Encoding` is not `chunked` and nothing else.
    pub(super) is_coded_otherwise: bool,
    /// There is an `Expect`.
    pub(super) expects: bool,
    /// A `Content-Type` or a `Content-Encoding` may say that the body is something else than JSON.
    pub(super) may_not_be_json: bool,
    /// There is an `Origin`: a browser says on whose behalf it asks; nobody else does.
    pub(super) is_of_a_page: bool,
}

impl Noted {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut noted = Self::default();
        let mut is_coded = false;
        for (name, value) in headers {
            match *name {
                header::HOST => noted.hosts += 1,
                header::TRANSFER_ENCODING => {
                    noted.is_coded_otherwise |= is_coded || !value.as_bytes().eq_ignore_ascii_case(b"chunked");
                    is_coded = true;
                }
                header::EXPECT => noted.expects = true,
                header::CONTENT_TYPE => noted.may_not_be_json |= !is_json(value.as_bytes()),
                header::ORIGIN => noted.is_of_a_page = true,
                header::CONTENT_ENCODING => noted.may_not_be_json |= value != "identity",
                _ => {}
            }
        }
        noted
    }
}

/// Whether a media type is that of JSON, with parameters or without.
pub(super) fn is_json(media_type: &[u8]) -> bool {
    const JSON: &[u8] = b"application/json";
    let (essence, rest) = media_type.split_at_checked(JSON.len()).unwrap_or((media_type, &[]));
    // As OpenIM writes it, and else in any way.
    (essence == JSON || essence.eq_ignore_ascii_case(JSON)) && matches!(rest.first(), None | Some(b';' | b' ' | b'\t'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(headers: &[(&'static str, &'static str)]) -> Noted {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (header::HeaderName::from_static(name), header::HeaderValue::from_static(value))
        };
        let mut map = HeaderMap::new();
        headers.iter().map(pair).for_each(|(name, value)| {
            map.append(name, value);
        });
        Noted::of(&map)
    }

    #[test]
    fn what_openim_sends_gives_no_reason_to_look_twice() {
        let sent = [("host", "x"), ("content-type", "application/json; charset=utf-8"), ("content-length", "700")];
        assert_eq!(of(&sent), Noted { hosts: 1, ..Noted::default() });
    }

    #[test]
    fn each_header_that_matters_is_noted_also_where_it_stands_twice() {
        let none = Noted::default();
        let cases: [(&[(&str, &str)], Noted); 10] = [
            (&[("host", "x"), ("host", "x")], Noted { hosts: 2, ..none }),
            (&[("transfer-encoding", "Chunked")], none),
            (&[("transfer-encoding", "gzip")], Noted { is_coded_otherwise: true, ..none }),
            (
                &[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")],
                Noted { is_coded_otherwise: true, ..none },
            ),
            (&[("expect", "100-continue")], Noted { expects: true, ..none }),
            (&[("origin", "null")], Noted { is_of_a_page: true, ..none }),
            (&[("content-type", "text/plain")], Noted { may_not_be_json: true, ..none }),
            (
                &[("content-type", "application/json"), ("content-type", "text/plain")],
                Noted { may_not_be_json: true, ..none },
            ),
            (&[("content-encoding", "gzip")], Noted { may_not_be_json: true, ..none }),
            (&[("content-encoding", "identity")], none),
        ];
        for (headers, noted) in cases {
            assert_eq!(of(headers), noted, "{headers:?}");
        }
    }

    #[test]
    fn only_json_is_taken_for_json() {
        for json in ["application/json", "application/json; charset=utf-8", "Application/JSON;charset=utf-8"] {
            assert!(is_json(json.as_bytes()), "{json}");
        }
        for other in ["", "application/jsonp", "text/plain", "application/x-www-form-urlencoded", "application"] {
            assert!(!is_json(other.as_bytes()), "{other}");
        }
    }
}
