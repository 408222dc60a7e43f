use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use uw_websocket_core::calendar::Product;
use uw_websocket_core::event::{EntryId, Event, Route};
use uw_websocket_core::fixtures::{destination, event, route, row};
use uw_websocket_core::ids::Numbering;

use super::hashes::{Known, LeftOut, Sessions};
use super::pending::{News, NewsOrigin};
use super::table::Snapshots;
use crate::fixtures::{hash, only, parse};
use crate::observation::{SnapshotKind, SnapshotTrouble};
use crate::writer::store::resp::Commands;

const MAP: &str = "uw:ws:map:gex_strike:SPY";
const INTERVAL: Duration = Duration::from_millis(250);
const ALL: usize = usize::MAX;

/// The pending content of a shard, and the known sessions of its maps.
struct World {
    snapshots: Snapshots,
    sessions: Sessions,
    numbering: Numbering,
}

impl World {
    fn new() -> World {
        let observed = crate::fixtures::observations(&["price"], 1);
        let snapshots = Snapshots::new(INTERVAL, observed, 0);
        World { snapshots, sessions: Sessions::new(100), numbering: Numbering::default() }
    }

    fn enter(&mut self, origin: NewsOrigin, mut events: Vec<Event>) {
        for event in &mut events {
            self.numbering.number(event);
        }
        self.snapshots.enter(origin, events.iter());
    }

    fn take(&self) -> Vec<News> {
        self.snapshots.take_due(Instant::now(), true, ALL)
    }

    /// Returns the commands for all pending content if the newest-event hashes hold `known`.
    fn write(&mut self, known: &Known) -> Vec<Vec<String>> {
        let pending = self.take();
        self.write_these(pending, known)
    }

    fn write_these(&mut self, pending: Vec<News>, known: &Known) -> Vec<Vec<String>> {
        let mut commands = Commands::default();
        for news in pending {
            if !self.sessions.must_look(&news) || self.sessions.learn(&news, known) {
                self.sessions.write_cells(&news, &LeftOut::default(), &mut commands);
                news.write_newest(&mut commands);
            }
        }
        parse(commands.bytes())
    }
}

fn spy() -> Arc<Route> {
    route(0, vec![destination("gex_strike:SPY", 0)])
}

fn strings<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    BTreeMap::from(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())))
}

/// A newest-event hash with a row of this session (days since 1970) and this ID.
fn known(session: u64, id: EntryId) -> Known {
    let noon = session * 86_400_000 + 16 * 3_600_000;
    Known::new(Some(id), Product::BroadOptions, Some(format!("{{\"timestamp\":{noon}}}").as_bytes()))
}

#[test]
fn of_each_outlet_only_the_newest_event_is_written() {
    let mut world = World::new();
    let both = route(0, vec![destination("news", 0), destination("news:SPY", 0)]);
    let full = route(0, vec![destination("news", 0)]);
    world.enter(
        NewsOrigin::Stored,
        vec![event(&both, "older", 0), event(&both, "old", 0), event(&full, "new", 74)],
    );
    let commands = world.write(&Known::default());
    let latest = |payload, at, id| strings([("payload", payload), ("received_at", at), ("stream_id", id)]);
    let (old_at, new_at) = ("2025-05-16T18:19:52.926001+00:00", "2025-05-16T18:19:53.000001+00:00");
    assert_eq!(hash("uw:ws:latest:news", &commands), latest("new", new_at, "1747419593000-0"));
    assert_eq!(hash("uw:ws:latest:news:SPY", &commands), latest("old", old_at, "1747419592926-1"));
    assert_eq!(only("HSET", &commands).len(), 2, "{commands:?}");
    assert_eq!(world.write(&Known::default()).len(), 0);
}

#[test]
fn a_key_rests_for_the_interval_after_it_was_written() {
    let mut world = World::new();
    let spy = spy();
    world.enter(NewsOrigin::Stored, vec![event(&spy, "1", 0)]);
    let now = Instant::now();
    let take = |world: &World, at| world.snapshots.take_due(at, false, ALL).len();
    assert_eq!(take(&world, now), 1, "the first is due at once");
    world.snapshots.written([&spy.destinations[0].stream], now);
    world.enter(NewsOrigin::Stored, vec![event(&spy, "2", 1)]);
    world.enter(NewsOrigin::Stored, vec![event(&spy, "3", 2)]);
    assert_eq!(take(&world, now + INTERVAL / 2), 0);
    assert_eq!(world.snapshots.next_due(), Some(now + INTERVAL));
    assert_eq!(take(&world, now + INTERVAL), 1);
}

