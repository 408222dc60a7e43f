//! The age limit. The moment of every round is a parameter; the limit is an hour before it.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use slog::{Discard, Logger, o};
use tokio::task::spawn_blocking;
use uw_websocket_actors::janitor::{JanitorParts, Removals, SweepError, Sweeper};
use uw_websocket_actors::observation::Observations;
use uw_websocket_actors::settings::RedisSettings;
use uw_websocket_actors::writer::store::address::Address;
use uw_websocket_core::settings::Retention;

use crate::redis::RedisServer;

/// A moment of 2025 in Unix milliseconds, and the limit then.
const NOW: u64 = 1_750_000_000_000;
const LIMIT: u64 = NOW - 3_600_000;

fn parts(url: String, prefix: &str) -> JanitorParts {
    let settings = RedisSettings::of(url);
    JanitorParts {
        address: Address::new(&settings).unwrap(),
        prefix: prefix.to_owned(),
        retention: Retention::Span(Duration::from_secs(3_600)),
        may_write: Box::new(|| true),
        observations: Arc::new(Observations::new("test".into(), "0", &[], &[], 0, Arc::default())),
        log: Logger::root(Discard, o!()),
    }
}

fn url(redis: &RedisServer) -> String {
    format!("redis://127.0.0.1:{}/0", redis.port())
}

async fn sweep(redis: &RedisServer) -> Removals {
    Sweeper::new(parts(url(redis), "uw")).round(NOW).await.unwrap()
}

/// Adds `count` entries, one a millisecond from `first` on.
fn fill(redis: &RedisServer, stream: &str, first: u64, count: u64, payload: &str) {
    const CHUNK: u64 = 50_000;
    const ADD: &str = "for at = ARGV[1], ARGV[1] + ARGV[2] - 1 do \
                       redis.call('XADD', KEYS[1], string.format('%d-0', at), 'payload', ARGV[3]) end";
    for start in (0..count).step_by(usize::try_from(CHUNK).unwrap()) {
        let (from, chunk) = ((first + start).to_string(), CHUNK.min(count - start).to_string());
        redis.command(&["EVAL", ADD, "1", stream, &from, &chunk, payload]);
    }
}

/// A hash of the newest event with this time in its id.
fn set_latest(redis: &RedisServer, topic: &str, ms: u64) {
    let key = format!("uw:ws:latest:{topic}");
    redis.command(&["HSET", &key, "payload", "{}", "received_at", "", "stream_id", &format!("{ms}-3")]);
}

fn number(reply: &str) -> u64 {
    reply.trim_start_matches(':').trim().parse().unwrap_or_else(|_| panic!("{reply}"))
}

fn length(redis: &RedisServer, stream: &str) -> u64 {
    number(&redis.command(&["XLEN", stream]))
}

fn exists(redis: &RedisServer, key: &str) -> bool {
    number(&redis.command(&["EXISTS", key])) == 1
}

#[tokio::test]
async fn entries_from_before_the_limit_go_but_for_a_part_of_a_node() {
    let redis = RedisServer::start();
    fill(&redis, "uw:ws:price:SPY", LIMIT - 10_000, 15_000, "{}");
    let swept = sweep(&redis).await;
    let length = length(&redis, "uw:ws:price:SPY");
    assert!((5_000..5_100).contains(&length), "{length}");
    assert_eq!(swept, Removals { streams: 1, entries: 15_000 - length, keys: 0 });
    let since = redis.command(&["XRANGE", "uw:ws:price:SPY", &LIMIT.to_string(), "+", "COUNT", "1"]);
    assert!(since.contains(&format!("{LIMIT}-0")), "{since}");
    assert_eq!(sweep(&redis).await, Removals::default(), "a second round has nothing to do");
}

#[tokio::test]
async fn a_stream_goes_when_its_last_entry_is_from_before_the_limit() {
    let redis = RedisServer::start();
    fill(&redis, "uw:ws:news", LIMIT - 1_000, 1_000, "{}");
    fill(&redis, "uw:ws:news:SPY", LIMIT - 1_000, 1_001, "{}");
    fill(&redis, "uw:ws:gone_channel:OLD", 1, 3, "{}");
    let swept = sweep(&redis).await;
    assert_eq!(swept.keys, 2);
    assert!(!exists(&redis, "uw:ws:news") && !exists(&redis, "uw:ws:gone_channel:OLD"));
    assert!(redis.command(&["XREVRANGE", "uw:ws:news:SPY", "+", "-"]).contains(&format!("{LIMIT}-0")));
}

