//! Walks against a model of the vendor: any pages, crowds of one instant, late and cancelled rows, faults, and crashes at
//! any step.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::json;

use super::job::{BatchWriting, FillJob};
use super::key;
use super::known::KnownRows;
use super::outcome::{FillReason, FillStatus};
use super::walk::{FillBatch, FillStep, Walk};
use crate::channel::fill::{FillSource, KeyField, KeyKind, RowIdentity};
use crate::channel::table::OPTION_TRADES;
use crate::event::EntryId;
use crate::rest_query::RestQuery;
use crate::time::iso_utc;

const BEGIN_US: u64 = 1_791_212_400_000_000;

/// The endpoint of option trades with small answers.
fn source(limit: usize, span_ms: u64) -> &'static FillSource {
    let of = OPTION_TRADES.fill.unwrap();
    Box::leak(Box::new(FillSource {
        path: of.path,
        ask: of.ask,
        limit,
        subject: of.subject,
        time: of.time,
        identity: of.identity,
        unit_us: of.unit_us,
        margin_ms: of.margin_ms,
        settle_ms: of.settle_ms,
        span_ms,
        fidelity: of.fidelity,
        is_of_the_day: of.is_of_the_day,
    }))
}

#[derive(Clone, Debug)]
struct Trade {
    id: u32,
    at_us: u64,
    is_call: bool,
    exchange: usize,
    is_canceled: bool,
    is_live: bool,
    /// Number of requests after which the vendor shows it.
    shown_after: u32,
}

#[derive(Debug, Default)]
struct Vendor {
    /// Oldest first.
    trades: Vec<Trade>,
    limit: usize,
    is_older_inclusive: bool,
    is_newer_exclusive: bool,
    /// Number of requests so far.
    asked: Cell<u32>,
}

impl Vendor {
    fn exchange(trade: &Trade) -> &'static str {
        ["XCBO", "ARCO", "XPHO"][trade.exchange]
    }

    fn answer(&self, query: &RestQuery) -> Bytes {
        let value =
            |name: &str| query.pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str());
        let number = |name: &str| value(name).unwrap().parse::<u64>().unwrap() * 1000;
        let (newer, older) = (number("newer_than"), number("older_than"));
        let is_asked = |trade: &&Trade| {
            let is_after = if self.is_newer_exclusive { trade.at_us > newer } else { trade.at_us >= newer };
            let is_before = if self.is_older_inclusive { trade.at_us <= older } else { trade.at_us < older };
            let kind = if trade.is_call { "call" } else { "put" };
            is_after
                && is_before
                && trade.shown_after <= self.asked.get()
                && value("type").is_none_or(|wanted| wanted == kind)
                && value("exchanges[]").is_none_or(|wanted| wanted == Vendor::exchange(trade))
        };
        let limit = self.limit.min(value("limit").unwrap().parse().unwrap());
        self.asked.set(self.asked.get() + 1);
        let rows = self.trades.iter().rev().filter(is_asked).take(limit);
        let rows: Vec<_> = rows.map(Vendor::row).collect();
        Bytes::from(json!({ "data": rows }).to_string())
    }

    fn row(trade: &Trade) -> serde_json::Value {
        json!({
            "id": trade.id.to_string(), "underlying_symbol": "SPY", "canceled": trade.is_canceled,
            "executed_at": iso_utc(trade.at_us).replace("+00:00", "Z"),
        })
    }
}

/// What survives a crash.
#[derive(Debug, Default)]
struct Redis {
    job: String,
    /// ID and time of the rows by entry ID.
    backfill: BTreeMap<(u64, u64), (u32, u64)>,
}

impl Redis {
    fn last(&self) -> EntryId {
        self.backfill
            .keys()
            .next_back()
            .map_or_else(EntryId::default, |(ms, seq)| EntryId { ms: *ms, seq: *seq })
    }

    fn write(&mut self, first: EntryId, batch: &FillBatch) {
        for (n, row) in (0..).zip(&batch.rows) {
            let object: key::Object = serde_json::from_slice(&row.bytes).unwrap();
            let id = object["id"].as_str().unwrap().parse().unwrap();
            self.backfill.insert((first.ms, first.seq + n), (id, row.at_us));
        }
    }
}

/// What happens at a step.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Chance {
    Nothing,
    Fault,
    Cut,
    CrashBefore,
    CrashBetween,
    CrashAfter,
}

/// Fills a gap and returns what Redis has at the end, and the status.
fn fill(
    source: &'static FillSource,
    vendor: &Vendor,
    gap: (u64, u64),
    chances: &[Chance],
) -> (Redis, FillStatus, Option<FillReason>, FillJob) {
    let mut redis = Redis::default();
    let (status, reason, job) = fill_into(&mut redis, source, vendor, gap, chances);
    (redis, status, reason, job)
}

