//! The bodies that the REST fetcher keeps under `<p>:rest:<endpoint>:<SYMBOL>`, with events merged into them.
//!
//! A [`Body`] is the newest answer of REST that is known, and beside it what events brought: its text is made of both
//! whenever it is asked for. The order in which answers and events come makes no difference to it, nor does their
//! repetition. So an event that is replayed from disk, an answer of REST that comes between, and a late write of the
//! fetcher that puts an older answer back all end in the same text.
//!
//! Nothing here knows Redis or the clock. Sources of the forms: samples of REST's answers of 2025-10-03, the vendor's
//! examples of frames, and the fetcher's own writes.

mod alerts;
pub mod decimal;
mod frame;
mod object;
pub mod occ;
mod rows;
mod state;
mod times;

use thiserror::Error;

use crate::event::Channel;
use alerts::Alerts;
use frame::Frame;
use rows::{Kind, Rows};
use state::StockState;

/// Largest body that is kept fresh; those of REST have some hundred kilobytes.
pub const MAX_BODY: usize = 8 * 1024 * 1024;

/// The endpoints of REST whose bodies the feed keeps fresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `flow_alerts`: the newest alerts of a ticker.
    FlowAlerts,
    /// `stock_state`: its price.
    StockState,
    /// `spot_exposures`: its gamma exposure over the session.
    SpotExposures,
    /// `spot_exposures_strike`: the same by strike.
    SpotExposuresStrike,
}

/// A body in Redis that is not what its endpoint answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct Unreadable(&'static str);

/// An event that cannot become part of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct Untranslatable(&'static str);

/// What a `rest:` hash holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hash {
    /// The body.
    pub payload: String,
    /// When it was fetched, or when the newest event in it was received.
    pub fetched_at: String,
}

/// A body that is kept fresh.
#[derive(Debug)]
pub struct Body {
    endpoint: Endpoint,
    content: Content,
    base: Option<Base>,
    /// `fetched_at` of the hash, as it was last seen there or written; empty without a hash.
    seen: String,
    standing: Standing,
    /// Fingerprint of the payload that the hash holds, as far as it was written here.
    shown: Option<u64>,
    /// Fingerprint and `fetched_at` of what was wanted last: it may have been written without an answer.
    tried: Option<(u64, String)>,
    /// Whether a body may be made where REST has none.
    may_create: bool,
}

/// Of the newest answer of REST, what is not in the content.
#[derive(Debug)]
struct Base {
    frame: Frame,
    fetched_at: String,
    fetched_us: i64,
}

/// How the hash stands to what is to be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It holds that.
    Current,
    /// Events have come since.
    Changed,
    /// It holds something older.
    Behind,
}

#[derive(Debug)]
enum Content {
    Alerts(Alerts),
    State(StockState),
    Rows(Rows),
    /// What is there is not the endpoint's; it is left alone.
    Foreign,
}

// === impl Endpoint ===

impl Endpoint {
    /// All of them.
    pub const ALL: [Endpoint; 4] =
        [Endpoint::FlowAlerts, Endpoint::StockState, Endpoint::SpotExposures, Endpoint::SpotExposuresStrike];

    /// The endpoint whose bodies a channel's events keep fresh. The fetcher has none for the other channels.
    #[must_use]
    pub fn of(channel: &Channel) -> Option<Endpoint> {
        match channel {
            Channel::FlowAlerts => Some(Endpoint::FlowAlerts),
            Channel::Price => Some(Endpoint::StockState),
            Channel::Gex => Some(Endpoint::SpotExposures),
            Channel::GexStrike => Some(Endpoint::SpotExposuresStrike),
            _ => None,
        }
    }

    /// Its name in keys.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Endpoint::FlowAlerts => "flow_alerts",
            Endpoint::StockState => "stock_state",
            Endpoint::SpotExposures => "spot_exposures",
            Endpoint::SpotExposuresStrike => "spot_exposures_strike",
        }
    }
}

// === impl Body ===

impl Body {
    /// Of an endpoint and ticker, before it is known what Redis has. Without `may_create` nothing is shown until REST has
    /// answered.
    #[must_use]
    pub fn new(endpoint: Endpoint, ticker: &str, may_create: bool) -> Body {
        Body {
            endpoint,
            content: Content::new(endpoint, ticker),
            base: None,
            seen: String::new(),
            standing: Standing::Current,
            shown: None,
            tried: None,
            may_create,
        }
    }

    /// `fetched_at` as it was last seen in the hash, or written there; empty without a hash.
    #[must_use]
    pub fn seen(&self) -> &str {
        &self.seen
    }

    /// Takes in what the hash holds, unless that is older than what is known: then it is to be written again. A hash that
    /// is gone takes with it what was known.
    ///
    /// # Errors
    /// The body is not the endpoint's. It is left alone until there is another one.
    pub fn found(&mut self, ticker: &str, hash: Option<(&str, &str)>) -> Result<(), Unreadable> {
        self.shown = None;
        let Some((payload, fetched_at)) = hash else {
            if !self.seen.is_empty() || matches!(self.content, Content::Foreign) {
                self.content = Content::new(self.endpoint, ticker);
            }
            self.base = None;
            self.standing = Standing::after(self.content.newest_event_us());
            self.seen.clear();
            return Ok(());
        };
        fetched_at.clone_into(&mut self.seen);
        if self.tried.as_ref().is_some_and(|(print, at)| at == fetched_at && *print == fingerprint(payload)) {
            (self.shown, self.standing) = (Some(fingerprint(payload)), Standing::Changed);
            return Ok(());
        }
        let fetched_us = times::parse(fetched_at).unwrap_or_default();
        if self.base.as_ref().is_some_and(|base| fetched_us < base.fetched_us) {
            self.standing = Standing::Behind;
            return Ok(());
        }
        if matches!(self.content, Content::Foreign) {
            self.content = Content::new(self.endpoint, ticker);
        }
        match self.content.rebase(payload, fetched_us) {
            Ok(frame) => {
                self.base = Some(Base { frame, fetched_at: fetched_at.to_owned(), fetched_us });
                self.standing = Standing::after(self.content.newest_event_us());
                Ok(())
            }
            Err(unreadable) => {
                (self.content, self.base, self.standing) = (Content::Foreign, None, Standing::Current);
                Err(unreadable)
            }
        }
    }

