//! A record: a callback as bytes in a segment, with checksums.
//!
//! It begins with a header of [`HEADER`] bytes: a magic number, the checksum of the header, the state, then what the
//! checksum covers: lengths, the time, addresses. Then come the texts and the body. Only the state is ever changed.
//!
//! The checksums start from the segment's salt, which no sender knows. So a body that contains a record is never taken
//! for one.

use std::io::{IoSlice, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bytes::Bytes;

/// The bytes that begin each record. The first is never in UTF-8.
pub(super) const MAGIC: [u8; 4] = *b"\xf5OeS";

/// Bytes of a header.
pub(super) const HEADER: usize = 80;

/// Where the state is in a record.
pub(super) const STATE_AT: u64 = 8;

/// Bytes of a header that the checksum does not cover: the magic number, the checksum, the state.
const UNCHECKED: usize = 9;

/// Texts of a record.
const TEXTS: usize = 7;

/// The version of the format.
const FORMAT: u8 = 1;

/// A callback as it is forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// When it was received, in milliseconds since the Unix epoch.
    pub received_ms: i64,
    /// The command.
    pub command: &'a str,
    /// The last segment of the path, as it was sent, if it is the command.
    pub tail: &'a str,
    /// The query, as it was sent.
    pub query: &'a str,
    /// The operation ID, or empty.
    pub operation_id: &'a [u8],
    /// The content type, or empty.
    pub content_type: &'a [u8],
    /// The `Via`, or empty: with it, a loop over several exporters is found.
    pub via: &'a [u8],
    /// The sender's address.
    pub client: IpAddr,
    /// The address of the proxy that it came through.
    pub proxy: Option<IpAddr>,
    /// The body.
    pub body: &'a [u8],
}

/// Why a callback is a dead letter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict<'a> {
    /// The status that the target answered.
    pub(super) status: u16,
    pub(super) reason: &'a str,
}

/// The state of a record. The values differ in several bits, so that a damaged bit does not turn one into another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// To be delivered, or a dead letter. Also any unknown value: delivering twice is better than never.
    Pending,
    /// Delivered, or moved elsewhere.
    Done,
    /// An operator wants it to be dropped.
    ToDrop,
    /// An operator wants this dead letter to be delivered again.
    ToReplay,
}

impl State {
    pub(super) const fn of(byte: u8) -> Self {
        match byte {
            0x9c => Self::Done,
            0x3a => Self::ToDrop,
            0xe7 => Self::ToReplay,
            _ => Self::Pending,
        }
    }

    pub(super) const fn byte(self) -> u8 {
        match self {
            Self::Pending => b'P',
            Self::Done => 0x9c,
            Self::ToDrop => 0x3a,
            Self::ToReplay => 0xe7,
        }
    }
}

/// A header, as read from a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) state: State,
    pub(super) received_ms: i64,
    /// Bytes after the header.
    pub(super) length: u32,
    sum: u32,
    client: IpAddr,
    proxy: Option<IpAddr>,
    status: u16,
    /// Lengths of the command, the tail, the query, the operation ID, the content type, the Via headers and the reason.
    texts: [u16; TEXTS],
}

impl Header {
    /// Reads a header. `None` if there is none at the start of the bytes.
    pub(super) fn read(bytes: &[u8], salt: u32) -> Option<Self> {
        let bytes = bytes.get(..HEADER)?;
        let mut fields = Fields(bytes);
        let is_magic = fields.take::<4>()? == MAGIC;
        let sum = u32::from_le_bytes(fields.take()?);
        if !is_magic || sum != checksum(salt, &[bytes.get(UNCHECKED..)?]) {
            return None;
        }
        let [state, client, proxy, format] = fields.take()?;
        let length = u32::from_le_bytes(fields.take()?);
        let sum = u32::from_le_bytes(fields.take()?);
        let status = u16::from_le_bytes(fields.take()?);
        let mut texts = [0; TEXTS];
        for text in &mut texts {
            *text = u16::from_le_bytes(fields.take()?);
        }
        fields.take::<4>()?;
        let received_ms = i64::from_le_bytes(fields.take()?);
        let (client, proxy) = (address(client, fields.take()?)?, address(proxy, fields.take()?));
        let is_consistent = format == FORMAT && texts.iter().map(|text| u64::from(*text)).sum::<u64>() <= length.into();
        let state = State::of(state);
        is_consistent.then_some(Self { state, received_ms, length, sum, client, proxy, status, texts })
    }

    /// Bytes of the record.
    pub(super) const fn bytes(&self) -> u64 {
        HEADER as u64 + self.length as u64
    }
}

/// The fields of a header that are not read yet.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }
}

