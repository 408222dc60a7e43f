//! Redis Cluster: every stream is complete and in order whatever its node goes through, and a node that is away holds up
//! only what it owns.

mod moves;
mod reach;
mod run;

use std::collections::BTreeSet;

use run::close;

use crate::support::cluster::{Cluster, SLOTS};
use crate::support::oracle::{assert_streams_equal, expected, stream_keys};
use crate::support::sample::payloads;
use crate::support::{Feed, SOON, Service, Setup, wait_for};

const TARGETS: [&str; 4] = ["SPY", "QQQ", "IWM", "TSLA"];
/// Events of a topic and round.
const COUNT: u64 = 40;
/// Of all shards and of slots all over the cluster.
const TOPICS: [(&str, &str); 8] = [
    ("price", "SPY"),
    ("price", "QQQ"),
    ("price", "TSLA"),
    ("option_trades", "TSLA"),
    ("option_trades", "SPY"),
    ("option_trades", "QQQ"),
    ("gex_strike", "SPY"),
    ("gex_strike", "TSLA"),
];

fn setup(cluster: &Cluster, feed: &Feed) -> Setup {
    cluster.setup(feed).set("TARGET_SYMBOLS", &TARGETS.join(","))
}

/// Sends events of all topics, and some that have two streams.
fn send(feed: &Feed, round: u64) {
    for (channel, symbol) in TOPICS {
        send_topic(feed, round, (channel, symbol));
    }
    feed.send_all("flow-alerts", &payloads("flow-alerts", "SPY", round * COUNT, COUNT));
}

fn send_topic(feed: &Feed, round: u64, (channel, symbol): (&str, &str)) {
    feed.send_all(&format!("{channel}:{symbol}"), &payloads(channel, symbol, round * COUNT, COUNT));
}

/// How many entries the streams of the cluster have.
fn stored(cluster: &Cluster) -> usize {
    let keys = stream_keys(cluster, "uw");
    keys.iter().map(|key| cluster.command::<usize>(&["XLEN", key])).sum()
}

fn sent(feed: &Feed) -> usize {
    expected(&feed.sent(), "uw", &TARGETS).values().map(Vec::len).sum()
}

/// The node that has the stream of a topic.
fn owner(cluster: &Cluster, topic: &str) -> usize {
    cluster.owner_of(cluster.slot_of(&format!("uw:ws:{topic}")))
}

#[test]
fn our_slots_are_those_of_redis() {
    let cluster = Cluster::start_with(1, 0, &[]);
    for key in [
        "",
        "uw:ws:price:SPY",
        "{uw}:ws:price:SPY",
        "a{}b{c}",
        "a{{b}}c",
        "a{b",
        "}{a}{b}",
        "naïve: \u{1f642}",
    ] {
        assert_eq!(uw_websocket_core::slots::slot_of(key.as_bytes()), cluster.slot_of(key), "{key}");
    }
}

#[test]
fn events_of_many_symbols_are_stored_once_and_in_order_over_all_nodes() {
    let (feed, cluster) = (Feed::start(), Cluster::start());
    let service = setup(&cluster, &feed).start_ready();
    for round in 0..4 {
        send(&feed, round);
    }
    assert_streams_equal(&feed, &cluster, &TARGETS);
    let nodes: BTreeSet<usize> =
        TOPICS.iter().map(|(channel, symbol)| owner(&cluster, &format!("{channel}:{symbol}"))).collect();
    assert_eq!(nodes.len(), 3, "the streams are on all masters");
    service.wait_until_settled().check_conservation().unwrap();
    // not every node knows of all replicas at first
    service.wait_for_metric("uw_ws_redis_cluster_replicas", &[], 3);
    let master = &service.status()["redis"]["master"];
    let expected = (&"named".into(), &3.into(), &SLOTS.into());
    assert_eq!((&master["state"], &master["masters"], &master["slots"]), expected, "{master}");
    // the hashes too
    for (channel, symbol) in TOPICS {
        let key = format!("uw:ws:latest:{channel}:{symbol}");
        let newest = payloads(channel, symbol, 4 * COUNT - 1, 1).remove(0);
        wait_for("the newest event is shown", SOON, || {
            let shown: Option<String> = cluster.command(&["HGET", &key, "payload"]);
            if shown.as_deref() == Some(&newest) { Ok(()) } else { Err(format!("{key}: {shown:?}")) }
        });
    }
    service.finish();
    assert_eq!(cluster.command::<String>(&["GET", "uw:ws:owner"]), "", "the lease is released");
}

