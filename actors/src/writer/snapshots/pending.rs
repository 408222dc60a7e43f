//! Pending content of the hashes: added as events are stored, taken when their keys are due.
//!
//! Per destination only the newest event, the newest row of each cell, the newest complete board and the rows of a
//! REST body are pending, so the size is independent of the event rate. All hashes of an destination are due together.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use uw_websocket_core::board::{Board, BoardFrame, NotABoard};
use uw_websocket_core::channel::MapKey;
use uw_websocket_core::event::{Destination, EntryId, Event, MapCell};
use uw_websocket_core::tables::MAX_STREAMS;

use super::boards::Boards;
use crate::observation::SnapshotKind;

/// Minimum number of write times at which obsolete ones are purged.
const REMEMBERED_TIMES: usize = 1_024;
/// Memory of the entry of a destination, with its keys, besides its payloads.
const NEWS_BYTES: usize = 1_024;
/// Approximate maximum of kept events pending for a body, the newest ones: as many rows as a body shows.
const KEPT_ROWS: usize = 4_096;
/// Memory of an entry besides its payload.
const OVERHEAD: usize = 128;

/// The origin of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NewsOrigin {
    /// Kept in the disk queue after storage: the hashes may already hold them, or newer ones.
    Kept,
    /// Just stored.
    Stored,
}

/// Pending content of the hashes of one destination.
#[derive(Debug)]
pub struct News {
    /// The destination.
    pub(super) destination: Arc<Destination>,
    /// Whether the hashes may already hold it.
    pub(super) origin: NewsOrigin,
    /// The newest event.
    pub(super) newest: Option<Newest>,
    /// Rows for the map.
    pub(super) cells: Option<Cells>,
    /// The newest complete board, in place of the map.
    pub(super) board: Option<Board>,
    /// Events for the REST body.
    pub(super) rows: Vec<RestEvent>,
    /// Indexes in `rows` by cell, of which only the newest row is kept.
    by_cell: HashMap<Box<str>, usize, RandomState>,
    /// Memory of the payloads.
    bytes: usize,
    /// Whether it was refused and nothing has come since: then it waits for longer.
    is_put_back: bool,
    /// Memory included in the sum of all.
    counted: usize,
}

/// The newest event of an destination.
#[derive(Clone, Debug)]
pub(super) struct Newest {
    pub(super) payload: Bytes,
    pub(super) received_us: u64,
    pub(super) id: EntryId,
}

/// Rows of one session for a map.
#[derive(Clone, Debug)]
pub(super) struct Cells {
    pub(super) session: i32,
    pub(super) fields: HashMap<Box<str>, Bytes, RandomState>,
}

/// An event for a REST body.
#[derive(Debug)]
pub(super) struct RestEvent {
    pub(super) payload: Bytes,
    pub(super) received_us: u64,
    /// Its entry ID, which determines the order.
    pub(super) id: EntryId,
    /// Its own timestamp, for a row of a cell.
    at_ms: u64,
}

/// An event, one of its destinations, and its entry ID there.
pub(super) type Entered<'e> = (&'e Event, &'e Arc<Destination>, EntryId);

/// All pending content.
#[derive(Debug)]
pub(super) struct Pending {
    interval: Duration,
    news: HashMap<(NewsOrigin, Arc<str>), News, RandomState>,
    dues: BTreeSet<(Instant, NewsOrigin, Arc<str>)>,
    written_at: HashMap<Arc<str>, Instant, RandomState>,
    /// Number of write times at which obsolete ones are purged next.
    purge_at: usize,
    bytes: usize,
    boards: Boards,
}

// === impl Pending ===

impl Pending {
    pub(super) fn new(interval: Duration) -> Pending {
        Pending {
            interval,
            news: HashMap::default(),
            dues: BTreeSet::new(),
            written_at: HashMap::default(),
            purge_at: REMEMBERED_TIMES,
            bytes: 0,
            boards: Boards::default(),
        }
    }

    /// Adds the newest event of an destination.
    pub(super) fn newest(&mut self, origin: NewsOrigin, (event, destination, id): Entered<'_>, now: Instant) {
        self.change(origin, destination, now, |news| {
            if !news.is_behind(id) {
                let payload = Bytes::copy_from_slice(&event.payload);
                news.set_newest(Newest { payload, received_us: event.received_us, id });
            }
        });
    }

