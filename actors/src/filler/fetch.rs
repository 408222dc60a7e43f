//! The filler's client of the vendor's REST API: its interface, and the implementation by [`RestClient`].

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use slog::Logger;
use thiserror::Error;
use uw_websocket_core::request_budget::Purpose;
use uw_websocket_core::rest_query::RestQuery;

use crate::observation::RestObservation;
use crate::rest::{RestClient, RestError, RestFault};
use crate::settings::RestSettings;

/// Pause after a 429 that does not say how long to wait; the budget waits by itself.
const LIMITED_PAUSE: Duration = Duration::from_secs(1);
/// Pause after the token was refused.
const UNAUTHORISED_PAUSE: Duration = Duration::from_secs(300);

/// Sends a request and returns the whole body of a success, decoded.
pub type Fetch = Rc<dyn Fn(RestQuery) -> LocalBoxFuture<'static, Result<Bytes, FetchFault>>>;

/// A request without a usable answer, by what follows from it. No text has a secret.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum FetchFault {
    /// No request may be sent for this time; none was counted.
    #[error("no request for {:.1} s: {}", .0.as_secs_f32(), .1)]
    NotNow(Duration, String),
    /// The endpoint fails: it is tried again later.
    #[error("{0}")]
    Failed(String),
    /// The interval is older than what the plan may look back to.
    #[error("{0}")]
    OutOfWindow(String),
    /// The endpoint has the latest session only.
    #[error("{0}")]
    PastSession(String),
    /// The plan does not include the endpoint.
    #[error("{0}")]
    NotEntitled(String),
    /// The vendor refuses the request itself: a defect of this service.
    #[error("{0}")]
    Refused(String),
    /// The answer is larger than is read.
    #[error("the answer is too large")]
    TooLarge,
}

/// Opens a client on this thread.
pub fn open(
    (settings, observation, log): (RestSettings, Arc<RestObservation>, Logger),
) -> Result<Fetch, String> {
    let client = RestClient::new(&settings, observation, log).map_err(|error| error.to_string())?;
    let client = Rc::new(client);
    Ok(Rc::new(move |query: RestQuery| {
        let client = Rc::clone(&client);
        Box::pin(async move {
            let answer = client.get(Purpose::Fill, &query).await;
            answer.map(|answer| answer.body).map_err(|error| fault(&error))
        })
    }))
}

/// Returns what follows from a failed request. A 429 and a refused token do not count as tries.
fn fault(error: &RestError) -> FetchFault {
    let text = error.to_string();
    match error.fault() {
        RestFault::NotNow | RestFault::Limited => {
            let pause = match error {
                RestError::NotNow(not_now) | RestError::Limited { next: Some(not_now), .. } => {
                    not_now.retry_in
                }
                _ => LIMITED_PAUSE,
            };
            FetchFault::NotNow(pause, text)
        }
        RestFault::Unauthorised => FetchFault::NotNow(UNAUTHORISED_PAUSE, text),
        RestFault::Retryable => FetchFault::Failed(text),
        RestFault::LookBack => FetchFault::OutOfWindow(text),
        RestFault::PastSession => FetchFault::PastSession(text),
        RestFault::NotEntitled => FetchFault::NotEntitled(text),
        RestFault::Defect => FetchFault::Refused(text),
        RestFault::TooLarge => FetchFault::TooLarge,
    }
}
