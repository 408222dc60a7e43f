//! Events of a file, one a line: `["topic",payload]` as the vendor sends them, a line of `tail --json`, or one of
//! `spool export`. Anything else is skipped.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::path::Path;

use futures_util::stream::{self, StreamExt as _};
use serde::Deserialize;
use serde_json::value::RawValue;
use uw_websocket_actors::event::{EntryId, Scope};
use uw_websocket_actors::time::parse_iso;

use super::once::Once;
use super::{Wanted, topic_of};
use crate::simulator::{RecordedFrame, RecordedFrames};
use crate::streams::name::StreamName;

/// Opens a file.
pub(super) fn open(path: &Path, wanted: Wanted) -> io::Result<RecordedFrames> {
    let lines = BufReader::new(File::open(path)?).lines();
    let mut once = Once::new();
    let frames = lines.filter_map(move |line| match line {
        Ok(line) => read(&line, &wanted, &mut once).map(Ok),
        Err(error) => Some(Err(error)),
    });
    Ok(stream::iter(frames).boxed_local())
}

/// A line of `tail --json` or of `spool export`.
#[derive(Deserialize)]
struct Line<'l> {
    #[serde(borrow)]
    payload: &'l RawValue,
    channel: String,
    symbol: Option<String>,
    id: Option<String>,
    received_at: Option<String>,
    #[serde(default)]
    streams: Vec<Stored>,
}

/// An entry of an event, as `spool export` has it.
#[derive(Deserialize)]
struct Stored {
    stream: String,
}

/// Reads a line; `None` is no event, or none that is wanted.
fn read(line: &str, wanted: &Wanted, once: &mut Once) -> Option<RecordedFrame> {
    if let Some(frame) = RecordedFrame::parse(line) {
        let name = StreamName::parse(&frame.topic)?;
        return wanted.has(&name, &frame.payload, frame.received_ms).then_some(frame);
    }
    let line: Line<'_> = serde_json::from_str(line).ok()?;
    let name = line.name()?;
    // what could not stand in a line is there as a text
    let payload = match serde_json::from_str::<Cow<'_, str>>(line.payload.get()) {
        Ok(text) => text.into_owned().into_bytes(),
        Err(_) => line.payload.get().into(),
    };
    let received_ms = line.received_ms();
    let StreamName::Events(topic) = &name else { return None };
    let is_wanted = payload.first() == Some(&b'{') && wanted.has(&name, &payload, received_ms);
    let mut is_copy = || {
        let is_global = topic.channel.scope() == Scope::Global;
        is_global && !once.is_first(topic.channel.name(), &name.to_string(), &payload)
    };
    if !is_wanted || is_copy() {
        return None;
    }
    Some(RecordedFrame { topic: topic_of(topic), payload, received_ms })
}

impl Line<'_> {
    /// The stream that it is from; of several the last, which is that of a symbol where there is one.
    fn name(&self) -> Option<StreamName> {
        match (self.streams.last(), &self.symbol) {
            (Some(Stored { stream }), _) => StreamName::parse(stream),
            (None, Some(symbol)) => StreamName::parse(&format!("{}:{symbol}", self.channel)),
            (None, None) => StreamName::parse(&self.channel),
        }
    }

    fn received_ms(&self) -> Option<u64> {
        let of_id = || Some(self.id.as_ref()?.parse::<EntryId>().ok()?.ms);
        self.received_at.as_deref().and_then(parse_iso).map(|us| us / 1000).or_else(of_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(lines: &[&str], wanted: &Wanted) -> Vec<(String, String, Option<u64>)> {
        let mut once = Once::new();
        let frames = lines.iter().filter_map(|line| read(line, wanted, &mut once));
        let text = |payload| String::from_utf8(payload).unwrap();
        frames.map(|frame| (frame.topic, text(frame.payload), frame.received_ms)).collect()
    }

    #[test]
    fn all_three_kinds_of_lines_are_read() {
        let lines = [
            r#"["gex:SPY",{"response":{},"status":"ok"}]"#,
            r#"["gex:SPY",{"price":"1.20", "b":[]}]"#,
            r#"{"stream":"uw:ws:price:SPY","id":"17-4","channel":"price","symbol":"SPY","payload":{"close" : "2"}}"#,
            r#"{"stream":"uw:ws:news","id":"18-0","channel":"news","symbol":null,"payload":{"headline":"h"}}"#,
            r#"{"stream":"uw:ws:news:SPY","id":"18-1","channel":"news","symbol":"SPY","payload":{"headline":"h"}}"#,
            r#"{"stream":"uw:ws:gaps","id":"18-1","channel":"gaps","symbol":null,"payload":{"family":"gex"}}"#,
            r#"{"shard":0,"of":2,"seq":1,"received_at":"1970-01-01T00:00:01.500007+00:00","channel":"price","streams":[{"stream":"price:QQQ","id":"1-1"}],"payload":{"a":2}}"#,
            r#"{"shard":0,"of":2,"seq":1,"received_at":"1970-01-01T00:00:01.500007+00:00","channel":"flow-alerts","streams":[{"stream":"flow-alerts","id":"1-1"},{"stream":"flow-alerts:QQQ","id":"1-1"}],"payload":"{\n}"}"#,
            r#"{"channel":"price","payload":"no json"}"#,
            "nonsense",
        ];
        let frame = |topic: &str, payload: &str, ms| (topic.to_owned(), payload.to_owned(), ms);
        assert_eq!(
            frames(&lines, &Wanted::default()),
            [
                frame("gex:SPY", r#"{"price":"1.20", "b":[]}"#, None),
                frame("price:SPY", r#"{"close" : "2"}"#, Some(17)),
                frame("news", r#"{"headline":"h"}"#, Some(18)),
                frame("price:QQQ", r#"{"a":2}"#, Some(1_500)),
                frame("flow-alerts", "{\n}", Some(1_500)),
            ]
        );
    }
}
