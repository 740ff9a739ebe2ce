//! Callbacks on their way to targets.

use std::borrow::Cow;
use std::net::IpAddr;

use bytes::Bytes;
use hyper::Response;
use hyper::header::{self, HeaderMap};
use hyper::http::request::Parts;

use super::headers::HeaderFacts;
use super::named::Named;
use crate::forward::{Answer, Context, Passed, Waiting};
use crate::http::base::connections::{Overdue, in_time};
use crate::http::base::progress::Phase;
use crate::http::site::exchange::Exchange;
use crate::http::site::response::{Payload, Reply};
use crate::spool::Record;
use crate::wire::OPERATION_ID_HEADER;

/// The longest `Via` that is forwarded; the rest is cut off. Only a loop makes it this long.
const MAX_VIA_BYTES: usize = 4096;

/// Forwards a callback: to the spools of the targets that get copies, and to the target that answers it, if one does.
/// `carry_on` is the body of the answer with which OpenIM carries on.
pub(super) fn forward(
    exchange: Exchange<'_>,
    Named { command, path, form }: &Named<'_>,
    (head, facts): (&Parts, HeaderFacts),
    (body, carry_on): (&Bytes, Bytes),
) -> Option<Passed> {
    let forwarding = exchange.site.forwarding.as_ref()?;
    let text = |name: &str| head.headers.get(name).map_or(&[][..], |value| value.as_bytes());
    let record = Record {
        received_ms: exchange.site.now().0,
        command,
        tail: path.trim_start_matches('/'),
        query: head.uri.query().unwrap_or_default(),
        operation_id: text(OPERATION_ID_HEADER),
        content_type: text(header::CONTENT_TYPE.as_str()),
        via: &via(&head.headers, facts),
        client: exchange.client,
        proxy: proxy(exchange),
        body,
    };
    forwarding.spool(&record);
    let target = forwarding.answering(&record)?;
    Some(forwarding.pass(&target, &record, Context { body: body.clone(), carry_on, form: *form }))
}

/// The reply to a callback that was passed through. The wait has a deadline of its own, after which the policy answers.
pub(super) async fn reply_after(exchange: Exchange<'_>, mut waiting: Waiting) -> Reply {
    // The time that the body took does not shorten the wait.
    exchange.tracker.enter(Phase::Service);
    let answered = in_time(exchange.tracker.progress(), waiting.answer()).await;
    reply(answered.unwrap_or_else(|Overdue(_)| waiting.give_up()))
}

/// A target's answer, byte for byte, or that of its policy.
pub(super) fn reply(answer: Answer) -> Reply {
    let mut reply = Response::new(Payload::Whole(answer.body));
    *reply.status_mut() = answer.status;
    if let Some(content_type) = answer.content_type {
        reply.headers_mut().insert(header::CONTENT_TYPE, content_type);
    }
    reply
}

/// The `Via` of a request, in one line.
fn via(headers: &HeaderMap, facts: HeaderFacts) -> Cow<'_, [u8]> {
    if !facts.has_via {
        return Cow::Borrowed(&[]);
    }
    let lines: Vec<_> = headers.get_all(header::VIA).iter().map(|line| line.as_bytes()).collect();
    let mut line = lines.join(&b", "[..]);
    line.truncate(MAX_VIA_BYTES);
    Cow::Owned(line)
}

/// The proxy that reported the client.
fn proxy(Exchange { caller, client, .. }: Exchange<'_>) -> Option<IpAddr> {
    (client != caller.address).then_some(caller.address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_via_are_joined_and_bounded() {
        let mut headers = HeaderMap::new();
        headers.append(header::VIA, "1.1 a".parse().unwrap());
        headers.append(header::VIA, "1.1 b, 1.1 c".parse().unwrap());
        let facts = HeaderFacts::of(&headers);
        assert_eq!(via(&headers, facts), &b"1.1 a, 1.1 b, 1.1 c"[..]);
        headers.append(header::VIA, "x".repeat(5000).parse().unwrap());
        assert_eq!(via(&headers, facts).len(), MAX_VIA_BYTES);
        assert_eq!(via(&headers, HeaderFacts::default()), &b""[..]);
    }
}
