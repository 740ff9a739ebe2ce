//! Why a request is refused.
//!
//! A new reason needs a row in the table below. Then run `UPDATE_DOCS=1 cargo test --test docs`, and fill the last cell
//! of its row in `docs/errors.md`. If it concerns pages only, add it to the exceptions of OpenimCallbacksRejected in
//! `mixin/rules/alerts.yml`, and to those in `mixin/parts/top.py`.

use crate::named::named;

named! {
    /// Why a callback is answered, but not counted. The names are keys in a stored state, so they must never change.
    pub enum Exclusion {
        /// Its content type is excluded.
        ContentType = "content_type",
        /// Its sender is excluded.
        Sender = "sender",
    }
}

/// Declares the reasons: the name as a label value, the HTTP status, and the `errMsg` of the answer. The names are keys
/// in a stored state, so they must never change.
macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $reason:ident = $name:literal, $status:literal, $message:literal;)+) => {
        named! {
            /// Why a request is refused.
            pub enum Reason {
                $($(#[doc = $doc])+ $reason = $name,)+
            }
        }

        impl Reason {
            /// The HTTP status of the answer.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$reason => $status,)+ }
            }

            /// The fixed part of the answer.
            #[must_use]
            pub const fn message(self) -> &'static str {
                match self { $(Self::$reason => $message,)+ }
            }
        }
    };
}

reasons! {
    /// A callback has no body.
    EmptyBody = "empty_body", 400, "empty body";
    /// The body is not JSON: a syntax error, an incomplete body, or bytes that are not UTF-8.
    MalformedJson = "malformed_json", 400, "malformed JSON";
    /// A field or the body has a type other than the documented one, or a field occurs twice.
    WrongType = "wrong_type", 400, "wrong type";
    /// A number does not fit its type, or a string is not Unicode.
    OutOfRange = "out_of_range", 400, "value out of range";
    /// An ID or a name is too long.
    ValueTooLong = "value_too_long", 400, "value too long";
    /// The objects and lists of the body are nested too deeply.
    TooDeep = "too_deep", 400, "nested too deeply";
    /// A message has no `sendID`.
    MissingSender = "missing_sender", 400, "missing sender";
    /// A message has neither a `groupID` nor a `recvID`.
    MissingGroup = "missing_group", 400, "missing group";
    /// Neither the URL nor the body names a callback command.
    UnknownCommand = "unknown_command", 404, "unknown command";
    /// The request is not valid HTTP.
    MalformedRequest = "malformed_request", 400, "malformed request";
    /// The body ended early or is framed incorrectly.
    BrokenBody = "broken_body", 400, "broken body";
    /// The secret or the password is missing or wrong.
    Unauthorized = "unauthorized", 401, "unauthorized";
    /// The request comes from an address or a web page that is not allowed.
    Forbidden = "forbidden", 403, "forbidden";
    /// The path does not exist.
    NotFound = "not_found", 404, "not found";
    /// The path does not support the method.
    MethodNotAllowed = "method_not_allowed", 405, "method not allowed";
    /// A query parameter is unknown, occurs twice or has an invalid value.
    BadQuery = "bad_query", 400, "bad query";
    /// The request head did not arrive in time.
    HeaderTimeout = "header_timeout", 408, "request head timed out";
    /// The request body did not arrive in time.
    BodyTimeout = "body_timeout", 408, "request body timed out";
    /// The body is too large.
    BodyTooLarge = "body_too_large", 413, "body too large";
    /// The request does not say that its body is JSON, or the body is compressed.
    UnsupportedMediaType = "unsupported_media_type", 415, "unsupported media type";
    /// The request head is too large.
    HeaderTooLarge = "header_too_large", 431, "request head too large";
    /// The maximum number of scrapes is in progress.
    TooManyScrapes = "too_many_scrapes", 503, "too many scrapes";
    /// The maximum number of viewers of the live page is connected.
    TooManyViewers = "too_many_viewers", 503, "too many viewers";
    /// The client exceeds `rate_limit`.
    RateLimited = "rate_limited", 429, "too many requests";
    /// The maximum number of connections is open.
    TooManyConnections = "too_many_connections", 503, "too many connections";
    /// The client's address has the maximum number of connections open.
    TooManyConnectionsPerAddress = "too_many_connections_per_address", 503, "too many connections from one address";
    /// This exporter has forwarded this request before: a target leads back to it.
    ForwardLoop = "forward_loop", 508, "forwarding loop";
    /// There is no memory for the request, or the maximum number of requests is in progress.
    Overloaded = "overloaded", 503, "overloaded";
    /// The settings files cannot be reloaded. Counted as a failed reload, not as a refused request.
    BadSettings = "bad_settings", 500, "bad settings";
    /// A bug in the exporter.
    Internal = "internal", 500, "internal error";
}
