//! Schedules the events of all joined topics and delivers them to the sessions that joined.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use uw_websocket_core::event::{Channel, Family, Symbol, Topic};

use crate::events::{EventMaker, Sample, Scene};
use crate::misbehaviour::Alteration;
use crate::options::{SimulatorOptions, Spread};
use crate::rest::history::{FeedHistory, Oddities, Origin};
use crate::session::{Room, Session};

/// Unwritten bytes at which a session takes no more events: enough for a large write, and few enough to stay in the
/// processor's cache. The kernel's buffers cover a client that pauses.
pub(super) const OUTBOX_LIMIT: usize = 256 * 1024;
/// Entries of the schedule; every topic has at least one.
const SCHEDULE: u64 = 4096;
/// Schedule entries without room before every topic is tried.
const MAX_MISSES: usize = 64;
/// Events per reading of the clock; at full speed they are made within microseconds.
const EVENTS_PER_MOMENT: u64 = 32;

/// Outcome of an attempt to make an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offer {
    /// Delivered, or dropped on request.
    Sent,
    /// A receiver has no room.
    Full,
    /// No session can take it.
    Nobody,
}

/// What becomes of an event that no session can take, if there is a REST API that knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unheard {
    /// It is made.
    Made,
    /// It is not: at full speed the clients set the pace.
    Skipped,
}

/// A channel and symbol with the sessions that joined it.
#[derive(Debug)]
struct Source {
    maker: EventMaker,
    channel: usize,
    deliveries: Vec<Delivery>,
    origin: Rc<Origin>,
}

#[derive(Debug)]
struct Delivery {
    session: Rc<Session>,
    /// `["topic",` as the session joined it.
    prefix: Vec<u8>,
}

/// Makes events and delivers them.
#[derive(Debug)]
pub(super) struct Feed {
    scene: Scene,
    rng: fastrand::Rng,
    sources: Vec<Source>,
    /// Index of a source by channel and symbol; the symbol is empty for a channel without symbols.
    by_name: HashMap<(String, String), usize>,
    schedule: Vec<usize>,
    cursor: usize,
    /// The sources of the schedule, each once.
    steady: Vec<usize>,
    wave_sources: Vec<usize>,
    /// Channels with the number of their events.
    channels: Vec<(String, u64)>,
    alterations: Vec<(Alteration, u64)>,
    duplicate_every: Option<u64>,
    amend_every: Option<u64>,
    number: u64,
    duplicates: u64,
    amendments: u64,
    /// Whether further events are of the same instant.
    is_crowded: bool,
    /// The events that REST has; without REST, topics that no session can take have no events.
    history: Option<FeedHistory>,
}

impl Feed {
    pub(super) fn new(options: &SimulatorOptions) -> Feed {
        Feed {
            scene: Scene::new(options.stamp, options.at_us),
            rng: fastrand::Rng::with_seed(options.seed),
            sources: Vec::new(),
            by_name: HashMap::new(),
            schedule: Vec::new(),
            cursor: 0,
            steady: Vec::new(),
            wave_sources: Vec::new(),
            channels: Vec::new(),
            alterations: Vec::new(),
            duplicate_every: None,
            amend_every: None,
            number: 0,
            duplicates: 0,
            amendments: 0,
            is_crowded: false,
            history: options.rest.as_ref().map(|rest| FeedHistory::new(rest.history_bytes)),
        }
    }

    /// Sets the alterations, each with its period in events.
    pub(super) fn alter(&mut self, alterations: Vec<(Alteration, u64)>) {
        let every = |wanted| alterations.iter().find(|(kind, _)| *kind == wanted).map(|(_, every)| *every);
        self.duplicate_every = every(Alteration::Duplicate);
        self.amend_every = every(Alteration::Amendment);
        for source in &mut self.sources {
            source.maker.alter(&alterations, &self.scene);
        }
        self.alterations = alterations;
    }

    /// Rebuilds the schedule from the topics of the sessions.
    pub(super) fn arrange(&mut self, sessions: &[Rc<Session>], options: &SimulatorOptions) {
        for source in &mut self.sources {
            source.deliveries.clear();
        }
        for session in sessions {
            for topic in session.topics() {
                self.subscribe(session, &topic, options);
            }
        }
        let goes_on = self.history.is_some();
        let joined = |index: &usize| goes_on || !self.sources[*index].deliveries.is_empty();
        let joined: Vec<usize> = (0..self.sources.len()).filter(joined).collect();
        let waves = options.waves.is_some();
        let in_waves = |index: &usize| waves && is_in_rows(&self.channels[self.sources[*index].channel].0);
        let (wave_sources, steady): (Vec<usize>, Vec<usize>) = joined.into_iter().partition(in_waves);
        self.wave_sources = wave_sources;
        self.schedule = match options.spread {
            Spread::Even => steady.clone(),
            Spread::Skewed => self.skewed(&steady),
        };
        self.steady = steady;
        self.cursor = 0;
    }

