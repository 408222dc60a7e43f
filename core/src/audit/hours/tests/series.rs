//! Days of prices and exposures: a row per minute, and the newest state.

use super::*;
use crate::audit::series::Point;
use crate::time::parse_iso;

/// Ten minutes before the hour in which a Monday's session opens.
const EARLY: &str = "2026-11-30T08:50-05:00";
/// Contracts of a minute's candle.
const VOLUME: u64 = 100;

/// What differs between the two sides, by minutes since [`EARLY`].
#[derive(Clone, Copy)]
struct Market {
    /// Whether the feed delivers the event of a minute.
    delivers: fn(u64) -> bool,
    /// Whether REST has the minute when asked for the n-th time.
    knows: fn(u64, usize) -> bool,
    /// The volume of a minute's candle.
    volume: fn(u64) -> u64,
    /// What the feed calls the volume of the session, by REST's.
    counts: fn(u64) -> u64,
    /// Answers without evidence, by the number of the question.
    fails: fn(usize) -> Option<AuditAnswer>,
    /// By how much the feed's clock is ahead of REST's, in seconds.
    ahead: u64,
    /// Minutes of a gap in the ledger.
    gap: Option<(u64, u64)>,
}

const PERFECT: Market = Market {
    delivers: |_| true,
    knows: |_, _| true,
    volume: |_| VOLUME,
    counts: |volume| volume,
    fails: |_| None,
    ahead: 0,
    gap: None,
};

fn early_us() -> u64 {
    parse_iso(EARLY).unwrap()
}

fn price() -> AuditSubject {
    AuditSubject::Price("SPY".to_owned())
}

fn gex() -> AuditSubject {
    AuditSubject::Gex("SPY".to_owned())
}

fn strikes() -> AuditSubject {
    AuditSubject::StrikesByExpiry("SPY".to_owned())
}

/// The volume of the session at the end of a minute.
fn total(market: Market, minute: u64) -> u64 {
    (0..=minute).map(market.volume).sum()
}