#[test]
fn a_killed_master_is_replaced_and_nothing_is_lost() {
    let (feed, mut cluster) = (Feed::start(), Cluster::start());
    let service = setup(&cluster, &feed).start_ready();
    send(&feed, 0);
    assert_streams_equal(&feed, &cluster, &TARGETS);
    let master = owner(&cluster, "price:SPY");
    let replica = cluster.replicas_of(master)[0];
    cluster.kill9(master);
    send(&feed, 1);
    service.wait_until_not_ready();
    cluster.wait_until_owner_is(cluster.slot_of("uw:ws:price:SPY"), replica);
    send(&feed, 2);
    assert_streams_equal(&feed, &cluster, &TARGETS);
    service.wait_until_ready();
    service.wait_for_metric("uw_ws_redis_failovers", &[], 1);
    assert_eq!(service.count_logs("redis failover"), 1);
    cluster.restart(master);
    cluster.wait_until_whole();
    send(&feed, 3);
    assert_streams_equal(&feed, &cluster, &TARGETS);
    service.wait_until_settled().check_conservation().unwrap();
    service.finish();
}

#[test]
fn a_node_that_hangs_holds_up_only_its_own_streams() {
    let (feed, mut cluster) =
        (Feed::start(), Cluster::start_with(3, 0, &["--cluster-node-timeout", "60000"]));
    let service = setup(&cluster, &feed).start_ready();
    send(&feed, 0);
    assert_streams_equal(&feed, &cluster, &TARGETS);
    let owner_of = |(channel, symbol): &(&str, &str)| owner(&cluster, &format!("{channel}:{symbol}"));
    // without the node of the lease nobody writes
    let lease = cluster.owner_of(cluster.slot_of("uw:ws:owner"));
    let node = TOPICS.iter().map(owner_of).find(|node| *node != lease).unwrap();
    let others: Vec<_> = TOPICS.into_iter().filter(|topic| owner_of(topic) != node).collect();
    assert!(!others.is_empty());
    cluster.pause(node);
    for round in 1..4 {
        send(&feed, round);
    }
    for (channel, symbol) in others {
        let key = format!("uw:ws:{channel}:{symbol}");
        wait_for("the streams of the other nodes go on", SOON, || {
            let entries: u64 = cluster.command(&["XLEN", &key]);
            if entries == 4 * COUNT { Ok(()) } else { Err(format!("{key}: {entries}")) }
        });
    }
    assert!(service.wait_until_not_ready().contains("redis"));
    cluster.resume(node);
    assert_streams_equal(&feed, &cluster, &TARGETS);
    service.wait_until_ready();
    service.wait_until_settled().check_conservation().unwrap();
    service.finish();
}

#[test]
fn what_is_too_old_is_removed_on_all_nodes() {
    let (feed, cluster) = (Feed::start(), Cluster::start_with(3, 0, &[]));
    for number in 0..12 {
        let topic = format!("gex_strike:OLD{number}");
        cluster.command::<String>(&["XADD", &format!("uw:ws:{topic}"), "1-1", "payload", "{}"]);
        cluster.command::<u64>(&["HSET", &format!("uw:ws:latest:{topic}"), "stream_id", "1-1"]);
        cluster.command::<u64>(&["HSET", &format!("uw:ws:map:{topic}"), "600", "{}"]);
    }
    assert_eq!(cluster.keys("uw:ws:*OLD*").len(), 36);
    let service = setup(&cluster, &feed).start_ready();
    wait_for("the old keys are removed", SOON, || {
        let keys = cluster.keys("uw:ws:*OLD*");
        if keys.is_empty() { Ok(()) } else { Err(format!("{keys:?}")) }
    });
    service.wait_for_metric("uw_ws_removed_keys_total", &[], 36);
    service.finish();
}

