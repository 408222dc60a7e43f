//! The body of `stock_state`: the current price of a stock.
//!
//! The feed carries price, time and the day's volume only; everything else comes from REST, whose body describes one
//! segment of the day (`market_time`): open, high, low and `volume` are the segment's, `total_volume` is the day's. A
//! REST body of the same session and segment is therefore required as a base.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::decimal::Decimal;
use super::object::{Object, ObjectText, decimal_value, quoted};
use super::parts::{Receipt, UnreadableBody, Untranslatable, heap_bytes};
use super::times::{self, Present};
use crate::calendar::{DaySegment, Product, SessionClock, session_date};

/// Maximum number of seconds with prices kept for merging into a newer REST body: longer than a pass of the fetcher
/// takes. Beyond it the oldest are merged into the present body for good.
const MAX_SECONDS: usize = 600;
const SECOND_US: i64 = 1_000_000;

#[derive(Debug, Default)]
pub(super) struct StockState {
    base: Option<Base>,
    /// Prices by second, in Unix seconds.
    seconds: BTreeMap<i64, Prices>,
    pub(super) present: Present,
}

#[derive(Debug)]
struct Base {
    /// The `data` of REST's answer.
    text: Box<str>,
    /// Time of the answer, in Unix microseconds.
    fetched_us: i64,
    /// Its `tape_time`, in Unix seconds.
    second: i64,
    part: Part,
    /// Its `total_volume`.
    volume: Option<Decimal>,
}

/// A segment of a session. The night before a session belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    session: i32,
    segment: DaySegment,
}

impl Part {
    fn at(second: i64) -> Part {
        let at_ms = millis(second);
        let session = SessionClock::default().session_of(Product::Stocks, at_ms);
        Part { session, segment: DaySegment::at(at_ms) }
    }
}

/// The merged prices of one or several seconds; merging is commutative.
#[derive(Clone, Debug)]
struct Prices {
    close: Dated<Arc<Price>>,
    volume: Option<Dated<Decimal>>,
    /// Equal for all prices of a second.
    part: Part,
    high: Arc<Price>,
    low: Arc<Price>,
}

/// A value with its trade time and receipt; the later one is greater.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Dated<T> {
    at_us: i64,
    receipt: Receipt,
    value: T,
}

/// A price with its original text.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Price {
    number: Decimal,
    /// A JSON string.
    text: Box<str>,
}

impl StockState {
    /// Replaces the base by REST's answer of `fetched_us`, in Unix microseconds.
    pub(super) fn rebase(&mut self, text: &str, fetched_us: i64) -> Result<(), UnreadableBody> {
        self.base = Some(Base::read(text, fetched_us, &mut self.present)?);
        Ok(())
    }

    /// Adds the price of an event.
    pub(super) fn add(&mut self, payload: &str, receipt: Receipt) -> Result<(), Untranslatable> {
        let object = Object::parse(payload).ok_or(Untranslatable("it is not an object"))?;
        let at_us = object
            .integer("time")
            .and_then(|ms| self.present.event_us(ms, receipt.received_us))
            .ok_or(Untranslatable("its `time` is missing or far from its receipt"))?;
        let price = Price::read(&object, "close").ok_or(Untranslatable("its `close` is not a number"))?;
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

    /// Merges the prices of a second into the body.
    fn fold(&mut self, second: i64, prices: &Prices) {
        if let Some(base) = &self.base
            && base.is_followed_by(second, prices)
            && let Ok(folded) = Base::read(&base.with(prices), base.fetched_us, &mut self.present)
        {
            self.base = Some(folded);
        }
    }

    /// Returns the merged `data`; `None` without a REST body.
    pub(super) fn shown(&self) -> Option<String> {
        let base = self.base.as_ref()?;
        Some(self.news().map_or_else(|| base.text.to_string(), |news| base.with(&news)))
    }

    /// Whether the merged data includes events.
    pub(super) fn has_news(&self) -> bool {
        self.following().next().is_some()
    }

    /// Merges all prices that are newer than REST's body.
    fn news(&self) -> Option<Prices> {
        let mut following = self.following();
        let mut news = following.next()?.clone();
        following.for_each(|prices| news.widen(prices));
        Some(news)
    }

    fn following(&self) -> impl Iterator<Item = &Prices> {
        let of_base = self.base.as_ref().map(|base| (base, self.seconds.range(base.second..)));
        of_base
            .into_iter()
            .flat_map(|(base, seconds)| seconds.map(move |(second, prices)| (base, *second, prices)))
            .filter(|(base, second, prices)| base.is_followed_by(*second, prices))
            .map(|(_, _, prices)| prices)
    }

    /// Returns heap memory in bytes.
    pub(super) fn bytes(&self) -> usize {
        let base = self.base.as_ref().map_or(0, |base| heap_bytes(base.text.len()));
        // map nodes are half empty when keys are inserted in order
        let seconds = 2 * size_of::<(i64, Prices)>() * self.seconds.len();
        base + seconds + self.seconds.values().map(Prices::heap_bytes).sum::<usize>()
    }
}

impl Base {
    fn read(text: &str, fetched_us: i64, present: &mut Present) -> Result<Base, UnreadableBody> {
        let object = Object::parse(text).ok_or(UnreadableBody("its `data` is not an object"))?;
        let at_us = object
            .text("tape_time")
            .and_then(|time| times::parse(&time))
            .ok_or(UnreadableBody("it has no `tape_time`"))?;
        let second = present.hold_back(at_us).div_euclid(SECOND_US);
        let part = Part::at(second);
        let word = object.text("market_time").and_then(|word| DaySegment::of_word(&word));
        Ok(Base {
            text: text.into(),
            fetched_us,
            second,
            // none of the three segments is in the evening
            part: word.map_or(part, |segment| Part { segment, session: session_date(millis(second)) }),
            volume: object.decimal("total_volume"),
        })
    }

