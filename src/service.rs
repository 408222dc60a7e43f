//! The only wiring: observations → mailboxes → supervisor with its children → herald and janitor → HTTP, and then
//! waiting for the end.
//!
//! Threads: the main one runs the supervisor, the herald, the janitor and the signals; one arbiter runs all connections and
//! writers; the HTTP side and the log have their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use actix::prelude::*;
use actix_rt::{Arbiter, ArbiterHandle};
use deadpool_redis::Pool;
use slog::{Logger, crit, error, info, o, warn};
use tokio::sync::mpsc;
use uw_websocket_actors::connection::handshakes::HandshakeLimiter;
use uw_websocket_actors::connection::plan::{self, ConnectionPlan};
use uw_websocket_actors::connection::router::channels_of;
use uw_websocket_actors::connection::{Connection, ConnectionParts};
use uw_websocket_actors::control::{self, CheckError};
use uw_websocket_actors::fault::{FaultPlan, InvalidFault};
use uw_websocket_actors::herald::Herald;
use uw_websocket_actors::janitor::{Janitor, JanitorParts};
use uw_websocket_actors::observation::Observations;
use uw_websocket_actors::settings::{ActorSettings, Retention};
use uw_websocket_actors::supervisor::{ChildSpec, Escalation, Supervisor};
use uw_websocket_actors::tls;
use uw_websocket_actors::writer::mailbox::Mailbox;
use uw_websocket_actors::writer::store::link::Address;
use uw_websocket_actors::writer::{Writer, WriterParts};

use crate::exit::Exit;
use crate::http::HttpSide;
use crate::memory;
use crate::refusal::every_connection_refused;
use crate::settings::Settings;
use crate::shutdown::{self, Signals};

/// Connections end before the writers that they send to.
const STAGE_WRITERS: u8 = 0;
const STAGE_CONNECTIONS: u8 = 1;

