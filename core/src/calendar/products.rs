//! The hours of products, in New York time. Sources: the exchanges' rules and releases (NYSE of 2025-12-23 for the
//! options of broad funds, Cboe's pages for index options).

use std::ops::Range;

use jiff::ToSpan as _;
use jiff::civil::{Date, Time, time};

use super::days::{self, Day};
use super::sessions::{CLOSE, EARLY_CLOSE, OPEN, day_number, new_york, unix_ms};

/// Options of broad funds trade a quarter of an hour longer than the funds.
const LATE_CLOSE: Time = time(16, 15, 0, 0);
const LATE_EARLY_CLOSE: Time = time(13, 15, 0, 0);
/// Index options continue until then, except on days that close early.
const CURB_CLOSE: Time = time(17, 0, 0, 0);
/// Global trading hours of index options, from the evening before.
const GLOBAL_OPEN: Time = time(20, 15, 0, 0);
const GLOBAL_CLOSE: Time = time(9, 25, 0, 0);
/// Extended hours of stocks.
const EXTENDED_OPEN: Time = time(4, 0, 0, 0);
const EXTENDED_CLOSE: Time = time(20, 0, 0, 0);
/// The night session of stocks, which belongs to the next trade date (approved 2026-04-15). Its hours are not
/// expected to have events: its start is not confirmed, and it is thin.
const NIGHT_OPEN: Time = time(21, 0, 0, 0);

/// Funds whose options trade until 16:15; only those for which there is evidence.
const BROAD_FUNDS: [&str; 4] = ["SPY", "QQQ", "IWM", "DIA"];
/// Roots of index options with global hours.
const INDEXES: [&str; 5] = ["SPX", "SPXW", "VIX", "VIXW", "XSP"];

/// Days within which a product's state changes: from a Friday's close to the Tuesday after a holiday, with margin.
const LONGEST_STRETCH_DAYS: usize = 7;

/// The kind of product that a channel is about; with the symbol it determines the hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProductKind {
    /// Options, and what is computed from them.
    Options,
    /// Stocks.
    Stocks,
}

/// Products with equal hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Product {
    /// Most options: the hours of the exchange.
    Options,
    /// Options of broad funds, and those of all tickers together: to 16:15, or 13:15.
    BroadOptions,
    /// Index options: the evening before from 20:15 to 09:25, then 09:30 to 17:00, or 13:15.
    IndexOptions,
    /// Stocks: 04:00 to 20:00.
    Stocks,
}

impl Product {
    /// Returns the product of a kind and symbol; without a symbol that of all symbols together.
    #[must_use]
    pub fn of(kind: ProductKind, symbol: Option<&str>) -> Product {
        match (kind, symbol) {
            (ProductKind::Stocks, _) => Product::Stocks,
            (ProductKind::Options, None) => Product::BroadOptions,
            (ProductKind::Options, Some(symbol)) if BROAD_FUNDS.contains(&symbol) => Product::BroadOptions,
            (ProductKind::Options, Some(symbol)) if INDEXES.contains(&symbol) => Product::IndexOptions,
            (ProductKind::Options, Some(_)) => Product::Options,
        }
    }

    /// Whether it trades at a time in Unix milliseconds.
    #[must_use]
    pub fn is_trading(self, unix_ms: u64) -> bool {
        let today = new_york(unix_ms).0;
        // global hours begin the evening before
        [Some(today), today.tomorrow().ok()]
            .into_iter()
            .flatten()
            .any(|date| self.hours_of(date).iter().flatten().any(|hours| hours.contains(&unix_ms)))
    }

    /// Returns the time at which [`Product::is_trading`] next changes; `None` at the end of the calendar.
    #[must_use]
    pub fn next_change(self, unix_ms: u64) -> Option<u64> {
        let is_trading = self.is_trading(unix_ms);
        let days = new_york(unix_ms).0.series(1.day()).take(LONGEST_STRETCH_DAYS);
        // in order, also where hours begin the evening before
        let turns =
            days.flat_map(|date| self.hours_of(date)).flatten().flat_map(|hours| [hours.start, hours.end]);
        turns.filter(|turn| *turn > unix_ms).find(|turn| self.is_trading(*turn) != is_trading)
    }

