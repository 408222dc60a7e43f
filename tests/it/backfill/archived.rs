//! The archive has the fetched rows too, each once, apart from the events.

use std::fs;
use std::path::PathBuf;

use uw_websocket_core::event::EntryId;
use xxhash_rust::xxh3::xxh3_64;

use super::{FILLED, Fill, TOPICS, World, assert_ended};
use crate::archive::archived;
use crate::support::{SOON, Service, wait_for};

impl World {
    fn archiving() -> World {
        let mut world = World::start();
        world.setup = world.setup.set("ARCHIVE_DIR", "archive");
        world
    }

    fn archive(&self) -> PathBuf {
        self.setup.folder().join("archive")
    }

    fn rows_written(&self) -> usize {
        TOPICS.iter().map(|topic| self.backfill(topic)).sum()
    }

    /// The archive has the entries of the streams with fetched rows, byte for byte, and none twice.
    #[track_caller]
    fn assert_rows_archived(&self) {
        let archived = archived(&self.archive());
        for topic in TOPICS {
            let rows: Vec<(String, Fill)> =
                self.redis.command(&["XRANGE", &format!("uw:ws:backfill:{topic}"), "-", "+"]);
            let row = |(id, row): &(String, Fill)| {
                let id: EntryId = id.parse().unwrap();
                ((id.ms, id.seq), xxh3_64(row["payload"].as_bytes()))
            };
            let rows: Vec<_> = rows.iter().map(row).collect();
            assert!(!rows.is_empty());
            let mut lines = archived[&format!("backfill:{topic}")].clone();
            lines.sort_unstable();
            assert!(lines == rows, "{topic}: {} lines of {} rows", lines.len(), rows.len());
        }
    }

    /// Ends the service when all rows are archived or wait for the next write.
    #[track_caller]
    fn finish_archived(&self, service: Service) {
        service.wait_until_ready();
        wait_for("the archive has or gets all rows", SOON, || {
            let (archived, written) = (self.rows_archived(), self.rows_written());
            let waiting = service.metrics().sum("uw_ws_archive_waiting_rows", &[]);
            let sum = archived + usize::try_from(waiting).unwrap();
            if sum == written { Ok(()) } else { Err(format!("{archived} + {waiting} of {written}")) }
        });
        service.finish();
    }

    fn rows_archived(&self) -> usize {
        let archived = archived(&self.archive());
        archived
            .iter()
            .filter(|(topic, _)| topic.starts_with("backfill:"))
            .map(|(_, lines)| lines.len())
            .sum()
    }
}

#[test]
fn kills_in_the_middle_of_a_fill_and_after_it_leave_each_row_once_in_the_archive() {
    let mut world = World::archiving();
    let mut service = world.setup.clone().start_ready();
    let gap = world.miss(2_500);
    world.settle(&service);
    let mut seen = 0;
    for _ in 0..4 {
        seen = wait_for("the fill gets on", FILLED, || {
            let rows = world.rows_written();
            let is_over = world.fills(&gap).len() == TOPICS.len();
            if rows > seen || is_over { Ok(rows) } else { Err(format!("{rows} rows")) }
        });
        service.kill9();
        service = world.setup.clone().start();
    }
    assert_ended(&world.wait_for_fills(&gap), "complete", "");
    // no job is left that names the streams; the archive writes after a minute only
    service.kill9();
    let service = world.setup.clone().start_ready();
    world.finish_archived(service);
    world.assert_complete();
    world.assert_rows_archived();
    assert_eq!(service_skipped(&world), 0);
    assert_read_by_tools(&world);
}

/// Rows that the archive has missed, according to the ledger.
fn service_skipped(world: &World) -> u64 {
    let gaps = world.gaps();
    let of_archive = gaps.iter().filter(|(_, gap)| gap["reason"] == "archive_skipped");
    of_archive.map(|(_, gap)| gap["events"].parse::<u64>().unwrap()).sum()
}

#[track_caller]
fn assert_read_by_tools(world: &World) {
    let (code, list) = world.setup.command(&["archive", "list"]);
    assert!(code == Some(0) && list.contains("  backfill/option_trades "), "{list}");
    let (code, verdict) = world.setup.command(&["archive", "verify"]);
    let rows = world.rows_written();
    assert!(code == Some(0) && verdict.contains(&format!("and {rows} fetched rows in ")), "{verdict}");
    let (code, cat) = world.setup.command(&["archive", "cat", "--backfill", "--symbol", "SPY"]);
    let is_row = |line: &str| line.contains(r#""topic":"backfill:option_trades:SPY""#);
    assert_eq!((code, cat.lines().count()), (Some(0), world.backfill(TOPICS[1])));
    assert!(cat.lines().all(is_row));
    for command in [&["archive", "cat"][..], &["tail", "option_trades", "--archive", "--json"]] {
        let (code, events) = world.setup.command(command);
        assert!(code == Some(0) && events.lines().count() > 0 && !events.contains("backfill"));
    }
}

#[test]
fn an_archive_that_cannot_be_written_does_not_hold_a_fill_up_and_catches_up() {
    let mut world = World::archiving();
    // not even the superuser can make a folder of a file
    fs::write(world.archive(), "").unwrap();
    let service = world.setup.clone().start_ready();
    let gap = world.miss(600);
    world.settle(&service);
    assert_ended(&world.wait_for_fills(&gap), "complete", "");
    world.assert_complete();
    assert_eq!(service.metrics().sum("uw_ws_archive_up", &[]), 0);
    fs::remove_file(world.archive()).unwrap();
    service.wait_for_metric("uw_ws_archive_up", &[], 1);
    world.finish_archived(service);
    world.assert_rows_archived();
    assert_eq!(service_skipped(&world), 0);
}

#[test]
fn rows_that_leave_redis_before_they_are_archived_are_counted_and_on_record() {
    let mut world = World::archiving();
    world.setup = world.setup.set("REDIS_STREAM_MAXLEN", "100");
    fs::write(world.archive(), "").unwrap();
    let service = world.setup.clone().start_ready();
    let gap = world.miss(900);
    world.settle(&service);
    let fills: Vec<Fill> = world.wait_for_fills(&gap);
    let rows: usize = fills.iter().map(|fill| fill["rows"].parse::<usize>().unwrap()).sum();
    fs::remove_file(world.archive()).unwrap();
    service.wait_for_metric("uw_ws_archive_up", &[], 1);
    let skipped = || usize::try_from(service.metrics().sum("uw_ws_archive_skipped_total", &[])).unwrap();
    wait_for("the rows are archived or counted", SOON, || {
        let (archived, skipped) = (world.rows_archived(), skipped());
        if archived > 0 && archived + skipped == rows {
            Ok(())
        } else {
            Err(format!("{archived} + {skipped} of {rows}"))
        }
    });
    let skipped = skipped() as u64;
    assert!(skipped > 0);
    service.finish();
    assert_eq!(service_skipped(&world), skipped);
}
