//! The client of the vendor's REST API: one request in flight, within the budget, whole answers only.

use std::sync::Arc;
use std::time::Duration;

use awc::http::header::{self, HeaderMap, HeaderValue};
use awc::http::{StatusCode, Uri};
use bytes::Bytes;
use serde::de::IgnoredAny;
use slog::{Logger, error, warn};
use thiserror::Error;
use tokio::time::{Instant, timeout, timeout_at};
use url::Url;
use uw_websocket_core::request_budget::{BudgetVerdict, NotNow, Pause, Purpose, TokenUsage};
use uw_websocket_core::rest_endpoint::RestEndpoint;
use uw_websocket_core::rest_query::RestQuery;
use uw_websocket_core::settings::Secret;
use uw_websocket_core::time::millis;

use super::body::{self, BodyError, MAX_BODY};
use super::error::{HEAD_TIMEOUT, RestError, RestFault, WHOLE_TIMEOUT};
use super::limiter::{RequestLimiter, RestTurn};
use crate::connection::connector::FeedDialer;
use crate::observation::{RestObservation, RestResult};
use crate::settings::RestSettings;
use crate::tls::{self, TlsError};
use crate::vendor_http::{REFUSAL_READ, USER_AGENT, parse_retry_after, redact, refusal_shown};

/// The part of the head's timeout for name resolution and TCP: below the whole, so that an error names the addresses.
const DIAL_TIMEOUT: Duration = Duration::from_millis(9_500);
/// The vendor asks its clients to send this.
const CLIENT_ID: (&str, &str) = ("UW-CLIENT-API-ID", "100001");
/// What is understood: refusals may be plain text.
const ACCEPTED: &str = "application/json, text/plain;q=0.5";

/// Why there is no client.
#[derive(Debug, Error)]
pub enum RestClientError {
    /// No TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The token is no value of a header.
    #[error("the token cannot be sent in a header")]
    Token,
}

/// An answer: status 200 with a body that is one complete JSON value in UTF-8.
#[derive(Clone, Debug)]
pub struct RestAnswer {
    /// The body, after content decoding.
    pub body: Bytes,
    /// The status.
    pub status: u16,
    /// The headers about the use of the token.
    pub usage: TokenUsage,
}

/// An answer of any status, before it is judged.
#[derive(Clone, Debug)]
pub struct RestReply {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body after content decoding; at most 16 KiB of a refusal, which may be incomplete.
    pub body: Bytes,
}

impl RestReply {
    /// Returns what the headers say about the use of the token.
    #[must_use]
    pub fn usage(&self) -> TokenUsage {
        TokenUsage::read(|name| body::text(&self.headers, name))
    }

    fn retry_after(&self) -> Option<Duration> {
        parse_retry_after(body::text(&self.headers, header::RETRY_AFTER)?)
    }
}

/// A client, bound to its thread.
pub struct RestClient {
    client: awc::Client,
    base: Url,
    token: Secret,
    authorization: HeaderValue,
    limiter: Arc<RequestLimiter>,
    observation: Arc<RestObservation>,
    log: Logger,
}

impl RestClient {
    /// Creates a client that draws from the limiter of the process, which `observation` has.
    pub fn new(
        settings: &RestSettings,
        observation: Arc<RestObservation>,
        log: Logger,
    ) -> Result<RestClient, RestClientError> {
        let tls = tls::client_config(settings.extra_root_pem.as_deref())?;
        // HTTP/1.1 only and our own trusted roots, as for the feed
        let dialer = FeedDialer::new(DIAL_TIMEOUT, settings.proxy.clone());
        let connector = awc::Connector::new().connector(dialer).timeout(HEAD_TIMEOUT);
        let client = awc::Client::builder()
            .connector(connector.rustls_0_23(tls))
            // awc's own timeout would include the body
            .disable_timeout()
            // the token must not go to another host
            .disable_redirects()
            .add_default_header((header::USER_AGENT, USER_AGENT))
            .add_default_header(CLIENT_ID)
            .add_default_header((header::ACCEPT, ACCEPTED))
            .add_default_header((header::ACCEPT_ENCODING, "gzip"))
            .finish();
        let token = settings.token.clone();
        let mut authorization = HeaderValue::from_str(&format!("Bearer {}", token.reveal()))
            .map_err(|_| RestClientError::Token)?;
        authorization.set_sensitive(true);
        let limiter = observation.limiter(settings.limits);
        let base = settings.url.clone();
        Ok(RestClient { client, base, token, authorization, limiter, observation, log })
    }

    /// Sends a request, of which the path begins with `/api/`, when it is its turn.
    ///
    /// Waits for the budget up to a minute, or longer for the limit per minute. A failure is retried by the caller.
    pub async fn get(&self, purpose: Purpose, query: &RestQuery) -> Result<RestAnswer, RestError> {
        let turn = self.limiter.rest(purpose).await.map_err(RestError::NotNow)?;
        let (verdict, judged) = match self.exchange(&turn, query).await {
            Ok(reply) => self.judge(reply),
            Err(error) => (BudgetVerdict::Failed, Err(error)),
        };
        let next = self.finish(turn, &query.path, &verdict, judged.as_ref().err());
        judged.map_err(|error| match error {
            RestError::Limited { text, .. } => RestError::Limited { next, text },
            error => error,
        })
    }