/// Fills a gap of which Redis may have rows.
fn fill_into(
    redis: &mut Redis,
    source: &'static FillSource,
    vendor: &Vendor,
    (from_us, to_us): (u64, u64),
    chances: &[Chance],
) -> (FillStatus, Option<FillReason>, FillJob) {
    let job = FillJob::new(EntryId { ms: 5, seq: 0 }, "option_trades:SPY".into(), (from_us, to_us));
    redis.job = serde_json::to_string(&job).unwrap();
    let mut chances = chances.iter().copied();
    for clock in 1_u64..10_000 {
        // a new life
        let mut job: FillJob = serde_json::from_str(&redis.job).unwrap();
        if let Some(writing) = &job.writing {
            if redis.last() >= writing.last() {
                job.settle_writing();
            } else {
                job.writing = None;
            }
        }
        let mut known = KnownRows::default();
        let fetched: BTreeSet<u32> = redis.backfill.values().map(|(id, _)| *id).collect();
        let is_known = |trade: &&Trade| trade.is_live || fetched.contains(&trade.id);
        for trade in vendor.trades.iter().filter(is_known) {
            known.add(key::of_row(source.identity, Vendor::row(trade).as_object().unwrap()).unwrap());
        }
        let mut walk = Walk::new(source, &job, known, false);
        for _ in 0..10_000 {
            let chance = chances.next().unwrap_or(Chance::Nothing);
            if chance == Chance::CrashBefore {
                break;
            }
            match walk.step(&mut job) {
                FillStep::Done => {
                    let (status, flaw) = walk.outcome(&job);
                    return (status, flaw.map(|flaw| flaw.reason), job);
                }
                FillStep::Ask(query) => {
                    let body = vendor.answer(&query);
                    job.requests += 1;
                    match chance {
                        Chance::Fault => {}
                        Chance::Cut => {
                            assert!(walk.answered(&mut job, &body.slice(..body.len() - 1)).is_err());
                        }
                        _ => walk.answered(&mut job, &body).unwrap(),
                    }
                }
                FillStep::Write(batch) => {
                    let first = EntryId { ms: clock.max(redis.last().ms + 1), seq: 0 };
                    job.writing = Some(BatchWriting {
                        first,
                        rows: batch.rows.len() as u64,
                        canceled: 0,
                        known: batch.known,
                        cursor_us: batch.cursor_us,
                    });
                    redis.job = serde_json::to_string(&job).unwrap();
                    if chance == Chance::CrashBetween {
                        break;
                    }
                    redis.write(first, &batch);
                    if chance == Chance::CrashAfter {
                        break;
                    }
                    job.settle_writing();
                    walk.written(&mut job, &batch);
                    redis.job = serde_json::to_string(&job).unwrap();
                }
            }
        }
    }
    unreachable!("the walk does not end")
}

fn chance() -> impl Strategy<Value = Chance> {
    prop_oneof![
        8 => Just(Chance::Nothing),
        1 => Just(Chance::Fault),
        1 => Just(Chance::Cut),
        1 => Just(Chance::CrashBefore),
        1 => Just(Chance::CrashBetween),
        1 => Just(Chance::CrashAfter),
    ]
}

