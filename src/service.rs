//! The wiring of the service: disk queues → observations → shards → lease → in each term as owner the ledger and the
//! supervisor with its children → HTTP; then it waits for the end.
//!
//! Threads: the main thread runs the supervisor, the status reporter, the janitor, the lease, the ledger and the
//! signals; one arbiter runs all connections and writers; each disk queue has two threads; each HTTP address and the
//! log have one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use actix::prelude::*;
use actix_rt::ArbiterHandle;
use slog::{Logger, crit, error, info, o, warn};
use tokio::sync::{mpsc, watch};
use uw_websocket_actors::archive::Archive;
use uw_websocket_actors::archive::fetched::FetchedRows;
use uw_websocket_actors::audit::tap::AuditTap;
use uw_websocket_actors::auditor::Auditor;
use uw_websocket_actors::connection::handshakes::Handshakes;
use uw_websocket_actors::connection::{Connection, ConnectionParts};
use uw_websocket_actors::error_chain::ErrorChain;
use uw_websocket_actors::fault::FaultPlan;
use uw_websocket_actors::janitor::{Janitor, JanitorParts};
use uw_websocket_actors::lease::gate::LeaseGate;
use uw_websocket_actors::lease::{LeaseManager, Role};
use uw_websocket_actors::ledger::tracker::GapTracker;
use uw_websocket_actors::ledger::{self, Ledger};
use uw_websocket_actors::master_watch;
use uw_websocket_actors::observation::Observations;
use uw_websocket_actors::queue::folders::{OpenError, OpenFolders, StartParts, Started};
use uw_websocket_actors::queue::shard::Shard;
use uw_websocket_actors::redis_pool::RedisPool;
use uw_websocket_actors::settings::ActorSettings;
use uw_websocket_actors::status_reporter::StatusReporter;
use uw_websocket_actors::supervisor::{ChildSpec, Escalation, Supervisor};
use uw_websocket_actors::thread_deaths::ThreadDeaths;
use uw_websocket_actors::wall_clock::unix_micros;
use uw_websocket_actors::writer::store::address::Address;
use uw_websocket_actors::writer::{Writer, WriterParts};
use uw_websocket_core::event::{Channel, ChannelIndex};
use uw_websocket_core::plan::ConnectionPlan;
use uw_websocket_core::routing::channels_of;
use uw_websocket_core::settings::Retention;
use uw_websocket_core::spool::SpoolLock;

use crate::archive_start;
use crate::auditing;
use crate::disk_advice::advice;
use crate::exit::Exit;
use crate::filling::{self, FillingParts};
use crate::handover::Handover;
use crate::http::HttpSide;
use crate::leadership_loop::{LeadershipLoop, ProcessEnd};
use crate::leadership_term::{LeadershipTerm, Remains};
use crate::ready;
use crate::redis_start;
use crate::resources::{self, Resources, fault_plan, ledger_places};
use crate::settings::{HttpSettings, Settings};
use crate::shutdown;
use crate::signals::Signals;
use crate::version::{VERSION, instance};

/// Connections end before the writers they deliver to.
const STAGE_WRITERS: u8 = 0;
const STAGE_CONNECTIONS: u8 = 1;

/// Runs until a signal arrives or the service gives up. `lost_records` counts lost log records.
pub fn run(settings: Settings, log: Logger, lost_records: Arc<AtomicU64>) -> Exit {
    actix_rt::System::new().block_on(async move {
        // before waiting for anything: as process 1 of a container an uncaught signal would be lost
        let signals = match Signals::listen() {
            Ok(signals) => signals,
            Err(error) => {
                crit!(log, "cannot listen for signals"; "error" => %error);
                return Exit::GaveUp;
            }
        };
        match prepare(&settings, &log, lost_records).await {
            Ok(service) => service.serve(&settings, signals).await,
            Err(exit) => exit,
        }
    })
}

