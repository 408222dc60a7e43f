//! Redis under Sentinel: the promoted replica is found, what it lacks is written again, and a server that was replaced
//! is never written to.

mod desk;
mod run;

use crate::support::oracle::{assert_streams_equal, expected, stream_keys};
use crate::support::proxy::{Mode, Proxy};
use crate::support::redis::PASSWORD;
use crate::support::sample::payloads;
use crate::support::sentinels::{NAME, Sentinels};
use crate::support::tls::Certificates;
use crate::support::{Feed, RedisServer, SOON, Service, Setup, wait_for};
use desk::Desk;

const TARGETS: [&str; 2] = ["SPY", "QQQ"];
/// Events of a topic and round.
const COUNT: u64 = 50;

/// Sends events of all shards, with some that have two streams.
fn send(feed: &Feed, round: u64) {
    let first = round * COUNT;
    for (channel, symbol) in [("price", "SPY"), ("option_trades", "QQQ"), ("gex_strike", "SPY")] {
        feed.send_all(&format!("{channel}:{symbol}"), &payloads(channel, symbol, first, COUNT));
    }
    feed.send_all("flow-alerts", &payloads("flow-alerts", "SPY", first, COUNT));
}

/// How many events are in the streams of a server.
fn stored(redis: &RedisServer) -> usize {
    let keys = stream_keys(redis, "uw");
    keys.iter().map(|key| redis.command::<usize>(&["XLEN", key])).sum()
}

/// Waits until the server has as many entries as were sent.
#[track_caller]
fn wait_until_stored(feed: &Feed, redis: &RedisServer) {
    let entries: usize = expected(&feed.sent(), "uw", &TARGETS).values().map(Vec::len).sum();
    wait_for("everything is stored", SOON, || {
        let stored = stored(redis);
        if stored >= entries { Ok(()) } else { Err(format!("{stored} of {entries}")) }
    });
}

#[test]
fn a_killed_master_is_replaced_and_never_written_to_when_it_comes_back_empty() {
    let (feed, mut desk) = (Feed::start(), Desk::start());
    let service = desk.setup(&feed).start_ready();
    send(&feed, 0);
    assert_streams_equal(&feed, &desk.servers[0], &TARGETS);
    desk.wait_until_replicated(1);
    desk.servers[0].kill9();
    send(&feed, 1);
    service.wait_until_not_ready();
    desk.wait_until_master_is(1);
    desk.servers[0].restart(&[]);
    assert_eq!(desk.watch_zombie(0), 0, "keys in the server that was replaced");
    send(&feed, 2);
    assert_streams_equal(&feed, &desk.servers[1], &TARGETS);
    service.wait_until_ready();
    assert_eq!(service.count_logs("redis failover"), 1);
    service.wait_for_metric("uw_ws_redis_failovers", &[], 1);
    let master = &service.status()["redis"]["master"];
    let port = desk.servers[1].port();
    assert_eq!(
        (&master["state"], &master["address"]),
        (&"named".into(), &format!("127.0.0.1:{port}").into())
    );
    assert_eq!((&master["agreeing"], &master["sentinels"]), (&3.into(), &3.into()));
    service.finish();
}

/// The replica misses the second of three rounds, and is promoted.
fn lose_a_round(setup: Setup, feed: &Feed, desk: &mut Desk) -> Service {
    let service = setup.start_ready();
    send(feed, 0);
    assert_streams_equal(feed, &desk.servers[0], &TARGETS);
    desk.wait_until_replicated(1);
    desk.lose(|master| {
        send(feed, 1);
        wait_until_stored(feed, master);
    });
    send(feed, 2);
    service
}

#[test]
fn what_a_lagging_replica_lacks_is_written_again_when_it_is_promoted() {
    let (feed, mut desk) = (Feed::start(), Desk::start());
    let service = lose_a_round(desk.setup(&feed), &feed, &mut desk);
    assert_streams_equal(&feed, &desk.servers[1], &TARGETS);
    service.wait_until_ready();
    service.finish();
}

/// That the test above can fail.
#[test]
fn without_the_look_at_the_streams_the_same_failover_loses_events() {
    let (feed, mut desk) = (Feed::start(), Desk::start());
    let omit = "writer-0:omit:at=restoring:times=1000;writer-1:omit:at=restoring:times=1000";
    let setup = desk.setup(&feed).set("UW_WEBSOCKET_FAULT", omit);
    let service = lose_a_round(setup, &feed, &mut desk);
    service.wait_until_ready();
    service.wait_until_settled();
    let sent: usize = expected(&feed.sent(), "uw", &TARGETS).values().map(Vec::len).sum();
    let stored = stored(&desk.servers[1]);
    assert!(stored < sent, "{stored} of {sent}");
    service.finish();
}

#[test]
fn a_master_that_hung_until_it_was_replaced_gets_nothing_more() {
    let (feed, desk) = (Feed::start(), Desk::start());
    let service = desk.setup(&feed).start_ready();
    send(&feed, 0);
    assert_streams_equal(&feed, &desk.servers[0], &TARGETS);
    desk.servers[0].pause();
    send(&feed, 1);
    desk.wait_until_master_is(1);
    assert_streams_equal(&feed, &desk.servers[1], &TARGETS);
    desk.servers[0].resume();
    desk.watch_zombie(0);
    desk.wait_until_replicated(0);
    send(&feed, 2);
    assert_streams_equal(&feed, &desk.servers[1], &TARGETS);
    service.wait_until_ready();
    service.finish();
}

