//! The forecast of Redis memory logged at startup.

use slog::{Logger, info, warn};
use uw_websocket_actors::forecast::{Forecast, Measured, measure};
use uw_websocket_actors::redis_pool::RedisPool;
use uw_websocket_actors::settings::ActorSettings;

/// The remedy if the settings may require more memory than Redis has.
pub(crate) const ADVICE: &str = "raise maxmemory, or lower REDIS_STREAM_MAXLEN or STREAM_RETENTION";

/// Logs the memory that the settings may require, per channel and in total. `redis` is `None` if Redis is unreachable:
/// the usual sizes then apply. Returns the total in bytes, if bounded.
pub(crate) async fn announce(
    settings: &ActorSettings,
    redis: Option<&RedisPool>,
    log: &Logger,
) -> Option<u64> {
    let measured = match redis {
        Some(pool) => measured(settings, pool).await.unwrap_or_else(|error| {
            warn!(log, "redis not measured"; "error" => error);
            Measured::default()
        }),
        None => Measured::default(),
    };
    let forecast = Forecast::new(&settings.plan, &settings.keys, settings.retention, &measured);
    for channel in &forecast.channels {
        info!(log, "memory forecast"; "channel" => channel.channel.name(), "streams" => channel.streams,
            "cap" => channel.cap, "cap_hours" => channel.cap_hours.map(rounded),
            "entry_bytes" => channel.entry_bytes, "measured" => channel.is_measured,
            "stream_mib" => channel.stream_bytes.map(mebibytes), "mib" => channel.bytes.map(mebibytes));
    }
    info!(log, "memory forecast in all"; "mib" => mebibytes(forecast.bytes), "bounded" => forecast.is_bounded,
        "assumed_symbols" => forecast.is_market, "maxmemory_mib" => limit_of_all(&measured, &forecast).map(mebibytes));
    for (node, limit) in &measured.limits {
        let bytes = forecast.bytes_of(node);
        if *limit < bytes || !forecast.is_bounded {
            warn!(log, "redis may run out of memory"; "node" => Some(node).filter(|node| !node.is_empty()),
                "mib" => mebibytes(bytes), "bounded" => forecast.is_bounded, "maxmemory_mib" => mebibytes(*limit),
                "advice" => ADVICE);
        }
    }
    forecast.is_bounded.then_some(forecast.bytes)
}

/// Returns the sum of `maxmemory` over all nodes; `None` if one has no limit.
fn limit_of_all(measured: &Measured, forecast: &Forecast) -> Option<u64> {
    let nodes = forecast.nodes.len().max(1);
    (measured.limits.len() == nodes).then(|| measured.limits.iter().map(|(_, limit)| limit).sum())
}

/// Queries Redis for its limit and for the size of existing entries.
pub(crate) async fn measured(settings: &ActorSettings, pool: &RedisPool) -> Result<Measured, String> {
    let mut connection = pool.get().await.map_err(|error| error.to_string())?;
    let measured = measure(&mut connection, &settings.keys.prefix, &settings.plan).await;
    let mut measured = measured.map_err(|error| error.to_string())?;
    measured.map = pool.slots();
    Ok(measured)
}

fn mebibytes(bytes: u64) -> f64 {
    rounded(bytes as f64 / f64::from(1 << 20))
}

/// Rounds to one decimal.
fn rounded(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}
