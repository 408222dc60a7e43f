//! Starts the archive.

use std::sync::Arc;

use slog::{Logger, crit, o};
use uw_websocket_actors::archive::fetched::FetchedRows;
use uw_websocket_actors::archive::{Archive, ArchiveParts};
use uw_websocket_actors::fault::FaultPlan;
use uw_websocket_actors::observation::Observations;
use uw_websocket_actors::queue::archiving::Archiving;
use uw_websocket_actors::queue::shard::Shard;
use uw_websocket_actors::settings::ActorSettings;
use uw_websocket_actors::thread_deaths::ThreadDeaths;

use crate::archive_forecast;
use crate::exit::Exit;

/// Starts the archive, if there is one, and returns with it the way of fetched rows to it.
pub(crate) fn start(
    actors: &ActorSettings,
    archivings: Vec<Arc<Archiving>>,
    shards: &[Shard],
    observations: &Arc<Observations>,
    (deaths, faults): (&ThreadDeaths, &FaultPlan),
    log: &Logger,
) -> Result<Option<(Archive, Arc<FetchedRows>)>, Exit> {
    let (Some(settings), Some(first)) = (actors.archive.clone(), shards.first()) else { return Ok(None) };
    archive_forecast::announce(actors, log);
    let queue = first.queue.clone();
    let fetched = Arc::new(FetchedRows::default());
    let parts = ArchiveParts {
        settings,
        archivings,
        fetched: Arc::clone(&fetched),
        note: Box::new(move |gaps| queue.note_losses(gaps)),
        observations: Arc::clone(observations),
        deaths: deaths.clone(),
        faults: faults.for_child("archive"),
        log: log.new(o!("component" => "archive")),
    };
    Archive::start(parts).map(|archive| Some((archive, fetched))).map_err(|error| {
        crit!(log, "archive not started"; "error" => %error);
        Exit::GaveUp
    })
}
