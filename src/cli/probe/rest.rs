//! The REST requests: one of each endpoint in use, and those that settle an open question.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

use slog::{Discard, Logger, o};
use uw_websocket_actors::observation::RestObservation;
use uw_websocket_actors::rest::{RestClient, RestError, RestFault};
use uw_websocket_actors::settings::RestSettings;
use uw_websocket_actors::wall_clock::unix_micros;
use uw_websocket_core::channel::fill::{Ask, FillSource};
use uw_websocket_core::request_budget::Purpose;
use uw_websocket_core::rest_query::RestQuery;
use uw_websocket_core::time::iso_utc;

use super::feed::{FeedSeen, SeenEvent};
use super::folder::Folder;
use super::rows::{self, Row};
use crate::cli::endpoints::ChannelSource;
use crate::exit::Exit;

/// Socket events that are compared with one page: with those that only REST has, they must fit into it.
const COMPARED: usize = 150;
/// Length of the windows that end at a row.
const AROUND_MS: u64 = 2_000;

struct Asker<'f> {
    client: RestClient,
    folder: &'f mut Folder,
    encodings: BTreeSet<String>,
    without_usage: u32,
    exit: Exit,
}

/// Asks and reports.
pub(super) async fn ask(
    settings: &RestSettings,
    channels: &[ChannelSource<'_>],
    seen: &FeedSeen,
    folder: &mut Folder,
) -> Exit {
    let log = Logger::root(Discard, o!());
    let client = match RestClient::new(settings, Arc::<RestObservation>::default(), log) {
        Ok(client) => client,
        Err(error) => {
            folder.say("requests", &error.to_string());
            return Exit::BadSettings;
        }
    };
    let (encodings, exit) = (BTreeSet::new(), Exit::Clean);
    let mut asker = Asker { client, folder, encodings, without_usage: 0, exit };
    for channel in channels {
        let Some((query, source)) = channel.newest(usize::MAX).zip(channel.source) else { continue };
        let Some(body) = asker.get(source.name(), &query).await else {
            if asker.exit == Exit::Clean {
                continue;
            }
            break;
        };
        let rows = asker.newest(source, &body);
        if let (Ask::Window { .. }, true) = (source.ask, source.unit_us == 1_000) {
            asker.window(channel, source, &rows).await;
            asker.compare(channel, source, seen).await;
        }
    }
    let encodings: Vec<String> = asker.encodings.into_iter().collect();
    asker.folder.say("content encoding", &encodings.join(", "));
    let without = format!("{} answers had none or only some", asker.without_usage);
    asker.folder.say("usage headers", &without);
    asker.folder.say("not asked", "429 and its Retry-After, whether failures count, when the day turns");
    asker.exit
}

impl Asker<'_> {
    /// Sends a request, records its answer, and returns the body of a good one.
    async fn get(&mut self, name: &str, query: &RestQuery) -> Option<Vec<u8>> {
        let begun = Instant::now();
        let reply = match self.client.ask(Purpose::Person, query).await {
            Ok(reply) => reply,
            Err(error) => {
                self.folder.say(name, &error.to_string());
                self.exit = Exit::Unreachable;
                return None;
            }
        };
        let elapsed = begun.elapsed().as_millis();
        let mut head = format!("GET {}", query.path);
        for (nth, (name, value)) in query.pairs.iter().enumerate() {
            // writing to a `String` cannot fail
            write!(head, "{}{name}={value}", if nth == 0 { '?' } else { '&' }).ok();
        }
        write!(head, "\nat {}, after {elapsed} ms\n{}\n", iso_utc(unix_micros()), reply.status).ok();
        for (name, value) in &reply.headers {
            writeln!(head, "{name}: {}", String::from_utf8_lossy(value.as_bytes())).ok();
        }
        self.folder.answer(name, &head, &reply.body);
        let encoding = reply.headers.get("content-encoding").and_then(|value| value.to_str().ok());
        self.encodings.insert(encoding.unwrap_or("none").to_owned());
        let usage = reply.usage();
        let is_whole = usage.day_limit.is_some()
            && usage.day_count.is_some()
            && usage.minute_remaining.is_some()
            && usage.minute_count.is_some()
            && usage.minute_reset.is_some();
        self.without_usage += u32::from(!is_whole);
        match self.client.judged(reply) {
            Ok(answer) => Some(answer.body.to_vec()),
            Err(error) => {
                self.refused(name, &error);
                None
            }
        }
    }

    fn refused(&mut self, name: &str, error: &RestError) {
        self.folder.say(name, &error.to_string());
        match error.fault() {
            RestFault::Unauthorised => self.exit = Exit::TokenRefused,
            RestFault::Retryable | RestFault::NotNow => self.exit = Exit::Unreachable,
            _ => {}
        }
    }

    /// Reports what the newest rows show.
    fn newest(&mut self, source: &FillSource, body: &[u8]) -> Vec<Row> {
        let Some((rows, count)) = rows::page(body, source.time) else {
            self.folder.say(source.name(), "not {\"data\":[…]}");
            return Vec::new();
        };
        let now_us = unix_micros();
        let newest = rows.iter().map(|row| row.at_us).max();
        let age = newest.map_or_else(
            || "no time".to_owned(),
            |at| format!("the newest is {} s old", now_us.saturating_sub(at) / 1_000_000),
        );
        let ids = rows.iter().filter(|row| row.id.is_some()).count();
        let finer = rows.iter().filter(|row| row.at_us % 1_000 != 0).count();
        let text = format!(
            "{count} rows of {} asked for, {}, {age}, {ids} with `id`, {finer} times finer than 1 ms, {} without `{}`",
            source.limit,
            rows::order(&rows),
            count - rows.len(),
            source.time
        );
        self.folder.say(source.name(), &text);
        rows
    }

    /// Asks with the time of a row: whether it is part of the answer.
    async fn window(&mut self, channel: &ChannelSource<'_>, source: &FillSource, rows: &[Row]) {
        let Ask::Window { newer, older, .. } = source.ask else { return };
        let name = source.name();
        let at = rows.iter().position(|row| {
            row.id.is_some() && rows.iter().filter(|other| other.at_us == row.at_us).count() == 1
        });
        let (Some(at), Some(query)) = (at, channel.newest(usize::MAX)) else {
            return self.folder.say(name, "edges of windows: not known, no row has a time of its own");
        };
        let (row, time_ms) = (&rows[at], rows[at].at_us / 1_000);
        let (before, after) =
            (time_ms.saturating_sub(AROUND_MS).to_string(), (time_ms + AROUND_MS).to_string());
        let (ms, next_ms) = (time_ms.to_string(), (time_ms + 1).to_string());
        for (subject, edge, bounds) in [
            ("the row's time as it is", newer, [(newer, row.time.as_str()), (older, &after)]),
            ("its milliseconds", newer, [(newer, &*ms), (older, &*after)]),
            ("a millisecond later", newer, [(newer, &*next_ms), (older, &*after)]),
            ("the row's time as it is", older, [(newer, &*before), (older, &row.time)]),
            ("its milliseconds", older, [(newer, &*before), (older, &*ms)]),
            ("a millisecond later", older, [(newer, &*before), (older, &*next_ms)]),
        ] {
            let mut asked = query.clone();
            for (bound, value) in bounds {
                asked.set(bound, value);
            }
            let Some(body) = self.get(name, &asked).await else { continue };
            let answer = rows::page(&body, source.time);
            let found = match answer {
                Some((rows, count)) if rows.iter().any(|other| other.id == row.id) => {
                    format!("the row is there, among {count}")
                }
                Some((_, count)) if count < source.limit => format!("the row is not there, {count} are"),
                _ => "not known: a full page".to_owned(),
            };
            self.folder.say(&format!("{name} {edge}"), &format!("{subject}: {found}"));
        }
        self.above_limit(source, query).await;
    }

    async fn above_limit(&mut self, source: &FillSource, mut query: RestQuery) {
        let above = (source.limit + 1).to_string();
        for (_, value) in query.pairs.iter_mut().filter(|(name, _)| *name == "limit") {
            value.clone_from(&above);
        }
        let Some(body) = self.get(source.name(), &query).await else { return };
        let count = rows::page(&body, source.time).map_or(0, |(_, count)| count);
        self.folder.say(&format!("{} limit", source.name()), &format!("of {above} asked for {count} came"));
    }

    /// Compares the last events of the socket with REST, by ID.
    async fn compare(&mut self, channel: &ChannelSource<'_>, source: &FillSource, seen: &FeedSeen) {
        let Ask::Window { newer, older, .. } = source.ask else { return };
        let topic = match (&channel.symbol, channel.channel.name()) {
            (Some(symbol), "option_trades") => format!("option_trades:{symbol}"),
            (_, name) => name.to_owned(),
        };
        let mut events: Vec<&SeenEvent> = seen.events.iter().filter(|event| event.topic == topic).collect();
        events.sort_by_key(|event| std::cmp::Reverse(event.at_us));
        events.truncate(COMPARED);
        let (Some(last), Some(first), Some(query)) =
            (events.first(), events.last(), channel.newest(usize::MAX))
        else {
            return;
        };
        // an alert's row has a later time than its event
        let is_same_time = source.time == "executed_at";
        let margin_ms = if is_same_time { 0 } else { source.margin_ms };
        let (from_ms, to_ms) = (first.at_us / 1_000 + 1, last.at_us / 1_000);
        let (from, to) = (from_ms.saturating_sub(margin_ms).to_string(), (to_ms + margin_ms).to_string());
        let mut asked = query;
        asked.set(newer, from);
        asked.set(older, to);
        let Some(body) = self.get(source.name(), &asked).await else { return };
        let Some((rows, _)) = rows::page(&body, source.time) else { return };
        // the edges are of unknown inclusion
        let is_within = |at_us: u64| at_us / 1_000 > from_ms && at_us / 1_000 < to_ms;
        let ours: BTreeSet<&str> =
            events.iter().filter(|event| is_within(event.at_us)).map(|event| event.id.as_str()).collect();
        let rows = rows.iter().filter(|row| !is_same_time || is_within(row.at_us));
        let theirs: BTreeSet<&str> = rows.filter_map(|row| row.id.as_deref()).collect();
        let (both, missing) = (ours.intersection(&theirs).count(), ours.difference(&theirs).count());
        let more = if is_same_time {
            format!("the socket {}", theirs.difference(&ours).count())
        } else {
            "the times of both differ".to_owned()
        };
        let text = format!(
            "of {topic} in {} ms: both have {both}, REST lacks {missing}, {more}",
            to_ms - from_ms.min(to_ms)
        );
        self.folder.say("socket and REST", &text);
    }
}
