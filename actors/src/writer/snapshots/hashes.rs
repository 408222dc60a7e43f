//! Commands that update `ws:latest:` and `ws:map:` hashes.

use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use uw_websocket_core::calendar::session_date;
use uw_websocket_core::event::EntryId;
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
    /// Returns the trading session of a gex row.
    session: Option<i32>,
}

impl Known {
    pub(super) fn new(id: Option<EntryId>, payload: Option<&[u8]>) -> Known {
        Known { id, session: payload.and_then(session_of) }
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
            commands.begin(2 + 2 * fields.len()).arg(b"HSET").arg(map.as_bytes());
            for (field, payload) in fields {
                commands.arg(field.as_bytes()).arg(payload);
            }
            if is_first {
                commands.command(&[b"EXEC"]);
            }
        }
        self.0.insert(Arc::clone(map), cells.session);
        fields.len()
    }
}

impl News {
    /// Adds the command that writes the newest event; returns the number of events, 0 or 1.
    pub(super) fn write_newest(&self, commands: &mut Commands) -> usize {
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

/// Returns the trading session of a gex row.
fn session_of(payload: &[u8]) -> Option<i32> {
    let facts = RoutingFields::read(std::str::from_utf8(payload).ok()?).ok()?;
    let at = u64::try_from(facts.timestamp?).ok()?.min(unix_micros() / 1000);
    Some(session_date(at))
}
