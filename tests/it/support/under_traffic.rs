//! Runs in which one fault follows the other while a feed sends.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;

use super::Feed;
use super::asked::asked;
use super::sample::payloads;

/// Between two bursts of events.
const PACE: Duration = Duration::from_millis(20);

/// Sends bursts of one to four events of each topic (channel and symbol) while `strike` runs, which can see how many were
/// sent.
pub(crate) fn under_traffic(
    feed: &Feed,
    seed: u64,
    topics: &[(&str, &str)],
    strike: impl FnOnce(&AtomicU64),
) {
    let (is_done, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        scope.spawn(|| send(feed, seed, topics, &is_done, &sent));
        // the feed ends before the panic goes on, which would wait for it
        let ended = catch_unwind(AssertUnwindSafe(|| strike(&sent)));
        is_done.store(true, SeqCst);
        if let Err(panic) = ended {
            resume_unwind(panic);
        }
    });
}

fn send(feed: &Feed, seed: u64, topics: &[(&str, &str)], is_done: &AtomicBool, sent: &AtomicU64) {
    let mut rng = Rng::with_seed(seed);
    let mut next = vec![0; topics.len()];
    while !is_done.load(SeqCst) {
        for ((channel, symbol), next) in topics.iter().zip(&mut next) {
            let count = rng.u64(1..=4);
            feed.send_all(&format!("{channel}:{symbol}"), &payloads(channel, symbol, *next, count));
            *next += count;
            sent.fetch_add(count, SeqCst);
        }
        thread::park_timeout(PACE);
    }
}

/// Does a run of `CHAOS_SECONDS` with the seed `CHAOS_SEED`. `run` gets the seed and what says whether to go on, and
/// returns the numbers of faults, called `faults`, and of entries.
pub(crate) fn long_run(faults: &str, run: impl FnOnce(u64, &dyn Fn(u64) -> bool) -> (u64, usize)) {
    let time = Duration::from_secs(asked("CHAOS_SECONDS").unwrap_or(600));
    let seed = asked("CHAOS_SEED").unwrap_or_else(|| fastrand::u64(0..1_000_000));
    let began = Instant::now();
    let (struck, entries) = run(seed, &|_| began.elapsed() < time);
    eprintln!("{struck} {faults}, {entries} entries, 0 lost, 0 doubled, in order; seed {seed}");
}
