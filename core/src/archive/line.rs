//! The line of an event, in the archive and in `spool export`.
//!
//! ```text
//! {"received_at":"2026-01-02T14:30:00.000006+00:00","topic":"price:SPY","id":"1767364200000-0","payload":{…}}
//! ```
//!
//! The payload comes last and stands byte for byte as it was received. One with raw line breaks, or one that is not an
//! object, stands as a JSON string instead.

use std::borrow::Cow;

use memchr::memchr2;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::path::FETCHED;
use crate::backfill::key::{Object, time_us};
use crate::event::{Channel, EntryId, Topic};
use crate::spool::RecordView;
use crate::time::{IsoClock, parse_iso};

/// A fetched row is in the file of its own time if that lies so long before its receipt, in microseconds: a month, longer than
/// any plan looks back for what is filled. Whatever else the vendor states is no reason for folders of other years.
const MAX_AGE_US: u64 = 31 * 24 * 3_600 * 1_000_000;

/// An event, or a row that was fetched over REST.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveLine<'l> {
    /// Time at which its frame was read, or its row written to Redis, in Unix microseconds.
    pub received_us: u64,
    /// Its first stream without the prefix: `<channel>` or `<channel>:<SYMBOL>`, behind `backfill:` for a fetched row.
    pub topic: Cow<'l, str>,
    /// The ID of its entry in that stream.
    pub id: EntryId,
    /// The payload as received.
    pub payload: Cow<'l, [u8]>,
}

/// A line before its payload is decoded.
#[derive(Deserialize)]
struct Raw<'l> {
    received_at: &'l str,
    #[serde(borrow)]
    topic: Cow<'l, str>,
    id: &'l str,
    #[serde(borrow)]
    payload: &'l RawValue,
}

