//! When requests may be sent. Those of the day survive the process: a restart gives no fresh allowance.

use std::time::Duration;

use slog::{info, warn};
use uw_websocket_core::request_budget::FillsOfDay;
use uw_websocket_core::time::iso_utc;

use super::state::Work;
use crate::excerpt::excerpt;
use crate::writer::store::fault::StoreFault;

/// Pauses from here on are logged; shorter ones are part of the work.
const LONG_PAUSE: Duration = Duration::from_secs(60);
/// Bytes of a value that another program has written, in the log.
const SHOWN: usize = 100;

impl Work {
    /// Goes on with the requests that an earlier process, or another instance, has counted today.
    pub(super) async fn restore_requests(&mut self) -> Result<(), StoreFault> {
        let Some(saved) = self.records.requests().await? else { return Ok(()) };
        let Some(limiter) = self.observations.rest.present_limiter() else { return Ok(()) };
        match saved.parse::<FillsOfDay>().and_then(|before| limiter.restore_fills(before)) {
            Ok(()) => info!(self.log, "requests of the day continued"; "requests" => saved),
            Err(unfit) => warn!(self.log, "requests of the day unfit";
                "value" => excerpt(saved, SHOWN), "error" => %unfit),
        }
        Ok(())
    }

    /// Saves the requests of the day with the one that follows: whatever happens to it, it is counted.
    pub(super) async fn book_request(&mut self) -> Result<(), StoreFault> {
        if !self.gate.may_write() {
            return Err(StoreFault::Unreachable("the lease is not confirmed".into()));
        }
        let limiter = self.observations.rest.present_limiter();
        // otherwise it is refused
        let Some(requests) = limiter.and_then(|limiter| limiter.fills_with_next()) else { return Ok(()) };
        self.records.save_requests(&requests.to_string()).await
    }

    /// Sends no request for some time.
    pub(super) fn pause(&mut self, pause: Duration, why: &str, now_us: u64) {
        let pause_us = u64::try_from(pause.as_micros()).unwrap_or(u64::MAX);
        self.paused_until_us = now_us.saturating_add(pause_us);
        if pause >= LONG_PAUSE {
            warn!(self.log, "fills wait"; "until" => iso_utc(self.paused_until_us), "pending" => self.jobs.len() + 1,
                "error" => why);
        }
    }
}
