use uw_websocket_actors::writer::store::EntryStatus;
use uw_websocket_core::event::EntryId;

use crate::redis::RedisServer;

const fn id(ms: u64, seq: u64) -> EntryId {
    EntryId { ms, seq }
}

#[tokio::test]
async fn the_last_id_is_the_highest_that_a_stream_has_given_out() {
    let redis = RedisServer::start();
    redis.command(&["XADD", "full", "7-3", "payload", "p"]);
    redis.command(&["XADD", "emptied", "9-1", "payload", "p"]);
    redis.command(&["XDEL", "emptied", "9-1"]);
    redis.command(&["SET", "text", "1"]);
    let ids = redis.store().last_ids(&["missing", "full", "text", "emptied"]).await.unwrap();
    assert_eq!(ids, [id(0, 0), id(7, 3), id(0, 0), id(9, 1)]);
    assert_eq!(redis.store().last_ids(&[]).await, Ok(Vec::new()));
}

#[tokio::test]
async fn an_entry_is_stored_absent_or_passed() {
    let redis = RedisServer::start();
    for (entry, payload) in [("2-0", "two"), ("4-0", "four"), ("4-1", "other")] {
        redis.command(&["XADD", "s", entry, "payload", payload]);
    }
    redis.command(&["SET", "text", "1"]);
    let statuses = redis
        .store()
        .entry_statuses(&[
            ("s", id(2, 0), b"two"),
            ("s", id(4, 1), b"mine"),
            ("s", id(3, 0), b"three"),
            ("s", id(4, 2), b"five"),
            ("missing", id(1, 0), b"one"),
            ("text", id(1, 0), b"one"),
        ])
        .await
        .unwrap();
    let (stored, absent, passed) = (EntryStatus::Stored, EntryStatus::Absent, EntryStatus::Passed);
    assert_eq!(statuses, [stored, passed, passed, absent, absent, absent]);
}

#[tokio::test]
async fn an_entry_below_the_first_one_was_stored_and_trimmed() {
    let redis = RedisServer::start();
    for entry in ["1-0", "2-0", "3-0"] {
        redis.command(&["XADD", "s", entry, "payload", entry]);
    }
    redis.command(&["XTRIM", "s", "MAXLEN", "1"]);
    let statuses = redis.store().entry_statuses(&[("s", id(1, 0), b"1-0"), ("s", id(3, 0), b"3-0")]).await;
    assert_eq!(statuses.unwrap(), [EntryStatus::Stored, EntryStatus::Stored]);
}