    /// Whether prices are newer than the body and of its segment: those of a later segment wait until REST has answered
    /// in it. REST's times are whole seconds; within a second the greater volume
    /// is newer, and for equal volumes the time of receipt decides.
    fn is_followed_by(&self, second: i64, prices: &Prices) -> bool {
        let is_newer = || match (&prices.volume, &self.volume) {
            (Some(volume), Some(base)) if volume.value != *base => volume.value > *base,
            _ => prices.close.receipt.received_us > self.fetched_us,
        };
        prices.part == self.part && (second > self.second || second == self.second && is_newer())
    }

    fn with(&self, prices: &Prices) -> String {
        let Some(object) = Object::parse(&self.text) else { return self.text.to_string() };
        let close = &*prices.close.value.text;
        let volume = prices.volume.as_ref().map(|volume| volume.value.to_string());
        let of_segment = self.volume_of_segment(&object, prices);
        let tape_time = quoted(&times::seconds(prices.close.at_us));
        let mut state = ObjectText::new();
        for (name, value) in object.members() {
            // only numbers are widened
            let known = || object.decimal(name);
            let news = match name {
                "close" => Some(close),
                "tape_time" => Some(&*tape_time),
                "total_volume" => volume.as_deref(),
                "volume" => of_segment.as_deref(),
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

impl Base {
    /// Returns the segment's volume, which grows with the day's; `None` where the body does not have both.
    fn volume_of_segment(&self, object: &Object<'_>, prices: &Prices) -> Option<String> {
        let whole = |decimal: &Decimal| decimal.to_string().parse::<i64>().ok();
        let (total, base) = (whole(&prices.volume.as_ref()?.value)?, whole(self.volume.as_ref()?)?);
        let volume = whole(&object.decimal("volume")?)?.checked_add(total.checked_sub(base)?)?;
        // a total far below REST's is of another measure
        (volume >= 0).then(|| volume.to_string())
    }
}

impl Prices {
    fn of(price: Price, volume: Option<Decimal>, at_us: i64, receipt: Receipt) -> Prices {
        let price = Arc::new(price);
        Prices {
            part: Part::at(at_us.div_euclid(SECOND_US)),
            high: Arc::clone(&price),
            low: Arc::clone(&price),
            close: Dated { at_us, receipt, value: price },
            volume: volume.map(|value| Dated { at_us, receipt, value }),
        }
    }

    /// Merges other prices.
    fn widen(&mut self, other: &Prices) {
        raise(&mut self.close, &other.close);
        raise(&mut self.volume, &other.volume);
        raise(&mut self.high, &other.high);
        if other.low < self.low {
            self.low.clone_from(&other.low);
        }
    }

    /// Counts shared prices once: close, high and low are mostly the same.
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
