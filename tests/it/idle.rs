//! A Redis that closes idle connections is well.

use crate::support::oracle::assert_streams_equal;
use crate::support::sample::payload;
use crate::support::{Feed, RedisServer, SOON, Setup, wait_for};

#[test]
fn a_redis_that_closes_idle_connections_causes_no_warning() {
    let (feed, redis) = (Feed::start(), RedisServer::start_with(&["--timeout", "1", "--hz", "100"], None));
    // without bodies nothing keeps the connection of the hashes busy
    let service = Setup::new(&feed, &redis).set("CHANNELS", "option_trades").start_ready();
    for n in 0..3 {
        feed.send("option_trades:SPY", &payload("option_trades", "SPY", n));
        feed.send("option_trades:QQQ", &payload("option_trades", "QQQ", n));
        // the connections of the writers and of the hashes
        let ids = || -> Vec<String> {
            let list: String = redis.command(&["CLIENT", "LIST"]);
            let is_meant = |line: &&str| line.contains(" cmd=exec ") || line.contains(" cmd=hset ");
            let id = |line: &str| line.split(' ').next().unwrap().to_owned();
            list.lines().filter(is_meant).map(id).collect()
        };
        let open = wait_for("the trade is stored", SOON, || {
            Some(ids()).filter(|ids| ids.len() > 1).ok_or("none".into())
        });
        wait_for("these connections are closed", SOON, || {
            let now = ids();
            if open.iter().any(|id| now.contains(id)) { Err(format!("{now:?} of {open:?}")) } else { Ok(()) }
        });
    }
    assert_streams_equal(&feed, &redis, &["SPY", "QQQ"]);
    wait_for("the newest trade is in its hash", SOON, || {
        let newest: Option<String> = redis.command(&["HGET", "uw:ws:latest:option_trades:QQQ", "payload"]);
        if newest == Some(payload("option_trades", "QQQ", 2)) { Ok(()) } else { Err(format!("{newest:?}")) }
    });
    let unexpected: Vec<_> = service
        .records()
        .into_iter()
        .filter(|record| matches!(record.level, "warning" | "error" | "critical"))
        .filter(|record| record.mentions("redis") || record.mentions("lease") || record.mentions("snapshot"))
        .collect();
    assert!(unexpected.is_empty(), "{unexpected:?}");
    service.finish();
}
