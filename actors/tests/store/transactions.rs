use std::time::{Duration, Instant};

use uw_websocket_actors::writer::store::Refused;
use uw_websocket_actors::writer::store::fault::{Refusal, StoreFault};

use crate::redis::{Client, RedisServer, SOON, address, transaction};
use crate::yardstick::has_passed;

/// Writes one entry under the first ID to `stream`.
async fn write(store: &mut Client, stream: &str) -> Result<Vec<Refused>, StoreFault> {
    store.transact(&transaction(&[&["XADD", stream, "1-0", "payload", "p"]])).await
}

fn refusal(written: Result<Vec<Refused>, StoreFault>) -> Refusal {
    match written {
        Err(StoreFault::Refused { refusal, .. }) => refusal,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_transaction_writes_all_of_its_commands() {
    let redis = RedisServer::start();
    let commands = transaction(&[
        &["XADD", "a", "1-0", "payload", "one\r\n"],
        &["XADD", "a", "MAXLEN", "~", "10", "1-1", "payload", "two"],
        &["HSET", "h", "payload", "two"],
    ]);
    assert_eq!(redis.store().transact(&commands).await, Ok(Vec::new()));
    assert_eq!(redis.command(&["XLEN", "a"]), ":2\r\n");
    assert_eq!(redis.command(&["HGET", "h", "payload"]), "$3\r\ntwo\r\n");
}

#[tokio::test]
async fn a_full_memory_refuses_all_and_the_connection_goes_on() {
    let redis = RedisServer::start();
    let mut store = redis.store();
    store.probe("uw").await.unwrap();
    let commands =
        transaction(&[&["DEL", "x"], &["XADD", "a", "1-0", "payload", "p"], &["HSET", "h", "f", "v"]]);
    redis.command(&["CONFIG", "SET", "maxmemory", "1"]);
    for _ in 0..2 {
        assert_eq!(refusal(store.transact(&commands).await), Refusal::OutOfMemory);
    }
    redis.command(&["CONFIG", "SET", "maxmemory", "0"]);
    assert_eq!(redis.command(&["EXISTS", "a", "h"]), ":0\r\n");
    assert_eq!(store.transact(&commands).await, Ok(Vec::new()));
    assert_eq!(redis.command(&["EXISTS", "a", "h"]), ":2\r\n");
}

#[tokio::test]
async fn a_command_that_is_refused_by_itself_is_reported_and_the_others_are_written() {
    let redis = RedisServer::start();
    redis.command(&["SET", "text", "1"]);
    redis.command(&["XADD", "ahead", "9-0", "payload", "p"]);
    let commands = transaction(&[
        &["XADD", "a", "1-0", "payload", "p"],
        &["XADD", "text", "1-0", "payload", "p"],
        &["XADD", "ahead", "1-0", "payload", "p"],
        &["XADD", "z", "1-0", "payload", "p"],
        &["HSET", "text", "payload", "p"],
    ]);
    let refused = redis.store().transact(&commands).await.unwrap();
    let refused: Vec<_> = refused.iter().map(|refused| (refused.command, refused.refusal)).collect();
    assert_eq!(refused, [(1, Refusal::WrongType), (2, Refusal::IdTooSmall), (4, Refusal::WrongType)]);
    assert_eq!(redis.command(&["EXISTS", "a", "z"]), ":2\r\n");
    assert_eq!(redis.command(&["XLEN", "ahead"]), ":1\r\n");
}

#[tokio::test]
async fn a_replica_refuses_all_until_it_is_none() {
    let redis = RedisServer::start();
    let mut store = redis.store();
    store.probe("uw").await.unwrap();
    redis.command(&["REPLICAOF", "127.0.0.1", &redis.port().to_string()]);
    assert_eq!(refusal(write(&mut store, "a").await), Refusal::ReadOnly);
    redis.command(&["REPLICAOF", "NO", "ONE"]);
    assert_eq!(write(&mut store, "a").await, Ok(Vec::new()));
}

#[tokio::test]
async fn a_connection_logs_in_and_chooses_its_database() {
    let redis = RedisServer::start_with(&["--requirepass", "pass/word"]);
    let mut store = Client::new(address(&format!("redis://:pass%2Fword@127.0.0.1:{}/3", redis.port())));
    assert_eq!(write(&mut store, "a").await, Ok(Vec::new()));
    let mut other = Client::new(address(&format!("redis://:pass%2Fword@127.0.0.1:{}", redis.port())));
    assert_eq!(other.last_ids(&["a"]).await.unwrap()[0].ms, 0);
    assert_eq!(store.last_ids(&["a"]).await.unwrap()[0].ms, 1);
}

#[tokio::test]
async fn a_user_logs_in_and_keeps_to_its_rights() {
    let redis = RedisServer::start();
    redis.command(&["ACL", "SETUSER", "uw", "on", ">secret", "~uw:*", "+@all"]);
    let mut store = Client::new(address(&format!("redis://uw:secret@127.0.0.1:{}", redis.port())));
    assert_eq!(write(&mut store, "uw:a").await, Ok(Vec::new()));
    assert_eq!(refusal(write(&mut store, "other").await), Refusal::NoAuth);
}

#[tokio::test]
async fn a_right_that_is_lost_before_exec_is_no_fault_of_the_entry() {
    let redis = RedisServer::start();
    redis.command(&["ACL", "SETUSER", "uw", "on", ">secret", "~uw:*", "+@all"]);
    let mut store = Client::new(address(&format!("redis://uw:secret@127.0.0.1:{}", redis.port())));
    let commands = transaction(&[
        &["XADD", "uw:a", "1-0", "payload", "p"],
        &["ACL", "SETUSER", "uw", "resetkeys"],
        &["XADD", "uw:b", "1-0", "payload", "p"],
    ]);
    let refused = store.transact(&commands).await.unwrap();
    let [Refused { command: 2, refusal: Refusal::NoAuth, text }] = &refused[..] else {
        panic!("{refused:?}");
    };
    assert!(!Refusal::NoAuth.is_about_the_entry(), "it would be quarantined: {text}");
    assert_eq!(redis.command(&["EXISTS", "uw:a", "uw:b"]), ":1\r\n");
}

#[tokio::test]
async fn a_server_without_room_for_the_connection_is_quoted_and_asked_again() {
    for (options, login, database) in [
        (&[][..], "", ""),
        (&["--requirepass", "pass"], ":pass@", ""),
        (&["--requirepass", "pass"], ":pass@", "/3"),
    ] {
        let redis = RedisServer::start_with(&[options, &["--maxclients", "1"]].concat());
        let at = format!("127.0.0.1:{}", redis.port());
        let taken = redis.take_room();
        let mut store = Client::new(address(&format!("redis://{login}{at}{database}")));
        for _ in 0..2 {
            let fault = write(&mut store, "a").await.unwrap_err();
            assert!(fault.words().contains("max number of clients reached"), "{login}{database}: {fault}");
            assert_eq!(refusal(Err(fault)), Refusal::NoRoom);
        }
        drop(taken);
        let started = Instant::now();
        while write(&mut store, "a").await.is_err() {
            assert!(!has_passed(started, SOON), "there is room");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_never_said() {
    let redis = RedisServer::start_with(&["--requirepass", "right"]);
    for login in [":a-wrong-one@", "nobody:a-wrong-one@", ""] {
        let mut store = Client::new(address(&format!("redis://{login}127.0.0.1:{}", redis.port())));
        let fault = write(&mut store, "a").await.unwrap_err();
        let said = format!("{fault} {fault:?} {store:?}");
        assert!(!said.contains("a-wrong-one"), "{said}");
        assert_eq!(refusal(Err(fault)), Refusal::NoAuth, "{login}");
    }
}

#[tokio::test]
async fn a_password_that_nobody_asks_for_is_refused() {
    let redis = RedisServer::start();
    let mut store = Client::new(address(&format!("redis://:needless@127.0.0.1:{}", redis.port())));
    assert_eq!(refusal(write(&mut store, "a").await), Refusal::NoAuth);
}

#[tokio::test]
async fn a_connection_that_was_cut_is_opened_again_for_the_next_question() {
    let redis = RedisServer::start();
    let mut store = redis.store();
    assert_eq!(write(&mut store, "a").await, Ok(Vec::new()));
    redis.command(&["CLIENT", "KILL", "TYPE", "normal"]);
    assert!(matches!(write(&mut store, "b").await, Err(StoreFault::Unanswered(_))));
    assert_eq!(write(&mut store, "c").await, Ok(Vec::new()));
}

#[tokio::test]
async fn what_redis_cannot_read_is_told_from_a_lost_connection() {
    let redis = RedisServer::start();
    redis.command(&["CONFIG", "SET", "proto-max-bulk-len", "1048576"]);
    let tcp = address(&format!("redis://127.0.0.1:{}", redis.port()));
    for address in [redis.address(), tcp] {
        let mut store = Client::new(address);
        for size in [1_100_000, 20_000_000] {
            let large = "x".repeat(size);
            let commands = transaction(&[
                &["XADD", "a", "1-0", "payload", "p"],
                &["XADD", "b", "1-0", "payload", &large],
                &["XADD", "c", "1-0", "payload", "p"],
            ]);
            assert_eq!(refusal(store.transact(&commands).await), Refusal::Unreadable);
        }
        assert_eq!(redis.command(&["EXISTS", "a", "b", "c"]), ":0\r\n");
    }
}
