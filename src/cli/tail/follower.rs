//! Follows streams: existing entries in one order, then new ones, across outages of Redis.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::time::Duration;

use tokio::sync::mpsc::{Receiver, channel};
use tokio::time::{Instant, sleep};
use uw_websocket_actors::settings::RedisSettings;
use uw_websocket_actors::wall_clock::unix_micros;
use uw_websocket_core::event::EntryId;

use super::last;
use super::printer::Printer;
use crate::streams::doubts::doubts;
use crate::streams::link::{EntryContent, LinkError, Page, ReadPlace, StreamReader};
use crate::streams::merge::Merge;
use crate::streams::name::StreamName;
use crate::streams::selection::{Pattern, choose};
use crate::streams::{MAX_STREAMS, page_size, too_large};

/// Interval between searches for new streams: new symbols are found soon enough. If a search takes long, since Redis
/// has very many keys, the pause is [`REST_OF_LOOKS`] times its duration.
const LOOK_EVERY: Duration = Duration::from_secs(5);
const REST_OF_LOOKS: u32 = 10;
/// Number of streams whose next pages are read before anything is printed: the first line appears soon.
const SUPPLIED_AT_ONCE: usize = 1000;
/// Initial and maximum wait for a Redis that does not answer.
const RETRY: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(2));
/// Pause after a reply, and additional pause per stream queried: most of Redis' time remains for other clients even if
/// the streams are many and busy.
const REST: Duration = Duration::from_millis(10);
const REST_A_STREAM: Duration = Duration::from_micros(25);
/// Time before our start from which a stream that appears later is read: clocks differ, and older entries are not new.
const SKEW_MS: u64 = 60_000;

/// Why following ended early.
#[derive(Debug)]
pub(super) enum Stop {
    /// Redis is unavailable, or refuses.
    Redis(LinkError),
    /// The archive cannot be read.
    Archive(String),
    /// The pipe is closed, or the output cannot be written.
    Output(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Stop {
        Stop::Output(error)
    }
}

impl From<LinkError> for Stop {
    fn from(error: LinkError) -> Stop {
        Stop::Redis(error)
    }
}

/// The streams to follow, and the beginning.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    pub(super) redis: RedisSettings,
    pub(super) prefix: String,
    pub(super) patterns: Vec<Pattern>,
    /// Begin after this ID; `None` means with new entries.
    pub(super) after: Option<EntryId>,
    /// Whether to continue after the existing entries.
    pub(super) goes_on: bool,
    /// How many of the last entries are wanted, if not all.
    pub(super) last: Option<u64>,
    /// The patterns of the command line.
    pub(super) named: Vec<Pattern>,
    /// The topics that the settings join.
    pub(super) planned: Vec<Pattern>,
}

/// A followed stream.
#[derive(Debug)]
struct Followed {
    name: StreamName,
    key: String,
    /// Whether the position up to which it was read is an actual entry.
    was_read: bool,
    /// Time up to which nothing was missed, in Unix milliseconds.
    complete_ms: u64,
}

/// Follows streams.
pub(super) struct Follower<'f, W> {
    wish: &'f Wish,
    printer: &'f mut Printer<W>,
    /// Writes a message for people, without secrets.
    tell: &'f dyn Fn(&str),
    started_ms: u64,
    /// Begin after this ID; `None` means with new entries.
    after: Option<EntryId>,
    /// The pause before Redis is queried again.
    rest: Duration,
    /// The streams by lane number, and their names.
    streams: Vec<Followed>,
    known: BTreeSet<StreamName>,
    merge: Merge<EntryContent>,
}

