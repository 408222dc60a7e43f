//! Days of hours, in seconds: a model of the market that the feed and REST see differently.

use super::*;
use crate::audit::blind::Blind;
use crate::audit::evidence::NoEvidence;
use crate::audit::screen::CALIBRATION_HOURS;

mod series;

/// The start of an hour.
const FIRST_HOUR_US: u64 = 1_791_212_400_000_000 / HOUR_US * HOUR_US;
/// Interval between two trades.
const EVERY_US: u64 = 1_000_000;

/// What differs between the two sides.
#[derive(Clone, Copy)]
struct World {
    /// Whether the feed delivers the n-th trade.
    delivers: fn(u64) -> bool,
    /// Whether REST has it when asked for the n-th time.
    knows: fn(u64, usize) -> bool,
    /// What REST counts of a contract.
    volume: u64,
    /// Answers without evidence, by the number of the question.
    fails: fn(usize) -> Option<AuditAnswer>,
    /// Gaps of the ledger, by hour.
    gap: fn(u64) -> Option<(u64, u64)>,
}

const PERFECT: World =
    World { delivers: |_| true, knows: |_, _| true, volume: 1, fails: |_| None, gap: |_| None };

fn id(n: u64) -> String {
    format!("trade-{n}")
}

/// Runs this many hours and returns what was noticed.
fn run(world: World, hours: u64) -> Vec<Notice> {
    let mut kept = KeptIdentities::new(vec![AuditSubject::Trades("SPY".to_owned())]);
    let mut audit = Hours::new(&kept, FIRST_HOUR_US);
    let mut blind = [Blind::default()];
    let mut rng = fastrand::Rng::with_seed(7);
    let mut chance = || rng.f64();
    let (mut notices, mut questions, mut made) = (Vec::new(), 0, 0);
    let ends_us = FIRST_HOUR_US + hours * HOUR_US + JUDGED_AFTER_US + 2 * AGAIN_AFTER_US;
    let mut now_us = FIRST_HOUR_US;
    while now_us < ends_us {
        while FIRST_HOUR_US + made * EVERY_US < now_us {
            let at_us = FIRST_HOUR_US + made * EVERY_US;
            if (world.delivers)(made) {
                let (id, executed_at) = (id(made), at_us / 1_000);
                let payload =
                    format!(r#"{{"id":"{id}","executed_at":{executed_at},"size":1,"option_type":"call"}}"#);
                kept.note(0, payload.as_bytes(), at_us + 100_000);
            }
            made += 1;
        }
        if now_us.is_multiple_of(HOUR_US)
            && let Some((from, to)) = (world.gap)((now_us - FIRST_HOUR_US) / HOUR_US)
        {
            blind[0].note(now_us + from, now_us + to);
        }
        let known = ReceivedEvents { kept: &kept, blind: &blind, now_us };
        notices.extend(audit.open(known, &mut chance));
        while let Some(question) = audit.next(now_us) {
            questions += 1;
            let answer =
                (world.fails)(questions).unwrap_or_else(|| answer(world, &question, questions, made));
            notices.extend(audit.answered(question, answer, known, &mut chance));
        }
        kept.forget(now_us);
        blind[0].forget(now_us);
        now_us += MINUTE_US;
    }
    notices
}

fn answer(world: World, question: &AuditQuestion, asked: usize, made: u64) -> AuditAnswer {
    let at_us = |n: u64| FIRST_HOUR_US + n * EVERY_US;
    let known = (0..made).filter(|n| (world.knows)(*n, asked));
    match question.asked {
        EvidenceWanted::Minutes { .. } | EvidenceWanted::Newest => unreachable!("of trades"),
        EvidenceWanted::Sums => {
            let mut sums = Sums::new();
            for n in known {
                let minute = at_us(n) - at_us(n) % MINUTE_US;
                sums.entry(minute).or_default()[0] += world.volume;
            }
            AuditAnswer::Sums(sums)
        }
        EvidenceWanted::Rows { from_us, to_us } => {
            let rows = known.filter(|n| (from_us..to_us).contains(&at_us(*n)));
            AuditAnswer::Rows(rows.map(|n| (id(n), at_us(n))).collect())
        }
    }
}

fn reports(notices: &[Notice]) -> Vec<HourReport> {
    let report =
        |notice: &Notice| if let Notice::Report(_, report) = notice { Some(report.clone()) } else { None };
    notices.iter().filter_map(report).collect()
}

fn unseen(notices: &[Notice]) -> u64 {
    let events = |notice: &Notice| if let Notice::Unseen(unseen) = notice { unseen.events } else { 0 };
    notices.iter().map(events).sum()
}

#[test]
fn a_day_in_which_nothing_is_missing_is_a_day_of_reports() {
    let notices = run(PERFECT, 24);
    let reports = reports(&notices);
    assert_eq!((reports.len(), unseen(&notices)), (24, 0));
    for report in reports {
        assert!(report.checked >= 6 && report.agreed == report.checked, "{report:?}");
        assert_eq!((report.extra, report.skipped, report.unproven), (0, 0, 0));
    }
}

#[test]
fn the_screen_is_off_until_enough_hours_agree_and_then_names_what_the_windows_do_not_see() {
    // three trades of one minute of each hour are not delivered
    let world = World { delivers: |n| !(600..603).contains(&(n % 3_600)) || n < 7 * 3_600, ..PERFECT };
    let notices = run(world, 12);
    let calibrated =
        notices.iter().position(|notice| *notice == Notice::Calibrated(0, Screen::Sums)).unwrap();
    assert_eq!(reports(&notices[..calibrated]).len(), CALIBRATION_HOURS as usize - 1);
    let losses: Vec<_> = notices.iter().filter(|notice| matches!(notice, Notice::Unseen(_))).collect();
    assert_eq!(losses.len(), 5);
    for (hour, loss) in (7..).zip(losses) {
        let first_us = FIRST_HOUR_US + hour * HOUR_US + 600 * EVERY_US;
        let between = (first_us, first_us + 2 * EVERY_US);
        assert_eq!(*loss, Notice::Unseen(Unseen { position: 0, between, events: 3 }));
    }
    assert!(reports(&notices)[8].missing == 3);
}

#[test]
fn sums_of_another_meaning_are_given_up_and_the_windows_go_on() {
    let notices = run(World { volume: 2, ..PERFECT }, 12);
    assert!(notices.contains(&Notice::NotComparable(0, Screen::Sums)));
    assert_eq!((reports(&notices).len(), unseen(&notices)), (12, 0));
    let lossy = run(World { volume: 2, delivers: |n| !n.is_multiple_of(2), ..PERFECT }, 12);
    assert!(unseen(&lossy) >= 12, "{}", unseen(&lossy));
}

#[test]
fn what_a_gap_explains_is_no_finding() {
    let world = World {
        delivers: |n| !(1_200..1_500).contains(&(n % 3_600)),
        gap: |_| Some((1_200 * EVERY_US, 1_500 * EVERY_US)),
        ..PERFECT
    };
    let notices = run(world, 24);
    assert_eq!((reports(&notices).len(), unseen(&notices)), (24, 0));
    // the minutes of the gap, the one before it and the one after it
    assert!(reports(&notices).iter().all(|report| report.skipped == 7), "{:?}", reports(&notices)[0]);
    assert!(!notices.contains(&Notice::Calibrated(0, Screen::Sums)), "no hour was clean");
}

#[test]
fn a_row_that_the_second_answer_does_not_have_is_no_finding() {
    // rows that REST has at odd questions only
    let world = World {
        delivers: |n| !n.is_multiple_of(2),
        knows: |n, asked| !n.is_multiple_of(2) || asked.is_multiple_of(2),
        volume: 3,
        ..PERFECT
    };
    let always = unseen(&run(World { knows: |_, _| true, ..world }, 12));
    let sometimes = unseen(&run(world, 12));
    assert!(sometimes < always, "{sometimes} of {always}");
}

#[test]
fn what_rest_lacks_is_a_number_in_the_report() {
    let notices = run(World { knows: |n, _| !n.is_multiple_of(2), ..PERFECT }, 6);
    assert_eq!(unseen(&notices), 0);
    assert!(reports(&notices).iter().all(|report| report.extra > 0));
}

#[test]
fn an_answer_without_evidence_is_asked_for_again_elsewhere_and_proves_nothing() {
    type Fails = fn(usize) -> Option<AuditAnswer>;
    let failures: [Fails; 3] = [
        |_| Some(AuditAnswer::Nothing(NoEvidence::Outside)),
        |_| Some(AuditAnswer::Rows(Rows::new())),
        |_| Some(AuditAnswer::Later),
    ];
    for fails in failures {
        let notices = run(World { fails, delivers: |n| !n.is_multiple_of(2), ..PERFECT }, 6);
        assert_eq!(unseen(&notices), 0);
        let unproven: u64 = reports(&notices).iter().map(|report| report.unproven).sum();
        assert!(unproven >= 4, "{unproven}");
        assert!(reports(&notices).iter().all(|report| report.checked == 0));
    }
    let sometimes: Fails = |asked| asked.is_multiple_of(2).then_some(AuditAnswer::Nothing(NoEvidence::Empty));
    let notices = run(World { fails: sometimes, delivers: |n| !n.is_multiple_of(2), ..PERFECT }, 12);
    assert!(unseen(&notices) > 0);
}