#[tokio::test]
async fn an_emptied_stream_that_was_written_lately_stays() {
    let redis = RedisServer::start();
    fill(&redis, "uw:ws:news", NOW, 1, "{}");
    redis.command(&["XTRIM", "uw:ws:news", "MAXLEN", "0"]);
    assert_eq!(sweep(&redis).await, Removals::default());
    assert!(exists(&redis, "uw:ws:news"), "its last id keeps ours above it");
}

#[tokio::test]
async fn nodes_of_any_size_are_trimmed() {
    for options in [
        ["--stream-node-max-entries", "1", "--stream-node-max-bytes", "4096"],
        ["--stream-node-max-entries", "4000", "--stream-node-max-bytes", "0"],
    ] {
        let redis = RedisServer::start_with(&options);
        fill(&redis, "uw:ws:price:SPY", LIMIT - 20_000, 30_000, "{}");
        sweep(&redis).await;
        let length = length(&redis, "uw:ws:price:SPY");
        assert!((10_000..14_000).contains(&length), "{options:?}: {length}");
    }
}

#[tokio::test]
async fn a_snapshot_goes_with_its_newest_event() {
    let redis = RedisServer::start();
    let maps =
        ["gex_strike:OLD", "gex_strike:NEW", "gex_strike_expiry:LOST"].map(|t| format!("uw:ws:map:{t}"));
    for map in &maps {
        redis.command(&["HSET", map, "100", "{}"]);
    }
    set_latest(&redis, "gex_strike:OLD", LIMIT - 1);
    set_latest(&redis, "gex_strike:NEW", LIMIT);
    set_latest(&redis, "news", LIMIT - 1);
    redis.command(&["HSET", "uw:ws:latest:price:SPY", "payload", "{}"]);
    let swept = sweep(&redis).await;
    let gone = ["uw:ws:latest:gex_strike:OLD", &maps[0], &maps[2], "uw:ws:latest:news"];
    assert_eq!(swept, Removals { streams: 0, entries: 0, keys: 4 });
    assert!(gone.iter().all(|key| !exists(&redis, key)));
    assert!(exists(&redis, "uw:ws:latest:gex_strike:NEW") && exists(&redis, &maps[1]));
    assert!(exists(&redis, "uw:ws:latest:price:SPY"), "nobody knows how old it is");
}

#[tokio::test]
async fn what_is_not_ours_is_left_alone() {
    let redis = RedisServer::start();
    for stream in ["uw:ws:gaps", "uw:ws:price:SPY:mine", "uw:rest:news", "other:ws:news", "uwx:ws:news"] {
        fill(&redis, stream, 1, 500, "{}");
    }
    redis.command(&["SET", "uw:ws:price:SPY", "text"]);
    redis.command(&["SET", "uw:ws:latest:price:SPY", "text"]);
    redis.command(&["HSET", "uw:ws:map:gex_strike:SPY", "100", "{}"]);
    redis.command(&["SET", "uw:ws:latest:gex_strike:SPY", "text"]);
    redis.command(&["HSET", "uw:ws:status", "stream_id", "1-1"]);
    let before = redis.command(&["DBSIZE"]);
    assert_eq!(sweep(&redis).await, Removals::default());
    assert_eq!(redis.command(&["DBSIZE"]), before);
}

#[tokio::test]
async fn a_prefix_with_the_characters_of_a_pattern_means_itself() {
    let redis = RedisServer::start();
    for prefix in ["a*[b]?", "axx[b]y", "a*by"] {
        fill(&redis, &format!("{prefix}:ws:news"), 1, 10, "{}");
    }
    let swept = Sweeper::new(parts(url(&redis), "a*[b]?")).round(NOW).await.unwrap();
    assert_eq!(swept.keys, 1);
    assert!(!exists(&redis, "a*[b]?:ws:news"));
}

#[tokio::test]
async fn every_key_of_a_large_redis_is_found() {
    const MAKE: &str = "for n = 1, 3000 do redis.call('SET', 'else' .. n, 'x') \
                        redis.call('XADD', 'uw:ws:price:T' .. n, n .. '-0', 'payload', '{}') end";
    let redis = RedisServer::start();
    redis.command(&["EVAL", MAKE, "0"]);
    let swept = sweep(&redis).await;
    assert_eq!(swept.keys, 3_000);
    assert_eq!(redis.command(&["DBSIZE"]), ":3000\r\n");
}

#[tokio::test]
async fn nothing_goes_without_a_limit_or_without_the_right_to_write() {
    let redis = RedisServer::start();
    fill(&redis, "uw:ws:news", 1, 10, "{}");
    let off = JanitorParts { retention: Retention::Off, ..parts(url(&redis), "uw") };
    let standby = JanitorParts { may_write: Box::new(|| false), ..parts(url(&redis), "uw") };
    for parts in [off, standby] {
        assert_eq!(Sweeper::new(parts).round(NOW).await.unwrap(), Removals::default());
    }
    assert_eq!(length(&redis, "uw:ws:news"), 10);
}

