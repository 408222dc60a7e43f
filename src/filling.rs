//! The filler as a child of a term, if gaps are to be filled.

use std::sync::Arc;

use actix::prelude::*;
use actix_rt::Arbiter;
use slog::Logger;
use uw_websocket_actors::archive::fetched::FetchedRows;
use uw_websocket_actors::filler::{Filler, FillerParts, rest_fetch};
use uw_websocket_actors::lease::gate::LeaseGate;
use uw_websocket_actors::observation::Observations;
use uw_websocket_actors::queue::shard::Shard;
use uw_websocket_actors::settings::ActorSettings;
use uw_websocket_actors::supervisor::ChildSpec;
use uw_websocket_actors::writer::store::address::Address;
use uw_websocket_core::backfill::plan::Joined;
use uw_websocket_core::plan::ConnectionPlan;

/// It ends first: it delivers to nobody, and Redis has what is needed to go on.
const STAGE: u8 = 2;

/// The collaborators of the filler.
pub(crate) struct FillingParts<'p> {
    /// What is joined.
    pub plans: &'p [ConnectionPlan],
    /// All settings.
    pub settings: Arc<ActorSettings>,
    /// Redis.
    pub address: Address,
    /// The way to the archive, if there is one.
    pub archive: Option<Arc<FetchedRows>>,
    /// What is received and not stored.
    pub shards: Vec<Shard>,
    /// Permission to write.
    pub gate: LeaseGate,
    /// Counters.
    pub observations: Arc<Observations>,
    /// Logger of the filler.
    pub log: Logger,
}

/// Returns how the filler is started: on a thread of its own, which ends with it.
pub(crate) fn spec(parts: FillingParts<'_>) -> ChildSpec {
    let FillingParts { plans, settings, address, archive, shards, gate, observations, log } = parts;
    let topics = plans.iter().flat_map(|plan| plan.topics.iter().cloned()).collect();
    let joined = Joined { topics, targets: settings.plan.targets.clone() };
    observations.fills.is_on.set(true);
    let start = move |life| {
        let rest = (settings.rest.clone(), Arc::clone(&observations.rest), log.clone());
        let parts = FillerParts {
            address: address.clone(),
            keys: settings.keys.clone(),
            joined: joined.clone(),
            max_requests: settings.rest.fill_requests_per_gap,
            open: Box::new(move || rest_fetch::open(rest)),
            archive: archive.clone(),
            shards: shards.clone(),
            gate: gate.clone(),
            observations: Arc::clone(&observations),
            log: log.clone(),
        };
        let thread = Arbiter::new().handle();
        Filler::start_in_arbiter(&thread.clone(), move |_| Filler::new(parts, life, thread)).recipient()
    };
    ChildSpec { name: "filler".to_owned(), stage: STAGE, start: Box::new(start) }
}
