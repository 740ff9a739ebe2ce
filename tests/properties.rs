//! The fuzzer's properties, tested with the corpus and with random variations of it. Each run uses the same inputs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "../fuzz/properties/mod.rs"]
mod properties;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;

/// Number of changed inputs for each target.
const TRIES: usize = 20_000;

/// Maximum length of a changed input, in bytes.
const LONGEST: usize = 4096;

/// Bytes that change a parser's state.
const TURNS: &[u8] = b"\0\t\n\r \"#$%&'*+,-./0123456789:;<=>?@AZ[\\]_`az{|}~\x7f\x80\xc3\xe2\xf0\xff";

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 5, "{target} has no corpus");
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

/// A changed input of a corpus.
fn made_of(corpus: &[Vec<u8>], random: &mut Pcg64Mcg) -> Vec<u8> {
    let mut bytes = corpus[random.random_range(0..corpus.len())].clone();
    for _ in 0..1 << random.random_range(0..5) {
        change(&mut bytes, corpus, random);
    }
    bytes.truncate(LONGEST);
    bytes
}

fn change(bytes: &mut Vec<u8>, corpus: &[Vec<u8>], random: &mut Pcg64Mcg) {
    let at = random.random_range(0..=bytes.len());
    let some = at..(at + random.random_range(0..=16)).min(bytes.len());
    let turn = TURNS[random.random_range(0..TURNS.len())];
    match random.random_range(0..7) {
        0 if at < bytes.len() => bytes[at] ^= 1 << random.random_range(0..8),
        1 if at < bytes.len() => bytes[at] = turn,
        2 => bytes.insert(at, turn),
        3 => drop(bytes.drain(some)),
        4 => {
            let again = bytes[some].to_vec();
            bytes.splice(at..at, again);
        }
        5 => {
            let other = &corpus[random.random_range(0..corpus.len())];
            let from = random.random_range(0..=other.len());
            let piece = &other[from..(from + random.random_range(0..=64)).min(other.len())];
            bytes.splice(some, piece.iter().copied());
        }
        _ => bytes.truncate(at.max(bytes.len() / 2)),
    }
}

/// Tests the corpus and this many changed inputs. Returns the first for which the property does not hold.
fn broken_by(corpus: &[Vec<u8>], holds: fn(&[u8]), tries: usize) -> Option<Vec<u8>> {
    let mut random = Pcg64Mcg::seed_from_u64(6);
    let made = (0..tries).map(|_| made_of(corpus, &mut random));
    corpus.iter().cloned().chain(made).find(|bytes| catch_unwind(AssertUnwindSafe(|| holds(bytes))).is_err())
}

fn try_all(target: &str, holds: fn(&[u8]), tries: usize) {
    if let Some(bytes) = broken_by(&corpus(target), holds, tries) {
        panic!("the property of {target} does not hold for b\"{}\"", bytes.escape_ascii());
    }
}

#[test]
fn any_body_is_recorded_on_one_line_of_json() {
    try_all("record", properties::record::holds, TRIES);
}

#[test]
fn both_decoders_agree_on_any_body_and_a_refusal_gives_the_reason() {
    try_all("decode", properties::decode::holds, TRIES);
}

#[test]
fn an_answer_is_judged_as_a_whole_and_by_the_last_of_its_fields() {
    try_all("judge", properties::judge::holds, TRIES);
}

#[test]
fn what_other_exporters_wrote_is_accepted_within_the_limits_or_refused() {
    try_all("replicas", properties::replicas::holds, TRIES / 2);
}

#[test]
fn any_callback_reports_what_its_body_says_or_is_refused() {
    try_all("report", properties::report::holds, TRIES);
}

#[test]
fn any_bytes_over_http_1_get_valid_responses_and_each_counted_message_is_answered() {
    try_all("head", properties::head::holds, TRIES);
    // Fewer, because most of them are scrapes, which write much text.
    try_all("head", properties::head::holds_with_scrapes, TRIES / 20);
}

#[test]
fn any_bytes_over_http_2_get_valid_responses_and_nothing_is_left_at_the_end() {
    properties::multiplex::the_parsers_read_the_rfc_s_example();
    try_all("multiplex", properties::multiplex::holds, TRIES / 2);
}

#[test]
fn incomplete_records_and_frames_are_detected_in_any_pieces() {
    try_all("framing", properties::framing::holds, TRIES);
}

#[test]
fn settings_are_accepted_or_refused_and_no_error_shows_a_secret() {
    try_all("web_config", properties::web_config::holds, TRIES);
}

#[test]
fn targets_are_accepted_or_refused_and_no_error_shows_a_secret() {
    try_all("forward_config", properties::forward_config::holds, TRIES);
}

#[test]
fn a_state_file_of_any_bytes_is_opened_or_renamed_and_counting_continues() {
    // Fewer, because writing and opening a file of 13 MiB takes 15 ms.
    try_all("state", properties::state::holds, TRIES / 20);
}

#[test]
fn a_state_with_any_table_of_contents_is_converted_or_refused() {
    // Fewer, because each creates megabytes of sketches, which takes 7 ms.
    try_all("carry", properties::carry::holds, TRIES / 20);
}

#[test]
fn a_file_is_a_state_only_if_its_checksums_match() {
    try_all("state_header", properties::state_header::holds, TRIES);
}

#[test]
fn each_record_of_a_spool_that_is_not_damaged_is_found() {
    try_all("spool", properties::spool::holds, TRIES);
}

#[test]
fn written_names_and_numbers_are_read_back_unchanged() {
    try_all("writers", properties::writers::holds, TRIES);
}

#[test]
fn an_input_that_breaks_a_property_is_found() {
    let corpus = corpus("decode");
    let no_tilde = |bytes: &[u8]| assert!(!bytes.contains(&b'~'));
    assert!(broken_by(&corpus, no_tilde, 0).is_none());
    assert!(broken_by(&corpus, no_tilde, TRIES).is_some());
    let no_text_begins_so = |bytes: &[u8]| assert!(!bytes.starts_with(b"{\"sendID\":\"\\ud83d"));
    assert!(broken_by(&corpus, no_text_begins_so, 0).is_some());
}