    /// Returns the time of day from which events belong to the next day, if that has a session.
    pub(super) fn evening(self) -> Option<Time> {
        match self {
            Product::Options | Product::BroadOptions => None,
            Product::IndexOptions => Some(GLOBAL_OPEN),
            Product::Stocks => Some(NIGHT_OPEN),
        }
    }

    /// Returns the hours that belong to a date.
    fn hours_of(self, date: Date) -> [Option<Range<u64>>; 2] {
        let is_early = match days::day(date) {
            Day::Weekend | Day::Holiday => return [None, None],
            Day::Early => true,
            Day::Full => false,
        };
        let hours = |open, close| Some(unix_ms(date, open)?..unix_ms(date, close)?);
        let until = |full, early| hours(OPEN, if is_early { early } else { full });
        match self {
            Product::Options => [until(CLOSE, EARLY_CLOSE), None],
            Product::BroadOptions => [until(LATE_CLOSE, LATE_EARLY_CLOSE), None],
            Product::Stocks => [hours(EXTENDED_OPEN, EXTENDED_CLOSE), None],
            Product::IndexOptions => {
                let evening = date.yesterday().ok().and_then(|date| unix_ms(date, GLOBAL_OPEN));
                let global = evening.zip(unix_ms(date, GLOBAL_CLOSE)).map(|(open, close)| open..close);
                [global, until(CURB_CLOSE, LATE_EARLY_CLOSE)]
            }
        }
    }
}

/// Returns the date of the next day if it has a session.
pub(super) fn next_session(date: Date) -> Option<i32> {
    let next = date.tomorrow().ok()?;
    matches!(days::day(next), Day::Full | Day::Early).then(|| day_number(next))
}

/// The products that a connection or a channel carries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Products(Vec<Product>);

impl FromIterator<Product> for Products {
    fn from_iter<I: IntoIterator<Item = Product>>(products: I) -> Products {
        let mut products: Vec<Product> = products.into_iter().collect();
        products.sort_unstable();
        products.dedup();
        Products(products)
    }
}

impl Products {
    /// Whether any of them trades.
    #[must_use]
    pub fn is_trading(&self, unix_ms: u64) -> bool {
        self.0.iter().any(|product| product.is_trading(unix_ms))
    }

