//! Taking a callback.

use hyper::header::{self, HeaderMap};

use super::body::{self, BodyError, RequestBody};
use super::headers::{Noted, is_json};
use crate::http::site::Site;
use crate::http::site::exchange::{Exchange, refuse};
use crate::http::site::response::{Reply, closing, success};
use crate::telemetry::Reason;
use crate::wire::{self, Command, Problem};

/// Why a callback is refused.
struct Refused {
    reason: Reason,
    detail: String,
    /// What is left of the request cannot be told from the next one.
    close: bool,
}

impl Refused {
    fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into(), close: false }
    }

    fn and_close(self) -> Self {
        Self { close: true, ..self }
    }
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self::new(problem.reason, problem.detail)
    }
}

/// Reads a callback as it comes, counts it and answers it. The URL may have told its command.
pub(super) async fn receive(
    exchange: Exchange<'_>,
    (command, noted): (Option<Command>, Noted),
    headers: HeaderMap,
    body: RequestBody,
) -> Reply {
    let Exchange { site, open, caller } = exchange;
    open.progress().callback_begins();
    let mut share = site.quotas.bodies.share(caller.address);
    match body::read(body, site.config.max_body_bytes, &mut share, open.progress()).await {
        Ok(body) => answered(site, (command, noted), headers, &body),
        Err(error) => {
            // Its sender may still be at it, and is to read why that is in vain.
            open.progress().leave_unread();
            unread(site, &error)
        }
    }
}

/// Counts a callback that has come as a whole, and answers it.
pub(super) fn take(exchange: Exchange<'_>, wanted: (Option<Command>, Noted), headers: HeaderMap, body: &[u8]) -> Reply {
    exchange.open.progress().callback_begins();
    answered(exchange.site, wanted, headers, body)
}

fn answered(site: &Site, wanted: (Option<Command>, Noted), headers: HeaderMap, body: &[u8]) -> Reply {
    match counted(site, wanted, &headers, body) {
        Ok(()) => success(headers),
        Err(why) => refused(site, &why),
    }
}

fn refused(site: &Site, why: &Refused) -> Reply {
    let reply = refuse(site, why.reason, &why.detail);
    if why.close { closing(reply) } else { reply }
}

fn counted(
    site: &Site,
    (command, noted): (Option<Command>, Noted),
    headers: &HeaderMap,
    body: &[u8],
) -> Result<(), Refused> {
    if noted.may_not_be_json {
        check_media_type(headers)?;
    }
    let command = match command {
        Some(command) => command,
        None => command_in(body)?,
    };
    let now = site.now();
    if command == Command::GroupMessage {
        wire::decode_group_message(body, |message| site.stats.record(message, now))?;
    }
    site.telemetry.callback_accepted(command.position(), now.0);
    Ok(())
}

/// Refuses a request whose body could not be read.
pub(super) fn unread(site: &Site, error: &BodyError) -> Reply {
    refused(site, &why_unread(site, error))
}

fn why_unread(site: &Site, error: &BodyError) -> Refused {
    match error {
        BodyError::TooLarge => {
            let limit = site.config.max_body_bytes;
            let detail = format!("the body is over {limit} bytes; --callback.max-body-bytes sets the limit");
            Refused::new(Reason::BodyTooLarge, detail).and_close()
        }
        BodyError::NoMemory => {
            let (limit, of_one) = (site.config.max_buffered_bytes, site.quotas.bodies.most_of_one());
            let detail = format!(
                "bodies that are being received have {limit} bytes, those of one address {of_one}; \
                 --callback.max-buffered-bytes sets the limit"
            );
            Refused::new(Reason::Overloaded, detail).and_close()
        }
        BodyError::Overdue => {
            // A drain leaves it less time, counted from elsewhere.
            let detail = if site.drain.is_draining() {
                "the body did not arrive in time; the exporter is about to end".to_owned()
            } else {
                format!("the body did not arrive within {} s", site.limits.body.as_secs())
            };
            Refused::new(Reason::BodyTimeout, detail).and_close()
        }
        BodyError::Broken(error) => Refused::new(Reason::BrokenBody, format!("the body: {error}")).and_close(),
    }
}

/// OpenIM says that its body is JSON. A body that says it is something else comes from elsewhere: a web page, say, can
/// make a browser post a form or plain text to any address, but not JSON.
fn check_media_type(headers: &HeaderMap) -> Result<(), Refused> {
    let refused = |detail: String| Err(Refused::new(Reason::UnsupportedMediaType, detail));
    if let Some(encoding) = headers.get_all(header::CONTENT_ENCODING).iter().find(|encoding| *encoding != "identity") {
        return refused(format!("Content-Encoding is {encoding:?}; send the body as it is"));
    }
    match headers.get_all(header::CONTENT_TYPE).iter().find(|media_type| !is_json(media_type.as_bytes())) {
        Some(media_type) => refused(format!("Content-Type is {media_type:?}; send application/json")),
        None => Ok(()),
    }
}

fn command_in(body: &[u8]) -> Result<Command, Refused> {
    let name = wire::decode_command_name(body)?;
    Command::from_name(&name).ok_or_else(|| {
        let found = if name.is_empty() { "is absent" } else { "names no callback" };
        let ways = "end the path with, or set ?command= or the body's callbackCommand to";
        Refused::new(Reason::UnknownCommand, format!("callbackCommand {found}; {ways} {}", wire::GROUP_MESSAGE))
    })
}
