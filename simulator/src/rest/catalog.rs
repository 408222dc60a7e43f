//! The endpoints and what each answers.

use serde_json::{Value, json};

use super::history::{FeedHistory, HistoryEntry, Selection};
use super::options::{AboveLimit, RestOptions};
use super::query::{BadParameter, Query};
use super::{rows, series, times};

/// How an endpoint makes its body out of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// A row per event in a window; `page` is ignored.
    Window,
    /// A row per event, by `page`.
    Pages,
    /// A row per event in a window, of which `date` selects a day in UTC.
    Prints,
    Candles,
    Quote,
    Points,
    PremiumTicks,
    Strikes,
}

/// An endpoint.
#[derive(Debug)]
pub(super) struct Endpoint {
    /// Name in counts and faults.
    pub(super) name: &'static str,
    /// Parts of the path after `/api/`; `*` is a symbol.
    path: &'static str,
    channels: &'static [&'static str],
    form: Form,
    /// `limit` if none is given.
    usual: usize,
    /// Documented maximum of `limit`.
    maximum: usize,
}

/// More than any series of a day has.
const WHOLE: usize = 100_000;

static ENDPOINTS: &[Endpoint] = &[
    Endpoint::new("option-trades", "option-trades", &["option_trades"], Form::Window, (50, 500)),
    Endpoint::new("flow-alerts", "option-trades/flow-alerts", &["flow-alerts"], Form::Window, (100, 200)),
    Endpoint::new("news", "news/headlines", &["news"], Form::Pages, (50, 100)),
    Endpoint::new("ohlc", "stock/*/ohlc/1m", &["price"], Form::Candles, (2_500, 2_500)),
    Endpoint::new("quote", "stock/*/quote", &["price"], Form::Quote, (1, 1)),
    Endpoint::new("spot-exposures", "stock/*/spot-exposures", &["gex"], Form::Points, (WHOLE, WHOLE)),
    Endpoint::new("strikes", "stock/*/spot-exposures/strike", &["gex_strike"], Form::Strikes, (50, 500)),
    Endpoint::new(
        "expiry-strikes",
        "stock/*/spot-exposures/expiry-strike",
        &["gex_strike_expiry"],
        Form::Strikes,
        (50, 500),
    ),
    Endpoint::new(
        "net-prem-ticks",
        "stock/*/net-prem-ticks",
        &["option_trades"],
        Form::PremiumTicks,
        (WHOLE, WHOLE),
    ),
    Endpoint::new("darkpool", "darkpool/*", &["off_lit_trades"], Form::Prints, (500, 500)),
    Endpoint::new("lit-flow", "lit-flow/*", &["lit_trades"], Form::Prints, (500, 500)),
    Endpoint::new("alerts", "alerts", &["custom_alerts"], Form::Window, (50, 500)),
    Endpoint::new("futures", "futures/*/trades", &["futures"], Form::Window, (500, 500)),
];

/// A query of the history.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) options: &'a RestOptions,
    pub(super) history: &'a FeedHistory,
    /// The present in Unix microseconds.
    pub(super) now_us: u64,
}

/// A body and the number of its rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Body {
    pub(super) value: Value,
    pub(super) rows: usize,
}

