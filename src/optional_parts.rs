//! Starts the parts that run only if the settings ask for them: the archive, the audit and the filler.

use std::sync::Arc;

use actix::prelude::*;
use actix_rt::{Arbiter, ArbiterHandle};
use slog::{Logger, crit, o, warn};
use uw_websocket_actors::archive::{Archive, ArchiveParts};
use uw_websocket_actors::audit::tap::{self, AuditTap};
use uw_websocket_actors::audit::{AuditParts, FeedAudit};
use uw_websocket_actors::fault::FaultPlan;
use uw_websocket_actors::filler::{Filler, FillerParts, fetch};
use uw_websocket_actors::lease::gate::LeaseGate;
use uw_websocket_actors::ledger::tracker::GapTracker;
use uw_websocket_actors::observation::Observations;
use uw_websocket_actors::queue::archiving::Archiving;
use uw_websocket_actors::queue::shard::Shard;
use uw_websocket_actors::settings::ActorSettings;
use uw_websocket_actors::supervisor::ChildSpec;
use uw_websocket_actors::thread_deaths::ThreadDeaths;
use uw_websocket_actors::wall_clock::unix_micros;
use uw_websocket_actors::writer::store::address::Address;
use uw_websocket_core::backfill::plan::Joined;
use uw_websocket_core::plan::ConnectionPlan;

use crate::archive_forecast;
use crate::exit::Exit;

/// Stage of the filler. It ends first: no other part depends on it, and Redis has the state needed to continue.
const FILLER_STAGE: u8 = 2;

/// Starts the archive, if there is one.
pub(crate) fn start_archive(
    actors: &ActorSettings,
    archivings: Vec<Arc<Archiving>>,
    shards: &[Shard],
    observations: &Arc<Observations>,
    (deaths, faults): (&ThreadDeaths, &FaultPlan),
    log: &Logger,
) -> Result<Option<Archive>, Exit> {
    let (Some(settings), Some(first)) = (actors.archive.clone(), shards.first()) else { return Ok(None) };
    archive_forecast::announce(actors, log);
    let queue = first.queue.clone();
    let parts = ArchiveParts {
        settings,
        archivings,
        note: Box::new(move |gaps| queue.note_losses(gaps)),
        observations: Arc::clone(observations),
        deaths: deaths.clone(),
        faults: faults.for_child("archive"),
        log: log.new(o!("component" => "archive")),
    };
    Archive::start(parts).map(Some).map_err(|error| {
        crit!(log, "archive not started"; "error" => %error);
        Exit::GaveUp
    })
}

/// Starts the audit on the thread of the data, with which it ends. Returns how the decoders reach it.
pub(crate) fn start_audit(
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

/// The collaborators of the filler.
pub(crate) struct FillingParts<'p> {
    /// The topics that are joined.
    pub plans: &'p [ConnectionPlan],
    /// All settings.
    pub settings: Arc<ActorSettings>,
    /// Redis.
    pub address: Address,
    /// The events that are received and not stored yet.
    pub shards: Vec<Shard>,
    /// Permission to write.
    pub gate: LeaseGate,
    /// Counters.
    pub observations: Arc<Observations>,
    /// Logger of the filler.
    pub log: Logger,
}

/// Returns how the filler is started: on a thread of its own, which ends with it.
pub(crate) fn filler(parts: FillingParts<'_>) -> ChildSpec {
    let FillingParts { plans, settings, address, shards, gate, observations, log } = parts;
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
            open: Box::new(move || fetch::open(rest)),
            shards: shards.clone(),
            gate: gate.clone(),
            observations: Arc::clone(&observations),
            log: log.clone(),
        };
        let thread = Arbiter::new().handle();
        Filler::start_in_arbiter(&thread.clone(), move |_| Filler::new(parts, life, thread)).recipient()
    };
    ChildSpec { name: "filler".to_owned(), stage: FILLER_STAGE, start: Box::new(start) }
}
