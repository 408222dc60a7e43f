//! The cells of a line: the fields of a payload to show, by the table of channels.
//!
//! Lenient: a field of an unexpected type counts as absent. A payload without the characteristic fields of its channel
//! is shown as JSON.

use anstyle::{AnsiColor, Effects, Style};
use serde_json::{Map, Value};
use uw_websocket_core::channel::Channel;
use uw_websocket_core::channel::spec::{Column, Emphasis};
use uw_websocket_core::snapshots::occ::OccSymbol;

use super::line::{Line, plain, short};
use crate::escape::escaped;

const PLAIN: Style = Style::new();
const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default();
const MARK: Style = AnsiColor::Yellow.on_default();
const FAINT: Style = Style::new().effects(Effects::DIMMED);
const STRONG: Style = Style::new().effects(Effects::BOLD);

/// Width of `SPXW 2025-05-16 5950.5 C`.
const CONTRACT: usize = 24;
/// Width of a short number.
const SHORT: usize = 6;

/// A payload's members.
struct Members<'p>(&'p Map<String, Value>);

/// Adds the cells of a payload's columns to a line; `false` if it has none of its channel's characteristic fields.
pub(super) fn add(line: &mut Line, channel: &Channel, payload: &Value) -> bool {
    let (Value::Object(members), Some(spec)) = (payload, channel.spec()) else { return false };
    let members = Members(members);
    let has_subject = match spec.columns.iter().find(|column| spec.subject.contains(&column.field())) {
        Some(column) => spec.subject.iter().any(|field| members.has(*column, field)),
        None => false,
    };
    if has_subject {
        spec.columns.iter().for_each(|column| members.add(line, *column));
    }
    has_subject
}

/// Returns the symbol named in a payload.
pub(super) fn symbol(payload: &Value) -> Option<String> {
    let Value::Object(members) = payload else { return None };
    let named = ["ticker", "underlying_symbol", "symbol"].iter().find_map(|name| Members(members).text(name));
    named.or_else(|| OccSymbol::root_of(members.get("option_symbol")?.as_str()?).map(str::to_owned))
}

/// A named number, coloured by its sign.
fn signed<'l>(line: &'l mut Line, name: &str, number: Option<f64>) -> &'l mut Line {
    let style = match number {
        Some(number) if number > 0.0 => GOOD,
        Some(number) if number < 0.0 => BAD,
        _ => PLAIN,
    };
    let shown = number.map_or_else(absent, short);
    line.left(style, &format!("{name} {shown:>SHORT$}"), 0)
}

/// The division of a whole, coloured by the greater part.
fn shares(line: &mut Line, ask: Option<f64>, bid: Option<f64>) -> &mut Line {
    let lean = match (ask, bid) {
        (Some(ask), Some(bid)) if ask > bid => GOOD,
        (Some(ask), Some(bid)) if ask < bid => BAD,
        _ => PLAIN,
    };
    line.left(lean, &format!("ask {:>4} bid {:>4}", percent(ask), percent(bid)), 0)
}

/// The side of a trade, coloured by its direction.
fn side<'l>(line: &'l mut Line, tags: &[String]) -> &'l mut Line {
    let side = tags.iter().find_map(|tag| tag.strip_suffix("_side").filter(|side| !side.is_empty()));
    let lean = match tags.iter().map(String::as_str).find(|tag| matches!(*tag, "bullish" | "bearish")) {
        Some("bullish") => GOOD,
        Some(_) => BAD,
        None => PLAIN,
    };
    line.left(lean, side.unwrap_or("-"), "ask".len())
}

fn absent() -> String {
    "-".to_owned()
}

fn labelled(name: &str, value: &str) -> String {
    if value.is_empty() { String::new() } else { format!("{name} {value}") }
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(absent, |share| format!("{:.0}%", share * 100.0))
}

