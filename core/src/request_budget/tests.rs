use proptest::prelude::*;

use super::*;
use crate::time::parse_iso;

const LIMITS: RequestLimits = RequestLimits { per_minute: 100, rest_per_minute: 45, fills_per_day: 6_000 };
const ANSWERED: BudgetVerdict = BudgetVerdict::Answered(TokenUsage {
    day_limit: None,
    day_count: None,
    minute_remaining: None,
    minute_count: None,
    minute_reset: None,
});

/// A clock that is told to go on.
struct Clock {
    begin: Instant,
    begin_ms: u64,
    passed: Duration,
}

impl Clock {
    fn at(iso: &str) -> Clock {
        Clock { begin: Instant::now(), begin_ms: parse_iso(iso).unwrap() / 1_000, passed: Duration::ZERO }
    }

    fn noon() -> Clock {
        Clock::at("2026-10-05T16:00:00Z")
    }

    fn now(&self) -> Now {
        let passed_ms = u64::try_from(self.passed.as_millis()).unwrap();
        Now { at: self.begin + self.passed, unix_ms: self.begin_ms + passed_ms }
    }

    fn pass(&mut self, ms: u64) -> Now {
        self.passed += Duration::from_millis(ms);
        self.now()
    }
}

fn why(refused: Option<NotNow>) -> Option<(Pause, u64)> {
    refused.map(|refused| (refused.why, u64::try_from(refused.retry_in.as_millis()).unwrap()))
}

/// A request that ends at once with this verdict; what REST waits for afterwards.
fn once(budget: &mut RequestBudget, clock: &Clock, verdict: &BudgetVerdict) -> Option<(Pause, u64)> {
    let id = budget.rest(Purpose::Person, clock.now()).unwrap();
    why(budget.finish(id, verdict, clock.now(), 0.5))
}

fn usage(day: (u64, u64), minute: (u64, u64)) -> TokenUsage {
    TokenUsage {
        day_count: Some(day.0),
        day_limit: Some(day.1),
        minute_remaining: Some(minute.0),
        minute_count: None,
        minute_reset: Some(Duration::from_millis(minute.1)),
    }
}

fn limited(usage: TokenUsage, is_concurrency: bool, retry_after: Option<u64>) -> BudgetVerdict {
    BudgetVerdict::Limited { usage, is_concurrency, retry_after: retry_after.map(Duration::from_secs) }
}

#[test]
fn the_fetchers_share_is_left_to_it_and_something_to_us() {
    assert_eq!([100, 120, 55, 1].map(RequestLimits::rest_default), [45, 65, 1, 1]);
}

#[test]
fn rest_waits_for_the_minute_and_a_handshake_does_not() {
    let (mut budget, clock) = (RequestBudget::new(LIMITS), Clock::noon());
    for left in (0..45).rev() {
        assert_eq!(once(&mut budget, &clock, &ANSWERED), None);
        assert_eq!(budget.remaining(Purpose::Fill, clock.now()), left);
    }
    let refused = budget.rest(Purpose::Person, clock.now()).unwrap_err();
    assert_eq!(why(Some(refused)), Some((Pause::Window, 60_000)));
    assert_eq!(budget.handshake(clock.now().at).1, clock.now().at);
}

#[test]
fn a_handshake_that_waits_goes_before_rest() {
    let limits = RequestLimits { per_minute: 2, rest_per_minute: 2, ..LIMITS };
    let (mut budget, mut clock) = (RequestBudget::new(limits), Clock::noon());
    once(&mut budget, &clock, &ANSWERED);
    clock.pass(1_000);
    once(&mut budget, &clock, &ANSWERED);
    let (id, start) = budget.handshake(clock.now().at);
    assert_eq!(start, clock.begin + WINDOW);
    let now = clock.pass(59_000);
    assert_eq!(budget.rest(Purpose::Person, now).unwrap_err().why, Pause::Window);
    budget.settle(id, now.at);
    // the second request has left the window, and the handshake remains
    assert!(budget.rest(Purpose::Person, clock.pass(1_000)).is_ok());
}

