//! A strict parser of what an HTTP/2 client receives. RFC 9113.

use std::collections::BTreeMap;

use super::hpack::{Field, Table};
use super::responses::Response;

/// The preface of a client. RFC 9113, 3.4.
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

// Types of frames and their flags. RFC 9113, 6.
pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;
pub(super) const END_STREAM: u8 = 1;
pub(super) const ACK: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;

/// A frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'a> {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: &'a [u8],
}

/// The complete frames, and the remaining bytes.
pub(super) fn split(mut bytes: &[u8]) -> (Vec<Frame<'_>>, &[u8]) {
    let mut frames = Vec::new();
    while let [a, b, c, kind, flags, d, e, f, g, rest @ ..] = bytes {
        let len = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        let Some((payload, rest)) = rest.split_at_checked(len) else { break };
        frames.push(Frame { kind: *kind, flags: *flags, stream: u32::from_be_bytes([*d, *e, *f, *g]), payload });
        bytes = rest;
    }
    (frames, bytes)
}

/// Everything that was received.
#[derive(Default)]
pub(super) struct Received {
    pub(super) answers: BTreeMap<u32, Answer>,
    /// Streams that were reset, with the error code.
    pub(super) resets: Vec<(u32, u32)>,
    /// The error code of a GOAWAY, if one was received.
    pub(super) goodbye: Option<u32>,
}

/// A response, as far as it was received.
pub(super) struct Answer {
    pub(super) response: Response,
    pub(super) is_whole: bool,
    /// It has no content after its head.
    pub(super) is_bare: bool,
}

/// Parses everything that was received. Panics if it is not HTTP/2.
pub(super) fn parse(received: &[u8]) -> Received {
    let (frames, rest) = split(received);
    assert!(rest.is_empty(), "half a frame");
    let mut parsed = Received::default();
    let mut table = Table::new();
    let mut head: Option<(Frame<'_>, Vec<u8>)> = None;
    for (at, frame) in frames.iter().enumerate() {
        let is_settings = frame.kind == SETTINGS && frame.flags & ACK == 0;
        assert_eq!(is_settings, at == 0, "SETTINGS come first, and only then");
        // A client that continues a reset request gets another reset.
        let is_over = frame.kind != RST_STREAM && parsed.resets.iter().any(|(stream, _)| *stream == frame.stream);
        assert!(!is_over, "{frame:?} after the end");
        if let Some((begun, mut block)) = head.take() {
            assert!(frame.kind == CONTINUATION && frame.stream == begun.stream, "{frame:?} within a head");
            block.extend_from_slice(frame.payload);
            head = Some((begun, block));
        }
        match frame.kind {
            HEADERS => head = Some((*frame, frame.payload.to_vec())),
            CONTINUATION => assert!(head.is_some()),
            _ => parsed.take(frame),
        }
        if frame.flags & END_HEADERS != 0
            && let Some((begun, block)) = head.take()
        {
            parsed.begin(begun, table.read(&block));
        }
    }
    assert!(head.is_none(), "half a head");
    parsed
}

impl Received {
    fn take(&mut self, frame: &Frame<'_>) {
        let word = |at: usize| u32::from_be_bytes(frame.payload[at..at + 4].try_into().unwrap());
        match frame.kind {
            DATA => {
                let answer = self.answers.get_mut(&frame.stream).expect("a head before its content");
                assert!(!answer.is_whole, "{frame:?} after the end");
                answer.response.body.extend_from_slice(frame.payload);
                if frame.flags & END_STREAM != 0 {
                    answer.end();
                }
            }
            RST_STREAM => {
                assert!(frame.stream != 0 && frame.payload.len() == 4, "{frame:?}");
                self.resets.push((frame.stream, word(0)));
            }
            SETTINGS => assert!(frame.stream == 0 && frame.payload.len().is_multiple_of(6), "{frame:?}"),
            PING => assert!(frame.stream == 0 && frame.payload.len() == 8, "{frame:?}"),
            GOAWAY => {
                assert!(frame.stream == 0 && frame.payload.len() >= 8, "{frame:?}");
                self.goodbye = Some(self.goodbye.unwrap_or_default().max(word(4)));
            }
            WINDOW_UPDATE => assert!(frame.payload.len() == 4 && word(0) > 0, "{frame:?}"),
            _ => panic!("{frame:?}"),
        }
    }

    fn begin(&mut self, frame: Frame<'_>, mut headers: Vec<Field>) {
        assert!(frame.stream % 2 == 1, "{frame:?}");
        let (name, status) = headers.remove(0);
        assert_eq!(name, ":status");
        let status: u16 = status.parse().expect("a status is a number");
        for (at, (name, value)) in headers.iter().enumerate() {
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-') && !name.is_empty(), "{name:?}");
            assert!(value.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{value:?}");
            assert!(headers[..at].iter().all(|(other, _)| other != name), "{name} is repeated");
            // RFC 9113, 8.2.2.
            assert!(!["connection", "transfer-encoding", "keep-alive"].contains(&name.as_str()));
        }
        assert!((200..600).contains(&status));
        let response = Response { status, headers, body: Vec::new(), is_bodyless: false };
        let mut answer = Answer { response, is_whole: false, is_bare: frame.flags & END_STREAM != 0 };
        if answer.is_bare {
            answer.end();
        }
        assert!(self.answers.insert(frame.stream, answer).is_none(), "{frame:?} is a second answer");
    }
}

impl Answer {
    /// Checks the length of the content: as declared, or none for a HEAD.
    fn end(&mut self) {
        self.is_whole = true;
        let length = self.response.header("content-length").map(|length| length.parse::<usize>().expect("a length"));
        let len = self.response.body.len();
        self.response.is_bodyless = len == 0;
        assert!(len == 0 || length.is_none_or(|length| length == len), "{length:?}, and has {len} bytes");
    }
}
