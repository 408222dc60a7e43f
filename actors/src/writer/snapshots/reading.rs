//! Reads the hashes in Redis: newest events and bodies.

use slog::warn;
use std::sync::Arc;

use tokio::task::yield_now;
use uw_websocket_core::channel::Frame;
use uw_websocket_core::event::EntryId;
use uw_websocket_core::snapshots::MAX_BODY;
use uw_websocket_core::time::hold_back;

use super::bodies::{Bodies, Found};
use super::flush::Flush;
use super::hashes::Known;
use super::pending::News;
use super::questions::{self, BODY, LATEST, MAX_ROW, MAX_TEXT, key_fault, text, too_long};
use crate::log_throttle::LogThrottle;
use crate::observation::{Distrust, SnapshotTrouble};
use crate::wall_clock::unix_micros;
use crate::writer::scope::WriterScope;
use crate::writer::store::fault::StoreFault;
use crate::writer::store::resp::{Commands, Reply};

/// Bodies whose lengths are queried at once.
const ASKED_AT_ONCE: usize = 512;
/// Bodies queried at once. Each is processed in place before the next one is read.
const READ_AT_ONCE: usize = 4;

/// The result of the first query of a body's `fetched_at`.
#[derive(Clone, Copy, Debug)]
enum Look {
    /// Its length; zero if absent.
    Bytes(usize),
    /// The key has another type.
    OtherType,
}

impl Flush {
    /// Reads the hashes of the newest events.
    pub(super) async fn newest_of(&mut self, news: &[&News]) -> Result<Vec<Known>, StoreFault> {
        let mut questions = Commands::default();
        questions.expect(LATEST);
        for news in news {
            let max_row = if states_session(news) { MAX_ROW } else { 0 };
            let fields = [("stream_id", MAX_TEXT), ("payload", max_row)];
            questions::read(&mut questions, &news.destination.latest, fields);
        }
        let (mut known, mut too_large, mut of_the_future) = (Vec::with_capacity(news.len()), 0, 0);
        let mut asked = news.iter();
        self.store
            .ask(&questions, |reply| {
                let news = asked.next().ok_or_else(|| StoreFault::answered(&reply))?;
                let has_row = states_session(news);
                known.push(match &reply {
                    Reply::Array(Some(fields)) => {
                        let is_large = |at| matches!(fields.get(at), Some(Reply::Integer(_)));
                        too_large += u64::from(is_large(0) || has_row && is_large(1));
                        let payload = match fields.get(1) {
                            Some(Reply::Bulk(payload)) => *payload,
                            _ => None,
                        };
                        let mut id: Option<EntryId> =
                            fields.first().and_then(text).and_then(|id| id.parse().ok());
                        if let Some(id) = &mut id {
                            let (mut at_us, now_us) = (id.ms.saturating_mul(1000), unix_micros());
                            if hold_back(&mut at_us, now_us) {
                                (id.ms, of_the_future) = (at_us / 1000, of_the_future + 1);
                            }
                        }
                        Known::new(id, news.destination.product, payload)
                    }
                    Reply::Error(text) => key_fault(text).map(|_| Known::default())?,
                    _ => Known::default(),
                });
                Ok(())
            })
            .await?;
        self.scope.observations.distrusted(Distrust::TooLarge).add(too_large);
        self.scope.note_ahead(of_the_future, "ws:latest", &mut self.ahead);
        Ok(known)
    }

    /// Reads bodies that were not held before. Of a whole market most are not in Redis; those cost a question, and what
    /// must not be created is not held.
    pub(super) async fn read_new(&mut self, keys: &[Arc<str>]) -> Result<(), StoreFault> {
        let mut present = Vec::new();
        for keys in keys.chunks(ASKED_AT_ONCE) {
            let mut questions = Commands::default();
            for key in keys {
                questions.command(&[b"HSTRLEN", key.as_bytes(), b"payload"]);
                questions.command(&[b"HSTRLEN", key.as_bytes(), b"fetched_at"]);
            }
            let mut is_absent = Vec::with_capacity(questions.count());
            self.store
                .ask(&questions, |reply| {
                    is_absent.push(matches!(reply, Reply::Integer(0)));
                    if let Reply::Error(text) = reply { key_fault(text).map(drop) } else { Ok(()) }
                })
                .await?;
            for (key, is_absent) in keys.iter().zip(is_absent.chunks(2)) {
                if is_absent.contains(&false) {
                    present.push(Arc::clone(key));
                } else if self.bodies.get(key).is_some_and(|held| held.may_create()) {
                    take_in(&mut self.bodies, key, &Found::Nothing, &mut self.ahead, &self.scope);
                } else {
                    self.bodies.forget(key);
                }
            }
        }
        self.read(&present).await
    }

