//! What the archive costs, for `docs/archive.md`:
//! `cargo test --release -p uw-websocket-core archive_of_a_million -- --ignored --nocapture`

use super::*;

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

#[test]
#[ignore = "a measurement"]
fn archive_of_a_million() {
    const TRADES: u64 = 1_000_000;
    let root = tempfile::tempdir().unwrap();
    let (mut store, _) = ArchiveStore::open(root.path(), false).unwrap();
    let (mut frames, mut random) = (Frames::default(), fastrand::Rng::with_seed(7));
    let payloads: Vec<String> = (0..50_000).map(|n| trade(n, &mut random)).collect();
    let (began, mut lines, mut written) = (cpu_seconds(), 0, 0);
    for n in 0..TRADES {
        let payload = payloads[usize::try_from(n).unwrap() % payloads.len()].as_bytes().into();
        let received_us = BEGIN_US + n * 200;
        frames.push(&Line {
            received_us,
            topic: "option_trades:SPY".into(),
            id: EntryId { ms: n, seq: 0 },
            payload,
        });
        if frames.are_full() || n + 1 == TRADES {
            lines += frames.bytes();
            written += store.commit(&frames, &position(n)).unwrap();
            frames.clear();
        }
    }
    let seconds = cpu_seconds() - began;
    let each = payloads.iter().map(String::len).sum::<usize>() / payloads.len();
    println!(
        "{TRADES} trades of {each} bytes: {lines} bytes of lines, {written} bytes of files, {seconds:.2} CPU s"
    );
}