/// Takes all pending content, and adds it again as if Redis had refused it at that time.
fn refuse(world: &World, now: Instant) {
    let kinds = [SnapshotKind::Latest, SnapshotKind::Map];
    let parts = world.take().into_iter().flat_map(|news| kinds.map(|kind| news.part(kind)));
    world.snapshots.put_back(parts, now);
}

#[test]
fn what_redis_refused_is_due_again_after_a_pause() {
    let mut world = World::new();
    world.enter(NewsOrigin::Stored, vec![row(&spy(), "a", "1", 10), row(&spy(), "b", "2", 10)]);
    let now = Instant::now();
    refuse(&world, now);
    assert!(world.snapshots.next_due().unwrap() > now + INTERVAL);
    let again = world.snapshots.take_due(world.snapshots.next_due().unwrap(), false, ALL);
    let commands = world.write_these(again, &known(10, EntryId::default()));
    assert_eq!(hash(MAP, &commands), strings([("1", "a"), ("2", "b")]));
    assert_eq!(hash("uw:ws:latest:gex_strike:SPY", &commands)["payload"], "b");
    assert_eq!((world.take().len(), world.snapshots.observed().pending_bytes.get()), (0, 0));
}

#[test]
fn what_comes_after_a_refusal_is_due_as_usual_and_takes_the_place_of_what_was_refused() {
    let mut world = World::new();
    world.enter(NewsOrigin::Stored, vec![row(&spy(), "a", "1", 10), row(&spy(), "b", "2", 10)]);
    refuse(&world, Instant::now());
    world.enter(NewsOrigin::Stored, vec![row(&spy(), "c", "1", 10)]);
    let now = Instant::now();
    let soon = world.snapshots.take_due(now + INTERVAL, false, ALL);
    let commands = world.write_these(soon, &known(10, EntryId::default()));
    assert_eq!(hash(MAP, &commands), strings([("1", "c"), ("2", "b")]));
    assert_eq!(hash("uw:ws:latest:gex_strike:SPY", &commands)["payload"], "c");
    let an_hour_later = now + Duration::from_secs(3_600);
    assert_eq!(world.snapshots.take_due(an_hour_later, false, ALL).len(), 0, "it was written");
}

#[test]
fn rows_and_boards_that_were_refused_do_not_replace_those_that_have_come_meanwhile() {
    let mut world = World::new();
    world.enter(NewsOrigin::Stored, vec![row(&spy(), "a", "1", 10), part(1, 1, 6500)]);
    let refused = world.take();
    world.enter(NewsOrigin::Stored, vec![row(&spy(), "c", "2", 11), part(2, 1, 6505)]);
    let parts = refused.iter().map(|news| news.part(SnapshotKind::Map));
    world.snapshots.put_back(parts, Instant::now());
    let commands = world.write(&known(11, EntryId::default()));
    assert_eq!(hash(MAP, &commands), strings([("2", "c")]), "the session has changed");
    let board = hash("uw:ws:map:periscope:SPX", &commands);
    assert_eq!(board.keys().collect::<Vec<_>>(), ["2026-12-18:6505"]);
}

#[test]
fn a_map_gets_the_newest_row_of_each_cell() {
    let mut world = World::new();
    let spy = spy();
    let rows = vec![row(&spy, "a", "1", 10), row(&spy, "b", "2", 10), row(&spy, "c", "1", 10)];
    world.enter(NewsOrigin::Stored, rows);
    let commands = world.write(&known(10, EntryId::default()));
    assert_eq!(only("DEL", &commands), Vec::<String>::new());
    assert_eq!(hash(MAP, &commands), strings([("1", "c"), ("2", "b")]));
}

