//! Answers other than rows.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::faults::{RestRefusal, RetryAfter};
use super::limits::Excess;

/// Ahead of the present in a `Retry-After` that is a date.
const RETRY_DATE: Duration = Duration::from_secs(1);

const JSON: &str = "application/json; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";
const PAGE: &str = "text/html; charset=utf-8";

/// Status, headers and body of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
    /// Rows of the body.
    pub(super) rows: usize,
}

impl Answer {
    fn new(status: u16, kind: &str, body: impl Into<Vec<u8>>) -> Answer {
        let headers = vec![("Content-Type", kind.to_owned())];
        Answer { status, headers, body: body.into(), rows: 0 }
    }

    pub(super) fn json(status: u16, body: &Value) -> Answer {
        Answer::new(status, JSON, body.to_string())
    }

    fn text(status: u16, body: &str) -> Answer {
        Answer::new(status, TEXT, body)
    }

    fn page(status: u16, title: &str) -> Answer {
        Answer::new(
            status,
            PAGE,
            format!("<html><head><title>{title}</title></head><body>{title}</body></html>"),
        )
    }

    pub(super) fn with_rows(self, rows: usize) -> Answer {
        Answer { rows, ..self }
    }

    pub(super) fn with_headers(
        mut self,
        headers: impl IntoIterator<Item = (&'static str, String)>,
    ) -> Answer {
        self.headers.extend(headers);
        self
    }

    /// For a token that is missing or wrong.
    pub(super) fn denied() -> Answer {
        Answer::json(401, &json!({ "error": "Missing or invalid API token" }))
    }

    /// For a path that is not known.
    pub(super) fn unknown_path() -> Answer {
        Answer::json(404, &json!({ "error": "not found" }))
    }

    /// For a method other than GET.
    pub(super) fn wrong_method() -> Answer {
        Answer::text(405, "method not allowed")
    }

    pub(super) fn refused(refusal: RestRefusal) -> Answer {
        match refusal {
            RestRefusal::Denied => Answer::denied(),
            RestRefusal::PastSession => {
                let message = "Historical data is not supported; only the latest trading day is available.";
                Answer::json(
                    400,
                    &json!({ "error": { "code": "historical_data_not_supported", "message": message } }),
                )
            }
            RestRefusal::LookBack => {
                let message = "The earliest date currently available to you is 2026-10-19 (30 trading days).";
                Answer::json(403, &json!({ "code": "historic_data_access_missing", "message": message }))
            }
            RestRefusal::Scope => {
                Answer::json(403, &json!({ "error": "Your subscription does not include this endpoint." }))
            }
            RestRefusal::Edge => Answer::page(403, "Access denied: error code 1010"),
            RestRefusal::Missing => Answer::new(
                404,
                "application/xml",
                "<?xml version=\"1.0\"?><Error><Code>NoSuchKey</Code></Error>",
            ),
        }
    }

    /// Status 429.
    pub(super) fn limited(
        excess: Excess,
        (per_minute, in_flight): (u32, u32),
        retry: Option<RetryAfter>,
    ) -> Answer {
        let answer = match excess {
            Excess::Minute => {
                let error = format!("You have exceeded your limit of {per_minute} requests in 60 seconds.");
                Answer::json(429, &json!({ "error": error }))
            }
            Excess::InFlight => {
                Answer::text(429, &format!("You are limited to {in_flight} concurrent requests."))
            }
            Excess::Day => Answer::json(429, &json!({ "error": "You have used up your daily requests." })),
        };
        let retry = retry.map(|retry| match retry {
            RetryAfter::Seconds(seconds) => seconds.to_string(),
            RetryAfter::Date => http_date(SystemTime::now() + RETRY_DATE),
        });
        answer.with_headers(retry.map(|retry| ("Retry-After", retry)))
    }

    pub(super) fn failed(status: u16, is_page: bool) -> Answer {
        match (status, is_page) {
            (500, _) => Answer::text(500, "Internal Server Error"),
            (status, true) => Answer::page(status, "The server is not available"),
            (status, false) => Answer::json(status, &json!({ "error": "upstream not available" })),
        }
    }

    pub(super) fn redirect(url: &str) -> Answer {
        Answer::text(302, "").with_headers([("Location", url.to_owned())])
    }

    /// Returns the head, with this `Content-Length` or none.
    pub(super) fn head(&self, length: Option<usize>) -> Vec<u8> {
        let reason = match self.status {
            200 => "OK",
            302 => "Found",
            400 => "Bad Request",
            401 => "Unauthorized",
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Method Not Allowed",
            422 => "Unprocessable Entity",
            429 => "Too Many Requests",
            500 => "Internal Server Error",
            502 => "Bad Gateway",
            503 => "Service Unavailable",
            _ => "Unknown",
        };
        let mut head = format!("HTTP/1.1 {} {reason}\r\n", self.status);
        for (name, value) in &self.headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        if let Some(length) = length {
            head.extend(["Content-Length: ", &length.to_string(), "\r\n"]);
        }
        head.push_str("\r\n");
        head.into_bytes()
    }
}

fn http_date(at: SystemTime) -> String {
    let at = jiff::Timestamp::try_from(at).unwrap_or_default();
    at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}
