//! The quick decoder reads what the full decoder reads, or leaves the body to it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use openim_exporter::domain::UnixMillis;
use openim_exporter::simulate::{Generator, Letter};
use openim_exporter::wire::{DecoderComparison, compare_decoders};
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use support::callbacks;

const SEED: u64 = 7;

/// Bodies as OpenIM sends them, of all kinds of messages.
fn simulated(count: usize) -> Vec<Vec<u8>> {
    let mut generator = Generator::new(1000, 100_000, SEED).unwrap();
    let mut letter = Letter::default();
    let mut draw = |_| {
        generator.draw(UnixMillis(1_732_345_678_901), &mut letter).unwrap();
        letter.body.clone()
    };
    (0..count).map(&mut draw).collect()
}

fn shown(body: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(body)
}

#[test]
fn the_quick_decoder_supports_openim_s_bodies_and_the_documented_example() {
    for body in simulated(20_000) {
        assert_eq!(compare_decoders(&body), DecoderComparison::Equal, "{}", shown(&body));
    }
    for name in ["doc-sample.good.json", "v3.5-mention-all-no-send-time.good.json", "v3.8.3-text.good.json"] {
        let (_, body) = callbacks(name).remove(0);
        assert_eq!(compare_decoders(&body), DecoderComparison::Equal, "{name}");
    }
}

/// Values that the two decoders could read differently.
const VALUES: &[&str] = &[
    "0",
    "-0",
    "00",
    "01",
    "-1",
    "+1",
    "1.0",
    "1e3",
    "1E400",
    "-",
    "2147483647",
    "2147483648",
    "-2147483648",
    "-2147483649",
    "4294967295",
    "4294967296",
    "999999999999999999",
    "-999999999999999999",
    "1000000000000000000",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "99999999999999999999",
    "0x1",
    "NaN",
    "null",
    "nul",
    "nullx",
    "true",
    "{}",
    "[]",
    "[null]",
    "[[]]",
    r#"["AtAllTag"]"#,
    r#"["a" , "AtAllTag"]"#,
    r#"["a",]"#,
    r#"[,"a"]"#,
    r#"["\u0041"]"#,
    r#"["a""b"]"#,
    r#""""#,
    r#""AtAllTag""#,
    r#""\n""#,
    r#""\u003c""#,
    r#""\ud83d\udc4b""#,
    r#""\ud83d""#,
    r#""\udc4b""#,
    r#""\ud83d\u0041""#,
    r#""\u+041""#,
    r#""\u00g1""#,
    r#""\x""#,
    r#""\""#,
    "\"\t\"",
    "\"\u{0}\"",
    "\"\u{1f}\"",
    "\"\u{7f}\u{80}\u{7fa4}\u{1f44b}\"",
    r#""12345678""#,
    r#""1234567\"""#,
    r#""1234567\\""#,
    "'a'",
    "",
];

/// Tokens to insert anywhere.
const TOKENS: &[&str] = &[
    "\"",
    "\\",
    "\\\\",
    "\\\"",
    "\\u",
    "\\ud800",
    "\\u0000",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    " ",
    "\n",
    "\t",
    "\r",
    "\u{c}",
    "\u{b}",
    "\u{a0}",
    "\u{feff}",
    "\u{0}",
    "\u{1}",
    "\u{1f}",
    "0",
    "-",
    ".",
    "e",
    "null",
    ",,",
    "}}",
    "//",
    "\u{e9}",
    "\"sendID\":\"x\",",
    "\"groupID\":null,",
    ",\"groupID\":\"z\"",
    "\"seq\":-1,",
    "\"new\":1,",
    "\"sendID\" :",
    "\"\":\"\",",
];

/// A body's fields, split at commas outside of strings.
fn fields(body: &[u8]) -> Vec<Vec<u8>> {
    let mut fields = vec![Vec::new()];
    let (mut in_string, mut escaped, mut depth) = (false, false, 0);
    for byte in body {
        match byte {
            b'"' if !escaped => in_string = !in_string,
            b'[' if !in_string => depth += 1,
            b']' if !in_string => depth -= 1,
            b',' if !in_string && depth == 0 => {
                fields.push(Vec::new());
                continue;
            }
            _ => {}
        }
        escaped = in_string && *byte == b'\\' && !escaped;
        fields.last_mut().unwrap().push(*byte);
    }
    fields
}

struct Mutator(Pcg64Mcg);

impl Mutator {
    fn below(&mut self, end: usize) -> usize {
        self.0.random_range(0..end.max(1))
    }

