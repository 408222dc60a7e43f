//! Failures and refusals of REST requests, as their callers need to tell them apart.

use std::time::Duration;

use awc::http::StatusCode;
use serde::Deserialize;
use serde::de::IgnoredAny;
use thiserror::Error;
use uw_websocket_core::calendar::day_of;
use uw_websocket_core::labelled;
use uw_websocket_core::request_budget::NotNow;

use super::body::{BodyError, MAX_BODY};
use crate::vendor_http::refusal_shown;

/// Timeout of the head of an answer, with name resolution, TCP and TLS; of the whole answer.
pub(super) const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
pub(super) const WHOLE_TIMEOUT: Duration = uw_websocket_core::request_budget::REST_LONGEST;

labelled! {
    /// Kinds of failure, by what is to be done about them.
    RestFault {
        /// Nothing was sent: the budget has none, or REST is stopped. Ask again when it says; no try is used.
        NotNow = "not_now",
        /// 429. Ask again; the budget waits. No try is used.
        Limited = "limited",
        /// The network, the vendor or what is between them is out of order: try again, later each time.
        Retryable = "retryable",
        /// 401. REST is stopped for five minutes.
        Unauthorised = "unauthorised",
        /// The plan's look-back does not reach so far.
        LookBack = "look_back",
        /// The endpoint has the latest trading day only.
        PastSession = "past_session",
        /// The plan does not have this endpoint: ask again the next day.
        NotEntitled = "not_entitled",
        /// A request that the vendor does not understand: a defect of this service, not to be repeated.
        Defect = "defect",
        /// The answer is larger than is read: ask for less.
        TooLarge = "too_large",
    }
}

/// A REST request without an answer. No text has the token.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum RestError {
    /// The budget refuses.
    #[error("no request for {} s: {}", .0.retry_in.as_secs(), .0.why)]
    NotNow(NotNow),
    /// 429.
    #[error("too many requests: {text}")]
    Limited {
        /// The reason for which the budget waits.
        next: Option<NotNow>,
        /// The body.
        text: String,
    },
    /// 401.
    #[error("the token is refused: {0}")]
    Unauthorised(String),
    /// 403: earlier than the plan's look-back.
    #[error("before the earliest date available{}: {text}", earliest.as_deref().map(|day| format!(" ({day})")).unwrap_or_default())]
    LookBack {
        /// That date, `YYYY-MM-DD`, if the body names one.
        earliest: Option<String>,
        /// The body.
        text: String,
    },
    /// 400: another than the latest trading day.
    #[error("the latest trading day only: {0}")]
    PastSession(String),
    /// 403 of the vendor.
    #[error("not part of the plan: {0}")]
    NotEntitled(String),
    /// 422 and other statuses that name a fault of the request.
    #[error("status {status} for our request: {text}")]
    Defect {
        /// The status.
        status: u16,
        /// The body.
        text: String,
    },
    /// More than `MAX_BODY` bytes.
    #[error("the answer has more than {MAX_BODY} bytes")]
    TooLarge,
    /// A status of the vendor's edge or a proxy, a redirect, or one that no endpoint has.
    #[error("status {status}, not from the vendor's REST API: {text}")]
    Edge {
        /// The status.
        status: u16,
        /// The body, or the target of the redirect.
        text: String,
    },
    /// 5xx.
    #[error("status {status}: {text}")]
    Server {
        /// The status.
        status: u16,
        /// The body.
        text: String,
    },
    /// No head in time.
    #[error("no answer within {HEAD_TIMEOUT:?}")]
    HeadTimedOut,
    /// No end of the body in time.
    #[error("no complete answer within {WHOLE_TIMEOUT:?}")]
    BodyTimedOut,
    /// No connection, or none in HTTP.
    #[error("{0}")]
    Failed(String),
    /// The body ended before its end.
    #[error("the answer is cut: {0}")]
    Cut(String),
    /// The body is no JSON.
    #[error("the answer is not JSON: {0}")]
    NotJson(String),
}

