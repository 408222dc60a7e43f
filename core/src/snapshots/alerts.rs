//! The body of `flow_alerts`: the newest alerts, newest first.

use super::decimal::Decimal;
use super::object::{
    Object, ObjectText, count_value, decimal_value, flag_value, nullable_text_value, quoted, text_value,
};
use super::occ::OccSymbol;
use super::parts::{Receipt, UnreadableBody, Untranslatable, heap_bytes};
use super::times::{self, Present};

/// Maximum number of alerts in a body, the same as in REST.
const MAX_ROWS: usize = 100;
/// Maximum number of alerts of events that are kept, with all their versions. More than a body shows: REST dates an alert up to
/// 16 s before the feed does, so that an alert that REST no longer answers may be newer than the last that it does.
const MAX_EVENTS: usize = 4 * MAX_ROWS;
/// Maximum difference between the times of one alert in REST and on the feed: the feed states the last trade in
/// milliseconds, REST the alert's creation.
const SAME_WITHIN_US: u64 = 30 * 1_000_000;

#[derive(Debug)]
pub(super) struct Alerts {
    ticker: Box<str>,
    /// REST's alerts, in REST's order.
    base: Vec<Alert>,
    /// Alerts of events, newest first.
    events: Vec<Alert>,
    pub(super) present: Present,
}

#[derive(Debug)]
struct Alert {
    created_us: i64,
    /// `None` for alerts of REST.
    receipt: Option<Receipt>,
    /// An alert without an identity matches no other.
    identity: Option<Identity>,
    text: Box<str>,
}

/// The fields, besides the times, in which the two representations of an alert agree; the most selective first.
#[derive(Debug, PartialEq, Eq)]
struct Identity {
    premium: Decimal,
    size: Decimal,
    contract: Box<str>,
    rule: Option<Box<str>>,
}

impl Alerts {
    pub(super) fn new(ticker: &str) -> Alerts {
        Alerts { ticker: ticker.into(), base: Vec::new(), events: Vec::new(), present: Present::default() }
    }

    /// Replaces REST's rows.
    pub(super) fn rebase(&mut self, texts: &[&str]) -> Result<(), UnreadableBody> {
        self.base = texts.iter().map(|text| base_row(text, &mut self.present)).collect::<Result<_, _>>()?;
        Ok(())
    }

    /// Adds the alert of an event. Of several versions with the same time the last is kept.
    pub(super) fn add(&mut self, payload: &str, receipt: Receipt) -> Result<(), Untranslatable> {
        let alert = translate(&self.ticker, payload, receipt, &mut self.present)?;
        let is_account = |known: &Alert| known.created_us == alert.created_us && known.is_same(&alert);
        if let Some(known) = self.events.iter().position(is_account) {
            if self.events[known].account() >= alert.account() {
                return Ok(());
            }
            self.events.remove(known);
        }
        let at = self.events.partition_point(|known| known.age() > alert.age());
        self.events.insert(at, alert);
        self.events.truncate(MAX_EVENTS);
        Ok(())
    }

    /// Iterates over the merged alerts, in order.
    pub(super) fn shown(&self) -> impl Iterator<Item = &str> {
        self.merged().into_iter().map(|alert| &*alert.text)
    }

    /// Whether the merged alerts include events.
    pub(super) fn has_news(&self) -> bool {
        self.merged().iter().any(|alert| alert.receipt.is_some())
    }

    /// Merges REST's alerts with those that REST lacks.
    fn merged(&self) -> Vec<&Alert> {
        let mut merged: Vec<&Alert> = self.base.iter().chain(self.news()).collect();
        merged.sort_by_key(|alert| std::cmp::Reverse(alert.created_us));
        merged.truncate(MAX_ROWS);
        if merged.iter().any(|alert| alert.receipt.is_some()) { merged } else { self.base.iter().collect() }
    }

