//! The client of a request that came through trusted proxies.
//!
//! A proxy appends the address of its client to a header that may already have text that a client wrote. So nothing in
//! that text may hide the proxy's entry or change how it is read.

use std::net::{IpAddr, SocketAddr};

use hyper::header::{FORWARDED, HeaderMap, HeaderName};

use super::lists::{is_balanced, split_unquoted};
use crate::config::Http;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The longest chain of proxies that is followed.
const MAX_PROXIES: usize = 16;

const CONTRADICTION: &str = "Forwarded and X-Forwarded-For name different clients; let the proxy set both, or remove the \
                             one that it does not set";
const NO_ADDRESS: &str = "the last proxy's entry in X-Forwarded-For is not an address; let the proxy add the client's \
                          address, or remove the header";
const NO_ELEMENT: &str = "Forwarded is not valid, or its last entry has no for= with an address; let the proxy add the \
                          client's address, or remove the header";

/// The client of a request from `peer`: the last address in the headers that is not a trusted proxy.
///
/// # Errors
/// When an entry that matters is not an address, or the headers contradict each other.
pub(super) fn client(headers: &HeaderMap, peer: IpAddr, config: &Http) -> Result<IpAddr, &'static str> {
    let follow = |chain: &[Option<IpAddr>], problem| {
        let mut client = peer;
        for address in chain.iter().rev().take(MAX_PROXIES) {
            if !config.trusts(client) {
                break;
            }
            client = address.ok_or(problem)?;
        }
        Ok::<_, &str>((!chain.is_empty()).then_some(client))
    };
    let usual = follow(&in_x_forwarded_for(headers), NO_ADDRESS)?;
    let standard = follow(&in_forwarded(headers)?, NO_ELEMENT)?;
    match (usual, standard) {
        (Some(usual), Some(standard)) if usual != standard => Err(CONTRADICTION),
        _ => Ok(usual.or(standard).unwrap_or(peer)),
    }
}

/// The entries of all lines, separated by commas. Quotes have no meaning in this header.
fn in_x_forwarded_for(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    let lines = headers.get_all(X_FORWARDED_FOR).into_iter().map(|line| line.as_bytes());
    let entries = lines.flat_map(|line| line.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    entries.filter(|entry| !entry.is_empty()).map(|entry| address(std::str::from_utf8(entry).ok()?)).collect()
}

/// The addresses of the elements of all lines. RFC 7239, 4.
///
/// # Errors
/// When a line is not ASCII, or has a quoted string without an end.
fn in_forwarded(headers: &HeaderMap) -> Result<Vec<Option<IpAddr>>, &'static str> {
    let mut addresses = Vec::new();
    for line in headers.get_all(FORWARDED) {
        let line = line.to_str().ok().filter(|line| is_balanced(line)).ok_or(NO_ELEMENT)?;
        let elements = split_unquoted(line, b',').map(str::trim).filter(|element| !element.is_empty());
        addresses.extend(elements.map(address_in_element));
    }
    Ok(addresses)
}

/// The address in the only `for=` of an element.
fn address_in_element(element: &str) -> Option<IpAddr> {
    let pairs = split_unquoted(element, b';').filter_map(|pair| pair.split_once('='));
    let mut values = pairs.filter(|(name, _)| name.trim().eq_ignore_ascii_case("for")).map(|(_, value)| value.trim());
    let value = values.next()?;
    let unquoted = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value);
    if values.next().is_some() { None } else { address(unquoted) }
}

