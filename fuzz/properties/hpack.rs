//! An HPACK decoder that supports only printable characters. RFC 7541.

use std::collections::VecDeque;

/// The static table, numbered from 1: names that have values. RFC 7541, A.
const STATIC: &[(&str, &[&str])] = &[
    (":authority", &[""]),
    (":method", &["GET", "POST"]),
    (":path", &["/", "/index.html"]),
    (":scheme", &["http", "https"]),
    (":status", &["200", "204", "206", "304", "400", "404", "500"]),
    ("accept-charset", &[""]),
    ("accept-encoding", &["gzip, deflate"]),
];

/// The rest of the static table: names without values.
const STATIC_NAMES: &str = "accept-language accept-ranges accept access-control-allow-origin age allow authorization \
    cache-control content-disposition content-encoding content-language content-length content-location content-range \
    content-type cookie date etag expect expires from host if-match if-modified-since if-none-match if-range \
    if-unmodified-since last-modified link location max-forwards proxy-authenticate proxy-authorization range referer \
    refresh retry-after server set-cookie strict-transport-security transfer-encoding user-agent vary via \
    www-authenticate";

/// Characters in the order of their codes, by the length of the codes in bits. These determine the codes. RFC 7541, B.
const CODES: &[(u32, &str)] = &[
    (5, "012aceiost"),
    (6, " %-./3456789=A_bdfghlmnpru"),
    (7, ":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz"),
    (8, "&*,;XZ"),
    (10, "!\"()?"),
    (11, "'+|"),
    (12, "#>"),
    (13, "\0$@[]~"),
    (14, "^}"),
    (15, "<`{"),
    (19, "\\"),
];

/// The initial size of the dynamic table.
const TABLE_BYTES: usize = 4096;

pub(super) type Field = (String, String);

/// The table of a connection.
pub(super) struct Table {
    known: Vec<Field>,
    /// The newest first.
    learned: VecDeque<Field>,
    most_bytes: usize,
}

impl Table {
    pub(super) fn new() -> Self {
        let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let with_values = STATIC.iter().flat_map(|(name, values)| values.iter().map(move |value| field(name, value)));
        let known: Vec<_> = with_values.chain(STATIC_NAMES.split(' ').map(|name| field(name, ""))).collect();
        assert_eq!(known.len(), 61);
        Self { known, learned: VecDeque::new(), most_bytes: TABLE_BYTES }
    }

    /// The fields of a head. Panics if it is invalid.
    pub(super) fn read(&mut self, mut block: &[u8]) -> Vec<Field> {
        let mut fields = Vec::new();
        while let Some(first) = block.first() {
            let (prefix, is_learned) = match first {
                0x80.. => {
                    fields.push(self.at(number(&mut block, 7)).clone());
                    continue;
                }
                0x40.. => (6, true),
                0x20.. => {
                    self.most_bytes = number(&mut block, 5);
                    assert!(fields.is_empty());
                    self.evict();
                    continue;
                }
                _ => (4, false),
            };
            let name = match number(&mut block, prefix) {
                0 => text(&mut block),
                at => self.at(at).0.clone(),
            };
            let field = (name, text(&mut block));
            if is_learned {
                self.learned.push_front(field.clone());
                self.evict();
            }
            fields.push(field);
        }
        fields
    }

    fn at(&self, number: usize) -> &Field {
        let at = number.checked_sub(1).expect("fields are counted from 1");
        self.known.get(at).or_else(|| self.learned.get(at - self.known.len())).expect("a known field")
    }

    fn evict(&mut self) {
        let bytes = |(name, value): &Field| name.len() + value.len() + 32;
        while self.learned.iter().map(bytes).sum::<usize>() > self.most_bytes {
            self.learned.pop_back();
        }
    }
}

fn next(block: &mut &[u8]) -> u8 {
    let (first, rest) = block.split_first().expect("a complete head");
    *block = rest;
    *first
}

/// An integer whose first bits share a byte. RFC 7541, 5.1.
fn number(block: &mut &[u8], prefix: u32) -> usize {
    let most = (1 << prefix) - 1;
    let mut number = usize::from(next(block)) & most;
    if number == most {
        for shift in (0..).step_by(7) {
            let byte = next(block);
            number += usize::from(byte & 0x7f).checked_shl(shift).expect("a number");
            if byte < 0x80 {
                break;
            }
        }
    }
    number
}

fn text(block: &mut &[u8]) -> String {
    let is_packed = block.first().is_some_and(|first| *first >= 0x80);
    let len = number(block, 7);
    let (bytes, rest) = block.split_at_checked(len).expect("a string has the declared length");
    *block = rest;
    if is_packed { unpacked(bytes) } else { String::from_utf8(bytes.to_vec()).unwrap() }
}

fn unpacked(bytes: &[u8]) -> String {
    let mut text = String::new();
    // The current code: its bits, their number, and the first code of that length.
    let (mut code, mut bits, mut first) = (0_usize, 0_u32, 0_usize);
    for bit in bytes.iter().flat_map(|byte| (0..8).rev().map(move |at| usize::from(byte >> at & 1))) {
        (code, bits, first) = (code << 1 | bit, bits + 1, first << 1);
        let Some((_, characters)) = CODES.iter().find(|(length, _)| *length == bits) else { continue };
        match characters.as_bytes().get(code - first) {
            Some(character) => {
                text.push(char::from(*character));
                (code, bits, first) = (0, 0, 0);
            }
            None => first += characters.len(),
        }
    }
    assert!(bits < 8 && code == (1 << bits) - 1, "the padding is all ones");
    text
}

/// RFC 7541, C.6.1 and C.6.2.
pub(super) fn reads_the_rfc_s_example() {
    let mut table = Table { most_bytes: 256, ..Table::new() };
    let packed = |text: &str| -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    };
    let first = packed(
        "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3",
    );
    let mut expected = [
        (":status", "302"),
        ("cache-control", "private"),
        ("date", "Mon, 21 Oct 2013 20:13:21 GMT"),
        ("location", "https://www.example.com"),
    ];
    let read = |fields: Vec<Field>, expected: &[(&str, &str)]| {
        assert!(fields.iter().map(|(name, value)| (&**name, &**value)).eq(expected.iter().copied()), "{fields:?}");
    };
    read(table.read(&first), &expected);
    expected[0].1 = "307";
    read(table.read(&packed("4883640effc1c0bf")), &expected);
}
