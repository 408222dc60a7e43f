//! What stand-by and owner tell each other: an offer is a line that names it, then the content as JSON; a receipt is JSON.

use std::collections::BTreeSet;
use std::sync::Arc;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde::{Deserialize, Serialize};
use sha1::{Digest as _, Sha1};
use thiserror::Error;
use uw_websocket_core::event::{EntryId, Event, Symbol};
use uw_websocket_core::spool::Record;

use crate::observation::Observations;

/// Maximum size of a value that is read: a payload of 4 MiB in base64, and a batch of others.
pub const MAX_VALUE: usize = 16 * 1024 * 1024;
/// Maximum number of events: more than any batch has.
const MAX_EVENTS: usize = 65_536;
/// Maximum size of a receipt that is read: two indexes of up to six characters for each event of a batch.
pub const MAX_RECEIPT: usize = 1024 * 1024;
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

/// The first line of an offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The last owner on the disk of the events: the owner waits for the queue under this name, and the stand-by finds the
    /// receipt under it, also in its next life.
    pub queue: String,
    /// Identifies the batch within the queue.
    pub batch: String,
    /// The instance that offers.
    pub from: String,
}

impl Head {
    /// Returns the line, without its end.
    #[must_use]
    pub fn line(&self) -> String {
        format!("{} {} {}", self.queue, self.batch, self.from)
    }

    /// Reads the line at the front of a value.
    pub fn of(value: &str) -> Result<(Head, &str), MessageError> {
        let (line, rest) = value.split_once('\n').unwrap_or((value, ""));
        let words: Vec<&str> = line.split(' ').collect();
        let [queue, batch, from] = words[..] else {
            return Err(MessageError::Foreign("its first line names no batch of a queue"));
        };
        if words.iter().any(|word| word.is_empty() || word.len() > MAX_NAME) {
            return Err(MessageError::Foreign("its names are empty, or longer than ours"));
        }
        Ok((Head { queue: queue.to_owned(), batch: batch.to_owned(), from: from.to_owned() }, rest))
    }
}

/// A batch of late events.
#[derive(Debug, Serialize, Deserialize)]
pub struct OfferedBatch {
    /// Time at which the last owner on the disk last held the lease, in Unix microseconds.
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
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct OwnerReceipt {
    /// The batch.
    pub batch: String,
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
    /// Returns a name that the same events have in the next life too, and no others.
    #[must_use]
    pub fn name_of(json: &str) -> String {
        BASE64_STANDARD.encode(Sha1::digest(json))
    }

    /// Reads a batch, which any program may have written.
    pub fn parse(json: &str) -> Result<OfferedBatch, MessageError> {
        let batch: OfferedBatch = serde_json::from_str(json)?;
        if batch.events.len() > MAX_EVENTS {
            return Err(MessageError::Foreign("it has more events than a batch"));
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
        let head = Head { queue: "vm-1".into(), batch: "a9993e".into(), from: "vm-2".into() };
        assert_eq!(Head::of(&format!("{}\n{{}}", head.line())).unwrap(), (head.clone(), "{}"));
        assert_eq!(Head::of(&head.line()).unwrap().0, head);
        for foreign in
            ["", "one", "one two", "one  three", "one two three four", &format!("{} b c", "x".repeat(300))]
        {
            assert!(Head::of(foreign).is_err(), "{foreign}");
        }
    }

    #[test]
    fn batches_of_other_streams_have_other_names() {
        let name = |channel: &str| {
            let streams = vec![(None, "5-0".to_owned())];
            let event =
                OfferedEvent { channel: channel.into(), received_us: 5, streams, payload: "e30=".into() };
            let batch = OfferedBatch { since: 1, is_last: false, events: vec![event] };
            OfferedBatch::name_of(&serde_json::to_string(&batch).unwrap())
        };
        assert_eq!(name("price"), name("price"));
        assert_ne!(name("price"), name("news"), "same ID, time of receipt and length");
    }

    #[test]
    fn what_no_service_wrote_is_refused() {
        let event = |streams: &str, payload: &str| {
            let event =
                format!(r#"{{"channel":"price","received_us":1,"streams":{streams},"payload":"{payload}"}}"#);
            let batch = format!(r#"{{"since":1,"is_last":true,"events":[{event}]}}"#);
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
