//! Deaths in the middle of a hand-over, and of storing late events.

use super::{
    OFFER, PRICES, Stranded, assert_nothing_is_handed_over, forget_owner, gaps, wait_for_gap, wait_for_prices,
};
use crate::support::oracle::assert_stream_holds;
use crate::support::{RedisServer, SOON, Service, Setup, wait_for};

/// Everything that a writer sends is in Redis, and it is told so, but never does anything about it.
const DIES_BEFORE_IT_ACKNOWLEDGES: &str = "writer-0:freeze:at=answered;writer-1:freeze:at=answered";

/// Runs an owner until so many prices are stored, of which it acknowledges none.
#[track_caller]
fn store_and_die(setup: Setup, redis: &RedisServer, prices: usize) {
    let mut dying = setup.set("UW_WEBSOCKET_FAULT", DIES_BEFORE_IT_ACKNOWLEDGES).start();
    wait_for_prices(redis, prices);
    dying.kill9();
    forget_owner(redis);
}

#[test]
fn a_receipt_that_nobody_fetches_holds_up_no_other_queue_and_waits_for_its_own() {
    let mut stranded = Stranded::new();
    stranded.take_over();
    // a user of its own, so that it alone can be kept from storing
    let allow = |redis: &RedisServer, right| {
        redis.command::<()>(&["ACL", "SETUSER", "third", "on", ">third", "~*", "&*", right]);
    };
    allow(&stranded.redis, "+@all");
    let url = format!("redis://third:third@127.0.0.1:{}/0", stranded.redis.port());
    let third = Setup::new(&stranded.feed, &stranded.redis).set("REDIS_URL", &url).start();
    third.wait_for_log("it stands by", |record| record.msg == "standing by");
    let second = stranded.strand_second();
    third.wait_until_ready();
    allow(&stranded.redis, "-xadd");
    let mut first = stranded.setup.clone().start();
    wait_for("a batch is offered", SOON, || match stranded.redis.command::<u64>(&["EXISTS", OFFER]) {
        0 => Err("it is not".to_owned()),
        _ => Ok(()),
    });
    first.kill9();
    allow(&stranded.redis, "+xadd");
    wait_for_prices(&stranded.redis, 150);

    let back = stranded.standby_setup.clone().start();
    back.wait_for_log("it hands over", |record| record.msg == "backlog handed over");
    let again = stranded.setup.clone().start();
    again.wait_for_log("it finds the receipt", |record| record.msg == "backlog handed over");
    let found = again.wait_until_settled();
    let counted =
        ["uw_ws_events_stored_total", "uw_ws_events_duplicate_total"].map(|name| found.sum(name, &[]));
    assert_eq!(counted, [100, 0]);
    assert_stream_holds(&stranded.redis, PRICES, &[stranded.before, stranded.left, second].concat());
    assert_nothing_is_handed_over(&stranded.redis);
    [back, again, third].into_iter().for_each(Service::finish);
}

#[test]
fn what_an_owner_was_storing_late_when_it_died_is_marked_by_its_next_life() {
    let mut stranded = Stranded::new();
    let meanwhile = stranded.let_another_one_follow();
    stranded.standby.finish();
    let setup = stranded.setup.clone();
    store_and_die(setup.clone(), &stranded.redis, 180);
    let back = setup.start_ready();
    assert_eq!(wait_for_gap(&stranded.redis, "late")["events"], "100");
    back.finish();
    assert_stream_holds(&stranded.redis, PRICES, &[stranded.before, meanwhile, stranded.left].concat());
    assert_eq!(gaps(&stranded.redis, "late").len(), 1);
}

#[test]
fn what_an_owner_was_storing_late_when_it_died_is_marked_if_it_returns_as_standby() {
    let mut stranded = Stranded::new();
    let meanwhile = stranded.let_another_one_follow();
    stranded.standby.finish();
    store_and_die(stranded.setup.clone(), &stranded.redis, 180);
    let owner = stranded.standby_setup.clone().start_ready();
    let back = stranded.setup.clone().start();
    back.wait_for_log("it hands over", |record| record.msg == "backlog handed over");
    assert_eq!(wait_for_gap(&stranded.redis, "late")["events"], "100");
    back.finish();
    owner.finish();
    assert_stream_holds(&stranded.redis, PRICES, &[stranded.before, meanwhile, stranded.left].concat());
    assert_eq!(gaps(&stranded.redis, "late").len(), 1);
}

#[test]
fn what_an_owner_was_storing_for_a_standby_when_it_died_is_marked() {
    let mut stranded = Stranded::new();
    let meanwhile = stranded.let_another_one_follow();
    stranded.standby.finish();
    let dying = stranded.standby_setup.clone().set("UW_WEBSOCKET_FAULT", DIES_BEFORE_IT_ACKNOWLEDGES);
    let mut dying = dying.start_ready();
    let back = stranded.setup.clone().start();
    back.wait_for_log("it stands by", |record| record.msg == "standing by");
    wait_for_prices(&stranded.redis, 180);
    dying.kill9();
    forget_owner(&stranded.redis);
    back.wait_until_ready();
    assert_eq!(wait_for_gap(&stranded.redis, "late")["events"], "100");
    back.finish();
    assert_stream_holds(&stranded.redis, PRICES, &[stranded.before, meanwhile, stranded.left].concat());
    assert_eq!(gaps(&stranded.redis, "late").len(), 1);
}