/// Runs until a signal ends it, or it gives up. `lost_records` counts log records that were lost.
pub fn run(settings: Settings, log: Logger, lost_records: Arc<AtomicU64>) -> Exit {
    actix_rt::System::new().block_on(async move {
        // before anything is waited for: as process 1 of a container an uncaught signal would be lost
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

/// Everything that can be wrong before anything runs has been checked.
struct Service {
    plans: Vec<ConnectionPlan>,
    address: Address,
    pool: Pool,
    observations: Arc<Observations>,
    faults: FaultPlan,
    log: Logger,
}

async fn prepare(settings: &Settings, log: &Logger, lost_records: Arc<AtomicU64>) -> Result<Service, Exit> {
    let actors = &settings.actors;
    let refuse = |error: &dyn std::fmt::Display| {
        crit!(log, "bad settings"; "error" => %error);
        Exit::BadSettings
    };
    let plans = plan::plan(&actors.plan).map_err(|error| refuse(&error))?;
    let address = Address::new(&actors.redis).map_err(|error| refuse(&error))?;
    let pool = control::pool(&actors.redis).map_err(|error| refuse(&error))?;
    tls::client_config(actors.feed.extra_root_pem.as_deref()).map_err(|error| refuse(&error))?;
    let faults = fault_plan().map_err(|error| refuse(&error))?;

    let channels = channels_of(&actors.plan);
    let connections: Vec<_> = plans.iter().map(|plan| (plan.name.as_str(), &plan.topics[..])).collect();
    let observations = Arc::new(Observations::new(
        instance(),
        env!("CARGO_PKG_VERSION"),
        &channels,
        &connections,
        actors.writers.shards,
        lost_records,
    ));
    let names: Vec<&str> = channels.iter().map(uw_websocket_actors::event::Channel::name).collect();
    info!(log, "service starting"; "version" => env!("CARGO_PKG_VERSION"), "connections" => plans.len(),
        "joins" => plans.iter().map(|plan| plan.topics.len()).sum::<usize>(), "channels" => names.join(","),
        "shards" => actors.writers.shards, "redis" => %address);
    let reachable = match control::check(&address, &actors.keys.prefix, &pool).await {
        Ok(version) => {
            info!(log, "redis answers"; "version" => version);
            Some(&pool)
        }
        Err(CheckError::Unreachable(error)) => {
            warn!(log, "redis not reachable, going on without"; "error" => settings.redactor.redact(&error).as_ref());
            None
        }
        Err(error) => {
            error!(log, "redis refuses the service"; "error" => settings.redactor.redact(&error.to_string()).as_ref());
            return Err(Exit::BadSettings);
        }
    };
    memory::announce(actors, reachable, log).await;
    Ok(Service { plans, address, pool, observations, faults, log: log.clone() })
}

/// Faults on request; only a build for tests has any.
fn fault_plan() -> Result<FaultPlan, InvalidFault> {
    let asked = std::env::var_os("UW_WEBSOCKET_FAULT");
    asked.map_or_else(|| Ok(FaultPlan::default()), |asked| FaultPlan::parse(&asked.to_string_lossy()))
}

/// Names this process: host and process id.
fn instance() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}-{}", host.trim(), std::process::id())
}

impl Service {
    async fn serve(self, settings: &Settings, mut signals: Signals) -> Exit {
        let http = match settings.http.addr.map(|addr| self.http(addr)).transpose() {
            Ok(http) => http,
            Err(exit) => return exit,
        };
        let data = Arbiter::new();
        let (escalations, mut escalated) = mpsc::channel(1);
        let supervisor = self.supervisor(&settings.actors, data.handle(), escalations);
        let prefix = &settings.actors.keys.prefix;
        let log = self.log.new(o!("component" => "herald"));
        Herald::new(self.pool.clone(), prefix, Arc::clone(&self.observations), log).start();
        self.start_janitor(&settings.actors);

        let (reason, exit) = tokio::select! {
            signal = signals.next() => (signal.to_string(), Exit::Clean),
            escalation = escalated.recv() => (gave_up(escalation.as_ref()), Exit::GaveUp),
            refused = every_connection_refused(&self.observations) => {
                crit!(self.log, "every connection was refused"; "refused" => refused);
                ("token refused".into(), Exit::TokenRefused)
            }
        };
        let parts = shutdown::Parts {
            supervisor,
            data,
            http,
            observations: self.observations,
            timeout: settings.shutdown_timeout,
            log: self.log,
        };
        parts.end(&reason, exit, &mut signals).await
    }

    /// Starts what applies the age limit, if there is one.
    fn start_janitor(&self, settings: &ActorSettings) {
        if settings.retention == Retention::Off {
            return;
        }
        let observations = Arc::clone(&self.observations);
        let parts = JanitorParts {
            pool: self.pool.clone(),
            prefix: settings.keys.prefix.clone(),
            retention: settings.retention,
            may_write: Box::new(move || !observations.stopping.load(Relaxed)),
            observations: Arc::clone(&self.observations),
            log: self.log.new(o!("component" => "janitor")),
        };
        Janitor::new(parts).start();
    }

    fn http(&self, addr: std::net::SocketAddr) -> Result<HttpSide, Exit> {
        let log = self.log.new(o!("component" => "http"));
        HttpSide::start(addr, Arc::clone(&self.observations), log).map_err(|error| {
            crit!(self.log, "bad settings"; uw_websocket_actors::error_chain::ErrorChain::new(&error));
            Exit::BadSettings
        })
    }

    fn supervisor(
        &self,
        settings: &ActorSettings,
        data: ArbiterHandle,
        escalations: mpsc::Sender<Escalation>,
    ) -> Addr<Supervisor> {
        let mailboxes: Vec<_> = (0..settings.writers.shards)
            .map(|shard| {
                Mailbox::new(shard, settings.writers.mailbox_capacity, Arc::clone(&self.observations))
            })
            .collect();
        let writers =
            mailboxes.iter().enumerate().map(|(shard, mailbox)| self.writer(settings, shard, mailbox, &data));
        let mut specs: Vec<ChildSpec> = writers.collect();
        let settings = Arc::new(settings.clone());
        let handshakes = Arc::new(HandshakeLimiter::new(settings.feed.handshakes_per_minute));
        specs.extend(
            (0..self.plans.len())
                .map(|position| self.connection(position, &settings, &handshakes, &mailboxes, &data)),
        );
        let observations = Arc::clone(&self.observations);
        Supervisor::new(specs, settings.restarts, data, observations, &self.log, escalations).start()
    }

    fn writer(
        &self,
        settings: &ActorSettings,
        shard: usize,
        mailbox: &Arc<Mailbox>,
        data: &ArbiterHandle,
    ) -> ChildSpec {
        let name = format!("writer-{shard}");
        let log = self.log.new(o!("component" => "writer", "shard" => shard));
        let (faults, child) = (self.faults.clone(), name.clone());
        let (mailbox, address, data) = (Arc::clone(mailbox), self.address.clone(), data.clone());
        let (keys, settings) = (settings.keys.clone(), settings.writers.clone());
        let observations = Arc::clone(&self.observations);
        let start = move |life| {
            let parts = WriterParts {
                shard,
                mailbox: Arc::clone(&mailbox),
                address: address.clone(),
                keys: keys.clone(),
                settings: settings.clone(),
                observations: Arc::clone(&observations),
                faults: faults.for_child(&child),
                log: log.clone(),
            };
            Writer::start_in_arbiter(&data, move |_| Writer::new(parts, life)).recipient()
        };
        ChildSpec { name, stage: STAGE_WRITERS, start: Box::new(start) }
    }

    fn connection(
        &self,
        position: usize,
        settings: &Arc<ActorSettings>,
        handshakes: &Arc<HandshakeLimiter>,
        mailboxes: &[Arc<Mailbox>],
        data: &ArbiterHandle,
    ) -> ChildSpec {
        let plan = self.plans[position].clone();
        let name = format!("connection-{}", plan.name);
        let log = self.log.new(o!("component" => "connection", "connection" => plan.name.clone()));
        let (faults, child) = (self.faults.clone(), name.clone());
        let (settings, handshakes, data) = (Arc::clone(settings), Arc::clone(handshakes), data.clone());
        let (mailboxes, observations) = (mailboxes.to_vec(), Arc::clone(&self.observations));
        let start = move |life| {
            let parts = ConnectionParts {
                position,
                plan: plan.clone(),
                settings: Arc::clone(&settings),
                handshakes: Arc::clone(&handshakes),
                mailboxes: mailboxes.clone(),
                observations: Arc::clone(&observations),
                faults: faults.for_child(&child),
                log: log.clone(),
            };
            Connection::start_in_arbiter(&data, move |_| Connection::new(parts, life)).recipient()
        };
        ChildSpec { name, stage: STAGE_CONNECTIONS, start: Box::new(start) }
    }
}

fn gave_up(escalation: Option<&Escalation>) -> String {
    escalation.map_or_else(|| "the supervisor ended".into(), |escalation| escalation.reason.to_string())
}
