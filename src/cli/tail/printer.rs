//! Prints entries as lines on standard output.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::ops::ControlFlow;

use anstyle::{AnsiColor, Effects, Style};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use regex_lite::Regex;
use serde::Serialize;
use serde_json::Value;
use uw_websocket_actors::ledger::gap::Gap;
use uw_websocket_core::event::{Channel, EntryId, Family};

use super::cells;
use super::line::Line;
use crate::escape::write_json_line;
use crate::event_lines::LinePayload;
use crate::streams::link::EntryContent;
use crate::streams::name::StreamName;

const PLAIN: Style = Style::new();
const FAINT: Style = Style::new().effects(Effects::DIMMED);
/// Width of `gex_strike_expiry`.
const CHANNEL: usize = 17;
/// Width of nearly every symbol.
const SYMBOL: usize = 5;

/// The format of lines.
#[derive(Clone, Debug)]
pub(super) struct Form {
    /// One JSON object per line.
    pub(super) json: bool,
    /// With colours.
    pub(super) coloured: bool,
    /// The time zone.
    pub(super) zone: TimeZone,
    /// The width of the terminal, if it is one.
    pub(super) width: fn() -> Option<usize>,
}

/// Prints selected entries.
pub(super) struct Printer<W> {
    pub(super) out: W,
    pub(super) form: Form,
    /// The part of a key before the stream's name, such as `<p>:ws:`.
    pub(super) prefix: String,
    /// The pattern that an entry must match.
    pub(super) grep: Option<Regex>,
    /// The number of lines left to print, if limited.
    pub(super) left: Option<u64>,
    /// The number of selected entries to pass over before.
    pub(super) skipped: u64,
}

/// A line of `--json`.
#[derive(Serialize)]
struct Object<'e> {
    stream: String,
    id: String,
    channel: &'e str,
    symbol: Option<&'e str>,
    payload: Payload<'e>,
}

/// The contents of an entry.
#[derive(Serialize)]
#[serde(untagged)]
enum Payload<'e> {
    Event(LinePayload<'e>),
    Fields(BTreeMap<&'e str, &'e str>),
}

impl<W: Write> Printer<W> {
    /// Returns whether an entry is selected.
    pub(super) fn is_wanted(&self, content: &EntryContent) -> bool {
        self.grep.as_ref().is_none_or(|wanted| wanted.is_match(&text(&payload(content))))
    }

    /// Prints an entry if it is selected; breaks after the last one.
    pub(super) fn print(
        &mut self,
        name: &StreamName,
        id: EntryId,
        content: &EntryContent,
    ) -> io::Result<ControlFlow<()>> {
        if !self.is_wanted(content) {
            return Ok(ControlFlow::Continue(()));
        }
        if let Some(skipped) = self.skipped.checked_sub(1) {
            self.skipped = skipped;
            return Ok(ControlFlow::Continue(()));
        }
        let payload = payload(content);
        if self.form.json {
            let (channel, symbol) = (name.channel(), name.symbol());
            let object =
                Object { stream: name.key(&self.prefix), id: id.to_string(), channel, symbol, payload };
            write_json_line(&mut self.out, &object)?;
        } else {
            let line = line(name, id, content, &text(&payload), &self.form.zone);
            writeln!(self.out, "{}", line.render((self.form.width)(), self.form.coloured))?;
        }
        self.left = self.left.map(|left| left.saturating_sub(1));
        Ok(if self.left == Some(0) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }
}

fn payload(content: &EntryContent) -> Payload<'_> {
    match content {
        EntryContent::Fields(fields) => {
            Payload::Fields(fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect())
        }
        EntryContent::Payload(bytes) => Payload::Event(LinePayload::of(bytes)),
    }
}

/// Returns the contents of an entry as text.
fn text<'e>(payload: &'e Payload<'e>) -> Cow<'e, str> {
    match payload {
        Payload::Event(LinePayload::Json(json)) => json.get().into(),
        Payload::Event(LinePayload::Text(text)) => text.as_ref().into(),
        Payload::Fields(fields) => serde_json::to_string(fields).unwrap_or_default().into(),
    }
}

