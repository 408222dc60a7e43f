//! What the settings lead to: which sockets there are to be, and where Redis is. Nothing is connected yet.

use deadpool_redis::Pool;
use thiserror::Error;
use uw_websocket_actors::redis_pool;
use uw_websocket_actors::settings::ActorSettings;
use uw_websocket_actors::tls::{self, TlsError};
use uw_websocket_actors::writer::store::link::{Address, AddressError};
use uw_websocket_core::plan::{self, ConnectionPlan, PlanError};

/// The sockets and the two ways to Redis.
pub(crate) struct Resources {
    /// Which socket joins what.
    pub(crate) plans: Vec<ConnectionPlan>,
    /// Redis for the writers.
    pub(crate) address: Address,
    /// Redis for everything else.
    pub(crate) pool: Pool,
}

/// The settings lead nowhere.
#[derive(Debug, Error)]
pub(crate) enum WaysError {
    /// What is to be joined does not fit.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// `REDIS_URL` is of no use.
    #[error(transparent)]
    Redis(#[from] AddressError),
    /// No TLS can be spoken.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl Resources {
    /// Reads them from the settings.
    pub(crate) fn of(settings: &ActorSettings) -> Result<Resources, WaysError> {
        let plans = plan::plan(&settings.plan)?;
        let address = Address::new(&settings.redis)?;
        let pool = redis_pool::pool(&settings.redis)?;
        tls::client_config(settings.feed.extra_root_pem.as_deref())?;
        Ok(Resources { plans, address, pool })
    }
}