    /// Takes an event in. A body that is left alone takes none.
    ///
    /// # Errors
    /// The event lacks what a row must have.
    pub fn add(&mut self, payload: &str, received_us: u64) -> Result<(), Untranslatable> {
        let received_us = i64::try_from(received_us).unwrap_or(i64::MAX);
        self.content.add(payload, received_us)?;
        if self.standing == Standing::Current {
            self.standing = Standing::Changed;
        }
        Ok(())
    }

    /// Whether what is there is not the endpoint's.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        matches!(self.content, Content::Foreign)
    }

    /// What the hash is to hold, if it does not hold that already.
    #[must_use]
    pub fn wanted(&mut self) -> Option<Hash> {
        let newest_us = self.content.newest_event_us();
        let has_news = self.standing == Standing::Behind || newest_us.is_some();
        if self.standing == Standing::Current || !has_news || self.base.is_none() && !self.may_create {
            return None;
        }
        let hash = self.shown(newest_us)?;
        if self.shown == Some(fingerprint(&hash.payload)) && self.seen == hash.fetched_at {
            self.standing = Standing::Current;
            return None;
        }
        self.tried = Some((fingerprint(&hash.payload), hash.fetched_at.clone()));
        Some(hash)
    }

    fn shown(&self, newest_us: Option<i64>) -> Option<Hash> {
        let nothing = Frame::default();
        let frame = self.base.as_ref().map_or(&nothing, |base| &base.frame);
        let payload = match &self.content {
            Content::Alerts(alerts) => frame.around_rows(alerts.shown()),
            Content::Rows(rows) => frame.around_rows(rows.shown()),
            Content::State(state) => frame.around(&state.shown()?),
            Content::Foreign => return None,
        };
        let fetched_at = match (&self.base, newest_us) {
            (Some(base), Some(newest_us)) if newest_us > base.fetched_us => times::isoformat(newest_us),
            (Some(base), _) => base.fetched_at.clone(),
            (None, newest_us) => times::isoformat(newest_us?),
        };
        Some(Hash { payload, fetched_at })
    }

    /// The hash holds this, which was wanted.
    pub fn written(&mut self, hash: &Hash) {
        self.shown = Some(fingerprint(&hash.payload));
        self.seen.clone_from(&hash.fetched_at);
        self.standing = Standing::Current;
    }

    /// Memory that it holds.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let content = match &self.content {
            Content::Alerts(alerts) => alerts.bytes(),
            Content::Rows(rows) => rows.bytes(),
            Content::State(state) => state.bytes(),
            Content::Foreign => 0,
        };
        size_of::<Body>() + content + self.base.as_ref().map_or(0, |base| base.frame.bytes())
    }
}

fn fingerprint(payload: &str) -> u64 {
    xxhash_rust::xxh3::xxh3_64(payload.as_bytes())
}

impl Standing {
    /// Of a hash that was just read, when the newest event to be shown besides what it holds was received.
    fn after(newest_event_us: Option<i64>) -> Standing {
        if newest_event_us.is_some() { Standing::Changed } else { Standing::Current }
    }
}

// === impl Content ===

impl Content {
    fn new(endpoint: Endpoint, ticker: &str) -> Content {
        match endpoint {
            Endpoint::FlowAlerts => Content::Alerts(Alerts::default()),
            Endpoint::StockState => Content::State(StockState::default()),
            Endpoint::SpotExposures => Content::Rows(Rows::new(Kind::Series, ticker)),
            Endpoint::SpotExposuresStrike => Content::Rows(Rows::new(Kind::Strikes, ticker)),
        }
    }

    fn rebase(&mut self, payload: &str, fetched_us: i64) -> Result<Frame, Unreadable> {
        if payload.len() > MAX_BODY {
            return Err(Unreadable("it is larger than any answer of REST"));
        }
        let (frame, data) = frame::split(payload)?;
        match self {
            Content::Alerts(alerts) => alerts.rebase(&frame::rows(data)?)?,
            Content::Rows(rows) => rows.rebase(&frame::rows(data)?, fetched_us)?,
            Content::State(state) => state.rebase(data)?,
            Content::Foreign => {}
        }
        Ok(frame)
    }

    fn add(&mut self, payload: &str, received_us: i64) -> Result<(), Untranslatable> {
        match self {
            Content::Alerts(alerts) => alerts.add(payload, received_us),
            Content::Rows(rows) => rows.add(payload, received_us),
            Content::State(state) => state.add(payload, received_us),
            Content::Foreign => Ok(()),
        }
    }

    fn newest_event_us(&self) -> Option<i64> {
        match self {
            Content::Alerts(alerts) => alerts.newest_event_us(),
            Content::Rows(rows) => rows.newest_event_us(),
            Content::State(state) => state.newest_event_us(),
            Content::Foreign => None,
        }
    }
}

#[cfg(test)]
mod tests;