    fn one_of<'a>(&mut self, texts: &[&'a str]) -> &'a [u8] {
        texts[self.below(texts.len())].as_bytes()
    }

    fn mutate(&mut self, body: &mut Vec<u8>) {
        let at = self.below(body.len());
        match self.below(7) {
            0 => body.iter_mut().skip(at).take(1).for_each(|byte| *byte = self.0.random()),
            1 => body.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << self.0.random_range(0..8)),
            2 => drop(body.splice(at..at, self.one_of(TOKENS).iter().copied())),
            3 => body.truncate(at),
            4 => drop(body.drain(at..(at + 1 + self.below(12)).min(body.len()))),
            5 => self.rearrange(body),
            _ => self.replace_value(body),
        }
    }

    /// Swaps two fields, or removes or duplicates one.
    fn rearrange(&mut self, body: &mut Vec<u8>) {
        let mut fields = fields(body);
        let (one, other) = (self.below(fields.len()), self.below(fields.len()));
        match self.below(3) {
            0 => fields.swap(one, other),
            1 => drop(fields.remove(one)),
            _ => fields.insert(other, fields[one].clone()),
        }
        *body = fields.join(&b',');
    }

    fn replace_value(&mut self, body: &mut Vec<u8>) {
        let mut fields = fields(body);
        let one = self.below(fields.len());
        let field = &mut fields[one];
        if let Some(colon) = field.windows(2).position(|pair| pair == b"\":") {
            let end = if field.ends_with(b"}\n") { field.len() - 2 } else { field.len() };
            field.splice(colon + 2..end.max(colon + 2), self.one_of(VALUES).iter().copied());
        }
        *body = fields.join(&b',');
    }
}

#[test]
fn both_decoders_agree_on_every_mutated_body() {
    let mut originals = simulated(500);
    originals.extend(callbacks(".json").into_iter().map(|(_, body)| body));
    let mut mutator = Mutator(Pcg64Mcg::seed_from_u64(SEED));
    let mut read = 0;
    for round in 0..300_000 {
        let mut body = originals[round % originals.len()].clone();
        for _ in 0..=mutator.below(3) {
            mutator.mutate(&mut body);
        }
        match compare_decoders(&body) {
            DecoderComparison::Different => panic!("{}", shown(&body)),
            DecoderComparison::Equal => read += 1,
            DecoderComparison::Unsupported => {}
        }
    }
    // Both cases occur often: supported and unsupported bodies.
    assert!((30_000..270_000).contains(&read), "{read}");
}

#[test]
fn both_decoders_agree_on_each_value_in_each_field() {
    let original = fields(&callbacks("v3.8.3-text.good.json").remove(0).1);
    let long = [8192, 8193, 16_384, 16_385, 100_000].map(|len| format!("\"{}\"", "x".repeat(len)));
    let long_in_lists = long.clone().map(|value| format!("[{value}]"));
    let long: Vec<_> = long.iter().chain(&long_in_lists).map(String::as_str).collect();
    for number in 0..original.len() {
        for value in VALUES.iter().chain(&long) {
            let mut fields = original.clone();
            let name = fields[number].windows(2).position(|pair| pair == b"\":").unwrap() + 2;
            let end = if number + 1 == original.len() { "}" } else { "" };
            fields[number].splice(name.., format!("{value}{end}").into_bytes());
            let body = fields.join(&b',');
            assert_ne!(compare_decoders(&body), DecoderComparison::Different, "{}", shown(&body));
        }
    }
}

#[test]
fn both_decoders_agree_on_each_character_at_each_position() {
    let escapes =
        [r"\n", r#"\""#, r"\\", r"\/", r"\u7FA4", r"\ud83d\udc4b", r#"\"\"\"\"\\\\"#, "\u{7fa4}", "\u{1f44b}"];
    let characters = (0..128).map(|byte| char::from(byte).to_string());
    for piece in characters.chain(escapes.map(str::to_owned)) {
        let is_read = !matches!(piece.as_bytes(), [0..b' ' | b'"' | b'\\']);
        for (before, behind) in (0..60).flat_map(|before| [0, 1, 15, 16, 47, 48].map(|behind| (before, behind))) {
            let content = format!("{}{piece}{}", "x".repeat(before), "y".repeat(behind));
            for last in ["", r#","groupID":"g""#] {
                // A body of less than 48 bytes is not supported.
                let body = format!(r#"{{"sendID":"u","callbackCommand":null,"content":"{content}"{last}}}"#);
                let read = compare_decoders(body.as_bytes());
                assert_eq!(
                    read,
                    if is_read { DecoderComparison::Equal } else { DecoderComparison::Unsupported },
                    "{body}"
                );
            }
        }
    }
}