impl<'f, W: Write> Follower<'f, W> {
    pub(super) fn new(
        wish: &'f Wish,
        printer: &'f mut Printer<W>,
        tell: &'f dyn Fn(&str),
    ) -> Follower<'f, W> {
        Follower {
            wish,
            printer,
            tell,
            started_ms: now_ms(),
            after: wish.after,
            rest: Duration::ZERO,
            streams: Vec::new(),
            known: BTreeSet::new(),
            merge: Merge::default(),
        }
    }

    /// Prints until there is nothing more to print. An unavailable Redis is an error at startup, but not later.
    pub(super) async fn run(mut self) -> Result<(), Stop> {
        let mut link = StreamReader::open(&self.wish.redis, &self.wish.prefix).await?;
        let there = link.streams(&self.wish.prefix).await?;
        if there.len() >= MAX_STREAMS {
            (self.tell)(&format!("there are at least {MAX_STREAMS} streams: not all of them are followed"));
        }
        for doubt in doubts(&self.wish.named, &self.wish.planned, &there, self.wish.goes_on) {
            (self.tell)(&doubt);
        }
        if let (Some(count), Some(after)) = (self.wish.last, self.after) {
            let names = choose(&self.wish.patterns, &there);
            let keys: Vec<String> = names.iter().map(|name| name.key(&self.wish.prefix)).collect();
            let is_wanted = |content: &EntryContent| self.printer.is_wanted(content);
            let begins = last::beginning(&mut link, &keys, after, count, is_wanted).await?;
            (self.after, self.printer.skipped) = (Some(begins.after), begins.skipped);
        }
        self.follow(&mut link, &there, true).await?;
        if self.streams.is_empty() && self.wish.named.is_empty() {
            (self.tell)(if self.wish.goes_on { "no such stream yet: waiting" } else { "no such stream" });
        }
        let mut seen = look_again(self.wish);
        loop {
            match self.turn(&mut link, &mut seen).await {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(())) => return Ok(()),
                Err(Stop::Redis(error)) => link = self.come_back(error).await,
                Err(stop) => return Err(stop),
            }
        }
    }

    /// Prints available entries, or fetches more.
    async fn turn(&mut self, link: &mut StreamReader, seen: &mut Seen) -> Result<ControlFlow<()>, Stop> {
        let printed = self.print_ready()?;
        self.printer.out.flush()?;
        if printed.is_break() {
            return Ok(ControlFlow::Break(()));
        }
        let hungry: Vec<usize> = self.merge.hungry().take(SUPPLIED_AT_ONCE).collect();
        if !hungry.is_empty() {
            self.supply(link, &hungry).await?;
            return Ok(ControlFlow::Continue(()));
        }
        if !self.wish.goes_on {
            return Ok(ControlFlow::Break(()));
        }
        let there = match self.merge.open().next() {
            Some(_) => seen.try_recv().ok(),
            None => seen.recv().await,
        };
        if let Some(there) = there {
            self.follow(link, &there, false).await?;
            return Ok(ControlFlow::Continue(()));
        }
        sleep(std::mem::take(&mut self.rest)).await;
        self.wait(link).await?;
        Ok(ControlFlow::Continue(()))
    }

    fn print_ready(&mut self) -> io::Result<ControlFlow<()>> {
        while let Some((lane, id, content)) = self.merge.next_entry() {
            let stream = &self.streams[lane];
            if self.printer.print(&stream.name, id, &content)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Fetches the next pages of streams that may have more entries.
    async fn supply(&mut self, link: &mut StreamReader, lanes: &[usize]) -> Result<(), LinkError> {
        let count = page_size(self.streams.len());
        let asked_ms = now_ms();
        let pages = link.pages(&self.places(lanes), None, count).await?;
        for (lane, page) in lanes.iter().zip(pages) {
            let after = self.merge.after(*lane);
            let stream = &mut self.streams[*lane];
            if let Some(seconds) = stream.missing_seconds(after, &page) {
                (self.tell)(&format!(
                    "{} was trimmed while it was not read: up to {seconds:.1} s of it may be missing",
                    stream.key
                ));
            }
            stream.was_read |= !page.entries.is_empty();
            if !page.has_more {
                stream.complete_ms = asked_ms;
            }
            self.merge.supply(*lane, page.entries, page.has_more);
            if let Some(id) = page.too_large {
                (self.tell)(&too_large(&stream.key, id));
                self.merge.pass(*lane, id);
            }
        }
        Ok(())
    }

    /// Waits briefly for new entries in all streams.
    async fn wait(&mut self, link: &mut StreamReader) -> Result<(), LinkError> {
        let lanes: Vec<usize> = self.merge.open().collect();
        let count = page_size(lanes.len());
        let asked_ms = now_ms();
        let Some(arrived) = link.wait(&self.places(&lanes), count).await? else {
            // page by page then
            self.merge.doubt();
            return Ok(());
        };
        for lane in &lanes {
            self.streams[*lane].complete_ms = asked_ms;
        }
        let is_busy = !arrived.is_empty();
        for (number, entries) in arrived {
            let lane = &lanes[number];
            self.streams[*lane].was_read = true;
            let has_more = entries.len() >= count;
            self.merge.supply(*lane, entries, has_more);
        }
        self.rest = if is_busy { rest(lanes.len()) } else { Duration::ZERO };
        Ok(())
    }

    /// Begins to follow new streams.
    async fn follow(
        &mut self,
        link: &mut StreamReader,
        there: &BTreeSet<StreamName>,
        is_first: bool,
    ) -> Result<(), LinkError> {
        let chosen = choose(&self.wish.patterns, there);
        // a new full stream includes the events of its symbols' streams
        for (lane, stream) in self.streams.iter().enumerate() {
            if there.contains(&stream.name) && chosen.binary_search(&stream.name).is_err() {
                self.merge.close(lane);
            }
        }
        let names: Vec<StreamName> = chosen.into_iter().filter(|name| !self.known.contains(name)).collect();
        let keys: Vec<String> = names.iter().map(|name| name.key(&self.wish.prefix)).collect();
        let afters = match self.after {
            Some(after) => vec![after; keys.len()],
            None if is_first => link.last_ids(&keys).await?,
            None => vec![EntryId { ms: self.started_ms.saturating_sub(SKEW_MS), seq: 0 }; keys.len()],
        };
        let was_read = self.after.is_none() && is_first;
        for ((name, key), after) in names.into_iter().zip(keys).zip(afters) {
            self.merge.add(after);
            self.known.insert(name.clone());
            self.streams.push(Followed { name, key, was_read, complete_ms: 0 });
        }
        Ok(())
    }

    /// Waits until Redis answers again, and determines the state of the streams.
    async fn come_back(&mut self, error: LinkError) -> StreamReader {
        let mut said = String::new();
        let mut error = error;
        let mut pause = RETRY.0;
        loop {
            let text = error.to_string();
            if text != said {
                (self.tell)(&format!("{text}: trying again"));
                said = text;
            }
            sleep(pause).await;
            pause = (pause * 2).min(RETRY.1);
            match self.open_again().await {
                Ok(link) => {
                    (self.tell)("redis answers again");
                    return link;
                }
                Err(again) => error = again,
            }
        }
    }

    async fn open_again(&mut self) -> Result<StreamReader, LinkError> {
        let mut link = StreamReader::open(&self.wish.redis, &self.wish.prefix).await?;
        let lanes: Vec<usize> = self.merge.open().collect();
        let places = self.places(&lanes);
        let keys: Vec<&str> = places.iter().map(|place| place.key.as_str()).collect();
        for ((lane, key), is_stream) in lanes.iter().zip(&keys).zip(link.are_streams(&keys).await?) {
            if !is_stream {
                (self.tell)(&format!("{key} is no longer a stream: it is not followed"));
                self.merge.close(*lane);
            }
        }
        self.merge.doubt();
        Ok(link)
    }

    fn places(&self, lanes: &[usize]) -> Vec<ReadPlace> {
        // one per stream: the replies are in the order of the places
        let place =
            |lane: &usize| ReadPlace { key: self.streams[*lane].key.clone(), after: self.merge.after(*lane) };
        lanes.iter().map(place).collect()
    }
}

/// The existing streams, as of the last search.
type Seen = Receiver<BTreeSet<StreamName>>;

/// Searches for streams periodically, on its own connection, for the lifetime of the runtime. An unavailable Redis is
/// handled elsewhere.
fn look_again(wish: &Wish) -> Seen {
    let (see, seen) = channel(1);
    let (redis, prefix) = (wish.redis.clone(), wish.prefix.clone());
    tokio::spawn(async move {
        let mut pause = LOOK_EVERY;
        while !see.is_closed() {
            sleep(pause).await;
            let began = Instant::now();
            let there = async { StreamReader::open(&redis, &prefix).await?.streams(&prefix).await }.await;
            pause = LOOK_EVERY.max(began.elapsed() * REST_OF_LOOKS);
            if let Ok(there) = there
                && see.send(there).await.is_err()
            {
                return;
            }
        }
    });
    seen
}

impl Followed {
    /// Describes the possible loss between the last entry read and the first one still in the stream.
    fn missing_seconds(&self, after: EntryId, page: &Page) -> Option<f64> {
        let first = page.first.filter(|first| self.was_read && *first > after)?;
        let missing_ms = first.ms.checked_sub(after.ms.max(self.complete_ms)).filter(|ms| *ms > 0)?;
        Some(missing_ms as f64 / 1000.0)
    }
}

/// Returns the pause for Redis' other clients after a reply about this number of streams.
fn rest(streams: usize) -> Duration {
    REST + REST_A_STREAM * u32::try_from(streams).unwrap_or(u32::MAX)
}

fn now_ms() -> u64 {
    unix_micros() / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_trimmed_while_nobody_read_may_be_missing() {
        let id = |ms| EntryId { ms, seq: 0 };
        let page = |first: Option<u64>| Page { first: first.map(id), ..Page::default() };
        let mut stream =
            Followed { name: StreamName::Gaps, key: "uw:ws:gaps".into(), was_read: true, complete_ms: 0 };
        assert_eq!(stream.missing_seconds(id(10_000), &page(Some(12_500))), Some(2.5));
        assert_eq!(stream.missing_seconds(id(10_000), &page(Some(9_000))), None, "what was read is there");
        assert_eq!(stream.missing_seconds(id(10_000), &page(None)), None, "nothing is there");
        stream.complete_ms = 12_000;
        assert_eq!(
            stream.missing_seconds(id(10_000), &page(Some(12_500))),
            Some(0.5),
            "it was quiet till then"
        );
        assert_eq!(stream.missing_seconds(id(10_000), &page(Some(11_000))), None);
        stream.was_read = false;
        assert_eq!(stream.missing_seconds(id(10_000), &page(Some(12_500))), None, "nothing was read before");
    }

    #[test]
    fn many_streams_leave_redis_more_time() {
        assert_eq!(rest(0), REST);
        assert!(rest(10_000) > Duration::from_millis(200));
    }
}