fn address(version: u8, bytes: [u8; 16]) -> Option<IpAddr> {
    match (version, bytes) {
        (4, [a, b, c, d, ..]) => Some(Ipv4Addr::new(a, b, c, d).into()),
        (6, bytes) => Some(Ipv6Addr::from(bytes).into()),
        _ => None,
    }
}

fn address_bytes(address: Option<IpAddr>) -> (u8, [u8; 16]) {
    match address {
        Some(IpAddr::V4(address)) => {
            let [a, b, c, d] = address.octets();
            (4, [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
        }
        Some(IpAddr::V6(address)) => (6, address.octets()),
        None => (0, [0; 16]),
    }
}

fn checksum(salt: u32, parts: &[&[u8]]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(salt);
    parts.iter().for_each(|part| hasher.update(part));
    hasher.finalize()
}

/// Calls `write` with the slices of a record. Allocates nothing. `None` if a field is too long.
pub(super) fn encode<T>(
    record: &Record<'_>,
    verdict: Verdict<'_>,
    salt: u32,
    write: impl FnOnce(&mut [IoSlice<'_>], usize) -> T,
) -> Option<T> {
    let texts = [
        record.command.as_bytes(),
        record.tail.as_bytes(),
        record.query.as_bytes(),
        record.operation_id,
        record.content_type,
        record.via,
        verdict.reason.as_bytes(),
    ];
    let [command, tail, query, operation_id, content_type, via, reason] = texts;
    let parts = [command, tail, query, operation_id, content_type, via, reason, record.body];
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let (client, client_bytes) = address_bytes(Some(record.client));
    let (proxy, proxy_bytes) = address_bytes(record.proxy);
    let mut header = [0; HEADER];
    let (_, mut fields) = header.split_at_mut(UNCHECKED);
    let mut put = |bytes: &[u8]| fields.write_all(bytes).ok();
    put(&[client, proxy, FORMAT])?;
    put(&u32::try_from(length).ok()?.to_le_bytes())?;
    put(&checksum(salt, &parts).to_le_bytes())?;
    put(&verdict.status.to_le_bytes())?;
    for text in texts {
        put(&u16::try_from(text.len()).ok()?.to_le_bytes())?;
    }
    put(&[0; 4])?;
    put(&record.received_ms.to_le_bytes())?;
    put(&client_bytes)?;
    put(&proxy_bytes)?;
    let (mut start, checked) = header.split_at_mut(UNCHECKED);
    let sum = checksum(salt, &[checked]);
    start.write_all(&MAGIC).ok()?;
    start.write_all(&sum.to_le_bytes()).ok()?;
    start.write_all(&[State::Pending.byte()]).ok()?;
    let slices = [header.as_slice(), command, tail, query, operation_id, content_type, via, reason, record.body];
    Some(write(&mut slices.map(IoSlice::new), HEADER + length))
}

/// A callback that was read from the spool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    header: Header,
    /// The texts and the body.
    payload: Bytes,
}

impl Entry {
    /// The entry of a header and the bytes after it. `None` if they do not belong together.
    pub(super) fn new(header: Header, payload: Bytes, salt: u32) -> Option<Self> {
        let fits = payload.len() as u64 == u64::from(header.length) && checksum(salt, &[&payload]) == header.sum;
        fits.then_some(Self { header, payload })
    }

    /// The callback.
    #[must_use]
    pub fn record(&self) -> Record<'_> {
        let [command, tail, query, operation_id, content_type, via, _] = self.texts();
        let text = |bytes| std::str::from_utf8(bytes).unwrap_or_default();
        Record {
            received_ms: self.header.received_ms,
            command: text(command),
            tail: text(tail),
            query: text(query),
            operation_id,
            content_type,
            via,
            client: self.header.client,
            proxy: self.header.proxy,
            body: self.payload.get(self.body_at()..).unwrap_or_default(),
        }
    }

    /// The body, without a copy.
    #[must_use]
    pub fn body(&self) -> Bytes {
        self.payload.slice(self.body_at()..)
    }

    pub(super) const fn header(&self) -> &Header {
        &self.header
    }

    /// The status with which the target rejected a dead letter.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.header.status
    }

    /// Why a callback is a dead letter.
    #[must_use]
    pub fn reason(&self) -> &str {
        let [.., reason] = self.texts();
        std::str::from_utf8(reason).unwrap_or_default()
    }

    /// Bytes of the record on disk.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.header.bytes()
    }

    fn body_at(&self) -> usize {
        self.header.texts.iter().map(|text| usize::from(*text)).sum()
    }

    fn texts(&self) -> [&[u8]; TEXTS] {
        let mut rest = self.payload.as_ref();
        self.header.texts.map(|length| {
            let (text, others) = rest.split_at_checked(length.into()).unwrap_or_default();
            rest = others;
            text
        })
    }
}
