//! The body of `stock_state`: the price of a stock now.
//!
//! The feed carries the price, its time and the session's volume. Everything else is REST's, so there must be a body of
//! REST, and of the same session, to build on.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::decimal::Decimal;
use super::object::{Object, ObjectText, decimal_value, quoted};
use super::parts::{Receipt, Unreadable, Untranslatable, heap_bytes};
use super::times::{self, Present};
use crate::calendar::{SessionClock, session_date};

/// Seconds with prices that are remembered, to be put over a newer body of REST: more than a pass of the fetcher takes.
/// Beyond it the oldest become part of the body that is there.
const MAX_SECONDS: usize = 600;
const SECOND_US: i64 = 1_000_000;

/// The state of a stock.
#[derive(Debug, Default)]
pub(super) struct StockState {
    base: Option<Base>,
    /// The prices, by their second since 1970.
    seconds: BTreeMap<i64, Prices>,
    pub(super) present: Present,
}

#[derive(Debug)]
struct Base {
    /// As REST answered it.
    text: Box<str>,
    /// When it answered.
    fetched_us: i64,
    /// Its `tape_time`, in seconds since 1970.
    second: i64,
    session: i32,
    volume: Option<Decimal>,
}

/// The prices of a second, or of several. The order in which they are put together makes no difference.
#[derive(Clone, Debug)]
struct Prices {
    close: Dated<Arc<Price>>,
    volume: Option<Dated<Decimal>>,
    high: Arc<Price>,
    low: Arc<Price>,
}

/// What was traded and received then; the later one is greater.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Dated<T> {
    at_us: i64,
    receipt: Receipt,
    value: T,
}

/// A price, and how it was written.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Price {
    number: Decimal,
    /// A JSON string.
    text: Box<str>,
}

impl StockState {
    /// Takes what REST answered at `fetched_us` in place of earlier bodies.
    pub(super) fn rebase(&mut self, text: &str, fetched_us: i64) -> Result<(), Unreadable> {
        self.base = Some(Base::read(text, fetched_us, &mut self.present)?);
        Ok(())
    }

    /// Takes the price of an event in.
    pub(super) fn add(&mut self, payload: &str, receipt: Receipt) -> Result<(), Untranslatable> {
        let object = Object::parse(payload).ok_or(Untranslatable("it is not an object"))?;
        let at_us = object
            .integer("time")
            .and_then(|ms| self.present.event_us(ms, receipt.received_us))
            .ok_or(Untranslatable("its `time` is missing or far from its receipt"))?;
        let price = Price::read(&object, "close").ok_or(Untranslatable("its `close` is no number"))?;
        let prices = Prices::of(price, object.decimal("vol"), at_us, receipt);
        let second = at_us.div_euclid(SECOND_US);
        match self.seconds.get_mut(&second) {
            Some(known) => known.widen(&prices),
            None => {
                self.seconds.insert(second, prices);
            }
        }
        while self.seconds.len() > MAX_SECONDS
            && let Some((second, prices)) = self.seconds.pop_first()
        {
            self.fold(second, &prices);
        }
        Ok(())
    }

    /// Makes the prices of a second part of the body.
    fn fold(&mut self, second: i64, prices: &Prices) {
        if let Some(base) = &self.base
            && base.is_followed_by(second, prices)
            && session_date(millis(second)) == base.session
            && let Ok(folded) = Base::read(&base.with(prices), base.fetched_us, &mut self.present)
        {
            self.base = Some(folded);
        }
    }

    /// The data as it is shown; `None` without a body of REST.
    pub(super) fn shown(&self) -> Option<String> {
        let base = self.base.as_ref()?;
        Some(self.news().map_or_else(|| base.text.to_string(), |news| base.with(&news)))
    }

    /// Whether prices of events are shown.
    pub(super) fn has_news(&self) -> bool {
        self.following().next().is_some()
    }

    /// All prices that go over REST's body in one.
    fn news(&self) -> Option<Prices> {
        let mut following = self.following();
        let mut news = following.next()?.clone();
        following.for_each(|prices| news.widen(prices));
        Some(news)
    }

    fn following(&self) -> impl Iterator<Item = &Prices> {
        let mut sessions = SessionClock::default();
        let of_base = self.base.as_ref().map(|base| (base, self.seconds.range(base.second..)));
        of_base
            .into_iter()
            .flat_map(|(base, seconds)| seconds.map(move |(second, prices)| (base, *second, prices)))
            .filter(move |(base, second, prices)| {
                base.is_followed_by(*second, prices) && sessions.session_date(millis(*second)) == base.session
            })
            .map(|(_, _, prices)| prices)
    }

