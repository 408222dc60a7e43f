//! Forecasts the Redis memory that the settings may require, and how long the caps last.
//!
//! When full, a channel's streams take `cap × streams × bytes per entry`; without a cap by count, the entries that the
//! age limit keeps at the usual rate; without either there is no bound. The strike maps and the latest events count as
//! additional entries. Rows fetched for gaps are left out: they are as many as were missed, under the same caps.
//!
//! The rates are those of the busiest ticker (SPY) at the upper end of the range reported by users of the feed, so the
//! forecast is the minimum time that a cap lasts, in hours of trading. The caps of slower tickers last longer.
//!
//! With `TARGET_SYMBOLS=*` the number of symbols is unknown. The vendor lists some 6 000 tickers with options, of which
//! a few hundred trade all day and the others hardly at all: the forecast assumes [`MARKET_SYMBOLS`] full streams.

pub mod archive;
mod measured;
mod nodes;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use uw_websocket_core::event::{Channel, Scope};
use uw_websocket_core::settings::{ChannelChoice, KeySettings, PlanSettings, Retention, Targets};

pub use self::measured::{Measured, measure};
use self::nodes::bytes_of_nodes;
use crate::writer::store::cluster::slots::SlotMap;

/// Number of symbols of the whole market whose streams count as full.
pub const MARKET_SYMBOLS: u64 = 500;

/// Rate of the whole market as a multiple of the busiest ticker's: ten million option trades per session are 430 per
/// second, 80 of them of SPY.
const MARKET_RATE: f64 = 6.0;

/// A trading session.
const SESSION: Duration = Duration::from_secs(6 * 3_600 + 1_800);

/// Bytes per entry of a channel whose size is not known: the vendor's rows have at most a kilobyte, except for alerts.
const UNKNOWN_BYTES: u64 = 1_024;

/// Usual figures of a channel.
#[derive(Clone, Copy, Debug)]
pub struct UsualLoad {
    /// Entries per second of the busiest stream during a session.
    pub rate: f64,
    /// Bytes of Redis memory per entry, by `MEMORY USAGE`: measured with Redis 7.0 and payloads of the usual size.
    pub bytes: u64,
    /// Size of the hashes that accompany a stream, in entries: the latest event, and the channel's map.
    pub cells: u64,
}

impl UsualLoad {
    /// Returns the usual figures of a channel, if known.
    #[must_use]
    pub fn of(channel: &Channel) -> Option<UsualLoad> {
        let usual = channel.spec()?.usual?;
        Some(UsualLoad {
            rate: usual.rate,
            bytes: usual.entry_bytes,
            cells: 1 + channel.frame().map_entries(),
        })
    }

    /// Returns the entries per second of all symbols together during a session.
    #[must_use]
    pub fn market_rate(&self) -> f64 {
        self.rate * MARKET_RATE
    }
}

/// The forecast of a channel.
#[derive(Clone, Debug, PartialEq)]
pub struct ChannelForecast {
    /// The channel.
    pub channel: Channel,
    /// The number of streams; with `*` the assumed number of full ones.
    pub streams: u64,
    /// The cap of each stream by count; `0` means none.
    pub cap: u64,
    /// Bytes of Redis memory per entry.
    pub entry_bytes: u64,
    /// Whether `entry_bytes` were measured in this Redis or are the usual ones.
    pub is_measured: bool,
    /// Average bytes of one stream and its hashes; `None` if unbounded.
    pub stream_bytes: Option<u64>,
    /// Bytes of all streams and their hashes; `None` if unbounded.
    pub bytes: Option<u64>,
    /// Hours of trading for which the cap of the busiest stream lasts; `None` without a cap or a usual rate.
    pub cap_hours: Option<f64>,
}

/// The forecast of all channels.
#[derive(Clone, Debug, PartialEq)]
pub struct Forecast {
    /// The channels, in the order of the settings.
    pub channels: Vec<ChannelForecast>,
    /// Bytes of the bounded channels.
    pub bytes: u64,
    /// Bytes that each master of a cluster may have to hold, by its name; a single server holds all and has none.
    pub nodes: BTreeMap<String, u64>,
    /// Whether all channels are bounded.
    pub is_bounded: bool,
    /// Whether the number of symbols is assumed (`*`) rather than counted.
    pub is_market: bool,
    /// Hours of trading that the age limit keeps; `None` without a limit.
    pub kept_hours: Option<f64>,
}

impl Forecast {
    /// Forecasts the memory for the settings, with measured bytes per entry where available.
    #[must_use]
    pub fn new(
        plan: &PlanSettings,
        keys: &KeySettings,
        retention: Retention,
        measured: &Measured,
    ) -> Forecast {
        let channels: Vec<_> = uw_websocket_core::routing::channels_of(plan)
            .into_iter()
            .map(|channel| ChannelForecast::new(channel, plan, keys, retention, measured))
            .collect();
        let bytes = channels.iter().filter_map(|channel| channel.bytes).fold(0, u64::saturating_add);
        let of_nodes = |map: &Arc<SlotMap>| {
            let channels: Vec<_> =
                channels.iter().map(|of| (&of.channel, of.bytes, of.stream_bytes)).collect();
            bytes_of_nodes(&channels, plan, &keys.prefix, map)
        };
        Forecast {
            nodes: measured.map.as_ref().map(of_nodes).unwrap_or_default(),
            bytes,
            is_bounded: channels.iter().all(|channel| channel.bytes.is_some()),
            is_market: plan.targets == Targets::WholeMarket,
            kept_hours: kept_trading(retention).map(|kept| kept.as_secs_f64() / 3_600.0),
            channels,
        }
    }

