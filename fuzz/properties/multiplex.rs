//! An HTTP/2 connection, with any bytes in any pieces: everything that the client receives is HTTP/2, each refusal is
//! counted once and is JSON in OpenIM's format, each counted message is answered with success, and nothing is left at
//! the end.

use std::collections::BTreeSet;
use std::time::Duration;

use openim_exporter::http::fuzz::{self, ConnectionOutcome, Ending};
use openim_exporter::http::{Limits, Role};
use openim_exporter::wire::SUCCESS;
use tokio::runtime::Runtime;

use super::exporter::{Counts, Exporter};
use super::frames::{
    self, ACK, Answer, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PREFACE, RST_STREAM, Received, SETTINGS, split,
};
use super::hpack;

/// Lengths of the pieces in which the bytes arrive.
const PIECES: [usize; 8] = [usize::MAX, usize::MAX, 1, 7, 33, 64, 200, 1000];

const ROLES: [Role; 4] = [Role::All, Role::All, Role::Callbacks, Role::Telemetry];

const ENDINGS: [Ending; 4] = [Ending::WaitsForResponses, Ending::WaitsForResponses, Ending::StaysOpen, Ending::Closes];

/// Frame types from here on mean a head that begins with one of these blocks.
const READY_MADE: u8 = 0x80;
const HEADS: [&[(&str, &str)]; 10] = [
    &[(":method", "POST"), (":path", "/callbackAfterSendGroupMsgCommand"), ("content-type", "application/json")],
    &[(":method", "POST"), (":path", "/a-secret-of-the-path/callbackAfterSendGroupMsgCommand")],
    &[(":method", "POST"), (":path", "/callback")],
    &[(":method", "POST"), (":path", "/?command=callbackAfterSendGroupMsgCommand"), ("expect", "100-continue")],
    &[(":method", "GET"), (":path", "/")],
    &[(":method", "HEAD"), (":path", "/metrics")],
    &[(":method", "GET"), (":path", "/metrics/groups")],
    &[(":method", "GET"), (":path", "/-/ready")],
    &[(":method", "POST"), (":path", "/-/reload")],
    &[(":path", "/")],
];

thread_local! {
    static BENCH: Bench = Bench::new();
}

/// The first two bytes select the site, the socket, the form, the pieces and the end. Scrapes and API answers are
/// refused as too many.
pub(crate) fn holds(bytes: &[u8]) {
    BENCH.with(|bench| bench.talk(bytes));
}

pub(crate) fn the_parsers_read_the_rfc_s_example() {
    hpack::reads_the_rfc_s_example();
}

struct Bench {
    runtime: Runtime,
    /// One without access control, one that requires a secret, and one that is draining.
    exporters: [Exporter; 3],
}

/// What the client sends.
struct Sent {
    bytes: Vec<u8>,
    /// Streams that have a head.
    requested: BTreeSet<u32>,
    has_resets: bool,
    says_goodbye: bool,
}

impl Bench {
    fn new() -> Self {
        let none = Duration::ZERO;
        let limits = Limits {
            head: none,
            body: none,
            answer: none,
            idle: none,
            linger: none,
            idle_draining: none,
            request_draining: none,
            ..Limits::default()
        };
        let exporters = [Exporter::open, Exporter::guarded, Exporter::open].map(|new| new(limits, 0, false));
        exporters[2].site.drain();
        Self { runtime: tokio::runtime::Builder::new_current_thread().build().unwrap(), exporters }
    }

    fn talk(&self, bytes: &[u8]) {
        let [how, whom, bytes @ ..] = bytes else { return };
        let sent = Sent::new(how >> 5 & 3, bytes);
        let exporter = &self.exporters[[0, 0, 1, 2][usize::from(whom & 3)]];
        let ending = ENDINGS[usize::from(whom >> 2 & 3)];
        let pieces: Vec<_> = sent.bytes.chunks(PIECES[usize::from(how >> 2 & 7)]).collect();
        let role = ROLES[usize::from(how & 3)];
        let outcome = self.runtime.block_on(fuzz::serve_http2(&exporter.site, role, &pieces, ending));
        assert!(outcome.has_ended && outcome.is_gone, "{outcome:?}");
        let received = frames::parse(&outcome.received);
        received.answers.values().for_each(is_refusal_in_form);
        sent.agrees(&outcome, &received, exporter.count(true), ending);
    }
}

/// Whether an answer is a refusal. The readiness page of a draining exporter is not.
fn is_refusal(answer: &Answer) -> bool {
    let response = &answer.response;
    let is_page = response.header("content-type").is_some_and(|kind| kind.starts_with("text/plain"));
    response.status >= 400 && !(is_page && response.status == 503)
}