fn payload(subject: &AuditSubject, market: Market, minute: u64) -> String {
    let at_ms = early_us() / 1_000 + minute * 60_000 + 30_000 + market.ahead * 1_000;
    match subject {
        AuditSubject::Price(_) => {
            let vol = (market.counts)(total(market, minute) - (market.volume)(minute) / 2);
            format!(r#"{{"close":"1","time":{at_ms},"vol":{vol}}}"#)
        }
        _ => format!(r#"{{"timestamp":{at_ms}}}"#),
    }
}

/// Lets so many minutes pass.
fn run(subject: &AuditSubject, market: Market, minutes: u64) -> Vec<Notice> {
    let mut kept = KeptIdentities::new(vec![subject.clone()]);
    let mut audit = Hours::new(&kept, early_us());
    let mut blind = [Blind::default()];
    blind[0].note(early_us() - early_us() % HOUR_US, early_us());
    if let Some((from, to)) = market.gap {
        blind[0].note(early_us() + from * MINUTE_US, early_us() + to * MINUTE_US);
    }
    let (mut notices, mut questions) = (Vec::new(), 0);
    for minute in 0..minutes {
        let now_us = early_us() + (minute + 1) * MINUTE_US;
        let is_expected = subject.is_expected(now_us - MINUTE_US, now_us);
        if is_expected && (market.volume)(minute) > 0 && (market.delivers)(minute) {
            kept.note(0, payload(subject, market, minute).as_bytes(), now_us);
        }
        kept.forget(now_us);
        let known = ReceivedEvents { kept: &kept, blind: &blind, now_us };
        notices.extend(audit.open(known, &mut || 0.5));
        while let Some(question) = audit.next(now_us) {
            questions += 1;
            let answer = (market.fails)(questions)
                .unwrap_or_else(|| answer(subject, market, &question, (minute, questions)));
            notices.extend(audit.answered(question, answer, known, &mut || 0.5));
        }
    }
    assert!(questions > 0, "nothing was asked");
    notices
}

fn answer(
    subject: &AuditSubject,
    market: Market,
    question: &AuditQuestion,
    (now, asked): (u64, usize),
) -> AuditAnswer {
    let at_us = |minute: u64| early_us() + minute * MINUTE_US;
    let mut known = (0..=now).filter(|minute| {
        (market.knows)(*minute, asked) && subject.is_expected(at_us(*minute), at_us(*minute) + MINUTE_US)
    });
    if question.asked == EvidenceWanted::Newest {
        let newest = known.next_back().map(|minute| AuditAnswer::Newest(at_us(minute) + MINUTE_US / 2));
        return newest.unwrap_or(AuditAnswer::Nothing(NoEvidence::Empty));
    }
    let point = |minute: u64| Point {
        at_us: at_us(minute),
        volume: (market.volume)(minute),
        total: Some(total(market, minute)),
        values: None,
    };
    AuditAnswer::Minutes(known.map(|minute| (at_us(minute), point(minute))).collect())
}

/// Minutes since [`EARLY`] of the proven losses.
fn losses(notices: &[Notice]) -> Vec<(u64, u64)> {
    let minute = |at_us: u64| (at_us - early_us()) / MINUTE_US;
    let between = |notice: &Notice| match notice {
        Notice::Unseen(unseen) => Some((minute(unseen.between.0), minute(unseen.between.1))),
        _ => None,
    };
    notices.iter().filter_map(between).collect()
}

/// A day, and the morning of the next one.
const DAY: u64 = 25 * 60;
/// Minute 370: 15:00 in New York, when five clean hours have agreed.
const LATE: u64 = 6 * 60 + 10;

#[test]
fn a_day_in_which_nothing_is_missing_has_no_finding_and_nights_have_no_report() {
    for subject in [price(), gex(), strikes()] {
        let notices = run(&subject, PERFECT, DAY);
        assert_eq!(losses(&notices), [], "{subject:?}");
        let reports = reports(&notices);
        assert!((6..=8).contains(&reports.len()), "{subject:?}: {reports:?}");
        let checked: u64 = reports.iter().map(|report| report.checked).sum();
        assert!(checked >= 5 && reports.iter().all(|report| report.agreed == report.checked), "{reports:?}");
    }
}

#[test]
fn minutes_without_an_event_are_found_once_hours_have_agreed() {
    for subject in [price(), gex()] {
        // three minutes at 15:20
        // an exposure is delivered on both sides of a point
        let expected = if subject == price() { (390, 393) } else { (391, 393) };
        let notices = run(&subject, Market { delivers: |n| !(390..393).contains(&n), ..PERFECT }, DAY);
        assert_eq!(losses(&notices), [expected], "{subject:?}");
        // after an hour that did not agree, five more are needed
        let delivers = |n: u64| !((190..193).contains(&n) || (390..393).contains(&n));
        assert_eq!(losses(&run(&subject, Market { delivers, ..PERFECT }, DAY)), [], "{subject:?}");
    }
}

#[test]
fn one_answer_and_what_a_gap_explains_are_no_finding() {
    let delivers = |n: u64| !(390..393).contains(&n);
    for subject in [price(), gex()] {
        let gap = Some((389, 393));
        assert_eq!(losses(&run(&subject, Market { delivers, gap, ..PERFECT }, DAY)), []);
        // REST takes the minutes back
        let knows = |minute: u64, asked: usize| !(390..393).contains(&minute) || !asked.is_multiple_of(2);
        let both = losses(&run(&subject, Market { delivers, knows, ..PERFECT }, DAY)).len();
        let knows = |minute: u64, asked: usize| !(390..393).contains(&minute) || asked.is_multiple_of(2);
        assert_eq!(both + losses(&run(&subject, Market { delivers, knows, ..PERFECT }, DAY)).len(), 0);
    }
}

#[test]
fn a_ticker_whose_minutes_often_have_no_event_is_not_comparable() {
    let delivers = |n: u64| !n.is_multiple_of(7);
    let notices = run(&price(), Market { delivers, ..PERFECT }, DAY);
    assert!(notices.contains(&Notice::NotComparable(0, Screen::Minutes)), "{notices:?}");
    assert_eq!(losses(&notices), []);
}

#[test]
fn a_minute_thinner_than_any_that_had_an_event_is_no_finding() {
    let volume = |n: u64| if (390..393).contains(&n) { 1 } else { VOLUME };
    let notices = run(&price(), Market { volume, delivers: |n| !(390..393).contains(&n), ..PERFECT }, DAY);
    assert_eq!(losses(&notices), []);
    assert!(notices.contains(&Notice::Calibrated(0, Screen::Minutes)));
}

#[test]
fn clocks_that_differ_by_seconds_and_volumes_of_another_meaning_are_no_finding() {
    for ahead in [0, 4, 32] {
        let notices = run(&price(), Market { ahead, counts: |volume| volume * 3, ..PERFECT }, DAY);
        assert_eq!(losses(&notices), [], "{ahead}");
        assert!(notices.contains(&Notice::NotComparable(0, Screen::Volumes)));
    }
}

#[test]
fn prices_of_an_older_volume_are_found() {
    // from 15:20 on the feed repeats what it had
    let counts = |volume: u64| volume.min(391 * VOLUME);
    let notices = run(&price(), Market { counts, ..PERFECT }, LATE + 160);
    let found = losses(&notices);
    assert!(!found.is_empty() && found.iter().all(|(from, _)| (391..395).contains(from)), "{found:?}");
}

#[test]
fn a_feed_that_stays_behind_the_newest_state_is_found_and_one_that_catches_up_is_not() {
    for subject in [strikes(), AuditSubject::Strikes("SPY".to_owned()), price()] {
        let notices = run(&subject, Market { delivers: |n| n < LATE, ..PERFECT }, LATE + 80);
        assert!(!losses(&notices).is_empty(), "{subject:?} {notices:?}");
        // the state is asked for at 15:15, and again at 15:25
        let late =
            run(&subject, Market { delivers: |n| !(LATE..LATE + 20).contains(&n), ..PERFECT }, LATE + 40);
        let newest =
            |notice: &&Notice| matches!(notice, Notice::Unseen(unseen) if unseen.between.1 % MINUTE_US > 0);
        assert_eq!(late.iter().filter(newest).count(), 0, "{subject:?} {late:?}");
    }
}

#[test]
fn a_state_that_does_not_go_on_is_no_evidence() {
    // REST stays at 15:05, which the feed does not have
    let market = Market { delivers: |n| n < LATE, knows: |n, _| n < LATE + 5, ..PERFECT };
    assert_eq!(losses(&run(&strikes(), market, LATE + 80)), []);
}

#[test]
fn answers_without_evidence_prove_nothing() {
    type Fails = fn(usize) -> Option<AuditAnswer>;
    let failures: [Fails; 3] = [
        |_| Some(AuditAnswer::Nothing(NoEvidence::Outside)),
        |_| Some(AuditAnswer::Rows(Rows::new())),
        |_| Some(AuditAnswer::Later),
    ];
    for (fails, subject) in failures.into_iter().zip([price(), gex(), strikes()]) {
        let notices = run(&subject, Market { fails, delivers: |n| n.is_multiple_of(2), ..PERFECT }, DAY);
        assert_eq!(losses(&notices), []);
        let unproven: u64 = reports(&notices).iter().map(|report| report.unproven).sum();
        assert!(unproven > 0, "{subject:?}");
        assert!(reports(&notices).iter().all(|report| report.checked == 0));
    }
}