    /// Returns the bytes that a node may have to hold; a single server has no name.
    #[must_use]
    pub fn bytes_of(&self, node: &str) -> u64 {
        if self.nodes.is_empty() { self.bytes } else { self.nodes.get(node).copied().unwrap_or_default() }
    }
}

impl ChannelForecast {
    /// Returns the cap with which the busiest stream would last for this many hours of trading, if its own lasts for
    /// less.
    #[must_use]
    pub fn cap_needed(&self, hours: f64) -> Option<u64> {
        let lasts = self.cap_hours.filter(|lasts| *lasts < hours)?;
        // the estimate is accurate to a few digits
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
        let thousands = (self.cap as f64 * hours / lasts / 1_000.0).ceil() as u64;
        Some(thousands.saturating_mul(1_000))
    }

    fn new(
        channel: Channel,
        plan: &PlanSettings,
        keys: &KeySettings,
        retention: Retention,
        measured: &Measured,
    ) -> ChannelForecast {
        let usual = UsualLoad::of(&channel);
        let streams = Streams::of(&channel, plan);
        let cap = keys.maxlen_of(&channel);
        let own = measured.bytes_of(&channel);
        let entry_bytes = own.or(usual.map(|usual| usual.bytes)).unwrap_or(UNKNOWN_BYTES);
        let entries = match (keys.streams, cap) {
            (false, _) => Some(0),
            (true, 0) => usual.zip(kept_trading(retention)).map(|(usual, kept)| {
                // the estimate is accurate to a few digits
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
                let entries = (usual.rate * streams.busiest * kept.as_secs_f64()).ceil() as u64;
                entries
            }),
            (true, cap) => Some(cap.saturating_mul(streams.count)),
        };
        let cells = if keys.snapshots { usual.map_or(1, |usual| usual.cells) } else { 0 };
        let bytes = entries.map(|entries| {
            entries.saturating_add(cells.saturating_mul(streams.count)).saturating_mul(entry_bytes)
        });
        ChannelForecast {
            streams: streams.count,
            cap,
            entry_bytes,
            is_measured: own.is_some(),
            stream_bytes: bytes.map(|bytes| bytes / streams.count.max(1)),
            bytes,
            cap_hours: usual
                .filter(|_| cap > 0 && keys.streams)
                .map(|usual| cap as f64 / usual.rate / 3_600.0),
            channel,
        }
    }
}

/// The streams of a channel.
#[derive(Debug, PartialEq)]
struct Streams {
    count: u64,
    /// Entries of all streams as a multiple of the busiest one's.
    busiest: f64,
}

impl Streams {
    fn of(channel: &Channel, plan: &PlanSettings) -> Streams {
        let symbols = match &plan.targets {
            Targets::WholeMarket => MARKET_SYMBOLS,
            Targets::Symbols(symbols) => {
                symbols.iter().filter(|symbol| channel.exists_for(symbol.as_str())).count() as u64
            }
        };
        let symbols = match channel.spec().map_or(0, |spec| spec.tickers.len() as u64) {
            0 => symbols,
            tickers => symbols.min(tickers),
        };
        let mut streams = Streams { count: 0, busiest: 0.0 };
        for choice in &plan.channels {
            let (count, busiest) = match choice {
                ChannelChoice::Topic(topic) if topic.channel == *channel => (1, 1.0),
                // the full stream has every event, and the streams of the symbols have each at most once more
                ChannelChoice::Channel(chosen) if chosen == channel && chosen.scope() == Scope::Global => {
                    (1 + symbols, 2.0)
                }
                ChannelChoice::Channel(chosen) if chosen == channel => match plan.targets {
                    Targets::WholeMarket => (symbols, MARKET_RATE),
                    Targets::Symbols(_) => (symbols, symbols as f64),
                },
                _ => (0, 0.0),
            };
            streams.count += count;
            streams.busiest += busiest;
        }
        streams
    }
}

/// Returns the maximum trading time that the age limit keeps; `None` without a limit.
fn kept_trading(retention: Retention) -> Option<Duration> {
    match retention {
        Retention::Off => None,
        // the completed sessions, and all of the current one
        Retention::Sessions(before_present) => {
            Some(SESSION * u32::try_from(before_present).ok()?.checked_add(1)?)
        }
        Retention::Span(span) => {
            let day = Duration::from_secs(86_400);
            let days = u32::try_from(span.as_secs() / day.as_secs()).ok()?;
            Some(SESSION * days + span.saturating_sub(day * days).min(SESSION))
        }
    }
}

#[cfg(test)]
mod tests;