#[test]
fn a_handshake_that_is_given_up_before_its_time_leaves_its_place() {
    let limits = RequestLimits { per_minute: 1, rest_per_minute: 1, ..LIMITS };
    let (mut budget, clock) = (RequestBudget::new(limits), Clock::noon());
    let (first, _) = budget.handshake(clock.now().at);
    budget.settle(first, clock.now().at);
    let (second, start) = budget.handshake(clock.now().at);
    budget.settle(second, clock.now().at);
    assert_eq!((start, budget.handshake(clock.now().at).1), (clock.begin + WINDOW, clock.begin + WINDOW));
}

#[test]
fn one_rest_request_is_in_flight() {
    let (mut budget, clock) = (RequestBudget::new(LIMITS), Clock::noon());
    let id = budget.rest(Purpose::Fill, clock.now()).unwrap();
    assert_eq!(budget.rest(Purpose::Person, clock.now()).unwrap_err().why, Pause::InFlight);
    budget.abandon(id, clock.now().at);
    assert!(budget.rest(Purpose::Person, clock.now()).is_ok());
}

#[test]
fn a_minute_nearly_used_stops_rest_until_its_reset_and_is_then_forgotten() {
    let (mut budget, mut clock) = (RequestBudget::new(LIMITS), Clock::noon());
    let answered = |left, reset| BudgetVerdict::Answered(usage((1, 15_000), (left, reset)));
    assert_eq!(once(&mut budget, &clock, &answered(16, 9_000)), None);
    assert_eq!(once(&mut budget, &clock, &answered(15, 9_000)), Some((Pause::Minute, 9_000)));
    assert!(budget.rest(Purpose::Fill, clock.pass(8_999)).is_err());
    clock.pass(1);
    assert_eq!(once(&mut budget, &clock, &answered(0, 3_600_000)), Some((Pause::Minute, 60_000)));
    clock.pass(60_000);
    let unlimited = BudgetVerdict::Answered(usage((1, 1_000_000), (1_000_000, 1)));
    for _ in 0..45 {
        assert_eq!(once(&mut budget, &clock, &unlimited), None);
    }
    assert_eq!(budget.rest(Purpose::Fill, clock.now()).unwrap_err().why, Pause::Window, "never widened");
}

#[test]
fn of_a_day_the_audit_uses_four_fifths_and_a_fill_all_but_a_twentieth() {
    let (mut budget, mut clock) = (RequestBudget::new(LIMITS), Clock::at("2026-10-05T23:00:00Z"));
    for (count, audit, fill, person) in [
        (7_999, true, true, true),
        (8_000, false, true, true),
        (9_500, false, false, true),
        (10_000, false, false, false),
    ] {
        once(&mut budget, &clock, &BudgetVerdict::Answered(usage((count, 10_000), (100, 1))));
        let may = |purpose| budget.remaining(purpose, clock.now()) > 0;
        assert_eq!(
            [may(Purpose::Audit), may(Purpose::Fill), may(Purpose::Person)],
            [audit, fill, person],
            "{count}"
        );
    }
    // 20:00 in New York
    let refused = budget.rest(Purpose::Fill, clock.now()).unwrap_err();
    assert_eq!(why(Some(refused)), Some((Pause::Day, 3_600_000)));
    assert!(budget.rest(Purpose::Audit, clock.pass(3_600_000)).is_ok());
}

#[test]
fn fills_have_a_maximum_of_their_own_per_day() {
    let limits = RequestLimits { fills_per_day: 2, ..LIMITS };
    let (mut budget, mut clock) = (RequestBudget::new(limits), Clock::noon());
    for _ in 0..2 {
        let id = budget.rest(Purpose::Fill, clock.now()).unwrap();
        budget.finish(id, &ANSWERED, clock.now(), 0.0);
    }
    let refused = budget.rest(Purpose::Fill, clock.now()).unwrap_err();
    assert_eq!(why(Some(refused)), Some((Pause::FillsOfDay, 8 * 3_600_000)));
    assert!(budget.remaining(Purpose::Audit, clock.now()) > 0);
    assert!(budget.rest(Purpose::Fill, clock.pass(8 * 3_600_000)).is_ok());
}

#[test]
fn each_kind_of_429_has_its_pause() {
    let some = usage((10, 15_000), (90, 7_000));
    let used = usage((15_000, 15_000), (90, 7_000));
    for (verdict, expected) in [
        (limited(some, true, None), (Pause::Concurrency, 375)),
        (limited(some, false, Some(3)), (Pause::RetryAfter, 3_000)),
        (limited(some, false, Some(1_000_000)), (Pause::RetryAfter, 3_600_000)),
        (limited(some, false, None), (Pause::Minute, 7_000)),
        (limited(TokenUsage::default(), false, None), (Pause::Minute, 60_000)),
        (limited(used, false, Some(3)), (Pause::Day, 8 * 3_600_000)),
    ] {
        let (mut budget, clock) = (RequestBudget::new(LIMITS), Clock::noon());
        assert_eq!(once(&mut budget, &clock, &verdict), Some(expected), "{verdict:?}");
    }
}