/// Formats an entry for people.
fn line(name: &StreamName, id: EntryId, content: &EntryContent, text: &str, zone: &TimeZone) -> Line {
    let mut line = Line::default();
    line.left(FAINT, &moment(id.ms, zone), 0);
    line.left(colour(name), name.channel(), CHANNEL);
    match (name, content) {
        (StreamName::Gaps, EntryContent::Fields(fields)) => {
            if let Some(gap) = Gap::of_fields(fields) {
                add_gap(&mut line, &gap, zone);
                return line;
            }
        }
        (StreamName::Events(topic), _) => {
            let payload: Value = serde_json::from_str(text).unwrap_or_default();
            let symbol = name.symbol().map(str::to_owned).or_else(|| cells::symbol(&payload));
            line.left(PLAIN, symbol.as_deref().unwrap_or("-"), SYMBOL);
            if cells::add(&mut line, &topic.channel, &payload) {
                return line;
            }
        }
        (StreamName::Gaps, EntryContent::Payload(_)) => {}
    }
    line.word(PLAIN, text);
    line
}

fn add_gap(line: &mut Line, gap: &Gap, zone: &TimeZone) {
    let bad = AnsiColor::Red.on_default();
    line.left(PLAIN, gap.family.name(), "trades".len());
    line.left(bad, gap.reason.label(), "spool_corrupt".len());
    line.right(PLAIN, &format!("{:.1} s", gap.seconds()), "12345.6 s".len());
    line.left(PLAIN, &format!("from {}", moment(gap.from_us / 1000, zone)), 0);
    let events = gap.events.map(|events| format!("{events} events"));
    line.word(bad, &events.unwrap_or_default());
    line.word(PLAIN, &gap.channels.join(","));
    line.word(FAINT, &gap.detail);
}

