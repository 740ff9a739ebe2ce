//! The PROXY header, with which a proxy reports the address of its client at the start of a connection.
//!
//! <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>

use std::io;
use std::net::IpAddr;

use proxy_header::{Error, ParseConfig, ProxyHeader};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::TcpStream;

use super::farewell::refuse;
use crate::domain::Reason;
use crate::http::base::caller::Caller;
use crate::http::base::connections::{Overdue, Tracker, in_time};
use crate::http::base::progress::Phase;
use crate::http::site::Site;
use crate::http::site::exchange::count_refusal;

/// The signature of version 2. As many bytes are read first, to find the version: no header is shorter.
const VERSION_2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// The rest of the fixed part of version 2: version, command, family, and the length of what follows.
const FIXED_BYTES: usize = 4;

/// The start of version 1.
const VERSION_1: &[u8] = b"PROXY ";

/// The longest line of version 1, with its end (specification, 2.1).
const MAX_LINE_BYTES: usize = 107;

/// The longest header of version 2 that is read. Its addresses have at most 216 bytes; the rest is for extensions.
const MAX_HEADER_BYTES: usize = 4096;

const MISSING: &str = "this connection comes from a trusted proxy, so it must begin with a PROXY header; let the proxy send \
                       one (HAProxy: send-proxy-v2, nginx: proxy_protocol on), or unset --web.proxy-protocol";

/// The advice for a connection that begins with a header where none is accepted.
pub(super) const UNEXPECTED: &str = "the connection begins with a PROXY header, which is accepted only with \
                                     --web.proxy-protocol and from an address in --web.trusted-proxies; set both, or \
                                     configure the proxy not to send it";

/// Whether a connection begins with a header. hyper skips line breaks at the start of a request.
pub(super) fn is_header(start: &[u8]) -> bool {
    let version_2 = VERSION_2.trim_ascii_start();
    start.starts_with(VERSION_1) || start.starts_with(VERSION_2) || start.starts_with(version_2)
}

/// Reads the header of a trusted proxy, and returns its client as the caller. `None` if the connection must
/// end: a wrong header has been counted and, without TLS, answered with a refusal.
pub(super) async fn identify(stream: &mut TcpStream, tracker: &Tracker, proxy: Caller, site: &Site) -> Option<Caller> {
    match in_time(tracker.progress(), stream.peek(&mut [0])).await {
        Ok(Ok(1..)) => tracker.enter(Phase::Handshake),
        // Closed without sending anything, as a health check does: not a failure.
        Ok(Ok(0) | Err(_)) => return None,
        Err(Overdue(_)) => {
            site.count_idle_end();
            return None;
        }
    }
    let mut address = proxy.address;
    let (reason, detail) = match in_time(tracker.progress(), read(stream)).await {
        Ok(Ok(client)) => {
            tracker.enter(Phase::Idle);
            address = client.unwrap_or(address).to_canonical();
            match site.share_of_connections(address) {
                Ok(share) => return Some(Caller::new(proxy.role, share, address)),
                Err(refusal) => {
                    // Go's client treats a response that comes before its request as an error.
                    tracker.enter(Phase::Linger);
                    let _ = in_time(tracker.progress(), stream.peek(&mut [0])).await;
                    refusal
                }
            }
        }
        Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => (Reason::MalformedRequest, error.to_string()),
        Ok(Err(_)) => return None,
        Err(Overdue(_)) => (Reason::HeaderTimeout, "the PROXY header did not arrive in time".to_owned()),
    };
    if site.settings.access().tls.is_none() {
        refuse(stream, tracker, (site, address), reason, &detail).await;
    } else {
        count_refusal(site, address, reason, &detail);
    }
    None
}

