//! The parameters of a request.

use jiff::civil::Date;
use serde_json::{Value, json};
use url::form_urlencoded;

use super::times;

/// What a request asks for. A name that is not known is ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Query {
    /// `ticker_symbol`, a comma list; empty for all.
    pub(super) tickers: Vec<String>,
    /// `newer_than`, Unix microseconds.
    pub(super) newer_than: Option<u64>,
    /// `older_than`, Unix microseconds.
    pub(super) older_than: Option<u64>,
    pub(super) limit: Option<usize>,
    /// `page`, from 0.
    pub(super) page: usize,
    pub(super) date: Option<Date>,
    /// `expirations[]`
    pub(super) expirations: Vec<String>,
    /// `min_strike` and `max_strike`
    pub(super) has_strikes: bool,
    /// `type`: `call` or `put`.
    pub(super) option_type: Option<String>,
    /// `exchanges[]`
    pub(super) exchanges: Vec<String>,
}

/// A parameter with a value that is not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BadParameter {
    name: String,
    value: String,
}

impl BadParameter {
    pub(super) fn new(name: &str, value: &str) -> BadParameter {
        BadParameter { name: name.to_owned(), value: value.to_owned() }
    }

    /// The body of status 422.
    pub(super) fn body(&self, target: &str) -> Value {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let msg = format!("Invalid value for {}: {}", self.name, self.value);
        json!({ "msg": msg, "path": path, "query": query, "url": target })
    }
}

impl Query {
    /// Reads the query of a request's target.
    pub(super) fn parse(target: &str) -> Result<Query, BadParameter> {
        let text = target.split_once('?').map_or("", |(_, query)| query);
        let mut query = Query::default();
        for (name, value) in form_urlencoded::parse(text.as_bytes()) {
            query.set(&name, &value).ok_or_else(|| BadParameter::new(&name, &value))?;
        }
        Ok(query)
    }

    /// Returns `None` for a value that is not understood.
    fn set(&mut self, name: &str, value: &str) -> Option<()> {
        match name {
            "ticker_symbol" | "ticker" => {
                let tickers = value.split(',').filter(|ticker| !ticker.is_empty());
                self.tickers = tickers.map(str::to_owned).collect();
            }
            "newer_than" | "after" => self.newer_than = Some(times::parse(value)?),
            "older_than" | "before" => self.older_than = Some(times::parse(value)?),
            "limit" => self.limit = Some(value.parse().ok().filter(|limit| *limit > 0)?),
            "page" => self.page = value.parse().ok()?,
            "date" => self.date = Some(value.parse().ok()?),
            "expirations[]" => self.expirations.push(value.to_owned()),
            "min_strike" | "max_strike" => self.has_strikes = true,
            "type" => self.option_type = Some(value.to_owned()),
            "exchanges[]" => self.exchanges.push(value.to_owned()),
            _ => {}
        }
        Some(())
    }
}
