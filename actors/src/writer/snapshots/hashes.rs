//! Commands that update `ws:latest:` and `ws:map:` hashes.

use std::sync::Arc;

use bytes::Bytes;
use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashSet};
use uw_websocket_core::board::Board;
use uw_websocket_core::calendar::{Product, SessionClock};
use uw_websocket_core::event::EntryId;
use uw_websocket_core::feed::map_cell;
use uw_websocket_core::feed::routing_fields::RoutingFields;
use uw_websocket_core::time::iso_utc;

use super::pending::{Cells, Newest, News, NewsOrigin};
use crate::observation::SnapshotKind;
use crate::wall_clock::unix_micros;
use crate::writer::store::resp::{Commands, id_text};

/// Maximum number of fields of a map: SPX has some 30 000 expiries with strikes. A feed that names strikes without end
/// grows no hash beyond it: only its present fields are kept up to date then.
pub(super) const MAX_FIELDS: usize = 65_536;
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

/// A map in Redis.
#[derive(Clone, Copy, Debug)]
struct Map {
    /// Its newest session.
    session: i32,
    /// Maximum number of its fields; `None` before it was queried.
    fields: Option<usize>,
}

/// The known maps: at most a number of them, beyond which all are queried again.
#[derive(Debug)]
pub(super) struct Sessions {
    maps: HashMap<Arc<str>, Map, RandomState>,
    max: usize,
    forgotten: u64,
}

/// The fields of maps that are full and lack these.
pub(super) type LeftOut = HashMap<Arc<str>, HashSet<Box<str>, RandomState>, RandomState>;

impl Sessions {
    pub(super) fn new(max: usize) -> Sessions {
        Sessions { maps: HashMap::default(), max, forgotten: 0 }
    }

    /// Forgets all sessions, as on a new connection.
    pub(super) fn clear(&mut self) {
        self.maps.clear();
    }

    /// Returns the number of maps forgotten since the last call because there were too many.
    pub(super) fn take_forgotten(&mut self) -> u64 {
        std::mem::take(&mut self.forgotten)
    }

    fn set(&mut self, map: &Arc<str>, known: Map) {
        if self.maps.len() >= self.max && !self.maps.contains_key(map) {
            self.forgotten += self.maps.len() as u64;
            self.maps.clear();
        }
        self.maps.insert(Arc::clone(map), known);
    }

    /// Returns the map if its number of fields must be queried before these cells are written.
    pub(super) fn may_be_full<'n>(&self, news: &'n News) -> Option<(&'n Arc<str>, &'n Cells)> {
        let (map, cells) = (news.destination.map.as_ref()?, news.cells.as_ref()?);
        // rows of another session than the map's begin it anew
        let known = self.maps.get(map).filter(|known| known.session == cells.session);
        let before = known.map_or(Some(0), |known| known.fields);
        let has_room = before.is_some_and(|before| before + cells.fields.len() <= MAX_FIELDS);
        (!has_room).then_some((map, cells))
    }

    /// Learns the number of fields of a map.
    pub(super) fn learn_fields(&mut self, map: &Arc<str>, fields: usize) {
        if let Some(known) = self.maps.get_mut(map) {
            known.fields = Some(fields);
        }
    }

    /// Whether the newest-event hash must be read before these hashes are written: kept events may be older than
    /// its content, and the newest row reveals the session of a map.
    pub(super) fn must_look(&self, news: &News) -> bool {
        let is_new_map = news.cells.is_some()
            && news.destination.map.as_ref().is_some_and(|map| !self.maps.contains_key(map));
        news.origin == NewsOrigin::Kept || is_new_map
    }

    /// Learns the content of the newest-event hash; false if another client has written something newer since, so
    /// that kept events are obsolete.
    pub(super) fn learn(&mut self, news: &News, known: &Known) -> bool {
        if let Some(map) = &news.destination.map
            && let Some(session) = known.session
        {
            self.set(map, Map { session, fields: None });
        }
        let newest = news.newest.as_ref().map(|newest| newest.id);
        news.origin == NewsOrigin::Stored || known.id <= newest
    }

    /// Forgets the session of a map that was not written.
    pub(super) fn forget(&mut self, news: &News) {
        if let Some(map) = &news.destination.map {
            self.maps.remove(map);
        }
    }

    /// Adds commands that write the cells; returns their number. They come before the newest event, so that a map is
    /// never behind the session stated by the latter.
    ///
    /// Removes cells of earlier sessions before the first rows of a new one; skips rows of a session earlier than
    /// the map's.
    pub(super) fn write_cells(&mut self, news: &News, left_out: &LeftOut, commands: &mut Commands) -> usize {
        if let Some(board) = &news.board {
            return write_board(news, board, commands);
        }
        let (Some(map), Some(cells)) = (&news.destination.map, &news.cells) else { return 0 };
        let known = self.maps.get(map).copied();
        if known.is_some_and(|known| known.session > cells.session) {
            return 0;
        }
        let known = known.filter(|known| known.session == cells.session);
        let begins_session = known.is_none();
        let left_out = left_out.get(map);
        let is_left_out = |field: &str| left_out.is_some_and(|left_out| left_out.contains(field));
        let fields: Vec<_> = cells
            .fields
            .iter()
            .map(|(field, row)| (&**field, row))
            .filter(|(field, _)| !is_left_out(field))
            .collect();
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
        let before = known.map_or(Some(0), |known| known.fields);
        let fields_now = before.map(|before| before + fields.len());
        self.set(map, Map { session: cells.session, fields: fields_now });
        fields.len()
    }
}

/// Replaces the map by a board, together with the board's last frame: a reader sees all of one board or all of the one
/// before. A board of 17 000 rows occupies Redis for some ten milliseconds, about once per minute.
fn write_board(news: &News, board: &Board, commands: &mut Commands) -> usize {
    commands.command(&[b"MULTI"]);
    if let Some(map) = &news.destination.map {
        commands.command(&[b"DEL", map.as_bytes()]);
        let fields: Vec<_> = board.rows.iter().map(|(field, row)| (&**field, row)).collect();
        set_fields(map, &fields, commands);
    }
    news.set_newest_hash(commands);
    commands.command(&[b"EXEC"]);
    board.rows.len()
}

fn set_fields(map: &str, fields: &[(&str, &Bytes)], commands: &mut Commands) {
    for fields in fields.chunks(CELLS_AT_ONCE) {
        commands.begin(2 + 2 * fields.len()).arg(b"HSET").arg(map.as_bytes());
        for (field, payload) in fields {
            commands.arg(field.as_bytes()).arg(payload);
        }
    }
}

impl News {
    /// Returns the key of one of the two hashes.
    pub(super) fn key(&self, kind: SnapshotKind) -> Option<&str> {
        match kind {
            SnapshotKind::Latest => Some(&self.destination.latest),
            SnapshotKind::Map => self.destination.map.as_deref(),
            SnapshotKind::Rest => None,
        }
    }

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
