//! The body of `stock_state`: the price of a stock now.
//!
//! The feed carries the price, its time and the session's volume. Everything else is REST's, so there must be a body of
//! REST, and of the same session, to build on.

use std::collections::BTreeMap;

use super::decimal::Decimal;
use super::object::{Object, ObjectText, decimal_value};
use super::{Unreadable, Untranslatable, times};
use crate::calendar::session_date;

/// Seconds with prices that are remembered, to be put over a newer body of REST: more than a pass of the fetcher takes.
/// Beyond it the oldest become part of the body that is there.
const MAX_SECONDS: usize = 600;
/// How far ahead of its receipt a price may be dated. Clocks differ by seconds.
const MAX_AHEAD_US: i64 = 3_600 * 1_000_000;
const SECOND_US: i64 = 1_000_000;

/// The state of a stock.
#[derive(Debug, Default)]
pub(super) struct StockState {
    base: Option<Base>,
    /// The prices, by their second since 1970.
    seconds: BTreeMap<i64, Prices>,
}

#[derive(Debug)]
struct Base {
    /// As REST answered it.
    text: Box<str>,
    /// Its `tape_time`, in seconds since 1970.
    second: i64,
    volume: Option<Decimal>,
}

/// The prices of a second.
#[derive(Clone, Debug)]
struct Prices {
    close: Price,
    high: Price,
    low: Price,
    volume: Option<Decimal>,
    /// When the last of them was traded, and received.
    last: (i64, i64),
}

/// A price, and how it was written.
#[derive(Clone, Debug)]
struct Price {
    number: Decimal,
    /// A JSON string.
    text: Box<str>,
}

impl StockState {
    /// Takes what REST answered in place of earlier bodies.
    pub(super) fn rebase(&mut self, text: &str) -> Result<(), Unreadable> {
        self.base = Some(Base::read(text)?);
        self.forget_covered();
        Ok(())
    }

    /// Takes the price of an event in.
    pub(super) fn add(&mut self, payload: &str, received_us: i64) -> Result<(), Untranslatable> {
        let object = Object::parse(payload).ok_or(Untranslatable("it is not an object"))?;
        let at_us = object
            .integer("time")
            .and_then(|ms| ms.checked_mul(1000))
            .filter(|at_us| *at_us > 0 && *at_us <= received_us + MAX_AHEAD_US)
            .ok_or(Untranslatable("its `time` is missing or far from its receipt"))?;
        let price = Price::read(&object, "close").ok_or(Untranslatable("its `close` is no number"))?;
        let volume = object.decimal("vol");
        let prices = Prices {
            high: price.clone(),
            low: price.clone(),
            close: price,
            volume,
            last: (at_us, received_us),
        };
        let second = at_us.div_euclid(SECOND_US);
        match self.seconds.get_mut(&second) {
            Some(known) => known.widen(&prices),
            None => {
                self.seconds.insert(second, prices);
            }
        }
        self.forget_covered();
        while self.seconds.len() > MAX_SECONDS
            && let Some((second, prices)) = self.seconds.pop_first()
        {
            self.fold(second, &prices);
        }
        Ok(())
    }

    /// Forgets the prices that REST's body is newer than.
    fn forget_covered(&mut self) {
        if let Some(base) = &self.base {
            self.seconds.retain(|second, prices| base.is_followed_by(*second, prices));
        }
    }

    fn fold(&mut self, second: i64, prices: &Prices) {
        if let Some(base) = &self.base
            && base.is_of_session(second)
            && let Ok(folded) = Base::read(&base.with(prices))
        {
            self.base = Some(folded);
        }
    }

    /// The data as it is shown; `None` without a body of REST.
    pub(super) fn shown(&self) -> Option<String> {
        let base = self.base.as_ref()?;
        Some(self.news().map_or_else(|| base.text.to_string(), |news| base.with(&news)))
    }

    /// When the newest event that is shown was received; `None` when REST's body is shown as it is.
    pub(super) fn newest_event_us(&self) -> Option<i64> {
        self.news().map(|news| news.last.1)
    }

    /// All prices that go over REST's body in one.
    fn news(&self) -> Option<Prices> {
        let base = self.base.as_ref()?;
        let mut seconds = self.seconds.iter().filter(|(second, _)| base.is_of_session(**second));
        let mut news = seconds.next()?.1.clone();
        seconds.for_each(|(_, prices)| news.widen(prices));
        Some(news)
    }

    /// Memory that it holds.
    pub(super) fn bytes(&self) -> usize {
        let base = self.base.as_ref().map_or(0, |base| base.text.len());
        // three short texts and as many numbers
        base + self.seconds.len() * (size_of::<(i64, Prices)>() + 64)
    }
}

impl Base {
    fn read(text: &str) -> Result<Base, Unreadable> {
        let object = Object::parse(text).ok_or(Unreadable("its `data` is not an object"))?;
        let at_us = object
            .text("tape_time")
            .and_then(|time| times::parse(&time))
            .ok_or(Unreadable("it has no `tape_time`"))?;
        let volume = object.decimal("total_volume");
        Ok(Base { text: text.into(), second: at_us.div_euclid(SECOND_US), volume })
    }

    /// Whether prices are newer. REST writes whole seconds: within one, the volume tells.
    fn is_followed_by(&self, second: i64, prices: &Prices) -> bool {
        second > self.second
            || second == self.second
                && match (&prices.volume, &self.volume) {
                    (Some(volume), Some(base)) => volume >= base,
                    _ => true,
                }
    }

    fn is_of_session(&self, second: i64) -> bool {
        session_of(second) == session_of(self.second)
    }

    fn with(&self, prices: &Prices) -> String {
        let Some(object) = Object::parse(&self.text) else { return self.text.to_string() };
        let volume = prices.volume.as_ref().map(ToString::to_string);
        let mut state = ObjectText::new();
        let tape_time = format!("\"{}\"", times::seconds(prices.last.0));
        for (name, value) in object.members() {
            let beyond = |price: &Price, is_beyond: fn(&Decimal, &Decimal) -> bool| {
                // what is no number is not widened
                object
                    .decimal(name)
                    .filter(|known| is_beyond(&price.number, known))
                    .map(|_| price.text.clone())
            };
            let news = match name {
                "close" => Some(prices.close.text.clone()),
                "tape_time" => Some(tape_time.as_str().into()),
                "total_volume" => volume.as_deref().map(Into::into),
                "high" => beyond(&prices.high, |price, known| price > known),
                "low" => beyond(&prices.low, |price, known| price < known),
                _ => None,
            };
            state.raw(name, news.as_deref().unwrap_or(value));
        }
        if object.get("close").is_none() {
            state.raw("close", &prices.close.text);
        }
        if let (None, Some(volume)) = (object.get("total_volume"), &volume) {
            state.raw("total_volume", volume);
        }
        state.end().into()
    }
}

impl Prices {
    /// Takes others in.
    fn widen(&mut self, other: &Prices) {
        if other.last >= self.last {
            self.close = other.close.clone();
            self.last = other.last;
            self.volume = other.volume.clone().or(self.volume.take());
        }
        if other.high.number > self.high.number {
            self.high = other.high.clone();
        }
        if other.low.number < self.low.number {
            self.low = other.low.clone();
        }
    }
}

impl Price {
    fn read(object: &Object<'_>, name: &str) -> Option<Price> {
        let text = decimal_value(object.get(name)?)?;
        Some(Price { number: object.decimal(name)?, text: text.into() })
    }
}

fn session_of(second: i64) -> i32 {
    session_date(u64::try_from(second).unwrap_or_default() * 1000)
}
