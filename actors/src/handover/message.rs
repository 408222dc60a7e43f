//! The value of the slot: a line for scripts, then the content as JSON.

use std::collections::BTreeSet;
use std::sync::Arc;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use uw_websocket_core::event::{EntryId, Event, Symbol};
use uw_websocket_core::spool::Record;

use crate::observation::Observations;

/// Maximum size of a value that is read: a payload of 4 MiB in base64, and a batch of others.
pub const MAX_VALUE: usize = 16 * 1024 * 1024;
/// Maximum number of events: more than any batch has.
const MAX_EVENTS: usize = 65_536;
/// Maximum length of a name, as of those in the ledger.
const MAX_NAME: usize = 256;

/// An unusable value.
#[derive(Debug, Error)]
pub enum MessageError {
    /// Not written by a service.
    #[error("{0}")]
    Foreign(&'static str),
    /// The content is damaged.
    #[error("the content cannot be read")]
    Json(#[from] serde_json::Error),
}

/// The first line of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The instance that offers.
    pub from: String,
    /// Identifies the batch: its first ID, the time of receipt, its length.
    pub batch: String,
    /// Whether it is the receipt.
    pub is_receipt: bool,
}

impl Head {
    /// Returns the line of the offer, without its end.
    #[must_use]
    pub fn offered(&self) -> String {
        format!("{} {} offered", self.from, self.batch)
    }

    /// Returns the line of the receipt, without its end.
    #[must_use]
    pub fn receipt(&self) -> String {
        format!("{} {} stored", self.from, self.batch)
    }

    /// Reads the line at the front of a value.
    pub fn of(value: &str) -> Result<(Head, &str), MessageError> {
        let (line, rest) = value.split_once('\n').unwrap_or((value, ""));
        let words: Vec<&str> = line.splitn(3, ' ').collect();
        let [from, batch, state] = words[..] else {
            return Err(MessageError::Foreign("its first line names no batch"));
        };
        if from.len() > MAX_NAME || batch.len() > MAX_NAME {
            return Err(MessageError::Foreign("its names are longer than ours"));
        }
        let is_receipt = match state {
            "offered" => false,
            "stored" => true,
            _ => return Err(MessageError::Foreign("its first line has no state")),
        };
        Ok((Head { from: from.to_owned(), batch: batch.to_owned(), is_receipt }, rest))
    }
}

/// A batch of late events.
#[derive(Debug, Serialize, Deserialize)]
pub struct OfferedBatch {
    /// The last owner on the disk of the events, which the owner waits for under this name.
    pub queue: String,
    /// Time at which that one last held the lease, in Unix microseconds.
    pub since: u64,
    /// Whether nothing else is on its disk.
    pub is_last: bool,
    /// The events, in order.
    pub events: Vec<OfferedEvent>,
}

/// An event on its way to the owner.
#[derive(Debug, Serialize, Deserialize)]
pub struct OfferedEvent {
    channel: String,
    received_us: u64,
    /// Symbol and ID of each stream; no symbol is the channel's full stream.
    streams: Vec<(Option<String>, String)>,
    /// The payload in base64: byte for byte as received, whatever it is.
    payload: String,
}

/// The answer of the owner.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct OwnerReceipt {
    /// Indexes of events that were stored already, as received by another instance.
    pub doubles: BTreeSet<usize>,
    /// Indexes of events that the owner stores under IDs of its own and archives; empty if it has no archive.
    #[serde(default)]
    pub archived: BTreeSet<usize>,
    /// Why the owner cannot store the batch; it stays on the disk of the stand-by.
    pub refusal: Option<String>,
}

impl OfferedEvent {
    /// Describes an event.
    #[must_use]
    pub fn of(event: &Event, observations: &Observations) -> OfferedEvent {
        let streams = event.route.destinations.iter().zip(event.ids.as_slice());
        OfferedEvent {
            channel: observations.channel(event.route.channel).channel.name().to_owned(),
            received_us: event.received_us,
            streams: streams
                .map(|(destination, id)| {
                    (destination.symbol.as_ref().map(ToString::to_string), id.to_string())
                })
                .collect(),
            payload: BASE64_STANDARD.encode(&event.payload),
        }
    }

    /// Returns the event as the record with this number.
    pub fn record(&self, seq: u64) -> Result<Record, MessageError> {
        let symbol = |symbol: &Option<String>| symbol.as_deref().map(Symbol::parse).transpose().ok();
        let streams =
            self.streams.iter().map(|(name, id)| Some((symbol(name)?, id.parse::<EntryId>().ok()?)));
        let destinations: Option<Vec<_>> = streams.collect();
        Ok(Record {
            seq,
            received_us: self.received_us,
            channel: Arc::from(self.channel.as_str()),
            destinations: destinations
                .filter(|destinations| !destinations.is_empty())
                .ok_or(MessageError::Foreign("an event has no stream, or one that no service writes"))?,
            payload: BASE64_STANDARD
                .decode(&self.payload)
                .map_err(|_| MessageError::Foreign("a payload is not in base64"))?
                .into(),
        })
    }
}

impl OfferedBatch {
    /// Reads a batch, which any program may have written.
    pub fn parse(json: &str) -> Result<OfferedBatch, MessageError> {
        let batch: OfferedBatch = serde_json::from_str(json)?;
        if batch.events.len() > MAX_EVENTS || batch.queue.len() > MAX_NAME {
            return Err(MessageError::Foreign("it has more events than a batch, or a longer name"));
        }
        Ok(batch)
    }

    /// Returns the records, numbered from 0.
    pub fn records(&self) -> Result<Vec<Record>, MessageError> {
        (0..).zip(&self.events).map(|(seq, event)| event.record(seq)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_comes_back_from_its_line() {
        let head = Head { from: "vm-1".into(), batch: "5-0@7x3".into(), is_receipt: false };
        assert_eq!(Head::of(&format!("{}\n{{}}", head.offered())).unwrap(), (head.clone(), "{}"));
        assert_eq!(Head::of(&head.receipt()).unwrap().0, Head { is_receipt: true, ..head });
        for foreign in ["", "one", "one two", "one two three", &format!("{} b offered", "x".repeat(300))] {
            assert!(Head::of(foreign).is_err(), "{foreign}");
        }
    }

    #[test]
    fn what_no_service_wrote_is_refused() {
        let event = |streams: &str, payload: &str| {
            let event =
                format!(r#"{{"channel":"price","received_us":1,"streams":{streams},"payload":"{payload}"}}"#);
            let batch = format!(r#"{{"queue":"a","since":1,"is_last":true,"events":[{event}]}}"#);
            OfferedBatch::parse(&batch).and_then(|batch| batch.records())
        };
        let records = event(r#"[["SPY","5-0"],[null,"6-1"]]"#, "e30=").unwrap();
        assert_eq!((&records[0].payload[..], records[0].destinations.len()), (&b"{}"[..], 2));
        for (streams, payload) in [
            ("[]", "e30="),
            (r#"[["s p y","5-0"]]"#, "e30="),
            (r#"[["SPY","five"]]"#, "e30="),
            (r#"[["SPY","5-0"]]"#, "{"),
        ] {
            assert!(event(streams, payload).is_err(), "{streams} {payload}");
        }
        assert!(OfferedBatch::parse("{").is_err());
    }
}