impl<'l> ArchiveLine<'l> {
    /// Creates the line of a record: that of its first stream, which is the full stream if there is one.
    #[must_use]
    pub fn of(record: &RecordView<'l>) -> ArchiveLine<'l> {
        let first = record.streams().next().map(|(stream, id)| (stream.name(), id));
        let (topic, id) = first.unwrap_or_else(|| (record.channel().into(), EntryId::default()));
        ArchiveLine { received_us: record.received_us(), topic, id, payload: record.payload().into() }
    }

    /// Creates the line of a fetched row: that of its entry in the stream of its topic.
    #[must_use]
    pub fn of_row(topic: &str, id: EntryId, row: &'l [u8]) -> ArchiveLine<'l> {
        let received_us = id.ms.saturating_mul(1000);
        ArchiveLine { received_us, topic: format!("{FETCHED}:{topic}").into(), id, payload: row.into() }
    }
}

impl ArchiveLine<'_> {
    /// Appends the line with its line break.
    pub fn write(&self, out: &mut Vec<u8>) {
        self.write_by(&mut IsoClock::default(), out);
    }

    /// Appends the line with its line break, by the clock of the lines before.
    pub fn write_by(&self, clock: &mut IsoClock, out: &mut Vec<u8>) {
        let mut digits = itoa::Buffer::new();
        out.extend_from_slice(br#"{"received_at":""#);
        clock.write(self.received_us, out);
        out.extend_from_slice(br#"","topic":""#);
        out.extend_from_slice(self.topic.as_bytes());
        out.extend_from_slice(br#"","id":""#);
        out.extend_from_slice(digits.format(self.id.ms).as_bytes());
        out.push(b'-');
        out.extend_from_slice(digits.format(self.id.seq).as_bytes());
        out.extend_from_slice(br#"","payload":"#);
        if is_plain(&self.payload) {
            out.extend_from_slice(&self.payload);
        } else {
            let text = String::from_utf8_lossy(&self.payload);
            out.extend_from_slice(serde_json::Value::from(text).to_string().as_bytes());
        }
        out.extend_from_slice(b"}\n");
    }

    /// Parses a line; `None` if it is not one of the archive.
    #[must_use]
    pub fn parse(line: &[u8]) -> Option<ArchiveLine<'_>> {
        let Raw { received_at, topic, id, payload } = serde_json::from_slice(line).ok()?;
        let payload = match payload.get() {
            text if text.starts_with('"') => {
                Cow::Owned(serde_json::from_str::<String>(text).ok()?.into_bytes())
            }
            object => Cow::Borrowed(object.as_bytes()),
        };
        Some(ArchiveLine { received_us: parse_iso(received_at)?, topic, id: id.parse().ok()?, payload })
    }

    /// Copies what it borrows.
    #[must_use]
    pub fn into_owned(self) -> ArchiveLine<'static> {
        let ArchiveLine { received_us, topic, id, payload } = self;
        let (topic, payload) = (topic.into_owned().into(), payload.into_owned().into());
        ArchiveLine { received_us, topic, id, payload }
    }

    /// Whether it is a row that was fetched over REST.
    #[must_use]
    pub fn is_fetched(&self) -> bool {
        Topic::split(&self.topic).0 == FETCHED
    }

    /// Returns the topic that the feed has for it.
    #[must_use]
    pub fn feed_topic(&self) -> &str {
        match Topic::split(&self.topic) {
            (FETCHED, Some(topic)) => topic,
            _ => &self.topic,
        }
    }

    /// Returns the channel of the topic.
    #[must_use]
    pub fn channel(&self) -> &str {
        Topic::split(self.feed_topic()).0
    }

    /// Returns the time that decides on its file, in Unix microseconds: that of the receipt; of a fetched row the time that it
    /// states.
    #[must_use]
    pub fn filed_us(&self) -> u64 {
        let stated = || {
            let source = Channel::parse(self.channel()).ok()?.spec()?.fill?;
            time_us(&serde_json::from_slice::<Object>(&self.payload).ok()?, source.time)
        };
        let is_usual =
            |us: &u64| (self.received_us.saturating_sub(MAX_AGE_US)..=self.received_us).contains(us);
        self.is_fetched().then(stated).flatten().filter(is_usual).unwrap_or(self.received_us)
    }
}

/// Whether a payload can be a member of a line as it is. Payloads are JSON, which the feed's decoder has checked.
fn is_plain(payload: &[u8]) -> bool {
    payload.starts_with(b"{") && payload.ends_with(b"}") && memchr2(b'\n', b'\r', payload).is_none()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::time::iso_utc;

    fn line(payload: &str) -> ArchiveLine<'_> {
        ArchiveLine {
            received_us: 1_767_364_200_000_006,
            topic: "price:SPY".into(),
            id: EntryId { ms: 1_767_364_200_000, seq: 7 },
            payload: payload.as_bytes().into(),
        }
    }

    fn written(line: &ArchiveLine<'_>) -> String {
        let mut out = Vec::new();
        line.write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_payload_is_the_last_member_byte_for_byte() {
        assert_eq!(
            written(&line(r#"{"close" : 1.50,"x":"\u00e9é"}"#)),
            "{\"received_at\":\"2026-01-02T14:30:00.000006+00:00\",\"topic\":\"price:SPY\",\"id\":\"1767364200000-7\",\
             \"payload\":{\"close\" : 1.50,\"x\":\"\\u00e9é\"}}\n"
        );
    }

    #[test]
    fn a_payload_with_line_breaks_is_a_string() {
        for (line_break, shown) in [("\r\n", "\\r\\n"), ("\n", "\\n"), ("\r", "\\r")] {
            let text = written(&line(&format!("{{{line_break}\"a\":1}}")));
            assert!(text.ends_with(&format!("\"payload\":\"{{{shown}\\\"a\\\":1}}\"}}\n")), "{text}");
            assert_eq!(text.trim_end().matches(['\r', '\n']).count(), 0, "{text}");
        }
    }

    #[test]
    fn a_row_is_filed_under_its_own_time_unless_that_is_absurd() {
        let filed = |payload: &str| {
            let row = ArchiveLine::of_row(
                "option_trades:SPY",
                EntryId { ms: 1_767_364_200_000, seq: 7 },
                payload.as_bytes(),
            );
            assert_eq!(
                (row.is_fetched(), row.channel(), &*row.topic),
                (true, "option_trades", "backfill:option_trades:SPY")
            );
            iso_utc(row.filed_us())
        };
        let received = "2026-01-02T14:30:00.000000+00:00";
        assert_eq!(filed(r#"{"executed_at":"2025-12-31T20:59:00.5Z"}"#), "2025-12-31T20:59:00.500000+00:00");
        for absurd in [
            r#"{"executed_at":"2026-01-02T14:30:01Z"}"#,
            r#"{"executed_at":"2025-10-31T20:59:00Z"}"#,
            r#"{"executed_at":"soon"}"#,
            r#"{"price":1}"#,
            "[]",
        ] {
            assert_eq!(filed(absurd), received, "{absurd}");
        }
        let event = line(r#"{"executed_at":"2025-12-31T20:59:00Z"}"#);
        assert_eq!(
            (event.is_fetched(), event.channel(), event.filed_us()),
            (false, "price", event.received_us)
        );
    }

    #[test]
    fn what_is_no_line_is_none() {
        for text in [
            "",
            "{}",
            "[1]",
            r#"["price:SPY",{"a":1}]"#,
            r#"{"received_at":"today","topic":"a","id":"1-1","payload":{}}"#,
        ] {
            assert_eq!(ArchiveLine::parse(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            value in "[ -~\n\ré東]{0,40}",
            blanks in "[ \t\n\r]{0,3}",
            received_us in 0_u64..4_000_000_000_000_000,
            (ms, seq) in (0_u64.., 0_u64..),
            is_object: bool,
        ) {
            let value = serde_json::Value::from(value).to_string();
            let payload = if is_object { format!("{{{blanks}\"a\":{value}}}") } else { value };
            let before = ArchiveLine { received_us, id: EntryId { ms, seq }, ..line(&payload) };
            let text = written(&before);
            prop_assert_eq!(text.matches('\n').count(), 1);
            prop_assert_eq!(ArchiveLine::parse(text.as_bytes()), Some(before));
        }
    }
}