    /// Reads bodies from Redis.
    pub(super) async fn read(&mut self, keys: &[Arc<str>]) -> Result<(), StoreFault> {
        for keys in keys.chunks(READ_AT_ONCE) {
            let mut questions = Commands::default();
            questions.expect(BODY);
            for key in keys {
                questions::read(&mut questions, key, [("payload", MAX_BODY), ("fetched_at", MAX_TEXT)]);
            }
            let (mut asked, scope, bodies, ahead) =
                (keys.iter(), &self.scope, &mut self.bodies, &mut self.ahead);
            self.store
                .ask(&questions, |reply| {
                    let key = asked.next().ok_or_else(|| StoreFault::answered(&reply))?;
                    take_in(bodies, key, &questions::body(&reply)?, ahead, scope);
                    Ok(())
                })
                .await?;
            yield_now().await;
        }
        Ok(())
    }

    /// Returns the bodies written by other clients.
    pub(super) async fn changed(&mut self, keys: &[Arc<str>]) -> Result<Vec<Arc<str>>, StoreFault> {
        let looks = self.lengths(keys).await?;
        let is_short = |look: &Look| matches!(look, Look::Bytes(1..=MAX_TEXT));
        let short = || keys.iter().zip(&looks).filter(|(_, look)| is_short(look)).map(|(key, _)| key);
        let mut changed = Vec::new();
        for (key, look) in keys.iter().zip(&looks).filter(|(_, look)| !is_short(look)) {
            let (time, is_other_type) = match look {
                Look::OtherType => (None, true),
                Look::Bytes(0) => (None, false),
                Look::Bytes(bytes) => (Some(too_long(bytes)), false),
            };
            self.note_if_changed(key, time.as_deref(), is_other_type, &mut changed);
        }
        let mut questions = Commands::default();
        for key in short() {
            questions.command(&[b"HGET", key.as_bytes(), b"fetched_at"]);
        }
        let mut times = Vec::with_capacity(questions.count());
        self.store
            .ask(&questions, |reply| {
                times.push(match &reply {
                    Reply::Error(text) => key_fault(text).map(|_| (None, true))?,
                    reply => (text(reply), false),
                });
                Ok(())
            })
            .await?;
        for (key, (time, is_other_type)) in short().zip(times) {
            self.note_if_changed(key, time.as_deref(), is_other_type, &mut changed);
        }
        Ok(changed)
    }

    fn note_if_changed(
        &mut self,
        key: &Arc<str>,
        time: Option<&str>,
        is_other_type: bool,
        to: &mut Vec<Arc<str>>,
    ) {
        if self.bodies.get(key).is_some_and(|held| held.has_changed(time, is_other_type)) {
            to.push(Arc::clone(key));
        }
    }

    /// Queries the lengths of these bodies' `fetched_at`.
    async fn lengths(&mut self, keys: &[Arc<str>]) -> Result<Vec<Look>, StoreFault> {
        let mut questions = Commands::default();
        for key in keys {
            questions.command(&[b"HSTRLEN", key.as_bytes(), b"fetched_at"]);
        }
        let mut looks = Vec::with_capacity(keys.len());
        self.store
            .ask(&questions, |reply| {
                looks.push(match &reply {
                    Reply::Error(text) => key_fault(text).map(|_| Look::OtherType)?,
                    Reply::Integer(bytes) => Look::Bytes(usize::try_from(*bytes).unwrap_or_default()),
                    reply => return Err(StoreFault::answered(reply)),
                });
                Ok(())
            })
            .await?;
        Ok(looks)
    }
}

/// Whether the newest event states the session of the map: rows do.
fn states_session(news: &News) -> bool {
    matches!(news.destination.frame, Frame::Row { .. })
}

/// Adopts the content of a body's key.
fn take_in(bodies: &mut Bodies, key: &str, found: &Found, ahead: &mut LogThrottle, scope: &WriterScope) {
    let Some(held) = bodies.get(key) else { return };
    let now_us = i64::try_from(unix_micros()).unwrap_or(i64::MAX);
    let taken = held.found(found, now_us);
    scope.note_ahead(held.take_ahead(), key, ahead);
    if held.is_foreign() {
        scope.observed().snapshots.troubles.of(SnapshotTrouble::Unreadable).add(1);
    }
    if matches!(found, Found::TooLarge { .. }) {
        scope.observations.distrusted(Distrust::TooLarge).add(1);
    }
    if let Err(unreadable) = taken {
        let error = match found {
            Found::OtherType(text) => text.clone(),
            _ => unreadable.to_string(),
        };
        warn!(scope.log, "rest body left alone"; "key" => key, "error" => error);
    }
}