#[test]
fn the_commands_work_over_a_cluster_and_missing_rights_are_named() {
    let (feed, cluster) = (Feed::start(), Cluster::start());
    let setup = setup(&cluster, &feed);
    let service = setup.clone().start_ready();
    send(&feed, 0);
    assert_streams_equal(&feed, &cluster, &TARGETS);
    let (code, output) = setup.command(&["check", "--no-feed"]);
    assert_eq!(code, Some(0), "{output}");
    assert!(output.contains("redis+cluster://") && output.contains("holds uw:ws:owner"), "{output}");
    service.finish();
    let (code, output) = setup.command(&["gaps"]);
    assert_eq!(code, Some(0), "{output}");
    for (_, node) in cluster.answering() {
        node.command::<()>(&["ACL", "SETUSER", "uw", "on", "nopass", "~uw:*", "+@all", "-asking"]);
    }
    let url = cluster.url().replacen("://", "://uw:x@", 1);
    let (code, output) = setup.set("REDIS_URL", &url).command(&["check", "--no-feed"]);
    assert_eq!(code, Some(78), "{output}");
    assert!(output.contains("lacks +asking"), "{output}");
}

#[test]
fn check_asks_every_master_and_names_the_one_in_doubt() {
    let options = ["--appendonly", "yes", "--maxmemory", "8gb"];
    let (feed, cluster) = (Feed::start(), Cluster::start_with(3, 0, &options));
    let check = || {
        let (code, output) = setup(&cluster, &feed).command(&["check", "--no-feed"]);
        assert_eq!(code, Some(0), "{output}");
        output
    };
    let output = check();
    assert!(output.contains("on all 3 masters: append-only file"), "{output}");
    assert!(output.contains("on all 3 masters: noeviction"), "{output}");
    assert!(output.contains("maxmemory 24.0 GiB on 3 masters"), "{output}");
    let node = cluster.node(1);
    for (name, value) in [("appendonly", "no"), ("maxmemory-policy", "allkeys-lru"), ("maxmemory", "8mb")] {
        node.config_set(name, value);
    }
    let (output, name) = (check(), format!("127.0.0.1:{}", node.port()));
    for text in ["none: ", "allkeys-lru: ", "maxmemory 8 MiB, "] {
        let is_it = |line: &str| line.trim().starts_with('!') && line.contains(&format!("{name}: {text}"));
        assert!(output.lines().any(is_it), "{text} {output}");
    }
    assert!(output.contains("maxmemory 16.0 GiB on 3 masters"), "{output}");
}

/// The replica of one master misses the second of three rounds, and is promoted.
fn lose_a_round(setup: Setup, feed: &Feed, cluster: &mut Cluster) -> Service {
    let service = setup.start_ready();
    send(feed, 0);
    assert_streams_equal(feed, cluster, &TARGETS);
    let master = owner(cluster, "price:SPY");
    cluster.wait_until_replicated(master);
    cluster.lose(master, |cluster| {
        send(feed, 1);
        wait_for("everything is stored", SOON, || {
            let (stored, sent) = (stored(cluster), sent(feed));
            if stored >= sent { Ok(()) } else { Err(format!("{stored} of {sent}")) }
        });
    });
    send(feed, 2);
    service
}

#[test]
fn what_a_lagging_replica_lacks_is_written_again_when_it_is_promoted() {
    let (feed, mut cluster) = (Feed::start(), Cluster::start());
    let service = lose_a_round(setup(&cluster, &feed), &feed, &mut cluster);
    assert_streams_equal(&feed, &cluster, &TARGETS);
    service.wait_until_ready();
    service.finish();
}

