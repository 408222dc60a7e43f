//! Detects a socket that is open and delivers nothing: a silence far beyond the cadence that it has shown, in the
//! hours of what it carries.
//!
//! A busy socket shows its cadence within seconds; one thin ticker may trade every two minutes. The limit follows
//! the longest interval of late, between [`SHORTEST`] and [`LONGEST`]. A session is watched from its first event on,
//! and from its beginning if silence ended the one before: then each reconnect that brings nothing doubles the limit.
//! Only trading hours count: a night without events proves nothing at the open, when every trade is wanted.

use std::fmt;
use std::time::{Duration, Instant};

use uw_websocket_core::calendar::Products;

/// Minimum silence: the vendor's feed pauses for up to a minute.
pub const SHORTEST: Duration = Duration::from_secs(75);
/// Maximum silence, and the limit while the cadence is not known.
pub const LONGEST: Duration = Duration::from_secs(600);
/// A silence is a fault from this many times the longest interval on.
const FACTOR: u32 = 5;
/// Seconds with events before a cadence is known.
const ENOUGH: u32 = 20;
/// Intervals after which earlier ones begin to be forgotten: the open is faster than noon.
const REMEMBERED: u32 = 300;
/// Events within this time of each other are one burst.
const BURST: Duration = Duration::from_secs(1);

/// The silence of one connection, over its sessions.
#[derive(Debug)]
pub struct SilenceWatch {
    /// The products whose silence is significant.
    products: Products,
    /// Time since which the session is silent; `None` if it is not watched.
    since: Option<Instant>,
    /// Time of the last event, for the next interval.
    last_event_at: Option<Instant>,
    cadence: Cadence,
    /// Whether silence ended the previous session, and this one has brought nothing yet.
    is_suspect: bool,
    /// Number of reconnects in succession that brought nothing.
    in_vain: u32,
}

/// The intervals between events.
#[derive(Debug, Default)]
struct Cadence {
    intervals: u32,
    /// The longest one since the last turn, and the longest one of the turn before.
    longest: [Duration; 2],
    of_turn: u32,
}

/// A silence that is a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silence {
    /// Its duration.
    pub lasted: Duration,
    /// The longest interval before it, if the cadence is known.
    pub usual: Option<Duration>,
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no event for {} s in trading hours; ", self.lasted.as_secs())?;
        match self.usual {
            Some(usual) => write!(f, "intervals of at most {:.1} s were usual", usual.as_secs_f64()),
            None => f.write_str("too few events had come to tell what is usual"),
        }
    }
}

impl SilenceWatch {
    /// Creates the watch of a connection; without products nothing is watched.
    #[must_use]
    pub fn new(products: Products) -> SilenceWatch {
        SilenceWatch {
            products,
            since: None,
            last_event_at: None,
            cadence: Cadence::default(),
            is_suspect: false,
            in_vain: 0,
        }
    }

    /// Notes a new session.
    pub fn session_begins(&mut self, now: Instant) {
        self.last_event_at = None;
        self.since = self.is_suspect.then_some(now);
    }

    /// Notes an event.
    pub fn event(&mut self, now: Instant) {
        if let Some(before) = self.last_event_at {
            let interval = now.saturating_duration_since(before);
            if interval < BURST {
                self.since = Some(now);
                return;
            }
            self.cadence.add(interval);
        }
        (self.last_event_at, self.since) = (Some(now), Some(now));
        (self.is_suspect, self.in_vain) = (false, 0);
    }

    /// Returns the silence that ends the session, if it is one. While `reads` is false, or nothing trades at
    /// `unix_ms`, silence means nothing.
    pub fn look(&mut self, now: Instant, unix_ms: u64, reads: bool) -> Option<Silence> {
        let lasted = now.saturating_duration_since(self.since?);
        // the calendar is asked only where it matters
        if reads && lasted < SHORTEST {
            return None;
        }
        if !reads || !self.products.is_trading(unix_ms) {
            self.since = Some(now);
            self.last_event_at = None;
            return None;
        }
        if lasted < self.limit() {
            return None;
        }
        self.in_vain = if self.is_suspect { self.in_vain.saturating_add(1) } else { 0 };
        self.is_suspect = true;
        Some(Silence { lasted, usual: self.cadence.longest() })
    }

    fn limit(&self) -> Duration {
        let limit = self.cadence.longest().map_or(LONGEST, |longest| longest * FACTOR);
        let doubled = 2_u32.saturating_pow(self.in_vain);
        limit.clamp(SHORTEST, LONGEST).saturating_mul(doubled).min(LONGEST)
    }
}

impl Cadence {
    fn add(&mut self, interval: Duration) {
        self.intervals = self.intervals.saturating_add(1);
        self.of_turn += 1;
        if self.of_turn > REMEMBERED {
            (self.longest, self.of_turn) = ([Duration::ZERO, self.longest[0]], 1);
        }
        self.longest[0] = self.longest[0].max(interval);
    }

    /// Returns the longest interval of late; `None` if too few are known.
    fn longest(&self) -> Option<Duration> {
        (self.intervals >= ENOUGH).then(|| self.longest[0].max(self.longest[1]))
    }
}

#[cfg(test)]
mod tests {
    use uw_websocket_core::calendar::Product;

    use super::*;