    /// Sends a request in the same way, and returns the answer as it is.
    pub async fn ask(&self, purpose: Purpose, query: &RestQuery) -> Result<RestReply, RestError> {
        let turn = self.limiter.rest(purpose).await.map_err(RestError::NotNow)?;
        let (verdict, error, replied) = match self.exchange(&turn, query).await {
            Ok(reply) => {
                let (verdict, judged) = self.judge(reply.clone());
                (verdict, judged.err(), Ok(reply))
            }
            Err(error) => (BudgetVerdict::Failed, Some(error.clone()), Err(error)),
        };
        self.finish(turn, &query.path, &verdict, error.as_ref());
        replied
    }

    /// Returns the result of judging a reply as [`get`](Self::get) does.
    pub fn judged(&self, reply: RestReply) -> Result<RestAnswer, RestError> {
        self.judge(reply).1
    }

    /// Removes the token from a text.
    #[must_use]
    pub fn redact(&self, text: &str) -> String {
        redact(text, self.token.reveal())
    }

    fn uri(&self, RestQuery { path, pairs }: &RestQuery) -> Result<Uri, RestError> {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        if !pairs.is_empty() {
            url.query_pairs_mut().extend_pairs(pairs);
        }
        url.as_str().parse().map_err(|error| RestError::Failed(format!("{path}: {error}")))
    }

    async fn exchange(&self, turn: &RestTurn, query: &RestQuery) -> Result<RestReply, RestError> {
        let deadline = Instant::now() + WHOLE_TIMEOUT;
        let uri = self.uri(query)?;
        let request = self.client.get(uri).insert_header((header::AUTHORIZATION, self.authorization.clone()));
        let mut response = match timeout(HEAD_TIMEOUT, request.send()).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(RestError::Failed(self.redact(&error.to_string()))),
            Err(_) => return Err(RestError::HeadTimedOut),
        };
        turn.counted();
        let (status, headers) = (response.status(), response.headers().clone());
        let is_answer = status == StatusCode::OK;
        let max = if is_answer { MAX_BODY } else { REFUSAL_READ };
        let read = timeout_at(deadline, body::read(&headers, &mut response, max)).await;
        let body = match read {
            Ok(body) => body.and_then(|body| body::decoded(&headers, body, max)),
            Err(_) if is_answer => return Err(RestError::BodyTimedOut),
            Err(_) => Err(BodyError::Broken(String::new())),
        };
        match body {
            Ok(body) => Ok(RestReply { status, headers, body }),
            Err(error) if is_answer => Err(error.into()),
            // a refusal without its body is still a refusal
            Err(_) => Ok(RestReply { status, headers, body: Bytes::new() }),
        }
    }

    /// Decides what a reply means.
    fn judge(&self, reply: RestReply) -> (BudgetVerdict, Result<RestAnswer, RestError>) {
        let (status, usage) = (reply.status, reply.usage());
        if status == StatusCode::OK {
            return match checked_json(&reply.body) {
                Ok(()) => {
                    let answer = RestAnswer { body: reply.body, status: status.as_u16(), usage };
                    (BudgetVerdict::Answered(usage), Ok(answer))
                }
                Err(error) => (BudgetVerdict::Failed, Err(RestError::NotJson(error))),
            };
        }
        let text = self.redact(&String::from_utf8_lossy(&reply.body));
        if status == StatusCode::TOO_MANY_REQUESTS {
            let is_concurrency = text.contains("concurrent");
            let verdict = BudgetVerdict::Limited { usage, is_concurrency, retry_after: reply.retry_after() };
            return (verdict, Err(RestError::Limited { next: None, text: refusal_shown(&text) }));
        }
        let target = status.is_redirection().then(|| body::text(&reply.headers, header::LOCATION)).flatten();
        let text = target.map_or(text, |target| format!("a redirect to {}", self.redact(target)));
        let error = RestError::of_refusal(status, &text);
        let verdict = match error.fault() {
            RestFault::Unauthorised => BudgetVerdict::Unauthorised,
            RestFault::Retryable => BudgetVerdict::Failed,
            _ => BudgetVerdict::Answered(usage),
        };
        (verdict, Err(error))
    }

    fn finish(
        &self,
        turn: RestTurn,
        path: &str,
        verdict: &BudgetVerdict,
        error: Option<&RestError>,
    ) -> Option<NotNow> {
        let result = match error.map(RestError::fault) {
            None => RestResult::Answered,
            Some(RestFault::Limited) => RestResult::Limited,
            Some(RestFault::Unauthorised) => RestResult::Unauthorised,
            Some(RestFault::Retryable | RestFault::TooLarge | RestFault::NotNow) => RestResult::Failed,
            Some(
                RestFault::LookBack | RestFault::PastSession | RestFault::NotEntitled | RestFault::Defect,
            ) => RestResult::Refused,
        };
        let endpoint = RestEndpoint::of(path);
        self.observation.endpoint(endpoint).of(result).add(1);
        let next = turn.finish(verdict);
        let error = error.map(ToString::to_string).unwrap_or_default();
        match next {
            Some(NotNow { retry_in, why: Pause::Unauthorised }) if result == RestResult::Unauthorised => {
                error!(self.log, "rest refuses the token"; "endpoint" => endpoint.label(),
                    "retry_in_ms" => millis(retry_in), "error" => error);
            }
            Some(NotNow { retry_in, why: Pause::Breaker }) if result == RestResult::Failed => {
                warn!(self.log, "rest stopped after failures"; "endpoint" => endpoint.label(),
                    "retry_in_ms" => millis(retry_in), "error" => error);
            }
            _ => {}
        }
        next
    }
}

/// Checks that a body is one complete JSON value in UTF-8.
fn checked_json(body: &[u8]) -> Result<(), String> {
    let text = std::str::from_utf8(body).map_err(|error| error.to_string())?;
    serde_json::from_str::<IgnoredAny>(text).map(drop).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
