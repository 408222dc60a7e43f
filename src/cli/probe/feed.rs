//! One socket: what the feed answers to joins and pings, and what it sends.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use actix_http::ws;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};
use uw_websocket_actors::connection::session::join_frame;
use uw_websocket_actors::connection::transport::{
    Assembler, FeedConnector, FeedSocket, HandshakeError, Incoming,
};
use uw_websocket_actors::connection::trial;
use uw_websocket_actors::settings::FeedSettings;
use uw_websocket_core::feed::envelope::{self, Envelope};
use uw_websocket_core::feed::routing_fields::RoutingFields;

use super::folder::Folder;
use super::rows;

/// Pause between two joins, as the service has it.
const JOIN_PAUSE: Duration = Duration::from_millis(10);
/// Interval between our pings: several within the usual minute.
const PING_EVERY: Duration = Duration::from_secs(10);
/// Events with an ID that are kept to be compared with REST; of more the newest.
const MAX_EVENTS: usize = 100_000;
/// Topics of frames that are counted apart.
const MAX_TOPICS: usize = 1_000;
/// Answers to a topic's joins that are reported.
const MAX_ANSWERS: usize = 3;

/// An event with an ID.
#[derive(Clone, Debug)]
pub(super) struct SeenEvent {
    pub(super) topic: String,
    pub(super) id: String,
    pub(super) at_us: u64,
}

/// Frames of a topic.
#[derive(Debug, Default)]
struct TopicCount {
    frames: u64,
    bytes: u64,
    largest: usize,
    first: Option<Duration>,
}

/// The observations of a socket.
#[derive(Debug, Default)]
pub(super) struct FeedSeen {
    address: String,
    handshake: Duration,
    /// By topic: time since its latest join, and the answer.
    answers: BTreeMap<String, Vec<(Duration, String)>>,
    notices: Vec<String>,
    topics: BTreeMap<String, TopicCount>,
    pub(super) events: VecDeque<SeenEvent>,
    ids: BTreeSet<(String, String)>,
    repeated: u64,
    pings: Vec<Duration>,
    pongs: Vec<Duration>,
    binary: u64,
    strange: u64,
    end: Option<String>,
}

/// Joins the topics, and the first one once more at half of the time.
pub(super) async fn listen(
    settings: &FeedSettings,
    topics: &[String],
    time: Duration,
    folder: &mut Folder,
    seen: &mut FeedSeen,
) -> Result<(), HandshakeError> {
    let connector =
        FeedConnector::new(settings).map_err(|error| HandshakeError::Failed(error.to_string()))?;
    let begun = Instant::now();
    let mut socket = connector.connect().await?;
    (seen.address, seen.handshake) = (connector.address(), begun.elapsed());
    folder.event("connected", &seen.address);
    let mut session = Session { begun: Instant::now(), joined_at: BTreeMap::new(), ping_at: None };
    let mut joins: VecDeque<String> = topics.iter().cloned().collect();
    let mut next_join = session.begun;
    let (half, end) = (session.begun + time / 2, session.begun + time);
    let mut is_repeated = false;
    let mut pings = interval_at(session.begun + JOIN_PAUSE, PING_EVERY);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut assembler = Assembler::default();
    loop {
        tokio::select! {
            () = sleep_until(end) => break,
            () = sleep_until(next_join), if !joins.is_empty() => {
                let Some(topic) = joins.pop_front() else { continue };
                next_join = Instant::now() + JOIN_PAUSE;
                session.join(&mut socket, topic, folder, seen).await;
            }
            () = sleep_until(half), if !is_repeated => {
                is_repeated = true;
                joins.extend(topics.first().cloned());
            }
            _ = pings.tick() => session.ping(&mut socket, folder).await,
            frame = socket.next() => {
                let Some(frame) = frame else {
                    seen.ended("without a close frame", folder);
                    break;
                };
                match frame.and_then(|frame| assembler.accept(frame)) {
                    Ok(Some(message)) => session.accept(message, &mut socket, folder, seen).await,
                    Ok(None) => {}
                    Err(error) => seen.ended(&error.to_string(), folder),
                }
                if seen.end.is_some() { break }
            }
        }
    }
    trial::leave(socket).await;
    folder.event("left", "");
    Ok(())
}

struct Session {
    begun: Instant,
    joined_at: BTreeMap<String, Instant>,
    ping_at: Option<Instant>,
}

impl Session {
    async fn join(
        &mut self,
        socket: &mut FeedSocket,
        topic: String,
        folder: &mut Folder,
        seen: &mut FeedSeen,
    ) {
        let frame = join_frame(&topic);
        folder.event("join", &frame);
        self.joined_at.insert(topic, Instant::now());
        if let Err(error) = socket.send(ws::Message::Text(frame.into())).await {
            seen.ended(&error.to_string(), folder);
        }
    }

    async fn ping(&mut self, socket: &mut FeedSocket, folder: &mut Folder) {
        self.ping_at = Some(Instant::now());
        folder.event("our ping", "");
        // a dead socket shows by its end
        socket.send(ws::Message::Ping("probe".into())).await.ok();
    }

