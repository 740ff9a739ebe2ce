//! Receives callbacks.

use bytes::Bytes;
use hyper::header::{self, HeaderMap};
use hyper::http::request::Parts;

use super::body::{self, BodyError, RequestBody};
use super::forwarding;
use super::headers::{HeaderFacts, is_identity, is_json};
use super::named::{Named, named};
use crate::domain::{AnswerUse, Event, Exclusion, GROUP_MESSAGE, Reason};
use crate::forward::{self, Passed, Waiting};
use crate::http::site::Site;
use crate::http::site::exchange::Exchange;
use crate::http::site::response::{Reply, closing, echo, success};
use crate::record::Record;
use crate::stats::Recorded;
use crate::wire::{self, Command, Problem, Report};

/// Why a callback is refused.
struct Refusal {
    reason: Reason,
    detail: String,
    /// The connection must close: the rest of the request could be taken for the next request.
    close: bool,
}

impl Refusal {
    fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into(), close: false }
    }

    fn and_close(self) -> Self {
        Self { close: true, ..self }
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self::new(problem.reason, problem.detail)
    }
}

/// Reads a callback's body, counts the callback and answers it. `command` is the one in the URL, if any.
pub(super) async fn read_and_answer(
    exchange: Exchange<'_>,
    (command, facts): (Option<Command>, HeaderFacts),
    mut head: Parts,
    body: RequestBody,
) -> Reply {
    let Exchange { site, tracker, client, .. } = exchange;
    tracker.progress().begin_callback();
    let mut share = site.quotas.bodies.share(client);
    match body::read(body, site.config.max_body_bytes, &mut share, tracker.progress()).await {
        Ok(body) => match answer(exchange, (command, facts), &mut head, &body) {
            Answered::Now(reply) => reply,
            // The body keeps its share of the memory.
            Answered::Waits(waiting) => forwarding::reply_after(exchange, waiting).await,
        },
        Err(error) => {
            // The wait for the body is the client's.
            tracker.progress().begin_callback();
            // The client may still be sending, and must get time to read the refusal.
            tracker.progress().leave_request_unread();
            refuse_body(exchange, &error)
        }
    }
}

/// How a callback is answered.
pub(super) enum Answered {
    Now(Reply),
    /// After the target.
    Waits(Waiting),
}

/// Counts a callback whose body is complete, records and forwards it, and answers it.
pub(super) fn answer(
    exchange: Exchange<'_>,
    context: (Option<Command>, HeaderFacts),
    head: &mut Parts,
    body: &Bytes,
) -> Answered {
    exchange.site.telemetry.callback_received(exchange.tracker.progress().receive_callback());
    let (exchange, command) = match command(exchange, context, &head.headers, body) {
        Ok(command) if context.0.is_none() => (exchange.with_answer_use(command.answer_use()), command),
        Ok(command) => (exchange, command),
        // Such a request is not a callback.
        Err(refusal) if refusal.reason == Reason::UnknownCommand => {
            return Answered::Now(refuse_callback(exchange.with_answer_use(AnswerUse::Ignored), &refusal));
        }
        Err(refusal) => return Answered::Now(refuse_callback(exchange, &refusal)),
    };
    let counted = count(exchange, command, body);
    let passed = if exchange.site.forwarding.is_none() && exchange.site.recorder.is_none() {
        None
    } else {
        // A body that was decoded is JSON.
        let is_json = counted.is_ok() && command.has_report();
        named(&head.uri, body).and_then(|named| {
            record(exchange, &named, head, (body, is_json));
            let echo = counted.as_ref().ok().and_then(|echo| echo.clone());
            let carry_on = echo.map_or(Bytes::from_static(wire::SUCCESS.as_bytes()), Bytes::from);
            forwarding::forward(exchange, &named, (head, context.1), (body, carry_on))
        })
    };
    let refuse = |refusal: &Refusal| match command_in_body(body) {
        // OpenIM 2.3 posts all callbacks to one URL, which may name another command than the body.
        Ok(command) if command.may_be_obeyed() => refuse_callback(exchange.with_answer_use(AnswerUse::Obeyed), refusal),
        _ => refuse_callback(exchange, refusal),
    };
    match (passed, counted) {
        (Some(passed), counted) => {
            // The refusal is counted, but OpenIM gets the target's answer.
            counted.inspect_err(|refusal| drop(refuse(refusal))).ok();
            match passed {
                Passed::Now(answer) => Answered::Now(forwarding::reply(answer)),
                Passed::Waits(waiting) => Answered::Waits(waiting),
            }
        }
        (None, Ok(None)) => Answered::Now(success(std::mem::take(&mut head.headers))),
        (None, Ok(Some(answer))) => Answered::Now(echo(answer)),
        (None, Err(refusal)) => Answered::Now(refuse(&refusal)),
    }
}

/// Records a callback, if that is wanted. `is_json`: whether the body is known to be JSON.
fn record(Exchange { site, .. }: Exchange<'_>, named: &Named<'_>, head: &Parts, (body, is_json): (&[u8], bool)) {
    if let Some(recorder) = &site.recorder {
        recorder.append(&Record {
            received: site.now(),
            path: named.path,
            query: head.uri.query().unwrap_or_default(),
            command: &named.command,
            body,
            is_json: is_json || wire::is_json(body),
        });
    }
}

fn refuse_callback(exchange: Exchange<'_>, refusal: &Refusal) -> Reply {
    let reply = exchange.refuse(refusal.reason, &refusal.detail);
    if refusal.close { closing(reply) } else { reply }
}

