//! Why a request is refused.

/// Why a request is refused: the fixed list of the label's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A callback without a body.
    EmptyBody,
    /// The body is not JSON.
    MalformedJson,
    /// A field, or the body, has the wrong type.
    WrongType,
    /// A number does not fit its type.
    OutOfRange,
    /// An ID or a name is over its limit.
    ValueTooLong,
    /// The body's objects and lists nest too deeply.
    TooDeep,
    /// A message without a sender.
    MissingSender,
    /// A message without a group.
    MissingGroup,
    /// Neither the URL nor the body names a callback command.
    UnknownCommand,
    /// The request's head is not HTTP/1.
    MalformedRequest,
    /// The body ended early or is wrongly framed.
    BrokenBody,
    /// The secret or the password is absent or wrong.
    Unauthorized,
    /// It comes from where it may not: from an address, or from a web page.
    Forbidden,
    /// There is nothing at this path.
    NotFound,
    /// The path takes another method.
    MethodNotAllowed,
    /// A parameter behind the path is unknown, stands twice or has a wrong value.
    BadQuery,
    /// The request's head did not arrive in time.
    HeaderTimeout,
    /// The request's body did not arrive in time.
    BodyTimeout,
    /// The body is over the limit.
    BodyTooLarge,
    /// The body is not said to be JSON, or is compressed.
    UnsupportedMediaType,
    /// The request's head is over the limit.
    HeaderTooLarge,
    /// As many scrapes as allowed are being written.
    TooManyScrapes,
    /// More requests come than `rate_limit` allows.
    RateLimited,
    /// As many connections as allowed are open.
    TooManyConnections,
    /// As many connections as allowed are open from one address.
    TooManyConnectionsPerAddress,
    /// There is no memory left for it, or as many requests as allowed are under way.
    Overloaded,
    /// An answer could not be made: a defect of the exporter's.
    Internal,
}

impl Reason {
    /// Every reason, in the order of the counters.
    pub const ALL: [Self; 27] = [
        Self::EmptyBody,
        Self::MalformedJson,
        Self::WrongType,
        Self::OutOfRange,
        Self::ValueTooLong,
        Self::TooDeep,
        Self::MissingSender,
        Self::MissingGroup,
        Self::UnknownCommand,
        Self::MalformedRequest,
        Self::BrokenBody,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::BadQuery,
        Self::HeaderTimeout,
        Self::BodyTimeout,
        Self::BodyTooLarge,
        Self::UnsupportedMediaType,
        Self::HeaderTooLarge,
        Self::TooManyScrapes,
        Self::RateLimited,
        Self::TooManyConnections,
        Self::TooManyConnectionsPerAddress,
        Self::Overloaded,
        Self::Internal,
    ];

    /// The label value.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::EmptyBody => "empty_body",
            Self::MalformedJson => "malformed_json",
            Self::WrongType => "wrong_type",
            Self::OutOfRange => "out_of_range",
            Self::ValueTooLong => "value_too_long",
            Self::TooDeep => "too_deep",
            Self::MissingSender => "missing_sender",
            Self::MissingGroup => "missing_group",
            Self::UnknownCommand => "unknown_command",
            Self::MalformedRequest => "malformed_request",
            Self::BrokenBody => "broken_body",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::BadQuery => "bad_query",
            Self::HeaderTimeout => "header_timeout",
            Self::BodyTimeout => "body_timeout",
            Self::BodyTooLarge => "body_too_large",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::HeaderTooLarge => "header_too_large",
            Self::TooManyScrapes => "too_many_scrapes",
            Self::TooManyConnections => "too_many_connections",
            Self::TooManyConnectionsPerAddress => "too_many_connections_per_address",
            Self::Overloaded => "overloaded",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::RateLimited => "rate_limited",
            Self::Internal => "internal",
        }
    }

    /// The HTTP status that a refusal for this reason is answered with.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::EmptyBody
            | Self::MalformedJson
            | Self::WrongType
            | Self::OutOfRange
            | Self::ValueTooLong
            | Self::TooDeep
            | Self::MissingSender
            | Self::MissingGroup
            | Self::MalformedRequest
            | Self::BrokenBody
            | Self::BadQuery => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::UnknownCommand | Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::HeaderTimeout | Self::BodyTimeout => 408,
            Self::BodyTooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::HeaderTooLarge => 431,
            Self::RateLimited => 429,
            Self::Internal => 500,
            Self::TooManyScrapes | Self::TooManyConnections | Self::TooManyConnectionsPerAddress | Self::Overloaded => {
                503
            }
        }
    }

    /// What the answer calls it: short and fixed.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::EmptyBody => "empty body",
            Self::MalformedJson => "malformed JSON",
            Self::WrongType => "wrong type",
            Self::OutOfRange => "value out of range",
            Self::ValueTooLong => "value too long",
            Self::TooDeep => "nested too deeply",
            Self::MissingSender => "missing sender",
            Self::MissingGroup => "missing group",
            Self::UnknownCommand => "unknown command",
            Self::MalformedRequest => "malformed request",
            Self::BrokenBody => "broken body",
            Self::NotFound => "not found",
            Self::MethodNotAllowed => "method not allowed",
            Self::BadQuery => "bad query",
            Self::HeaderTimeout => "request head timed out",
            Self::BodyTimeout => "request body timed out",
            Self::BodyTooLarge => "body too large",
            Self::UnsupportedMediaType => "unsupported media type",
            Self::HeaderTooLarge => "request head too large",
            Self::TooManyScrapes => "too many scrapes",
            Self::TooManyConnections => "too many connections",
            Self::TooManyConnectionsPerAddress => "too many connections of one address",
            Self::Overloaded => "overloaded",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::RateLimited => "too many requests",
            Self::Internal => "internal error",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_stands_at_its_own_place() {
        for (position, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, position);
        }
    }
}
