//! The filler: fetches what gaps have missed over the vendor's REST API, if `ENABLE_BACKFILL` is on.
//!
//! A child of the supervisor, and so at work on the owner of the lease only; on a thread of its own, since answers have
//! hundreds of kilobytes. The pure half, [`uw_websocket_core::backfill`], says what to ask and what to write:
//!
//! * `work`: the loop over jobs, from the gap ledger to the entry about the end;
//! * `turn`: one step of one job; `state`: what both work on;
//! * [`records`]: its keys in Redis, and how each row is written once; [`ended`] reads the ended fills;
//! * `doubts`: what is met under its keys that is not its own, and jobs that are put off because of it;
//! * `allowance`: when requests may be sent;
//! * `edges`: what the live streams have around a gap; `archiving`: hands rows to the archive;
//! * [`fetch`]: the client of the vendor's API, as the filler needs it.
//!
//! Live streams are read and never written, and nothing waits for the filler.

mod allowance;
mod archiving;
mod at_key;
mod doubts;
mod edges;
pub mod ended;
pub mod fetch;
pub mod records;
mod state;
mod turn;
mod work;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use actix::prelude::*;
use actix_rt::ArbiterHandle;
use slog::{Logger, error, warn};
use uw_websocket_core::backfill::plan::Joined;
use uw_websocket_core::settings::KeySettings;

use self::archiving::Archiving;
use self::fetch::Fetch;
use self::records::FillRecords;
use self::state::{Doubts, Work};
pub use self::work::is_missed;
use crate::archive::fetched::FetchedRows;
use crate::lease::gate::LeaseGate;
use crate::ledger::publisher::GapPublisher;
use crate::observation::Observations;
use crate::queue::progress::StorageProgress;
use crate::queue::shard::Shard;
use crate::supervisor::{ChildLife, Stop};
use crate::wall_clock::unix_micros;
use crate::writer::store::address::Address;

/// The lowest priority but that of the archive: the threads of events go first.
const NICE: i32 = 10;

/// Opens a client of the vendor's API on the filler's thread.
pub type OpenFetch = Box<dyn FnOnce() -> Result<Fetch, String> + Send>;

/// Parts of a filler; its factory builds them for each start.
pub struct FillerParts {
    /// Address of Redis; the filler has a connection of its own.
    pub address: Address,
    /// Keys and their bounds.
    pub keys: KeySettings,
    /// The topics that this instance joins.
    pub joined: Joined,
    /// `BACKFILL_MAX_REQUESTS_PER_GAP`.
    pub max_requests: u32,
    /// Opens the client.
    pub open: OpenFetch,
    /// The way to the archive, if there is one.
    pub archive: Option<Arc<FetchedRows>>,
    /// Tell up to when everything received is stored.
    pub shards: Vec<Shard>,
    /// Permission to write, by the lease.
    pub gate: LeaseGate,
    /// Counters, also read by HTTP.
    pub observations: Arc<Observations>,
    /// Logger of the filler.
    pub log: Logger,
}

/// The actor.
pub struct Filler {
    life: ChildLife,
    parts: Option<FillerParts>,
    _thread: Thread,
}

/// The thread of a filler, which ends with it: also after a panic.
struct Thread(ArbiterHandle);

impl Drop for Thread {
    fn drop(&mut self) {
        self.0.stop();
    }
}

impl Filler {
    /// Creates a filler that has not started, and that has `thread` to itself.
    #[must_use]
    pub fn new(parts: FillerParts, life: ChildLife, thread: ArbiterHandle) -> Filler {
        Filler { life, parts: Some(parts), _thread: Thread(thread) }
    }
}

impl FillerParts {
    fn start(self) -> Option<Work> {
        let FillerParts {
            address,
            keys,
            joined,
            max_requests,
            open,
            archive,
            shards,
            gate,
            observations,
            log,
        } = self;
        let fetch = match open() {
            Ok(fetch) => fetch,
            Err(reason) => {
                error!(log, "gaps cannot be filled"; "error" => reason);
                return None;
            }
        };
        Some(Work {
            gaps: GapPublisher::new(address.clone(), &keys.prefix),
            records: FillRecords::new(address, &keys.prefix),
            keys,
            joined,
            fetch,
            gate,
            stored: StorageProgress::new(shards, unix_micros()),
            stored_us: 0,
            jobs: BTreeMap::new(),
            doubts: Doubts::default(),
            active: None,
            planned: None,
            looked_at: None,
            paused_until_us: 0,
            not_entitled: HashMap::new(),
            max_requests,
            requests: HashMap::new(),
            archiving: Archiving::new(archive, Arc::clone(&observations), log.clone()),
            observations,
            log,
        })
    }
}

impl Actor for Filler {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        let Some(parts) = self.parts.take() else { return context.stop() };
        if let Err(error) = rustix::process::nice(NICE) {
            warn!(parts.log, "filler runs at the usual priority"; "error" => %error);
        }
        let beat = self.life.beats().beat();
        let work = parts.start();
        let loops = async move {
            match work {
                Some(work) => beat.during(work.run()).await,
                // a crash would not help: the settings are what they are
                None => beat.during(std::future::pending()).await,
            }
        };
        context.spawn(loops.into_actor(self));
    }
}

impl Handler<Stop> for Filler {
    type Result = ();

    fn handle(&mut self, _: Stop, context: &mut Context<Self>) {
        // at every moment Redis has the state needed to continue
        self.life.finish();
        context.terminate();
    }
}
