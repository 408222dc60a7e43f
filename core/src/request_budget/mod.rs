//! The budget of requests charged to the token: one limiter for handshakes and REST requests.
//!
//! Pure: time and chance are parameters. The vendor's headers tighten the budget and never widen it; what was learnt from
//! one is forgotten with its window. Other clients of the token are seen through these headers alone.

mod fills;
mod usage;
mod window;

use std::time::{Duration, Instant};

use crate::calendar::{vendor_day, vendor_day_end};
use crate::labelled;

pub use fills::{FillsOfDay, UnfitFills};
pub use usage::TokenUsage;
use window::Window;
pub use window::{RequestId, WINDOW};

/// Requests per minute left to the REST fetcher by default: with one request in flight and its pause it sends at most 54.
pub const FETCHER_SHARE: u32 = 55;
/// Longest time from the start of a handshake to its outcome.
const HANDSHAKE_LONGEST: Duration = Duration::from_secs(10);
/// Longest time from the start of a REST request to the end of its answer.
pub const REST_LONGEST: Duration = Duration::from_secs(60);
/// With so few requests left in the vendor's minute REST waits for the next one: they are for handshakes and the fetcher.
const MINUTE_RESERVE: u64 = 15;
/// Longest wait for the vendor's minute, and the wait after a 429 that says nothing.
const MINUTE: Duration = Duration::from_secs(60);
/// Longest `Retry-After` that is followed: beyond it one request per hour finds out.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3_600);
/// Shortest and longest pause after too many concurrent requests; the fetcher's take about a second.
const CONCURRENCY_PAUSE: [Duration; 2] = [Duration::from_millis(250), Duration::from_millis(500)];
/// Pause of REST after the token was refused.
const UNAUTHORISED_PAUSE: Duration = Duration::from_secs(300);
/// Failures in a row that open the breaker, and the time for which it stays open.
const BREAKER_FAILURES: u32 = 5;
const BREAKER_PAUSE: Duration = Duration::from_secs(60);

labelled! {
    /// The purpose of a REST request, which decides the part of the day's requests that it may use.
    Purpose {
        /// To fill a gap: up to 95 %.
        Fill = "fill",
        /// To audit an hour: up to 80 %.
        Audit = "audit",
        /// A person asks: all.
        Person = "person",
    }
}

impl Purpose {
    /// Returns the used part of the day's requests, in per cent, from which on there is no request.
    #[must_use]
    pub const fn day_percent(self) -> u64 {
        match self {
            Purpose::Fill => 95,
            Purpose::Audit => 80,
            Purpose::Person => 100,
        }
    }
}

labelled! {
    /// Why no REST request may begin.
    Pause {
        /// The limit per minute.
        Window = "window",
        /// Another REST request is in flight.
        InFlight = "in_flight",
        /// The vendor's minute is nearly, or completely, used.
        Minute = "minute",
        /// The vendor answered that too many requests are in flight.
        Concurrency = "concurrency",
        /// The vendor named a time.
        RetryAfter = "retry_after",
        /// The token was refused.
        Unauthorised = "unauthorised",
        /// Requests fail.
        Breaker = "breaker",
        /// The share of the vendor's day is used.
        Day = "day",
        /// `BACKFILL_MAX_REQUESTS_PER_DAY` is used.
        FillsOfDay = "fills_of_day",
    }
}

/// A refusal of the budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotNow {
    /// The time until it may be asked again.
    pub retry_in: Duration,
    /// The reason.
    pub why: Pause,
}

/// The limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestLimits {
    /// `RATE_LIMIT_REQUESTS_PER_MINUTE`: for handshakes and REST together.
    pub per_minute: u32,
    /// `REST_REQUESTS_PER_MINUTE`: while so many of them are counted, no REST request begins.
    pub rest_per_minute: u32,
    /// `BACKFILL_MAX_REQUESTS_PER_DAY`.
    pub fills_per_day: u32,
}

impl RequestLimits {
    /// Returns the default of `REST_REQUESTS_PER_MINUTE`: what the fetcher leaves, at least one.
    #[must_use]
    pub fn rest_default(per_minute: u32) -> u32 {
        per_minute.saturating_sub(FETCHER_SHARE).max(1)
    }
}