    async fn accept(
        &mut self,
        message: Incoming,
        socket: &mut FeedSocket,
        folder: &mut Folder,
        seen: &mut FeedSeen,
    ) {
        match message {
            Incoming::Text(text) => {
                folder.frame(&text);
                self.read(&text, folder, seen);
            }
            Incoming::Ping(content) => {
                seen.pings.push(self.begun.elapsed());
                folder.event("ping", &String::from_utf8_lossy(&content));
                socket.send(ws::Message::Pong(content)).await.ok();
            }
            Incoming::Pong => {
                seen.pongs.extend(self.ping_at.take().map(|at| at.elapsed()));
                folder.event("pong", "");
            }
            Incoming::Binary(bytes) => {
                seen.binary += 1;
                folder.event("binary frame", &format!("{bytes} bytes"));
            }
            Incoming::Close(reason) => seen.ended(&format!("closed by the feed: {reason:?}"), folder),
        }
    }

    fn read(&mut self, frame: &[u8], folder: &mut Folder, seen: &mut FeedSeen) {
        let (topic, payload) = match envelope::split(frame) {
            Ok(Envelope::Message { topic, payload }) => (topic.into_owned(), payload),
            Ok(Envelope::Notice(text)) => {
                folder.event("notice", text);
                return seen.notices.push(text.to_owned());
            }
            Err(_) => return seen.strange += 1,
        };
        let Ok(facts) = RoutingFields::read(payload) else { return seen.strange += 1 };
        if facts.join_status().is_some() {
            let text = String::from_utf8_lossy(payload).into_owned();
            folder.event("answer", &format!("{topic} {text}"));
            let after = self.joined_at.get(&topic).map_or(Duration::ZERO, Instant::elapsed);
            return seen.answers.entry(topic).or_default().push((after, text));
        }
        seen.count(&topic, payload, self.begun.elapsed());
    }
}

impl FeedSeen {
    fn ended(&mut self, how: &str, folder: &mut Folder) {
        folder.event("end", how);
        self.end.get_or_insert_with(|| how.to_owned());
    }

    fn count(&mut self, topic: &str, payload: &[u8], at: Duration) {
        let is_known = self.topics.contains_key(topic) || self.topics.len() < MAX_TOPICS;
        let counts = self.topics.entry(if is_known { topic } else { "others" }.to_owned()).or_default();
        counts.frames += 1;
        counts.bytes += payload.len() as u64;
        counts.largest = counts.largest.max(payload.len());
        counts.first.get_or_insert(at);
        if !topic.starts_with("option_trades") && !topic.starts_with("flow-alerts") {
            return;
        }
        let Some((id, at_us)) = rows::event(payload) else { return };
        if self.events.len() == MAX_EVENTS
            && let Some(oldest) = self.events.pop_front()
        {
            self.ids.remove(&(oldest.topic, oldest.id));
        }
        if self.ids.insert((topic.to_owned(), id.clone())) {
            self.events.push_back(SeenEvent { topic: topic.to_owned(), id, at_us });
        } else {
            self.repeated += 1;
        }
    }

    /// Reports what was learnt.
    pub(super) fn report(&self, topics: &[String], folder: &mut Folder) {
        let handshake = format!("accepted after {} ms by {}", self.handshake.as_millis(), self.address);
        folder.say("handshake", &handshake);
        for topic in topics {
            let answers = self.answers.get(topic).map(Vec::as_slice).unwrap_or_default();
            match answers {
                [] => folder.say(&format!("join {topic}"), "not answered"),
                [(after, text), more @ ..] => {
                    folder.say(&format!("join {topic}"), &format!("after {} ms {text}", after.as_millis()));
                    for (after, text) in more.iter().take(MAX_ANSWERS) {
                        folder.say("  answered again", &format!("after {} ms {text}", after.as_millis()));
                    }
                }
            }
        }
        if let Some(first) =
            topics.first().filter(|topic| self.answers.get(*topic).is_none_or(|all| all.len() < 2))
        {
            folder.say(&format!("second join {first}"), "not answered");
        }
        for notice in &self.notices {
            folder.say("notice", notice);
        }
        for (topic, counts) in &self.topics {
            let TopicCount { frames, bytes, largest, first } = counts;
            let first = first.unwrap_or_default().as_millis();
            let mean = bytes / (*frames).max(1);
            let text =
                format!("{frames} events of {mean} bytes, the largest {largest}, the first after {first} ms");
            folder.say(topic, &text);
        }
        let silent = topics.iter().filter(|topic| !self.topics.contains_key(*topic));
        let silent: Vec<&str> = silent.map(String::as_str).collect();
        let silent = if silent.is_empty() { "none".to_owned() } else { silent.join(", ") };
        folder.say("without an event", &silent);
        folder.say("same ID again", &self.repeated.to_string());
        let pings: Vec<u128> = self.pings.iter().map(Duration::as_millis).collect();
        folder.say("pings of the feed", &format!("{}, at ms {pings:?}", pings.len()));
        let answered_after: Vec<u128> = self.pongs.iter().map(Duration::as_millis).collect();
        folder.say("our pings", &format!("answered after ms {answered_after:?}"));
        folder.say("binary, strange frames", &format!("{}, {}", self.binary, self.strange));
        folder.say("end", self.end.as_deref().unwrap_or("by us"));
    }
}
