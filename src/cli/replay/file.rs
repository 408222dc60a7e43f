//! Events of a file, one per line: see [`crate::event_lines`].

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;
use std::sync::Arc;

use futures_util::stream::{self, StreamExt as _};
use uw_websocket_core::event::Scope;
use uw_websocket_simulator::{RecordedFrame, RecordedFrames};

use super::once::Once;
use crate::cli::wanted::Wanted;
use crate::event_lines::{EventLine, NumberedLines};
use crate::streams::name::StreamName;
use crate::streams::selection::{Pattern, choose};

/// The properties of a file needed before it is sent.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Contents {
    /// The streams whose lines are sent. A full stream includes the events of its symbols' streams, in the right order:
    /// the IDs of two streams do not determine the order within a millisecond.
    streams: Arc<BTreeSet<StreamName>>,
    /// The latest time of an event, in Unix milliseconds, if known.
    pub(in crate::cli) last_ms: Option<u64>,
}

impl Contents {
    /// Reads a file once.
    ///
    /// # Errors
    /// `InvalidData` if a line is not an event, with its number; `NotFound` if there is no file or none of its events is
    /// wanted.
    pub(in crate::cli) fn survey(path: &Path, wanted: &Wanted) -> io::Result<Contents> {
        let (mut streams, mut last_ms) = (BTreeSet::new(), None);
        for line in lines(path)? {
            if let EventLine::Event(name, frame) = line?
                && is_wanted(wanted, &name, &frame)
            {
                last_ms = last_ms.max(frame.received_ms);
                streams.insert(name);
            }
        }
        if streams.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "no line of it is an event that is wanted"));
        }
        let chosen = choose(&[Pattern::everything()], &streams);
        Ok(Contents { streams: Arc::new(chosen.into_iter().collect()), last_ms })
    }

    /// Opens the file's events.
    pub(in crate::cli) fn open(&self, path: &Path, wanted: Wanted) -> io::Result<RecordedFrames> {
        let streams = Arc::clone(&self.streams);
        let mut once = Once::new();
        let mut is_sent = move |name: &StreamName, frame: &RecordedFrame| {
            is_wanted(&wanted, name, frame) && streams.contains(name) && !is_copy(name, frame, &mut once)
        };
        let frames = lines(path)?.filter_map(move |line| match line {
            Ok(EventLine::Event(name, frame)) => is_sent(&name, &frame).then_some(Ok(frame)),
            Ok(EventLine::NoEvent) => None,
            Err(error) => Some(Err(error)),
        });
        Ok(stream::iter(frames).boxed_local())
    }
}

fn lines(path: &Path) -> io::Result<NumberedLines<BufReader<File>>> {
    let file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "is no file: it must be read twice"));
    }
    Ok(NumberedLines::new(BufReader::new(file)))
}

fn is_wanted(wanted: &Wanted, name: &StreamName, frame: &RecordedFrame) -> bool {
    wanted.has(name, &frame.payload, frame.received_ms)
}

fn is_copy(name: &StreamName, frame: &RecordedFrame, once: &mut Once) -> bool {
    let StreamName::Events(topic) = name else { return false };
    topic.channel.scope() == Scope::Global
        && !once.is_first(topic.channel.name(), &name.to_string(), &frame.payload)
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
    fn a_line_that_is_no_event_is_refused_with_its_number() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"[\"news\",{}]\n[\"news\",{\n}]\n").unwrap();
        let error = Contents::survey(file.path(), &Wanted::default()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(error.to_string().starts_with("line 2: "), "{error}");
    }

    #[test]
    fn a_file_without_events_is_no_recording() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(Contents::survey(file.path(), &Wanted::default()).is_err());
        assert!(Contents::survey(Path::new("/dev/null"), &Wanted::default()).is_err());
    }
}