    /// Adds the session to every source of a topic.
    fn subscribe(&mut self, session: &Rc<Session>, topic: &str, options: &SimulatorOptions) {
        let (channel, symbol) = Topic::split(topic);
        let wanted =
            options.channels_only.is_empty() || options.channels_only.iter().any(|only| only == channel);
        if !wanted || Channel::parse(channel).is_err() {
            return;
        }
        match symbol {
            Some(symbol) if Sample::of(channel).is_per_ticker() && Symbol::is_valid(symbol) => {
                self.deliver_to(session, topic, (channel, symbol));
            }
            Some(_) => {}
            None if Sample::of(channel).has_symbols() => {
                for symbol in &options.symbols {
                    self.deliver_to(session, topic, (channel, symbol.as_str()));
                }
            }
            None => self.deliver_to(session, topic, (channel, "")),
        }
    }

    fn deliver_to(&mut self, session: &Rc<Session>, topic: &str, (channel, symbol): (&str, &str)) {
        let prefix = envelope(topic);
        let index = self.source(channel, symbol);
        self.sources[index].deliveries.push(Delivery { session: Rc::clone(session), prefix });
    }

    fn source(&mut self, channel: &str, symbol: &str) -> usize {
        let name = (channel.to_owned(), symbol.to_owned());
        if let Some(index) = self.by_name.get(&name) {
            return *index;
        }
        let mut maker = EventMaker::new(channel, symbol, &self.scene);
        maker.alter(&self.alterations, &self.scene);
        let origin = Rc::new(Origin { channel: channel.to_owned(), symbol: symbol.to_owned() });
        let channel = self.channel(channel);
        self.sources.push(Source { maker, channel, deliveries: Vec::new(), origin });
        self.by_name.insert(name, self.sources.len() - 1);
        self.sources.len() - 1
    }

