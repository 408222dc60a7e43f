//! The filler's interface to a client of the vendor's REST API.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use thiserror::Error;
use uw_websocket_core::backfill::query::Query;

/// Sends a request and returns the whole body of a success, decoded.
pub type Fetch = Rc<dyn Fn(Query) -> LocalBoxFuture<'static, Result<Bytes, FetchFault>>>;

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
    /// The vendor refuses the request itself: a defect of ours.
    #[error("{0}")]
    Refused(String),
    /// The answer is larger than is read.
    #[error("the answer is too large")]
    TooLarge,
}
