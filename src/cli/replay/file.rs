//! Events of a file, one per line: `["topic",payload]` as sent by the vendor, a line of `tail --json`, or one of
//! the archive (`archive cat`, `spool export`). Other lines are skipped.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Lines};
use std::path::Path;
use std::sync::Arc;

use futures_util::stream::{self, StreamExt as _};
use serde::Deserialize;
use serde_json::value::RawValue;
use uw_websocket_core::event::{EntryId, Scope};
use uw_websocket_core::time::parse_iso;

use super::once::Once;
use crate::cli::wanted::{Wanted, topic_of};
use crate::streams::name::StreamName;
use crate::streams::selection::{Pattern, choose};
use uw_websocket_simulator::{RecordedFrame, RecordedFrames};

/// The properties of a file needed before it is sent.
#[derive(Clone, Debug)]
pub(super) struct Contents {
    /// The streams whose lines are sent. A full stream includes the events of its symbols' streams, in the right order:
    /// the IDs of two streams do not determine the order within a millisecond.
    streams: Arc<BTreeSet<StreamName>>,
    /// The latest time of an event, in Unix milliseconds, if known.
    pub(super) last_ms: Option<u64>,
}

impl Contents {
    /// Scans a file once.
    pub(super) fn survey(path: &Path, wanted: &Wanted) -> io::Result<Contents> {
        let (mut streams, mut last_ms) = (BTreeSet::new(), None);
        for line in lines(path)? {
            if let Some(event) = Event::read(&line?).filter(|event| event.is_wanted(wanted)) {
                last_ms = last_ms.max(event.frame.received_ms);
                streams.insert(event.name);
            }
        }
        if streams.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "no line of it is an event that is wanted",
            ));
        }
        let chosen = choose(&[Pattern::everything()], &streams);
        Ok(Contents { streams: Arc::new(chosen.into_iter().collect()), last_ms })
    }

    /// The events of the file.
    pub(super) fn open(&self, path: &Path, wanted: Wanted) -> io::Result<RecordedFrames> {
        let streams = Arc::clone(&self.streams);
        let mut once = Once::new();
        let mut is_sent = move |event: &Event| {
            event.is_wanted(&wanted) && streams.contains(&event.name) && !event.is_copy(&mut once)
        };
        let frames = lines(path)?.filter_map(move |line| match line {
            Ok(line) => Event::read(&line).filter(&mut is_sent).map(|event| Ok(event.frame)),
            Err(error) => Some(Err(error)),
        });
        Ok(stream::iter(frames).boxed_local())
    }
}

fn lines(path: &Path) -> io::Result<Lines<BufReader<File>>> {
    let file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "is no file: it must be read twice"));
    }
    Ok(BufReader::new(file).lines())
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

/// The event of a line, and its stream.
struct Event {
    name: StreamName,
    frame: RecordedFrame,
}