/// Trades around a gap from 10 s to 20 s, some of them in crowds.
fn trades() -> impl Strategy<Value = Vec<Trade>> {
    // most are shown at once, some while the first walk is under way, and some after it
    let shown_after = prop_oneof![8 => Just(0_u32), 2 => 1_u32..12, 2 => Just(u32::MAX)];
    let of_crowd = (any::<bool>(), 0_usize..3, 0_u8..20, any::<bool>(), shown_after);
    let trade = (0_u64..30_000_000, 1_usize..12, 0_u64..3, of_crowd);
    prop::collection::vec(trade, 0..60).prop_map(|crowds| {
        let mut trades = Vec::new();
        for (offset_us, size, spread_us, of_crowd) in crowds {
            let (is_call, exchange, canceled, is_early, shown_after) = of_crowd;
            for n in 0..size {
                let at_us = BEGIN_US + offset_us + spread_us * n as u64;
                let is_in_gap = (10_000_000..=20_000_000).contains(&(at_us - BEGIN_US));
                trades.push(Trade {
                    id: 0,
                    at_us,
                    is_call: is_call ^ n.is_multiple_of(2),
                    exchange: (exchange + n) % 3,
                    is_canceled: canceled == 0,
                    // before and after the gap everything is live, in it a part
                    is_live: !is_in_gap || (is_early && canceled == 1),
                    shown_after,
                });
            }
        }
        trades.sort_by_key(|trade| trade.at_us);
        for (id, trade) in (0..).zip(&mut trades) {
            trade.id = id;
        }
        trades
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn live_and_backfill_together_have_every_trade_once(
        trades in trades(),
        limit in prop::sample::select(vec![6_usize, 9, 17, 500]),
        span_ms in prop::sample::select(vec![1_000_u64, 4_000, 75_000]),
        edges in (any::<bool>(), any::<bool>()),
        chances in prop::collection::vec(chance(), 0..120),
    ) {
        let asked = Cell::new(0);
        let mut vendor = Vendor { trades, limit, is_older_inclusive: edges.0, is_newer_exclusive: edges.1, asked };
        let gap = (BEGIN_US + 10_000_000, BEGIN_US + 20_000_000);
        let (source, mut redis, mut before) = (source(limit, span_ms), Redis::default(), 0);
        let (first, second) = chances.split_at(chances.len() / 2);
        // what is shown after the walk is fetched by another one, that somebody or an audit asks for
        for chances in [first, second] {
            let (status, reason, job) = fill_into(&mut redis, source, &vendor, gap, chances);
            let rows: Vec<(u32, u64)> = redis.backfill.values().copied().collect();
            let times: Vec<u64> = rows[before..].iter().map(|(_, at_us)| *at_us).collect();
            prop_assert!(times.is_sorted(), "rows of a fill stand in the order of time");
            prop_assert_eq!(job.rows, times.len() as u64);
            before = rows.len();
            let mut filled: Vec<u32> = rows.iter().map(|(id, _)| *id).collect();
            filled.sort_unstable();
            prop_assert!(filled.windows(2).all(|pair| pair[0] < pair[1]), "none twice");
            let is_missed = |id: &u32| vendor.trades.iter().any(|trade| trade.id == *id && !trade.is_live);
            prop_assert!(filled.iter().all(is_missed));
            // what has been shown from the beginning is there after the first walk
            let mut due = vendor.trades.iter().filter(|trade| !trade.is_live && trade.shown_after == 0);
            match (status, reason) {
                (FillStatus::Complete, None) => {
                    prop_assert!(due.all(|trade| filled.binary_search(&trade.id).is_ok()));
                }
                (FillStatus::Partial, Some(FillReason::InstantFull)) => {}
                other => prop_assert!(false, "{other:?}"),
            }
            vendor.trades.iter_mut().for_each(|trade| trade.shown_after = 0);
        }
    }
}

/// Late rows of the gap are fetched by its first walk if they are shown before it, and by the next one otherwise.
#[test]
fn what_is_shown_after_the_walk_is_fetched_by_the_next_one_alone() {
    let mut trades = crowd(20, 3);
    trades[3].shown_after = 2;
    trades[9].shown_after = u32::MAX;
    let mut vendor = Vendor { trades, limit: 6, ..Vendor::default() };
    let (mut redis, gap) = (Redis::default(), (BEGIN_US + 10_000_000, BEGIN_US + 20_000_000));
    let (status, _, job) = fill_into(&mut redis, source(6, 75_000), &vendor, gap, &[]);
    assert_eq!(
        (status, job.rows),
        (FillStatus::Complete, 19),
        "the walk had not passed the first of the late ones"
    );
    vendor.trades[9].shown_after = 0;
    let (status, _, job) = fill_into(&mut redis, source(6, 75_000), &vendor, gap, &[]);
    assert_eq!((status, job.rows, job.known), (FillStatus::Complete, 1, 19));
}

fn crowd(count: u32, exchange: usize) -> Vec<Trade> {
    let trade = |id| Trade {
        id,
        at_us: BEGIN_US + 15_000_000 + u64::from(id) % 900,
        is_call: id.is_multiple_of(2),
        exchange: if exchange == 3 { id as usize % 3 } else { exchange },
        is_canceled: false,
        is_live: false,
        shown_after: 0,
    };
    let mut trades: Vec<Trade> = (0..count).map(trade).collect();
    trades.sort_by_key(|trade| trade.at_us);
    trades
}

fn fill_crowd(trades: Vec<Trade>) -> (usize, FillStatus, Option<FillReason>) {
    let vendor = Vendor { trades, limit: 10, ..Vendor::default() };
    let gap = (BEGIN_US + 10_000_000, BEGIN_US + 20_000_000);
    let (redis, status, reason, _) = fill(source(10, 75_000), &vendor, gap, &[]);
    (redis.backfill.len(), status, reason)
}

#[test]
fn a_crowd_of_one_millisecond_is_divided_by_type_and_by_exchange() {
    assert_eq!(fill_crowd(crowd(18, 3)), (18, FillStatus::Complete, None));
    assert_eq!(fill_crowd(crowd(50, 3)), (50, FillStatus::Complete, None));
}

#[test]
fn a_crowd_that_no_parameter_divides_is_partial() {
    let (rows, status, reason) = fill_crowd(crowd(50, 0));
    assert_eq!((status, reason), (FillStatus::Partial, Some(FillReason::InstantFull)));
    assert!((10..50).contains(&rows), "{rows}");
}

/// A minute of 80 trades per second, with the endpoint as it is.
#[test]
fn a_busy_minute_takes_few_requests() {
    let trade = |n: u64| Trade {
        id: u32::try_from(n).unwrap(),
        at_us: BEGIN_US + n * 12_500,
        is_call: true,
        exchange: 0,
        is_canceled: false,
        is_live: false,
        shown_after: 0,
    };
    let trades: Vec<Trade> = (0..4_800).map(trade).collect();
    let vendor = Vendor { trades, limit: 500, ..Vendor::default() };
    let (redis, status, _, job) =
        fill(OPTION_TRADES.fill.unwrap(), &vendor, (BEGIN_US, BEGIN_US + 60_000_000), &[]);
    assert_eq!((redis.backfill.len(), status), (4_800, FillStatus::Complete));
    assert!(job.requests <= 4_800 / 450 + 10, "{} requests", job.requests);
}

#[test]
fn a_quiet_day_takes_few_requests() {
    let vendor = Vendor { limit: 500, ..Vendor::default() };
    let gap = (BEGIN_US, BEGIN_US + 6 * 3_600_000_000);
    let (_, status, _, job) = fill(OPTION_TRADES.fill.unwrap(), &vendor, gap, &[]);
    assert_eq!(status, FillStatus::Complete);
    assert!(job.requests <= 10, "{} requests", job.requests);
}

/// A limit below the one asked for, which the answers do not state.
#[test]
fn a_server_with_a_limit_of_its_own_loses_no_row() {
    let mut trades = crowd(140, 3);
    for (n, trade) in (0..).zip(&mut trades) {
        trade.at_us = BEGIN_US + n * 1_000;
    }
    let vendor = Vendor { trades, limit: 50, ..Vendor::default() };
    let (redis, status, ..) =
        fill(OPTION_TRADES.fill.unwrap(), &vendor, (BEGIN_US, BEGIN_US + 1_000_000), &[]);
    assert_eq!((redis.backfill.len(), status), (140, FillStatus::Complete));
}

#[test]
fn rows_without_an_identity_are_matched_by_number_also_across_answers() {
    const KEY: &[KeyField] = &[KeyField { row: "price", event: "price", kind: KeyKind::Decimal }];
    let of = source(4, 75_000);
    let source: &'static FillSource = Box::leak(Box::new(FillSource {
        ask: of.ask,
        identity: RowIdentity::Shared(KEY),
        unit_us: 1_000_000,
        fidelity: crate::channel::fill::Fidelity::NoIdentity,
        ..*of
    }));
    // three prints of one second, two of the next one, one of the third; all equal
    let rows: Vec<u64> = vec![3, 2, 2, 1, 1, 1];
    let answer = |query: &RestQuery| {
        let older: u64 =
            query.pairs.iter().find(|(name, _)| *name == "older_than").unwrap().1.parse().unwrap();
        let asked = rows.iter().map(|second| BEGIN_US + second * 1_000_000).filter(|at| at / 1000 < older);
        let row = |at: u64| json!({"underlying_symbol": "SPY", "price": "1.0", "executed_at": at / 1000});
        Bytes::from(json!({"data": asked.take(4).map(row).collect::<Vec<_>>()}).to_string())
    };
    let mut known = KnownRows::default();
    for _ in 0..4 {
        known.add(key::of_event(source.identity, br#"{"price":1}"#).unwrap());
    }
    let mut job =
        FillJob::new(EntryId::default(), "option_trades:SPY".into(), (BEGIN_US, BEGIN_US + 4_000_000));
    let mut walk = Walk::new(source, &job, known, false);
    let mut written = 0;
    loop {
        match walk.step(&mut job) {
            FillStep::Ask(query) => walk.answered(&mut job, &answer(&query)).unwrap(),
            FillStep::Write(batch) => {
                written += batch.rows.len();
                walk.written(&mut job, &batch);
            }
            FillStep::Done => break,
        }
    }
    assert_eq!(written, 2, "six rows, of which the live stream has four");
    assert_eq!(walk.outcome(&job).1.unwrap().reason, FillReason::NoIdentity);
}