fn is_refusal_in_form(answer: &Answer) {
    let response = &answer.response;
    if !is_refusal(answer) || !answer.is_whole {
        return;
    }
    if is_from_h2(answer) {
        assert_eq!(response.status, 431);
    } else {
        // Only the response to a HEAD has no content. It declares the length that the content would have.
        assert!(!response.is_bodyless || response.header("content-length").is_some_and(|length| length != "0"));
        response.is_in_the_sender_s_form();
    }
}

/// Whether `h2` sent this response itself, so that the exporter did not count it. Each response of the exporter has a
/// length.
fn is_from_h2(answer: &Answer) -> bool {
    answer.is_bare && answer.response.header("content-length").is_none()
}

impl Sent {
    /// Frames with valid lengths after a valid preface; or arbitrary bytes, with or without a preface.
    fn new(form: u8, bytes: &[u8]) -> Self {
        let mut sent = Vec::new();
        if form < 3 {
            sent.extend_from_slice(PREFACE);
            push_frame(&mut sent, SETTINGS, 0, 0, &[]);
            push_frame(&mut sent, SETTINGS, ACK, 0, &[]);
        }
        if form < 2 {
            push_frames(&mut sent, bytes)
        } else {
            sent.extend_from_slice(bytes)
        }
        let (frames, _) = split(sent.get(PREFACE.len()..).unwrap_or_default());
        let requested = frames.iter().filter(|frame| frame.kind == HEADERS).map(|frame| frame.stream).collect();
        let has = |kind: u8| frames.iter().any(|frame| frame.kind == kind);
        let (has_resets, says_goodbye) = (has(RST_STREAM), has(GOAWAY));
        Self { bytes: sent, requested, has_resets, says_goodbye }
    }

    fn agrees(&self, outcome: &ConnectionOutcome, received: &Received, counted: Counts, ending: Ending) {
        assert_eq!(counted.messages, counted.message_callbacks);
        let whole = received.answers.values().filter(|answer| answer.is_whole);
        let successes = whole.filter(|answer| answer.response.body == SUCCESS.as_bytes()).count() as u64;
        let goodbye = received.goodbye.unwrap_or_default();
        // Another protocol, so it is closed without a response.
        let is_other = !PREFACE.starts_with(&self.bytes) && !self.bytes.starts_with(PREFACE);
        let is_peaceful =
            outcome.is_all_answered && !self.has_resets && received.resets.is_empty() && goodbye == 0 && !is_other;
        if is_peaceful {
            assert_eq!(counted.callbacks, successes);
        }
        let requested = self.requested.len() as u64;
        assert!((successes..=requested).contains(&counted.callbacks));

        let refused =
            received.answers.values().filter(|answer| is_refusal(answer) && !is_from_h2(answer)).count() as u64;
        // A client that sends GOAWAY with an error gets the same error.
        let least = refused + u64::from(goodbye != 0 && !self.says_goodbye);
        // Requests that were neither answered nor reset may have been refused too, and so may the connection, once.
        let taken = received.answers.values().filter(|answer| !is_refusal(answer)).count() as u64;
        let of_connection = u64::from(goodbye != 0 || is_other || ending == Ending::StaysOpen);
        let most = requested.saturating_sub(taken) + of_connection;
        let most = if is_peaceful && ending == Ending::WaitsForResponses { least } else { most };
        assert!((least..=most).contains(&counted.rejections), "{least}..={most}: {counted:?}");
    }
}

/// Reads the bytes as frames: type, flags, stream, length, payload.
fn push_frames(sent: &mut Vec<u8>, mut bytes: &[u8]) {
    while let [kind, flags, stream, len, rest @ ..] = bytes {
        let (payload, rest) = rest.split_at(rest.len().min(usize::from(*len)));
        bytes = rest;
        if *kind < READY_MADE {
            push_frame(sent, *kind, *flags, (*stream).into(), payload);
            continue;
        }
        let mut head = vec![0x87];
        for (name, value) in HEADS[usize::from(*flags >> 4) % HEADS.len()] {
            head.push(0);
            for text in [name, value] {
                head.push(u8::try_from(text.len()).unwrap());
                head.extend(text.as_bytes());
            }
        }
        head.extend_from_slice(payload);
        push_frame(sent, HEADERS, END_HEADERS | flags & END_STREAM, (*stream).into(), &head);
    }
}

fn push_frame(sent: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    sent.extend(&u32::try_from(payload.len()).unwrap().to_be_bytes()[1..]);
    sent.extend([kind, flags]);
    sent.extend(stream.to_be_bytes());
    sent.extend_from_slice(payload);
}