    /// Adds a frame of a board; nothing is pending until one completes it.
    pub(super) fn part(
        &mut self,
        origin: NewsOrigin,
        key: MapKey,
        (event, destination, id): Entered<'_>,
        now: Instant,
    ) -> Result<(), NotABoard> {
        let payload = Bytes::copy_from_slice(&event.payload);
        let frame = BoardFrame { payload, received_us: event.received_us, id };
        let Some(board) = self.boards.add(&destination.stream, key, frame)? else { return Ok(()) };
        self.change(origin, destination, now, |news| {
            if !news.is_behind(id) {
                news.set_board(board);
            }
        });
        Ok(())
    }

    /// Returns the number of boards dropped incomplete since the last call.
    pub(super) fn take_dropped_boards(&mut self) -> u64 {
        self.boards.take_dropped()
    }

    /// Adds an event for an destination's map and REST body.
    pub(super) fn row(&mut self, origin: NewsOrigin, (event, destination, id): Entered<'_>, now: Instant) {
        if destination.rest.is_none() && (destination.map.is_none() || event.cell.is_none()) {
            return;
        }
        let payload = Bytes::copy_from_slice(&event.payload);
        self.change(origin, destination, now, |news| {
            news.bytes += payload.len() + OVERHEAD;
            if let (Some(_), Some(cell)) = (&destination.map, &event.cell) {
                news.set_cell(cell, payload.clone());
            }
            if destination.rest.is_some() {
                let at_ms = event.cell.as_ref().map_or(0, |cell| cell.at_ms);
                let row = RestEvent { payload, received_us: event.received_us, id, at_ms };
                news.add_row(event.cell.as_deref(), row);
            }
        });
    }

    fn change(
        &mut self,
        origin: NewsOrigin,
        destination: &Arc<Destination>,
        now: Instant,
        change: impl FnOnce(&mut News),
    ) {
        let key = (origin, Arc::clone(&destination.stream));
        let news = self.news.entry(key).or_insert_with(|| {
            let due = self.written_at.get(&destination.stream).map_or(now, |at| *at + self.interval);
            self.dues.insert((due.max(now), origin, Arc::clone(&destination.stream)));
            News::new(Arc::clone(destination), origin)
        });
        if std::mem::take(&mut news.is_put_back) {
            self.dues.insert((now, origin, Arc::clone(&destination.stream)));
        }
        let before = news.counted;
        change(news);
        news.counted = NEWS_BYTES + news.bytes;
        self.bytes = self.bytes + news.counted - before;
    }

    /// Takes due content, or all of it: kept events first, up to `max_bytes`, but at least one destination's if there is
    /// any.
    pub(super) fn take_due(&mut self, now: Instant, takes_all: bool, max_bytes: usize) -> Vec<News> {
        let mut taken = Vec::new();
        let mut bytes = 0;
        while let Some((due, origin, stream)) = self.dues.first().cloned() {
            if due > now && !takes_all || bytes >= max_bytes {
                break;
            }
            self.dues.pop_first();
            // it may have been written since
            let due = self.due(&stream, now);
            if due > now && !takes_all {
                self.dues.insert((due, origin, stream));
                continue;
            }
            self.written_at.insert(Arc::clone(&stream), now);
            if let Some(news) = self.news.remove(&(origin, stream)) {
                bytes += news.counted;
                self.bytes -= news.counted;
                taken.push(news);
            }
        }
        taken.sort_by_key(|news: &News| news.origin);
        taken
    }

    fn due(&self, stream: &Arc<str>, now: Instant) -> Instant {
        self.written_at.get(stream).map_or(now, |at| *at + self.interval)
    }

    /// Returns the time at which content is next due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.dues.first().map(|(due, ..)| *due)
    }

    /// Records that the hashes of a stream were written: they are not due for the interval.
    pub(super) fn written(&mut self, stream: &Arc<str>, now: Instant) {
        self.written_at.insert(Arc::clone(stream), now);
        if self.written_at.len() < self.purge_at {
            return;
        }
        let interval = self.interval;
        self.written_at.retain(|_, at| *at + interval > now);
        if self.written_at.len() > MAX_STREAMS {
            // these hashes may be written again before their interval has passed
            self.written_at.clear();
        }
        // rarely, as each purge looks at all of them
        self.purge_at = REMEMBERED_TIMES.max(2 * self.written_at.len());
    }

    /// Adds content of hashes again that could not be written; what has come meanwhile is newer.
    pub(super) fn put_back(&mut self, unwritten: News, due: Instant) {
        let key = (unwritten.origin, Arc::clone(&unwritten.destination.stream));
        let news = self.news.entry(key).or_insert_with(|| {
            let stream = Arc::clone(&unwritten.destination.stream);
            self.dues.insert((due, unwritten.origin, stream));
            let news = News::new(Arc::clone(&unwritten.destination), unwritten.origin);
            News { is_put_back: true, ..news }
        });
        let before = news.counted;
        news.follow(unwritten);
        news.counted = NEWS_BYTES + news.bytes;
        self.bytes = self.bytes + news.counted - before;
    }

    /// Returns the memory of the pending content.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