#[test]
fn a_new_session_begins_with_an_empty_map_and_refuses_rows_of_earlier_ones() {
    let mut world = World::new();
    let spy = spy();
    let rows = vec![row(&spy, "a", "1", 10), row(&spy, "b", "2", 11), row(&spy, "c", "3", 10)];
    world.enter(NewsOrigin::Stored, rows);
    let commands = world.write(&known(10, EntryId::default()));
    assert_eq!(only("DEL", &commands), [MAP]);
    assert_eq!(hash(MAP, &commands), strings([("2", "b")]));
    let names: Vec<&str> = commands.iter().map(|command| &*command[0]).collect();
    assert_eq!(names, ["MULTI", "DEL", "HSET", "EXEC", "HSET"], "the newest event comes behind the map");

    world.enter(NewsOrigin::Stored, vec![row(&spy, "d", "3", 11), row(&spy, "e", "4", 10)]);
    let commands = world.write(&Known::default());
    assert_eq!(only("DEL", &commands), Vec::<String>::new());
    assert_eq!(hash(MAP, &commands), strings([("3", "d")]));

    world.enter(NewsOrigin::Stored, vec![row(&spy, "f", "5", 10)]);
    assert_eq!(hash(MAP, &world.write(&Known::default())), strings([]));
}

#[test]
fn a_map_of_an_unknown_session_is_removed_before_its_first_row() {
    let mut world = World::new();
    world.enter(NewsOrigin::Stored, vec![row(&spy(), "a", "1", 10)]);
    let commands = world.write(&Known::default());
    assert_eq!(only("DEL", &commands), [MAP]);
    assert_eq!(hash(MAP, &commands), strings([("1", "a")]));
}

#[test]
fn after_a_failed_try_the_earlier_session_is_removed_again() {
    let mut world = World::new();
    world.enter(NewsOrigin::Stored, vec![row(&spy(), "a", "1", 11)]);
    let news = world.take();
    for _ in 0..2 {
        let mut commands = Commands::default();
        assert!(world.sessions.must_look(&news[0]));
        assert!(world.sessions.learn(&news[0], &known(10, EntryId::default())));
        world.sessions.write_cells(&news[0], &LeftOut::default(), &mut commands);
        news[0].write_newest(&mut commands);
        assert_eq!(only("DEL", &parse(commands.bytes())), [MAP]);
        world.sessions.clear();
    }
}

/// A frame of the board of a time with the row of a strike.
fn part(board: u64, total: u64, strike: u64) -> Event {
    let payload = format!(
        r#"{{"ticker":"SPX","timestamp":{},"total_rows":{total},"has_more":true,"rows":[{{"strike":"{strike}","expiry":"2026-12-18","of":{board}}}]}}"#,
        1_747_419_592_000 + board
    );
    event(&spx(), &payload, board)
}