impl Endpoint {
    const fn new(
        name: &'static str,
        path: &'static str,
        channels: &'static [&'static str],
        form: Form,
        (usual, maximum): (usize, usize),
    ) -> Endpoint {
        Endpoint { name, path, channels, form, usual, maximum }
    }

    /// Finds the endpoint of a path and the symbol in it.
    pub(super) fn find(path: &str) -> Option<(&'static Endpoint, Option<String>)> {
        let path = path.strip_prefix("/api/")?;
        let endpoint = ENDPOINTS.iter().find(|endpoint| endpoint.is_of(path))?;
        let mut parts = path.split('/').zip(endpoint.path.split('/'));
        let symbol = parts.find(|(_, wanted)| *wanted == "*").map(|(part, _)| part.to_owned());
        Some((endpoint, symbol))
    }

    /// Whether a path, without `/api/`, is of this endpoint.
    fn is_of(&self, path: &str) -> bool {
        let wanted = self.path.split('/');
        path.split('/').count() == wanted.clone().count()
            && path.split('/').zip(wanted).all(|(part, wanted)| part == wanted || wanted == "*")
    }

    /// Answers a query.
    pub(super) fn answer(
        &self,
        symbol: Option<String>,
        query: &Query,
        asked: Asked<'_>,
    ) -> Result<Body, BadParameter> {
        if self.name == "expiry-strikes" && query.expirations.is_empty() {
            return Err(BadParameter::new("expirations[]", "missing"));
        }
        let limit = self.limit(query, asked.options.above_limit)?;
        let symbols = symbol.map_or_else(|| query.tickers.clone(), |symbol| vec![symbol]);
        let found: Vec<&HistoryEntry> = asked
            .history
            .select(&self.selection(&symbols, query, asked))
            .into_iter()
            .filter(|entry| self.is_of_day(entry, query) && is_of_contract(entry, query))
            .collect();
        Ok(self.body(&found, query.page, limit))
    }

    fn limit(&self, query: &Query, above: AboveLimit) -> Result<usize, BadParameter> {
        match query.limit {
            None => Ok(self.usual),
            Some(limit) if limit <= self.maximum || above == AboveLimit::Serve => Ok(limit),
            Some(_) if above == AboveLimit::Clamp => Ok(self.maximum),
            Some(limit) => Err(BadParameter::new("limit", &limit.to_string())),
        }
    }

    fn selection<'a>(&'a self, symbols: &'a [String], query: &Query, asked: Asked<'_>) -> Selection<'a> {
        let has_window = matches!(self.form, Form::Window | Form::Prints);
        let after = |newer_than: u64| newer_than + u64::from(!asked.options.newer_than_is_inclusive);
        Selection {
            channels: self.channels,
            symbols,
            from_us: query.newer_than.filter(|_| has_window).map_or(0, after),
            before_us: query.older_than.filter(|_| has_window).unwrap_or(u64::MAX),
            now_us: asked.now_us,
        }
    }

    fn is_of_day(&self, entry: &HistoryEntry, query: &Query) -> bool {
        let day = if self.form == Form::Prints { times::utc_day } else { times::day };
        query.date.is_none_or(|date| day(entry.time_us) == date)
    }

    fn body(&self, found: &[&HistoryEntry], page: usize, limit: usize) -> Body {
        let list = |rows: Vec<Value>| Body { rows: rows.len(), value: json!({ "data": rows }) };
        let of_events = |found: &[&HistoryEntry]| list(found.iter().map(|entry| rows::row(entry)).collect());
        match self.form {
            Form::Window | Form::Prints => of_events(&found[..limit.min(found.len())]),
            Form::Pages => of_events(page_of(found, page, limit)),
            Form::Candles => list(page_of(&series::candles(found), 0, limit).to_vec()),
            Form::Quote => Body { rows: 1, value: json!({ "data": series::quote(found) }) },
            Form::Points => list(series::points(found)),
            Form::PremiumTicks => list(series::premium_ticks(found)),
            Form::Strikes => list(page_of(&series::strikes(found), page, limit).to_vec()),
        }
    }
}

/// Whether an option trade has the asked type and exchange.
fn is_of_contract(entry: &HistoryEntry, query: &Query) -> bool {
    if query.option_type.is_none() && query.exchanges.is_empty() && query.expirations.is_empty() {
        return true;
    }
    let event = entry.event();
    let is = |field: &str, wanted: &str| event.get(field).is_none_or(|value| value.as_str() == Some(wanted));
    query.option_type.as_ref().is_none_or(|kind| is("option_type", kind))
        && (query.exchanges.is_empty() || query.exchanges.iter().any(|exchange| is("exchange", exchange)))
        && (query.expirations.is_empty() || query.expirations.iter().any(|expiry| is("expiry", expiry)))
}

/// Returns a page; empty beyond the end.
fn page_of<T>(rows: &[T], page: usize, limit: usize) -> &[T] {
    let start = page.saturating_mul(limit).min(rows.len());
    &rows[start..start.saturating_add(limit).min(rows.len())]
}