#[test]
fn a_refused_token_stops_rest_for_five_minutes() {
    let (mut budget, mut clock) = (RequestBudget::new(LIMITS), Clock::noon());
    assert_eq!(once(&mut budget, &clock, &BudgetVerdict::Unauthorised), Some((Pause::Unauthorised, 300_000)));
    assert_eq!(budget.handshake(clock.now().at).1, clock.now().at, "the sockets are not touched");
    assert!(budget.rest(Purpose::Fill, clock.pass(299_999)).is_err());
    assert!(budget.rest(Purpose::Fill, clock.pass(1)).is_ok());
}

#[test]
fn five_failures_in_a_row_open_the_breaker() {
    let (mut budget, mut clock) = (RequestBudget::new(LIMITS), Clock::noon());
    for _ in 0..3 {
        for _ in 0..4 {
            assert_eq!(once(&mut budget, &clock, &BudgetVerdict::Failed), None);
        }
        assert_eq!(once(&mut budget, &clock, &ANSWERED), None);
    }
    for _ in 0..4 {
        assert_eq!(once(&mut budget, &clock, &BudgetVerdict::Failed), None);
    }
    assert_eq!(once(&mut budget, &clock, &BudgetVerdict::Failed), Some((Pause::Breaker, 60_000)));
    clock.pass(60_000);
    assert_eq!(once(&mut budget, &clock, &BudgetVerdict::Failed), None, "counted anew");
}

#[test]
fn headers_that_are_no_numbers_count_as_missing() {
    let usage = TokenUsage::read(|name| match name {
        "x-uw-token-req-limit" => Some(" 15000 "),
        "x-uw-daily-req-count" => Some("-1"),
        "x-uw-req-per-minute-reset" => Some("1500"),
        "x-uw-minute-req-counter" => Some("many"),
        _ => None,
    });
    let expected = TokenUsage {
        day_limit: Some(15_000),
        minute_reset: Some(Duration::from_millis(1_500)),
        ..TokenUsage::default()
    };
    assert_eq!(usage, expected);
    assert!(!usage.is_day_used());
}

/// What a client of the budget does next, after a pause in milliseconds.
#[derive(Clone, Debug)]
enum Step {
    /// A handshake that takes so long, of which the server counts it at this part.
    Handshake(u64, f64),
    /// The same of a REST request.
    Rest(u64, f64),
    /// A handshake that is given up at once.
    GivenUp,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0_u64..10_000, 0.0..=1.0).prop_map(|(ms, at)| Step::Handshake(ms, at)),
        4 => (0_u64..60_000, 0.0..=1.0).prop_map(|(ms, at)| Step::Rest(ms, at)),
        1 => Just(Step::GivenUp),
    ]
}