/// That the test above can fail.
#[test]
fn without_the_look_at_the_streams_the_same_failover_loses_events() {
    let (feed, mut cluster) = (Feed::start(), Cluster::start());
    let omit = "writer-0:omit:at=restoring:times=1000;writer-1:omit:at=restoring:times=1000";
    let setup = setup(&cluster, &feed).set("UW_WEBSOCKET_FAULT", omit);
    let service = lose_a_round(setup, &feed, &mut cluster);
    service.wait_until_ready();
    service.wait_until_settled();
    let (stored, sent) = (stored(&cluster), sent(&feed));
    assert!(stored < sent, "{stored} of {sent}");
    service.finish();
}

#[test]
fn a_slot_that_is_moved_under_load_loses_nothing_though_its_node_is_killed_meanwhile() {
    let (feed, mut cluster) = (Feed::start(), Cluster::start());
    let service = setup(&cluster, &feed).start_ready();
    send(&feed, 0);
    assert_streams_equal(&feed, &cluster, &TARGETS);
    let slot = cluster.slot_of("uw:ws:price:SPY");
    let giver = cluster.owner_of(slot);
    let taker = (0..3).find(|node| *node != giver).unwrap();
    assert_eq!(cluster.begin_move(slot, taker), giver);
    send(&feed, 1);
    assert_streams_equal(&feed, &cluster, &TARGETS);
    while cluster.move_keys(slot, giver, taker) > 0 {}
    // the owner says ASK now
    send(&feed, 2);
    assert_streams_equal(&feed, &cluster, &TARGETS);
    cluster.wait_until_replicated(taker);
    cluster.end_move(slot, giver, taker);
    send(&feed, 3);
    assert_streams_equal(&feed, &cluster, &TARGETS);
    // back again, and the node that gives is killed in the middle
    let new = owner(&cluster, "option_trades:SPY");
    let slot = cluster.slot_of("uw:ws:option_trades:SPY");
    let taker = (0..3).find(|node| *node != new && cluster.replicas_of(*node).len() == 1).unwrap();
    cluster.begin_move(slot, taker);
    send(&feed, 4);
    assert_streams_equal(&feed, &cluster, &TARGETS);
    cluster.wait_until_replicated(new);
    let replica = cluster.replicas_of(new)[0];
    cluster.kill9(new);
    send(&feed, 5);
    close(&cluster, slot, replica);
    cluster.wait_until_ok();
    assert_streams_equal(&feed, &cluster, &TARGETS);
    service.wait_until_ready();
    service.wait_until_settled().check_conservation().unwrap();
    service.finish();
}

#[test]
fn a_cluster_of_one_node_and_a_prefix_of_one_slot_will_do() {
    for (masters, prefix) in [(1, "uw"), (2, "{uw}")] {
        let (feed, cluster) = (Feed::start(), Cluster::start_with(masters, 0, &[]));
        let service = setup(&cluster, &feed).set("KEY_PREFIX", prefix).start_ready();
        send(&feed, 0);
        send(&feed, 1);
        let entries = expected(&feed.sent(), prefix, &TARGETS).values().map(Vec::len).sum::<usize>();
        wait_for("everything is stored", SOON, || {
            let keys = stream_keys(&cluster, prefix);
            let stored: usize = keys.iter().map(|key| cluster.command::<usize>(&["XLEN", key])).sum();
            if stored == entries { Ok(()) } else { Err(format!("{stored} of {entries}")) }
        });
        let nodes: BTreeSet<usize> =
            stream_keys(&cluster, prefix).iter().map(|key| cluster.owner_of(cluster.slot_of(key))).collect();
        assert_eq!(nodes.len(), 1);
        service.wait_until_settled().check_conservation().unwrap();
        service.finish();
    }
}
