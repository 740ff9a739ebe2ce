//! What OpenIM gets: the target's answer, or that of its policy.

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::HeaderValue;

use crate::config::forward::Policy;
use crate::telemetry::Verdict;
use crate::wire::{self, UrlForm};

/// What the user is told if the policy refuses the action.
const REFUSAL: &str = "the server that decides on this is unavailable";

/// An answer to a callback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) content_type: Option<HeaderValue>,
    pub(crate) body: Bytes,
}

impl Answer {
    fn json(body: impl Into<Bytes>) -> Self {
        let content_type = Some(HeaderValue::from_static("application/json"));
        Self { status: StatusCode::OK, content_type, body: body.into() }
    }

    /// The answer if nothing came back.
    fn empty() -> Self {
        Self { status: StatusCode::BAD_GATEWAY, content_type: None, body: Bytes::new() }
    }
}

/// What OpenIM gets if the target has no usable answer.
#[derive(Clone, Debug)]
pub(crate) struct Fallback {
    pub(crate) policy: Policy,
    /// The body with which OpenIM carries on.
    pub(crate) carry_on: Bytes,
    pub(crate) form: UrlForm,
}

impl Fallback {
    /// The answer and its verdict. `came_back` is the target's answer, if it is complete.
    pub(crate) fn answer(&self, came_back: Option<Answer>) -> (Answer, Verdict) {
        match self.policy {
            Policy::Continue => (Answer::json(self.carry_on.clone()), Verdict::PolicyContinue),
            Policy::Refuse => (Answer::json(wire::obeyed_refusal(self.form, REFUSAL)), Verdict::PolicyRefuse),
            Policy::Transparent => (came_back.unwrap_or_else(Answer::empty), Verdict::PolicyTransparent),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Judged, SUCCESS, judge};

    #[test]
    fn each_policy_has_its_answer_whatever_came_back() {
        let html = Answer { status: StatusCode::MOVED_PERMANENTLY, content_type: None, body: "<html>".into() };
        for form in [UrlForm::Path, UrlForm::Query, UrlForm::Body] {
            let of = |policy, came_back| Fallback { policy, carry_on: SUCCESS.into(), form }.answer(came_back);
            for came_back in [None, Some(html.clone())] {
                let (carry_on, verdict) = of(Policy::Continue, came_back.clone());
                assert_eq!((&carry_on.body[..], verdict), (SUCCESS.as_bytes(), Verdict::PolicyContinue));
                let (refusal, verdict) = of(Policy::Refuse, came_back.clone());
                assert_eq!((judge(&refusal.body, form), verdict), (Judged::Refuses, Verdict::PolicyRefuse));
                let expected = came_back.clone().unwrap_or_else(Answer::empty);
                assert_eq!(of(Policy::Transparent, came_back), (expected, Verdict::PolicyTransparent));
            }
        }
    }
}
