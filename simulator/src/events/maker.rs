//! Makes the events of one channel and symbol, and reads their numbers back.

use jiff::civil::Weekday;
use jiff::{ToSpan as _, tz::TimeZone};
use serde::de::IgnoredAny;
use uw_websocket_core::event::Topic;

use super::alter::alter;
use super::moment::Moment;
use super::patch::{CUMULATIVE_BASE, Patch, PatchedPayload, Values, value_of};
use super::samples::{Sample, TICKER};
use crate::misbehaviour::Alteration;

/// State shared by the events of all topics.
#[derive(Debug)]
pub(crate) struct Scene {
    moment: Moment,
    /// Dates of the coming Fridays.
    expiries: Vec<String>,
    stamp: bool,
}

/// Expiries of an active ticker.
const EXPIRIES: i64 = 42;

impl Scene {
    /// Starts at a time in Unix microseconds, or now. With `stamp`, every event has the field `sent_us`.
    pub(crate) fn new(stamp: bool, at_us: Option<u64>) -> Scene {
        let moment = Moment::now(at_us);
        let today = moment.timestamp().to_zoned(TimeZone::UTC).date();
        let friday = today.nth_weekday(1, Weekday::Friday).unwrap_or(today);
        let week = |n: i64| friday.saturating_add((7 * n).days()).to_string();
        Scene { moment, expiries: (0..EXPIRIES).map(week).collect(), stamp }
    }

    /// Updates the time of the next events.
    pub(crate) fn refresh(&mut self) {
        self.moment.refresh();
    }

    /// Returns the time of the next events in Unix microseconds.
    pub(crate) fn unix_us(&self) -> u64 {
        self.moment.unix_us
    }

    /// Prepares a payload of the sample for rendering.
    fn patched(&self, sample: &Sample, mut payload: String) -> PatchedPayload {
        if self.stamp && payload.pop().is_some() {
            payload.push_str(r#","sent_us":1000000000000000}"#);
        }
        let varying = sample.varying.iter().copied();
        PatchedPayload::new(payload, varying.chain([sample.number, ("sent_us", Patch::Micros)]))
    }
}

/// Makes the events of one channel and symbol.
#[derive(Debug)]
pub(crate) struct EventMaker {
    sample: &'static Sample,
    /// The sample's payload with the symbol in place of the sample's ticker.
    payload: String,
    usual: PatchedPayload,
    /// Used in place of `usual` for every n-th event.
    altered: Vec<(u64, PatchedPayload)>,
    /// Which of `altered` the latest event came from.
    latest: Option<usize>,
    made: u64,
    traded: u64,
}

impl EventMaker {
    /// Creates a maker; `symbol` is empty for a channel without symbols.
    pub(crate) fn new(channel: &str, symbol: &str, scene: &Scene) -> EventMaker {
        let sample = Sample::of(channel);
        let payload = sample.payload.replace(TICKER, symbol);
        let usual = scene.patched(sample, payload.clone());
        EventMaker { sample, payload, usual, altered: Vec::new(), latest: None, made: 0, traded: 0 }
    }

    /// Sets the alterations, each with its period in events.
    pub(crate) fn alter(&mut self, alterations: &[(Alteration, u64)], scene: &Scene) {
        let altered = |(alteration, every): &(Alteration, u64)| {
            let payload = alter(self.sample, &self.payload, *alteration)?;
            Some((*every, scene.patched(self.sample, payload)))
        };
        self.altered = alterations.iter().filter_map(altered).collect();
        self.latest = None;
    }

    /// Number of events made.
    pub(crate) fn made(&self) -> u64 {
        self.made
    }

    /// Makes an event; `chance` decides what is random in it.
    #[inline]
    pub(crate) fn make(&mut self, number: u64, chance: u64, scene: &Scene) -> &[u8] {
        self.made += 1;
        self.latest = self.altered.iter().position(|(every, _)| self.made.is_multiple_of(*every));
        self.amend(number, chance, scene)
    }

    /// Makes the latest event again: with the same number, other contents come from `chance`.
    #[inline]
    pub(crate) fn amend(&mut self, number: u64, chance: u64, scene: &Scene) -> &[u8] {
        let size = 20 + chance % 80;
        self.traded += size;
        let payload = match self.latest {
            None => &mut self.usual,
            Some(index) => &mut self.altered[index].1,
        };
        payload.render(&Values {
            number,
            moment: &scene.moment,
            expiries: &scene.expiries,
            size,
            traded: self.traded,
            row: self.made,
            chance,
        })
    }

    /// The latest event.
    pub(crate) fn latest(&self) -> &[u8] {
        self.latest.map_or(&self.usual, |index| &self.altered[index].1).bytes()
    }
}

/// Reads the number of an event that a simulator made, from its channel or topic and its payload. Numbers start at 1 and rise
/// by 1 with every event of a simulator, over all channels. Returns `None` for any other event.
#[must_use]
pub fn event_number(topic: &str, payload: &[u8]) -> Option<u64> {
    let channel = Topic::split(topic).0;
    serde_json::from_slice::<IgnoredAny>(payload).ok()?;
    let payload = std::str::from_utf8(payload).ok()?;
    let (field, patch) = Sample::of(channel).number;
    let value = payload.get(value_of(payload, field)?)?.trim_matches('"');
    match patch {
        Patch::NumberHex => u64::from_str_radix(last_twelve(value)?, 16).ok(),
        Patch::Cumulative => value.parse::<u64>().ok()?.checked_sub(CUMULATIVE_BASE),
        _ => last_twelve(value)?.parse().ok(),
    }
}

fn last_twelve(text: &str) -> Option<&str> {
    text.get(text.len().checked_sub(12)?..)
}
