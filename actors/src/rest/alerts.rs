//! The body of `flow_alerts`: the newest alerts, newest first.

use super::decimal::Decimal;
use super::object::{
    Object, ObjectText, count_value, decimal_value, flag_value, nullable_text_value, text_value,
};
use super::occ::OccSymbol;
use super::{Unreadable, Untranslatable, times};

/// Alerts of a body at most, as REST has them.
const MAX_ROWS: usize = 100;
/// How far the times of one alert in REST and on the feed may be apart: the feed has milliseconds of its last trade, REST
/// of its own making.
const SAME_WITHIN_US: i64 = 30 * 1_000_000;
/// How far ahead of its receipt an alert may be dated. Clocks differ by seconds; an alert from the far future would stay the
/// first for ever.
const MAX_AHEAD_US: i64 = 3_600 * 1_000_000;

/// The alerts of a body.
#[derive(Debug, Default)]
pub(super) struct Alerts {
    /// REST's own, in its order.
    base: Vec<Alert>,
    /// Of events, newest first.
    events: Vec<Alert>,
}

#[derive(Debug)]
struct Alert {
    created_us: i64,
    received_us: i64,
    /// Without one it is like no other.
    identity: Option<Identity>,
    text: Box<str>,
}

/// What two accounts of one alert have in common, besides their times.
#[derive(Debug, PartialEq, Eq)]
struct Identity {
    contract: Box<str>,
    rule: Option<Box<str>>,
    size: Decimal,
    premium: Decimal,
}

impl Alerts {
    /// Takes these rows of REST in place of earlier ones.
    pub(super) fn rebase(&mut self, texts: &[&str]) -> Result<(), Unreadable> {
        self.base = texts.iter().map(|text| base_row(text)).collect::<Result<_, _>>()?;
        Ok(())
    }

    /// Takes the alert of an event in.
    pub(super) fn add(&mut self, payload: &str, received_us: i64) -> Result<(), Untranslatable> {
        let alert = translate(payload, received_us)?;
        if let Some(known) = self.events.iter().position(|known| known.is_same(&alert)) {
            if self.events[known].received_us > received_us {
                return Ok(());
            }
            self.events.remove(known);
        }
        let at = self.events.partition_point(|known| known.order() > alert.order());
        self.events.insert(at, alert);
        self.events.truncate(MAX_ROWS);
        Ok(())
    }

    /// The alerts as they are shown, in their order.
    pub(super) fn shown(&self) -> impl Iterator<Item = &str> {
        self.merged().into_iter().map(|alert| &*alert.text)
    }

    /// When the newest event that is shown was received; `None` when REST's alerts are shown as they are.
    pub(super) fn newest_event_us(&self) -> Option<i64> {
        self.merged().iter().map(|alert| alert.received_us).filter(|received| *received > 0).max()
    }

    /// Of one alert REST's account is shown.
    fn merged(&self) -> Vec<&Alert> {
        let news = self.events.iter().filter(|event| !self.base.iter().any(|base| base.is_same(event)));
        let mut merged: Vec<&Alert> = news.chain(&self.base).collect();
        merged.sort_by_key(|alert| std::cmp::Reverse(alert.created_us));
        merged.truncate(MAX_ROWS);
        merged
    }

    /// Memory that they hold.
    pub(super) fn bytes(&self) -> usize {
        self.base.iter().chain(&self.events).map(|alert| alert.text.len() + size_of::<Alert>()).sum()
    }
}

impl Alert {
    fn order(&self) -> (i64, i64) {
        (self.created_us, self.received_us)
    }

    fn is_same(&self, other: &Alert) -> bool {
        self.identity.is_some()
            && self.identity == other.identity
            && self.created_us.abs_diff(other.created_us) <= SAME_WITHIN_US.unsigned_abs()
    }
}

fn base_row(text: &str) -> Result<Alert, Unreadable> {
    let object = Object::parse(text).ok_or(Unreadable("a row is not an object"))?;
    let created_us = object
        .text("created_at")
        .and_then(|time| times::parse(&time))
        .ok_or(Unreadable("a row has no `created_at`"))?;
    let identity = identity(&object, "alert_rule");
    Ok(Alert { created_us, received_us: 0, identity, text: text.into() })
}

fn identity(object: &Object<'_>, rule: &str) -> Option<Identity> {
    Some(Identity {
        contract: object.text("option_chain")?.into(),
        rule: object.text(rule).map(Into::into),
        size: object.decimal("total_size")?,
        premium: object.decimal("total_premium")?,
    })
}

/// An event as a row of REST.
fn translate(payload: &str, received_us: i64) -> Result<Alert, Untranslatable> {
    let object = Object::parse(payload).ok_or(Untranslatable("it is not an object"))?;
    let contract = object.text("option_chain").unwrap_or_default();
    let contract =
        OccSymbol::parse(&contract).map_err(|_| Untranslatable("its `option_chain` is no option symbol"))?;
    let created_us = object
        .integer("executed_at")
        .or_else(|| object.integer("end_time"))
        .and_then(|ms| ms.checked_mul(1000))
        .filter(|at_us| *at_us > 0 && *at_us <= received_us + MAX_AHEAD_US)
        .ok_or(Untranslatable("its `executed_at` is missing or far from its receipt"))?;
    let mut row = ObjectText::new();
    row.text("type", contract.kind());
    for field in FIELDS {
        match field {
            Field::Same(name, value) => {
                if let Some(value) = object.get(name).and_then(value) {
                    row.raw(name, &value);
                }
            }
            Field::CreatedAt => row.text("created_at", &times::micros(created_us)),
            Field::Expiry => row.text("expiry", &contract.expiry.to_string()),
            Field::Strike => row.text("strike", &contract.strike.to_string()),
            Field::Rule => {
                if let Some(value) = object.get("rule_name").and_then(nullable_text_value) {
                    row.raw("alert_rule", &value);
                }
            }
        }
    }
    let identity = identity(&object, "rule_name");
    if identity.is_none() {
        return Err(Untranslatable("its `total_size` or `total_premium` is no number"));
    }
    Ok(Alert { created_us, received_us, identity, text: row.end() })
}

type Translate = fn(&str) -> Option<std::borrow::Cow<'_, str>>;

enum Field {
    /// Has the same name on the feed, and perhaps another type.
    Same(&'static str, Translate),
    CreatedAt,
    Expiry,
    Strike,
    Rule,
}

/// What a row of REST has behind its `type`, in REST's order, but for `iv_start` and `iv_end`, which the feed does not
/// carry.
const FIELDS: &[Field] = &[
    Field::Same("ticker", text_value),
    Field::CreatedAt,
    Field::Same("price", decimal_value),
    Field::Same("volume", count_value),
    Field::Same("open_interest", count_value),
    Field::Expiry,
    Field::Strike,
    Field::Same("underlying_price", decimal_value),
    Field::Same("total_premium", decimal_value),
    Field::Same("trade_count", count_value),
    Field::Same("volume_oi_ratio", decimal_value),
    Field::Same("has_floor", flag_value),
    Field::Same("option_chain", text_value),
    Field::Same("has_multileg", flag_value),
    Field::Same("has_sweep", flag_value),
    Field::Same("has_singleleg", flag_value),
    Field::Same("all_opening_trades", flag_value),
    Field::Same("total_size", count_value),
    Field::Rule,
    Field::Same("total_bid_side_prem", decimal_value),
    Field::Same("total_ask_side_prem", decimal_value),
    Field::Same("expiry_count", count_value),
];