    /// 2026-11-30, 11:00, 16:05 and 16:20 in New York.
    const MORNING: u64 = 1_796_054_400_000;
    const LATE: u64 = 1_796_072_700_000;
    const EVENING: u64 = 1_796_073_600_000;

    fn watch(product: Product) -> SilenceWatch {
        SilenceWatch::new([product].into_iter().collect())
    }

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    /// A watch with events at an interval, and the time of the last one.
    fn shown(product: Product, interval: Duration) -> (SilenceWatch, Instant) {
        let (mut watch, mut now) = (watch(product), Instant::now());
        watch.session_begins(now);
        for _ in 0..40 {
            now += interval;
            watch.event(now);
        }
        (watch, now)
    }

    /// The first second of silence that ends the session.
    fn ends_after(watch: &mut SilenceWatch, from: Instant) -> Option<u64> {
        (0..2_000).find(|n| watch.look(from + seconds(*n), MORNING, true).is_some())
    }

    #[test]
    fn the_socket_of_a_thin_ticker_outlives_two_minutes_between_its_trades() {
        // trades at 11:00:00 and 11:02:00
        let (mut watch, start) = (watch(Product::Options), Instant::now());
        watch.session_begins(start);
        watch.event(start);
        assert!((0..120).all(|n| watch.look(start + seconds(n), MORNING, true).is_none()));
        watch.event(start + seconds(120));
        assert_eq!(ends_after(&mut watch, start + seconds(120)), Some(LONGEST.as_secs()));
    }

    #[test]
    fn the_limit_follows_the_cadence_between_its_floor_and_its_ceiling() {
        for (interval_s, limit_s) in [(1, 75), (15, 75), (16, 80), (60, 300), (120, 600), (500, 600)] {
            let (mut watch, last) = shown(Product::Options, seconds(interval_s));
            assert_eq!(ends_after(&mut watch, last), Some(limit_s), "{interval_s}");
        }
        // bursts show no cadence
        let (mut watch, last) = shown(Product::Options, Duration::from_millis(1));
        assert_eq!(ends_after(&mut watch, last), Some(600));
    }

    #[test]
    fn a_reconnect_that_brings_nothing_doubles_the_limit_until_the_first_event() {
        let (mut watch, last) = shown(Product::Options, seconds(2));
        assert_eq!(ends_after(&mut watch, last), Some(75));
        for limit in [75, 150, 300, 600, 600, 600] {
            let now = last + seconds(10_000);
            watch.session_begins(now);
            assert_eq!(ends_after(&mut watch, now), Some(limit));
        }
        let now = last + seconds(20_000);
        watch.session_begins(now);
        watch.event(now);
        assert_eq!(ends_after(&mut watch, now), Some(75));
    }

    #[test]
    fn a_session_without_an_event_is_watched_only_if_silence_ended_the_one_before() {
        let (mut watch, last) = shown(Product::Options, seconds(2));
        watch.session_begins(last);
        assert_eq!(ends_after(&mut watch, last), None);
        let mut nothing = SilenceWatch::new(Products::default());
        nothing.session_begins(last);
        nothing.event(last);
        assert_eq!(ends_after(&mut nothing, last), None);
    }

    #[test]
    fn a_silence_says_what_was_usual() {
        let (mut watch, last) = shown(Product::Options, seconds(20));
        let silence = watch.look(last + seconds(100), MORNING, true).unwrap();
        let text = "no event for 100 s in trading hours; intervals of at most 20.0 s were usual";
        assert_eq!(silence.to_string(), text);
        let young = Silence { usual: None, ..silence };
        assert!(young.to_string().ends_with("too few events had come to tell what is usual"));
    }

    #[test]
    fn the_hours_are_those_of_the_product() {
        for (product, unix_ms, is_dead) in [
            (Product::BroadOptions, LATE, true),
            (Product::BroadOptions, EVENING, false),
            (Product::Options, LATE, false),
            (Product::IndexOptions, EVENING, true),
            (Product::Stocks, EVENING, true),
        ] {
            let (mut watch, last) = shown(product, seconds(1));
            let found = watch.look(last + seconds(80), unix_ms, true);
            assert_eq!(found.is_some(), is_dead, "{product:?} {unix_ms}");
        }
    }

    #[test]
    fn the_silence_of_the_night_is_not_held_against_the_open() {
        let (mut watch, last) = shown(Product::Options, seconds(1));
        let open = last + seconds(17 * 3600);
        assert_eq!(watch.look(open, EVENING, true), None);
        assert_eq!(watch.look(open + seconds(74), MORNING, true), None);
        // nor does it become the cadence
        watch.event(open + seconds(74));
        assert_eq!(ends_after(&mut watch, open + seconds(74)), Some(75));
    }

    #[test]
    fn while_the_socket_is_not_read_silence_means_nothing() {
        let (mut watch, last) = shown(Product::Options, seconds(1));
        assert!((0..1_000).all(|n| watch.look(last + seconds(n), MORNING, false).is_none()));
        assert_eq!(ends_after(&mut watch, last + seconds(999)), Some(75));
    }

    #[test]
    fn a_slow_hour_is_forgotten() {
        let (mut watch, mut now) = shown(Product::Options, seconds(100));
        assert_eq!(watch.limit(), seconds(500));
        for _ in 0..2 * REMEMBERED {
            now += seconds(2);
            watch.event(now);
        }
        assert_eq!(watch.limit(), SHORTEST);
    }
}
