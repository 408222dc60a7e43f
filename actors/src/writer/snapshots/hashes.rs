//! Commands that update `ws:latest:` and `ws:map:` hashes.

use std::sync::Arc;

use bytes::Bytes;
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use uw_websocket_core::board::Board;
use uw_websocket_core::calendar::{Product, SessionClock};
use uw_websocket_core::event::EntryId;
use uw_websocket_core::feed::map_cell;
use uw_websocket_core::feed::routing_fields::RoutingFields;
use uw_websocket_core::time::iso_utc;

use super::pending::{Newest, News, NewsOrigin};
use crate::observation::unix_micros;
use crate::writer::store::resp::{Commands, id_text};

/// Maximum number of maps with a known session: as many as streams. Beyond it all are queried again.
const MAX_REMEMBERED: usize = 32_768;
/// Maximum number of cells per command: Redis serves no other client meanwhile.
const CELLS_AT_ONCE: usize = 64;

/// The content of a `ws:latest:` hash.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Known {
    id: Option<EntryId>,
    /// The session of a row.
    session: Option<i32>,
}

impl Known {
    pub(super) fn new(id: Option<EntryId>, product: Product, payload: Option<&[u8]>) -> Known {
        Known { id, session: payload.and_then(|payload| session_of(product, payload)) }
    }
}

/// The newest session in each map.
#[derive(Debug, Default)]
pub(super) struct Sessions(HashMap<Arc<str>, i32, RandomState>);

impl Sessions {
    /// Forgets all sessions, as on a new connection.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Whether the newest-event hash must be read before these hashes are written: kept events may be older than
    /// its content, and the newest row reveals the session of a map.
    pub(super) fn must_look(&self, news: &News) -> bool {
        let is_new_map = news.cells.is_some()
            && news.destination.map.as_ref().is_some_and(|map| !self.0.contains_key(map));
        news.origin == NewsOrigin::Kept || is_new_map
    }

    /// Learns the content of the newest-event hash; false if another client has written something newer since, so
    /// that kept events are obsolete.
    pub(super) fn learn(&mut self, news: &News, known: &Known) -> bool {
        if let Some(map) = &news.destination.map
            && let Some(session) = known.session
        {
            if self.0.len() >= MAX_REMEMBERED {
                self.0.clear();
            }
            self.0.insert(Arc::clone(map), session);
        }
        let newest = news.newest.as_ref().map(|newest| newest.id);
        news.origin == NewsOrigin::Stored || known.id <= newest
    }

    /// Forgets the session of a map that was not written.
    pub(super) fn forget(&mut self, news: &News) {
        if let Some(map) = &news.destination.map {
            self.0.remove(map);
        }
    }

    /// Adds commands that write the cells; returns their number. They come before the newest event, so that a map is
    /// never behind the session stated by the latter.
    ///
    /// Removes cells of earlier sessions before the first rows of a new one; skips rows of a session earlier than
    /// the map's.
    pub(super) fn write_cells(&mut self, news: &News, commands: &mut Commands) -> usize {
        if let Some(board) = &news.board {
            return write_board(news, board, commands);
        }
        let (Some(map), Some(cells)) = (&news.destination.map, &news.cells) else { return 0 };
        let known = self.0.get(map).copied();
        if known.is_some_and(|session| session > cells.session) {
            return 0;
        }
        let begins_session = known != Some(cells.session);
        let fields: Vec<_> = cells.fields.iter().collect();
        for (at, fields) in fields.chunks(CELLS_AT_ONCE).enumerate() {
            let is_first = at == 0 && begins_session;
            if is_first {
                commands.command(&[b"MULTI"]).command(&[b"DEL", map.as_bytes()]);
            }
            set_fields(map, fields, commands);
            if is_first {
                commands.command(&[b"EXEC"]);
            }
        }
        self.0.insert(Arc::clone(map), cells.session);
        fields.len()
    }
}

/// Replaces the map by a board, together with the board's last frame: a reader sees all of one board or all of the one
/// before. A board of 17 000 rows occupies Redis for some ten milliseconds, about once per minute.
fn write_board(news: &News, board: &Board, commands: &mut Commands) -> usize {
    commands.command(&[b"MULTI"]);
    if let Some(map) = &news.destination.map {
        commands.command(&[b"DEL", map.as_bytes()]);
        let fields: Vec<_> = board.rows.iter().collect();
        set_fields(map, &fields, commands);
    }
    news.set_newest_hash(commands);
    commands.command(&[b"EXEC"]);
    board.rows.len()
}

fn set_fields(map: &str, fields: &[(&Box<str>, &Bytes)], commands: &mut Commands) {
    for fields in fields.chunks(CELLS_AT_ONCE) {
        commands.begin(2 + 2 * fields.len()).arg(b"HSET").arg(map.as_bytes());
        for (field, payload) in fields {
            commands.arg(field.as_bytes()).arg(payload);
        }
    }
}

impl News {
    /// Adds the command that writes the newest event; returns the number of events, 0 or 1. A board's last frame is
    /// written with the board.
    pub(super) fn write_newest(&self, commands: &mut Commands) -> usize {
        if self.board.is_some() {
            return 0;
        }
        self.set_newest_hash(commands)
    }

    fn set_newest_hash(&self, commands: &mut Commands) -> usize {
        let Some(Newest { payload, received_us, id }) = &self.newest else { return 0 };
        commands.command(&[
            b"HSET",
            self.destination.latest.as_bytes(),
            b"payload",
            payload,
            b"received_at",
            iso_utc(*received_us).as_bytes(),
            b"stream_id",
            id_text(*id).as_ref(),
        ]);
        1
    }
}

/// Returns the session of a row; `None` if it states neither a time nor a day.
fn session_of(product: Product, payload: &[u8]) -> Option<i32> {
    let facts = RoutingFields::read(std::str::from_utf8(payload).ok()?).ok()?;
    let now = unix_micros() / 1000;
    let stated = facts.timestamp.and_then(|ms| u64::try_from(ms).ok());
    if stated.is_none() && facts.date.is_none() {
        return None;
    }
    let at_ms = stated.map_or(now, |ms| ms.min(now));
    Some(map_cell::session_of(product, &facts, at_ms, &mut SessionClock::default()))
}
