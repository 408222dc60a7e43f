//! Boards being assembled from their frames, by stream.

use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use uw_websocket_core::board::{Assembly, Board, BoardFrame, NotABoard};
use uw_websocket_core::channel::MapKey;

/// Maximum memory of the boards that a shard assembles: the largest ticker has some 4 MiB per board. Beyond it the
/// oldest board of the largest ticker is dropped.
const MAX_ASSEMBLED: usize = 16 * 1024 * 1024;
/// Maximum number of tickers; the vendor has boards of four.
const MAX_TICKERS: usize = 1_024;

/// The boards of a shard.
#[derive(Debug, Default)]
pub(super) struct Boards {
    by_stream: HashMap<Arc<str>, Assembly, RandomState>,
    bytes: usize,
    dropped: u64,
}

impl Boards {
    /// Adds a frame of a stream's board; returns the board that it completes.
    pub(super) fn add(
        &mut self,
        stream: &Arc<str>,
        key: MapKey,
        frame: BoardFrame,
    ) -> Result<Option<Board>, NotABoard> {
        if self.by_stream.len() >= MAX_TICKERS && !self.by_stream.contains_key(stream) {
            self.clear();
        }
        let assembly = self.by_stream.entry(Arc::clone(stream)).or_default();
        let before = assembly.bytes();
        let board = assembly.add(key, frame);
        self.bytes = self.bytes + assembly.bytes() - before;
        self.dropped += assembly.take_dropped();
        while self.bytes > MAX_ASSEMBLED
            && let Some(largest) = self.by_stream.values_mut().max_by_key(|assembly| assembly.bytes())
        {
            self.bytes -= largest.bytes();
            largest.drop_one();
            self.bytes += largest.bytes();
            self.dropped += largest.take_dropped();
        }
        board
    }

    /// Forgets all boards; those that are incomplete count as dropped.
    fn clear(&mut self) {
        self.dropped += self.by_stream.values().map(|assembly| assembly.boards() as u64).sum::<u64>();
        self.by_stream.clear();
        self.bytes = 0;
    }

    /// Returns the number of boards dropped incomplete since the last call.
    pub(super) fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }
}

#[cfg(test)]
mod tests {
    use uw_websocket_core::event::EntryId;

    use super::*;

    fn add(boards: &mut Boards, stream: &str, at_ms: u64, total: usize, bytes: usize) -> bool {
        let payload = format!(
            r#"{{"timestamp":{at_ms},"total_rows":{total},"rows":[{{"strike":"5","expiry":"2026-12-18","x":"{}"}}]}}"#,
            "x".repeat(bytes)
        );
        let frame = BoardFrame { payload: payload.into(), received_us: at_ms * 1000, id: EntryId::default() };
        boards.add(&stream.into(), MapKey::ExpiryAndStrike, frame).unwrap().is_some()
    }

    #[test]
    fn boards_of_tickers_are_apart() {
        let mut boards = Boards::default();
        assert!(!add(&mut boards, "SPX", 1, 2, 1));
        assert!(add(&mut boards, "VIX", 2, 1, 1));
        assert_eq!(boards.take_dropped(), 0);
    }

    #[test]
    fn memory_is_bounded_and_what_is_dropped_is_counted() {
        let mut boards = Boards::default();
        for (n, stream) in ["SPX", "VIX", "XSP"].iter().cycle().take(30).enumerate() {
            assert!(!add(&mut boards, stream, n as u64, 2, 1024 * 1024 * 5));
            assert!(boards.bytes <= MAX_ASSEMBLED, "{}", boards.bytes);
        }
        let assembled: usize = boards.by_stream.values().map(Assembly::boards).sum();
        assert_eq!(boards.take_dropped() + assembled as u64, 30);
        for n in 0..2 * MAX_TICKERS {
            assert!(!add(&mut boards, &format!("T{n}"), 1, 2, 1));
        }
        assert!(boards.by_stream.len() <= MAX_TICKERS && boards.take_dropped() > 0);
    }
}
