//! Incomplete TLS records and HTTP/2 frames in any pieces are detected as by a parser that has all bytes.

use openim_exporter::http::fuzz::detect_partial;

use super::frames::{CONTINUATION, DATA, END_HEADERS, HEADERS, PREFACE};

/// Lengths of the pieces in which the bytes arrive.
const PIECES: [usize; 6] = [usize::MAX, 1, 2, 5, 9, 100];

/// The first byte selects TLS or HTTP/2.
pub(crate) fn holds(bytes: &[u8]) {
    let Some((how, bytes)) = bytes.split_first() else { return };
    let is_http_2 = how & 1 == 1;
    let expected = read(bytes, is_http_2);
    for pieces in PIECES.map(|len| bytes.chunks(len).collect::<Vec<_>>()) {
        let behind = detect_partial(is_http_2, &pieces);
        let mut at = 0;
        for (piece, (is_midway, has_rested)) in pieces.iter().zip(behind) {
            let before = at;
            at += piece.len();
            assert_eq!(is_midway, expected.is_midway[at - 1], "behind {at} bytes");
            let rests = expected.rests.iter().filter(|rest| (before + 1..=at).contains(*rest));
            assert_eq!(has_rested, rests.count() > 0, "from {before} to {at}");
        }
    }
}

#[derive(Default)]
struct Read {
    /// The positions after which everything is complete.
    rests: Vec<usize>,
    /// After each byte, whether something is incomplete.
    is_midway: Vec<bool>,
}

/// Parses the bytes unit by unit.
fn read(bytes: &[u8], is_http_2: bool) -> Read {
    let mut read = Read::default();
    let mut in_head = false;
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let is_preface = is_http_2 && at == 0;
        let (len, kind, flags) = match rest {
            _ if is_preface => (PREFACE.len(), u8::MAX, 0),
            [a, b, c, kind, flags, _, _, _, _, ..] if is_http_2 => {
                (9 + u32::from_be_bytes([0, *a, *b, *c]) as usize, *kind, *flags)
            }
            [_, _, _, a, b, ..] if !is_http_2 => (5 + usize::from(u16::from_be_bytes([*a, *b])), u8::MAX, 0),
            // A part of a head.
            _ => (usize::MAX, u8::MAX, 0),
        };
        for behind in 1..=len.min(rest.len()) {
            let is_in_data = kind == DATA && behind >= 9;
            read.is_midway.push(in_head || !is_in_data);
        }
        if len > rest.len() {
            break;
        }
        at += len;
        if [HEADERS, CONTINUATION].contains(&kind) {
            in_head = flags & END_HEADERS == 0;
        }
        *read.is_midway.last_mut().unwrap() = in_head;
        read.rests.extend((!in_head).then_some(at));
    }
    read
}
