//! Failovers of all kinds at random, one after the other, under traffic.

use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::Duration;

use fastrand::Rng;

use super::TARGETS;
use super::desk::Desk;
use crate::support::oracle::{assert_streams_equal, expected};
use crate::support::under_traffic::{self, under_traffic};
use crate::support::{Feed, Service};

/// The topics, each with one to four events a burst.
const TOPICS: [(&str, &str); 4] =
    [("price", "SPY"), ("option_trades", "QQQ"), ("gex_strike", "SPY"), ("price", "QQQ")];

/// A way to lose a master.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// It is killed and comes back empty.
    Kill,
    /// It is killed when its replica has missed a second.
    Lose,
    /// It hangs until it was replaced, and goes on.
    Pause,
    /// The failover is asked for.
    HandOver,
}

const FAULTS: [Fault; 4] = [Fault::Kill, Fault::Lose, Fault::Pause, Fault::HandOver];

fn strike(fault: Fault, desk: &mut Desk, rng: &mut Rng) {
    match fault {
        Fault::Kill => assert_eq!(desk.kill_and_bring_back_empty(), 0, "keys in a server that was replaced"),
        Fault::Lose => {
            let time = Duration::from_millis(rng.u64(200..=1500));
            desk.lose(|_| thread::park_timeout(time));
        }
        Fault::Pause => desk.pause_until_replaced(),
        Fault::HandOver => desk.hand_over(),
    }
}

/// Runs the service through failovers while `goes_on`; returns their number and that of the events.
fn run(seed: u64, goes_on: impl Fn(u64) -> bool) -> (u64, usize) {
    eprintln!("failovers: seed {seed}");
    let (feed, mut desk, mut rng) = (Feed::start(), Desk::start(), Rng::with_seed(seed));
    let setup = desk.setup(&feed).set("REDIS_STREAM_MAXLEN", "0").set("STREAM_RETENTION", "off");
    let service: Service = setup.start_ready();
    let mut failovers = 0;
    under_traffic(&feed, seed, &TOPICS, |sent| {
        while goes_on(failovers) {
            let fault = *rng.choice(&FAULTS).unwrap();
            eprintln!("failover {failovers}: {fault:?} after {} events", sent.load(SeqCst));
            strike(fault, &mut desk, &mut rng);
            desk.heal();
            failovers += 1;
        }
    });
    assert_streams_equal(&feed, &desk.servers[desk.master()], &TARGETS);
    let metrics = service.wait_until_settled();
    metrics.check_conservation().unwrap();
    // the Sentinels may have replaced a master that was slow, too
    assert!(service.count_logs("redis failover") as u64 >= failovers, "one line each");
    service.wait_until_ready();
    service.finish();
    (failovers, expected(&feed.sent(), "uw", &TARGETS).values().map(Vec::len).sum())
}

#[test]
fn a_short_run_of_failovers_loses_and_doubles_nothing() {
    let (failovers, entries) = run(13, |failovers| failovers < 4);
    assert!(failovers == 4 && entries > 100, "{failovers} failovers, {entries} entries");
}

#[test]
#[ignore = "takes as long as CHAOS_SECONDS says: make chaos REDIS=sentinel"]
fn long_run() {
    under_traffic::long_run("failovers", |seed, goes_on| run(seed, goes_on));
}
