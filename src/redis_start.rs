//! Redis at startup.

use slog::{Logger, error, info, warn};
use uw_websocket_actors::redis_pool::{self, CheckError, RedisPool};
use uw_websocket_actors::writer::store::address::Address;

use crate::exit::Exit;
use crate::memory;
use crate::settings::Settings;

/// Checks Redis once. The service waits for an unavailable Redis, but not for one that refuses access. Returns the
/// memory that the settings may require, in bytes.
pub(crate) async fn check(
    settings: &Settings,
    address: &Address,
    pool: &RedisPool,
    log: &Logger,
) -> Result<Option<u64>, Exit> {
    let reachable = match redis_pool::check(address, &settings.actors.keys.prefix, pool).await {
        Ok(version) => {
            info!(log, "redis answers"; "version" => version);
            Some(pool)
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
    Ok(memory::announce(&settings.actors, reachable, log).await)
}
