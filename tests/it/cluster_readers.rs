//! `tail`, `gaps` and `replay` over a Redis Cluster: the streams of all masters, one at a time.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::oracle::assert_streams_equal;
use crate::support::sample::payload;
use crate::support::tool::Tool;
use crate::support::{Cluster, Feed, RedisServer, SOON, Setup, wait_for};

const TARGETS: [&str; 2] = ["SPY", "QQQ"];
/// Streams in slots of different masters.
const STREAMS: [&str; 3] = ["price:SPY", "price:QQQ", "gex:TSLA"];

/// Writes entry number `n` to one of the streams.
fn add(cluster: &Cluster, n: u64) -> String {
    let stream = STREAMS[usize::try_from(n * n % 7 % 3).unwrap()];
    let id = format!("{}-{}", 1000 + n / 2, n % 2);
    cluster.command::<String>(&[
        "XADD",
        &format!("uw:ws:{stream}"),
        &id,
        "payload",
        &payload("price", "SPY", n),
    ]);
    format!("{id} uw:ws:{stream}")
}

/// The ID and the stream of each line of `--json`.
fn ids(lines: &[String]) -> Vec<String> {
    let id = |line: &String| {
        let object: Value = serde_json::from_str(line).unwrap();
        format!("{} {}", object["id"].as_str().unwrap(), object["stream"].as_str().unwrap())
    };
    lines.iter().map(id).collect()
}

/// Runs a command that ends by itself with 0.
#[track_caller]
fn lines(args: &[&str], cluster: &Cluster) -> Vec<String> {
    let mut tool = Tool::start_at(args, &cluster.url());
    assert_eq!(tool.wait_for_exit(), Some(0), "{:?}", tool.stderr());
    tool.stdout()
}

#[test]
fn tail_merges_the_streams_of_all_masters_and_follows_them_over_a_failover() {
    let mut cluster = Cluster::start();
    let mut expected: Vec<String> = (1..=60).map(|n| add(&cluster, n)).collect();
    let owners: BTreeSet<usize> =
        STREAMS.iter().map(|stream| cluster.owner_of(cluster.slot_of(&format!("uw:ws:{stream}")))).collect();
    assert_eq!(owners.len(), 3, "the streams are on all masters");
    assert_eq!(ids(&lines(&["tail", "--no-follow", "--json"], &cluster)), expected);
    assert_eq!(ids(&lines(&["tail", "-n", "7", "--no-follow", "--json"], &cluster)), expected[53..]);
    let follower = Tool::start_at(&["tail", "--since", "1970-01-01", "--json"], &cluster.url());
    follower.wait_for_lines(60);
    expected.extend((61..=80).map(|n| add(&cluster, n)));
    follower.wait_for_lines(80);
    let master = cluster.owner_of(cluster.slot_of("uw:ws:price:SPY"));
    cluster.wait_until_replicated(master);
    let replica = cluster.replicas_of(master)[0];
    cluster.kill9(master);
    cluster.wait_until_owner_is(cluster.slot_of("uw:ws:price:SPY"), replica);
    expected.extend((81..=100).map(|n| add(&cluster, n)));
    let mut seen = ids(&follower.wait_for_lines(100));
    // what comes to several streams while nothing is read is in order per stream
    seen.sort();
    expected.sort();
    assert_eq!(seen, expected);
}

#[test]
fn what_a_cluster_has_is_replayed_and_its_gaps_are_printed() {
    let (feed, cluster) = (Feed::start(), Cluster::start());
    let mut service = cluster.setup(&feed).start_ready();
    feed.send_all_channels(&TARGETS, 20);
    assert_streams_equal(&feed, &cluster, &TARGETS);
    service.kill9();
    let again = service.start_again(&cluster.setup(&feed));
    again.wait_until_ready();
    wait_for("the gap of the killed process is printed", SOON, || {
        let gaps = lines(&["gaps", "--json", "--reason", "crash"], &cluster);
        if gaps.is_empty() { Err("none".to_owned()) } else { Ok(()) }
    });
    again.finish();

    let redis = RedisServer::start();
    let replay = Tool::start_at(&["replay", "--wait-joins", "12", "--speed", "max"], &cluster.url());
    let line = replay.wait_for_lines(1).remove(0);
    let url = line.strip_prefix("listening on ").expect("the first line");
    let fed = Setup::new(&feed, &redis).set("UNUSUAL_WHALES_WEBSOCKET_URL", url).start();
    assert_streams_equal(&feed, &redis, &TARGETS);
    fed.finish();
}
