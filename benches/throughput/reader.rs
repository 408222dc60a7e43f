//! A reader that notes when each event is visible in Redis.
//!
//! The feed writes into every event when it sent it. The reader blocks in `XREAD` on all streams over a connection of
//! its own and takes the clock as soon as a reply is there. What it measures is therefore the way feed → client →
//! Redis → reader, of which the last step (a wake-up and the reply, some 50 µs) is the same for all clients.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use deadpool_redis::redis::{Connection, Value, cmd};
use serde::Serialize;

use crate::failure::Failure;
use crate::patience::check_interrupted;
use crate::process::Running;
use crate::redis::entry;

/// How long one `XREAD` blocks: a signal is seen that often.
const BLOCK_MS: u32 = 200;
/// A client that stores nothing for so long will not store the rest.
const STALL_PATIENCE: Duration = Duration::from_secs(20);

/// Delays, in milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
#[allow(clippy::struct_field_names, reason = "the names of the report state their unit")]
pub(crate) struct Quantiles {
    /// Half of the events were faster.
    pub(crate) p50_ms: f64,
    /// Of 100 events 99 were faster.
    pub(crate) p99_ms: f64,
    /// The slowest.
    pub(crate) max_ms: f64,
}

impl Quantiles {
    /// Of delays in microseconds.
    pub(crate) fn of(mut delays_us: Vec<u64>) -> Quantiles {
        delays_us.sort_unstable();
        let quantile_ms = |percent: usize| {
            let rank = (delays_us.len() * percent).div_ceil(100).saturating_sub(1);
            delays_us.get(rank).copied().unwrap_or_default() as f64 / 1e3
        };
        Quantiles { p50_ms: quantile_ms(50), p99_ms: quantile_ms(99), max_ms: quantile_ms(100) }
    }
}

/// How long one event was on its way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delay {
    /// When a reader saw it, in Unix microseconds.
    pub(crate) seen_us: u64,
    /// Since it was sent, in microseconds.
    pub(crate) us: u64,
}

/// The wall clock, in Unix microseconds.
pub(crate) fn unix_us() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_micros()).unwrap_or(u64::MAX)
}

/// Follows all streams from their beginning.
pub(crate) struct Reader {
    connection: Connection,
    streams: Vec<String>,
    last_ids: Vec<String>,
}

impl Reader {
    /// Over a connection of its own.
    pub(crate) fn new(connection: Connection, topics: &[String]) -> Reader {
        Reader::of_prefix(connection, "uw", topics)
    }

    /// Of a service with this `KEY_PREFIX`.
    pub(crate) fn of_prefix(connection: Connection, prefix: &str, topics: &[String]) -> Reader {
        let streams: Vec<_> = topics.iter().map(|topic| format!("{prefix}:ws:{topic}")).collect();
        let last_ids = vec!["0-0".to_owned(); streams.len()];
        Reader { connection, streams, last_ids }
    }

    /// Reads until there were `events`; gives the delay of each in microseconds.
    pub(crate) fn read_all(&mut self, events: usize, client: &mut Running) -> Result<Vec<u64>, Failure> {
        let mut delays: Vec<Delay> = Vec::with_capacity(events);
        let mut progress = Instant::now();
        while delays.len() < events {
            check_interrupted()?;
            client.check_alive()?;
            let before = delays.len();
            self.read(&mut delays)?;
            if delays.len() > before {
                progress = Instant::now();
            } else if progress.elapsed() > STALL_PATIENCE {
                let waiting_for = format!("{before} of {events} events arrived and no more come");
                return Err(Failure::TooLate { waiting_for, seconds: STALL_PATIENCE.as_secs() });
            }
        }
        Ok(delays.into_iter().map(|delay| delay.us).collect())
    }

    /// Reads until it is over.
    pub(crate) fn read_until(&mut self, is_over: impl Fn() -> bool) -> Result<Vec<Delay>, Failure> {
        let mut delays = Vec::new();
        while !is_over() {
            self.read(&mut delays)?;
        }
        Ok(delays)
    }

    /// Waits for one reply, at most [`BLOCK_MS`].
    fn read(&mut self, delays: &mut Vec<Delay>) -> Result<(), Failure> {
        let mut xread = cmd("XREAD");
        xread.arg("BLOCK").arg(BLOCK_MS).arg("STREAMS").arg(&self.streams).arg(&self.last_ids);
        let reply = xread.query::<Value>(&mut self.connection)?;
        let now_us = unix_us();
        let Value::Array(streams) = reply else { return Ok(()) };
        for stream in streams {
            self.note(stream, now_us, delays).ok_or_else(|| unreadable("an entry without `sent_us`"))?;
        }
        Ok(())
    }

    /// Reads `[stream, [entry, …]]`.
    fn note(&mut self, stream: Value, now_us: u64, delays: &mut Vec<Delay>) -> Option<()> {
        let Value::Array(parts) = stream else { return None };
        let [Value::BulkString(name), Value::Array(entries)] = <[Value; 2]>::try_from(parts).ok()? else {
            return None;
        };
        let position = self.streams.iter().position(|stream| stream.as_bytes() == name)?;
        for value in entries {
            let entry = entry(value)?;
            delays.push(Delay { seen_us: now_us, us: now_us.saturating_sub(sent_us(&entry.payload)?) });
            self.last_ids[position] = entry.id;
        }
        Some(())
    }
}

/// The number after `"sent_us":`, which stands at the end of a payload.
fn sent_us(payload: &[u8]) -> Option<u64> {
    const NAME: &[u8] = b"\"sent_us\":";
    let start = payload.windows(NAME.len()).rposition(|bytes| bytes == NAME)? + NAME.len();
    let digits = payload[start..].iter().take_while(|b| b.is_ascii_digit());
    Some(digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}

fn unreadable(what: &str) -> Failure {
    Failure::WrongResult(what.to_owned())
}