/// Formats a moment to the millisecond: `05-16 18:19:53.123`.
fn moment(unix_ms: u64, zone: &TimeZone) -> String {
    let at = i64::try_from(unix_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    let at = at.unwrap_or(Timestamp::MAX).to_zoned(zone.clone());
    at.strftime("%m-%d %H:%M:%S%.3f").to_string()
}

/// Returns the colour of a channel: that of its family, or else of its place in the table; white if it is not there.
fn colour(name: &StreamName) -> Style {
    const OTHERS: [AnsiColor; 5] = [
        AnsiColor::BrightMagenta,
        AnsiColor::BrightCyan,
        AnsiColor::BrightBlue,
        AnsiColor::BrightGreen,
        AnsiColor::BrightYellow,
    ];
    let StreamName::Events(topic) = name else { return AnsiColor::Red.on_default() };
    let colour = match topic.channel.family() {
        Family::Flow => AnsiColor::Magenta,
        Family::Trades => AnsiColor::Cyan,
        Family::Prices => AnsiColor::Blue,
        Family::Gex => AnsiColor::Green,
        Family::News => AnsiColor::Yellow,
        Family::Other => {
            let place = Channel::known().position(|known| known == topic.channel);
            place.map_or(AnsiColor::White, |place| OTHERS[place % OTHERS.len()])
        }
    };
    colour.on_default()
}

#[cfg(test)]
mod tests {
    use regex_lite::RegexBuilder;

    use super::*;

    fn printer(json: bool) -> Printer<Vec<u8>> {
        let form = Form { json, coloured: false, zone: TimeZone::UTC, width: || None };
        Printer { out: Vec::new(), form, prefix: "uw".into(), grep: None, left: None, skipped: 0 }
    }

    fn print(printer: &mut Printer<Vec<u8>>, name: &str, content: &EntryContent) -> ControlFlow<()> {
        let id = EntryId { ms: 1_747_419_593_123, seq: 4 };
        printer.print(&StreamName::parse(name).unwrap(), id, content).unwrap()
    }

    #[track_caller]
    fn check(json: bool, name: &str, content: &EntryContent, expected: &str) {
        let mut printer = printer(json);
        assert!(print(&mut printer, name, content).is_continue());
        assert_eq!(String::from_utf8(printer.out).unwrap(), expected.to_owned() + "\n");
    }

    fn event(payload: &str) -> EntryContent {
        EntryContent::Payload(payload.into())
    }

    #[test]
    fn an_event_is_a_line() {
        check(
            false,
            "price:SPY",
            &event(r#"{"close":"562.82","vol":7}"#),
            "05-16 18:19:53.123  price              SPY      562.82  volume 7",
        );
        check(
            false,
            "flow-alerts",
            &event(r#"{"ticker":"DIA","option_chain":"odd","total_size":9}"#),
            "05-16 18:19:53.123  flow-alerts        DIA    odd                                                        9           ask    - bid    -",
        );
    }

    #[test]
    fn what_is_not_known_is_shown_as_it_is() {
        for (name, payload, rest) in [
            ("market_tide", r#"{"net_volume":7}"#, "market_tide        -      {\"net_volume\":7}"),
            ("price:SPY", "{\"close\":null}", "price              SPY    {\"close\":null}"),
            ("price:SPY", "no \u{1b} json\n", "price              SPY    no \\u{1b} json\\n"),
        ] {
            check(false, name, &event(payload), &format!("05-16 18:19:53.123  {rest}"));
        }
        let fields = EntryContent::Fields(vec![("by".into(), "hand".into())]);
        check(false, "gaps", &fields, "05-16 18:19:53.123  gaps               {\"by\":\"hand\"}");
    }

    #[test]
    fn every_channel_of_the_table_has_a_colour_and_another_one_is_white() {
        let of = |name: &str| colour(&StreamName::parse(name).unwrap());
        let white = AnsiColor::White.on_default();
        assert!(Channel::known().all(|channel| of(channel.name()) != white));
        assert_eq!(of("a_channel_of_tomorrow:SPY"), white);
    }

    #[test]
    fn a_gap_is_a_line() {
        let gap: Gap = serde_json::from_str(
            r#"{"family":"trades","channels":["option_trades:SPY"],"from":"2025-05-16T18:19:43.100000+00:00",
            "to":"2025-05-16T18:19:53.100000+00:00","reason":"disconnect","events":3,"detail":"closed"}"#,
        )
        .unwrap();
        check(
            false,
            "gaps",
            &EntryContent::Fields(gap.fields()),
            "05-16 18:19:53.123  gaps               trades  disconnect        10.0 s  from 05-16 18:19:43.100  3 events  option_trades:SPY  closed",
        );
    }

    #[test]
    fn the_payload_of_an_object_is_that_of_the_wire() {
        let start = r#"{"stream":"uw:ws:price:SPY","id":"1747419593123-4","channel":"price","symbol":"SPY","payload":"#;
        let odd = r#"{"a" : 1.50, "b":"\u00dc","é":[ ]}"#;
        check(true, "price:SPY", &event(odd), &format!("{start}{odd}}}"));
        check(true, "price:SPY", &event("{\n}"), &format!("{start}\"{{\\n}}\"}}"));
        check(
            true,
            "price:SPY",
            &event("{\"a\":\"\u{9b}\"}"),
            &format!("{start}\"{{\\\"a\\\":\\\"\\u009b\\\"}}\"}}"),
        );
        check(true, "price:SPY", &event(" {}"), &format!("{start}\" {{}}\"}}"));
        check(true, "price:SPY", &event("none"), &format!("{start}\"none\"}}"));
        let fields = EntryContent::Fields(vec![("a".into(), "1".into())]);
        let start =
            r#"{"stream":"uw:ws:gaps","id":"1747419593123-4","channel":"gaps","symbol":null,"payload":"#;
        check(true, "gaps", &fields, &format!("{start}{{\"a\":\"1\"}}}}"));
    }

    #[test]
    fn only_what_is_wanted_is_printed_and_counted() {
        let mut printer = printer(true);
        printer.grep = Some(RegexBuilder::new("sp[xy]").case_insensitive(true).build().unwrap());
        printer.left = Some(2);
        assert!(print(&mut printer, "news", &event(r#"{"headline":"QQQ"}"#)).is_continue());
        assert!(print(&mut printer, "news", &event(r#"{"headline":"spy"}"#)).is_continue());
        assert!(print(&mut printer, "news", &event(r#"{"headline":"SPX"}"#)).is_break());
        assert_eq!(String::from_utf8(printer.out).unwrap().lines().count(), 2);
    }
}