#[tokio::test]
async fn a_round_ends_when_the_right_to_write_does() {
    let redis = RedisServer::start();
    fill(&redis, "uw:ws:price:SPY", LIMIT - 100_000, 100_001, "{}");
    let left = Rc::new(Cell::new(4));
    let may_write = {
        let left = Rc::clone(&left);
        Box::new(move || left.replace(left.get().max(1) - 1) > 0)
    };
    let swept =
        Sweeper::new(JanitorParts { may_write, ..parts(url(&redis), "uw") }).round(NOW).await.unwrap();
    assert_eq!(left.get(), 0);
    assert!(swept.entries > 0 && swept.entries < 50_000, "{swept:?}");
}

#[tokio::test]
async fn a_clock_that_is_ahead_of_redis_removes_nothing() {
    let redis = RedisServer::start();
    redis.command(&["XADD", "uw:ws:news", "*", "payload", "{}"]);
    let swept = Sweeper::new(parts(url(&redis), "uw")).round(u64::MAX / 2).await.unwrap();
    assert_eq!(swept, Removals::default());
    assert_eq!(length(&redis, "uw:ws:news"), 1);
}

#[tokio::test]
async fn memory_is_freed_also_when_there_is_none() {
    let redis = RedisServer::start();
    fill(&redis, "uw:ws:price:SPY", LIMIT - 10_000, 10_001, "{}");
    fill(&redis, "uw:ws:news", 1, 10, "{}");
    redis.command(&["CONFIG", "SET", "maxmemory", "1"]);
    let swept = sweep(&redis).await;
    assert!(swept.entries > 9_000 && swept.keys == 1, "{swept:?}");
}

#[tokio::test]
async fn a_redis_that_is_away_or_refuses_is_tried_again() {
    let redis = RedisServer::start();
    fill(&redis, "uw:ws:news", 1, 10, "{}");
    redis.command(&["ACL", "SETUSER", "reader", "on", ">pw", "~*", "+@all", "-eval"]);
    let reader = format!("redis://reader:pw@127.0.0.1:{}/0", redis.port());
    let mut sweeper = Sweeper::new(parts(reader, "uw"));
    assert!(matches!(sweeper.round(NOW).await, Err(SweepError::Redis(_))));
    redis.command(&["ACL", "SETUSER", "reader", "off"]);
    redis.command(&["CLIENT", "KILL", "USER", "reader"]);
    assert!(matches!(sweeper.round(NOW).await, Err(SweepError::Redis(_))));
    redis.command(&["ACL", "SETUSER", "reader", "on", "+eval"]);
    assert_eq!(sweeper.round(NOW).await.unwrap().keys, 1);
}

#[tokio::test]
async fn an_event_that_is_written_while_its_idle_stream_goes_is_kept() {
    const STREAMS: u64 = 500;
    /// Streams that are written while the janitor takes a step: few, so that it meets many that nobody has written to.
    const PART: u64 = 10;
    const MAKE: &str =
        "for n = 0, ARGV[1] - 1 do redis.call('XADD', 'uw:ws:price:T' .. n, '1-0', 'payload', 'old') end";
    const WRITTEN: &str = "local found = 0 for n = 0, ARGV[1] - 1 do \
        found = found + #redis.call('XRANGE', 'uw:ws:price:T' .. n, '2', '+') end return found";
    let (redis, streams) = (Arc::new(RedisServer::start()), STREAMS.to_string());
    redis.command(&["EVAL", MAKE, "0", &streams]);
    // neither gets far ahead: before each step the janitor waits until the writer has done its part of the last one
    let (step, steps) = sync_channel(0);
    let writer = Arc::clone(&redis);
    let write = spawn_blocking(move || {
        for n in 0..STREAMS {
            if n % PART == 0 {
                // without a janitor it goes on alone
                steps.recv().ok();
            }
            writer.command(&["XADD", &format!("uw:ws:price:T{n}"), &format!("{NOW}-0"), "payload", "new"]);
        }
    });
    let may_write = Box::new(move || {
        step.send(()).ok();
        true
    });
    let sweep =
        async { Sweeper::new(JanitorParts { may_write, ..parts(url(&redis), "uw") }).round(NOW).await };
    let (swept, written) = tokio::join!(sweep, write);
    written.unwrap();
    let swept = swept.unwrap();
    assert!(0 < swept.keys && swept.keys < STREAMS, "one of both came first to every stream: {swept:?}");
    assert_eq!(number(&redis.command(&["EVAL", WRITTEN, "0", &streams])), STREAMS);
}