/// A moment by both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// The monotonic clock.
    pub at: Instant,
    /// The wall clock, Unix milliseconds.
    pub unix_ms: u64,
}

/// How a REST request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BudgetVerdict {
    /// The vendor answered, if only to refuse this request.
    Answered(TokenUsage),
    /// 401.
    Unauthorised,
    /// No answer, or none of the vendor's REST API.
    Failed,
    /// 429.
    Limited {
        /// The headers.
        usage: TokenUsage,
        /// Whether the body names concurrent requests.
        is_concurrency: bool,
        /// `Retry-After`.
        retry_after: Option<Duration>,
    },
}

/// Requests of one vendor's day.
#[derive(Clone, Copy, Debug)]
struct DayUse {
    day: i32,
    count: u64,
    limit: u64,
}

/// The budget.
#[derive(Debug)]
pub struct RequestBudget {
    limits: RequestLimits,
    window: Window,
    in_flight: Option<RequestId>,
    /// No REST before this time.
    pause: Option<(Instant, Pause)>,
    failures: u32,
    /// From the latest headers.
    day: Option<DayUse>,
    fills: FillsOfDay,
}

impl RequestBudget {
    /// Creates an unused budget.
    #[must_use]
    pub fn new(limits: RequestLimits) -> RequestBudget {
        RequestBudget {
            limits,
            window: Window::default(),
            in_flight: None,
            pause: None,
            failures: 0,
            day: None,
            fills: FillsOfDay::default(),
        }
    }

    /// Reserves the earliest start time for a handshake; REST waits behind it. To be [settled](Self::settle) with its
    /// outcome.
    pub fn handshake(&mut self, now: Instant) -> (RequestId, Instant) {
        let start = self.window.free_at(now, self.limits.per_minute as usize);
        (self.window.take(now, start, HANDSHAKE_LONGEST), start)
    }

    /// Notes that the server has counted a request, or that it was given up.
    pub fn settle(&mut self, id: RequestId, now: Instant) {
        self.window.settle(id, now);
    }

    /// Begins a REST request now, or says when to ask again.
    pub fn rest(&mut self, purpose: Purpose, now: Now) -> Result<RequestId, NotNow> {
        if self.in_flight.is_some() {
            return Err(NotNow { retry_in: REST_LONGEST, why: Pause::InFlight });
        }
        if let Some(refusal) = self.day_refusal(purpose, now).or_else(|| self.pause_at(now.at)) {
            return Err(refusal);
        }
        let free_at = self.window.free_at(now.at, self.rest_limit());
        if free_at > now.at {
            return Err(NotNow { retry_in: free_at - now.at, why: Pause::Window });
        }
        if purpose == Purpose::Fill {
            self.fills = self.fills.after(now.unix_ms);
        }
        let id = self.window.take(now.at, now.at, REST_LONGEST);
        self.in_flight = Some(id);
        Ok(id)
    }

    /// Returns the requests for fills of the day, with one that begins now; `None` if the day's are used.
    #[must_use]
    pub fn fills_with_next(&self, unix_ms: u64) -> Option<FillsOfDay> {
        Some(self.fills.after(unix_ms)).filter(|fills| fills.count <= self.limits.fills_per_day)
    }

    /// Goes on with the count of another process, unless its own is higher. A day that is over says nothing; one above the
    /// limit is cut to it, and an error all the same.
    pub fn restore_fills(&mut self, before: FillsOfDay, unix_ms: u64) -> Result<(), UnfitFills> {
        let (today, limit) = (vendor_day(unix_ms), self.limits.fills_per_day);
        if before.day > today {
            return Err(UnfitFills::Future);
        }
        if before.day == today && (self.fills.day < today || self.fills.count < before.count) {
            self.fills = FillsOfDay { day: today, count: before.count.min(limit) };
            return if before.count > limit { Err(UnfitFills::AboveLimit) } else { Ok(()) };
        }
        Ok(())
    }

    /// Ends a REST request that was given up, without a verdict.
    pub fn abandon(&mut self, id: RequestId, now: Instant) {
        self.window.settle(id, now);
        if self.in_flight == Some(id) {
            self.in_flight = None;
        }
    }

