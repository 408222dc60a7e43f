//! From the text of a frame to an event, an answer to a join, or a rejection that is counted.

use std::sync::Arc;
use std::time::Instant;

use crate::excerpt::excerpt;
use bytes::Bytes;
use slog::{Logger, info, warn};
use uw_websocket_core::calendar::SessionClock;
use uw_websocket_core::channel::shape;
use uw_websocket_core::event::{ChannelIndex, EntryIds, Event, MapCell, ReadAt, Route};
use uw_websocket_core::feed::envelope::Rejection;
use uw_websocket_core::feed::envelope::{self, Envelope};
use uw_websocket_core::feed::map_cell::{map_cell, row_ms};
use uw_websocket_core::feed::routing_fields::Facts;
use uw_websocket_core::routing::{Router, Routing};

use crate::error_chain::ErrorChain;
use crate::observation::{Distrust, Observations};
use crate::sampled::Sampled;

/// How much is logged of what came from outside.
const EXCERPT: usize = 200;

/// What a frame was.
#[derive(Debug)]
pub enum Taken {
    /// An event on its way.
    Event(Event),
    /// An event that nobody asked for; it is counted.
    Filtered,
    /// The feed acknowledged the join of this topic.
    Acknowledged(String),
    /// The feed refused the join of this topic, with this text. What that is worth depends on the session, so it is
    /// neither counted nor logged yet.
    Refused(String, String),
    /// Something that is counted and logged.
    Nothing,
}

/// Takes frames in for one connection.
pub struct Intake {
    router: Router,
    sessions: SessionClock,
    observations: Arc<Observations>,
    /// Takes secrets out of what is logged.
    redact: Box<dyn Fn(&str) -> String>,
    log: Logger,
    /// Of the rejections of each kind, the one that is logged.
    rejections: Vec<Sampled>,
    /// Of the events of each channel, the one that is compared with the documented shape.
    shapes: Vec<Sampled>,
    ahead: Sampled,
}

impl Intake {
    /// An intake that routes with `router`.
    #[must_use]
    pub fn new(
        router: Router,
        observations: Arc<Observations>,
        redact: Box<dyn Fn(&str) -> String>,
        log: Logger,
    ) -> Intake {
        let channels = observations.channels.len();
        Intake {
            router,
            sessions: SessionClock::default(),
            observations,
            redact,
            log,
            rejections: vec![Sampled::default(); Rejection::ALL.len()],
            shapes: vec![Sampled::default(); channels],
            ahead: Sampled::default(),
        }
    }

    /// Takes a frame in.
    pub fn take(&mut self, frame: &Bytes, read_at: ReadAt) -> Taken {
        let (topic, payload) = match envelope::split(frame) {
            Ok(Envelope::Message { topic, payload }) => (topic, payload),
            Ok(Envelope::Notice(text)) => return self.reject(Rejection::ServerNotice, text.as_bytes()),
            Err(kind) => return self.reject(kind, frame),
        };
        let Ok(facts) = Facts::read(payload) else {
            return self.reject(envelope::classify(frame), frame);
        };
        if let Some(status) = facts.join_status() {
            return self.answer(&topic, status, payload);
        }
        match self.router.route_of(&topic, &facts, payload.len()) {
            Routing::To(route) => {
                self.note_arrival(route.channel, payload, read_at);
                let cell = self.cell(&route, &facts, read_at);
                let payload = frame.slice_ref(payload);
                let received_us = read_at.unix_us;
                Taken::Event(Event {
                    route,
                    payload,
                    received_us,
                    ordinal: 0,
                    cell,
                    ids: EntryIds::default(),
                })
            }
            Routing::NoTarget(channel) => {
                self.note_arrival(channel, payload, read_at);
                self.observations.channel(channel).filter();
                Taken::Filtered
            }
            Routing::UnknownChannel => self.reject(Rejection::UnknownChannel, frame),
        }
    }

    /// Counts what is not an event and logs the first of its kind in a minute.
    pub fn reject(&mut self, kind: Rejection, input: &[u8]) -> Taken {
        self.observations.rejected(kind).add(1);
        if self.rejections[kind as usize].is_due(Instant::now()) {
            let count = self.observations.rejected(kind).get();
            warn!(self.log, "frame rejected";
                "kind" => %kind, "excerpt" => &self.excerpt(input), "bytes" => input.len(),
                "count" => count);
        }
        Taken::Nothing
    }

    fn answer(&self, topic: &str, status: &str, payload: &[u8]) -> Taken {
        if status == "ok" {
            return Taken::Acknowledged(topic.to_owned());
        }
        Taken::Refused(topic.to_owned(), self.excerpt(payload))
    }

    /// The beginning of an input without secrets.
    fn excerpt(&self, input: &[u8]) -> String {
        excerpt((self.redact)(&String::from_utf8_lossy(input)), EXCERPT)
    }

    fn cell(&mut self, route: &Route, facts: &Facts<'_>, read_at: ReadAt) -> Option<Box<MapCell>> {
        let outlet = route.outlets.first()?;
        outlet.map.as_ref()?;
        let (_, is_ahead) = row_ms(facts, read_at.unix_us);
        // the others are counted where they meet their body of REST
        if is_ahead && outlet.rest.is_none() {
            self.observations.distrusted(Distrust::Future).add(1);
            if self.ahead.is_due(read_at.instant) {
                warn!(self.log, "time of the future"; "place" => &outlet.stream, "times" => 1);
            }
        }
        let channel = &self.observations.channel(route.channel).channel;
        map_cell(channel, facts, read_at.unix_us, &mut self.sessions)
    }

    fn note_arrival(&mut self, index: ChannelIndex, payload: &[u8], read_at: ReadAt) {
        let channel = self.observations.channel(index);
        channel.last_event_at.set(read_at.unix_us);
        let shape = &mut self.shapes[usize::from(index.0)];
        let is_first = !shape.was_reported();
        if !shape.is_due(read_at.instant) {
            return;
        }
        if is_first {
            info!(self.log, "first frame"; "channel" => channel.channel.name(), "bytes" => payload.len());
        }
        // a copy of nothing: its facts were read, so it is UTF-8
        let payload = String::from_utf8_lossy(payload);
        if let Err(error) = shape::check(&channel.channel, &payload) {
            channel.drifted.add(1);
            let error = self.excerpt(ErrorChain::new(&error).to_string().as_bytes());
            warn!(self.log, "shape drifted"; "channel" => channel.channel.name(), "error" => &error);
        }
    }
}

#[cfg(test)]
mod tests;