    /// Returns the time at which [`Products::is_trading`] next changes; `None` without products.
    #[must_use]
    pub fn next_change(&self, unix_ms: u64) -> Option<u64> {
        let is_trading = self.is_trading(unix_ms);
        let mut at = unix_ms;
        // two products overlap at most a few times
        for _ in 0..4 * LONGEST_STRETCH_DAYS {
            at = self.0.iter().filter_map(|product| product.next_change(at)).min()?;
            if self.is_trading(at) != is_trading {
                return Some(at);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::sessions::tests::{at, recent};
    use super::super::{SessionClock, day_of, session_date};
    use super::*;

    const ALL: [Product; 4] =
        [Product::Options, Product::BroadOptions, Product::IndexOptions, Product::Stocks];

    #[test]
    fn a_symbol_has_its_hours() {
        for (kind, symbol, product) in [
            (ProductKind::Options, Some("SPY"), Product::BroadOptions),
            (ProductKind::Options, Some("TSLA"), Product::Options),
            (ProductKind::Options, Some("SPXW"), Product::IndexOptions),
            (ProductKind::Options, Some("NANOS"), Product::Options),
            (ProductKind::Options, None, Product::BroadOptions),
            (ProductKind::Stocks, Some("SPY"), Product::Stocks),
            (ProductKind::Stocks, None, Product::Stocks),
        ] {
            assert_eq!(Product::of(kind, symbol), product, "{kind:?} {symbol:?}");
        }
    }

    #[test]
    fn products_trade_in_their_hours() {
        use Product::{BroadOptions, IndexOptions, Stocks};
        for (time, trading) in [
            // a Monday
            ("2026-11-30T03:59:59.999-05:00", &[IndexOptions][..]),
            ("2026-11-30T04:00-05:00", &[IndexOptions, Stocks]),
            ("2026-11-30T09:25-05:00", &[Stocks]),
            ("2026-11-30T09:30-05:00", &ALL),
            ("2026-11-30T16:00-05:00", &[BroadOptions, IndexOptions, Stocks]),
            ("2026-11-30T16:05-05:00", &[BroadOptions, IndexOptions, Stocks]),
            ("2026-11-30T16:15-05:00", &[IndexOptions, Stocks]),
            ("2026-11-30T17:00-05:00", &[Stocks]),
            ("2026-11-30T20:00-05:00", &[]),
            ("2026-11-30T20:15-05:00", &[IndexOptions]),
            // an early close
            ("2026-11-27T12:59-05:00", &ALL),
            ("2026-11-27T13:00-05:00", &[BroadOptions, IndexOptions, Stocks]),
            ("2026-11-27T13:15-05:00", &[Stocks]),
            // Friday evening, Saturday, Sunday, and the evening before a holiday
            ("2026-11-20T20:30-05:00", &[]),
            ("2026-11-21T12:00-05:00", &[]),
            ("2026-11-29T20:14:59-05:00", &[]),
            ("2026-11-29T20:15-05:00", &[IndexOptions]),
            ("2026-11-25T20:30-05:00", &[]),
            ("2026-11-26T20:30-05:00", &[IndexOptions]),
            // summer time
            ("2026-07-01T16:14-04:00", &[BroadOptions, IndexOptions, Stocks]),
        ] {
            let found: Vec<Product> =
                ALL.into_iter().filter(|product| product.is_trading(at(time))).collect();
            assert_eq!(found, trading, "{time}");
        }
    }

    #[test]
    fn an_evening_belongs_to_the_next_session() {
        let mut clock = SessionClock::default();
        for (product, time, date) in [
            (Product::IndexOptions, "2026-11-29T20:30-05:00", "2026-11-30"),
            (Product::IndexOptions, "2026-11-29T20:14:59-05:00", "2026-11-29"),
            (Product::IndexOptions, "2026-11-30T02:00-05:00", "2026-11-30"),
            (Product::IndexOptions, "2026-11-30T16:30-05:00", "2026-11-30"),
            (Product::IndexOptions, "2026-11-30T20:30-05:00", "2026-12-01"),
            (Product::IndexOptions, "2026-11-20T20:30-05:00", "2026-11-20"),
            (Product::IndexOptions, "2026-11-25T20:30-05:00", "2026-11-25"),
            (Product::Stocks, "2026-11-29T20:30-05:00", "2026-11-29"),
            (Product::Stocks, "2026-11-29T21:00-05:00", "2026-11-30"),
            (Product::Stocks, "2026-11-30T19:59-05:00", "2026-11-30"),
            (Product::BroadOptions, "2026-11-29T20:30-05:00", "2026-11-29"),
        ] {
            let found = clock.session_of(product, at(time));
            assert_eq!(Some(found), day_of(date), "{product:?} {time}");
            assert_eq!(found, SessionClock::default().session_of(product, at(time)));
        }
    }

    #[test]
    fn products_together_trade_when_one_does() {
        let both: Products =
            [Product::Options, Product::IndexOptions, Product::Options].into_iter().collect();
        let monday = at("2026-11-30T12:00-05:00");
        assert_eq!(both.next_change(monday), Some(at("2026-11-30T17:00-05:00")));
        assert_eq!(both.next_change(at("2026-11-30T17:00-05:00")), Some(at("2026-11-30T20:15-05:00")));
        assert_eq!(
            (Products::default().is_trading(monday), Products::default().next_change(monday)),
            (false, None)
        );
    }

    #[test]
    fn times_beyond_the_calendar_are_survived() {
        for product in ALL {
            for time in [0, 1, u64::MAX / 2, u64::MAX] {
                assert!(!product.is_trading(time) || time < 100_000_000);
                assert!(product.next_change(time).is_none_or(|turn| turn > time));
                SessionClock::default().session_of(product, time);
            }
        }
    }

    proptest! {
        #[test]
        fn a_state_lasts_until_it_changes(time in recent(), share in 0_u64..1_000, n in 0_usize..4) {
            let until = ALL[n].next_change(time).unwrap();
            let between = time + (until - 1 - time) * share / 1_000;
            prop_assert_eq!(ALL[n].is_trading(between), ALL[n].is_trading(time));
            prop_assert_ne!(ALL[n].is_trading(until), ALL[n].is_trading(time));
        }

        #[test]
        fn a_session_never_goes_back(time in recent(), later in 0_u64..3 * 86_400_000, n in 0_usize..4) {
            let mut clock = SessionClock::default();
            let session = clock.session_of(ALL[n], time);
            prop_assert!(clock.session_of(ALL[n], time + later) >= session);
            prop_assert!((session - session_date(time)) <= 1);
        }
    }
}