/// A service whose preconditions have all been checked.
struct Service {
    plans: Vec<ConnectionPlan>,
    address: Address,
    pool: RedisPool,
    /// Shared by all terms.
    shards: Vec<Shard>,
    /// The instance that used the disk queues before, and has ended.
    predecessor: Option<String>,
    archive: Option<Archive>,
    /// The way of fetched rows to it.
    fetched: Option<Arc<FetchedRows>>,
    /// Locks the disk queues against other processes.
    _spool_lock: Option<SpoolLock>,
    /// Shared by all terms: the vendor counts handshakes per token.
    handshakes: Arc<Handshakes>,
    observations: Arc<Observations>,
    faults: FaultPlan,
    deaths: ThreadDeaths,
    handover: Handover,
    log: Logger,
}

async fn prepare(settings: &Settings, log: &Logger, lost_records: Arc<AtomicU64>) -> Result<Service, Exit> {
    let actors = &settings.actors;
    let refuse = |error: &dyn std::fmt::Display| {
        crit!(log, "bad settings"; "error" => %error);
        Exit::BadSettings
    };
    let Resources { plans, address, pool } = Resources::of(actors).map_err(|error| refuse(&error))?;
    let (faults, deaths) = (fault_plan().map_err(|error| refuse(&error))?, ThreadDeaths::default());

    let mut channels = channels_of(&actors.plan);
    let names: Vec<&str> = channels.iter().map(Channel::name).collect();
    info!(log, "service starting"; "version" => VERSION.as_str(), "connections" => plans.len(),
        "joins" => plans.iter().map(|plan| plan.topics.len()).sum::<usize>(), "channels" => names.join(","),
        "shards" => actors.writers.shards, "redis" => %address);
    resources::log_widened(&actors.plan, &plans, log);
    let unusable = |error: OpenError| {
        crit!(log, "disk queue unusable"; "advice" => advice(&error), ErrorChain::new(&error));
        Exit::SpoolUnusable
    };
    let instance = instance();
    let folders = OpenFolders::open(&actors.spool, actors.writers.shards, &instance, log)
        .map_err(|error| unusable(error.into()))?;
    let predecessor = folders.predecessor().map(str::to_owned);
    // events left by an earlier process are counted too, whatever is joined now
    channels.extend(folders.channels().filter(|channel| !channels.contains(channel)).collect::<Vec<_>>());
    if channels.len() > ChannelIndex::MAX_CHANNELS {
        let most = ChannelIndex::MAX_CHANNELS;
        let names = format!("CHANNELS and the disk queue together have more than {most} channels");
        return Err(refuse(&names));
    }
    let connections: Vec<_> = plans.iter().map(|plan| (plan.name.as_str(), &plan.topics[..])).collect();
    let observations = Arc::new(Observations::new(
        instance,
        env!("CARGO_PKG_VERSION"),
        &channels,
        &connections,
        actors.writers.shards,
        lost_records,
    ));
    let started = folders.start(&StartParts {
        keys: &actors.keys,
        writers: &actors.writers,
        is_archived: actors.archive.is_some(),
        connections: plans.len(),
        observations: &observations,
        deaths: &deaths,
        faults: &faults,
        log,
    });
    let Started { shards, lock, archivings } = started.map_err(unusable)?;
    let archive = archive_start::start(actors, archivings, &shards, &observations, (&deaths, &faults), log)?;
    let (archive, fetched) = archive.unzip();
    if lock.is_some()
        && let Err(error) = address.remember(&actors.spool.dir)
    {
        warn!(log, "highest epoch not read"; "error" => %error);
    }
    if let Some(bytes) = redis_start::check(settings, &address, &pool, log).await? {
        observations.redis.forecast_bytes.get_or_init(|| bytes);
    }
    let handshakes = Arc::new(Handshakes::new(observations.rest.limiter(actors.rest.limits)));
    let log = log.clone();
    let handover_log = log.new(o!("component" => "handover"));
    Ok(Service {
        handover: Handover::new(actors, &shards, &address, &observations, handover_log),
        plans,
        address,
        pool,
        shards,
        predecessor,
        archive,
        fetched,
        _spool_lock: lock,
        handshakes,
        observations,
        faults,
        deaths,
        log,
    })
}

