//! The source of the status: the observations and their history.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use uw_websocket_actors::observation::Observations;
use uw_websocket_actors::sync::lock;
use uw_websocket_actors::wall_clock::unix_micros;

use super::history::{Counts, History};
use super::last_minute::LastMinute;
use super::snapshot::Snapshot;
use super::status::Status;
use crate::escape;

/// Renders the status.
#[derive(Debug)]
pub(super) struct Source {
    observations: Arc<Observations>,
    history: Mutex<History>,
    latencies: Mutex<LastMinute>,
}

impl Source {
    /// Creates a source whose rates begin at `now`.
    pub(super) fn new(observations: Arc<Observations>, now: Instant) -> Source {
        let history = Mutex::new(History::new(Counts::read(&observations, now)));
        let latencies = Mutex::new(LastMinute::new(now, observations.writers.len()));
        Source { observations, history, latencies }
    }

    /// Records the counts for rates and latencies; to be called about once per second.
    pub(super) fn note(&self, now: Instant) {
        lock(&self.history).note(Counts::read(&self.observations, now));
        lock(&self.latencies).note(&self.observations, now);
    }

    /// Renders the current status as JSON on one line.
    pub(super) fn json(&self) -> serde_json::Result<Vec<u8>> {
        let (history, latencies) = (lock(&self.history), lock(&self.latencies));
        let snapshot = Snapshot::take(&self.observations, unix_micros());
        escape::json(&Status::of(&snapshot, &history, &latencies)).map(String::into_bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use uw_websocket_core::event::{Channel, Symbol, Topic};

    use super::*;
    use crate::http::history::{KEPT, STEP};

    /// The default settings: seven channels, five connections, three symbols, two shards; all rates known.
    fn full_source() -> Source {
        let [flow, news] = [Channel::parse("flow-alerts").unwrap(), Channel::parse("news").unwrap()];
        let steady = [
            Channel::parse("option_trades").unwrap(),
            Channel::parse("price").unwrap(),
            Channel::parse("gex").unwrap(),
            Channel::parse("gex_strike").unwrap(),
            Channel::parse("gex_strike_expiry").unwrap(),
        ];
        let of_symbols = |channel: &Channel| {
            ["SPY", "QQQ", "IWM"].map(|symbol| Topic {
                channel: channel.clone(),
                symbol: Some(Symbol::parse(symbol).unwrap()),
            })
        };
        let global = |channel: &Channel| Topic { channel: channel.clone(), symbol: None };
        let gex: Vec<_> = steady[2..].iter().flat_map(of_symbols).collect();
        let plan = [
            ("flow", &[global(&flow)][..]),
            ("trades", &of_symbols(&steady[0])[..]),
            ("prices", &of_symbols(&steady[1])[..]),
            ("gex", &gex[..]),
            ("news", &[global(&news)][..]),
        ];
        let channels: Vec<_> = [flow, news].into_iter().chain(steady.clone()).collect();
        let observations =
            Observations::new("host-1-77-0a1b2c3d".into(), "1", &channels, &plan, 2, Arc::default());
        let observations = Arc::new(observations);
        let began = Instant::now();
        let source = Source::new(Arc::clone(&observations), began);
        for step in 1..=u32::try_from(KEPT).unwrap() {
            for (n, channel) in (1..).zip(&observations.channels) {
                channel.received.add(n * 97 + u64::from(step));
            }
            source.note(began + STEP * step);
        }
        source
    }

    #[test]
    fn a_full_status_is_one_short_line() {
        let status = full_source().json().unwrap();
        assert!(!status.contains(&b'\n'), "a line break would end the data of an event");
        assert!((8_000..20_000).contains(&status.len()), "{} bytes", status.len());
    }

    /// `cargo test --release --lib -- --ignored --nocapture what_a_status_costs`
    #[test]
    #[ignore = "a measurement"]
    fn what_a_status_costs() {
        let source = full_source();
        let began = Instant::now();
        let mut bytes = 0;
        let times = 2_000;
        for _ in 0..times {
            bytes = source.json().unwrap().len();
        }
        let each: Duration = began.elapsed() / times;
        println!("{bytes} bytes in {each:?}");
    }
}
