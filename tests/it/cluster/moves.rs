//! Slots that move while events are written: key by key as every server does it, and whole as Valkey does it since 9.0.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;

use super::{TARGETS, TOPICS, owner, setup};
use crate::support::cluster::{Cluster, FAILOVER};
use crate::support::oracle::{assert_streams_equal, stream_keys};
use crate::support::redis::program;
use crate::support::under_traffic::under_traffic;
use crate::support::{Feed, wait_for};

/// Events sent between two steps of a move: some batches of each topic.
const BETWEEN: u64 = 60;

/// The slots of all topics, each with one of three masters that does not own it.
fn moves(cluster: &Cluster) -> Vec<(u16, usize)> {
    let of = |(channel, symbol): (&str, &str)| {
        let topic = format!("{channel}:{symbol}");
        let giver = owner(cluster, &topic);
        (cluster.slot_of(&format!("uw:ws:{topic}")), (giver + 1) % 3)
    };
    TOPICS.into_iter().map(of).collect()
}

/// Waits until more events were sent.
fn let_some_pass(sent: &AtomicU64) {
    let before = sent.load(SeqCst);
    wait_for("events are sent", FAILOVER, || {
        let more = sent.load(SeqCst) - before;
        if more >= BETWEEN { Ok(()) } else { Err(more.to_string()) }
    });
}

/// Moves slots with `go` while events come, and compares all streams.
fn assert_nothing_is_lost(mut cluster: Cluster, go: impl FnOnce(&mut Cluster, &AtomicU64)) {
    let feed = Feed::start();
    let service = setup(&cluster, &feed).start_ready();
    under_traffic(&feed, 5, &TOPICS, |sent| go(&mut cluster, sent));
    assert_streams_equal(&feed, &cluster, &TARGETS);
    service.wait_until_ready();
    service.wait_until_settled().check_conservation().unwrap();
    service.finish();
}

#[test]
fn slots_that_are_moved_key_by_key_under_load_lose_nothing() {
    assert_nothing_is_lost(Cluster::start_with(3, 0, &[]), |cluster, sent| {
        let_some_pass(sent);
        for (slot, taker) in moves(cluster) {
            let giver = cluster.begin_move(slot, taker);
            let_some_pass(sent);
            // a key that is gone is asked for at the taker, one that is not stays with the giver
            while cluster.move_keys(slot, giver, taker) > 0 {}
            let_some_pass(sent);
            cluster.end_move(slot, giver, taker);
        }
        let_some_pass(sent);
    });
}

#[test]
fn slots_that_are_moved_whole_under_load_lose_nothing_though_the_giver_is_killed_meanwhile() {
    let cluster = Cluster::start();
    if !cluster.moves_slots_atomically() {
        eprintln!("skipped: {} has no CLUSTER MIGRATESLOTS; `make flavours` has one", program().display());
        return;
    }
    assert_nothing_is_lost(cluster, |cluster, sent| {
        let_some_pass(sent);
        for (slot, taker) in moves(cluster) {
            cluster.move_atomically(slot, taker);
            let_some_pass(sent);
        }
        let slot = cluster.slot_of("uw:ws:price:SPY");
        let giver = owner(cluster, "price:SPY");
        let taker = (0..3).find(|node| *node != giver).unwrap();
        cluster.wait_until_replicated(giver);
        let replica = cluster.replicas_of(giver)[0];
        cluster.begin_atomic_move(slot, taker);
        cluster.kill9(giver);
        wait_for("one of both has the slot", FAILOVER, || {
            let owner = cluster.owner_of(slot);
            if [taker, replica].contains(&owner) { Ok(()) } else { Err(format!("{owner} has")) }
        });
        cluster.wait_until_ok();
        let_some_pass(sent);
        assert!(!stream_keys(cluster, "uw").is_empty());
    });
}