    /// Returns the alerts of events that REST lacks, newest first; of several versions the one received last.
    fn news(&self) -> Vec<&Alert> {
        let mut accounts: Vec<&Alert> =
            self.events.iter().filter(|event| !self.base.iter().any(|base| base.is_same(event))).collect();
        accounts.sort_by_key(|alert| std::cmp::Reverse(alert.account()));
        let mut news: Vec<&Alert> = Vec::with_capacity(accounts.len());
        for account in accounts {
            if !news.iter().any(|known| known.is_same(account)) {
                news.push(account);
            }
        }
        news.sort_by_key(|alert| std::cmp::Reverse(alert.age()));
        news
    }

    /// Returns heap memory in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.base.iter().chain(&self.events).map(Alert::bytes).sum()
    }
}

impl Alert {
    /// Sort key: a newer alert is greater.
    fn age(&self) -> (i64, Option<Receipt>) {
        (self.created_us, self.receipt)
    }

    /// Sort key: a later version is greater.
    fn account(&self) -> (Option<Receipt>, i64) {
        (self.receipt, self.created_us)
    }

    fn is_same(&self, other: &Alert) -> bool {
        self.created_us.abs_diff(other.created_us) <= SAME_WITHIN_US
            && self.identity.is_some()
            && self.identity == other.identity
    }

    fn bytes(&self) -> usize {
        let identity = self.identity.as_ref().map_or(0, Identity::heap_bytes);
        size_of::<Alert>() + heap_bytes(self.text.len()) + identity
    }
}

impl Identity {
    fn heap_bytes(&self) -> usize {
        heap_bytes(self.contract.len())
            + self.rule.as_ref().map_or(0, |rule| heap_bytes(rule.len()))
            + self.size.heap_bytes()
            + self.premium.heap_bytes()
    }
}

fn base_row(text: &str, present: &mut Present) -> Result<Alert, UnreadableBody> {
    let object = Object::parse(text).ok_or(UnreadableBody("a row is not an object"))?;
    let created_us = object
        .text("created_at")
        .and_then(|time| times::parse(&time))
        .ok_or(UnreadableBody("a row has no `created_at`"))?;
    let identity = identity(&object, "alert_rule");
    let created_us = present.hold_back(created_us);
    Ok(Alert { created_us, receipt: None, identity, text: text.into() })
}

fn identity(object: &Object<'_>, rule: &str) -> Option<Identity> {
    Some(Identity {
        contract: object.text("option_chain")?.into(),
        rule: object.text(rule).map(Into::into),
        size: object.decimal("total_size")?,
        premium: object.decimal("total_premium")?,
    })
}

/// Converts an event to a REST row.
fn translate(
    ticker: &str,
    payload: &str,
    receipt: Receipt,
    present: &mut Present,
) -> Result<Alert, Untranslatable> {
    let object = Object::parse(payload).ok_or(Untranslatable("it is not an object"))?;
    let contract = object.text("option_chain").unwrap_or_default();
    let contract = OccSymbol::parse(&contract)
        .map_err(|_| Untranslatable("its `option_chain` is not an option symbol"))?;
    let created_us = object
        .integer("executed_at")
        .or_else(|| object.integer("end_time"))
        .and_then(|ms| present.event_us(ms, receipt.received_us))
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
            Field::Ticker => {
                let own = object.get("ticker").and_then(text_value);
                row.raw("ticker", &own.unwrap_or_else(|| quoted(ticker).into()));
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
        return Err(Untranslatable("its `total_size` or `total_premium` is not a number"));
    }
    Ok(Alert { created_us, receipt: Some(receipt), identity, text: row.end() })
}

type Translate = fn(&str) -> Option<std::borrow::Cow<'_, str>>;

enum Field {
    /// Same name on the feed, possibly of another type.
    Same(&'static str, Translate),
    Ticker,
    CreatedAt,
    Expiry,
    Strike,
    Rule,
}

/// The fields of a REST row after `type`, in REST's order, without `iv_start` and `iv_end`, which the feed does not
/// carry.
const FIELDS: &[Field] = &[
    Field::Ticker,
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

#[cfg(test)]
mod tests;
