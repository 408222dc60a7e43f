//! The lines in which events are written (`archive cat`, `spool export`, `tail --json`) and read (`replay --file`, which also takes
//! frames as the vendor sends them). What is written is read back byte for byte, whatever the payload contains.

use std::borrow::Cow;
use std::io::{self, BufRead, Read as _};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use thiserror::Error;
use uw_websocket_core::channel::JoinForms;
use uw_websocket_core::event::{EntryId, Topic};
use uw_websocket_core::feed::routing_fields::RoutingFields;
use uw_websocket_core::time::parse_iso;
use uw_websocket_simulator::{RecordedFrame, is_acknowledgement};

use crate::escape::controls;
use crate::streams::name::StreamName;

/// Maximum length of a line in bytes. A payload has at most 4 MiB, and six times that if each of its characters is
/// escaped.
pub const MAX_LINE: usize = 32 * 1024 * 1024;

/// A payload within a line.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum LinePayload<'p> {
    /// The JSON as received.
    Json(&'p RawValue),
    /// The same as a string: JSON that has line breaks or other control characters, which a line does not hold
    /// unchanged, or bytes that are not JSON.
    Text(Cow<'p, str>),
}

impl<'p> LinePayload<'p> {
    /// Chooses the form in which the payload can be read back unchanged.
    #[must_use]
    pub fn of(payload: &'p [u8]) -> LinePayload<'p> {
        let json = serde_json::from_slice::<&RawValue>(payload).ok();
        let is_unchanged =
            |json: &&RawValue| json.get().len() == payload.len() && !json.get().contains(controls);
        match json.filter(is_unchanged) {
            Some(json) => LinePayload::Json(json),
            None => LinePayload::Text(String::from_utf8_lossy(payload)),
        }
    }
}

/// The content of a line.
#[derive(Debug)]
pub enum EventLine {
    /// An event, and the stream that it is from.
    Event(StreamName, RecordedFrame),
    /// What recordings contain beside events: an acknowledgement of the feed, an entry of the gap ledger, or nothing.
    NoEvent,
}

/// Why a line is refused.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum LineError {
    /// Not a frame, or an object with `topic` or `channel`, and `payload`.
    #[error("it is neither [\"topic\",{{…}}] nor a line of `tail --json`, `archive cat` or `spool export`")]
    Unknown,
    /// No channel has this name, or no symbol.
    #[error("its stream is not one of events")]
    Stream,
    /// The payload is not a JSON object.
    #[error("its payload is not a JSON object")]
    Payload,
    /// Not text.
    #[error("it is not UTF-8 text")]
    NotText,
    /// Longer than [`MAX_LINE`].
    #[error("it is longer than {MAX_LINE} bytes")]
    TooLong,
}

/// A line of `tail --json` or of the archive, or one of `spool export` of a release before 0.2.
#[derive(Deserialize)]
struct Line<'l> {
    #[serde(borrow)]
    payload: &'l RawValue,
    topic: Option<String>,
    channel: Option<String>,
    symbol: Option<String>,
    id: Option<String>,
    received_at: Option<String>,
    #[serde(default)]
    streams: Vec<Stored>,
}

/// An entry of an event in `spool export`.
#[derive(Deserialize)]
struct Stored {
    stream: String,
}

impl EventLine {
    /// Reads a line.
    pub fn read(line: &str) -> Result<EventLine, LineError> {
        let line = line.trim_start_matches('\u{feff}').trim();
        if line.is_empty() {
            return Ok(EventLine::NoEvent);
        }
        if line.starts_with('[') {
            return EventLine::of_frame(line);
        }
        let line: Line<'_> = serde_json::from_str(line).map_err(|_| LineError::Unknown)?;
        match line.name().ok_or(LineError::Stream)? {
            StreamName::Gaps => Ok(EventLine::NoEvent),
            StreamName::Events(topic) => {
                let payload = match serde_json::from_str::<Cow<'_, str>>(line.payload.get()) {
                    Ok(text) => text.into_owned().into_bytes(),
                    Err(_) => line.payload.get().into(),
                };
                EventLine::event(topic_of(&topic), topic, payload, line.received_ms())
            }
        }
    }

    fn of_frame(line: &str) -> Result<EventLine, LineError> {
        let (topic, payload): (String, &RawValue) =
            serde_json::from_str(line).map_err(|_| LineError::Unknown)?;
        if is_acknowledgement(payload.get()) {
            return Ok(EventLine::NoEvent);
        }
        match StreamName::parse(&topic) {
            Some(StreamName::Events(stream)) => EventLine::event(topic, stream, payload.get().into(), None),
            _ => Err(LineError::Stream),
        }
    }

    fn event(
        topic: String,
        stream: Topic,
        payload: Vec<u8>,
        received_ms: Option<u64>,
    ) -> Result<EventLine, LineError> {
        RoutingFields::read(&payload).map_err(|_| LineError::Payload)?;
        Ok(EventLine::Event(StreamName::Events(stream), RecordedFrame { topic, payload, received_ms }))
    }
}

impl Line<'_> {
    /// Returns the stream of the event; of several the last, which is that of a symbol if there is one.
    fn name(&self) -> Option<StreamName> {
        if let Some(topic) = &self.topic {
            return StreamName::parse(topic);
        }
        match (self.streams.last(), &self.channel, &self.symbol) {
            (Some(Stored { stream }), ..) => StreamName::parse(stream),
            (None, Some(channel), Some(symbol)) => StreamName::parse(&format!("{channel}:{symbol}")),
            (None, channel, _) => StreamName::parse(channel.as_deref()?),
        }
    }

    fn received_ms(&self) -> Option<u64> {
        let of_id = || Some(self.id.as_ref()?.parse::<EntryId>().ok()?.ms);
        self.received_at.as_deref().and_then(parse_iso).map(|us| us / 1000).or_else(of_id)
    }
}

/// Returns the vendor's topic for an event of this stream: global channels have only one.
#[must_use]
pub fn topic_of(stream: &Topic) -> String {
    match stream.channel.spec() {
        Some(spec) if spec.forms == JoinForms::Plain => spec.name.to_owned(),
        _ => stream.to_string(),
    }
}

/// Reads lines with their numbers, from 1.
pub struct NumberedLines<R> {
    input: R,
    number: u64,
}

impl<R: BufRead> NumberedLines<R> {
    /// Reads from the beginning of `input`.
    pub fn new(input: R) -> NumberedLines<R> {
        NumberedLines { input, number: 0 }
    }

    fn line(&mut self) -> io::Result<Option<EventLine>> {
        let mut line = Vec::new();
        // one byte more than is allowed
        let read = (&mut self.input).take(MAX_LINE as u64 + 1).read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        let text = match std::str::from_utf8(&line) {
            _ if read > MAX_LINE => Err(LineError::TooLong),
            Ok(text) => Ok(text),
            Err(_) => Err(LineError::NotText),
        };
        let event = text.and_then(EventLine::read).map_err(|error| {
            io::Error::new(io::ErrorKind::InvalidData, format!("line {}: {error}", self.number))
        })?;
        Ok(Some(event))
    }
}

impl<R: BufRead> Iterator for NumberedLines<R> {
    /// A refused line is an error of the kind `InvalidData`, with its number.
    type Item = io::Result<EventLine>;

    fn next(&mut self) -> Option<io::Result<EventLine>> {
        self.line().transpose()
    }
}

#[cfg(test)]
mod tests;