/// The command of a callback: in its URL, or otherwise in its body.
fn command(
    Exchange { site, .. }: Exchange<'_>,
    (command, facts): (Option<Command>, HeaderFacts),
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Command, Refusal> {
    if facts.may_not_be_json {
        check_media_type(headers)?;
    }
    if facts.has_via && site.forwarding.is_some() && forward::is_own(headers) {
        let detail = "Via shows that this exporter forwarded the request before; the URL of a target leads back to it, see \
                      --forward.url and --forward.config.file";
        return Err(Refusal::new(Reason::ForwardLoop, detail));
    }
    command.map_or_else(|| command_in_body(body), Ok)
}

/// Counts a callback. Returns its answer, if that has more than the five fields.
fn count(
    Exchange { site, answer_use, .. }: Exchange<'_>,
    command: Command,
    body: &[u8],
) -> Result<Option<String>, Refusal> {
    let now = site.now();
    let answer = match answer_use {
        AnswerUse::Copied => Some(wire::echo(command, body)?),
        AnswerUse::Ignored | AnswerUse::Obeyed => None,
    };
    let mut exclusion = None;
    wire::decode_report(command, body, |report| {
        exclusion = excluded(site, &report);
        match report {
            _ if exclusion.is_some() => {}
            Report::Message(message) => {
                if site.stats.record(message, now) == Recorded::OtherSource {
                    site.telemetry.message_left_out(message.chat(), message.stage);
                }
            }
            Report::Event(event) => site.stats.record_event(event, now),
        }
    })?;
    match exclusion {
        Some(reason) => site.stats.record_exclusion(reason, now),
        None => site.stats.record_callback(command.position(), now),
    }
    Ok(answer)
}

/// Why a callback about a message is not counted; `None` if it is.
#[inline]
fn excluded(site: &Site, report: &Report<'_>) -> Option<Exclusion> {
    let (types, senders) = (&site.config.excluded_types, &site.config.access.excluded_senders);
    if types.is_none() && senders.is_none() {
        return None;
    }
    let (sender, content_type) = match report {
        Report::Message(message) => (message.sender_id, message.content_type),
        Report::Event(Event::Attempt(attempt)) => (attempt.sender_id, attempt.content_type),
        Report::Event(_) => return None,
    };
    if types.as_ref().is_some_and(|types| types.contains(content_type)) {
        return Some(Exclusion::ContentType);
    }
    let is_listed = || site.settings.access().excluded_senders.as_ref().is_some_and(|listed| listed.contains(sender));
    (senders.is_some() && is_listed()).then_some(Exclusion::Sender)
}

/// Refuses a request whose body could not be read.
pub(super) fn refuse_body(exchange: Exchange<'_>, error: &BodyError) -> Reply {
    refuse_callback(exchange, &body_refusal(exchange.site, error))
}

fn body_refusal(site: &Site, error: &BodyError) -> Refusal {
    match error {
        BodyError::TooLarge => {
            let limit = site.config.max_body_bytes;
            let detail = format!("the body is over {limit} bytes; --callback.max-body-bytes sets the limit");
            Refusal::new(Reason::BodyTooLarge, detail).and_close()
        }
        BodyError::NoMemory => {
            let (limit, per_address) = (site.config.max_buffered_bytes, site.quotas.bodies.limit_per_address());
            let detail = format!(
                "the memory for bodies is used up: {limit} bytes in total, {per_address} from one address; \
                 --callback.max-buffered-bytes sets the limit"
            );
            Refusal::new(Reason::Overloaded, detail).and_close()
        }
        BodyError::Overdue => {
            // During a drain the limit is shorter, and counts from the start of the drain.
            let detail = if site.drain.is_draining() {
                "the body did not arrive in time; the exporter is shutting down".to_owned()
            } else {
                format!("the body did not arrive within {} s", site.limits.body.as_secs())
            };
            Refusal::new(Reason::BodyTimeout, detail).and_close()
        }
        BodyError::Broken(error) => Refusal::new(Reason::BrokenBody, format!("the body: {error}")).and_close(),
    }
}

/// Checks that the body is declared as JSON, as OpenIM's is. Other types come from other clients: a web page can make a
/// browser post a form or plain text to any address, but not JSON.
fn check_media_type(headers: &HeaderMap) -> Result<(), Refusal> {
    let refused = |detail: String| Err(Refusal::new(Reason::UnsupportedMediaType, detail));
    if let Some(encoding) =
        headers.get_all(header::CONTENT_ENCODING).iter().find(|encoding| !is_identity(encoding.as_bytes()))
    {
        return refused(format!("Content-Encoding is {encoding:?}; send the body unencoded"));
    }
    match headers.get_all(header::CONTENT_TYPE).iter().find(|media_type| !is_json(media_type.as_bytes())) {
        Some(media_type) => refused(format!("Content-Type is {media_type:?}; send application/json")),
        None => Ok(()),
    }
}

fn command_in_body(body: &[u8]) -> Result<Command, Refusal> {
    let name = wire::decode_command_name(body)?;
    Command::from_name(&name).ok_or_else(|| {
        let found = if name.is_empty() { "is missing" } else { "is not a callback" };
        let command = GROUP_MESSAGE;
        let detail = format!(
            "callbackCommand {found}; append {command} to the path, or set it in ?command= or in the body's \
             callbackCommand"
        );
        Refusal::new(Reason::UnknownCommand, detail)
    })
}