proptest! {
    #[test]
    fn the_server_never_counts_more_than_the_limit_in_any_minute(
        (per_minute, rest_per_minute) in (1_u32..6, 1_u32..6),
        steps in proptest::collection::vec((0_u64..20_000, step()), 1..80),
    ) {
        let limits = RequestLimits { per_minute, rest_per_minute, ..LIMITS };
        let (mut budget, mut clock) = (RequestBudget::new(limits), Clock::noon());
        let mut counted: Vec<Instant> = Vec::new();
        // requests that have not ended: id, end, whether it is REST
        let mut open: Vec<(RequestId, Instant, bool)> = Vec::new();
        for (pause, step) in steps {
            let now = clock.pass(pause);
            open.sort_by_key(|(_, end, _)| *end);
            while open.first().is_some_and(|(_, end, _)| *end <= now.at) {
                let (id, end, is_rest) = open.remove(0);
                if is_rest {
                    budget.finish(id, &ANSWERED, Now { at: end, unix_ms: now.unix_ms }, 0.0);
                } else {
                    budget.settle(id, end);
                }
            }
            let (start, took, part, request) = match step {
                Step::GivenUp => {
                    let (id, start) = budget.handshake(now.at);
                    // before its time it is not sent
                    counted.extend((start == now.at).then_some(start));
                    budget.settle(id, now.at);
                    continue;
                }
                Step::Handshake(took, part) => {
                    let (id, start) = budget.handshake(now.at);
                    (start, took, part, (id, false))
                }
                Step::Rest(took, part) => match budget.rest(Purpose::Person, now) {
                    Ok(id) => (now.at, took, part, (id, true)),
                    Err(refused) => {
                        prop_assert!(refused.retry_in > Duration::ZERO);
                        continue;
                    }
                },
            };
            let took = Duration::from_millis(took);
            counted.push(start + took.mul_f64(part));
            open.push((request.0, start + took, request.1));
            prop_assert!(open.iter().filter(|(_, _, is_rest)| *is_rest).count() <= 1);
        }
        counted.sort();
        for minute in counted.windows(per_minute as usize + 1) {
            prop_assert!(minute[per_minute as usize].duration_since(minute[0]) >= WINDOW, "{minute:?}");
        }
    }

    #[test]
    fn rest_never_waits_for_ever(rest_per_minute in 1_u32..5, pauses in proptest::collection::vec(0_u64..30_000, 1..60)) {
        let limits = RequestLimits { per_minute: 5, rest_per_minute, ..LIMITS };
        let (mut budget, mut clock) = (RequestBudget::new(limits), Clock::noon());
        for pause in pauses {
            let now = clock.pass(pause);
            match budget.rest(Purpose::Audit, now) {
                Ok(id) => { budget.finish(id, &ANSWERED, now, 0.0); }
                Err(refused) => {
                    let later = clock.pass(u64::try_from(refused.retry_in.as_millis()).unwrap() + 1);
                    let id = budget.rest(Purpose::Audit, later);
                    prop_assert!(id.is_ok(), "{id:?} after {refused:?}");
                    budget.finish(id.unwrap(), &ANSWERED, later, 0.0);
                }
            }
        }
    }
}

#[test]
fn the_requests_of_a_day_go_on_in_another_process_and_absurd_counts_are_bounded() {
    let mut clock = Clock::noon();
    let limits = RequestLimits { fills_per_day: 3, ..LIMITS };
    let mut budget = RequestBudget::new(limits);
    let ask = |budget: &mut RequestBudget, clock: &Clock| {
        let asked = budget.rest(Purpose::Fill, clock.now());
        asked.map(|id| budget.abandon(id, clock.now().at)).map_err(|refused| refused.why)
    };
    assert_eq!((ask(&mut budget, &clock), ask(&mut budget, &clock)), (Ok(()), Ok(())));
    let text = "2026-10-05 2";
    assert_eq!(budget.fills_with_next(clock.now().unix_ms).unwrap().to_string(), "2026-10-05 3");

    let mut again = RequestBudget::new(limits);
    assert_eq!(again.restore_fills(text.parse().unwrap(), clock.now().unix_ms), Ok(()));
    assert_eq!((ask(&mut again, &clock), ask(&mut again, &clock)), (Ok(()), Err(Pause::FillsOfDay)));
    // a lower count of an earlier moment does not make room
    assert_eq!(again.restore_fills("2026-10-05 1".parse().unwrap(), clock.now().unix_ms), Ok(()));
    assert_eq!(ask(&mut again, &clock), Err(Pause::FillsOfDay));
    assert_eq!(again.fills_with_next(clock.now().unix_ms), None);

    for (text, unfit, is_used) in [
        ("2026-10-05 99999999999999999999999", Err(UnfitFills::AboveLimit), true),
        ("2026-10-06 3", Err(UnfitFills::Future), false),
        ("2026-10-04 3", Ok(()), false),
    ] {
        let mut other = RequestBudget::new(limits);
        assert_eq!(other.restore_fills(text.parse().unwrap(), clock.now().unix_ms), unfit, "{text}");
        assert_eq!(ask(&mut other, &clock).is_err(), is_used, "{text}");
    }
    for text in ["", "3", "2026-10-05", "2026-10-05 -1", "2026-13-05 1", "today 1"] {
        assert_eq!(text.parse::<FillsOfDay>(), Err(UnfitFills::Unreadable), "{text}");
    }
    clock.pass(8 * 3_600_000);
    assert_eq!(ask(&mut again, &clock), Ok(()), "20:00 in New York begins the next day");
}
