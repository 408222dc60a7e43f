//! The audit of the feed in a term, if it is asked for.

use std::sync::Arc;

use actix::prelude::*;
use actix_rt::ArbiterHandle;
use slog::{Logger, o, warn};
use uw_websocket_actors::audit::tap::{self, AuditTap};
use uw_websocket_actors::audit::{AuditParts, FeedAudit};
use uw_websocket_actors::ledger::tracker::GapTracker;
use uw_websocket_actors::observation::Observations;
use uw_websocket_actors::settings::ActorSettings;
use uw_websocket_actors::wall_clock::unix_micros;
use uw_websocket_core::plan::ConnectionPlan;

/// Starts the audit on the thread of the data, with which it ends. Returns how the decoders reach it.
pub(crate) fn start(
    plans: &[ConnectionPlan],
    settings: &ActorSettings,
    gaps: &GapTracker,
    data: &ArbiterHandle,
    observations: &Arc<Observations>,
    log: &Logger,
) -> Option<AuditTap> {
    if !settings.rest.audit {
        return None;
    }
    let log = log.new(o!("component" => "audit"));
    let (subjects, left_out) = tap::subjects(plans.iter().flat_map(|plan| &plan.topics));
    if !left_out.is_empty() {
        warn!(log, "not audited"; "topics" => left_out.join(","));
    }
    let tap = AuditTap::new(subjects, observations);
    let (rest, gaps, observations) = (settings.rest.clone(), gaps.clone(), Arc::clone(observations));
    let (kept, fills) = (tap.clone(), Arc::clone(&observations));
    FeedAudit::start_in_arbiter(data, move |_| {
        FeedAudit::new(AuditParts {
            rest,
            tap: kept,
            gaps,
            is_filling: Box::new(move || fills.fills.pending.get() > 0),
            clock: Box::new(unix_micros),
            chance: Box::new(fastrand::f64),
            observations,
            log,
        })
    });
    Some(tap)
}
