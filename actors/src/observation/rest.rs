//! Counts of the REST requests.

use std::sync::{Arc, OnceLock};

use uw_websocket_core::labelled;
use uw_websocket_core::labelled::Labelled as _;
use uw_websocket_core::request_budget::{Purpose, RequestLimits};
use uw_websocket_core::rest_endpoint::RestEndpoint;

use super::cells::{Count, CountsBy};
use super::metric::observed;
use crate::rest::limiter::RequestLimiter;

labelled! {
    /// How a REST request ended.
    RestResult {
        /// With a complete answer.
        Answered = "answered",
        /// 429.
        Limited = "limited",
        /// 401.
        Unauthorised = "unauthorised",
        /// Another refusal of the vendor.
        Refused = "refused",
        /// No connection, a timeout, a cut or overlong answer, a status 5xx or one of the edge.
        Failed = "failed",
    }
}

observed! {
    /// Counts of one endpoint.
    #[derive(Debug, Default)]
    pub struct EndpointObservation {
        /// REST requests sent, by how they ended.
        results: CountsBy<RestResult> = "uw_ws_rest_requests_total" by "result",
    }
}

impl EndpointObservation {
    /// Returns the count of requests that ended so.
    #[must_use]
    pub fn of(&self, result: RestResult) -> &Count {
        self.results.of(result)
    }

    /// Returns the number of requests.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.results.sum()
    }
}

/// The REST requests.
#[derive(Debug)]
pub struct RestObservation {
    endpoints: Vec<EndpointObservation>,
    /// The limiter of the process, once there is one.
    limiter: OnceLock<Arc<RequestLimiter>>,
}

impl Default for RestObservation {
    fn default() -> RestObservation {
        let endpoints = RestEndpoint::ALL.iter().map(|_| EndpointObservation::default());
        RestObservation { endpoints: endpoints.collect(), limiter: OnceLock::new() }
    }
}

impl RestObservation {
    /// Returns the counts of an endpoint.
    #[must_use]
    pub fn endpoint(&self, endpoint: RestEndpoint) -> &EndpointObservation {
        &self.endpoints[endpoint.position()]
    }

    /// Returns the limiter of the process, created at the first call with these limits.
    pub fn limiter(&self, limits: RequestLimits) -> Arc<RequestLimiter> {
        Arc::clone(self.limiter.get_or_init(|| RequestLimiter::new(limits)))
    }

    /// Returns the limiter of the process, once there is one.
    #[must_use]
    pub fn present_limiter(&self) -> Option<&Arc<RequestLimiter>> {
        self.limiter.get()
    }

    /// Returns the number of REST requests for this purpose that may begin at once, as far as is known.
    #[must_use]
    pub fn remaining(&self, purpose: Purpose) -> Option<u32> {
        self.limiter.get().map(|limiter| limiter.remaining(purpose))
    }
}