impl RestError {
    /// Returns what is to be done about it.
    #[must_use]
    pub fn fault(&self) -> RestFault {
        match self {
            RestError::NotNow(_) => RestFault::NotNow,
            RestError::Limited { .. } => RestFault::Limited,
            RestError::Unauthorised(_) => RestFault::Unauthorised,
            RestError::LookBack { .. } => RestFault::LookBack,
            RestError::PastSession(_) => RestFault::PastSession,
            RestError::NotEntitled(_) => RestFault::NotEntitled,
            RestError::Defect { .. } => RestFault::Defect,
            RestError::TooLarge => RestFault::TooLarge,
            RestError::Edge { .. }
            | RestError::Server { .. }
            | RestError::HeadTimedOut
            | RestError::BodyTimedOut
            | RestError::Failed(_)
            | RestError::Cut(_)
            | RestError::NotJson(_) => RestFault::Retryable,
        }
    }

    /// Returns what a status other than 200 and 429 means; `text` is the redacted body.
    pub(super) fn of_refusal(status: StatusCode, text: &str) -> RestError {
        let shown = match refusal_shown(text) {
            empty if empty.is_empty() => status.canonical_reason().unwrap_or("no text").to_owned(),
            shown => shown,
        };
        let code = status.as_u16();
        match code {
            400 if text.contains("historical_data_not_supported") => RestError::PastSession(shown),
            401 => RestError::Unauthorised(shown),
            403 if text.contains("historic_data_access_missing") => {
                RestError::LookBack { earliest: first_date(text), text: shown }
            }
            403 if is_json_object(text) => RestError::NotEntitled(shown),
            403 => RestError::Edge { status: code, text: shown },
            400..=499 => RestError::Defect { status: code, text: shown },
            500..=599 => RestError::Server { status: code, text: shown },
            _ => RestError::Edge { status: code, text: shown },
        }
    }
}

impl From<BodyError> for RestError {
    fn from(error: BodyError) -> RestError {
        match error {
            BodyError::TooLarge => RestError::TooLarge,
            BodyError::Broken(text) | BodyError::Cut(text) => RestError::Cut(text),
        }
    }
}

/// The vendor refuses in JSON; the edge and proxies do not.
fn is_json_object(text: &str) -> bool {
    let mut reader = serde_json::Deserializer::from_str(text);
    text.trim_start().starts_with('{') && IgnoredAny::deserialize(&mut reader).is_ok()
}

/// Returns the first date in a text.
fn first_date(text: &str) -> Option<String> {
    const LENGTH: usize = "2026-01-02".len();
    let candidates = (0..text.len()).filter_map(|start| text.get(start..start + LENGTH));
    let is_date = |text: &&str| text.as_bytes()[4] == b'-' && day_of(text).is_some();
    candidates.filter(|text| text.is_ascii()).find(is_date).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, text: &str) -> RestError {
        RestError::of_refusal(StatusCode::from_u16(status).unwrap(), text)
    }

    #[test]
    fn each_refusal_has_its_fault() {
        let look_back = r#"{"code":"historic_data_access_missing","message":"The earliest date currently available é is 2026-01-05 (90 trading days)"}"#;
        for (status, text, fault) in [
            (
                400,
                r#"{"error":{"code":"historical_data_not_supported","message":"x"}}"#,
                RestFault::PastSession,
            ),
            (400, r#"{"error":"limit"}"#, RestFault::Defect),
            (401, "", RestFault::Unauthorised),
            (403, look_back, RestFault::LookBack),
            (403, r#"{"error":"scope"}"#, RestFault::NotEntitled),
            (403, "error code: 1010", RestFault::Retryable),
            (403, "<html>{</html>", RestFault::Retryable),
            (403, "{ half", RestFault::Retryable),
            (404, "<Error/>", RestFault::Defect),
            (422, r#"{"msg":"limit"}"#, RestFault::Defect),
            (500, "oops", RestFault::Retryable),
            (503, "<html>", RestFault::Retryable),
            (302, "https://elsewhere", RestFault::Retryable),
            (204, "", RestFault::Retryable),
        ] {
            assert_eq!(of(status, text).fault(), fault, "{status} {text}");
        }
        let RestError::LookBack { earliest, .. } = of(403, look_back) else { panic!("no look-back") };
        assert_eq!(earliest.as_deref(), Some("2026-01-05"));
        assert!(
            of(403, look_back).to_string().starts_with("before the earliest date available (2026-01-05): {")
        );
    }

    #[test]
    fn a_refusal_without_text_has_that_of_its_status_and_a_long_one_is_cut() {
        assert_eq!(of(401, " \n"), RestError::Unauthorised("Unauthorized".to_owned()));
        let RestError::Server { text, .. } = of(500, &"x ".repeat(10_000)) else { panic!("no server error") };
        assert!(text.len() <= 512);
    }
}