impl Service {
    async fn serve(mut self, settings: &Settings, mut signals: Signals) -> Exit {
        let archive = self.archive.take();
        let http = match self.http(&settings.http) {
            Ok(http) => http,
            Err(exit) => return exit,
        };
        let log = self.log.new(o!("component" => "master_watch"));
        // it ends with the process
        drop(actix_rt::spawn(master_watch::watch(self.address.clone(), Arc::clone(&self.observations), log)));
        let lease = match self.lease(settings).await {
            Ok(lease) => lease,
            Err(exit) => return exit,
        };
        let ready = ready::announce(Arc::clone(&self.observations), http.local_addr(), self.log.clone());
        actix_rt::spawn(ready);
        let prefix = &settings.actors.keys.prefix;
        let log = self.log.new(o!("component" => "status_reporter"));
        StatusReporter::new(self.pool.clone(), prefix, lease.role(), Arc::clone(&self.observations), log)
            .start();
        self.start_janitor(&settings.actors, lease.role());

        let turns = LeadershipLoop {
            role: lease.role(),
            observations: Arc::clone(&self.observations),
            deaths: self.deaths.clone(),
            timeout: settings.shutdown_timeout,
            offers: {
                let handover = self.handover.clone();
                Box::new(move || handover.offers())
            },
            log: self.log.clone(),
        };
        let actors = Arc::new(settings.actors.clone());
        let begin = async |gate: LeaseGate| self.begin_term(&actors, gate).await;
        let ProcessEnd { term, reason, exit } = turns.take(begin, &mut signals).await;
        let parts = shutdown::ShutdownParts {
            term,
            lease,
            http: Some(http),
            archive: archive.map(|archive| (archive, self.shards)),
            observations: self.observations,
            timeout: settings.shutdown_timeout,
            log: self.log,
        };
        parts.end(&reason, exit, &mut signals).await
    }

    /// Begins a term as owner: reads the ledger left by the previous owner, then starts the children.
    async fn begin_term(&self, settings: &Arc<ActorSettings>, gate: LeaseGate) -> LeadershipTerm {
        let mut places = ledger_places(settings, self.address.clone());
        places.peers = self.handover.take_over_peers(&gate).await;
        let log = self.log.new(o!("component" => "ledger"));
        let mut recorder =
            ledger::open(places, (&self.plans, &self.shards), gate.clone(), &self.observations, log).await;
        // before anything is received: events of ours make those of former owners late
        recorder.tick(unix_micros()).await;
        let gaps = recorder.tracker.clone();
        let (observations, log) =
            (Arc::clone(&self.observations), self.log.new(o!("component" => "auditor")));
        let remains = Remains::new(self.shards.clone(), gaps.clone());
        let ours = recorder.ours.names().map(str::to_owned).collect();
        let taker = self.handover.taker(&gate, &gaps, ours);
        LeadershipTerm::begin(Ledger::new(recorder).start(), remains, taker, |data, escalations| {
            Auditor::start_in_arbiter(&data, move |_| Auditor::new(observations, log));
            let audit = auditing::start(&self.plans, settings, &gaps, &data, &self.observations, &self.log);
            let tools = Tools { settings: Arc::clone(settings), gate, gaps, audit, data };
            self.supervisor(&tools, escalations)
        })
    }

    async fn lease(&self, settings: &Settings) -> Result<LeaseManager, Exit> {
        let actors = &settings.actors;
        let refuse = |error: &(dyn std::error::Error + 'static)| {
            error!(self.log, "redis refuses the service"; ErrorChain::new(error));
            Exit::BadSettings
        };
        // a pool of its own: the lease must not queue for a connection
        let pool = RedisPool::new(&self.address, &actors.redis).map_err(|error| refuse(&error))?;
        let log = self.log.new(o!("component" => "lease"));
        let observations = Arc::clone(&self.observations);
        let predecessor = self.predecessor.as_deref();
        LeaseManager::start(pool, self.address.clone(), &actors.keys.prefix, predecessor, observations, log)
            .await
            .map_err(|error| refuse(&error))
    }

    /// Starts the janitor if there is an age limit.
    fn start_janitor(&self, settings: &ActorSettings, role: watch::Receiver<Role>) {
        if settings.retention == Retention::Off {
            return;
        }
        let observations = Arc::clone(&self.observations);
        let parts = JanitorParts {
            address: self.address.clone(),
            prefix: settings.keys.prefix.clone(),
            retention: settings.retention,
            may_write: Box::new(move || role.borrow().may_write() && !observations.stopping.load(Relaxed)),
            observations: Arc::clone(&self.observations),
            log: self.log.new(o!("component" => "janitor")),
        };
        Janitor::new(parts).start();
    }