    /// Memory that it holds.
    pub(super) fn bytes(&self) -> usize {
        let base = self.base.as_ref().map_or(0, |base| heap_bytes(base.text.len()));
        // nodes of the map are half empty when seconds come in their order
        let seconds = 2 * size_of::<(i64, Prices)>() * self.seconds.len();
        base + seconds + self.seconds.values().map(Prices::heap_bytes).sum::<usize>()
    }
}

impl Base {
    fn read(text: &str, fetched_us: i64, present: &mut Present) -> Result<Base, Unreadable> {
        let object = Object::parse(text).ok_or(Unreadable("its `data` is not an object"))?;
        let at_us = object
            .text("tape_time")
            .and_then(|time| times::parse(&time))
            .ok_or(Unreadable("it has no `tape_time`"))?;
        let second = present.hold_back(at_us).div_euclid(SECOND_US);
        let volume = object.decimal("total_volume");
        Ok(Base { text: text.into(), fetched_us, second, session: session_date(millis(second)), volume })
    }

    /// Whether prices are newer. REST writes whole seconds: within one, the volume tells, and
    /// when that is the same, the time of receipt.
    fn is_followed_by(&self, second: i64, prices: &Prices) -> bool {
        second > self.second
            || second == self.second
                && match (&prices.volume, &self.volume) {
                    (Some(volume), Some(base)) if volume.value != *base => volume.value > *base,
                    _ => prices.close.receipt.received_us > self.fetched_us,
                }
    }

    fn with(&self, prices: &Prices) -> String {
        let Some(object) = Object::parse(&self.text) else { return self.text.to_string() };
        let close = &*prices.close.value.text;
        let volume = prices.volume.as_ref().map(|volume| volume.value.to_string());
        let tape_time = quoted(&times::seconds(prices.close.at_us));
        let mut state = ObjectText::new();
        for (name, value) in object.members() {
            // what is no number is not widened
            let known = || object.decimal(name);
            let news = match name {
                "close" => Some(close),
                "tape_time" => Some(&*tape_time),
                "total_volume" => volume.as_deref(),
                "high" => known().filter(|known| prices.high.number > *known).map(|_| &*prices.high.text),
                "low" => known().filter(|known| prices.low.number < *known).map(|_| &*prices.low.text),
                _ => None,
            };
            state.raw(name, news.unwrap_or(value));
        }
        if object.get("close").is_none() {
            state.raw("close", close);
        }
        if let (None, Some(volume)) = (object.get("total_volume"), &volume) {
            state.raw("total_volume", volume);
        }
        state.end().into()
    }
}

impl Prices {
    fn of(price: Price, volume: Option<Decimal>, at_us: i64, receipt: Receipt) -> Prices {
        let price = Arc::new(price);
        Prices {
            high: Arc::clone(&price),
            low: Arc::clone(&price),
            close: Dated { at_us, receipt, value: price },
            volume: volume.map(|value| Dated { at_us, receipt, value }),
        }
    }

    /// Takes others in.
    fn widen(&mut self, other: &Prices) {
        raise(&mut self.close, &other.close);
        raise(&mut self.volume, &other.volume);
        raise(&mut self.high, &other.high);
        if other.low < self.low {
            self.low.clone_from(&other.low);
        }
    }

    /// One price is mostly all three.
    fn heap_bytes(&self) -> usize {
        let price = |price: &Price| {
            size_of::<Price>() + heap_bytes(price.text.len()) + price.number.heap_bytes() + heap_bytes(16)
        };
        let close = &self.close.value;
        let apart = [&self.high, &self.low].into_iter().filter(|other| !Arc::ptr_eq(other, close));
        price(close)
            + apart.map(|other| price(other)).sum::<usize>()
            + self.volume.as_ref().map_or(0, |volume| volume.value.heap_bytes())
    }
}

fn raise<T: Ord + Clone>(known: &mut T, other: &T) {
    if other > known {
        known.clone_from(other);
    }
}

impl Price {
    fn read(object: &Object<'_>, name: &str) -> Option<Price> {
        let text = decimal_value(object.get(name)?)?;
        Some(Price { number: object.decimal(name)?, text: text.into() })
    }
}

fn millis(second: i64) -> u64 {
    u64::try_from(second).unwrap_or_default().saturating_mul(1000)
}

#[cfg(test)]
mod tests;
