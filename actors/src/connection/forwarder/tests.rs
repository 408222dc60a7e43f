use std::sync::Arc;

use futures_util::FutureExt;

use super::*;
use crate::fixtures::observations;
use crate::queue::batch::{EventBatch, TransactionSize};
use crate::queue::inbox::Inbox;
use uw_websocket_core::fixtures::{destination, event, read_at, route};

const SIZE: TransactionSize = TransactionSize { events: 2, weight: 1000 };

/// A forwarder to inboxes with room for one batch each.
fn world(shards: usize) -> (Forwarder, Vec<Arc<Inbox>>) {
    let observations = observations(&["price"], shards);
    let inboxes: Vec<_> =
        (0..shards).map(|shard| Inbox::new(shard, 1, 1, SIZE, Arc::clone(&observations))).collect();
    (Forwarder::new(inboxes.iter().map(|inbox| inbox.lane(0)).collect()), inboxes)
}

fn push(forwarder: &Forwarder, shard: usize, payload: &str) {
    let route = route(shard, vec![destination(&format!("price:{shard}"), 0)]);
    forwarder.push(event(&route, payload, 0), read_at());
}

fn taken(inbox: &Inbox) -> Vec<String> {
    let batches = inbox.take(usize::MAX);
    let events = batches.iter().flat_map(EventBatch::events);
    events.map(|event| String::from_utf8(event.payload.to_vec()).unwrap()).collect()
}

#[test]
fn each_event_goes_to_its_shard() {
    let (forwarder, inboxes) = world(2);
    push(&forwarder, 1, "b");
    push(&forwarder, 0, "a");
    forwarder.flush();
    assert_eq!(inboxes.iter().map(|inbox| taken(inbox)).collect::<Vec<_>>(), [["a"], ["b"]]);
}

#[test]
fn one_full_lane_stops_the_reading_until_it_has_room() {
    let (forwarder, inboxes) = world(2);
    for payload in ["1", "2", "3", "4"] {
        push(&forwarder, 0, payload);
    }
    assert!(!forwarder.has_room() && forwarder.room().now_or_never().is_none());
    taken(&inboxes[0]);
    assert!(forwarder.has_room() && forwarder.room().now_or_never().is_some());
}

#[test]
#[should_panic(expected = "index out of bounds")]
fn an_event_of_a_shard_that_is_not_there_is_no_silent_loss() {
    push(&world(1).0, 1, "nowhere");
}