    /// Index of a channel in `channels`.
    fn channel(&mut self, name: &str) -> usize {
        self.channels.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
            self.channels.push((name.to_owned(), 0));
            self.channels.len() - 1
        })
    }

    /// Gives each channel its usual share and within it the n-th source 1/n of the first one's, shuffled.
    fn skewed(&mut self, sources: &[usize]) -> Vec<usize> {
        let mut ranks = vec![0_u64; self.channels.len()];
        let mut shares = Vec::with_capacity(sources.len());
        let mut of_channel = vec![0_u64; self.channels.len()];
        for source in sources {
            let channel = self.sources[*source].channel;
            ranks[channel] += 1;
            let share = 1_000_000 / ranks[channel];
            of_channel[channel] += share;
            shares.push((*source, channel, share));
        }
        let rate = |channel: usize| u64::from(Sample::of(&self.channels[channel].0).rate);
        let present = (0..self.channels.len()).filter(|channel| ranks[*channel] > 0);
        let total: u64 = present.map(rate).sum::<u64>().max(1);
        let mut schedule = Vec::new();
        for (source, channel, share) in shares {
            let picks = SCHEDULE * rate(channel) * share / (total * of_channel[channel]);
            schedule.extend((0..picks.max(1)).map(|_| source));
        }
        self.rng.shuffle(&mut schedule);
        schedule
    }

    /// Whether any joined topic has events.
    pub(super) fn has_listeners(&self) -> bool {
        !self.schedule.is_empty() || !self.wave_sources.is_empty()
    }

    /// Number of sources whose events come in waves.
    pub(super) fn wave_sources(&self) -> usize {
        self.wave_sources.len()
    }

    /// Brings the time of the next events up to now.
    pub(super) fn refresh(&mut self) {
        self.scene.refresh();
    }

    /// Makes the next event of the schedule, unless a receiver has no room.
    #[inline]
    pub(super) fn next(&mut self) -> Offer {
        self.advance(Unheard::Made)
    }

    #[inline]
    fn advance(&mut self, unheard: Unheard) -> Offer {
        let Some(source) = self.schedule.get(self.cursor).copied() else { return Offer::Nobody };
        self.cursor += 1;
        if self.cursor == self.schedule.len() {
            self.cursor = 0;
        }
        self.offer(source, unheard)
    }

    /// Makes an event of the first topic whose receivers have room; there must be some.
    #[inline]
    pub(super) fn next_with_room(&mut self) -> Offer {
        for _ in 0..MAX_MISSES {
            if self.advance(Unheard::Skipped) == Offer::Sent {
                return Offer::Sent;
            }
        }
        for index in 0..self.steady.len() {
            if self.offer(self.steady[index], Unheard::Skipped) == Offer::Sent {
                return Offer::Sent;
            }
        }
        Offer::Full
    }

    /// Makes a row of the `index`-th source in waves.
    pub(super) fn row(&mut self, index: usize) -> Offer {
        self.wave_sources
            .get(index)
            .copied()
            .map_or(Offer::Nobody, |source| self.offer(source, Unheard::Made))
    }

    #[inline]
    fn offer(&mut self, index: usize, unheard: Unheard) -> Offer {
        let source = &mut self.sources[index];
        let mut receivers = 0;
        for delivery in &source.deliveries {
            match delivery.session.room(OUTBOX_LIMIT) {
                Room::Full => return Offer::Full,
                Room::Yes | Room::Drops => receivers += 1,
                Room::Gone => {}
            }
        }
        if receivers == 0 && (self.history.is_none() || unheard == Unheard::Skipped) {
            return Offer::Nobody;
        }
        let is_unsent = receivers == 0;
        self.make(index, is_unsent);
        let crowd = self.history.as_ref().and_then(|history| history.crowd_after(self.number));
        if let Some(rows) = crowd {
            self.is_crowded = true;
            (0..rows).for_each(|_| self.make(index, is_unsent));
            self.is_crowded = false;
        }
        Offer::Sent
    }

    /// Makes an event and hands it to those sessions that can take it.
    #[inline]
    fn make(&mut self, index: usize, is_unsent: bool) {
        let source = &mut self.sources[index];
        self.number += 1;
        if !self.is_crowded && self.number.is_multiple_of(EVENTS_PER_MOMENT) {
            self.scene.refresh();
        }
        self.channels[source.channel].1 += 1;
        let payload = source.maker.make(self.number, self.rng.u64(..), &self.scene);
        if let Some(history) = &mut self.history {
            history.push(&source.origin, (self.number, self.scene.unix_us()), payload, is_unsent);
        }
        deliver(&source.deliveries, payload);
        if self.duplicate_every.is_some_and(|every| source.maker.made().is_multiple_of(every)) {
            self.duplicates += 1;
            deliver(&source.deliveries, source.maker.latest());
        }
        if self.amend_every.is_some_and(|every| source.maker.made().is_multiple_of(every)) {
            self.amendments += 1;
            let payload = source.maker.amend(self.number, self.rng.u64(..), &self.scene);
            if let Some(history) = &mut self.history {
                history.amend(payload);
            }
            deliver(&source.deliveries, payload);
        }
    }

    /// Counts an event that was made without this feed. One that no session took counts only if REST knows it.
    pub(super) fn count(&mut self, topic: &str, payload: &[u8], is_heard: bool) {
        if !is_heard && self.history.is_none() {
            return;
        }
        let channel = self.channel(Topic::split(topic).0);
        self.number += 1;
        self.channels[channel].1 += 1;
        if let Some(history) = &mut self.history {
            self.scene.refresh();
            history.push_foreign(topic, (self.number, self.scene.unix_us()), payload, !is_heard);
        }
    }

    /// Returns the present of the events in Unix microseconds.
    pub(super) fn now_us(&mut self) -> u64 {
        self.scene.refresh();
        self.scene.unix_us()
    }

    /// The events that REST has.
    pub(super) fn history(&self) -> Option<&FeedHistory> {
        self.history.as_ref()
    }

    /// Sets which events REST holds back or calls cancelled.
    pub(super) fn set_oddities(&mut self, oddities: Oddities) {
        if let Some(history) = &mut self.history {
            history.oddities = oddities;
        }
    }

    /// Number of events.
    pub(super) fn events(&self) -> u64 {
        self.number
    }

    /// Number of events by channel, without channels that had none.
    pub(super) fn by_channel(&self) -> BTreeMap<String, u64> {
        self.channels.iter().filter(|(_, events)| *events > 0).cloned().collect()
    }

    /// Numbers of duplicates and of amendments.
    pub(super) fn repeats(&self) -> (u64, u64) {
        (self.duplicates, self.amendments)
    }
}

/// Whether events are rows of a table, which the feed restates in bursts.
fn is_in_rows(channel: &str) -> bool {
    Channel::parse(channel)
        .is_ok_and(|channel| channel.family() == Family::Gex && channel.frame().map_key().is_some())
}

/// Builds the start of a frame: `["topic",`.
pub(super) fn envelope(topic: &str) -> Vec<u8> {
    let mut prefix = b"[".to_vec();
    prefix.extend_from_slice(serde_json::Value::from(topic).to_string().as_bytes());
    prefix.push(b',');
    prefix
}

#[inline]
fn deliver(deliveries: &[Delivery], payload: &[u8]) {
    for delivery in deliveries {
        match delivery.session.room(usize::MAX) {
            Room::Drops => delivery.session.drop_event(),
            Room::Yes | Room::Full => delivery.session.deliver(&delivery.prefix, payload),
            Room::Gone => {}
        }
    }
}