    /// Ends a REST request. `chance`, from 0 to 1, spreads the pause after too many concurrent requests. Returns what REST
    /// now waits for, if anything.
    pub fn finish(
        &mut self,
        id: RequestId,
        verdict: &BudgetVerdict,
        now: Now,
        chance: f64,
    ) -> Option<NotNow> {
        self.abandon(id, now.at);
        self.failures = if *verdict == BudgetVerdict::Failed { self.failures + 1 } else { 0 };
        match verdict {
            BudgetVerdict::Answered(usage) => self.learn(usage, now),
            BudgetVerdict::Unauthorised => self.stop(now.at, UNAUTHORISED_PAUSE, Pause::Unauthorised),
            BudgetVerdict::Failed if self.failures < BREAKER_FAILURES => {}
            BudgetVerdict::Failed => {
                self.failures = 0;
                self.stop(now.at, BREAKER_PAUSE, Pause::Breaker);
            }
            BudgetVerdict::Limited { usage, is_concurrency: true, .. } => {
                self.learn(usage, now);
                let [least, most] = CONCURRENCY_PAUSE;
                self.stop(
                    now.at,
                    least + most.saturating_sub(least).mul_f64(chance.clamp(0.0, 1.0)),
                    Pause::Concurrency,
                );
            }
            BudgetVerdict::Limited { usage, retry_after, .. } => {
                self.learn(usage, now);
                // of a used-up day the rest is a matter of the day, not of a pause
                if !usage.is_day_used() {
                    let (pause, why) = match (retry_after, usage.minute_reset) {
                        (Some(after), _) => ((*after).min(RETRY_AFTER_MAX), Pause::RetryAfter),
                        (None, reset) => (reset.unwrap_or(MINUTE).min(MINUTE), Pause::Minute),
                    };
                    self.stop(now.at, pause, why);
                }
            }
        }
        self.day_refusal(Purpose::Person, now).or_else(|| self.pause_at(now.at))
    }

    /// Returns the number of REST requests that may begin within this moment, as far as is known.
    #[must_use]
    pub fn remaining(&self, purpose: Purpose, now: Now) -> u32 {
        if self.day_refusal(purpose, now).or_else(|| self.pause_at(now.at)).is_some() {
            return 0;
        }
        let left = self.rest_limit().saturating_sub(self.window.taken(now.at));
        u32::try_from(left).unwrap_or(u32::MAX)
    }

    fn rest_limit(&self) -> usize {
        self.limits.rest_per_minute.min(self.limits.per_minute).max(1) as usize
    }

    fn learn(&mut self, usage: &TokenUsage, now: Now) {
        if usage.minute_remaining.is_some_and(|left| left <= MINUTE_RESERVE) {
            self.stop(now.at, usage.minute_reset.unwrap_or(MINUTE).min(MINUTE), Pause::Minute);
        }
        if let Some((count, limit)) = usage.day_count.zip(usage.day_limit) {
            self.day = Some(DayUse { day: vendor_day(now.unix_ms), count, limit });
        }
    }

    /// Prolongs the pause of REST; a shorter one changes nothing.
    fn stop(&mut self, now: Instant, pause: Duration, why: Pause) {
        let until = now + pause;
        if self.pause.is_none_or(|(present, _)| present < until) {
            self.pause = Some((until, why));
        }
    }

    fn pause_at(&self, now: Instant) -> Option<NotNow> {
        let (until, why) = self.pause.filter(|(until, _)| *until > now)?;
        Some(NotNow { retry_in: until - now, why })
    }

    fn day_refusal(&self, purpose: Purpose, now: Now) -> Option<NotNow> {
        let today = vendor_day(now.unix_ms);
        let is_used = self.day.is_some_and(|of| {
            of.day == today && of.count.saturating_mul(100) >= of.limit.saturating_mul(purpose.day_percent())
        });
        let is_filled = purpose == Purpose::Fill
            && self.fills.day == today
            && self.fills.count >= self.limits.fills_per_day;
        let why = match (is_used, is_filled) {
            (true, _) => Pause::Day,
            (false, true) => Pause::FillsOfDay,
            (false, false) => return None,
        };
        let left_ms = vendor_day_end(now.unix_ms).saturating_sub(now.unix_ms);
        Some(NotNow { retry_in: Duration::from_millis(left_ms), why })
    }
}

#[cfg(test)]
mod tests;