// === impl News ===

impl News {
    fn new(destination: Arc<Destination>, origin: NewsOrigin) -> News {
        News {
            destination,
            origin,
            newest: None,
            cells: None,
            board: None,
            rows: Vec::new(),
            by_cell: HashMap::default(),
            bytes: 0,
            is_put_back: false,
            counted: 0,
        }
    }

    /// Whether something newer than a kept event is pending.
    fn is_behind(&self, id: EntryId) -> bool {
        self.origin == NewsOrigin::Kept && self.newest.as_ref().is_some_and(|known| known.id > id)
    }

    fn set_newest(&mut self, newest: Newest) {
        self.bytes += newest.payload.len();
        self.bytes -= self.newest.as_ref().map_or(0, |known| known.payload.len());
        self.newest = Some(newest);
    }

    fn set_board(&mut self, board: Board) {
        let bytes = |board: &Board| board.rows.values().map(|row| row.len() + OVERHEAD).sum::<usize>();
        self.bytes += bytes(&board);
        self.bytes -= self.board.as_ref().map_or(0, bytes);
        let BoardFrame { payload, received_us, id } = board.last.clone();
        self.set_newest(Newest { payload, received_us, id });
        self.board = Some(board);
    }

    /// Returns the newest event or the cells alone.
    pub(super) fn part(&self, kind: SnapshotKind) -> News {
        let mut part = News::new(Arc::clone(&self.destination), self.origin);
        match kind {
            SnapshotKind::Latest => part.newest.clone_from(&self.newest),
            SnapshotKind::Map => {
                part.cells.clone_from(&self.cells);
                part.board.clone_from(&self.board);
            }
            SnapshotKind::Rest => {}
        }
        part
    }

    /// Rows of a later session replace those of earlier ones.
    fn set_cell(&mut self, cell: &MapCell, payload: Bytes) {
        let cells = match &mut self.cells {
            Some(cells) if cells.session > cell.session => return,
            Some(cells) if cells.session == cell.session => cells,
            cells => cells.insert(Cells { session: cell.session, fields: HashMap::default() }),
        };
        if let Some(before) = cells.fields.insert(cell.field.clone(), payload) {
            self.bytes -= (before.len() + OVERHEAD).min(self.bytes);
        }
    }

    /// Adds the newest event and the cells of older content, where this has none.
    fn follow(&mut self, older: News) {
        if let Some(board) = older.board {
            // a newer board has a newest event as well
            if self.newest.is_none() {
                self.set_board(board);
            }
            return;
        }
        if self.newest.is_none()
            && let Some(newest) = older.newest
        {
            self.bytes += newest.payload.len();
            self.newest = Some(newest);
        }
        let Some(older) = older.cells else { return };
        let cells =
            self.cells.get_or_insert_with(|| Cells { session: older.session, fields: HashMap::default() });
        if cells.session != older.session {
            return;
        }
        for (field, payload) in older.fields {
            if let Entry::Vacant(missing) = cells.fields.entry(field) {
                self.bytes += payload.len() + OVERHEAD;
                missing.insert(payload);
            }
        }
    }

    fn add_row(&mut self, cell: Option<&MapCell>, row: RestEvent) {
        if self.origin == NewsOrigin::Kept && self.rows.len() >= 2 * KEPT_ROWS {
            let gone = self.rows.drain(..KEPT_ROWS).map(|row| row.payload.len() + OVERHEAD).sum::<usize>();
            self.bytes -= gone.min(self.bytes);
            self.by_cell.clear();
        }
        let Some(cell) = cell else { return self.rows.push(row) };
        if let Some(known) = self.by_cell.get(&cell.field).and_then(|at| self.rows.get_mut(*at)) {
            // the newest row of a cell may not arrive last
            if known.at_ms <= row.at_ms {
                *known = row;
            }
        } else {
            self.by_cell.insert(cell.field.clone(), self.rows.len());
            self.rows.push(row);
        }
    }
}