    fn http(&self, settings: &HttpSettings) -> Result<HttpSide, Exit> {
        let log = self.log.new(o!("component" => "http"));
        HttpSide::start(settings, &self.observations, &log).map_err(|error| {
            crit!(self.log, "bad settings"; ErrorChain::new(&error));
            Exit::BadSettings
        })
    }

    fn supervisor(&self, tools: &Tools, escalations: mpsc::Sender<Escalation>) -> Addr<Supervisor> {
        let mut specs: Vec<ChildSpec> = self.shards.iter().map(|shard| self.writer(tools, shard)).collect();
        specs.extend((0..self.plans.len()).map(|position| self.connection(tools, position)));
        if tools.settings.rest.backfill {
            specs.push(self.filler(tools));
        }
        let observations = Arc::clone(&self.observations);
        let (restarts, data) = (tools.settings.restarts, tools.data.clone());
        Supervisor::new(specs, restarts, data, observations, &self.log, escalations).start()
    }

    fn filler(&self, tools: &Tools) -> ChildSpec {
        let log = self.log.new(o!("component" => "filler"));
        let Tools { settings, gate, .. } = tools.clone();
        let (address, shards) = (self.address.clone(), self.shards.clone());
        let observations = Arc::clone(&self.observations);
        let (plans, archive) = (&self.plans, self.fetched.clone());
        filling::spec(FillingParts { plans, settings, address, archive, shards, gate, observations, log })
    }

    fn writer(&self, tools: &Tools, shard: &Shard) -> ChildSpec {
        let name = format!("writer-{}", shard.position);
        let log = self.log.new(o!("component" => "writer", "shard" => shard.position));
        let (faults, child, tools) = (self.faults.clone(), name.clone(), tools.clone());
        let (shard, address) = (shard.clone(), self.address.clone());
        let observations = Arc::clone(&self.observations);
        let start = move |life| {
            let parts = WriterParts {
                shard: shard.clone(),
                address: address.clone(),
                keys: tools.settings.keys.clone(),
                retention: tools.settings.retention,
                gaps: tools.gaps.clone(),
                gate: tools.gate.clone(),
                observations: Arc::clone(&observations),
                faults: faults.for_child(&child),
                log: log.clone(),
            };
            Writer::start_in_arbiter(&tools.data, move |_| Writer::new(parts, life)).recipient()
        };
        ChildSpec { name, stage: STAGE_WRITERS, start: Box::new(start) }
    }

    fn connection(&self, tools: &Tools, position: usize) -> ChildSpec {
        let plan = self.plans[position].clone();
        let name = format!("connection-{}", plan.name);
        let log = self.log.new(o!("component" => "connection", "connection" => plan.name.clone()));
        let (faults, child, tools) = (self.faults.clone(), name.clone(), tools.clone());
        let handshakes = Arc::clone(&self.handshakes);
        let inboxes: Vec<_> = self.shards.iter().map(|shard| Arc::clone(&shard.inbox)).collect();
        let observations = Arc::clone(&self.observations);
        let start = move |life| {
            let parts = ConnectionParts {
                position,
                plan: plan.clone(),
                settings: Arc::clone(&tools.settings),
                handshakes: Arc::clone(&handshakes),
                inboxes: inboxes.clone(),
                book: tools.gaps.clone(),
                audit: tools.audit.clone(),
                observations: Arc::clone(&observations),
                faults: faults.for_child(&child),
                log: log.clone(),
            };
            Connection::start_in_arbiter(&tools.data, move |_| Connection::new(parts, life)).recipient()
        };
        ChildSpec { name, stage: STAGE_CONNECTIONS, start: Box::new(start) }
    }
}

/// The collaborators of a term's children.
#[derive(Clone)]
struct Tools {
    settings: Arc<ActorSettings>,
    /// Permission to write.
    gate: LeaseGate,
    /// Records gaps and losses.
    gaps: GapTracker,
    /// Hands events to the audit, if there is one.
    audit: Option<AuditTap>,
    /// The children's thread.
    data: ArbiterHandle,
}
