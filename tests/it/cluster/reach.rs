//! How the nodes are reached: over TLS, and by an address map.

use super::{COUNT, TARGETS, owner, send, setup};
use crate::support::cluster::{Cluster, FAILOVER};
use crate::support::oracle::assert_streams_equal;
use crate::support::tls::Certificates;
use crate::support::{Feed, Setup, wait_for};

/// Events go on being stored when the master of a stream is killed; every command finds the nodes too.
fn assert_serves_over_a_failover(setup: &Setup, feed: &Feed, cluster: &mut Cluster) {
    let (code, output) = setup.command(&["check", "--no-feed"]);
    assert_eq!(code, Some(0), "{output}");
    let service = setup.clone().start_ready();
    send(feed, 0);
    assert_streams_equal(feed, cluster, &TARGETS);
    let slot = cluster.slot_of("uw:ws:option_trades:SPY");
    let giver = cluster.owner_of(slot);
    cluster.move_slot(slot, (0..3).find(|node| *node != giver).unwrap());
    send(feed, 1);
    assert_streams_equal(feed, cluster, &TARGETS);
    let master = owner(cluster, "price:SPY");
    cluster.wait_until_replicated(master);
    let replica = cluster.replicas_of(master)[0];
    cluster.kill9(master);
    send(feed, 2);
    cluster.wait_until_owner_is(cluster.slot_of("uw:ws:price:SPY"), replica);
    assert_streams_equal(feed, cluster, &TARGETS);
    service.wait_until_ready();
    service.wait_for_metric("uw_ws_redis_failovers", &[], 1);
    service.wait_until_settled().check_conservation().unwrap();
    let (code, lines) = setup.command(&["tail", "--no-follow", "--json", "price:SPY"]);
    assert_eq!((code, lines.lines().count() as u64), (Some(0), 3 * COUNT));
    service.finish();
}

#[test]
fn a_cluster_over_tls_is_followed_through_a_failover() {
    let certificates = Certificates::new();
    let (feed, mut cluster) = (Feed::start(), Cluster::start_tls(&certificates));
    let untrusted = setup(&cluster, &feed);
    assert!(cluster.url().starts_with("rediss+cluster://"));
    let (code, output) = untrusted.command(&["check", "--no-feed"]);
    assert!(code == Some(69) && output.contains("certificate"), "{code:?} {output}");
    let trusted = untrusted.set("TLS_CA_FILE", certificates.authority().to_str().unwrap());
    assert_serves_over_a_failover(&trusted, &feed, &mut cluster);
}

#[test]
fn nodes_that_announce_addresses_which_do_not_answer_are_reached_by_the_address_map() {
    let (feed, mut cluster) = (Feed::start(), Cluster::start());
    let map = cluster.announce_names();
    let unmapped = setup(&cluster, &feed);
    let (code, output) = unmapped.command(&["check", "--no-feed"]);
    assert!(code == Some(69) && output.contains(".invalid"), "{code:?} {output}");
    assert!(output.contains("REDIS_ADDRESS_MAP"), "{output}");
    let mapped = unmapped.set("REDIS_ADDRESS_MAP", &format!("{map},node-9.invalid:1=127.0.0.1:1"));
    wait_for("every node knows all replicas", FAILOVER, || {
        let (_, output) = mapped.command(&["check", "--no-feed"]);
        let is_shown = output.contains("6 of 6 announced addresses are reached by REDIS_ADDRESS_MAP")
            && output.contains("no node that is up announces node-9.invalid:1");
        if is_shown { Ok(()) } else { Err(output) }
    });
    assert_serves_over_a_failover(&mapped.set("REDIS_ADDRESS_MAP", &map), &feed, &mut cluster);
}