#[test]
fn records_stay_on_disk_until_a_replica_has_them() {
    let (feed, desk) = (Feed::start(), Desk::start());
    let service = desk.setup(&feed).set("SPOOL_KEEP", "0s").start_ready();
    send(&feed, 0);
    assert_streams_equal(&feed, &desk.servers[0], &TARGETS);
    let bytes = || service.metrics().sum("uw_ws_spool_bytes", &[]);
    let wait_until_below = |limit: u64| {
        wait_for("the records are removed", SOON, || {
            let bytes = bytes();
            if bytes < limit { Ok(()) } else { Err(format!("{bytes}")) }
        });
    };
    wait_until_below(10_000);
    desk.servers[1].pause();
    send(&feed, 1);
    assert_streams_equal(&feed, &desk.servers[0], &TARGETS);
    service.wait_for_metric("uw_ws_spool_bytes", &[], 10_001);
    let kept = bytes();
    service.wait_for_metric("uw_ws_redis_replica_behind_seconds", &[("shard", "0")], 4);
    assert!(bytes() >= kept, "{kept} became {}", bytes());
    desk.servers[1].resume();
    wait_until_below(10_000);
    service.finish();
}

#[test]
fn every_command_finds_the_master() {
    let (feed, desk) = (Feed::start(), Desk::start());
    let setup = desk.setup(&feed);
    let service = setup.clone().start_ready();
    send(&feed, 0);
    assert_streams_equal(&feed, &desk.servers[0], &TARGETS);
    service.finish();
    desk.hand_over();
    let (code, output) = setup.command(&["check", "--no-feed"]);
    assert_eq!(code, Some(0), "{output}");
    assert!(output.contains(&format!("{}/{NAME}", desk.sentinels.hosts())), "{output}");
    let (code, output) = setup.command(&["tail", "--no-follow", "--json", "price:SPY"]);
    assert_eq!((code, output.lines().count() as u64), (Some(0), COUNT));
    let (code, output) = setup.command(&["gaps"]);
    assert_eq!(code, Some(0), "{output}");
}

#[test]
fn the_masters_that_the_sentinels_name_are_reached_by_the_address_map() {
    let (feed, desk) = (Feed::start(), Desk::start());
    let lines: Vec<Proxy> =
        desk.servers.iter().map(|server| Proxy::start(([127, 0, 0, 1], server.port()).into())).collect();
    let pair =
        |(server, line): (&RedisServer, &Proxy)| format!("127.0.0.1:{}={}", server.port(), line.address());
    let map: Vec<String> = desk.servers.iter().zip(&lines).map(pair).collect();
    let setup = desk.setup(&feed).set("REDIS_ADDRESS_MAP", &map.join(","));
    let (code, output) = setup.command(&["check", "--no-feed"]);
    assert_eq!(code, Some(0), "{output}");
    assert!(output.contains("1 of 1 announced addresses are reached by REDIS_ADDRESS_MAP"), "{output}");
    let service = setup.start_ready();
    send(&feed, 0);
    assert_streams_equal(&feed, &desk.servers[0], &TARGETS);
    desk.hand_over();
    send(&feed, 1);
    assert_streams_equal(&feed, &desk.servers[1], &TARGETS);
    assert!(lines.iter().all(|line| line.accepted() > 0), "the servers are reached over these lines");
    // there is no other way to them
    lines[1].set(Mode::Refuse);
    service.wait_until_not_ready();
    lines[1].set(Mode::Pass);
    send(&feed, 2);
    assert_streams_equal(&feed, &desk.servers[1], &TARGETS);
    service.wait_until_ready();
    service.finish();
}

#[test]
fn sentinels_and_redis_have_their_own_passwords_and_tls() {
    let (feed, certificates) = (Feed::start(), Certificates::new());
    let files = [
        ("--tls-ca-cert-file", certificates.authority()),
        ("--tls-cert-file", certificates.server()),
        ("--tls-key-file", certificates.key()),
    ];
    let mut options: Vec<String> =
        ["--tls-auth-clients", "no", "--tls-replication", "yes"].map(str::to_owned).into();
    for (option, file) in files {
        options.extend([option.to_owned(), file.to_str().unwrap().to_owned()]);
    }
    let redis = RedisServer::with_tls_and_password(&certificates);
    let lines = [
        format!("sentinel auth-pass {NAME} {PASSWORD}"),
        "requirepass another-password-that-nobody-may-see".to_owned(),
    ];
    let sentinels = Sentinels::start_tls(3, &redis, &lines, &options);
    let url = format!(
        "rediss+sentinel://:{PASSWORD}@{}/{NAME}?sentinel_password=another-password-that-nobody-may-see",
        sentinels.hosts()
    );
    let setup = Setup::new(&feed, &redis)
        .set("REDIS_URL", &url)
        .set("TLS_CA_FILE", certificates.authority().to_str().unwrap());
    let service = setup.clone().start_ready();
    send(&feed, 0);
    assert_streams_equal(&feed, &redis, &TARGETS);
    assert!(!service.output().contains("another-password-that-nobody-may-see"));
    service.finish();
    let (code, output) =
        setup.set("REDIS_URL", &url.replace("another", "wrong")).command(&["check", "--no-feed"]);
    assert_eq!(code, Some(78), "{output}");
    assert!(output.contains("the Sentinels refuse the credentials"), "{output}");
}
