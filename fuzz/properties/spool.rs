//! A segment of a spool with any bytes is read to its end, and each record that is not damaged is found, however the file
//! grows while it is read.

use std::cell::RefCell;
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::FileExt as _;

use arbitrary::Unstructured;
use openim_exporter::spool::{Record, fuzz};

const SALT: u32 = 0x1234_5678;

/// Where a record has its state, and the states of records that are not pending.
const STATE_AT: usize = 8;
const NOT_PENDING: [u8; 3] = [0x9c, 0x3a, 0xe7];

thread_local! {
    static FILE: RefCell<Option<File>> = const { RefCell::new(None) };
}

pub(crate) fn holds(bytes: &[u8]) {
    let mut input = Unstructured::new(bytes);
    let records = records(&mut input);
    let mut content = records.concat();
    while !input.is_empty() {
        damage(&mut content, input.arbitrary().unwrap_or_default(), &mut input);
    }
    let step = content.len() / (bytes.len() % 13 + 1) + 1;
    let lengths: Vec<_> = (0..content.len()).step_by(step).chain([content.len()]).map(|length| length as u64).collect();
    FILE.with_borrow_mut(|file| {
        let file =
            file.get_or_insert_with(|| tempfile::tempfile_in("/dev/shm").or_else(|_| tempfile::tempfile()).unwrap());
        file.set_len(0).unwrap();
        file.write_all_at(&content, 0).unwrap();
        let found = fuzz::pending(file, SALT, &[content.len() as u64]);
        assert_eq!(found.iter().map(|(at, _)| *at).collect::<Vec<_>>(), expected(&content, &records));
        for (at, entry) in &found {
            let mut again = fuzz::bytes_of(&entry.record(), SALT);
            let at = usize::try_from(*at).unwrap();
            again[STATE_AT] = content[at + STATE_AT];
            assert!(content[at..].starts_with(&again), "a record is read as it was written");
        }
        assert!(fuzz::pending(file, SALT, &lengths) == found, "a file that grows");
    });
}

/// Some records.
fn records(input: &mut Unstructured<'_>) -> Vec<Vec<u8>> {
    let mut record = || {
        let (kind, length): (u8, u8) = input.arbitrary().unwrap_or_default();
        // Seldom longer than what is read at a time.
        let body = [kind].repeat(usize::from(length) * if (kind, length) == (255, 255) { 1100 } else { 1 });
        let address = |is_v4| if is_v4 { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { IpAddr::V6(Ipv6Addr::LOCALHOST) };
        let record = Record {
            received_ms: i64::from(kind) - 100,
            command: ["", "callbackAfterSendGroupMsgCommand"][usize::from(kind & 1)],
            tail: ["", "callbackAfterSendGroupMsgCommand"][usize::from(kind >> 1 & 1)],
            query: ["", "key=1"][usize::from(kind >> 2 & 1)],
            operation_id: [&b""[..], b"operation"][usize::from(kind >> 3 & 1)],
            content_type: [&b""[..], b"application/json"][usize::from(kind >> 4 & 1)],
            client: address(kind & 32 == 0),
            proxy: (kind & 64 == 0).then(|| address(kind & 128 == 0)),
            via: [&b""[..], b"1.1 proxy"][usize::from(kind >> 5 & 1)],
            body: &body,
        };
        fuzz::bytes_of(&record, SALT)
    };
    (0..3).map(|_| record()).collect()
}

/// Changes some bytes, removes or adds some, or copies some to another place.
fn damage(content: &mut Vec<u8>, kind: u8, input: &mut Unstructured<'_>) {
    let mut place = |most: usize| usize::from(input.arbitrary::<u16>().unwrap_or_default()) % (most + 1);
    let (at, length) = (place(content.len()), place(200));
    let range = at..(at + length).min(content.len());
    match kind % 7 {
        0 => content.truncate(at),
        1 => content[range].fill(0),
        2 => drop(content.drain(range)),
        3 => {
            let to = place(content.len());
            let copied = content[range].to_vec();
            content.splice(to..to, copied);
        }
        // The state of a record.
        4 if content.len() > STATE_AT => content[STATE_AT] = [0x9c, 0x3a, 0xe7, 0][length % 4],
        5 => content.extend(input.bytes(length.min(input.len())).unwrap_or_default()),
        _ if at < content.len() => content[at] ^= 1 << (length % 8),
        _ => {}
    }
}

/// Where the pending records are: all bytes but the state are as they were written.
fn expected(content: &[u8], records: &[Vec<u8>]) -> Vec<u64> {
    let is_at = |record: &Vec<u8>, at: usize| {
        let found = content.get(at..at + record.len());
        found.is_some_and(|found| {
            found[..STATE_AT] == record[..STATE_AT] && found[STATE_AT + 1..] == record[STATE_AT + 1..]
        })
    };
    let (mut offsets, mut at) = (Vec::new(), 0);
    while at < content.len() {
        match records.iter().find(|record| content[at] == record[0] && is_at(record, at)) {
            Some(record) => {
                if !NOT_PENDING.contains(&content[at + STATE_AT]) {
                    offsets.push(at as u64);
                }
                at += record.len();
            }
            None => at += 1,
        }
    }
    offsets
}
