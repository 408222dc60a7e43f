//! What the archive costs, for `docs/archive.md`:
//! `cargo test --release -p uw-websocket-core archive_of_a_million -- --ignored --nocapture`

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use super::*;
use crate::spool::{Followed, Follower, Limits, RecordView, Records, Spool};

/// Processor time of this thread, in seconds.
fn cpu_seconds() -> f64 {
    let times = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    times.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}

/// Option trades of the usual size, with as many different digits as real ones have.
fn trade(n: u64, random: &mut fastrand::Rng) -> String {
    let mut digits = |from: u64, to: u64| random.u64(from..to);
    let (expiry, strike) = (digits(1, 29), 400 + digits(0, 250));
    let (bid, ask) = (digits(1, 2_000), digits(1, 2_000));
    format!(
        r#"{{"id":"{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}","underlying_symbol":"SPY","executed_at":{},"nbbo_bid":"{}.{:02}","nbbo_ask":"{}.{:02}","size":{},"price":"{}.{:02}","option_symbol":"SPY2505{expiry:02}C00{strike}000","created_at":{},"report_flags":[],"tags":["ask_side","bullish"],"expiry":"2025-05-{expiry:02}","option_type":"call","open_interest":{},"strike":"{strike}","premium":"{}.00","volume":{},"underlying_price":"56{}.{:02}","ewma_nbbo_ask":"{}.{:02}","ewma_nbbo_bid":"{}.{:02}","implied_volatility":"0.{:010}","delta":"0.{:09}","theta":"-0.{:09}","gamma":"0.0{:08}","vega":"0.{:09}","rho":"0.0{:08}","theo":"{}.{:02}","trade_code":"auto","exchange":"XCBO","ask_vol":{},"bid_vol":{},"no_side_vol":{},"mid_vol":{},"multi_vol":{},"stock_multi_vol":{}}}"#,
        digits(0, 1 << 32),
        digits(0, 1 << 16),
        digits(0, 1 << 12),
        digits(0, 1 << 16),
        digits(0, 1 << 48),
        1_747_419_592_926 + n / 4,
        bid / 100,
        bid % 100,
        ask / 100,
        ask % 100,
        digits(1, 100),
        ask / 100,
        ask % 100,
        1_747_419_592_930 + n / 4,
        digits(0, 20_000),
        digits(100, 99_999),
        digits(0, 100_000),
        digits(0, 10),
        digits(0, 100),
        ask / 100,
        ask % 100,
        bid / 100,
        bid % 100,
        digits(0, 10_000_000_000),
        digits(0, 1_000_000_000),
        digits(0, 1_000_000_000),
        digits(0, 100_000_000),
        digits(0, 1_000_000_000),
        digits(0, 100_000_000),
        ask / 100,
        ask % 100,
        digits(0, 50_000),
        digits(0, 50_000),
        digits(0, 10),
        digits(0, 9_000),
        digits(0, 9_000),
        digits(0, 20),
    )
}

/// A disk queue with so many trades, all of them stored.
fn queue(folder: &Path, trades: u64) -> Spool {
    let limits = Limits {
        segment_bytes: 16 << 20,
        segment_age: Duration::from_secs(60),
        max_bytes: 4 << 30,
        durable: false,
        max_streams: 10,
    };
    let (mut spool, _) = Spool::open(folder, limits, Instant::now()).unwrap();
    let (mut records, mut random) = (Records::new(), fastrand::Rng::with_seed(7));
    let payloads: Vec<String> = (0..50_000).map(|n| trade(n, &mut random)).collect();
    for n in 0..trades {
        if n.is_multiple_of(500) {
            spool.append(&records, Instant::now()).unwrap();
            records.clear(n);
        }
        let stream = [(Some("SPY"), EntryId { ms: BEGIN_US / 1000 + n / 5, seq: n % 5 })].into_iter();
        let payload = payloads[usize::try_from(n).unwrap() % payloads.len()].as_bytes();
        records.push("option_trades", BEGIN_US + n * 200, stream, payload).unwrap();
    }
    spool.append(&records, Instant::now()).unwrap();
    spool.acknowledge(trades, &[], Instant::now()).unwrap();
    spool.persist_cursor().unwrap();
    spool
}

/// Takes the records from `from` on, a megabyte at a time; returns the seconds that it takes.
fn follow(folder: &Path, (from, below): (u64, u64), mut take: impl FnMut(&RecordView<'_>)) -> f64 {
    let (began, mut follower, mut next) = (cpu_seconds(), Follower::new(folder), from);
    while next < below {
        let visit = |followed: Followed<'_>| {
            let Followed::Record(record) = followed else { panic!("{followed:?}") };
            take(&record);
            ControlFlow::Continue(())
        };
        next = follower.read(next, below, 1 << 20, visit).unwrap();
    }
    cpu_seconds() - began
}

#[test]
#[ignore = "a measurement; needs 1 GB of disk"]
fn archive_of_a_million() {
    const TRADES: u64 = 1_000_000;
    let root = tempfile::tempdir().unwrap();
    let (folder, archive) = (root.path().join("shard"), root.path().join("archive"));
    let _spool = queue(&folder, TRADES);
    let read = follow(&folder, (0, TRADES), |_| ());
    let mut frames = Frames::default();
    let built = follow(&folder, (0, TRADES), |record| {
        frames.push(&ArchiveLine::of(record));
        if frames.are_full() {
            frames.clear();
        }
    });
    frames.clear();
    let (mut store, _) = ArchiveStore::open(&archive, false).unwrap();
    let (mut lines, mut written) = (0, 0);
    let all = follow(&folder, (0, TRADES), |record| {
        frames.push(&ArchiveLine::of(record));
        if frames.are_full() || record.seq() + 1 == TRADES {
            lines += frames.bytes();
            written += store.commit(&frames, &position(record.seq() + 1)).unwrap();
            frames.clear();
        }
    });
    println!("{TRADES} trades: {lines} bytes of lines, {written} bytes of files, {all:.2} CPU s:");
    println!(
        "{read:.2} to read, {:.2} to build lines, {:.2} to compress and write",
        built - read,
        all - built
    );
    let firsts = fs::read_dir(&folder)
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.split('.').next()?.parse::<u64>().ok());
    let last = firsts.filter(|first| *first > 0).min().unwrap() - 1;
    let ended = follow(&folder, (last, last + 1), |_| ());
    println!("{:.1} ms to find the last record of a full segment", ended * 1e3);
}
