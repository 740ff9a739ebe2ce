//! A strict parser of HTTP/1 responses, one after another. RFC 9112.

use serde_json::Value;

/// A response.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    /// It declares a length and has no body: it answers a HEAD.
    pub(super) is_bodyless: bool,
}

impl Response {
    /// The value of a header. No header is repeated.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// Checks that it is a refusal in OpenIM's format: five fields of JSON.
    pub(super) fn is_in_the_sender_s_form(&self) {
        if self.is_bodyless {
            return;
        }
        assert_eq!(self.header("content-type"), Some("application/json"));
        let body: Value = serde_json::from_slice(&self.body).unwrap();
        let fields = body.as_object().unwrap();
        assert_eq!((fields.len(), &body["nextCode"]), (5, &0.into()));
        // If OpenIM may obey the answer, all codes are 0.
        let codes = if body["actionCode"] == 0 { (0, 0) } else { (1, self.status) };
        assert_eq!((&body["actionCode"], &body["errCode"]), (&codes.0.into(), &codes.1.into()));
        assert!(!body["errMsg"].as_str().unwrap().is_empty() && body["errDlt"].is_string());
    }
}

/// Parses everything that was received. Panics if it is not HTTP/1.
pub(super) fn parse(mut received: &[u8]) -> Vec<Response> {
    let mut responses = Vec::new();
    while !received.is_empty() {
        let (mut response, is_http_10, rest) = head(received);
        (response.body, received) = body(&mut response, is_http_10, rest);
        responses.push(response);
    }
    responses
}

fn head(received: &[u8]) -> (Response, bool, &[u8]) {
    let end = received.windows(4).position(|end| end == b"\r\n\r\n").expect("a head ends");
    let text = std::str::from_utf8(&received[..end]).expect("a head is text");
    let mut lines = text.split("\r\n");
    let status_line = lines.next().unwrap();
    let (version, rest) = status_line.split_at(9);
    assert!(["HTTP/1.0 ", "HTTP/1.1 "].contains(&version), "{status_line}");
    let (status, reason) = rest.split_at(3);
    assert!(reason.starts_with(' ') && reason.is_ascii(), "{status_line}");
    let mut headers: Vec<(String, String)> = Vec::new();
    for line in lines {
        let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("{line:?} is not a header"));
        assert!(!name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{line:?}");
        assert!(value.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{line:?}");
        assert!(headers.iter().all(|(other, _)| other != name), "{name} is repeated");
        headers.push((name.to_owned(), value.to_owned()));
    }
    let status = status.parse().expect("a status is a number");
    assert!((100..600).contains(&status));
    let response = Response { status, headers, body: Vec::new(), is_bodyless: false };
    (response, version == "HTTP/1.0 ", &received[end + 4..])
}

fn body<'a>(response: &mut Response, is_http_10: bool, rest: &'a [u8]) -> (Vec<u8>, &'a [u8]) {
    let length = response.header("content-length").map(|length| length.parse::<usize>().expect("a length"));
    let is_chunked = response.header("transfer-encoding").is_some_and(|coding| {
        assert_eq!(coding, "chunked");
        true
    });
    assert!(length.is_none() || !is_chunked, "both a length and chunks");
    if response.status < 200 {
        assert!(length.is_none() && !is_chunked);
        return (Vec::new(), rest);
    }
    // No body of the exporter begins like a response.
    response.is_bodyless = length != Some(0) && (rest.is_empty() || rest.starts_with(b"HTTP/1."));
    match length {
        _ if response.is_bodyless => (Vec::new(), rest),
        Some(length) => {
            let (body, rest) = rest.split_at_checked(length).expect("a body has the declared length");
            (body.to_vec(), rest)
        }
        None if is_chunked => chunks(rest),
        None => {
            assert!(is_http_10, "in HTTP/1.1, a body has a length or chunks");
            (rest.to_vec(), &[])
        }
    }
}

fn chunks(mut rest: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|end| end == b"\r\n").expect("a chunk has a length");
        let length = std::str::from_utf8(&rest[..end]).unwrap();
        let length = usize::from_str_radix(length, 16).expect("a chunk's length is a number");
        let (chunk, behind) = rest[end + 2..].split_at_checked(length).expect("a chunk has the declared length");
        body.extend_from_slice(chunk);
        rest = behind.strip_prefix(b"\r\n").expect("a chunk ends");
        if length == 0 {
            return (body, rest);
        }
    }
}
