//! Measures the memory of entries in the actual Redis.

use std::sync::Arc;

use deadpool_redis::redis::{self, RedisResult};

use uw_websocket_core::event::{Channel, Scope, Symbol};
use uw_websocket_core::settings::{PlanSettings, Targets};

use crate::cluster_pool::PooledConnection;
use crate::writer::store::cluster::slots::SlotMap;

/// Number of symbols whose streams are measured: the first ones of the settings, or the busiest tickers of the market.
const SYMBOLS: usize = 3;
const BUSIEST: [&str; SYMBOLS] = ["SPY", "QQQ", "IWM"];

/// Minimum number of entries for a meaningful measurement: the last node of a stream is larger than its content.
const ENOUGH_ENTRIES: u64 = 1_000;

/// Nodes that Redis samples to estimate the memory of a stream, in some microseconds.
const SAMPLES: u32 = 20;

/// Measurements of this Redis.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    /// The slots of a cluster, if it is one.
    pub map: Option<Arc<SlotMap>>,
    /// `maxmemory` of each node that has a limit, by its name; a single server has no name.
    pub limits: Vec<(String, u64)>,
    entry_bytes: Vec<(Channel, u64)>,
}

impl Measured {
    /// Returns the bytes per entry of a channel, if enough entries existed.
    #[must_use]
    pub fn bytes_of(&self, channel: &Channel) -> Option<u64> {
        self.entry_bytes.iter().find(|(known, _)| known == channel).map(|(_, bytes)| *bytes)
    }

    /// Notes the number of entries in a channel's streams and their bytes.
    pub(super) fn note(&mut self, channel: Channel, entries: u64, bytes: u64) {
        if entries >= ENOUGH_ENTRIES {
            self.entry_bytes.push((channel, bytes / entries));
        }
    }
}

/// Queries Redis for its limit and for the size of streams left by an earlier run. Anything it refuses to report counts
/// as unknown.
pub async fn measure(
    connection: &mut PooledConnection,
    prefix: &str,
    plan: &PlanSettings,
) -> RedisResult<Measured> {
    let mut measured = Measured { limits: limits(connection).await?, ..Measured::default() };
    for channel in uw_websocket_core::routing::channels_of(plan) {
        let streams = streams(prefix, &channel, &plan.targets);
        let mut asked = redis::pipe();
        asked.ignore_errors();
        for stream in &streams {
            asked.cmd("XLEN").arg(stream);
            asked.cmd("MEMORY").arg("USAGE").arg(stream).arg("SAMPLES").arg(SAMPLES);
        }
        let answers: Vec<redis::Value> = asked.query_async(connection).await?;
        let numbers = answers.chunks_exact(2).filter_map(|pair| match pair {
            [redis::Value::Int(entries), redis::Value::Int(bytes)] => {
                Some((u64::try_from(*entries).ok()?, u64::try_from(*bytes).ok()?))
            }
            _ => None,
        });
        // a short stream would distort the mean
        let long = numbers.filter(|(entries, _)| *entries >= ENOUGH_ENTRIES);
        let (entries, bytes) = long.fold((0, 0), |(entries, bytes), (e, b)| (entries + e, bytes + b));
        measured.note(channel, entries, bytes);
    }
    Ok(measured)
}

/// Returns `maxmemory` from `INFO`, which may be permitted where `CONFIG` is not.
async fn limits(connection: &mut PooledConnection) -> RedisResult<Vec<(String, u64)>> {
    let nodes = match connection.of_each_node(&[&["INFO", "memory"]]).await {
        Ok(nodes) => nodes,
        Err(error) if error.code() == Some("NOPERM") => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let limit = |(node, memory): (String, Vec<String>)| {
        let limit = memory.first()?.lines().find_map(|line| line.strip_prefix("maxmemory:"))?;
        Some((node, limit.trim().parse().ok().filter(|limit| *limit > 0)?))
    };
    Ok(nodes.into_iter().filter_map(limit).collect())
}

fn streams(prefix: &str, channel: &Channel, targets: &Targets) -> Vec<String> {
    let symbols: Vec<&str> = match targets {
        Targets::WholeMarket => BUSIEST.to_vec(),
        Targets::Symbols(symbols) => symbols.iter().take(SYMBOLS).map(Symbol::as_str).collect(),
    };
    let full = (channel.scope() == Scope::Global).then(|| format!("{prefix}:ws:{channel}"));
    full.into_iter().chain(symbols.iter().map(|symbol| format!("{prefix}:ws:{channel}:{symbol}"))).collect()
}
