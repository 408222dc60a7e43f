//! Decodes a frame into an event, an answer to a join, or a counted rejection.

use std::sync::Arc;
use std::time::Instant;

use crate::audit::tap::AuditTap;
use crate::excerpt::excerpt;
use crate::{forgetting, future_times};
use bytes::Bytes;
use slog::{Logger, info, warn};
use uw_websocket_core::calendar::SessionClock;
use uw_websocket_core::channel::shape;
use uw_websocket_core::event::{ChannelIndex, EntryIds, Event, MapCell, ReadAt, Route};
use uw_websocket_core::feed::envelope::Rejection;
use uw_websocket_core::feed::envelope::{self, Envelope};
use uw_websocket_core::feed::map_cell::{is_too_long, map_cell, row_ms};
use uw_websocket_core::feed::routing_fields::RoutingFields;
use uw_websocket_core::routing::{Router, Routing};

use crate::error_chain::ErrorChain;
use crate::log_throttle::LogThrottle;
use crate::observation::{Cut, Observations, Table};

/// Maximum bytes of external input in a log record.
const EXCERPT: usize = 200;

/// The result of decoding a frame.
#[derive(Debug)]
pub enum Decoded {
    /// An event with its route.
    Event(Event),
    /// An event without a target; counted.
    Filtered,
    /// The feed acknowledged the join of this topic.
    Acknowledged(String),
    /// The feed refused the join of this topic with this text. Neither counted nor logged yet, as that depends on
    /// the session.
    Refused(String, String),
    /// Anything else; counted and logged.
    Nothing,
}

/// Decodes the frames of one connection.
pub struct FrameDecoder {
    router: Router,
    sessions: SessionClock,
    observations: Arc<Observations>,
    /// Removes secrets from log text.
    redact: Box<dyn Fn(&str) -> String>,
    log: Logger,
    /// Log sampling by kind of rejection.
    rejections: Vec<LogThrottle>,
    /// Sampling of shape checks by channel.
    shapes: Vec<LogThrottle>,
    ahead: LogThrottle,
    /// Sampling of cuts by channel.
    cuts: Vec<LogThrottle>,
    audit: Option<AuditTap>,
}

impl FrameDecoder {
    /// Creates a decoder that routes with `router`.
    #[must_use]
    pub fn new(
        router: Router,
        observations: Arc<Observations>,
        redact: Box<dyn Fn(&str) -> String>,
        log: Logger,
    ) -> FrameDecoder {
        let channels = observations.channels.len();
        FrameDecoder {
            router,
            sessions: SessionClock::default(),
            observations,
            redact,
            log,
            rejections: vec![LogThrottle::default(); Rejection::ALL.len()],
            shapes: vec![LogThrottle::default(); channels],
            ahead: LogThrottle::default(),
            cuts: vec![LogThrottle::default(); channels],
            audit: None,
        }
    }

    /// Hands events to the audit, too.
    #[must_use]
    pub fn with_audit(self, audit: Option<AuditTap>) -> FrameDecoder {
        FrameDecoder { audit, ..self }
    }

    /// Decodes a frame.
    pub fn take(&mut self, frame: &Bytes, read_at: ReadAt) -> Decoded {
        let (topic, payload) = match envelope::split(frame) {
            Ok(Envelope::Message { topic, payload }) => (topic, payload),
            Ok(Envelope::Notice(text)) => return self.reject(Rejection::ServerNotice, text.as_bytes()),
            Err(kind) => return self.reject(kind, frame),
        };
        let Ok(facts) = RoutingFields::read(payload) else {
            return self.reject(envelope::classify(frame), frame);
        };
        if let Some(status) = facts.join_status() {
            return self.answer(&topic, status, payload);
        }
        match self.router.route_of(&topic, &facts, payload.len()) {
            Routing::To { route, left_out } => {
                forgetting::note(
                    &self.observations,
                    &self.log,
                    (Table::Routes, self.router.take_forgotten()),
                );
                self.note_arrival(route.channel, payload, read_at);
                if let Some(audit) = &self.audit {
                    let channel = self.observations.channel(route.channel).channel.name();
                    audit.note(route.channel, (channel, facts.symbol()), payload, read_at.unix_us);
                }
                let cell = self.cell(&route, &facts, read_at);
                let has_long_field = cell.is_none() && has_map(&route) && is_too_long(&facts);
                self.note_cut(route.channel, Cut::Symbols, left_out, read_at);
                self.note_cut(route.channel, Cut::MapField, usize::from(has_long_field), read_at);
                let payload = frame.slice_ref(payload);
                let received_us = read_at.unix_us;
                Decoded::Event(Event {
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
                Decoded::Filtered
            }
            Routing::UnknownChannel => self.reject(Rejection::UnknownChannel, frame),
        }
    }

    /// Counts a rejection and logs the first of its kind per minute.
    pub fn reject(&mut self, kind: Rejection, input: &[u8]) -> Decoded {
        self.observations.rejected(kind).add(1);
        if self.rejections[kind as usize].is_due(Instant::now()) {
            let count = self.observations.rejected(kind).get();
            warn!(self.log, "frame rejected";
                "kind" => %kind, "excerpt" => &self.excerpt(input), "bytes" => input.len(),
                "count" => count);
        }
        Decoded::Nothing
    }

    fn answer(&self, topic: &str, status: &str, payload: &[u8]) -> Decoded {
        if status == "ok" {
            return Decoded::Acknowledged(topic.to_owned());
        }
        Decoded::Refused(topic.to_owned(), self.excerpt(payload))
    }

    /// Returns the beginning of an input, redacted.
    fn excerpt(&self, input: &[u8]) -> String {
        excerpt((self.redact)(&String::from_utf8_lossy(input)), EXCERPT)
    }

    fn cell(&mut self, route: &Route, facts: &RoutingFields<'_>, read_at: ReadAt) -> Option<Box<MapCell>> {
        let destination = route.destinations.first()?;
        destination.map.as_ref()?;
        let (_, is_ahead) = row_ms(facts, read_at.unix_us);
        // the others are counted where they meet their REST body
        if is_ahead && destination.rest.is_none() {
            let is_due = || self.ahead.is_due(read_at.instant);
            future_times::note(&self.observations, &self.log, (&destination.stream, 1), is_due);
        }
        let channel = &self.observations.channel(route.channel).channel;
        map_cell(channel, route.symbol(), facts, read_at.unix_us, &mut self.sessions)
    }

    /// Counts what an event does not get, and logs the first of a channel per minute.
    fn note_cut(&mut self, index: ChannelIndex, what: Cut, count: usize, read_at: ReadAt) {
        if count == 0 {
            return;
        }
        let channel = self.observations.channel(index);
        channel.cut(what).add(count as u64);
        if self.cuts[usize::from(index.0)].is_due(read_at.instant) {
            warn!(self.log, "event not everywhere";
                "channel" => channel.channel.name(), "what" => %what, "count" => count);
        }
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
        // does not copy: its routing fields were read, so it is UTF-8
        let payload = String::from_utf8_lossy(payload);
        if let Err(error) = shape::check(&channel.channel, &payload) {
            channel.drifted.add(1);
            let error = self.excerpt(ErrorChain::new(&error).to_string().as_bytes());
            warn!(self.log, "shape drifted"; "channel" => channel.channel.name(), "error" => &error);
        }
    }
}

fn has_map(route: &Route) -> bool {
    route.destinations.first().is_some_and(|destination| destination.map.is_some())
}

#[cfg(test)]
mod tests;