/// An address, with or without brackets, zone and port.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let without_zone = bare.split('%').next().unwrap_or(bare);
    let address = without_zone.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;
    use crate::config::Networks;

    /// The client of a request from 10.0.0.1; 10.0.0.0/8 and fd00::/8 are trusted.
    fn found(lines: &[(&str, &str)]) -> Result<String, &'static str> {
        from("10.0.0.1", lines)
    }

    fn from(peer: &str, lines: &[(&str, &str)]) -> Result<String, &'static str> {
        let trusted_proxies = Some(Networks::parse("10.0.0.0/8,fd00::/8").unwrap());
        let config = Http { trusted_proxies, ..Http::defaults().unwrap() };
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        client(&headers, peer.parse().unwrap(), &config).map(|client| client.to_string())
    }

    #[test]
    fn the_client_is_the_last_address_that_is_not_a_trusted_proxy() {
        let x = "x-forwarded-for";
        let f = "forwarded";
        for (lines, expected) in [
            (&[][..], "10.0.0.1"),
            (&[(x, "192.0.2.7")], "192.0.2.7"),
            // The client wrote the first ones.
            (&[(x, "127.0.0.1, 198.51.100.1, 192.0.2.7")], "192.0.2.7"),
            (&[(x, "127.0.0.1"), (x, "192.0.2.7,10.0.0.2")], "192.0.2.7"),
            (&[(x, "192.0.2.7:5678 ,, fd00::2")], "192.0.2.7"),
            (&[(x, "2001:db8::1")], "2001:db8::1"),
            (&[(x, "[2001:db8::1]:443")], "2001:db8::1"),
            (&[(x, "::ffff:192.0.2.7")], "192.0.2.7"),
            (&[(x, "10.0.0.9, 10.0.0.2")], "10.0.0.9"),
            (&[(x, "")], "10.0.0.1"),
            // What the client wrote does not change how the proxy's entry is read.
            (&[(x, "\", 192.0.2.7")], "192.0.2.7"),
            (&[(x, "127.0.0.1\", 192.0.2.7")], "192.0.2.7"),
            (&[(x, "\u{e9}, 192.0.2.7")], "192.0.2.7"),
            (&[(x, "\u{e9}"), (x, "192.0.2.7")], "192.0.2.7"),
            (&[(x, "127.0.0.1, fe80::1%eth0")], "fe80::1"),
            (&[(f, "for=192.0.2.7")], "192.0.2.7"),
            (&[(f, "For=\"[2001:db8::1]:4711\";proto=http;by=10.0.0.1")], "2001:db8::1"),
            (&[(f, "for=127.0.0.1, proto=https; for=192.0.2.7, for=10.0.0.3")], "192.0.2.7"),
            (&[(f, "for=192.0.2.7;note=\", for=127.0.0.1\"")], "192.0.2.7"),
            (&[(f, "for=192.0.2.7"), (x, "127.0.0.1, 192.0.2.7")], "192.0.2.7"),
        ] {
            assert_eq!(found(lines).as_deref(), Ok(expected), "{lines:?}");
        }
    }

    #[test]
    fn headers_that_contradict_each_other_are_refused() {
        let lines = [("forwarded", "for=192.0.2.7"), ("x-forwarded-for", "192.0.2.8")];
        assert_eq!(found(&lines), Err(CONTRADICTION));
    }

    #[test]
    fn an_entry_that_matters_must_be_an_address() {
        let (x, f) = ("x-forwarded-for", "forwarded");
        for line in [
            (x, "192.0.2.7, unknown"),
            (x, "192.0.2.7, unknown, 10.0.0.2"),
            (x, "192.0.2.7\""),
            (x, "\u{e9}"),
            (f, "for=192.0.2.7, for=_hidden"),
            (f, "for=192.0.2.7, for=unknown, for=10.0.0.3"),
            (f, "by=10.0.0.1"),
            // A client wrote the first part, and its proxy appended the second one.
            (f, "for=127.0.0.1;x=\", for=192.0.2.7"),
            (f, "for=127.0.0.1, for=\", for=192.0.2.7"),
            (f, "for=127.0.0.1;x=\", for=\"[2001:db8::1]\""),
            (f, "for=127.0.0.1;x=\"\\, for=\"[2001:db8::1]\";proto=\"http\""),
            (f, "for=127.0.0.1;x=\u{e9}, for=192.0.2.7"),
            (f, "for=127.0.0.1;for=192.0.2.7"),
        ] {
            let expected = if line.0 == x { NO_ADDRESS } else { NO_ELEMENT };
            assert_eq!(found(&[line]), Err(expected), "{line:?}");
        }
    }

    #[test]
    fn an_untrusted_client_s_headers_are_ignored() {
        let lines = [("x-forwarded-for", "127.0.0.1"), ("forwarded", "for=127.0.0.2")];
        assert_eq!(from("192.0.2.7", &lines).as_deref(), Ok("192.0.2.7"));
    }

    #[test]
    fn a_long_chain_ends() {
        let chain = "10.0.0.2,".repeat(5000);
        assert_eq!(found(&[("x-forwarded-for", &format!("192.0.2.7,{chain}"))]).as_deref(), Ok("10.0.0.2"));
    }
}
