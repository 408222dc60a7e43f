//! The resources derived from the settings: the planned sockets and the addresses of Redis. Nothing is connected yet.

use slog::{Logger, info};
use thiserror::Error;
use uw_websocket_actors::fault::{FaultPlan, InvalidFault};
use uw_websocket_actors::forecast::UsualLoad;
use uw_websocket_actors::ledger::Places;
use uw_websocket_actors::redis_pool::RedisPool;
use uw_websocket_actors::settings::{ActorSettings, SpoolMode};
use uw_websocket_actors::tls::{self, TlsError};
use uw_websocket_actors::writer::store::address::Address;
use uw_websocket_actors::writer::store::link::AddressError;
use uw_websocket_core::plan::{self, ConnectionPlan, PlanError};
use uw_websocket_core::settings::PlanSettings;

/// The sockets and the two kinds of Redis connection.
pub(crate) struct Resources {
    /// The topics of each socket.
    pub(crate) plans: Vec<ConnectionPlan>,
    /// Redis for the writers.
    pub(crate) address: Address,
    /// Redis for everything else.
    pub(crate) pool: RedisPool,
}

/// Unusable settings.
#[derive(Debug, Error)]
pub(crate) enum WaysError {
    /// The topics do not fit on the sockets.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// `REDIS_URL` is unusable.
    #[error(transparent)]
    Redis(#[from] AddressError),
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl Resources {
    /// Derives the resources from the settings.
    pub(crate) fn of(settings: &ActorSettings) -> Result<Resources, WaysError> {
        let plans = plan::plan(&settings.plan)?;
        let address = Address::new(&settings.redis)?;
        let pool = RedisPool::new(&address, &settings.redis)?;
        tls::client_config(settings.feed.extra_root_pem.as_deref())?;
        Ok(Resources { plans, address, pool })
    }
}

/// Returns the locations of the ledger's state.
#[must_use]
pub(crate) fn ledger_places(settings: &ActorSettings, address: Address) -> Places {
    let folder = (settings.spool.mode != SpoolMode::Off).then(|| settings.spool.dir.join("ledger"));
    Places { folder, address, prefix: settings.keys.prefix.clone(), peers: Vec::new() }
}

/// Reads the injected faults; only test builds have any.
pub(crate) fn fault_plan() -> Result<FaultPlan, InvalidFault> {
    let asked = std::env::var_os("UW_WEBSOCKET_FAULT");
    asked.map_or_else(|| Ok(FaultPlan::default()), |asked| FaultPlan::parse(&asked.to_string_lossy()))
}

/// Logs what the sockets will carry beside the targets: channels that are joined for all symbols because their joins do
/// not fit.
pub(crate) fn log_widened(settings: &PlanSettings, plans: &[ConnectionPlan], log: &Logger) {
    for widened in plan::widened(settings) {
        let carries = |plan: &&ConnectionPlan| {
            plan.topics.iter().any(|topic| topic.symbol.is_none() && topic.channel == widened.channel)
        };
        let connection = plans.iter().find(carries).map(|plan| plan.name.as_str());
        let per_s = UsualLoad::of(&widened.channel).map(|usual| usual.market_rate());
        info!(log, "channel joined for all symbols"; "channel" => widened.channel.name(),
            "connection" => connection, "instead_of" => widened.joins, "events_per_s" => per_s);
    }
}