/// Reads a header, and nothing after it. Returns the client's address; `None` if the connection is the proxy's own.
async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<IpAddr>> {
    let mut header = vec![0; VERSION_2.len()];
    stream.read_exact(&mut header).await?;
    if header.starts_with(VERSION_2) {
        header.resize(VERSION_2.len() + FIXED_BYTES, 0);
        stream.read_exact(header.get_mut(VERSION_2.len()..).unwrap_or_default()).await?;
        let [.., high, low] = header[..] else { return Err(invalid("it has no length")) };
        let len = header.len() + usize::from(u16::from_be_bytes([high, low]));
        if len > MAX_HEADER_BYTES {
            return Err(invalid("it is too long"));
        }
        let read = header.len();
        header.resize(len, 0);
        stream.read_exact(header.get_mut(read..).unwrap_or_default()).await?;
    } else if header.starts_with(VERSION_1) {
        while !header.ends_with(b"\r\n") && header.len() < MAX_LINE_BYTES {
            header.push(stream.read_u8().await?);
        }
    } else {
        return Err(io::Error::new(io::ErrorKind::InvalidData, MISSING));
    }
    client(&header)
}

/// The source in a complete header.
fn client(header: &[u8]) -> io::Result<Option<IpAddr>> {
    match ProxyHeader::parse(header, ParseConfig::default()) {
        Ok((header, _)) => Ok(header.proxied_address().map(|addresses| addresses.source.ip())),
        Err(Error::BufferTooShort) => Err(invalid("it is incomplete")),
        Err(error) => Err(invalid(error)),
    }
}

fn invalid(problem: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the PROXY header is not valid: {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The client that a header names, and what follows the header.
    fn read_all(bytes: &[u8]) -> io::Result<(Option<String>, Vec<u8>)> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut rest = bytes;
        let client = runtime.block_on(read(&mut rest))?;
        Ok((client.map(|client| client.to_string()), rest.to_vec()))
    }

    /// A header of version 2, with a body that may have extensions.
    fn binary(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let len = u16::try_from(body.len()).unwrap().to_be_bytes();
        [VERSION_2, &[0x20 | command, family], &len, body].concat()
    }

    #[test]
    fn every_kind_of_header_is_read_to_its_end() {
        let four = [192, 0, 2, 7, 10, 0, 0, 1, 0, 80, 1, 187];
        let six = [&[0x20, 1, 0xd, 0xb8], &[0; 11][..], &[1], &[0; 16], &[0, 80, 1, 187]].concat();
        for (header, expected) in [
            (b"PROXY TCP4 192.0.2.7 10.0.0.1 5678 443\r\n".to_vec(), Some("192.0.2.7")),
            (b"PROXY TCP6 2001:db8::1 2001:db8::2 5678 443\r\n".to_vec(), Some("2001:db8::1")),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n".to_vec(), None),
            (binary(1, 0x11, &four), Some("192.0.2.7")),
            (binary(1, 0x11, &[&four[..], &[3, 0, 4, 1, 2, 3, 4]].concat()), Some("192.0.2.7")),
            (binary(1, 0x21, &six), Some("2001:db8::1")),
            (binary(0, 0x11, &four), None),
            (binary(0, 0, &[]), None),
            (binary(1, 0, &[]), None),
            (binary(1, 0x31, &[7; 216]), None),
        ] {
            let read = read_all(&[&header[..], b"GET /"].concat()).unwrap();
            assert_eq!(read, (expected.map(str::to_owned), b"GET /".to_vec()), "{header:?}");
            assert!(is_header(&header));
        }
    }

    #[test]
    fn wrong_headers_are_errors() {
        let too_long = [b"PROXY TCP4 ".to_vec(), vec![b'1'; 200]].concat();
        for header in [
            b"GET /metrics HTTP/1.1\r\n\r\n".to_vec(),
            vec![22; 100],
            b"PROXY TCP4 192.0.2.7 10.0.0.1 5678\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.256 10.0.0.1 5678 443\r\n".to_vec(),
            b"PROXY TCP4 2001:db8::1 2001:db8::2 5678 443\r\n".to_vec(),
            b"PROXY UDP4 192.0.2.7 10.0.0.1 5678 443\r\n".to_vec(),
            too_long,
            binary(2, 0x11, &[0; 12]),
            binary(1, 0x11, &[0; 11]),
            binary(1, 0x11, &[0; MAX_HEADER_BYTES]),
            [VERSION_2, &[0x11, 0x11, 0, 0]].concat(),
        ] {
            let error = read_all(&header).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{header:?}: {error}");
        }
        for incomplete in [&b"PROXY"[..], b"PROXY TCP4 192.0.2.7 10", &binary(1, 0x11, &[0; 12])[..20]] {
            assert_eq!(read_all(incomplete).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        }
    }
}