#[test]
fn a_board_replaces_the_map_as_a_whole_when_it_is_complete() {
    const BOARD: &str = "uw:ws:map:periscope:SPX";
    let mut world = World::new();
    world.enter(NewsOrigin::Stored, vec![part(1, 2, 6500)]);
    assert_eq!(
        world.write(&Known::default()),
        Vec::<Vec<String>>::new(),
        "a fragment is neither map nor newest"
    );
    let last = part(1, 2, 6505);
    world.enter(NewsOrigin::Stored, vec![last.clone()]);
    let commands = world.write(&Known::default());
    let names: Vec<&str> = commands.iter().map(|command| &*command[0]).collect();
    assert_eq!(names, ["MULTI", "DEL", "HSET", "HSET", "EXEC"]);
    let row = |strike: u64| format!(r#"{{"strike":"{strike}","expiry":"2026-12-18","of":1}}"#);
    let (first, second) = (row(6500), row(6505));
    assert_eq!(hash(BOARD, &commands), strings([("2026-12-18:6500", &first), ("2026-12-18:6505", &second)]));
    let latest = hash("uw:ws:latest:periscope:SPX", &commands);
    assert_eq!(
        latest["payload"].as_bytes(),
        &last.payload[..],
        "the last frame of the newest complete board"
    );

    // two boards between two writes, and the beginning of a third
    world.enter(NewsOrigin::Stored, vec![part(2, 1, 1), part(3, 1, 2), part(4, 2, 3)]);
    let commands = world.write(&Known::default());
    assert_eq!(hash(BOARD, &commands).len(), 1);
    assert_eq!(only("DEL", &commands), [BOARD]);
    let troubles = &world.snapshots.observed().troubles;
    assert_eq!(troubles.of(SnapshotTrouble::IncompleteBoard).get(), 0);
    world.enter(NewsOrigin::Stored, vec![part(5, 1, 2), event(&spx(), "{}", 6)]);
    let troubles = &world.snapshots.observed().troubles;
    assert_eq!(troubles.of(SnapshotTrouble::IncompleteBoard).get(), 1);
    assert_eq!(troubles.of(SnapshotTrouble::Untranslatable).get(), 1);
}

fn spx() -> Arc<Route> {
    route(0, vec![destination("periscope:SPX", 0)])
}

#[test]
fn a_kept_board_is_no_news_where_a_newer_one_was_written_since() {
    let (later, earlier) = (EntryId { ms: 9_000_000_000_000, seq: 0 }, EntryId { ms: 5, seq: 0 });
    for (there, written) in [(later, 0), (earlier, 2)] {
        let mut world = World::new();
        world.enter(NewsOrigin::Kept, vec![part(1, 1, 6500)]);
        let commands = world.write(&Known::new(Some(there), Product::IndexOptions, None));
        assert_eq!(only("HSET", &commands).len(), written, "{there}");
    }
}

#[test]
fn what_waits_of_boards_is_nothing_when_it_is_taken() {
    let mut world = World::new();
    for board in 1..5 {
        world.enter(NewsOrigin::Stored, vec![part(board, 1, board)]);
    }
    assert!(world.snapshots.observed().pending_bytes.get() > 0);
    assert_eq!(world.take().len(), 1);
    assert_eq!(world.snapshots.observed().pending_bytes.get(), 0);
}

#[test]
fn a_wave_is_written_in_commands_of_bounded_size() {
    let mut world = World::new();
    let spy = spy();
    let rows = (0..1000).map(|n| row(&spy, "x", &n.to_string(), 10)).collect();
    world.enter(NewsOrigin::Stored, rows);
    let commands = world.write(&Known::default());
    assert_eq!(hash(MAP, &commands).len(), 1000);
    assert!(commands.iter().all(|command| command.len() <= 2 + 2 * 64));
}

#[test]
fn kept_events_are_no_news_where_something_newer_was_written_since() {
    let (later, earlier) = (EntryId { ms: 9_000_000_000_000, seq: 0 }, EntryId { ms: 5, seq: 0 });
    for (there, written) in [(later, 0), (earlier, 2)] {
        let mut world = World::new();
        world.enter(NewsOrigin::Kept, vec![row(&spy(), "a", "1", 10)]);
        let commands = world.write(&known(10, there));
        assert_eq!(only("HSET", &commands).len(), written, "{there}");
    }
}

#[test]
fn kept_events_come_before_those_that_were_stored_just_now() {
    let mut world = World::new();
    let spy = spy();
    world.enter(NewsOrigin::Stored, vec![row(&spy, "new", "1", 10)]);
    world.enter(NewsOrigin::Kept, vec![row(&spy, "old", "1", 10)]);
    let taken = world.take();
    assert_eq!(
        taken.iter().map(|news| news.origin).collect::<Vec<_>>(),
        [NewsOrigin::Kept, NewsOrigin::Stored]
    );
}

#[test]
fn what_waits_does_not_grow_with_the_rate_and_is_nothing_when_it_is_taken() {
    let mut world = World::new();
    let spy = spy();
    let bytes = |world: &World| world.snapshots.observed().pending_bytes.get();
    world.enter(NewsOrigin::Stored, (0..100).map(|n| row(&spy, "{}", &n.to_string(), 10)).collect());
    let before = bytes(&world);
    for _ in 0..10 {
        world.enter(NewsOrigin::Stored, (0..100).map(|n| row(&spy, "{}", &n.to_string(), 10)).collect());
    }
    assert_eq!(bytes(&world), before);
    let taken = world.take();
    assert_eq!((taken.len(), taken[0].rows.len()), (1, 100));
    assert_eq!(bytes(&world), 0);
}
