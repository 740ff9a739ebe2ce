//! The client of a request that came through trusted proxies.

use std::net::{IpAddr, SocketAddr};

use hyper::header::{FORWARDED, HeaderMap, HeaderName};

use super::lists::{elements, split_unquoted};
use crate::config::Http;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The longest chain of proxies that is followed.
const MAX_PROXIES: usize = 16;

/// The two headers name different clients: a client may have written the one that its proxy does not use.
pub(super) const CONTRADICTION: &str = "Forwarded and X-Forwarded-For name different clients; let the proxy set both, \
                                        or remove the one that it does not set";

/// The client of a request from `peer`: each trusted proxy appends the address that it got the request from. So the
/// client is the last address that is not a trusted proxy. An entry that is not an address ends the chain: then its
/// proxy counts as the client.
///
/// # Errors
/// When the headers contradict each other.
pub(super) fn client(headers: &HeaderMap, peer: IpAddr, config: &Http) -> Result<IpAddr, &'static str> {
    let last_untrusted = |chain: &mut dyn Iterator<Item = Option<IpAddr>>| {
        let mut client = peer;
        for address in chain.take(MAX_PROXIES).map_while(|address| address) {
            if !config.trusts(client) {
                break;
            }
            client = address;
        }
        client
    };
    let (forwarded, x_forwarded_for) = (elements(headers, FORWARDED), elements(headers, X_FORWARDED_FOR));
    let has_both = !forwarded.is_empty() && !x_forwarded_for.is_empty();
    let standard = last_untrusted(&mut forwarded.into_iter().rev().map(address_in_forwarded));
    let usual = last_untrusted(&mut x_forwarded_for.into_iter().rev().map(address));
    match (has_both, standard == usual) {
        (true, true) => Ok(usual),
        (true, false) => Err(CONTRADICTION),
        // One of them is the peer, because its header is missing.
        (false, _) => Ok(if standard == peer { usual } else { standard }),
    }
}

/// The address in `for=` of an element. RFC 7239, 4.
fn address_in_forwarded(element: &str) -> Option<IpAddr> {
    let pairs = split_unquoted(element, b';').filter_map(|pair| pair.split_once('='));
    let mut values = pairs.filter(|(name, _)| name.trim().eq_ignore_ascii_case("for"));
    address(values.next()?.1.trim().trim_matches('"'))
}

/// An address, with or without brackets and a port.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()));
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
    fn the_client_is_the_last_address_that_is_no_trusted_proxy() {
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
            // The proxy that did not know its client counts as the client.
            (&[(x, "192.0.2.7, unknown")], "10.0.0.1"),
            (&[(x, "192.0.2.7, unknown, 10.0.0.2")], "10.0.0.2"),
            (&[(x, "")], "10.0.0.1"),
            (&[(x, "\u{e9}")], "10.0.0.1"),
            (&[(f, "for=192.0.2.7")], "192.0.2.7"),
            (&[(f, "For=\"[2001:db8::1]:4711\";proto=http;by=10.0.0.1")], "2001:db8::1"),
            (&[(f, "for=127.0.0.1, proto=https; for=192.0.2.7, for=10.0.0.3")], "192.0.2.7"),
            (&[(f, "for=192.0.2.7, for=_hidden")], "10.0.0.1"),
            (&[(f, "for=192.0.2.7, for=unknown, for=10.0.0.3")], "10.0.0.3"),
            (&[(f, "for=192.0.2.7;note=\", for=127.0.0.1\"")], "192.0.2.7"),
            (&[(f, "by=10.0.0.1")], "10.0.0.1"),
            (&[(f, "for=192.0.2.7"), (x, "127.0.0.1, 192.0.2.7")], "192.0.2.7"),
        ] {
            assert_eq!(found(lines).as_deref(), Ok(expected), "{lines:?}");
        }
    }

    #[test]
    fn headers_that_contradict_each_other_are_refused() {
        for lines in [
            [("forwarded", "for=192.0.2.7"), ("x-forwarded-for", "192.0.2.8")],
            [("forwarded", "for=192.0.2.7"), ("x-forwarded-for", "unknown")],
            [("forwarded", "by=x"), ("x-forwarded-for", "192.0.2.8")],
        ] {
            assert_eq!(found(&lines), Err(CONTRADICTION), "{lines:?}");
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
