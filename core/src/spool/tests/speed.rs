//! The speed of the queue: `cargo test --release -p uw-websocket-core spool::tests::speed -- --ignored --nocapture`

use std::hint::black_box;

use super::*;

const BATCH: u64 = 500;
const BATCHES: u64 = 2000;
const PAYLOAD: usize = 780;

#[test]
#[ignore = "measures; needs a release build and 800 MB of disk"]
fn events_a_second() {
    let limits = Limits { segment_bytes: 16 << 20, ..ROOMY };
    let mut world = World::new(Limits { max_bytes: 4 << 30, ..limits });
    let payload = vec![b'x'; PAYLOAD];
    let symbols = ["SPY", "QQQ", "IWM", "TSLA", "AAPL"];
    let (mut encoding, mut appending) = (Duration::ZERO, Vec::new());
    for batch in 0..BATCHES {
        let start = Instant::now();
        world.records.clear(batch * BATCH);
        for ms in 0..BATCH {
            let symbol = symbols[usize::try_from(ms).unwrap() % symbols.len()];
            let destinations = [(Some(symbol), id(batch, ms))].into_iter();
            world.records.push("option_trades", ms, destinations, &payload).unwrap();
        }
        encoding += start.elapsed();
        let start = Instant::now();
        let World { spool, records, now, .. } = &mut world;
        spool.as_mut().unwrap().append(records, *now).unwrap();
        appending.push(start.elapsed());
    }
    let rate = |name: &str, took: Duration| {
        println!("{name}: {:.0} events/s", (BATCHES * BATCH) as f64 / took.as_secs_f64());
    };
    let total: Duration = appending.iter().sum();
    appending.sort();
    rate("encode", encoding);
    rate("append (write)", total);
    rate("encode and append", encoding + total);
    println!(
        "append of a batch: p50 {:?}, p99 {:?}, max {:?}",
        appending[1000], appending[1980], appending[1999]
    );
    let (start, mut from, mut read) = (Instant::now(), 0, 0);
    loop {
        let chunk = world.spool().read(from, 512, 1 << 20).unwrap();
        if chunk.records.is_empty() {
            break;
        }
        read += chunk.records.len() as u64;
        from = black_box(chunk).next_seq;
    }
    assert_eq!(read, BATCHES * BATCH);
    rate("read", start.elapsed());
    let start = Instant::now();
    let stream = RecordStream { channel: "option_trades", symbol: Some("SPY") };
    let result =
        world.spool().reassign(0, stream, &std::collections::HashSet::<u64>::new(), id(9999, 0)).unwrap();
    println!("reassign: {} ids in {:?}", result.count, start.elapsed());
    let start = Instant::now();
    assert_eq!(world.open().damages, []);
    rate("recovery", start.elapsed());
    world.acknowledge(BATCHES * BATCH);
    let (start, now) = (Instant::now(), world.now);
    let swept = world.spool().sweep(now, Duration::ZERO).unwrap();
    println!("sweep: {} segments in {:?}", swept.segments, start.elapsed());
}