/// What trimming a stream cost Redis.
struct Cost {
    calls: u64,
    /// The most that one step took of its thread, in the time of a processor: on the wall's clock a busy machine counts.
    dearest_step: Duration,
    /// The janitor's part of the time.
    part: f64,
}

/// The time of a processor that the server's thread has had.
fn processor_time(pid: &str) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/schedstat")).unwrap();
    Duration::from_nanos(stat.split(' ').next().unwrap().parse().unwrap())
}

/// Trims `count` old entries.
async fn measure(redis: &RedisServer, count: u64, payload: &str) -> Cost {
    fill(redis, "uw:ws:price:SPY", LIMIT - count, count + 1, payload);
    redis.command(&["CONFIG", "SET", "slowlog-log-slower-than", "5000"]);
    redis.command(&["CONFIG", "RESETSTAT"]);
    redis.command(&["SLOWLOG", "RESET"]);
    let info = redis.command(&["INFO", "server"]);
    let pid = info.lines().find_map(|line| line.strip_prefix("process_id:")).unwrap().to_owned();
    // the janitor asks before every step, so what the server has worked since is the step before
    let (worked, dearest) = (Cell::new(processor_time(&pid)), Rc::new(Cell::new(Duration::ZERO)));
    let step = Rc::clone(&dearest);
    let may_write = Box::new(move || {
        let now = processor_time(&pid);
        step.set(step.get().max(now.saturating_sub(worked.replace(now))));
        true
    });
    let mut sweeper = Sweeper::new(JanitorParts { may_write, ..parts(url(redis), "uw") });
    let began = Instant::now();
    let swept = sweeper.round(NOW).await.unwrap();
    let elapsed = began.elapsed();
    assert!(swept.entries > count - 200, "{swept:?}");
    let stats = redis.command(&["INFO", "commandstats"]);
    let stat = |command: &str, name: &str| -> f64 {
        let line = stats.lines().find(|line| line.starts_with(&format!("cmdstat_{command}:"))).unwrap();
        let (_, value) = line.split_once(&format!("{name}=")).unwrap();
        value.split(',').next().unwrap().parse().unwrap()
    };
    let busy: f64 = ["xtrim", "eval", "scan", "time"].iter().map(|command| stat(command, "usec")).sum();
    let cost = Cost {
        calls: number(&stat("xtrim", "calls").to_string()),
        dearest_step: dearest.get(),
        part: busy / elapsed.as_micros() as f64,
    };
    println!(
        "{} of {count} entries of {} bytes in {elapsed:?}: {} calls of {} µs, the dearest step {:?}, {:.1} % of \
         Redis' time; {} of more than 5 ms by the wall's clock",
        swept.entries,
        payload.len(),
        cost.calls,
        stat("xtrim", "usec_per_call"),
        cost.dearest_step,
        cost.part * 100.0,
        number(&redis.command(&["SLOWLOG", "LEN"]))
    );
    cost
}

/// What a step may take of Redis' time.
const A_STEP: Duration = Duration::from_millis(5);

#[tokio::test]
async fn old_entries_go_in_many_small_steps() {
    let redis = RedisServer::start();
    let cost = measure(&redis, 50_000, &"x".repeat(80)).await;
    assert!(cost.calls >= 5, "{} calls", cost.calls);
    assert!(cost.dearest_step < A_STEP, "{:?}", cost.dearest_step);
    assert!(cost.part <= 0.1, "{} of the time", cost.part);
}

/// `cargo nextest run -p uw-websocket-actors a_million --run-ignored all --no-capture` shows the figures.
#[tokio::test]
#[ignore = "takes most of a minute and a gigabyte"]
async fn a_million_old_entries_go_without_a_step_of_five_milliseconds() {
    for bytes in [20, 80, 800] {
        let redis = RedisServer::start();
        let cost = measure(&redis, 1_000_000, &"x".repeat(bytes)).await;
        assert!(cost.dearest_step < A_STEP, "{:?}", cost.dearest_step);
        assert!(cost.part <= 0.1, "{} of the time", cost.part);
    }
}

#[tokio::test]
async fn a_giant_name_of_a_key_is_not_read_and_holds_up_nothing() {
    const MAKE: &str = "redis.call('SET', 'uw:ws:' .. string.rep('x', 20000000), '')";
    let redis = RedisServer::start();
    redis.command(&["EVAL", MAKE, "0"]);
    fill(&redis, "uw:ws:price:SPY", LIMIT - 10, 1, "{}");
    let sent = || {
        let stats = redis.command(&["INFO", "stats"]);
        let line = stats.lines().find_map(|line| line.strip_prefix("total_net_output_bytes:")).unwrap();
        number(line)
    };
    let before = sent();
    assert_eq!(sweep(&redis).await.keys, 1);
    assert!(sent() - before < 1_000_000, "the name was read");
}