impl Members<'_> {
    /// Returns whether a field has the type that its column shows.
    fn has(&self, column: Column, field: &str) -> bool {
        match column {
            Column::Contract(_) | Column::Word(_) => self.text(field).is_some(),
            _ => self.number(field).is_some(),
        }
    }

    fn add(&self, line: &mut Line, column: Column) {
        match column {
            Column::Contract(name) => line.left(STRONG, &self.contract(name).unwrap_or_default(), CONTRACT),
            Column::Text(name, width, emphasis) => {
                let style = if emphasis == Emphasis::Faint { FAINT } else { PLAIN };
                line.left(style, &self.text(name).unwrap_or_default(), width)
            }
            Column::Word(name) => line.word(PLAIN, &self.text(name).unwrap_or_default()),
            Column::Exact(name, width) => line.right(STRONG, &self.price(name).unwrap_or_else(absent), width),
            Column::At(name) => {
                let price = self.price(name).unwrap_or_else(absent);
                line.left(PLAIN, &format!("@ {price}"), "@ 123.45".len())
            }
            Column::Plain(name, width) => line.right(STRONG, &self.decimal(name).unwrap_or_default(), width),
            Column::Short(name) => line.right(PLAIN, &self.short(name), SHORT),
            Column::Money(name) => line.right(STRONG, &self.money(name), SHORT + 1),
            Column::Percent(label, name) => {
                let share = self.number(name).map(|share| format!("{label} {:.1}%", share * 100.0));
                line.left(PLAIN, &share.unwrap_or_default(), "IV 123.4%".len())
            }
            Column::Signed(label, name) => signed(line, label, self.number(name)),
            Column::Labelled(label, name) => line.word(FAINT, &labelled(label, &self.short(name))),
            Column::LabelledPrice(label, name) => {
                line.word(FAINT, &labelled(label, &self.price(name).unwrap_or_default()))
            }
            Column::Shares(whole, ask, bid) => shares(line, self.share(ask, whole), self.share(bid, whole)),
            Column::Side(name) => side(line, &self.words(name)),
            Column::Tags(name) => {
                let tags = self.words(name);
                let others: Vec<&str> =
                    tags.iter().map(String::as_str).filter(|tag| !tag.ends_with("_side")).collect();
                line.word(FAINT, &others.join(" "))
            }
            Column::Items(name, field) => {
                let items = self.0.get(field).and_then(Value::as_array).map(|items| items.len().to_string());
                line.left(PLAIN, &format!("{name} {:>5}", items.unwrap_or_else(absent)), 0)
            }
            Column::Words(name) => line.word(MARK, &self.words(name).join(",")),
            Column::Flag(name, word) => line.word(MARK, if self.flag(name) { word } else { "" }),
            Column::Alarm(name, word) => line.word(BAD, if self.flag(name) { word } else { "" }),
        };
    }

    /// Returns a non-empty text, or a number as written.
    fn text(&self, name: &str) -> Option<String> {
        match self.0.get(name)? {
            Value::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    /// Returns a number, or a numeric text.
    fn number(&self, name: &str) -> Option<f64> {
        let number = match self.0.get(name)? {
            Value::String(text) => text.trim().parse().ok(),
            number => number.as_f64(),
        };
        number.filter(|number: &f64| number.is_finite())
    }

    /// Formats a number as written, without insignificant zeros.
    fn decimal(&self, name: &str) -> Option<String> {
        self.number(name)?;
        self.text(name).map(|text| plain(&text).to_owned())
    }

    /// Formats a number as written: a price keeps its cents.
    fn price(&self, name: &str) -> Option<String> {
        self.number(name)?;
        self.text(name)
    }

    fn short(&self, name: &str) -> String {
        self.number(name).map(short).unwrap_or_default()
    }

    fn money(&self, name: &str) -> String {
        self.number(name).map(|amount| format!("${}", short(amount))).unwrap_or_default()
    }

    fn flag(&self, name: &str) -> bool {
        self.0.get(name) == Some(&Value::Bool(true))
    }

    fn words(&self, name: &str) -> Vec<String> {
        let words = self.0.get(name).and_then(Value::as_array).into_iter().flatten();
        words.filter_map(Value::as_str).map(|word| escaped(word).into_owned()).collect()
    }

    /// Formats a number as a share of a whole.
    fn share(&self, name: &str, whole: &str) -> Option<f64> {
        let whole = self.number(whole).filter(|whole| *whole > 0.0)?;
        self.number(name).map(|part| part / whole)
    }

    /// Formats a contract readably if it can be parsed, else as written.
    fn contract(&self, name: &str) -> Option<String> {
        let symbol = self.text(name)?;
        Some(contract(&symbol).unwrap_or(symbol))
    }
}

/// `TSLA250516C00352500` as `TSLA 2025-05-16 352.5 C`.
fn contract(symbol: &str) -> Option<String> {
    let OccSymbol { root, expiry, is_call, strike } = OccSymbol::parse(symbol).ok()?;
    Some(format!("{root} {expiry} {strike} {}", if is_call { "C" } else { "P" }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uw_websocket_core::channel::field::Field;
    use uw_websocket_core::channel::table;

    use super::*;

    /// Renders the payload of a captured or documented frame.
    fn shown(channel: &str, payload: &str) -> Option<String> {
        let mut line = Line::default();
        let payload = serde_json::from_str(payload).unwrap();
        add(&mut line, &Channel::parse(channel).unwrap(), &payload).then(|| line.render(None, false))
    }

    #[test]
    fn a_contract_is_read() {
        for (symbol, expected) in [
            ("TSLA250516C00355000", Some("TSLA 2025-05-16 355 C")),
            ("TSLA250523P00352500", Some("TSLA 2025-05-23 352.5 P")),
            ("UVXY240920C00000500", Some("UVXY 2024-09-20 0.5 C")),
            ("SPXW  250516C05950000", Some("SPXW 2025-05-16 5950 C")),
            ("250516C00355000", None),
            ("TSLA250516X00355000", None),
            ("TSLA2505é6C00355000", None),
            ("TSLA", None),
        ] {
            assert_eq!(contract(symbol).as_deref(), expected, "{symbol}");
        }
    }

    #[test]
    fn each_channel_shows_what_matters() {
        for (channel, payload, expected) in SAMPLES {
            assert_eq!(shown(channel, payload).as_deref(), Some(*expected), "{channel}");
        }
    }

    /// From the vendor's documentation and captures, reduced to the fields shown.
    const SAMPLES: &[(&str, &str, &str)] = &[
        (
            "option_trades",
            r#"{"underlying_symbol":"TSLA","size":23,"price":"0.07","option_symbol":"TSLA250516C00355000","tags":["bid_side","bearish","etf"],"premium":"161.00","implied_volatility":"0.0478858048818649"}"#,
            "TSLA 2025-05-16 355 C     bid      23  @ 0.07       $161  IV 4.8%    bearish etf",
        ),
        (
            "option_trades",
            r#"{"option_symbol":"SPXW250516P05950000","tags":"none","price":"","premium":7,"size":"2","implied_volatility":null,"canceled":true}"#,
            "SPXW 2025-05-16 5950 P    -         2  @ -            $7             canceled",
        ),
        (
            "flow-alerts",
            r#"{"rule_name":"RepeatedHits","option_chain":"JD250523P00034000","total_size":341,"total_premium":29326.0,"total_ask_side_prem":16598.0,"total_bid_side_prem":12728.0,"has_multileg":false,"has_sweep":true,"has_floor":false,"all_opening_trades":true}"#,
            "JD 2025-05-23 34 P        RepeatedHits                   341   $29.3K  ask  57% bid  43%  sweep  opening",
        ),
        (
            "flow-alerts",
            r#"{"rule_name":null,"option_chain":"odd","total_premium":0}"#,
            "odd                                                                $0  ask    - bid    -",
        ),
        ("price", r#"{"close":"562.80","time":1726670327692,"vol":6015555}"#, "  562.80  volume 6.02M"),
        ("price", r#"{"close":562.5}"#, "   562.5"),
        (
            "gex",
            r#"{"gamma_per_one_percent_move_oi":"-262444980.31","delta_per_one_percent_move_oi":"","price":"562.86","gamma_per_one_percent_move_vol":"54225020324.8619","gamma_per_one_percent_move_dir":""}"#,
            "  562.86  gamma oi  -262M  vol  54.2B  dir      -",
        ),
        (
            "gex_strike",
            r#"{"call_gamma_oi":"174792.59","put_gamma_oi":"-1172037.66","call_gamma_vol":"15596.81","put_gamma_vol":"-236.69","strike":"290.000","price":"562.96"}"#,
            "    290  gamma oi call   175K  put -1.17M  vol call  15.6K  put   -237  price 562.96",
        ),
        (
            "gex_strike_expiry",
            r#"{"expiry":"2025-01-24","call_gamma_oi":"174792.59","put_gamma_oi":"","strike":"292.5"}"#,
            "2025-01-24    292.5  gamma oi call   175K  put      -  vol call      -  put      -",
        ),
        (
            "news",
            r#"{"headline":"US \u001b[2JEnergy","source":"social-media","tickers":["SPY",7,"X\n"]}"#,
            "social-media  SPY,X\\n  US \\u{1b}[2JEnergy",
        ),
        ("news", r#"{"headline":"H","tickers":[]}"#, "              H"),
        (
            "periscope",
            r#"{"ticker":"SPX","timestamp":1796072400000,"total_rows":5000,"has_more":true,"rows":[{"strike":"6500"},{}]}"#,
            "rows     2  of 5000  more follow",
        ),
        (
            "interpolated_iv",
            r#"{"ticker":"SPY","date":"2026-11-30","days":30,"volatility":0.21,"implied_move":14.2}"#,
            "days 30  IV 21.0%   move 14.2  2026-11-30",
        ),
        (
            "iv_term_structure",
            r#"{"ticker":"SPY","date":"2026-11-30","expiry":"2026-12-18","volatility":0.21,"implied_move":14.2}"#,
            "2026-12-18  IV 21.0%   move 14.2  2026-11-30",
        ),
    ];

    #[test]
    fn what_its_channel_is_not_about_has_no_cells() {
        for channel in table::KNOWN {
            for payload in ["{}", "[]", "7", r#"{"option_chain":"","close":null,"strike":[],"headline":{}}"#]
            {
                assert_eq!(shown(channel.name, payload), None, "{} {payload}", channel.name);
            }
        }
        assert_eq!(shown("market_tide", r#"{"net_volume":1}"#), None);
    }

    proptest! {
        /// For any field values, rendering succeeds and nothing controls the terminal.
        #[test]
        fn odd_values_are_shown_or_left_out(seed: u64, channel in 0..table::KNOWN.len()) {
            let odd = ["null", "true", "-1e308", "\"\"", "\"NaN\"", "\"\\u001b[0m\"", "[1,\"a_side\"]", "{}", "\"1.50\""];
            let (spec, mut rng) = (table::KNOWN[channel], fastrand::Rng::with_seed(seed));
            let member = |field: &Field| format!("\"{}\":{}", field.name, odd[rng.usize(..odd.len())]);
            let members: Vec<String> = spec.fields().map(member).collect();
            let payload = format!("{{{}}}", members.join(","));
            if let Some(shown) = shown(spec.name, &payload) {
                prop_assert!(!shown.contains(char::is_control));
            }
        }
    }
}