impl Event {
    /// Parses a line; `None` if it is not an event.
    fn read(line: &str) -> Option<Event> {
        if let Some(frame) = RecordedFrame::parse(line) {
            return Some(Event { name: StreamName::parse(&frame.topic)?, frame });
        }
        let line: Line<'_> = serde_json::from_str(line).ok()?;
        let name = line.name()?;
        let StreamName::Events(topic) = &name else { return None };
        // a payload that did not fit on a line is stored as a string
        let payload = match serde_json::from_str::<Cow<'_, str>>(line.payload.get()) {
            Ok(text) => text.into_owned().into_bytes(),
            Err(_) => line.payload.get().into(),
        };
        let is_event = payload.trim_ascii_start().first() == Some(&b'{');
        let frame = RecordedFrame { topic: topic_of(topic), payload, received_ms: line.received_ms() };
        is_event.then_some(Event { name, frame })
    }

    fn is_wanted(&self, wanted: &Wanted) -> bool {
        wanted.has(&self.name, &self.frame.payload, self.frame.received_ms)
    }

    fn is_copy(&self, once: &mut Once) -> bool {
        let StreamName::Events(topic) = &self.name else { return false };
        topic.channel.scope() == Scope::Global
            && !once.is_first(topic.channel.name(), &self.name.to_string(), &self.frame.payload)
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

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use futures_util::FutureExt as _;

    use super::*;

    /// Topic, payload and time of the frames that a file of these lines gives.
    fn frames(lines: &[&str]) -> Vec<(String, String, Option<u64>)> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(lines.join("\n").as_bytes()).unwrap();
        let contents = Contents::survey(file.path(), &Wanted::default()).unwrap();
        let mut opened = contents.open(file.path(), Wanted::default()).unwrap();
        let text = |payload| String::from_utf8(payload).unwrap();
        std::iter::from_fn(|| opened.next().now_or_never().unwrap())
            .map(|frame| frame.unwrap())
            .map(|frame| (frame.topic, text(frame.payload), frame.received_ms))
            .collect()
    }

    fn frame(topic: &str, payload: &str, ms: Option<u64>) -> (String, String, Option<u64>) {
        (topic.to_owned(), payload.to_owned(), ms)
    }

    #[test]
    fn all_kinds_of_lines_are_read() {
        let lines = [
            r#"["gex:SPY",{"response":{},"status":"ok"}]"#,
            r#"["gex:SPY",{"price":"1.20", "b":[]}]"#,
            r#"{"stream":"uw:ws:price:SPY","id":"17-4","channel":"price","symbol":"SPY","payload":{"close" : "2"}}"#,
            r#"{"stream":"uw:ws:news","id":"18-0","channel":"news","symbol":null,"payload":{"headline":"h"}}"#,
            r#"{"stream":"uw:ws:news:SPY","id":"18-1","channel":"news","symbol":"SPY","payload":{"headline":"h"}}"#,
            r#"{"stream":"uw:ws:gaps","id":"18-1","channel":"gaps","symbol":null,"payload":{"family":"gex"}}"#,
            r#"{"shard":0,"of":2,"seq":1,"received_at":"1970-01-01T00:00:01.500007+00:00","channel":"price","streams":[{"stream":"price:QQQ","id":"1-1"}],"payload":{"a":2}}"#,
            r#"{"shard":0,"of":2,"seq":1,"received_at":"1970-01-01T00:00:01.500007+00:00","channel":"flow-alerts","streams":[{"stream":"flow-alerts","id":"1-1"},{"stream":"flow-alerts:QQQ","id":"1-1"}],"payload":"{\n}"}"#,
            r#"{"received_at":"1970-01-01T00:00:01.500007+00:00","topic":"price:IWM","id":"1500-0","payload":{"a":3}}"#,
            r#"{"received_at":"1970-01-01T00:00:01.600007+00:00","topic":"news","id":"1600-0","payload":"{\n\"a\":1}"}"#,
            r#"{"channel":"price","payload":"no json"}"#,
            "nonsense",
        ];
        assert_eq!(
            frames(&lines),
            [
                frame("gex:SPY", r#"{"price":"1.20", "b":[]}"#, None),
                frame("price:SPY", r#"{"close" : "2"}"#, Some(17)),
                frame("news", r#"{"headline":"h"}"#, Some(18)),
                frame("price:QQQ", r#"{"a":2}"#, Some(1_500)),
                frame("flow-alerts", "{\n}", Some(1_500)),
                frame("price:IWM", r#"{"a":3}"#, Some(1_500)),
                frame("news", "{\n\"a\":1}", Some(1_600)),
            ]
        );
    }
    #[test]
    fn the_order_is_that_of_the_full_stream_where_it_is_there() {
        let line = |name: &str, id, headline| {
            let (channel, symbol) =
                name.split_once(':').map_or((name, "null".into()), |(c, s)| (c, format!("\"{s}\"")));
            format!(
                r#"{{"stream":"uw:ws:{name}","id":"{id}","channel":"{channel}","symbol":{symbol},"payload":{{"headline":"{headline}"}}}}"#
            )
        };
        let copies =
            [line("news:SPY", "5-0", "b"), line("news:QQQ", "5-0", "b"), line("news:SPY", "5-1", "c")];
        let full = [line("news", "5-0", "a"), line("news", "5-1", "b"), line("news", "5-2", "c")];
        let headlines = |lines: &[String]| {
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            frames(&lines).into_iter().map(|(topic, payload, _)| topic + &payload).collect::<Vec<_>>()
        };
        let sent = |headline: &str| format!(r#"news{{"headline":"{headline}"}}"#);
        assert_eq!(headlines(&[&copies[..], &full].concat()), [sent("a"), sent("b"), sent("c")]);
        assert_eq!(headlines(&copies), [sent("b"), sent("c")]);
    }

    #[test]
    fn a_file_without_events_is_no_recording() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(Contents::survey(file.path(), &Wanted::default()).is_err());
        assert!(Contents::survey(Path::new("/dev/null"), &Wanted::default()).is_err());
    }
}
